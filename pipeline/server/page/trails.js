// Trails of tracks: where they were in the last seconds, as smooth lines that fade.
import { colourOf } from "./colours.js";

const TRAIL_MS = 3000;
const MAX_GAP_MS = 800;
const MAX_POINTS = 80;
const SMOOTHED_OVER = 2; // points before and after one, averaged with it

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
      if (trail.at.length > MAX_POINTS) trail.at.shift();
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

/** Return [x, y] points averaged with their neighbours; both ends stay where they are. */
export function smoothed(points) {
  return points.map((point, i) => {
    const reach = Math.min(SMOOTHED_OVER, i, points.length - 1 - i);
    const near = points.slice(i - reach, i + reach + 1);
    return [0, 1].map((k) => near.reduce((sum, one) => sum + one[k], 0) / near.length);
  });
}

/** Paint one trail; the offset and scale are those of `fit`. */
export function paintTrail(context, { x, y, scale }, { colour, at }) {
  const points = smoothed(at.map(([, px, py]) => [x + px * scale, y + py * scale]));
  const middle = (i) => [0, 1].map((k) => (points[i - 1][k] + points[i][k]) / 2);
  context.lineWidth = 2;
  context.strokeStyle = colour;
  // From the middle of one piece to that of the next, bent at the point between them.
  for (let i = 1; i < points.length; i += 1) {
    context.globalAlpha = 0.15 + (0.75 * i) / points.length;
    context.beginPath();
    context.moveTo(...(i === 1 ? points[0] : middle(i - 1)));
    context.quadraticCurveTo(...points[i - 1], ...middle(i));
    if (i === points.length - 1) context.lineTo(...points[i]);
    context.stroke();
  }
  context.globalAlpha = 1;
}
