// Places of labels beside their boxes: never over one another, never outside the picture.

const GAP = 1;
const BACK = 8;
const KEPT = 1.3; // a label that is shown stays before one that is not and hardly larger
const PLACES = ["above", "aboveRight", "below", "belowRight", "inside", "insideBottom"];

/**
 * Return where labels go: Map key -> {left, top, place, spot}; one without room is left out.
 * `labels` are {key, box: [x, y, width, height], width, height, weight}, heavier ones first;
 * `area` is [left, top, right, bottom], where they may be; `taken` are rectangles of the same form
 * that stay free. `before` is the answer for the picture before: labels keep their place while they
 * can, so that they do not jump.
 */
export function placeLabels(labels, area, taken = [], before = new Map()) {
  const placed = new Map();
  const used = [...taken];
  const keys = new Set(labels.map(({ key }) => key));
  const kept = [...before].filter(([key]) => keys.has(key));
  const weight = ({ key, weight: own }) => own * (before.has(key) ? KEPT : 1);
  for (const label of [...labels].sort((one, other) => weight(other) - weight(one))) {
    if (!overlap(edgesOf(label.box), area)) continue; // the object itself is outside of it
    const last = before.get(label.key)?.place ?? PLACES[0];
    const isFree = (spot, room) => spot !== null && !used.some((one) => overlap(one, spot, room));
    // Back to the first place once there is more than just room for it, also beside the labels to come.
    const best = spotOf(PLACES[0], label, area);
    const isBetter = isFree(best, BACK) && !kept.some(([key, { spot }]) => key !== label.key && overlap(spot, best, BACK));
    const first = isBetter ? PLACES[0] : last;
    for (const place of [first, ...PLACES.filter((one) => one !== first)]) {
      const spot = spotOf(place, label, area);
      if (!isFree(spot, GAP)) continue;
      used.push(spot);
      placed.set(label.key, { left: spot[0], top: spot[1], place, spot });
      break;
    }
  }
  return placed;
}

/** Return the rectangle of a label at a place, moved sideways into the area; null where it does not fit. */
function spotOf(place, { box: [x, y, w, h], width, height }, [left, top, right, bottom]) {
  const across = place.endsWith("Right") ? x + w + 1 - width : x - 1;
  const down = {
    above: y - height, aboveRight: y - height, below: y + h, belowRight: y + h,
    inside: Math.max(y + 2, top), insideBottom: Math.min(y + h - 2, bottom) - height,
  }[place];
  if (right - left < width || down < top || down + height > bottom) return null;
  const from = Math.min(Math.max(across, left), right - width);
  return [from, down, from + width, down + height];
}

function edgesOf([x, y, w, h]) {
  return [x, y, x + w, y + h];
}

/** Return whether two rectangles [left, top, right, bottom] are nearer than `gap`. */
export function overlap([a, b, c, d], [e, f, g, h], gap = GAP) {
  return a < g + gap && e < c + gap && b < h + gap && f < d + gap;
}
