// Card of one visit: picture, class, places, camera, time and length; the whole card plays its clip.
import { colourOf } from "./colours.js";
import { el, setText } from "./dom.js";
import { isCameraVisit, mayHaveClip, placesOf, span, time, visitTitle } from "./format.js";

export class VisitCard {
  #picture = el("img", { alt: "", loading: "lazy", decoding: "async", width: 96, height: 72, on: { error: () => this.#hasNoPicture() } });
  #frame = el("span", { class: "thumb" }, this.#picture);
  #swatch = el("span", { class: "swatch", "aria-hidden": "true" });
  #title = el("b");
  #places = el("span", { class: "places" });
  #where = el("span", { class: "where" });
  #when = el("span", { class: "when" });
  #body;
  #onPlay;

  constructor(visit, onPlay) {
    this.#onPlay = onPlay;
    this.element = el("li", { class: "event" });
    this.show(visit);
  }

  /** Show a visit, in place: focus and position stay. */
  show(visit) {
    this.visit = visit;
    this.element.dataset.id = visit.id;
    this.element.classList.toggle("open", visit.ended === null);
    this.element.classList.toggle("about-camera", isCameraVisit(visit));
    if (visit.class_name) this.#swatch.style.background = colourOf(visit.class_name);
    this.#swatch.hidden = !visit.class_name;
    setText(this.#title, visitTitle(visit));
    const places = placesOf(visit);
    this.#places.replaceChildren(...places.flatMap((place, i) => [i ? " · " : "", el("span", { class: place.isLine ? "line" : "zone" }, place.text)]));
    this.#places.hidden = !places.length;
    setText(this.#where, visit.camera);
    this.#frame.hidden = isCameraVisit(visit);
    const version = visit.thumbnail === null ? "" : `api/visits/${visit.id}/thumbnail.jpg?v=${visit.thumbnail}`;
    if (version && this.#picture.getAttribute("src") !== version) {
      this.#picture.src = version;
      this.#picture.hidden = false;
    } else if (!version) this.#hasNoPicture();
    this.#showTime();
    this.#showBody();
  }

  /** Show how long it has been going on, and whether there will be a clip. */
  tick() {
    if (this.visit.ended === null) this.#showTime();
    this.#showBody();
  }

  #showTime() {
    const { started, ended, seconds } = this.visit;
    const length = ended === null ? `${span(Math.max(seconds, Date.now() / 1000 - started))}, still ${isCameraVisit(this.visit) ? "lost" : "there"}` : span(seconds);
    setText(this.#when, ended === null || seconds >= 0.05 ? `${time(started)} · ${length}` : time(started));
  }

  #showBody() {
    const plays = mayHaveClip(this.visit);
    if (this.#body && plays === this.#body instanceof HTMLButtonElement) return;
    const hint = plays ? el("span", { class: "unseen" }, "Play clip: ") : null;
    const text = el("span", { class: "what" }, hint, el("span", { class: "title" }, this.#swatch, this.#title, " ", this.#places), this.#where, this.#when);
    this.#body = plays
      ? el("button", { type: "button", class: "card", on: { click: () => this.#onPlay(this.visit) } }, this.#frame, text)
      : el("div", { class: "card" }, this.#frame, text);
    if (!plays && !isCameraVisit(this.visit)) text.append(el("span", { class: "no-clip" }, "no clip"));
    this.element.replaceChildren(this.#body);
  }

  #hasNoPicture() {
    this.#picture.hidden = true;
    this.#picture.removeAttribute("src");
  }
}
