// Drawing of boxes, labels, trails, zones and lines on the canvas over a picture.
import { colourOf } from "./colours.js";
import { overlap, placeLabels } from "./labels.js";
import { paintTrail } from "./trails.js";
import { arrowOf, labelOf } from "./zones.js";

const RIM = "#000000b3";
const MIN_LABELLED_PX = 16; // a smaller object would be hidden by its label
const FONT = '600 PXpx system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

// Pairs of COCO's 17 keypoints that are joined: face, arms, trunk, legs.
const LIMBS = [
  [0, 1], [0, 2], [1, 3], [2, 4], [5, 7], [7, 9], [6, 8], [8, 10], [5, 6], [5, 11], [6, 12], [11, 12],
  [11, 13], [13, 15], [12, 14], [14, 16],
];
const MIN_KEYPOINT_SCORE = 0.5;

/**
 * Return the offset and scale that fit a picture of `width` x `height` into a canvas of
 * `across` x `down` CSS pixels, centred, as `object-fit: contain` does for the picture's own
 * canvas, or `object-fit: cover`; `wide` x `high` is its size there.
 */
export function fit(width, height, across, down, cover = false) {
  const scale = (cover ? Math.max : Math.min)(across / width, down / height);
  const [wide, high] = [width * scale, height * scale];
  return { x: (across - wide) / 2, y: (down - high) / 2, scale, wide, high, across, down };
}

/**
 * Paint one picture's layers. `view` is from `fit`; `ratio` is device pixels per CSS pixel.
 * `scene` is {tracks, trails, zones, inside} and, optional, `pointed`: the id of the track under the
 * pointer, and `places`: what the last call returned, the places of the labels.
 */
export function paint(context, view, ratio, scene, layers) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.lineJoin = "round";
  const names = [];
  if (layers.zones) for (const zone of scene.zones) paintZone(context, view, zone, scene.inside, names);
  if (layers.trails) for (const trail of scene.trails.values()) paintTrail(context, view, trail);
  const small = view.across < 300;
  if (layers.boxes) for (const track of scene.tracks) paintMask(context, view, track);
  if (layers.boxes) for (const track of scene.tracks) paintBox(context, view, ratio, track, small);
  if (layers.boxes) for (const track of scene.tracks) paintSkeleton(context, view, track);
  return layers.labels ? paintLabels(context, view, scene, layers.ids, names) : new Map();
}

/** Return the part of the canvas that the picture takes, as [left, top, right, bottom]. */
function areaOf({ x, y, wide, high, across, down }) {
  return [Math.max(0, x), Math.max(0, y), Math.min(across, x + wide), Math.min(down, y + high)];
}

function boxOf(view, [x1, y1, x2, y2]) {
  const { x, y, scale } = view;
  return [x + x1 * scale, y + y1 * scale, (x2 - x1) * scale, (y2 - y1) * scale];
}

function paintBox(context, view, ratio, track, small) {
  const snap = (value) => Math.round(value * ratio) / ratio;
  const [x, y, w, h] = boxOf(view, track.xyxy).map(snap);
  const line = track.chosen ? 4 : small ? 1.5 : 2;
  context.setLineDash(track.coasting ? [6, 4] : []);
  context.strokeStyle = RIM;
  context.lineWidth = line + 2;
  context.strokeRect(x, y, w, h);
  context.strokeStyle = colourOf(track.class_name);
  context.lineWidth = line;
  context.strokeRect(x, y, w, h);
  context.setLineDash([]);
}

function paintMask(context, view, { mask, class_name }) {
  if (!mask) return;
  context.beginPath();
  for (const outline of mask) {
    outline.forEach(([px, py], i) => {
      const [x, y] = [view.x + px * view.scale, view.y + py * view.scale];
      if (i) context.lineTo(x, y);
      else context.moveTo(x, y);
    });
    context.closePath();
  }
  context.globalAlpha = 0.4;
  context.fillStyle = colourOf(class_name);
  context.fill("evenodd");
  context.globalAlpha = 1;
}

function paintSkeleton(context, view, { keypoints, class_name }) {
  if (!keypoints) return;
  const points = keypoints.map(([px, py, score]) =>
    score >= MIN_KEYPOINT_SCORE ? [view.x + px * view.scale, view.y + py * view.scale] : null);
  const limbs = points.length === 17 ? LIMBS.filter(([a, b]) => points[a] && points[b]) : [];
  for (const [colour, line, radius] of [[RIM, 4, 4], [colourOf(class_name), 2, 3]]) {
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = line;
    context.beginPath();
    for (const [a, b] of limbs) {
      context.moveTo(...points[a]);
      context.lineTo(...points[b]);
    }
    context.stroke();
    for (const [x, y] of points.filter(Boolean)) {
      context.beginPath();
      context.arc(x, y, radius, 0, 2 * Math.PI);
      context.fill();
    }
  }
}

function paintLabels(context, view, { tracks, pointed = null, places }, ids, names) {
  const px = view.across < 300 ? 10 : view.across > 900 ? 13 : 11;
  context.font = FONT.replace("PX", px);
  context.textBaseline = "alphabetic";
  const labels = tracks.map((track, i) => {
    const box = boxOf(view, track.xyxy);
    const isPointed = pointed !== null && track.id === pointed;
    const name = clipped(track.class_name) || "object";
    const text = track.text ?? ((ids || isPointed) && track.id ? `${name} ${track.id}` : name);
    const weight = isPointed || track.chosen ? Infinity : box[2] * box[3] * (track.score ?? 1) * (track.coasting ? 0.5 : 1);
    return { key: track.id || `row ${i}`, track, text, box, width: context.measureText(text).width + 8, height: px + 5, weight };
  }).filter(({ box, weight }) => weight === Infinity || Math.max(box[2], box[3]) >= MIN_LABELLED_PX);
  const placed = placeLabels(labels, areaOf(view), names, places);
  for (const { key, track, text, width, height } of labels) {
    if (!placed.has(key)) continue;
    const { left, top } = placed.get(key);
    context.globalAlpha = track.coasting ? 0.7 : 1;
    context.fillStyle = colourOf(track.class_name);
    context.fillRect(left, top, width, height);
    context.globalAlpha = 1;
    context.fillStyle = "#0b0f0e";
    context.fillText(text, left + 4, top + px);
  }
  return placed;
}

function paintZone(context, view, zone, inside, names) {
  const points = zone.points.map(([px, py]) => [view.x + px * view.scale, view.y + py * view.scale]);
  context.beginPath();
  points.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
  if (zone.kind === "zone") {
    context.closePath();
    context.fillStyle = "#ffffff14";
    context.fill();
  }
  context.strokeStyle = RIM;
  context.lineWidth = 3.5;
  context.stroke();
  context.strokeStyle = "#ffffffd9";
  context.lineWidth = 1.5;
  context.stroke();
  if (zone.kind === "line") paintArrow(context, points);
  const now = zone.kind === "zone" && (inside[zone.name] ?? null) !== null ? `  ${inside[zone.name]}` : "";
  names.push(paintName(context, view, `${clipped(zone.name)}${now}`, labelOf(zone.kind, points), names));
}

function paintArrow(context, points) {
  const arrow = arrowOf(points, 22);
  if (arrow === null) return;
  context.beginPath();
  arrow.forEach(([px, py], i) => (i ? context.lineTo(px, py) : context.moveTo(px, py)));
  context.closePath();
  context.fillStyle = "#ffd166";
  context.strokeStyle = RIM;
  context.lineWidth = 1.5;
  context.stroke();
  context.fill();
}

/** Paint a zone's name within the picture, lower where another one stands; return its rectangle. */
function paintName(context, view, text, { x, y, align }, names) {
  const px = view.across < 300 ? 10 : 12;
  context.font = FONT.replace("PX", px);
  const width = context.measureText(text).width;
  const [left, top, right, bottom] = areaOf(view);
  const from = Math.max(left + 2, Math.min(x - width * { start: 0, middle: 0.5, end: 1 }[align], right - width - 2));
  const at = (line) => [from, line - px, from + width, line + 3];
  const first = Math.max(top + px, Math.min(y, bottom - 3));
  const free = [0, 1, 2, 3, -1, -2].map((step) => first + step * (px + 4))
    .find((line) => line >= top + px && line <= bottom - 3 && !names.some((name) => overlap(name, at(line))));
  const line = free ?? first;
  context.strokeStyle = "#000000d9";
  context.lineWidth = 3;
  context.strokeText(text, from, line);
  context.fillStyle = "#fff";
  context.fillText(text, from, line);
  return at(line);
}

function clipped(text) {
  return text.length > 32 ? `${text.slice(0, 31)}…` : text;
}
