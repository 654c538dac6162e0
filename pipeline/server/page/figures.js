// Figures over days: a card for each zone, line and whole picture, with its hours or days as bars.
import { fetchJson } from "./api.js";
import { classesSeen, colourOf } from "./colours.js";
import { el, loadStyle } from "./dom.js";
import { FigureCard } from "./figure_card.js";
import { HOUR_S, KINDS, cardsOf, dayOf, dayText, spanOf } from "./figures_data.js";
import { Positions } from "./positions.js";

const PREFIX = "#counts";
const REFRESH_MS = 60000;
const RANGES = { 1: "One day", 7: "7 days", 30: "30 days" };
const TOO_MANY = 422;
const ZONE = Intl.DateTimeFormat().resolvedOptions().timeZone ?? ""; // not every server knows every name: then it is its own

let opened = null; // a promise

/** Put the figures beside the wall, once their style sheet is there; `actions` as for `Figures`. */
export function openFigures(actions) {
  opened ??= loadStyle("figures.css").then(() => {
    const figures = new Figures(actions);
    document.getElementById("wall").after(figures.element);
    return figures;
  });
  return opened;
}

class Figures {
  #camera = this.#select("Camera");
  #days = this.#select("Time");
  #class = this.#select("Class");
  #day = el("input", { type: "date", "aria-label": "Day", on: { change: () => this.#choose() } });
  #csv = el("a", { class: "button", download: "" }, "CSV");
  #say = el("p", { class: "empty", role: "status" });
  #legend = el("p", { class: "legend" });
  #groups = el("div", { class: "groups" });
  #positions = new Map(); // camera -> Positions
  #number = 0;
  #isShown = false;
  #actions;

  /**
   * `actions` are {onVisits(filter), onVisit(id), cameras(), onClose()}: show visits beside the figures, play
   * one, the names of the cameras that are there, and onClose(): back to the cameras.
   */
  constructor(actions) {
    this.#actions = actions;
    for (const [value, text] of Object.entries(RANGES)) this.#days.append(el("option", { value }, text));
    const back = el("button", { type: "button", "aria-label": "Back to the cameras", on: { click: () => actions.onClose() } }, "←");
    const step = (by, text, label) => el("button", { type: "button", "aria-label": label, on: { click: () => this.#step(by) } }, text);
    this.element = el(
      "main", { class: "figures", "aria-labelledby": "figures-title", tabindex: "-1" },
      el(
        "div", { class: "figures-bar" }, back, el("h2", { id: "figures-title" }, "Counts over days"),
        el("div", { class: "choices", role: "group", "aria-label": "What is counted" },
          step(-1, "‹", "Earlier"), this.#day, step(1, "›", "Later"), this.#days, this.#camera, this.#class, this.#csv),
      ),
      this.#legend, this.#say, this.#groups,
    );
    setInterval(() => this.#isShown && !document.hidden && this.#reachesNow && this.#load(), REFRESH_MS);
  }

  /** Show what the address asks for, or nothing where it is another one's. */
  follow() {
    this.#isShown = location.hash.split("?", 1)[0] === PREFIX;
    if (!this.#isShown) return;
    const asked = new URLSearchParams(location.hash.slice(PREFIX.length + 1));
    const set = (select, value) => {
      if (![...select.options].some((one) => one.value === value)) select.append(el("option", { value }, value));
      select.value = value;
    };
    this.#offer([]);
    this.#day.value = dayOf(asked.get("day")) ? asked.get("day") : dayText(new Date());
    this.#days.value = asked.get("days") in RANGES ? asked.get("days") : "1";
    set(this.#camera, asked.get("camera") ?? "");
    set(this.#class, asked.get("class") ?? "");
    this.#load();
  }

  get #span() {
    return spanOf(this.#day.value, Number(this.#days.value));
  }

  get #reachesNow() {
    return this.#span.until > Date.now() / 1000;
  }

  #select(label) {
    return el("select", { "aria-label": label, on: { change: () => this.#choose() } });
  }

  /** Put what is chosen into the address, so that it can be linked; that shows it. */
  #choose() {
    if (!dayOf(this.#day.value)) this.#day.value = dayText(new Date());
    const about = { day: this.#day.value === dayText(new Date()) ? "" : this.#day.value, days: this.#days.value, camera: this.#camera.value, class: this.#class.value };
    const query = new URLSearchParams(Object.entries(about).filter(([key, value]) => value && (key !== "days" || value !== "1")));
    history.replaceState(null, "", String(query) ? `${PREFIX}?${query}` : PREFIX);
    this.#load();
  }

  #step(by) {
    const day = dayOf(this.#day.value, by * Number(this.#days.value));
    const text = dayText(new Date(Math.min(day, Date.now()))); // up to today, though less than a step
    if (text === this.#day.value) return;
    this.#day.value = text;
    this.#choose();
  }

  /** Offer the cameras and classes that are known. */
  #offer(rows) {
    const fill = (select, all, names) => {
      const value = select.value;
      const wanted = [...new Set(["", ...names, ...(value ? [value] : [])])];
      if ([...select.options].map((one) => one.value).join("\0") === wanted.join("\0") && select.options.length) return;
      select.replaceChildren(...wanted.map((one) => el("option", { value: one }, one || all)));
      select.value = value;
    };
    fill(this.#camera, "All cameras", [...this.#actions.cameras(), ...rows.map(({ camera }) => camera)]);
    fill(this.#class, "All classes", [...new Set([...classesSeen(), ...rows.map(({ class_name }) => class_name)])].filter(Boolean).sort());
  }

  async #load() {
    const number = (this.#number += 1);
    const { since, until } = this.#span;
    const count = Number(this.#days.value);
    const filter = { camera: this.#camera.value, class: this.#class.value };
    const query = (values) => new URLSearchParams(Object.entries({ ...filter, clock: "local", time_zone: ZONE, ...values }).filter(([, value]) => value !== ""));
    const bucket = count === 1 ? "hour" : "day";
    this.#csv.href = new URL(`api/counts.csv?${query({ since, until, bucket })}`, document.baseURI);
    this.#csv.download = `counts ${dayText(new Date(since * 1000))}${count > 1 ? ` to ${this.#day.value}` : ""}.csv`;
    const before = dayOf(dayText(new Date(since * 1000)), count === 1 ? -7 : -count).getTime() / 1000;
    if (!this.#groups.childElementCount) this.#tell("Loading");
    let found;
    try {
      found = await Promise.all([
        // One day is seen beside the hours of the week before it, several beside as many days.
        rowsOf(query({ since: count === 1 ? before : since, until, bucket: "hour" })),
        count === 1 ? [] : rowsOf(query({ since: before, until: since, bucket: "day" })),
        fetchJson(`api/counts?${query({ hours: 1 })}`),
      ]);
    } catch (error) {
      if (number === this.#number) this.#fail(error.message);
      return;
    }
    if (number !== this.#number || !this.#isShown) return;
    const [rows, earlier, { counts }] = found;
    this.#offer(rows);
    const names = counts.filter((one) => (!filter.camera || one.camera === filter.camera) && !filter.class);
    this.#show(cardsOf([...earlier, ...rows], names.map(({ camera, area, kind }) => ({ camera, area, kind }))));
  }

  #show(cards) {
    const span = this.#span;
    const cameras = [...new Set(cards.map(({ camera }) => camera))];
    this.#say.hidden = cards.length > 0;
    if (!cards.length) this.#tell(el("b", {}, "Nothing was counted"), "Nothing happened on these days, or it has been deleted: choose another day, camera or class.");
    const classes = new Set(cards.flatMap(({ rows }) => rows.map(({ class_name }) => class_name)));
    this.#legend.hidden = !classes.size;
    this.#legend.replaceChildren(...[...classes].sort().map((name) => {
      const swatch = el("i", { "aria-hidden": "true" });
      swatch.style.background = colourOf(name);
      return el("span", {}, swatch, name || "object");
    }));
    const open = (card) => (slot) => this.#actions.onVisits({ camera: card.camera, class_name: this.#class.value, area: card.area, type: card.type, ...slot });
    const groups = cameras.map((camera) => el(
      "section", { class: "group", "aria-label": camera },
      this.#headOf(camera, span),
      el("div", { class: "cards" }, ...cards.filter((card) => card.camera === camera).map((card) => new FigureCard(card, span, open(card)).element)),
    ));
    // Each minute, too: what is open and has the focus stays so.
    const focused = document.activeElement?.dataset?.key;
    const opened = [...this.#groups.querySelectorAll("details[open] > summary")].map((one) => one.dataset.key);
    this.#groups.replaceChildren(...groups);
    const keyed = (key) => this.#groups.querySelector(`[data-key="${CSS.escape(key)}"]`);
    for (const key of opened) keyed(key)?.parentElement.setAttribute("open", "");
    if (focused) keyed(focused)?.focus();
  }

  /** Return the head of a camera's cards, with its heat map once that was opened. */
  #headOf(camera, { since, until }) {
    if (!this.#positions.has(camera)) this.#positions.set(camera, new Positions(camera, this.#actions.onVisit));
    const positions = this.#positions.get(camera);
    positions.about({ since, until: Math.min(until, Math.ceil(Date.now() / 1000 / HOUR_S) * HOUR_S), class_name: this.#class.value });
    return positions.element;
  }

  #fail(message) {
    this.#groups.replaceChildren();
    this.#legend.hidden = true;
    this.#tell(el("b", {}, "Counts cannot be shown"), message);
  }

  #tell(...words) {
    this.#say.hidden = false;
    this.#say.replaceChildren(...words);
  }
}

/** Return the rows of all kinds that are shown; by day where there are too many hours. */
async function rowsOf(query) {
  const asked = (more) => Promise.all(KINDS.map(async (kind) => {
    const all = new URLSearchParams([...query.entries(), ["kind", kind]]);
    for (const [key, value] of Object.entries(more)) all.set(key, value);
    return (await fetchJson(`api/counts/history?${all}`)).counts;
  }));
  try {
    return (await asked({})).flat();
  } catch (error) {
    if (error.status !== TOO_MANY || query.get("bucket") === "day") throw error;
    return (await asked({ bucket: "day" })).flat();
  }
}
