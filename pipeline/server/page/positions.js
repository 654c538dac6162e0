// Head of a camera's figures: where objects stood, as a heat map or as paths over its picture.
import { cameraPath, fetchJson } from "./api.js";
import { colourOf } from "./colours.js";
import { el, setText, svg } from "./dom.js";

const MAX_PATHS = 150;
const WORDS = {
  heatmap: "Where objects stood, in whole hours: from blue for a moment to red for longest.",
  paths: "Paths of visits, as far as their clips show them.",
};

export class Positions {
  #camera;
  #onVisit;
  #about = null;
  #shown = "";
  #loaded = "";
  #buttons;
  #picture = el("img", { alt: "" });
  #lines = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  #say = el("p", { role: "status" });
  #figure = el("figure", { hidden: true }, el("div", { class: "over" }, this.#picture, this.#lines), el("figcaption", {}, this.#say));

  constructor(camera, onVisit) {
    this.#camera = camera;
    this.#onVisit = onVisit;
    const button = (kind, text) => el(
      "button", { type: "button", "aria-pressed": "false", data: { kind, key: `${camera} ${kind}` }, "aria-label": `${text} of ${camera}`, on: { click: () => this.#toggle(kind) } }, text,
    );
    this.#buttons = [button("heatmap", "Heat map"), button("paths", "Paths")];
    this.#picture.addEventListener("error", () => this.#hasNoPicture());
    this.element = el("div", { class: "where" }, el("div", { class: "group-head" }, el("h3", {}, camera), ...this.#buttons), this.#figure);
  }

  /** Show another time or class; loads only what is open. */
  about(about) {
    this.#about = about;
    this.#load();
  }

  #toggle(kind) {
    this.#shown = this.#shown === kind ? "" : kind;
    for (const button of this.#buttons) button.setAttribute("aria-pressed", button.dataset.kind === this.#shown);
    this.#load();
  }

  async #load() {
    this.#figure.hidden = !this.#shown;
    if (!this.#shown) return;
    const { since, until, class_name } = this.#about;
    const query = new URLSearchParams({ since, until, ...(class_name ? { class: class_name } : {}) });
    const wanted = `${this.#shown} ${query}`;
    if (wanted === this.#loaded) return;
    this.#loaded = wanted;
    this.#lines.replaceChildren();
    this.#picture.hidden = false;
    const isHeat = this.#shown === "heatmap";
    this.#picture.src = cameraPath(this.#camera, isHeat ? `heatmap.jpg?${query}` : `snapshot.jpg?${Date.now()}`);
    this.#picture.alt = `${isHeat ? "Heat map" : "Paths"} of ${this.#camera}`;
    setText(this.#say, WORDS[this.#shown]);
    if (isHeat) return;
    try {
      const { paths } = await fetchJson(cameraPath(this.#camera, `paths?${query}&limit=${MAX_PATHS}`));
      if (wanted !== this.#loaded) return;
      this.#lines.append(...paths.flatMap((path) => this.#line(path)));
      setText(this.#say, paths.length ? `${WORDS.paths} A click on one plays it.` : "There is no clip with boxes from these days.");
    } catch (error) {
      if (wanted === this.#loaded) setText(this.#say, error.message);
    }
  }

  /** Return the drawing of a path: a line, its end, and what is clicked. */
  #line({ visit, class_name, points }) {
    const path = points.map(([x, y]) => `${x},${y}`).join(" ");
    const hit = svg("polyline", { points: path, class: "hit" });
    const title = svg("title");
    title.append(class_name || "object");
    hit.append(title);
    hit.addEventListener("click", () => this.#onVisit(visit));
    return [svg("polyline", { points: path, class: "rim" }), svg("polyline", { points: path, class: "path", stroke: colourOf(class_name) }), hit];
  }

  #hasNoPicture() {
    this.#picture.hidden = true;
    if (this.#shown === "heatmap") setText(this.#say, "The heat map cannot be shown.");
  }
}
