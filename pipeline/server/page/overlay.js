// Drawing of boxes, labels, trails, zones and lines on the canvas over a picture.
import { colourOf } from "./colours.js";
import { arrowOf, labelOf } from "./zones.js";

const RIM = "#000000b3";
const TRAIL_MS = 3000;
const MAX_GAP_MS = 800;
const MAX_TRAIL_POINTS = 80;
const FONT = '600 PXpx system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif';

// Pairs of COCO's 17 keypoints that are joined: face, arms, trunk, legs.
const LIMBS = [
  [0, 1], [0, 2], [1, 3], [2, 4], [5, 7], [7, 9], [6, 8], [8, 10], [5, 6], [5, 11], [6, 12], [11, 12],
  [11, 13], [13, 15], [12, 14], [14, 16],
];
const MIN_KEYPOINT_SCORE = 0.5;

/** Trails: the bottom centre of each track in the last seconds, in pixels of the picture. */
export class Trails {
  #points = new Map();

  add(tracks, now) {
    for (const { id, class_name, xyxy } of tracks) {
      if (!id) continue; // no track id, no trail
      let trail = this.#points.get(id);
      // A trail is not drawn across a gap in the frames.
      if (!trail || now - trail.at.at(-1)[0] > MAX_GAP_MS) trail = { colour: colourOf(class_name), at: [] };
      trail.at.push([now, (xyxy[0] + xyxy[2]) / 2, xyxy[3]]);
      if (trail.at.length > MAX_TRAIL_POINTS) trail.at.shift();
      this.#points.set(id, trail);
    }
    for (const [id, trail] of this.#points) {
      while (trail.at.length && trail.at[0][0] < now - TRAIL_MS) trail.at.shift();
      if (!trail.at.length) this.#points.delete(id);
    }
  }

  clear() {
    this.#points.clear();
  }

  values() {
    return this.#points.values();
  }
}

/**
 * Return the offset and scale that fit a picture of `width` x `height` into a canvas of
 * `across` x `down` CSS pixels, centred, as `object-fit: contain` does for the picture's own canvas.
 */
export function fit(width, height, across, down) {
  const scale = Math.min(across / width, down / height);
  return { x: (across - width * scale) / 2, y: (down - height * scale) / 2, scale, across, down };
}

/** Paint one picture's layers. `view` is from `fit`; `ratio` is device pixels per CSS pixel. */
export function paint(context, view, ratio, scene, layers) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.lineJoin = "round";
  if (layers.zones) for (const zone of scene.zones) paintZone(context, view, zone, scene.inside);
  if (layers.trails) for (const trail of scene.trails.values()) paintTrail(context, view, trail);
  const small = view.across < 300;
  if (layers.boxes) for (const track of scene.tracks) paintMask(context, view, track);
  if (layers.boxes) for (const track of scene.tracks) paintBox(context, view, ratio, track, small);
  if (layers.boxes) for (const track of scene.tracks) paintSkeleton(context, view, track);
  if (layers.labels) for (const track of scene.tracks) paintLabel(context, view, track, small);
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

function paintLabel(context, view, track, small) {
  const px = small ? 10 : view.across > 900 ? 13 : 11;
  const [x, y, w] = boxOf(view, track.xyxy);
  // On a small picture the class name would hide the object: only the id is drawn.
  const name = small && w < 60 ? "" : clipped(track.class_name);
  const text = track.text ?? `${name} ${track.id || ""}`.trim();
  if (!text) return;
  context.font = FONT.replace("PX", px);
  context.textBaseline = "alphabetic";
  const width = context.measureText(text).width + 8;
  const height = px + 5;
  // Within the picture, and below the upper edge where there is no room above it.
  const left = Math.max(view.x, Math.min(x - 1, view.across - view.x - width));
  const above = y - view.y >= height ? y - height : y;
  const top = Math.max(view.y, Math.min(above, view.down - view.y - height));
  context.globalAlpha = track.coasting ? 0.7 : 1;
  context.fillStyle = colourOf(track.class_name);
  context.fillRect(left, top, width, height);
  context.globalAlpha = 1;
  context.fillStyle = "#0b0f0e";
  context.fillText(text, left + 4, top + px);
}

function paintTrail(context, view, trail) {
  const { x, y, scale } = view;
  context.lineWidth = 2;
  context.strokeStyle = trail.colour;
  for (let i = 1; i < trail.at.length; i += 1) {
    context.globalAlpha = 0.15 + (0.75 * i) / trail.at.length;
    context.beginPath();
    context.moveTo(x + trail.at[i - 1][1] * scale, y + trail.at[i - 1][2] * scale);
    context.lineTo(x + trail.at[i][1] * scale, y + trail.at[i][2] * scale);
    context.stroke();
  }
  context.globalAlpha = 1;
}

function paintZone(context, view, zone, inside) {
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
  paintName(context, view, `${clipped(zone.name)}${now}`, labelOf(zone.kind, points));
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

function paintName(context, view, text, { x, y, align }) {
  context.font = FONT.replace("PX", view.across < 300 ? 10 : 12);
  const width = context.measureText(text).width;
  const start = x - width * { start: 0, middle: 0.5, end: 1 }[align];
  const left = Math.max(2, Math.min(start, view.across - width - 2));
  context.strokeStyle = "#000000d9";
  context.lineWidth = 3;
  context.strokeText(text, left, y);
  context.fillStyle = "#fff";
  context.fillText(text, left, y);
}

function clipped(text) {
  return text.length > 32 ? `${text.slice(0, 31)}…` : text;
}
