// One uploaded picture: its canvas, the boxes over it, and what was found in words.
import { postPicture } from "./api.js";
import { el, setText } from "./dom.js";
import { showCounts, showTags } from "./found_words.js";
import { fit, paint } from "./overlay.js";

const LAYERS = { boxes: true, labels: true, trails: false, zones: false };
const MAX_SIDE = 2000; // pixels of the canvas that is shown; the download has all

export class PictureCard {
  answer = null;
  shown = [];
  #bitmap = null;
  #picture = el("canvas", { class: "picture", "aria-hidden": "true" });
  #boxes = el("canvas", { "aria-hidden": "true" });
  #text = el("p", { class: "hint" }, "Waiting");
  #tags = el("p", { class: "found tags-of" });
  #found = el("p", { class: "found" });
  #annotated;

  /** `onRemove` gets this card, `onSave` a blob and a file name. */
  constructor(file, { onRemove, onSave }) {
    this.file = file;
    this.name = file.name || "pasted picture";
    this.#annotated = el("button", { type: "button", disabled: true, on: { click: () => this.#save(onSave) } }, "Download with boxes");
    this.element = el(
      "li", { class: "card" },
      el("div", { class: "stage" }, this.#picture, this.#boxes),
      el("div", { class: "about" },
        el("h2", {}, this.name), this.#text, this.#tags, this.#found,
        el("div", { class: "row" }, this.#annotated,
          el("button", { type: "button", "aria-label": `Remove ${this.name}`, on: { click: () => onRemove(this) } }, "Remove"))),
    );
    this.#load();
  }

  /** Return what is counted by class: the objects. */
  get things() {
    return this.answer?.objects ?? [];
  }

  /** Have the picture looked at, for scores from `conf` on; raises ApiError. */
  async analyse(conf) {
    this.say("Looking…");
    const { pictures } = await postPicture(this.file, conf);
    this.#answered(pictures[0]);
  }

  say(text) {
    setText(this.#text, text);
    this.#text.className = "hint";
  }

  #answered(answer) {
    this.answer = { ...answer, name: this.name };
    showTags(this.#tags, answer.tags);
    this.#draw();
  }

  failed(reason) {
    this.element.firstChild.hidden = true; // no picture is better than an empty one
    setText(this.#text, reason);
    this.#text.className = "problem";
    this.#annotated.hidden = true;
  }

  /** Draw what has at least `score` and a class that is not in `hidden`. */
  show({ score, hidden }) {
    if (this.answer === null) return;
    this.shown = this.answer.objects.filter((each) => each.score >= score && !hidden.has(each.class_name));
    this.say(`${this.answer.width} × ${this.answer.height}`);
    showCounts(this.#found, this.shown);
    this.#drawBoxes();
  }

  /** Return the answer with the objects that are shown, for the download. */
  shownAnswer() {
    return { ...this.answer, objects: this.shown };
  }

  close() {
    this.element.remove();
    this.#bitmap?.close();
    this.#bitmap = null;
  }

  async #load() {
    try {
      this.#bitmap = await createImageBitmap(this.file);
    } catch {
      return; // The browser cannot show this kind; the server may know it.
    }
    if (!this.element.isConnected) return this.close();
    this.#draw();
  }

  #draw() {
    const { width, height } = this.answer ?? this.#bitmap;
    const scale = Math.min(1, MAX_SIDE / Math.max(width, height));
    this.element.firstChild.style.aspectRatio = `${width} / ${Math.min(height, width * 1.5)}`;
    this.#picture.width = Math.max(1, Math.round(width * scale));
    this.#picture.height = Math.max(1, Math.round(height * scale));
    if (this.#bitmap !== null) {
      this.#picture.getContext("2d").drawImage(this.#bitmap, 0, 0, this.#picture.width, this.#picture.height);
      this.#annotated.disabled = this.answer === null;
    }
    this.#drawBoxes();
  }

  #drawBoxes() {
    if (this.answer === null) return;
    const { clientWidth: across, clientHeight: down } = this.#boxes;
    if (!across) return;
    const ratio = devicePixelRatio || 1;
    this.#boxes.width = Math.round(across * ratio);
    this.#boxes.height = Math.round(down * ratio);
    const view = fit(this.answer.width, this.answer.height, across, down);
    paint(this.#boxes.getContext("2d"), view, ratio, this.#scene(), LAYERS);
  }

  #scene() {
    // The best last: its label lies over the others.
    const tracks = [...this.shown].sort((a, b) => a.score - b.score).map((each) => ({
      ...each, id: 0, coasting: false, text: `${each.class_name} ${Math.round(each.score * 100)} %`,
    }));
    return { tracks, zones: [], trails: new Map(), inside: {} };
  }

  /** Save the whole picture with its boxes as JPEG. */
  #save(onSave) {
    const { width, height } = this.answer;
    const [whole, boxes] = [el("canvas", { width, height }), el("canvas", { width, height })];
    const context = whole.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, width, height);
    context.drawImage(this.#bitmap, 0, 0, width, height);
    // As large on the picture as on a screen of 1200 pixels.
    const ratio = Math.max(1, Math.max(width, height) / 1200);
    paint(boxes.getContext("2d"), fit(width, height, width / ratio, height / ratio), ratio, this.#scene(), LAYERS);
    context.drawImage(boxes, 0, 0);
    const name = `${this.name.replace(/\.[^.]*$/, "")}-boxes.jpg`;
    whole.toBlob((blob) => blob && onSave(blob, name), "image/jpeg", 0.92);
  }
}
