// Zones and lines as plain objects: conversion from and to REST, validation, geometry.
// One list holds all: `kind` is "zone" or "line", or in the editor "mask" (of the whole picture).

export const MAX_ZONES = 64;
export const MAX_POINTS = 64;
export const MIN_POINTS = { zone: 3, line: 2, mask: 3 };
const STEMS = { zone: "Zone", line: "Line", mask: "Mask" };

/** Return a list of zones {kind, name, points, classes, dwell_s, rest} from the server's answer. */
export function fromServer(answer) {
  const parse = (kind) => ({ name, points, classes, dwell_s, ...rest }) => ({
    kind, name, points: points.map(([x, y]) => [x, y]), classes: [...(classes ?? [])],
    dwell_s: dwell_s ?? null, rest,
  });
  return [...answer.zones.map(parse("zone")), ...answer.lines.map(parse("line"))];
}

/** Return the masks of the whole picture in the server's answer, numbered, as zones are. */
export function masksOf(answer) {
  return (answer.appeared?.masks ?? []).map((points, i) => maskOf(points.map(([x, y]) => [x, y]), `Mask ${i + 1}`));
}

/** Return a new mask. */
export function maskOf(points, name) {
  return { kind: "mask", name, points, classes: [], dwell_s: null, rest: {} };
}

/** Return points as they are sent. */
export const rounded = (points) => points.map((point) => point.map((value) => Math.round(value * 10) / 10));

/** Return the body of PUT; fields that the page does not know (`others`) are kept. */
export function toServer(zones, size, others = {}) {
  const serialize = ({ kind, name, points, classes, dwell_s, rest }) => ({
    ...rest, name, points: rounded(points),
    classes: classes.length ? classes : null, ...(kind === "zone" ? { dwell_s } : {}),
  });
  const of = (kind) => zones.filter((zone) => zone.kind === kind).map(serialize);
  return { ...others, size, zones: of("zone"), lines: of("line") };
}

/** Return zones scaled from a picture of size `from` to one of size `to`. */
export function rescaled(zones, from, to) {
  if (!from || !to || (from[0] === to[0] && from[1] === to[1])) return zones;
  const [fx, fy] = [to[0] / from[0], to[1] / from[1]];
  return zones.map((zone) => ({ ...zone, points: zone.points.map(([x, y]) => [x * fx, y * fy]) }));
}

/** Return the first error in the zones as one line, or "". */
export function problemOf(zones) {
  const names = new Set();
  for (const { kind, name, points, dwell_s } of zones) {
    if (kind !== "mask" && !name) return `A ${kind} has no name: give it one.`;
    if (kind !== "mask" && names.has(name)) return `Two zones or lines are called “${name}”: events could not distinguish them.`;
    if (kind !== "mask") names.add(name);
    if (points.length < MIN_POINTS[kind]) return `“${name}” needs at least ${MIN_POINTS[kind]} points.`;
    if (kind !== "line" && crossesItself(points)) return `The outline of “${name}” crosses itself: drag its points apart.`;
    if (dwell_s !== null && !(dwell_s > 0)) return `“${name}”: the dwell time must be more than 0 seconds.`;
  }
  return "";
}

/** Return an unused name, such as "Zone 3". */
export function freshName(zones, kind) {
  const stem = STEMS[kind];
  const taken = new Set(zones.map((zone) => zone.name));
  let n = zones.filter((zone) => zone.kind === kind).length + 1;
  while (taken.has(`${stem} ${n}`)) n += 1;
  return `${stem} ${n}`;
}

/** Return the label's place: below a zone's top, or beside a line, opposite its arrow. */
export function labelOf(kind, points) {
  if (kind !== "line") {
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
 * Return the three corners of the arrow that shows a line's "in" direction, null for a line of
 * length 0. Going from the first point to the last, "in" is from left to right.
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
      if (i === 0 && j === n - 1) continue; // the last edge and the first are neighbours
      if (cross(points[i], points[i + 1], points[j], points[(j + 1) % n])) return true;
    }
  }
  return false;
}

function cross(a, b, c, d) {
  const side = ([px, py], [qx, qy], [rx, ry]) => Math.sign((qx - px) * (ry - py) - (qy - py) * (rx - px));
  return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}
