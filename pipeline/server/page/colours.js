// Colours of classes: the same on every camera, in every list and after every reload.

// Twelve hues of about equal lightness: dark ink is readable on each, and each stands out with a
// dark rim on light and on dark pictures.
const PALETTE = [
  "#ffb000", "#5cc8ff", "#ff7eb6", "#7ee081", "#c9a5ff", "#ff9166",
  "#3fd9c5", "#f2e14c", "#ff8f8f", "#9db8ff", "#b6dd5a", "#e79bff",
];
// The most frequent classes get the hues that lie farthest apart.
const KNOWN = ["person", "car", "bicycle", "truck", "bus", "motorcycle", "dog", "cat", "train", "boat", "bird", "horse"];

const seen = new Map();

/** Return the colour of a class, as "#rrggbb". */
export function colourOf(className) {
  let colour = seen.get(className);
  if (colour === undefined) {
    const known = KNOWN.indexOf(className);
    colour = PALETTE[known >= 0 ? known : hash(className) % PALETTE.length];
    if (seen.size < 2000) seen.set(className, colour);
  }
  return colour;
}

/** Return the names of the classes seen so far, sorted. */
export function classesSeen() {
  return [...seen.keys()].filter((name) => name !== "").sort();
}

// FNV-1a hash: the colour of a class must not depend on the order in which classes appear.
function hash(text) {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i += 1) {
    value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  }
  return value;
}
