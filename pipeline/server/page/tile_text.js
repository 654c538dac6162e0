// What a tile says: the objects that are there now, and what its zones and lines count, and what
// is wrong with the camera.
import { count, time } from "./format.js";

const IRREGULAR = {
  person: "people", people: "people", man: "men", woman: "women", child: "children", policeman: "policemen",
  sheep: "sheep", deer: "deer", fish: "fish", skis: "skis", scissors: "scissors", broccoli: "broccoli",
  mouse: "mice", knife: "knives", leaf: "leaves", goose: "geese", tooth: "teeth", aircraft: "aircraft",
};
const STEADY_MS = 1000; // objects missed for a frame or two are not taken off the line
const MAX_CLASSES = 3;
const MAX_AREAS = 2;

/** Return a class name for `n` objects: "person", "people"; a name of several words by its last. */
export function plural(name, n) {
  if (n === 1) return name;
  const [, before, last] = /^(.*?)([^ _-]*)$/.exec(name);
  const word = last.toLowerCase();
  if (Object.hasOwn(IRREGULAR, word)) return before + IRREGULAR[word];
  if (/(s|x|z|ch|sh)$/.test(word)) return `${name}es`;
  return /[^aeiou]y$/.test(word) ? `${name.slice(0, -1)}ies` : `${name}s`;
}

/** Return Map class -> number as text, the most frequent first: "3 people, 1 car". */
export function objectsText(counts) {
  const all = [...counts].filter(([, n]) => n > 0).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
  const texts = all.slice(0, MAX_CLASSES).map(([name, n]) => `${n} ${plural(name || "object", n)}`);
  const rest = all.slice(MAX_CLASSES).reduce((sum, [, n]) => sum + n, 0);
  return [...texts, ...(rest ? [`${rest} more`] : [])].join(", ");
}

/** The objects seen in the last second, by class: the most that a picture showed at once. */
export class RecentObjects {
  #seen = []; // [time, Map class -> number]

  add(tracks, now) {
    const counts = new Map();
    for (const { class_name } of tracks) counts.set(class_name, (counts.get(class_name) ?? 0) + 1);
    this.#seen = this.#seen.filter(([at]) => at > now - STEADY_MS);
    this.#seen.push([now, counts]);
  }

  clear() {
    this.#seen = [];
  }

  /** Return Map class -> number. */
  get counts() {
    const most = new Map();
    for (const [, counts] of this.#seen) for (const [name, n] of counts) most.set(name, Math.max(n, most.get(name) ?? 0));
    return most;
  }
}

/** Counts of a camera's zones and lines; the two that changed last are what a tile says. */
export class RecentAreas {
  #lines = new Map(); // name -> {in, out}
  #inside = {};
  #changed = new Map(); // name -> when it changed, by a running number
  #number = 0;

  /** Take the lines' counts: Map name -> {in, out}. A line gone from them is forgotten. */
  lines(lines) {
    for (const [name, n] of lines) {
      const before = this.#lines.get(name);
      if (before && (before.in !== n.in || before.out !== n.out)) this.#touch(name);
    }
    this.#lines = lines;
  }

  /** Take how many are in each zone now, {zone: n or null}. */
  inside(inside) {
    for (const [name, n] of Object.entries(inside)) {
      if ((this.#inside[name] ?? 0) !== (n ?? 0)) this.#touch(name);
    }
    this.#inside = inside;
  }

  /** Return "gate 12 in, 3 out · yard 2 inside"; "" where nothing was counted. */
  get text() {
    const lines = [...this.#lines].filter(([, n]) => n.in || n.out);
    const zones = Object.entries(this.#inside).filter(([, n]) => n);
    const texts = [
      ...lines.map(([name, n]) => [name, `${name} ${[n.in && `${n.in} in`, n.out && `${n.out} out`].filter(Boolean).join(", ")}`]),
      ...zones.map(([name, n]) => [name, `${name} ${n} inside`]),
    ];
    texts.sort(([one], [other]) => (this.#changed.get(other) ?? 0) - (this.#changed.get(one) ?? 0));
    return texts.slice(0, MAX_AREAS).map(([, text]) => text).join(" · ");
  }

  #touch(name) {
    this.#changed.set(name, (this.#number += 1));
  }
}

/** Return Map camera -> Map line -> {in, out} of the server's counts. */
export function linesOf(counts) {
  const cameras = new Map();
  for (const { camera, area, kind, direction, count } of counts) {
    if (kind !== "cross") continue;
    if (!cameras.has(camera)) cameras.set(camera, new Map());
    const lines = cameras.get(camera);
    const line = lines.get(area) ?? { in: 0, out: 0 };
    line[direction] = (line[direction] ?? 0) + count;
    lines.set(area, line);
  }
  return cameras;
}

/** Return title and text to show over the picture, both empty without a problem; `seen`: there is a picture. */
export function problemText({ name, state, since, error, warning, reconnects }, seen) {
  const text = (error ?? "").replace(`source ${name}: `, ""); // the tile says whose it is
  if (state === "lost") {
    const tries = reconnects ? ` Came back ${count(reconnects, "time")} before.` : "";
    return [`Lost since ${time(since)}`, text || `Trying again by itself.${tries}`];
  }
  if (state === "ended") return [`Ended at ${time(since)}`, text || "The source has no more pictures."];
  if (state === "stale") return [`No new picture since ${time(since)}`, text || "The camera is connected but silent."];
  if (state === "connecting") return ["Connecting", text || (seen ? "" : "No picture yet.")];
  return ["", warning ?? ""];
}
