// The list of events: newest first, filtered, added to as they happen.
import { ask } from "./api.js";
import { classesSeen, colourOf } from "./colours.js";
import { el, say } from "./dom.js";
import { eventText, mayHaveClip, time } from "./words.js";

const PAGE = 100;
const MOST_SHOWN = 400;
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
  #load_ = 0;
  #untold = 0;
  #arrived = []; // while a list is being loaded, which may not have them yet
  #large = ""; // the camera that is large, whose events were not filtered by hand
  #onClip;

  /** `onClip(event, events)` plays a clip; `events` are those that may be played next. */
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
    setInterval(() => this.#tell(), 5000);
  }

  /** Offer these cameras and the classes seen so far to filter by. */
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

  /** Load anew: at the start, and after a time without a connection. */
  refresh() {
    return this.#load(false);
  }

  /** Take an event that has just happened. */
  add(event) {
    if (event.class_name) colourOf(event.class_name);
    this.#arrived.push(event);
    if (this.#arrived.length > MOST_SHOWN) this.#arrived.shift();
    this.cameras([...this.#camera.options].slice(1).map((option) => option.value));
    if (!this.#wants(event) || this.#shown.some((one) => one.id === event.id)) return;
    this.#insert(event).classList.add("fresh");
    while (this.#shown.length > MOST_SHOWN) {
      this.#shown.pop();
      this.#list.lastElementChild.remove();
      this.#more.hidden = false;
    }
    this.#empty.hidden = true;
    this.#untold += 1;
  }

  async #load(older) {
    const turn = (this.#load_ += 1);
    const query = new URLSearchParams({ limit: PAGE });
    if (!older) this.#arrived = [];
    for (const [key, field] of [["camera", this.#camera], ["class_name", this.#class], ["kind", this.#kind]]) {
      if (field.value) query.set(key, field.value);
    }
    if (older && this.#shown.length) query.set("before_id", Math.min(...this.#shown.map((one) => one.id)));
    let events;
    try {
      ({ events } = await ask(`api/events?${query}`));
    } catch (error) {
      if (turn === this.#load_ && !this.#shown.length) this.#sayEmpty("Events cannot be shown", error.message);
      return;
    }
    if (turn !== this.#load_) return; // the filter has changed meanwhile
    if (!older) {
      this.#shown = [];
      this.#list.replaceChildren();
    }
    for (const event of events) this.#insert(event);
    this.#more.hidden = events.length < PAGE;
    if (!older) for (const event of this.#arrived.splice(0)) this.add(event);
    const filtered = this.#camera.value || this.#class.value || this.#kind.value;
    const largeOnly = this.#large && this.#camera.value === this.#large && !this.#class.value && !this.#kind.value;
    if (this.#shown.length) this.#empty.hidden = true;
    else if (largeOnly) this.#sayEmpty("No events of this camera yet", "Draw a zone or a line with “Edit zones”: what enters, stays or crosses appears here.");
    else if (filtered) this.#sayEmpty("No such events", "Nothing fits the filter; choose “All” to see everything.");
    else this.#sayEmpty("No events yet", "Open a camera and draw a zone or a line with “Edit zones”: what enters, stays or crosses appears here.");
    this.cameras([...this.#camera.options].slice(1).map((option) => option.value));
  }

  /** Put an event where its time belongs, for some arrive seconds late; return its row. */
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

  #wants(event) {
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

  #sayEmpty(title, text) {
    this.#empty.replaceChildren(el("b", {}, title), text);
    this.#empty.hidden = false;
  }

  #select(label) {
    return el("select", { "aria-label": label, on: { change: () => this.#load(false) } });
  }

  /** Tell screen readers how many came, not each: a busy gate must not talk without end. */
  #tell() {
    if (!this.#untold) return;
    say(this.#announcement, `${this.#untold} new; latest: ${eventText(this.#shown[0])}`);
    this.#untold = 0;
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
