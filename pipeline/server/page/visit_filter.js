// Filter of visits: time, camera, class, place, kind, length; as a query and as a test of one visit.
import { classesSeen } from "./colours.js";
import { el } from "./dom.js";

export const KINDS = {
  "": "All kinds", appeared: "Appeared", enter: "Entered", dwell: "Dwelled", leave: "Left", cross: "Crossed", lost: "Camera lost", live: "Camera back",
};
const TIMES = { "": "Any time", 1: "Last hour", 24: "Last 24 hours", 168: "Last 7 days", 720: "Last 30 days", own: "From … to …" };
const LENGTHS = { "": "Any length", "-10": "Under 10 s", 10: "From 10 s", 60: "From 1 min", 300: "From 5 min", 1800: "From 30 min" };
const ZONE_KINDS = ["enter", "dwell", "leave"];

export class VisitFilter {
  #time = this.#select("Time");
  #camera = this.#select("Camera");
  #class = this.#select("Class");
  #place = this.#select("Zone or line");
  #kind = this.#select("Kind");
  #length = this.#select("Length");
  #from = this.#moment("From");
  #to = this.#moment("To");
  #own = el("div", { class: "moments", hidden: true }, this.#from, this.#to);
  #cameras = [];
  #places = new Map(); // camera -> zones and lines
  #onChange;

  constructor(onChange) {
    this.#onChange = onChange;
    for (const [select, texts] of [[this.#time, TIMES], [this.#kind, KINDS], [this.#length, LENGTHS]]) {
      for (const [value, text] of sorted(texts)) select.append(el("option", { value }, text));
    }
    this.element = el(
      "div", { class: "filters", role: "group", "aria-label": "Filter events" },
      this.#time, this.#camera, this.#class, this.#place, this.#kind, this.#length, this.#own,
    );
    this.refill();
  }

  cameras(names) {
    this.#cameras = [...names];
    for (const name of [...this.#places.keys()]) if (!names.includes(name)) this.#places.delete(name);
    this.refill();
  }

  zones(camera, zones) {
    this.#places.set(camera, zones.map(({ kind, name }) => `${kind} ${name}`));
    this.refill();
  }

  /** Offer what is known by now. */
  refill() {
    refill(this.#camera, "All cameras", this.#cameras);
    refill(this.#class, "All classes", classesSeen());
    const places = [...new Set([...this.#places].flatMap(([name, all]) => (!this.#camera.value || name === this.#camera.value ? all : [])))];
    refill(this.#place, "All places", places.sort(), (value) => value.slice(value.indexOf(" ") + 1) + (value.startsWith("line ") ? " (line)" : ""));
  }

  /** Choose a camera; return whether that changes anything. */
  setCamera(name) {
    if (this.#camera.value === name) return false;
    this.#camera.value = name;
    this.refill();
    return true;
  }

  /** Choose what a figure counted: {camera, class_name, area, type, since, until}. */
  set({ camera, class_name, area, type, since, until }) {
    const place = area ? `${type} ${area}` : "";
    const kind = { zone: "enter", line: "cross", picture: "appeared" }[type];
    for (const [select, value] of [[this.#camera, camera], [this.#class, class_name], [this.#place, place], [this.#kind, kind], [this.#length, ""]]) {
      if (![...select.options].some((one) => one.value === value)) select.append(el("option", { value }, area || value)); // of days ago
      select.value = value;
    }
    this.#time.value = "own";
    this.#from.value = localTime(since);
    this.#to.value = localTime(until);
    this.#changed();
  }

  get isSet() {
    return [this.#time, this.#camera, this.#class, this.#place, this.#kind, this.#length].some((one) => one.value);
  }

  /** Return whether nothing but this camera is chosen. */
  isOnly(camera) {
    return this.#camera.value === camera && ![this.#time, this.#class, this.#place, this.#kind, this.#length].some((one) => one.value);
  }

  query() {
    const query = new URLSearchParams();
    const { since, until, min, max, zone, line } = this.#values();
    const values = { camera: this.#camera.value, class: this.#class.value, kind: this.#kind.value, zone, line, since, until, min_s: min, max_s: max };
    for (const [key, value] of Object.entries(values)) if (value !== "" && value !== null) query.set(key, value);
    return query;
  }

  /** Return whether a visit that has just arrived fits. */
  matches(visit) {
    const { since, until, min, max, zone, line } = this.#values();
    const fits = (field, value) => !field.value || field.value === value;
    return (
      fits(this.#camera, visit.camera) && fits(this.#class, visit.class_name) &&
      (since === null || visit.started >= since) && (until === null || visit.started < until) &&
      (min === null || visit.seconds >= min) && (max === null || visit.seconds <= max) &&
      visit.touched.some(({ kind, area }) =>
        fits(this.#kind, kind) && (zone === null || (area === zone && ZONE_KINDS.includes(kind))) && (line === null || (area === line && kind === "cross")))
    );
  }

  #values() {
    const hours = Number(this.#time.value);
    const isOwn = this.#time.value === "own";
    const length = Number(this.#length.value);
    const [place, name] = this.#place.value ? [this.#place.value.split(" ", 1)[0], this.#place.value.slice(5)] : [null, null];
    return {
      since: isOwn ? unix(this.#from) : hours ? Math.floor(Date.now() / 1000 - hours * 3600) : null,
      until: isOwn ? unix(this.#to) : null,
      min: length > 0 ? length : null, max: length < 0 ? -length : null,
      zone: place === "zone" ? name : null, line: place === "line" ? name : null,
    };
  }

  #select(label) {
    return el("select", { "aria-label": label, on: { change: () => this.#changed() } });
  }

  #moment(label) {
    return el("input", { type: "datetime-local", "aria-label": label, on: { change: () => this.#changed() } });
  }

  #changed() {
    this.#own.hidden = this.#time.value !== "own";
    this.refill();
    this.#onChange();
  }
}

/** Return the entries with "" first, the rest as they are written; whole numbers go first otherwise. */
function sorted(texts) {
  return Object.entries(texts).sort(([one], [other]) => (one === "" ? -1 : other === "" ? 1 : 0));
}

function unix(input) {
  const ms = new Date(input.value).getTime(); // local time, as the field shows it
  return Number.isFinite(ms) ? ms / 1000 : null;
}

/** Return a time as a field of local time has it. */
function localTime(unix) {
  const date = new Date(unix * 1000);
  return new Date(date.getTime() - date.getTimezoneOffset() * 60000).toISOString().slice(0, 16);
}

function refill(select, all, values, text = (value) => value) {
  const wanted = ["", ...values];
  const present = [...select.options].map((option) => option.value);
  if (present.length && wanted.join("\0") === present.join("\0")) return;
  const value = select.value;
  if (value && !wanted.includes(value)) wanted.push(value);
  select.replaceChildren(...wanted.map((one) => el("option", { value: one }, one ? text(one) : all)));
  select.value = value;
}
