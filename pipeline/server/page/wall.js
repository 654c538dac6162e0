// Wall of all cameras as large as the window allows; reports which of them are visible.
import { el, setText } from "./dom.js";
import { layoutOf } from "./layout.js";
import { Tile } from "./tile.js";
import { WallOrder } from "./wall_order.js";

const CAPTION = 30;
const GAP = 2;

export class Wall {
  #tiles = new Map();
  #visible = new Set();
  #observer;
  #layers;
  #onWatch;
  #onOpen;
  #order;
  #said = el("p", { class: "unseen", role: "status" });
  #empty = null;
  #configured = [];
  #shown = "";
  #covered = false;
  #arrangedFor = "";

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
    layers.addEventListener("change", () => this.#show());
    this.#covered = element.toggleAttribute("data-cover", layers.cover);
    element.addEventListener("keydown", (event) => this.#moveFocus(event));
    element.after(this.#said);
    this.#order = new WallOrder(element, this);
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
    this.#configured = cameras.map((camera) => camera.name);
    const names = this.#order.of(this.#configured);
    const changed = names.join("\0") !== this.names.join("\0");
    if (changed) this.#rebuild(names);
    for (const camera of cameras) this.#tiles.get(camera.name).update(camera);
    if (this.#aspects().join() !== this.#arrangedFor) this.#arrange();
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
    for (const tile of this.tiles) {
      tile.element.classList.toggle("large", tile.name === name);
      tile.zoom.reset();
    }
    this.large = name;
    this.element.classList.toggle("one", name !== null);
    this.#arrange();
  }

  /** The order of the tiles: `move`, `reset`, `isSet`. */
  get order() {
    return this.#order;
  }

  /** Whether tiles can be dragged. */
  get isMovable() {
    return this.large === null && this.#tiles.size > 1;
  }

  /** Put the tiles into the user's order; `name` was moved, or null. Focus stays. */
  show(name) {
    const focused = document.activeElement;
    this.#rebuild(this.#order.of(this.#configured));
    if (this.element.contains(focused)) focused.focus();
    setText(this.#said, name === null ? "Cameras as in the configuration" : `${name}: place ${this.names.indexOf(name) + 1} of ${this.names.length}`);
    this.element.dispatchEvent(new Event("orderchange"));
  }

  tick() {
    const now = performance.now();
    for (const tile of this.tiles) tile.tick(now, this.#visible.has(tile.name));
  }

  #rebuild(names) {
    const kept = new Map();
    for (const name of names) kept.set(name, this.#tiles.get(name) ?? this.#made(name));
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

  #made(name) {
    const tile = new Tile(name, this.#layers, this.#onOpen);
    tile.stage.addEventListener("zoomchange", () => this.#onWatch());
    return tile;
  }

  #arrange() {
    const { clientWidth: width, clientHeight: height } = this.element;
    const n = this.#tiles.size;
    if (!n || this.large !== null || !width || !height) {
      if (this.large !== null) this.#onWatch();
      return;
    }
    const aspects = this.#aspects();
    this.#arrangedFor = aspects.join();
    const isPhone = matchMedia("(max-width: 44rem)").matches;
    const about = { caption: CAPTION, gap: GAP, cover: this.#layers.cover };
    const { columns, row } = (isPhone ? null : layoutOf(aspects, width - GAP, height - GAP, about)) ?? scrolling(aspects, width);
    this.element.style.setProperty("--columns", columns);
    this.element.style.setProperty("--row", `${row}px`);
    this.#onWatch();
  }

  /** Return the aspect ratios of the pictures, 16 / 9 until one is known. */
  #aspects() {
    return this.tiles.map(({ size }) => (size ? Math.round((size[0] / size[1]) * 100) / 100 : 16 / 9));
  }

  #show() {
    if (this.element.toggleAttribute("data-cover", this.#layers.cover) !== this.#covered) this.#arrange();
    this.#covered = this.#layers.cover;
    for (const tile of this.tiles) tile.paint();
  }

  #moveFocus(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.#columns, ArrowDown: this.#columns };
    const at = this.tiles.findIndex((tile) => tile.button === document.activeElement);
    if (this.large !== null || at < 0 || !(event.key in steps)) return;
    const next = this.tiles[at + steps[event.key]];
    if (next && event.shiftKey) this.#order.move(this.names[at], at + steps[event.key]);
    else if (next) next.button.focus();
    event.preventDefault();
  }

  get #columns() {
    return getComputedStyle(this.element).gridTemplateColumns.split(" ").length;
  }
}

/** Return the layout of a wall that scrolls. */
function scrolling(aspects, width) {
  const columns = Math.max(1, Math.floor(width / 340));
  const aspect = Math.max(1, [...aspects].sort((a, b) => a - b)[Math.floor(aspects.length / 2)]);
  return { columns, row: Math.round(width / columns / aspect + (columns === 1 ? 1.4 : 1) * CAPTION) };
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
