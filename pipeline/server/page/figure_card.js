// Card of one zone, line or whole picture: its figure, bars by hour or day, what was usual.
import { colourOf } from "./colours.js";
import { el, svg } from "./dom.js";
import { HOUR_S, between, busiest, byHour, bySlot, rough, slotsOf, sumOf } from "./figures_data.js";

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const date = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short" });
const number = new Intl.NumberFormat();
const VERBS = { zone: "entered", line: "crossed", picture: "appeared" };

export class FigureCard {
  #card;
  #span;
  #slots;
  #sums;
  #onOpen;

  /** `onOpen({since, until})` shows the visits of an hour or day. */
  constructor(card, span, onOpen) {
    this.#card = card;
    this.#span = span;
    this.#onOpen = onOpen;
    this.#slots = slotsOf(span);
    const now = between(card.rows, span.since, span.until);
    this.#sums = bySlot(now, this.#slots);
    const all = sumOf(now);
    const { area, type } = card;
    const figure = type === "line" ? `${number.format(all.in)} in · ${number.format(all.out)} out` : number.format(all.total);
    this.element = el(
      "article", { class: "figure-card", "aria-label": area || "Whole picture" },
      el("h4", {}, area || "Whole picture", el("small", {}, type === "line" ? "line" : type === "zone" ? "zone" : "")),
      el("p", { class: "total" }, el("b", {}, figure), type === "line" ? "" : ` ${VERBS[type]}`),
      this.#chart(),
      el("p", { class: "usual" }, this.#usual(now)),
      this.#busy(now),
      this.#table(),
    );
  }

  get #isDay() {
    return this.#span.days.length === 1;
  }

  #label({ since, until }) {
    const start = new Date(since * 1000);
    return this.#isDay ? `${clock.format(start)}–${clock.format(new Date(until * 1000))}` : date.format(start);
  }

  /** Return what it was before: of the day before and the week, or of as many days. */
  #usual(now) {
    const { rows } = this.#card;
    const { since, until, days } = this.#span;
    const earlier = between(rows, 0, since);
    const total = sumOf(now).total;
    if (!this.#isDay) {
      return `${rough(total / days.length)} a day · the ${days.length} days before: ${sumOf(earlier).total}`;
    }
    const yesterday = between(rows, since - 24 * HOUR_S, since);
    const passed = Date.now() / 1000 - since;
    const texts = [`Day before: ${sumOf(yesterday).total}`];
    if (until > Date.now() / 1000 && passed > HOUR_S) {
      texts[0] += ` (by this hour ${sumOf(between(yesterday, 0, since - 24 * HOUR_S + passed)).total})`;
    }
    return [...texts, `7 days before: ${rough(sumOf(earlier).total / 7)} a day`].join(" · ");
  }

  #busy(now) {
    const hours = busiest(byHour(now, this.#span.days.length));
    const areHours = now.some(({ time }) => new Date(time * 1000).getHours() > 0);
    if (!hours.length || !areHours) return el("p", { class: "busy" });
    const name = (hour) => `${hour}–${hour + 1} h`;
    const shown = hours.map(([hour, n]) => {
      const slot = this.#isDay && this.#slots.find(({ since }) => new Date(since * 1000).getHours() === hour);
      const text = `${name(hour)} (${rough(n)})`;
      return slot
        ? el("button", { type: "button", data: { key: `${this.#key} ${hour}` }, "aria-label": `Events of ${text}`, on: { click: () => this.#onOpen(slot) } }, text)
        : el("span", {}, text);
    });
    return el("p", { class: "busy" }, "Busiest: ", ...shown);
  }

  get #key() {
    return `${this.#card.camera} ${this.#card.type} ${this.#card.area}`;
  }

  /** Return the bars, stacked by class, and the average of the week before as a line. */
  #chart() {
    const usual = this.#isDay ? byHour(between(this.#card.rows, 0, this.#span.since), 7) : [];
    const top = Math.max(1, ...this.#sums.map(({ total }) => total), ...usual);
    const most = Math.max(0, ...this.#sums.map(({ total }) => total));
    const drawing = svg("svg", {
      viewBox: `0 0 ${this.#slots.length} ${top}`, preserveAspectRatio: "none", role: "img",
      "aria-label": `${this.#isDay ? "By hour" : "By day"}: at most ${most} in one`,
    });
    this.#sums.forEach((sum, i) => {
      let low = 0;
      for (const [name, n] of [...sum.classes].sort()) {
        low += n;
        drawing.append(svg("rect", { x: i + 0.08, width: 0.84, y: top - low, height: n, fill: colourOf(name) }));
      }
    });
    if (usual.some((n) => n > 0)) {
      const points = this.#slots.map(({ since }, i) => `${i + 0.5},${top - usual[new Date(since * 1000).getHours()]}`);
      drawing.append(svg("polyline", { points: points.join(" "), class: "average" }));
    }
    this.#slots.forEach((slot, i) => {
      const hit = svg("rect", { x: i, width: 1, y: 0, height: top, class: "hit" });
      const title = svg("title");
      title.append(`${this.#label(slot)}: ${textOf(this.#sums[i])}`);
      hit.append(title);
      hit.addEventListener("click", () => this.#onOpen(slot));
      drawing.append(hit);
    });
    const count = this.#slots.length;
    const axis = [0, count >> 1, count - 1].map((i) => (this.#isDay ? clock.format(new Date(this.#slots[i].since * 1000)) : date.format(new Date(this.#slots[i].since * 1000))));
    return el(
      "div", { class: "plot" }, el("span", { class: "top", "aria-hidden": "true" }, String(most || "")), drawing,
      el("div", { class: "axis", "aria-hidden": "true" }, ...axis.map((text) => el("span", {}, text))),
    );
  }

  /** Return the same as a table, filled when it is opened. */
  #table() {
    const body = el("tbody");
    const details = el(
      "details", {}, el("summary", { data: { key: this.#key } }, this.#isDay ? "By hour" : "By day"),
      el("table", {}, el("caption", { class: "unseen" }, this.#isDay ? "By hour" : "By day"), body),
    );
    details.addEventListener("toggle", () => {
      if (!details.open || body.childElementCount) return;
      body.append(...this.#slots.map((slot, i) => el(
        "tr", {},
        el("th", { scope: "row" }, this.#sums[i].total
          ? el("button", { type: "button", "aria-label": `Events of ${this.#label(slot)}`, on: { click: () => this.#onOpen(slot) } }, this.#label(slot))
          : this.#label(slot)),
        el("td", {}, textOf(this.#sums[i])),
      )));
    });
    return details;
  }
}

/** Return a sum as text: "31: 12 in, 19 out; 30 person, 1 car". */
function textOf({ total, in: ins, out, classes }) {
  const ways = ins || out ? [`${ins} in, ${out} out`] : [];
  const names = [...classes].filter(([name]) => name).sort(([, n], [, m]) => m - n).map(([name, n]) => `${n} ${name}`);
  return total ? `${total}: ${[...ways, names.join(", ")].filter(Boolean).join("; ")}` : "0";
}
