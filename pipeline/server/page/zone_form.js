// Form of one zone or line: name, classes that count, dwell time, direction.
import { classesSeen } from "./colours.js";
import { el, setAttribute, setText } from "./dom.js";

export class ZoneForm {
  #zone = null;
  #callbacks; // {begin, change, remove} of the editor
  #name = el("input", { type: "text", maxlength: "64", autocomplete: "off", spellcheck: "false" });
  #classes = el("input", { type: "text", autocomplete: "off", spellcheck: "false", placeholder: "all classes" });
  #dwell = el("input", { type: "number", min: "0.1", step: "any", inputmode: "decimal", placeholder: "no dwell events" });
  #dwellLabel = el("label", {}, "Event after so many seconds inside", this.#dwell);
  #nameLabel = el("label", {}, "Name", this.#name);
  #classesLabel = el("label", {}, "Classes that count, separated by commas", this.#classes);
  #chips = el("div", { class: "chips", role: "group", "aria-label": "Classes seen" });
  #swap = el("button", { type: "button", on: { click: () => this.#change((zone) => zone.points.reverse()) } }, "Swap direction of “in”");
  #delete = el("button", { type: "button", on: { click: () => this.#callbacks.remove() } });

  constructor(callbacks) {
    this.#callbacks = callbacks;
    this.element = el(
      "div", { class: "fields", hidden: true },
      this.#nameLabel, this.#classesLabel, this.#chips,
      this.#dwellLabel, this.#swap, this.#delete,
    );
    // One undo step per visit to a field, not one per key press.
    for (const field of [this.#name, this.#classes, this.#dwell]) {
      field.addEventListener("input", () => this.#input(field));
      field.addEventListener("blur", () => delete field.dataset.touched);
    }
  }

  /** Show a zone's fields, or none for null; `anew` also rewrites the field being typed in. */
  show(zone, anew) {
    const other = zone !== this.#zone || anew;
    this.#zone = zone;
    this.element.hidden = zone === null;
    if (zone === null) return;
    const put = (field, text) => {
      if (other || field !== document.activeElement) field.value = text;
    };
    put(this.#name, zone.name);
    put(this.#classes, zone.classes.join(", "));
    put(this.#dwell, zone.dwell_s ?? "");
    this.#nameLabel.hidden = this.#classesLabel.hidden = this.#chips.hidden = zone.kind === "mask";
    this.#dwellLabel.hidden = zone.kind !== "zone";
    this.#swap.hidden = zone.kind !== "line";
    setText(this.#delete, `Delete this ${zone.kind}`);
    this.#fillChips();
  }

  focus() {
    if (this.#nameLabel.hidden) return this.#delete.focus();
    this.#name.focus();
    this.#name.select();
  }

  #input(field) {
    if (!("touched" in field.dataset)) this.#callbacks.begin();
    field.dataset.touched = "";
    const zone = this.#zone;
    zone.name = this.#name.value;
    zone.classes = this.#classes.value.split(",").map((name) => name.trim()).filter(Boolean);
    zone.dwell_s = this.#dwell.value === "" ? null : Number(this.#dwell.value);
    this.#callbacks.change();
  }

  #change(change) {
    this.#callbacks.begin();
    change(this.#zone);
    this.#callbacks.change();
  }

  /** Show the classes in place: one that is seen for the first time comes behind the others. */
  #fillChips() {
    const names = [...new Set([...this.#zone.classes, ...classesSeen()])].slice(0, 30);
    const chips = new Map([...this.#chips.children].map((chip) => [chip.textContent, chip]));
    for (const [name, chip] of chips) if (!names.includes(name)) chip.remove();
    for (const name of names) {
      if (!chips.has(name)) chips.set(name, el("button", { type: "button", on: { click: () => this.#toggle(name) } }, name));
      const chip = chips.get(name);
      setAttribute(chip, "aria-pressed", String(this.#zone.classes.includes(name)));
      if (!chip.isConnected) this.#chips.append(chip);
    }
  }

  #toggle(name) {
    this.#change((zone) => {
      zone.classes = zone.classes.includes(name) ? zone.classes.filter((one) => one !== name) : [...zone.classes, name];
    });
  }
}
