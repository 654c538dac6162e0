// Drawing of zones and lines over a picture: points set and moved by mouse, touch and keyboard.
import { MAX_POINTS, MIN_POINTS } from "./zones.js";
import { zoneElements } from "./zone_svg.js";
import { svg } from "./dom.js";

const CLOSE_PX = 14;
const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Editable zones and lines over a tile. Events: "begin" before a change (for undo), "change",
 * "choose", "point", "finish" (a new zone has enough points) and "cancel" (drawing was cancelled).
 */
export class ZoneDrawing extends EventTarget {
  zones = [];
  chosen = -1;
  drawing = null; // {kind, points} while a new zone is being drawn
  #tile;
  #drag = null;
  #pressed = null; // where the pointer went down while drawing, in CSS pixels
  #aim = null; // where the next point would be, in CSS pixels
  #sizes;

  constructor(tile) {
    super();
    this.#tile = tile;
    this.root = svg("svg", { class: "draft", tabindex: "0", role: "application", "aria-label": "Zones and lines on the picture" });
    tile.stage.append(this.root);
    this.#sizes = new ResizeObserver(() => this.render());
    this.#sizes.observe(this.root);
    this.root.addEventListener("pointerdown", (event) => this.#press(event));
    this.root.addEventListener("pointermove", (event) => this.#move(event));
    this.root.addEventListener("pointerup", (event) => this.#release(event));
    this.root.addEventListener("pointercancel", () => this.#release());
    this.root.addEventListener("dblclick", () => this.drawing && this.finish());
    this.root.addEventListener("keydown", (event) => this.#key(event));
  }

  close() {
    this.#sizes.disconnect();
    this.root.remove();
  }

  draw(kind) {
    this.drawing = { kind, points: [] };
    this.chosen = -1;
    this.#aim = null;
    this.root.focus();
    this.render();
  }

  /** End drawing; with enough points a new zone or line is added. */
  finish() {
    const { kind, points } = this.drawing;
    this.drawing = null;
    this.#emit(points.length >= MIN_POINTS[kind] ? "finish" : "cancel", { kind, points });
  }

  cancel() {
    this.drawing = null;
    this.#emit("cancel");
  }

  render() {
    const view = this.#tile.view;
    if (!view) return;
    const focused = document.activeElement?.closest?.(".draft .grip")?.dataset.point;
    this.root.classList.toggle("drawing", this.drawing !== null);
    this.root.replaceChildren(...zoneElements(this, view, this.#aim));
    if (focused !== undefined) this.#focusPoint(Number(focused));
  }

  #press(event) {
    if (event.button !== 0) return;
    const at = this.#where(event);
    const { point, between, zone } = event.target.dataset;
    event.preventDefault(); // no text selection; the focus is set below
    this.root.setPointerCapture(event.pointerId);
    this.root.focus({ preventScroll: true });
    this.#pressed = this.drawing ? at : null;
    if (this.drawing) this.#addPoint(at);
    else if (point !== undefined) this.#begin({ kind: "point", index: Number(point) });
    else if (between !== undefined) this.#insert(Number(between));
    else if (zone !== undefined) this.#choose(Number(zone), at);
    else this.#choose(-1, at);
    if (point !== undefined) this.#focusPoint(Number(point));
  }

  #move(event) {
    const at = this.#where(event);
    if (this.drawing) {
      this.#aim = at;
      this.render();
    } else if (this.#drag?.kind === "point") {
      this.#change(() => { this.#points[this.#drag.index] = this.#picturePoint(at); });
    } else if (this.#drag?.kind === "zone") {
      const [dx, dy] = this.#picturePoint(at, false).map((value, k) => value - this.#drag.from[k]);
      this.#change(() => { this.zones[this.chosen].points = this.#shifted(this.#drag.points, dx, dy); });
    }
  }

  /** While drawing, a drag sets its end point too: a line is drawn in one go. */
  #release(event) {
    if (this.drawing && this.#pressed && event) {
      const at = this.#where(event);
      if (Math.hypot(at[0] - this.#pressed[0], at[1] - this.#pressed[1]) >= CLOSE_PX) this.#addPoint(at);
    }
    this.#pressed = null;
    this.#drag = null;
  }

  #begin(drag) {
    this.#drag = { ...drag, begun: false };
  }

  #change(change) {
    if (!this.#drag || !this.#drag.begun) this.#emit("begin");
    if (this.#drag) this.#drag.begun = true;
    change();
    this.#emit("change");
    this.render();
  }

  #choose(index, at) {
    const already = index === this.chosen;
    this.chosen = index;
    if (!already) this.#emit("choose");
    else if (index >= 0) this.#begin({ kind: "zone", from: this.#picturePoint(at, false), points: this.#points });
    this.render();
  }

  #insert(index) {
    if (this.#points.length >= MAX_POINTS) return;
    const [[x1, y1], [x2, y2]] = [this.#points[index], this.#points[(index + 1) % this.#points.length]];
    this.#change(() => this.#points.splice(index + 1, 0, [(x1 + x2) / 2, (y1 + y2) / 2]));
    this.#drag = { kind: "point", index: index + 1, begun: true };
    this.#focusPoint(index + 1);
  }

  #remove(index) {
    if (this.#points.length <= MIN_POINTS[this.zones[this.chosen].kind]) return;
    this.#change(() => this.#points.splice(index, 1));
    this.#focusPoint(Math.min(index, this.#points.length - 1));
  }

  #addPoint(at) {
    const { kind, points } = this.drawing;
    const near = (point) => point && Math.hypot(...this.#cssPoint(point).map((value, k) => value - at[k])) < CLOSE_PX;
    if (kind !== "line" && points.length >= 3 && near(points[0])) return this.finish();
    if (near(points.at(-1)) || points.length >= MAX_POINTS) return;
    points.push(this.#picturePoint(at));
    if (kind === "line" && points.length === 2) return this.finish(); // it is bent afterwards
    this.#emit("point");
    this.render();
  }

  #key(event) {
    const grip = event.target.closest(".grip");
    const px = event.shiftKey ? 20 : 4;
    const step = STEPS[event.key]?.map((value) => value * px);
    if (this.drawing) this.#drawingKey(event, step);
    else if (grip) this.#gripKey(event, Number(grip.dataset.point), step);
    if (event.defaultPrevented) event.stopPropagation();
  }

  #drawingKey(event, step) {
    const view = this.#tile.view;
    if (step) {
      const [x, y] = this.#aim ?? [view.across / 2, view.down / 2];
      this.#aim = [Math.min(view.across, Math.max(0, x + step[0])), Math.min(view.down, Math.max(0, y + step[1]))];
    } else if (event.key === " ") this.#addPoint((this.#aim ??= [view.across / 2, view.down / 2]));
    else if (event.key === "Backspace") this.drawing.points.pop();
    else if (event.key === "Enter") this.finish();
    else if (event.key === "Escape") this.cancel();
    else return;
    event.preventDefault();
    this.render();
  }

  #gripKey(event, index, step) {
    if (step) {
      const [x, y] = this.#cssPoint(this.#points[index]);
      this.#change(() => { this.#points[index] = this.#picturePoint([x + step[0] / 2, y + step[1] / 2]); });
    } else if (event.key === "Delete" || event.key === "Backspace") this.#remove(index);
    else if (event.key === "Insert" || event.key === "+") {
      this.#insert(Math.min(index, this.#points.length - (this.zones[this.chosen].kind === "line" ? 2 : 1)));
      this.#drag = null;
    } else return;
    event.preventDefault();
  }

  get #points() {
    return this.zones[this.chosen].points;
  }

  #focusPoint(index) {
    this.root.querySelector(`.grip[data-point="${index}"]`)?.focus({ preventScroll: true });
  }

  #where({ clientX, clientY }) {
    const { left, top } = this.root.getBoundingClientRect();
    return [clientX - left, clientY - top];
  }

  #cssPoint([x, y]) {
    const view = this.#tile.view;
    return [view.x + x * view.scale, view.y + y * view.scale];
  }

  #picturePoint([x, y], inside = true) {
    const view = this.#tile.view;
    const point = [(x - view.x) / view.scale, (y - view.y) / view.scale];
    return inside ? point.map((value, k) => Math.min(this.#tile.size[k], Math.max(0, value))) : point;
  }

  /** Return points moved together, limited to the picture. */
  #shifted(points, ...by) {
    const [dx, dy] = by.map((value, k) => {
      const along = points.map((point) => point[k]);
      return Math.min(this.#tile.size[k] - Math.max(...along), Math.max(-Math.min(...along), value));
    });
    return points.map(([x, y]) => [x + dx, y + dy]);
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
