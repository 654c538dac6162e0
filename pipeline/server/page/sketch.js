// The SVG shapes of areas being edited: outlines, arrows, names, points to grip.
import { arrowOf, labelOf } from "./areas.js";
import { svg } from "./dom.js";

/** Return the elements to show for a draft, its points laid out by `view`, `aim` in CSS pixels. */
export function sketch({ areas, chosen, drawing }, view, aim) {
  const lay = (points) => points.map(([x, y]) => [view.x + x * view.scale, view.y + y * view.scale]);
  const shapes = areas.flatMap((area, i) => outline(area, lay(area.points), i, i === chosen));
  if (drawing) shapes.push(...drawn(drawing.kind, lay(drawing.points), aim));
  else if (areas[chosen]) shapes.push(...grips(areas[chosen], lay(areas[chosen].points)));
  return shapes;
}

function outline({ kind, name }, points, index, chosen) {
  const tag = kind === "zone" ? "polygon" : "polyline";
  const text = points.map((point) => point.join(",")).join(" ");
  const { x, y, align } = labelOf(kind, points);
  const label = svg("text", { class: "text", x, y, "text-anchor": align });
  label.textContent = name;
  const shapes = [
    svg(tag, { class: "under", points: text }),
    svg(tag, { class: `shape ${kind}${chosen ? " chosen" : ""}`, points: text, "data-area": index }),
  ];
  if (kind === "line") {
    shapes.push(svg(tag, { class: "hit", points: text, "data-area": index }));
    const arrow = arrowOf(points, 26);
    if (arrow) shapes.push(svg("polygon", { class: "arrow", points: arrow.map((point) => point.join(",")).join(" ") }));
  }
  return [...shapes, label];
}

function grips({ kind, name }, points) {
  const shapes = [];
  const last = kind === "zone" ? points.length : points.length - 1;
  for (let i = 0; i < last; i += 1) {
    const [[x1, y1], [x2, y2]] = [points[i], points[(i + 1) % points.length]];
    if (Math.hypot(x2 - x1, y2 - y1) < 50) continue; // no room between two points
    shapes.push(svg("circle", { class: "between", cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: 3.5 }));
    shapes.push(svg("circle", { class: "grip", cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: 12, "data-between": i }));
  }
  points.forEach(([cx, cy], i) => {
    const label = `Point ${i + 1} of ${points.length} of ${name}`;
    shapes.push(svg("circle", { class: "grip", cx, cy, r: 15, tabindex: "0", role: "button", "aria-label": label, "data-point": i }));
    shapes.push(svg("circle", { class: "point", cx, cy, r: 5.5, "pointer-events": "none" }));
  });
  return shapes;
}

function drawn(kind, points, aim) {
  const shapes = [];
  const way = aim ? [...points, aim] : points;
  if (way.length > 1) {
    const text = way.map((point) => point.join(",")).join(" ");
    const tag = kind === "zone" && way.length > 2 ? "polygon" : "polyline";
    shapes.push(svg(tag, { class: "under", points: text }), svg(tag, { class: "rubber", points: text }));
  }
  const arrow = kind === "line" ? arrowOf(way, 26) : null;
  if (arrow) shapes.push(svg("polygon", { class: "arrow", points: arrow.map((point) => point.join(",")).join(" ") }));
  for (const [cx, cy] of points) shapes.push(svg("circle", { class: "point", cx, cy, r: 5 }));
  if (aim) {
    const [x, y] = aim;
    shapes.push(svg("path", { class: "aim", d: `M${x - 12} ${y}h9m6 0h9M${x} ${y - 12}v9m0 6v9` }));
  }
  return shapes;
}
