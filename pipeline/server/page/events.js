// List of events, newest first, with filters; new events are added as they arrive.
import { fetchJson } from "./api.js";
import { classesSeen, colourOf } from "./colours.js";
import { el, setText } from "./dom.js";
import { eventText, mayHaveClip, time } from "./format.js";

const PAGE_SIZE = 100;
const MAX_SHOWN = 400;
const KINDS = { "": "All kinds", cross: "Crossings", enter: "Entered", leave: "Left", dwell: "Dwelled", lost: "Camera lost", live: "Camera back" };

export class Events {
  #list = el("ol");
  #more = el("div", { class: "more", hidden: true }, el("button", { type: "button", on: { click: () => this.#load(true) } }, "Older events"));
  #empty = el("p", { class: "empty", hidden: true });
  #announcement = el("p", { class: "unseen", role: "status" });
  #camera = this.#select("Camera");
  #class = this.#select("Class");
  #kind = this.#select("Kind");
  #shown = []; // newest first
  #loadNumber = 0;
  #unannounced = 0;
  #arrived = []; // events during a load, whose response may lack them
  #large = ""; // the camera shown large: its filter was not set by the user
  #onClip;

  /** `onClip(event, events)` plays a clip; `events` is the list for "newer" and "older". */
  constructor(onClip) {
    this.#onClip = onClip;
    for (const [kind, text] of Object.entries(KINDS)) this.#kind.append(el("option", { value: kind }, text));
    this.element = el(
      "section", { class: "events", "aria-labelledby": "events-title" },
      el("div", { class: "head" }, el("h2", { id: "events-title" }, "Events")),
      el("div", { class: "filters", role: "group", "aria-label": "Filter events" }, this.#camera, this.#class, this.#kind),
      this.#announcement, el("div", { class: "scroll", tabindex: "-1" }, this.#empty, this.#list, this.#more),
    );
    this.cameras([]);
    setInterval(() => this.#announce(), 5000);
  }

  /** Fill the filters with these cameras and the classes seen so far. */
  cameras(names) {
    refill(this.#camera, "All cameras", names);
    refill(this.#class, "All classes", classesSeen());
  }

  /** Show only one camera's events, or all for "". */
  only(camera) {
    this.#large = camera;
    if (this.#camera.value === camera) return;
    this.#camera.value = camera;
    this.#load(false);
  }

  /** Load the list again: at the start and after a reconnect. */
  refresh() {
    return this.#load(false);
  }

  /** Add a new event. */
  add(event) {
    if (event.class_name) colourOf(event.class_name);
    this.#arrived.push(event);
    if (this.#arrived.length > MAX_SHOWN) this.#arrived.shift();
    this.cameras([...this.#camera.options].slice(1).map((option) => option.value));
    if (!this.#matchesFilter(event) || this.#shown.some((one) => one.id === event.id)) return;
    this.#insert(event).classList.add("fresh");
    while (this.#shown.length > MAX_SHOWN) {
      this.#shown.pop();
      this.#list.lastElementChild.remove();
      this.#more.hidden = false;
    }
    this.#empty.hidden = true;
    this.#unannounced += 1;
  }

  async #load(older) {
    const number = (this.#loadNumber += 1);
    const query = new URLSearchParams({ limit: PAGE_SIZE });
    if (!older) this.#arrived = [];
    for (const [key, field] of [["camera", this.#camera], ["class_name", this.#class], ["kind", this.#kind]]) {
      if (field.value) query.set(key, field.value);
    }
    if (older && this.#shown.length) query.set("before_id", Math.min(...this.#shown.map((one) => one.id)));
    let events;
    try {
      ({ events } = await fetchJson(`api/events?${query}`));
    } catch (error) {
      if (number === this.#loadNumber && !this.#shown.length) this.#showEmpty("Events cannot be shown", error.message);
      return;
    }
    if (number !== this.#loadNumber) return; // the filter has changed meanwhile
    if (!older) {
      this.#shown = [];
      this.#list.replaceChildren();
    }
    for (const event of events) this.#insert(event);
    this.#more.hidden = events.length < PAGE_SIZE;
    if (!older) for (const event of this.#arrived.splice(0)) this.add(event);
    const filtered = this.#camera.value || this.#class.value || this.#kind.value;
    const largeOnly = this.#large && this.#camera.value === this.#large && !this.#class.value && !this.#kind.value;
    if (this.#shown.length) this.#empty.hidden = true;
    else if (largeOnly) this.#showEmpty("No events of this camera yet", "Draw a zone or a line with “Edit zones”: what enters, stays or crosses appears here.");
    else if (filtered) this.#showEmpty("No such events", "Nothing fits the filter; choose “All” to see everything.");
    else this.#showEmpty("No events yet", "Open a camera and draw a zone or a line with “Edit zones”: what enters, stays or crosses appears here.");
    this.cameras([...this.#camera.options].slice(1).map((option) => option.value));
  }

  /** Insert an event by its time, as some arrive seconds late; return its row. */
  #insert(event) {
    const later = (one) => one.time > event.time || (one.time === event.time && one.id > event.id);
    let at = 0;
    if (this.#shown.length && later(this.#shown.at(-1))) at = this.#shown.length; // older ones are loaded in order
    else while (at < this.#shown.length && later(this.#shown[at])) at += 1;
    const row = this.#row(event);
    this.#list.insertBefore(row, this.#list.children[at] ?? null);
    this.#shown.splice(at, 0, event);
    return row;
  }

  #matchesFilter(event) {
    const fits = (field, value) => !field.value || field.value === value;
    return fits(this.#camera, event.camera) && fits(this.#class, event.class_name) && fits(this.#kind, event.kind);
  }

  #row(event) {
    const swatch = el("span", { class: "swatch", "aria-hidden": "true" });
    if (event.class_name) swatch.style.background = colourOf(event.class_name);
    const text = eventText(event);
    const clip = mayHaveClip(event)
      ? el("button", { type: "button", "aria-label": `Play clip: ${text}, ${event.camera}`, on: { click: () => this.#onClip(event, this.#shown) } }, "▶ Clip")
      : el("span", { class: "no-clip" }, "no clip");
    return el(
      "li", { class: "event", data: { id: event.id } },
      el("time", { datetime: new Date(event.time * 1000).toISOString() }, time(event.time)),
      el("div", { class: "what" }, swatch, text, el("span", { class: "where" }, event.camera)),
      clip,
    );
  }

  #showEmpty(title, text) {
    this.#empty.replaceChildren(el("b", {}, title), text);
    this.#empty.hidden = false;
  }

  #select(label) {
    return el("select", { "aria-label": label, on: { change: () => this.#load(false) } });
  }

  /** Announce the number of new events to screen readers, not each: there may be many a second. */
  #announce() {
    if (!this.#unannounced) return;
    setText(this.#announcement, `${this.#unannounced} new; latest: ${eventText(this.#shown[0])}`);
    this.#unannounced = 0;
  }
}

function refill(select, all, names) {
  const wanted = ["", ...names];
  const present = [...select.options].map((option) => option.value);
  if (present.length && wanted.join("\0") === present.join("\0")) return;
  const value = select.value;
  if (value && !wanted.includes(value)) wanted.push(value);
  select.replaceChildren(...wanted.map((name) => el("option", { value: name }, name || all)));
  select.value = value;
}
