// Tile of one camera: its picture, the overlay, and a caption with its state and figures.
import { el, setAttribute, setText } from "./dom.js";
import { cameraPath, fetchJson } from "./api.js";
import { rescaled } from "./zones.js";
import { Trails, fit, paint } from "./overlay.js";
import { retryText, age, ageLevel, count, span, stateText, time } from "./format.js";

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
  #retry = el("button", { type: "button", class: "retry", hidden: true, on: { click: () => this.#tryNow() } }, "Try now");
  #layers;
  #header = null;
  #drawnAt = 0;
  #worstAge = 0;
  #updatedAt = 0;
  #trails = new Trails();
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

  /** Show a decoded picture and its boxes, both in the same task. */
  show(header, bitmap) {
    const canvas = this.#picture;
    // Setting the size clears a canvas; the new picture is drawn before the browser paints.
    if (canvas.width !== bitmap.width || canvas.height !== bitmap.height) {
      canvas.width = bitmap.width;
      canvas.height = bitmap.height;
    }
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0);
    const other = this.#header && (this.#header.width !== header.width || this.#header.height !== header.height);
    if (other) this.#trails.clear();
    this.#header = header;
    if (other) this.stage.dispatchEvent(new Event("sizechange"));
    this.#drawnAt = performance.now();
    this.#worstAge = Math.max(this.#worstAge, header.age_ms);
    this.#trails.add(header.tracks, this.#drawnAt);
    this.element.dataset.shown = header.index;
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
    const tracks = camera.tracks === null ? "–" : count(camera.tracks, "track");
    setText(this.#tracks, tracks);
    const arriving = (camera.fps ?? 0).toFixed(1);
    const analysed = (camera.analysed_fps ?? camera.fps ?? 0).toFixed(1);
    setText(this.#fps, analysed === arriving ? `${arriving} fps` : `${analysed} of ${arriving} fps`);
    setAttribute(this.#fps, "data-level", Number(analysed) < 0.9 * Number(arriving) ? "warn" : null);
    this.#showProblem(camera);
    setAttribute(this.button, "aria-label", `Show ${this.name} large. ${stateText(camera.state)}, ${tracks}`);
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
  }

  /** Update the age of the picture shown; called a few times a second. */
  tick(now, watched) {
    const camera = this.camera;
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
    paint(canvas.getContext("2d"), view, this.#ratio, {
      tracks: gone || !this.#header ? [] : this.#header.tracks,
      trails: this.#trails,
      zones: hidden ? [] : rescaled(this.#zones, this.#zonesSize, this.size),
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

/** Return title and text to show over the picture; both empty without a problem. */
function problemText({ state, since, error, warning, reconnects }, seen) {
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
