// Zoom of a large camera's picture: pinch, wheel, double tap, drag and keys.
import { el, setAttribute, setText } from "./dom.js";

const MAX = 8;
const STEP = 1.5; // of the keys
const DOUBLE_TAP_MS = 350;
const DOUBLE_TAP_PX = 30;
const DOUBLE_TAP_SCALE = 2.5;
const PAN_SHARE = 0.15; // of the stage, with an arrow key

/**
 * Return {k, x, y} moved so that a picture's stage of `across` x `down` CSS pixels stays filled: a
 * point p of the stage without zoom lies at p * k + (x, y).
 */
export function bounded({ k, x, y }, across, down) {
  const scale = Math.min(Math.max(k, 1), MAX);
  const within = (value, size) => Math.min(0, Math.max(value, size * (1 - scale)));
  return { k: scale, x: within(x, across), y: within(y, down) };
}

/** Return the zoom `k` times as large about the point (px, py) of the stage. */
export function about({ k, x, y }, times, px, py) {
  const scale = Math.min(Math.max(k * times, 1), MAX);
  const grown = scale / k;
  return { k: scale, x: px - (px - x) * grown, y: py - (py - y) * grown };
}

/** The zoom of a picture in its stage; it takes gestures while `isOn()` and calls `onChange` after each. */
export class Zoom {
  now = { k: 1, x: 0, y: 0 };
  #stage;
  #picture;
  #isOn;
  #onChange;
  #badge = el("button", { type: "button", class: "zoom", hidden: true, "aria-keyshortcuts": "0", on: { click: () => this.reset() } });
  #pointers = new Map(); // id -> [x, y] in the stage
  #tap = null; // the last one: {at, x, y}
  #moved = false;

  constructor(stage, picture, isOn, onChange) {
    stage.append(this.#badge);
    this.#stage = stage;
    this.#picture = picture;
    this.#isOn = isOn;
    this.#onChange = onChange;
    const listen = (type, act, options) => stage.addEventListener(type, (event) => isOn() && act(event), options);
    listen("wheel", (event) => this.#wheel(event), { passive: false });
    listen("pointerdown", (event) => this.#press(event));
    listen("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) stage.addEventListener(type, (event) => this.#release(event));
  }

  /** Return a view as `fit` gives it, zoomed. */
  applied(view) {
    const { k, x, y } = this.now;
    if (view === null || k === 1) return view;
    return { ...view, x: view.x * k + x, y: view.y * k + y, scale: view.scale * k, wide: view.wide * k, high: view.high * k };
  }

  /** Show the whole picture. */
  reset() {
    this.#pointers.clear();
    this.#set({ k: 1, x: 0, y: 0 });
  }

  /** Zoom in or out about the middle. */
  step(way) {
    const [across, down] = this.#size;
    this.#set(about(this.now, STEP ** way, across / 2, down / 2));
  }

  /** Show a part farther right or down, by steps. */
  pan(right, down) {
    const [width, height] = this.#size;
    const { k, x, y } = this.now;
    this.#set({ k, x: x - right * width * PAN_SHARE, y: y - down * height * PAN_SHARE });
  }

  /** Keep the stage filled after it has changed its size. */
  refit() {
    this.#set(this.now);
  }

  get #size() {
    return [this.#stage.clientWidth, this.#stage.clientHeight];
  }

  #set(zoom) {
    const before = this.now;
    this.now = bounded(zoom, ...this.#size);
    if (["k", "x", "y"].every((key) => before[key] === this.now[key])) return;
    const { k, x, y } = this.now;
    this.#picture.style.transform = k > 1 ? `translate(${x}px, ${y}px) scale(${k})` : "";
    this.#stage.toggleAttribute("data-zoomed", k > 1);
    this.#badge.hidden = k === 1;
    setText(this.#badge, `${k.toFixed(1)} ×`);
    setAttribute(this.#badge, "aria-label", `${k.toFixed(1)} × as large. Show the whole picture`);
    this.#onChange();
  }

  #where({ clientX, clientY }) {
    const { left, top } = this.#stage.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 16 : 1;
    const way = Math.max(-240, Math.min(240, event.deltaY * lines));
    this.#set(about(this.now, Math.exp(-way / 300), ...this.#where(event)));
  }

  #press(event) {
    if (event.target.closest("button:not(.open)") || (event.pointerType === "mouse" && event.button !== 0)) return;
    if (this.#pointers.size === 0) this.#moved = false;
    this.#pointers.set(event.pointerId, this.#where(event));
    // Only once something is zoomed or pinched: a click stays a click.
    if (this.now.k > 1 || this.#pointers.size > 1) this.#stage.setPointerCapture(event.pointerId);
  }

  #move(event) {
    const before = this.#pointers.get(event.pointerId);
    if (before === undefined) return;
    const at = this.#where(event);
    if (Math.hypot(at[0] - before[0], at[1] - before[1]) < 1) return;
    const other = [...this.#pointers].find(([id]) => id !== event.pointerId)?.[1];
    this.#pointers.set(event.pointerId, at);
    const { k, x, y } = this.now;
    if (other === undefined) {
      if (Math.hypot(at[0] - before[0], at[1] - before[1]) > 3) this.#moved = true;
      this.#set({ k, x: x + at[0] - before[0], y: y + at[1] - before[1] });
      return;
    }
    this.#moved = true;
    const distance = ([ax, ay]) => Math.max(1, Math.hypot(ax - other[0], ay - other[1]));
    const middle = ([ax, ay]) => [(ax + other[0]) / 2, (ay + other[1]) / 2];
    const [from, to] = [middle(before), middle(at)];
    const grown = about(this.now, distance(at) / distance(before), ...from);
    this.#set({ ...grown, x: grown.x + to[0] - from[0], y: grown.y + to[1] - from[1] });
  }

  #release(event) {
    if (!this.#pointers.delete(event.pointerId) || !this.#isOn()) return;
    if (this.#pointers.size || this.#moved || event.type === "pointercancel") return;
    const [x, y] = this.#where(event);
    const last = this.#tap;
    const isDouble = last !== null && event.timeStamp - last.at < DOUBLE_TAP_MS && Math.hypot(x - last.x, y - last.y) < DOUBLE_TAP_PX;
    this.#tap = isDouble ? null : { at: event.timeStamp, x, y };
    if (!isDouble) return;
    if (this.now.k > 1) this.reset();
    else this.#set(about(this.now, DOUBLE_TAP_SCALE, x, y));
  }
}
