// Wall of all cameras as large as the window allows; reports which of them are visible.
import { el } from "./dom.js";
import { Tile } from "./tile.js";

const CAPTION = 30;
const GAP = 2;
const MIN_WIDTH = 230;

export class Wall {
  #tiles = new Map();
  #visible = new Set();
  #observer;
  #layers;
  #onWatch;
  #onOpen;
  #empty = null;
  #shown = "";
  #arrangedFor = 16 / 9;

  /** `onWatch` is called when the visible cameras or their sizes change. */
  constructor(element, layers, { onWatch, onOpen }) {
    this.element = element;
    this.large = null;
    this.#layers = layers;
    this.#onWatch = onWatch;
    this.#onOpen = onOpen;
    this.#observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (isIntersecting) this.#visible.add(target.dataset.camera);
        else this.#visible.delete(target.dataset.camera);
      }
      this.#onWatch();
    }, { root: null });
    new ResizeObserver(() => this.#arrange()).observe(element);
    layers.addEventListener("change", () => this.tiles.forEach((tile) => tile.paint()));
    element.addEventListener("keydown", (event) => this.#moveFocus(event));
  }

  get tiles() {
    return [...this.#tiles.values()];
  }

  get names() {
    return [...this.#tiles.keys()];
  }

  tile(name) {
    return this.#tiles.get(name);
  }

  /** Return the names of the cameras on the screen and how wide they are, in device pixels. */
  get watched() {
    const names = this.names.filter((name) => this.#visible.has(name));
    const widest = Math.max(0, ...names.map((name) => this.#tiles.get(name).pictureWidth));
    // In steps, so that resizing the window does not request a new size for each pixel.
    const width = Math.ceil((widest * Math.min(devicePixelRatio || 1, 2)) / 160) * 160;
    return { names, width: Math.min(width, 1920) };
  }

  /** Update all cameras, in this order; return whether one was added, removed or moved. */
  update(cameras, hint, about) {
    const names = cameras.map((camera) => camera.name);
    const changed = names.join("\0") !== this.names.join("\0");
    if (changed) this.#rebuild(names);
    for (const camera of cameras) this.#tiles.get(camera.name).update(camera);
    if (Math.abs(this.#aspect() / this.#arrangedFor - 1) > 0.05) this.#arrange();
    const shown = names.length ? "" : `none ${about}`;
    if (shown !== this.#shown) { // not each second: a button in it may have the focus
      this.#shown = shown;
      if (this.#empty) this.#empty.remove();
      this.#empty = names.length ? null : hint();
      if (this.#empty) this.element.append(this.#empty);
    }
    return changed;
  }

  /** Show one camera large, or the wall again for null. */
  enlarge(name) {
    for (const tile of this.tiles) tile.element.classList.toggle("large", tile.name === name);
    this.large = name;
    this.element.classList.toggle("one", name !== null);
    this.#arrange();
  }

  tick() {
    const now = performance.now();
    for (const tile of this.tiles) tile.tick(now, this.#visible.has(tile.name));
  }

  #rebuild(names) {
    const kept = new Map();
    for (const name of names) kept.set(name, this.#tiles.get(name) ?? new Tile(name, this.#layers, this.#onOpen));
    for (const [name, tile] of this.#tiles) {
      if (kept.has(name)) continue;
      this.#observer.unobserve(tile.element);
      this.#visible.delete(name);
      tile.close();
    }
    // Only elements out of order are moved: a moved element loses the keyboard focus.
    let before = null;
    for (const [name, tile] of kept) {
      const place = before === null ? this.element.firstElementChild : before.nextElementSibling;
      if (place !== tile.element) this.element.insertBefore(tile.element, place);
      if (!this.#tiles.has(name)) this.#observer.observe(tile.element);
      before = tile.element;
    }
    this.#tiles = kept;
    this.#arrange();
  }

  #arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const n = this.#tiles.size;
    if (!n || this.large !== null || !width || !height) {
      if (this.large !== null) this.#onWatch();
      return;
    }
    this.#arrangedFor = this.#aspect();
    const style = this.element.style;
    const columns = matchMedia("(max-width: 44rem)").matches ? 0 : bestColumns(n, width - GAP, height - GAP, this.#arrangedFor);
    if (columns) {
      const rows = Math.ceil(n / columns);
      style.setProperty("--columns", columns);
      // No higher than the pictures need: spare room stays below, not between them.
      const needed = Math.ceil(((width - GAP) / columns - GAP) / this.#arrangedFor) + CAPTION;
      style.setProperty("--row", `${Math.min(needed, Math.floor((height - GAP) / rows) - GAP)}px`);
    } else {
      const across = Math.max(1, Math.floor(width / 340));
      style.setProperty("--columns", across);
      style.setProperty("--row", `${Math.round(((width / across) * 9) / 16 + (across === 1 ? 1.4 : 1) * CAPTION)}px`);
    }
    this.#onWatch();
  }

  /** Return the median aspect ratio of the pictures. */
  #aspect() {
    const known = this.tiles.filter((tile) => tile.size).map((tile) => tile.size[0] / tile.size[1]);
    return known.length ? known.sort((a, b) => a - b)[Math.floor(known.length / 2)] : 16 / 9;
  }

  #moveFocus(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns };
    const at = this.tiles.findIndex((tile) => tile.button === document.activeElement);
    if (this.large !== null || at < 0 || !(event.key in steps)) return;
    const next = this.tiles[at + steps[event.key]];
    if (next) next.button.focus();
    event.preventDefault();
  }

  get #columns() {
    return getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
  }
}

/** Return how many columns make the pictures largest without scrolling; 0 where none does. */
function bestColumns(n, width, height, aspect) {
  let best = 0;
  let widest = MIN_WIDTH;
  for (let columns = 1; columns <= n; columns += 1) {
    const across = width / columns - GAP;
    const down = height / Math.ceil(n / columns) - GAP - CAPTION;
    const picture = Math.min(across, down * aspect);
    if (picture > widest) [widest, best] = [picture, columns];
  }
  return best;
}

/** Return the element shown while there is no camera. */
export function noCameras(path, fixed, add) {
  const file = path ? `the configuration ${path}` : "a configuration file (trackline live -c FILE)";
  return el(
    "div", { class: "empty" },
    el("b", {}, "No cameras yet"),
    fixed === null ? el("p", {}, el("button", { type: "button", class: "strong", on: { click: add } }, "Add a camera")) : null,
    el("p", {}, `${fixed === null ? "Or write" : "Write"} one into ${file} and save it; this page shows it by itself.`),
    el("pre", { tabindex: "0" }, "sources:\n  - kind: stream\n    name: front-door\n    url: rtsp://user:${CAMERA_PASSWORD}@192.168.1.20/stream"),
    el("p", {}, "Or try it with ", el("a", { class: "button", href: "pictures.html" }, "photos and short videos"), "."),
  );
}
