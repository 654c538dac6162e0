// List of visits, those that began last first, a card each; open ones change in place.
import { fetchJson } from "./api.js";
import { colourOf } from "./colours.js";
import { el, setText } from "./dom.js";
import { visitText } from "./format.js";
import { VisitCard } from "./visit_card.js";
import { VisitFilter } from "./visit_filter.js";

const PAGE_SIZE = 50;
const MAX_SHOWN = 400;
const DRAW = "draw a zone or a line with “Edit zones”: what enters, stays or crosses appears here.";

export class Visits {
  #list = el("ol");
  #older = el("button", { type: "button", on: { click: () => this.#load(true) } }, "Older visits");
  #more = el("div", { class: "more", hidden: true }, this.#older);
  #empty = el("p", { class: "empty", hidden: true });
  #announcement = el("p", { class: "unseen", role: "status" });
  #filter = new VisitFilter(() => this.#load(false));
  #cards = []; // newest first
  #next = null; // cursor of the older ones
  #loadNumber = 0;
  #unannounced = 0;
  #arrived = []; // visits during a load, whose response may lack them
  #large = ""; // the camera shown large: its filter was not set by the user
  #onClip;

  /** `onClip(visit, visits)` plays a clip; `visits` is the list for "newer" and "older". */
  constructor(onClip) {
    this.#onClip = onClip;
    this.element = el(
      "section", { class: "events", "aria-labelledby": "events-title" },
      el("div", { class: "head" }, el("h2", { id: "events-title" }, "Events")),
      this.#filter.element, this.#announcement,
      el("div", { class: "scroll", tabindex: "-1" }, this.#empty, this.#list, this.#more),
    );
    // Older ones load when their button comes into view, and by the button itself.
    new IntersectionObserver((seen) => {
      if (seen.some((one) => one.isIntersecting) && this.#cards.length < MAX_SHOWN) this.#load(true);
    }, { root: this.#list.parentElement, rootMargin: "200px" }).observe(this.#more);
    setInterval(() => this.#announce(), 5000);
    setInterval(() => document.hidden || this.#cards.forEach((card) => card.tick()), 1000);
  }

  /** Offer these cameras in the filter. */
  cameras(names) {
    this.#filter.cameras(names);
  }

  /** Offer a camera's zones and lines in the filter. */
  zones(camera, zones) {
    this.#filter.zones(camera, zones);
  }

  /** Show only one camera's visits, or all for "". */
  only(camera) {
    this.#large = camera;
    if (this.#filter.setCamera(camera)) this.#load(false);
  }

  /** Show the visits that a figure counted. */
  show(filter) {
    this.#filter.set(filter);
  }

  /** Load the list again: at the start and after a reconnect. */
  refresh() {
    return this.#load(false);
  }

  /** Add a new visit, or change the card of one that is shown. */
  update(visit) {
    if (visit.class_name) colourOf(visit.class_name);
    this.#arrived = [...this.#arrived.filter((one) => one.id !== visit.id), visit].slice(-MAX_SHOWN);
    this.#filter.refill();
    const shown = this.#cards.find((card) => card.visit.id === visit.id);
    if (shown) {
      if (shown.visit.revision <= visit.revision) shown.show(visit);
      return;
    }
    const last = this.#cards.at(-1);
    if (!this.#filter.matches(visit) || (this.#next && last && isLater(last.visit, visit))) return;
    this.#insert(visit).element.classList.add("fresh");
    while (this.#cards.length > MAX_SHOWN) {
      this.#cards.pop().element.remove();
      this.#next = cursorOf(this.#cards.at(-1).visit);
      this.#more.hidden = false;
    }
    this.#empty.hidden = true;
    this.#unannounced += 1;
  }

  async #load(older) {
    if (older && (!this.#next || this.#older.disabled)) return;
    const number = (this.#loadNumber += 1);
    const query = this.#filter.query();
    query.set("limit", PAGE_SIZE);
    if (older) query.set("cursor", this.#next);
    else this.#arrived = [];
    this.#older.disabled = older;
    let answer;
    try {
      answer = await fetchJson(`api/visits?${query}`);
    } catch (error) {
      if (number === this.#loadNumber && !this.#cards.length) this.#showEmpty("Events cannot be shown", error.message);
      return;
    } finally {
      if (number === this.#loadNumber) this.#older.disabled = false;
    }
    if (number !== this.#loadNumber) return; // the filter has changed meanwhile
    if (!older) {
      this.#cards = [];
      this.#list.replaceChildren();
    }
    this.#next = answer.next;
    this.#more.hidden = this.#next === null;
    for (const visit of answer.visits) {
      if (!this.#cards.some((card) => card.visit.id === visit.id)) this.#insert(visit);
      if (visit.class_name) colourOf(visit.class_name);
    }
    if (!older) for (const visit of this.#arrived.splice(0)) this.update(visit);
    this.#filter.refill();
    this.#explain();
  }

  /** Say why there is nothing to see. */
  #explain() {
    if (this.#cards.length) this.#empty.hidden = true;
    else if (this.#large && this.#filter.isOnly(this.#large)) {
      this.#showEmpty("No events of this camera yet", `People and vehicles that move appear here. To watch a place, ${DRAW}`);
    } else if (this.#filter.isSet) this.#showEmpty("No such events", "Nothing matches the filter; choose “All” to see everything.");
    else this.#showEmpty("No events yet", `People and vehicles that move appear here. To watch a place, open a camera and ${DRAW}`);
  }

  /** Insert a visit by its start, as some arrive seconds late; return its card. */
  #insert(visit) {
    let at = 0;
    if (this.#cards.length && isLater(this.#cards.at(-1).visit, visit)) at = this.#cards.length; // older ones come in order
    else while (at < this.#cards.length && isLater(this.#cards[at].visit, visit)) at += 1;
    const card = new VisitCard(visit, (chosen) => this.#onClip(chosen, this.#cards.map((one) => one.visit)));
    this.#list.insertBefore(card.element, this.#list.children[at] ?? null);
    this.#cards.splice(at, 0, card);
    return card;
  }

  #showEmpty(title, text) {
    this.#empty.replaceChildren(el("b", {}, title), text);
    this.#empty.hidden = false;
  }

  /** Announce the number of new visits to screen readers, not each: there may be many a second. */
  #announce() {
    if (!this.#unannounced || !this.#cards.length) return;
    setText(this.#announcement, `${this.#unannounced} new; latest: ${visitText(this.#cards[0].visit)}`);
    this.#unannounced = 0;
  }
}

function isLater(one, other) {
  return one.started > other.started || (one.started === other.started && one.id > other.id);
}

function cursorOf(visit) {
  return `${visit.started.toFixed(9)}_${visit.id}`;
}
