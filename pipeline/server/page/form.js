// The fields of one zone or line: its name, the classes that count, dwell time, direction.
import { classesSeen } from "./colours.js";
import { el, say } from "./dom.js";

export class AreaForm {
  #area = null;
  #callbacks; // {begin, change, remove} of the editor
  #name = el("input", { type: "text", maxlength: "64", autocomplete: "off", spellcheck: "false" });
  #classes = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "all classes" });
  #dwell = el("input", { type: "number", min: "0.1", step: "any", inputmode: "decimal", placeholder: "no dwell events" });
  #dwellLabel = el("label", {}, "Event after so many seconds inside", this.#dwell);
  #chips = el("div", { class: "chips", role: "group", "aria-label": "Classes seen" });
  #swap = el("button", { type: "button", on: { click: () => this.#change((area) => area.points.reverse()) } }, "Swap direction of “in”");
  #delete = el("button", { type: "button", on: { click: () => this.#callbacks.remove() } });

  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.element = el(
      "div", { class: "fields", hidden: true },
      el("label", {}, "Name", this.#name),
      el("label", {}, "Classes that count, separated by commas", this.#classes), this.#chips,
      this.#dwellLabel, this.#swap, this.#delete,
    );
    // One step of undo per visit to a field, not one per letter.
    for (const field of [this.#name, this.#classes, this.#dwell]) {
      field.addEventListener("input", () => this.#input(field));
      field.addEventListener("blur", () => delete field.dataset.touched);
    }
  }

  /** Show an area's fields, or none for null; `anew` also rewrites the field being typed in. */
  show(area, anew) {
    const other = area !== this.#area || anew;
    this.#area = area;
    this.element.hidden = area === null;
    if (area === null) return;
    const put = (field, text) => {
      if (other || field !== document.activeElement) field.value = text;
    };
    put(this.#name, area.name);
    put(this.#classes, area.classes.join(", "));
    put(this.#dwell, area.dwell_s ?? "");
    this.#dwellLabel.hidden = area.kind !== "zone";
    this.#swap.hidden = area.kind !== "line";
    say(this.#delete, `Delete this ${area.kind}`);
    this.#fillChips();
  }

  focus() {
    this.#name.focus();
    this.#name.select();
  }

  #input(field) {
    if (!("touched" in field.dataset)) this.#callbacks.begin();
    field.dataset.touched = "";
    const area = this.#area;
    area.name = this.#name.value;
    area.classes = this.#classes.value.split(",").map((name) => name.trim()).filter(Boolean);
    area.dwell_s = this.#dwell.value === "" ? null : Number(this.#dwell.value);
    this.#callbacks.change();
  }

  #change(change) {
    this.#callbacks.begin();
    change(this.#area);
    this.#callbacks.change();
  }

  #fillChips() {
    const names = [...new Set([...this.#area.classes, ...classesSeen()])].slice(0, 30);
    const signature = JSON.stringify([names, this.#area.classes]);
    if (this.#chips.dataset.shown === signature) return;
    this.#chips.dataset.shown = signature;
    const focused = this.#chips.contains(document.activeElement) ? document.activeElement.textContent : null;
    this.#chips.replaceChildren(...names.map((name) => el(
      "button", { type: "button", "aria-pressed": String(this.#area.classes.includes(name)), on: { click: () => this.#toggle(name) } }, name,
    )));
    if (focused !== null) [...this.#chips.children].find((chip) => chip.textContent === focused)?.focus();
  }

  #toggle(name) {
    this.#change((area) => {
      area.classes = area.classes.includes(name) ? area.classes.filter((one) => one !== name) : [...area.classes, name];
    });
  }
}
