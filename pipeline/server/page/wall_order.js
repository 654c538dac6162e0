// Order of the tiles as the user has put them: dragged by their captions, moved by keys, stored.
import { load, save } from "./settings.js";

const KEY = "trackline.order";
const START_PX = 6;
const HOLD_MS = 400; // a finger that stays drags; one that moves at once scrolls

/** Return `names` in the stored order; those that are not in it come behind, as they are. */
export function ordered(names, order) {
  const known = order.filter((name) => names.includes(name));
  return [...known, ...names.filter((name) => !known.includes(name))];
}

/** Return `names` with one of them at another place. */
export function moved(names, name, place) {
  const others = names.filter((one) => one !== name);
  const at = Math.min(Math.max(place, 0), others.length);
  return [...others.slice(0, at), name, ...others.slice(at)];
}

export class WallOrder {
  #names;
  #drag = null; // {tile, id, x, y, hold}
  #element;
  #wall;

  /** `wall` is {names, isMovable, show(names, name)}: show puts the tiles into an order. */
  constructor(element, wall) {
    this.#element = element;
    this.#wall = wall;
    this.#names = stored();
    element.addEventListener("pointerdown", (event) => this.#press(event));
    element.addEventListener("pointermove", (event) => this.#move(event));
    for (const type of ["pointerup", "pointercancel"]) element.addEventListener(type, () => this.#drop());
    // A finger that drags must not scroll the wall too.
    element.addEventListener("touchmove", (event) => this.#isDragging && event.preventDefault(), { passive: false });
  }

  get isSet() {
    return this.#names.length > 0;
  }

  /** Return cameras' names in the user's order. */
  of(names) {
    return ordered(names, this.#names);
  }

  /** Move a camera to another place. */
  move(name, place) {
    const names = moved(this.#wall.names, name, place);
    if (names.join("\0") === this.#wall.names.join("\0")) return;
    this.#names = names;
    save(KEY, JSON.stringify(names));
    this.#wall.show(name);
  }

  /** Forget the order: the cameras stand as in the configuration again. */
  reset() {
    this.#names = [];
    save(KEY, "");
    this.#wall.show(null);
  }

  get #isDragging() {
    return this.#drag?.tile.hasAttribute("data-dragged") ?? false;
  }

  #press(event) {
    const caption = event.target.closest?.(".caption");
    if (!caption || event.button !== 0 || !this.#wall.isMovable) return;
    const drag = { tile: caption.closest(".tile"), id: event.pointerId, x: event.clientX, y: event.clientY, hold: 0 };
    if (event.pointerType === "touch") drag.hold = setTimeout(() => this.#begin(), HOLD_MS);
    else event.preventDefault(); // no text selection
    this.#drag = drag;
  }

  #begin() {
    this.#drag.tile.dataset.dragged = "";
    this.#element.setPointerCapture(this.#drag.id);
    navigator.vibrate?.(10);
  }

  #move(event) {
    const drag = this.#drag;
    if (drag === null || event.pointerId !== drag.id) return;
    if (!this.#isDragging) {
      if (Math.hypot(event.clientX - drag.x, event.clientY - drag.y) < START_PX) return;
      if (event.pointerType === "touch") { // it scrolls
        this.#drop();
        return;
      }
      this.#begin();
    }
    const under = document.elementsFromPoint(event.clientX, event.clientY).map((one) => one.closest(".tile")).find((one) => one);
    const name = under?.dataset.camera;
    if (name === undefined || under === drag.tile) return;
    this.move(drag.tile.dataset.camera, this.#wall.names.indexOf(name));
  }

  #drop() {
    if (this.#drag === null) return;
    clearTimeout(this.#drag.hold);
    delete this.#drag.tile.dataset.dragged;
    this.#drag = null;
  }
}

function stored() {
  try {
    const names = JSON.parse(load(KEY) || "[]");
    return Array.isArray(names) ? names.filter((name) => typeof name === "string") : [];
  } catch {
    return [];
  }
}
