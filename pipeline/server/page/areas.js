// Zones and lines as the page edits them, to and from the server's form; pure geometry.

export const MOST_AREAS = 64;
export const MOST_POINTS = 64;
const LEAST_POINTS = { zone: 3, line: 2 };

/** Return a list of areas {kind, name, points, classes, dwell_s, rest} from the server's answer. */
export function fromServer(answer) {
  const take = (kind) => ({ name, points, classes, dwell_s, ...rest }) => ({
    kind, name, points: points.map(([x, y]) => [x, y]), classes: [...(classes ?? [])],
    dwell_s: dwell_s ?? null, rest,
  });
  return [...answer.zones.map(take("zone")), ...answer.lines.map(take("line"))];
}

/** Return what PUT takes. What the page does not know (`others`) goes back as it came. */
export function toServer(areas, size, others = {}) {
  const give = ({ kind, name, points, classes, dwell_s, rest }) => ({
    ...rest, name, points: points.map((point) => point.map((value) => Math.round(value * 10) / 10)),
    classes: classes.length ? classes : null, ...(kind === "zone" ? { dwell_s } : {}),
  });
  const of = (kind) => areas.filter((area) => area.kind === kind).map(give);
  return { ...others, size, zones: of("zone"), lines: of("line") };
}

/** Return areas drawn on a picture of size `from`, as they lie on one of size `to`. */
export function rescaled(areas, from, to) {
  if (!from || !to || (from[0] === to[0] && from[1] === to[1])) return areas;
  const [fx, fy] = [to[0] / from[0], to[1] / from[1]];
  return areas.map((area) => ({ ...area, points: area.points.map(([x, y]) => [x * fx, y * fy]) }));
}

/** Return what is wrong with the areas in one line, or "". */
export function problemOf(areas) {
  const names = new Set();
  for (const { kind, name, points, dwell_s } of areas) {
    if (!name) return `A ${kind} has no name: give it one.`;
    if (names.has(name)) return `Two areas are called “${name}”: events could not tell them apart.`;
    names.add(name);
    if (points.length < LEAST_POINTS[kind]) return `“${name}” needs at least ${LEAST_POINTS[kind]} points.`;
    if (kind === "zone" && crossesItself(points)) return `The outline of “${name}” crosses itself: drag its points apart.`;
    if (dwell_s !== null && !(dwell_s > 0)) return `“${name}”: the dwell time must be more than 0 seconds.`;
  }
  return "";
}

/** Return a name no area has yet: "Zone 3". */
export function freshName(areas, kind) {
  const stem = kind === "zone" ? "Zone" : "Line";
  const taken = new Set(areas.map((area) => area.name));
  let n = areas.filter((area) => area.kind === kind).length + 1;
  while (taken.has(`${stem} ${n}`)) n += 1;
  return `${stem} ${n}`;
}

/** Return where an area's name stands: below a zone's top, or beside a line, away from its arrow. */
export function labelOf(kind, points) {
  if (kind === "zone") {
    const across = points.reduce((sum, [x]) => sum + x, 0) / points.length;
    return { x: across, y: Math.min(...points.map(([, y]) => y)) + 18, align: "middle" };
  }
  const [[x1, y1], [x2, y2]] = middleSegment(points);
  const far = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [left, up] = [(y2 - y1) / far, (x1 - x2) / far]; // the side the arrow does not point to
  const align = left > 0.4 ? "start" : left < -0.4 ? "end" : "middle";
  return { x: (x1 + x2) / 2 + left * 10, y: (y1 + y2) / 2 + up * 12 + 4, align };
}

/**
 * Return the three corners of the arrow that shows a line's way in, or null for a line without
 * length. Going from the first point to the last, "in" is from left to right.
 */
export function arrowOf(points, length) {
  if (points.length < 2) return null;
  const [[x1, y1], [x2, y2]] = middleSegment(points);
  const far = Math.hypot(x2 - x1, y2 - y1);
  if (far < 1) return null;
  const along = [(x2 - x1) / far, (y2 - y1) / far];
  const right = [-along[1], along[0]]; // y grows downwards, so this is the right hand
  const [mx, my] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const half = length * 0.38;
  return [
    [mx - along[0] * half, my - along[1] * half],
    [mx + right[0] * length, my + right[1] * length],
    [mx + along[0] * half, my + along[1] * half],
  ];
}

function middleSegment(points) {
  const i = Math.floor((points.length - 1) / 2);
  return [points[i], points[Math.min(i + 1, points.length - 1)]];
}

function crossesItself(points) {
  const n = points.length;
  for (let i = 0; i < n; i += 1) {
    for (let j = i + 2; j < n; j += 1) {
      if (i === 0 && j === n - 1) continue; // neighbours over the end
      if (cross(points[i], points[i + 1], points[j], points[(j + 1) % n])) return true;
    }
  }
  return false;
}

function cross(a, b, c, d) {
  const side = ([px, py], [qx, qy], [rx, ry]) => Math.sign((qx - px) * (ry - py) - (qy - py) * (rx - px));
  return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}
