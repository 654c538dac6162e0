// SVG elements of the zones being edited: outlines, arrows, names, point handles.
import { arrowOf, labelOf } from "./zones.js";
import { svg } from "./dom.js";

/** Return the SVG elements of a ZoneDrawing; `view` places its points, `aim` is in CSS pixels. */
export function zoneElements({ zones, chosen, drawing }, view, aim) {
  const toCss = (points) => points.map(([x, y]) => [view.x + x * view.scale, view.y + y * view.scale]);
  const elements = zones.flatMap((zone, i) => outline(zone, toCss(zone.points), i, i === chosen));
  if (drawing) elements.push(...newZone(drawing.kind, toCss(drawing.points), aim));
  else if (zones[chosen]) elements.push(...handles(zones[chosen], toCss(zones[chosen].points)));
  return elements;
}

function outline({ kind, name }, points, index, chosen) {
  const tag = kind === "line" ? "polyline" : "polygon";
  const text = points.map((point) => point.join(",")).join(" ");
  const { x, y, align } = labelOf(kind, points);
  const label = svg("text", { class: "text", x, y, "text-anchor": align });
  label.textContent = name;
  const elements = [
    svg(tag, { class: "under", points: text }),
    svg(tag, { class: `shape ${kind}${chosen ? " chosen" : ""}`, points: text, "data-zone": index }),
  ];
  if (kind === "line") {
    elements.push(svg(tag, { class: "hit", points: text, "data-zone": index }));
    const arrow = arrowOf(points, 26);
    if (arrow) elements.push(svg("polygon", { class: "arrow", points: arrow.map((point) => point.join(",")).join(" ") }));
  }
  return [...elements, label];
}

function handles({ kind, name }, points) {
  const elements = [];
  const last = kind === "line" ? points.length - 1 : points.length;
  for (let i = 0; i < last; i += 1) {
    const [[x1, y1], [x2, y2]] = [points[i], points[(i + 1) % points.length]];
    if (Math.hypot(x2 - x1, y2 - y1) < 50) continue; // no room between two points
    elements.push(svg("circle", { class: "between", cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: 3.5 }));
    elements.push(svg("circle", { class: "grip", cx: (x1 + x2) / 2, cy: (y1 + y2) / 2, r: 12, "data-between": i }));
  }
  points.forEach(([cx, cy], i) => {
    const label = `Point ${i + 1} of ${points.length} of ${name}`;
    elements.push(svg("circle", { class: "grip", cx, cy, r: 15, tabindex: "0", role: "button", "aria-label": label, "data-point": i }));
    elements.push(svg("circle", { class: "point", cx, cy, r: 5.5, "pointer-events": "none" }));
  });
  return elements;
}

function newZone(kind, points, aim) {
  const elements = [];
  const way = aim ? [...points, aim] : points;
  if (way.length > 1) {
    const text = way.map((point) => point.join(",")).join(" ");
    const tag = kind !== "line" && way.length > 2 ? "polygon" : "polyline";
    elements.push(svg(tag, { class: "under", points: text }), svg(tag, { class: "rubber", points: text }));
  }
  const arrow = kind === "line" ? arrowOf(way, 26) : null;
  if (arrow) elements.push(svg("polygon", { class: "arrow", points: arrow.map((point) => point.join(",")).join(" ") }));
  for (const [cx, cy] of points) elements.push(svg("circle", { class: "point", cx, cy, r: 5 }));
  if (aim) {
    const [x, y] = aim;
    elements.push(svg("path", { class: "aim", d: `M${x - 12} ${y}h9m6 0h9M${x} ${y - 12}v9m0 6v9` }));
  }
  return elements;
}
