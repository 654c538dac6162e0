// Tile of one camera: its picture, the overlay, and a caption that says what is there now.
import { el, setAttribute, setText } from "./dom.js";
import { cameraPath, fetchJson } from "./api.js";
import { rescaled } from "./zones.js";
import { fit, paint } from "./overlay.js";
import { Zoom } from "./zoom.js";
import { Trails } from "./trails.js";
import { age, ageLevel, isLagging, isSeen, rateText, retryText, span, stateText } from "./format.js";
import { RecentAreas, RecentObjects, objectsText, problemText } from "./tile_text.js";

const GONE = new Set(["lost", "ended"]);

export class Tile {
  #picture = el("canvas", { class: "picture", "aria-hidden": "true" });
  #overlay = el("canvas", { class: "overlay", "aria-hidden": "true" });
  #veil = el("div", { class: "veil", hidden: true });
  #lamp = el("span", { class: "lamp" });
  #state = el("span", { class: "state" });
  #now = el("span", { class: "now" }); // what is there, and what was counted
  #fps = el("span", { class: "figure fps", title: "Pictures analysed, of those that arrive" });
  #age = el("span", { class: "figure age", title: "Age of the picture" });
  #retry = el("button", { type: "button", class: "retry", hidden: true, on: { click: () => this.#tryNow() } }, "Try now");
  #layers;
  #header = null;
  #drawnAt = 0;
  #worstAge = 0;
  #updatedAt = 0;
  #trails = new Trails();
  #objects = new RecentObjects();
  #areas = new RecentAreas();
  #pointer = null;
  #places = new Map();
  #zones = [];
  #zonesSize = null;
  #inside = {};
  #ratio = 1;

  constructor(name, layers, onOpen) {
    this.name = name;
    this.camera = null;
    this.#layers = layers;
    this.button = el("button", { type: "button", class: "open", "aria-label": `Show ${name} large`, on: { click: () => onOpen(name) } });
    this.stage = el("div", { class: "stage" }, this.#picture, this.#overlay, this.#veil, this.button, this.#retry);
    setAttribute(this.#retry, "aria-label", `Try now: ${name}`);
    this.tools = el("div", { class: "large-tools" });
    const caption = el(
      "div", { class: "caption" },
      this.#lamp, el("span", { class: "name", title: name }, name), this.#state, this.#now, this.#fps, this.#age,
    );
    this.element = el("article", { class: "tile", "aria-label": name, data: { camera: name, state: "connecting" } }, this.tools, this.stage, caption);
    this.zoom = new Zoom(this.stage, this.#picture, () => this.element.matches(".large:not([data-editing])"), () => {
      this.paint();
      this.stage.dispatchEvent(new Event("zoomchange"));
    });
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.stage);
    this.stage.addEventListener("pointermove", ({ clientX, clientY, pointerType }) => pointerType === "touch" || this.#point(clientX, clientY));
    this.stage.addEventListener("pointerleave", () => this.#point());
  }

  /** Return the width and height of the camera's picture, or null before the first. */
  get size() {
    if (this.#header) return [this.#header.width, this.#header.height];
    return this.camera?.width ? [this.camera.width, this.camera.height] : null;
  }

  /** Return where the picture lies in the stage, in CSS pixels, or null before the first. */
  get view() {
    const cover = this.#layers.cover && !this.element.classList.contains("large");
    return this.size && this.zoom.applied(fit(...this.size, this.stage.clientWidth, this.stage.clientHeight, cover));
  }

  /** Return how wide the picture is on the page, in CSS pixels. */
  get pictureWidth() {
    return this.size ? this.size[0] * this.view.scale : this.stage.clientWidth;
  }

  /** Show a decoded picture (an ImageBitmap or VideoFrame) and its boxes, both in the same task. */
  show(header, bitmap) {
    const canvas = this.#picture;
    const { width, height } = bitmap.visibleRect ?? bitmap;
    // Setting the size clears a canvas; the new picture is drawn before the browser paints.
    if (canvas.width !== width || canvas.height !== height) {
      canvas.width = width;
      canvas.height = height;
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0, width, height);
    const other = this.#header && (this.#header.width !== header.width || this.#header.height !== header.height);
    if (other) this.#trails.clear();
    if (other || !this.#header) this.stage.style.setProperty("--aspect", header.width / header.height);
    this.#header = header;
    if (other) this.stage.dispatchEvent(new Event("sizechange"));
    this.#drawnAt = performance.now();
    this.#worstAge = Math.max(this.#worstAge, header.age_ms);
    this.#trails.add(header.tracks, this.#drawnAt);
    this.#objects.add(header.tracks, this.#drawnAt);
    this.element.dataset.shown = header.index;
    this.element.dataset.media = bitmap.visibleRect ? "video" : "jpeg";
    this.paint();
  }

  /** Update the camera's state; boxes of a lost or ended camera are no longer drawn. */
  update(camera) {
    const came = this.camera?.state;
    this.camera = camera;
    this.#updatedAt = performance.now();
    this.element.dataset.state = camera.state;
    this.#lamp.dataset.state = camera.state;
    const gone = GONE.has(camera.state);
    setText(this.#state, stateText(camera.state));
    setText(this.#fps, rateText(camera));
    setAttribute(this.#fps, "data-level", camera.state === "live" && isLagging(camera) ? "warn" : null);
    this.#showProblem(camera);
    if (!isSeen(camera.state)) this.#objects.clear();
    this.#showNow();
    if (gone && came !== camera.state) {
      this.#trails.clear();
      this.paint();
    }
  }

  zones(zones, size) {
    this.#zones = zones;
    this.#zonesSize = size;
    this.paint();
  }

  inside(inside) {
    this.#inside = inside;
    this.#areas.inside(inside);
  }

  /** Update what the camera's lines counted, Map line -> {in, out}. */
  lines(lines) {
    this.#areas.lines(lines);
    this.#showNow();
  }

  /** Update the age of the picture shown; called a few times a second. */
  tick(now, watched) {
    const camera = this.camera;
    this.#showNow();
    let ms = camera?.age_ms?.now ?? NaN;
    if (watched && this.#header) {
      const since = now - this.#drawnAt;
      ms = since > 700 ? this.#header.age_ms + since : this.#worstAge;
      this.#worstAge = since > 700 ? 0 : this.#header.age_ms;
    }
    if (camera && GONE.has(camera.state)) {
      setText(this.#age, span(Date.now() / 1000 - camera.since));
      setAttribute(this.#age, "data-level", camera.state === "lost" ? "bad" : null);
      this.#showProblem(camera);
      return;
    }
    setText(this.#age, age(ms));
    setAttribute(this.#age, "data-level", ageLevel(ms) || (camera?.warning ? "warn" : null));
  }

  close() {
    this.sizes.disconnect();
    this.element.remove();
    this.#picture.width = this.#overlay.width = 0; // frees the memory at once
  }

  paint() {
    const canvas = this.#overlay;
    const view = this.view;
    if (!view || !canvas.width) return;
    const gone = this.camera && GONE.has(this.camera.state);
    const hidden = this.element.hasAttribute("data-editing"); // the editor draws its own
    this.#places = paint(canvas.getContext("2d"), view, this.#ratio, {
      tracks: gone || !this.#header ? [] : this.#header.tracks,
      trails: this.#trails,
      zones: hidden ? [] : rescaled(this.#zones, this.#zonesSize, this.size),
      inside: gone ? {} : this.#inside,
      pointed: this.#pointed,
      places: this.#places,
    }, this.#layers);
  }

  /** Say what is there now and what was counted; "nothing in view" is quiet. */
  #showNow() {
    const { camera } = this;
    if (camera === null) return;
    const seen = isSeen(camera.state);
    const objects = objectsText(this.#objects.counts);
    const texts = [objects, seen ? this.#areas.text : ""].filter(Boolean);
    const text = seen ? texts.join(" · ") || (this.#header ? "nothing in view" : "–") : "–";
    setText(this.#now, text);
    setAttribute(this.#now, "title", text);
    this.#now.toggleAttribute("data-quiet", objects === "");
    setAttribute(this.button, "aria-label", `Show ${this.name} large. ${stateText(camera.state)}${seen ? `, ${text}` : ""}`);
  }

  /** Return the id of the smallest object under the pointer, or null. */
  get #pointed() {
    if (this.#pointer === null || !this.#header) return null;
    const { x, y, scale } = this.view;
    const { left, top } = this.stage.getBoundingClientRect();
    const [px, py] = [(this.#pointer[0] - left - x) / scale, (this.#pointer[1] - top - y) / scale];
    const under = this.#header.tracks.filter(({ xyxy: [x1, y1, x2, y2] }) => px >= x1 && px <= x2 && py >= y1 && py <= y2);
    const size = ({ xyxy: [x1, y1, x2, y2] }) => (x2 - x1) * (y2 - y1);
    return under.sort((one, other) => size(one) - size(other))[0]?.id ?? null;
  }

  #point(...pointer) {
    this.#pointer = pointer.length ? pointer : null;
    this.paint();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.stage;
    this.zoom.refit();
    this.#ratio = Math.min(devicePixelRatio || 1, 3);
    const [width, height] = [Math.round(clientWidth * this.#ratio), Math.round(clientHeight * this.#ratio)];
    if (this.#overlay.width === width && this.#overlay.height === height) return;
    this.#overlay.width = width;
    this.#overlay.height = height;
    this.paint();
  }

  #showProblem(camera) {
    const [title, text] = problemText(camera, this.#header !== null);
    this.#retry.hidden = camera.state !== "lost";
    this.#veil.hidden = title === "" && text === "";
    if (this.#veil.hidden) return;
    if (this.#veil.childElementCount === 0) this.#veil.append(el("b"), el("span"), el("span", { class: "again" }));
    this.#veil.children[0].hidden = title === "";
    setText(this.#veil.children[0], title);
    setText(this.#veil.children[1], text);
    // Counted on this page's own clock: the server's may differ by minutes.
    const since = (performance.now() - this.#updatedAt) / 1000;
    const again = camera.state === "lost" ? retryText((camera.next_try_in_s ?? NaN) - since) : "";
    this.#veil.children[2].hidden = again === "";
    setText(this.#veil.children[2], again);
  }

  async #tryNow() {
    this.#retry.disabled = true;
    try {
      await fetchJson(cameraPath(this.name, "retry"), { method: "POST" });
    } catch (error) {
      setText(this.#veil.children[2], error.message);
    }
    setTimeout(() => { this.#retry.disabled = false; }, 1000); // a try takes a while; the state says how it went
  }
}
