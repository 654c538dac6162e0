// One camera: its picture, what is drawn over it, and the line of figures below.
import { el, mark, say } from "./dom.js";
import { rescaled } from "./areas.js";
import { Trails, fit, paint } from "./painting.js";
import { againText, age, ageLevel, count, span, stateText, time } from "./words.js";

const GONE = new Set(["lost", "ended"]);

export class Tile {
  #picture = el("canvas", { class: "picture", "aria-hidden": "true" });
  #overlay = el("canvas", { class: "overlay", "aria-hidden": "true" });
  #veil = el("div", { class: "veil", hidden: true });
  #lamp = el("span", { class: "lamp" });
  #state = el("span", { class: "state" });
  #tracks = el("span", { class: "figure tracks" });
  #fps = el("span", { class: "figure fps", title: "Pictures analysed, of those that arrive" });
  #age = el("span", { class: "figure age", title: "Age of the picture" });
  #layers;
  #header = null;
  #drawnAt = 0;
  #worstAge = 0;
  #toldAt = 0;
  #trails = new Trails();
  #areas = [];
  #areasSize = null;
  #inside = {};
  #ratio = 1;

  constructor(name, layers, onOpen) {
    this.name = name;
    this.camera = null;
    this.#layers = layers;
    this.button = el("button", { type: "button", class: "open", "aria-label": `Show ${name} large`, on: { click: () => onOpen(name) } });
    this.stage = el("div", { class: "stage" }, this.#picture, this.#overlay, this.#veil, this.button);
    this.tools = el("div", { class: "large-tools" });
    const caption = el(
      "div", { class: "caption" },
      this.#lamp, el("span", { class: "name", title: name }, name), this.#state, this.#tracks, this.#fps, this.#age,
    );
    this.element = el("article", { class: "tile", "aria-label": name, data: { camera: name, state: "connecting" } }, this.tools, this.stage, caption);
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.stage);
  }

  /** Return the width and height of the camera's picture, or null before the first. */
  get size() {
    if (this.#header) return [this.#header.width, this.#header.height];
    return this.camera?.width ? [this.camera.width, this.camera.height] : null;
  }

  /** Return where the picture lies in the stage, in CSS pixels, or null before the first. */
  get view() {
    return this.size && fit(...this.size, this.stage.clientWidth, this.stage.clientHeight);
  }

  /** Return how wide the picture is on the page, in CSS pixels. */
  get pictureWidth() {
    return this.size ? this.size[0] * this.view.scale : this.stage.clientWidth;
  }

  /** Take a decoded picture with its boxes: both are shown in the same instant. */
  show(header, bitmap) {
    const canvas = this.#picture;
    // Setting the size clears a canvas; the new picture follows before anything is shown.
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    const other = this.#header && (this.#header.width !== header.width || this.#header.height !== header.height);
    if (other) this.#trails.clear();
    this.#header = header;
    if (other) this.stage.dispatchEvent(new Event("othersize"));
    this.#drawnAt = performance.now();
    this.#worstAge = Math.max(this.#worstAge, header.age_ms);
    this.#trails.add(header.tracks, this.#drawnAt);
    this.element.dataset.shown = header.index;
    this.paint();
  }

  /** Take the camera's state; boxes of a camera that is gone claim nothing any more. */
  update(camera) {
    const came = this.camera?.state;
    this.camera = camera;
    this.#toldAt = performance.now();
    this.element.dataset.state = camera.state;
    this.#lamp.dataset.state = camera.state;
    const gone = GONE.has(camera.state);
    say(this.#state, stateText(camera.state));
    const tracks = camera.tracks === null ? "–" : count(camera.tracks, "track");
    say(this.#tracks, tracks);
    const arriving = (camera.fps ?? 0).toFixed(1);
    const analysed = (camera.analysed_fps ?? camera.fps ?? 0).toFixed(1);
    say(this.#fps, analysed === arriving ? `${arriving} fps` : `${analysed} of ${arriving} fps`);
    mark(this.#fps, "data-level", Number(analysed) < 0.9 * Number(arriving) ? "warn" : null);
    this.#tell(camera);
    mark(this.button, "aria-label", `Show ${this.name} large. ${stateText(camera.state)}, ${tracks}`);
    if (gone && came !== camera.state) {
      this.#trails.clear();
      this.paint();
    }
  }

  areas(areas, size) {
    this.#areas = areas;
    this.#areasSize = size;
    this.paint();
  }

  inside(inside) {
    this.#inside = inside;
  }

  /** Write how old the picture is that is seen now; called a few times a second. */
  tick(now, watched) {
    const camera = this.camera;
    let ms = camera?.age_ms?.now ?? NaN;
    if (watched && this.#header) {
      const since = now - this.#drawnAt;
      ms = since > 700 ? this.#header.age_ms + since : this.#worstAge;
      this.#worstAge = since > 700 ? 0 : this.#header.age_ms;
    }
    if (camera && GONE.has(camera.state)) {
      say(this.#age, span(Date.now() / 1000 - camera.since));
      mark(this.#age, "data-level", camera.state === "lost" ? "bad" : null);
      this.#tell(camera);
      return;
    }
    say(this.#age, age(ms));
    mark(this.#age, "data-level", ageLevel(ms) || (camera?.warning ? "warn" : null));
  }

  close() {
    this.sizes.disconnect();
    this.element.remove();
    this.#picture.width = this.#overlay.width = 0; // gives the memory back now, not some day
  }

  paint() {
    const canvas = this.#overlay;
    const view = this.view;
    if (!view || !canvas.width) return;
    const gone = this.camera && GONE.has(this.camera.state);
    const hidden = this.element.hasAttribute("data-editing"); // the editor draws its own
    paint(canvas.getContext("2d"), view, this.#ratio, {
      tracks: gone || !this.#header ? [] : this.#header.tracks,
      trails: this.#trails,
      areas: hidden ? [] : rescaled(this.#areas, this.#areasSize, this.size),
      inside: gone ? {} : this.#inside,
    }, this.#layers);
  }

  #resize() {
    const { clientWidth, clientHeight } = this.stage;
    this.#ratio = Math.min(devicePixelRatio || 1, 3);
    const [width, height] = [Math.round(clientWidth * this.#ratio), Math.round(clientHeight * this.#ratio)];
    if (this.#overlay.width === width && this.#overlay.height === height) return;
    this.#overlay.width = width;
    this.#overlay.height = height;
    this.paint();
  }

  #tell(camera) {
    const [title, text] = trouble(camera, this.#header !== null);
    this.#veil.hidden = title === "" && text === "";
    if (this.#veil.hidden) return;
    if (this.#veil.childElementCount === 0) this.#veil.append(el("b"), el("span"), el("span", { class: "again" }));
    this.#veil.children[0].hidden = title === "";
    say(this.#veil.children[0], title);
    say(this.#veil.children[1], text);
    // By this page's own clock from what the server said last: theirs may differ by minutes.
    const since = (performance.now() - this.#toldAt) / 1000;
    const again = camera.state === "lost" ? againText((camera.next_try_in_s ?? NaN) - since) : "";
    this.#veil.children[2].hidden = again === "";
    say(this.#veil.children[2], again);
  }
}

/** Return the title and the text that lie over the picture; both empty where all is well. */
function trouble({ state, since, error, warning, reconnects }, seen) {
  const text = error ?? "";
  if (state === "lost") {
    const tries = reconnects ? ` Came back ${count(reconnects, "time")} before.` : "";
    return [`Lost since ${time(since)}`, text || `Trying again by itself.${tries}`];
  }
  if (state === "ended") return [`Ended at ${time(since)}`, text || "The source has no more pictures."];
  if (state === "stale") return [`No new picture since ${time(since)}`, text || "The camera is connected but silent."];
  if (state === "connecting") return ["Connecting", text || (seen ? "" : "No picture yet.")];
  return ["", warning ?? ""];
}
