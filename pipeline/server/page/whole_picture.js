// What counts in the whole picture, beside zones and lines: on or off, least height, seconds seen.
import { el, setText } from "./dom.js";

/** The section of the editor. It keeps the rules as the server has them, without their masks. */
export class WholePicture {
  #rules = null; // null: the server's defaults, unless set
  #isUsual = false; // whether these are in force then
  #callbacks; // {begin, change} of the editor
  #on = el("input", { type: "checkbox" });
  #count = el("small");
  #height = el("input", { type: "number", min: "0", max: "100", step: "any", inputmode: "decimal" });
  #seen = el("input", { type: "number", min: "0", max: "3600", step: "any", inputmode: "decimal" });

  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.element = el(
      "div", { class: "fields whole" },
      el("h3", {}, "Whole picture"),
      el("label", { class: "check" }, this.#on, el("span", {}, "An event for each object that appears"), this.#count),
      el("label", {}, "Smallest height that counts, in % of the picture's", this.#height),
      el("label", {}, "Seconds seen until it counts", this.#seen),
    );
    for (const field of [this.#on, this.#height, this.#seen]) {
      field.addEventListener("input", () => this.#input(field));
      field.addEventListener("blur", () => delete field.dataset.touched);
    }
  }

  /** Take the server's rules; `isUsual`: without any, it has the defaults. */
  open(rules, isUsual) {
    this.#isUsual = isUsual;
    this.state = rules === null ? null : JSON.stringify(rules);
  }

  /** The rules as text, null where nothing is said; for undo. */
  get state() {
    return this.#rules && JSON.stringify(this.#rules);
  }

  set state(text) {
    this.#rules = text && JSON.parse(text);
    const { enabled = this.#isUsual, min_height: height = 0.03, seen_s: seen = 1 } = this.#rules ?? {};
    this.#on.checked = enabled;
    this.#height.value = Math.round(height * 1000) / 10;
    this.#seen.value = seen;
    this.#show();
  }

  /** Say that there are such events, as masks were drawn for them. */
  switchOn() {
    if (this.#rules?.enabled) return;
    this.state = JSON.stringify({ ...this.#rules, enabled: true });
  }

  /** Return {appeared} with masks as the server takes it; {} leaves it to the server. */
  toServer(masks) {
    return this.#rules === null && !masks.length ? {} : { appeared: { ...this.#rules, masks } };
  }

  /** Show how many would have appeared, "" where that is not known. */
  count(text) {
    setText(this.#count, text);
  }

  #input(field) {
    if (!("touched" in field.dataset)) this.#callbacks.begin();
    field.dataset.touched = "";
    const share = Math.min(100, Math.max(0, Number(this.#height.value))) / 100;
    const seen = Math.min(3600, Math.max(0, Number(this.#seen.value)));
    this.#rules = { ...this.#rules, enabled: this.#on.checked, min_height: share, seen_s: seen };
    this.#show();
    this.#callbacks.change();
  }

  #show() {
    this.#height.disabled = this.#seen.disabled = !this.#on.checked;
  }
}
