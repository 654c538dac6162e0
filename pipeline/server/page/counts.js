// Table of counts: events of the last hours and tracks inside each zone now, per camera.
import { fetchJson } from "./api.js";
import { el } from "./dom.js";

const HOURS = { 1: "Last hour", 8: "Last 8 hours", 24: "Last 24 hours", 168: "Last 7 days" };
const REFRESH_MS = 10000;
const MAX_CLASSES = 5;

export class Counts {
  #body = el("div", { class: "scroll", role: "group", "aria-labelledby": "counts-title", tabindex: "0" }); // it may scroll
  #hours = el("select", { "aria-label": "Counted in" });
  #camera = "";
  #soon = 0;
  #inside = new Map();
  #last = null;
  #error = "";

  #onLoaded;

  /** `onLoaded` is called with the counts of the cameras asked for, as the server gives them, and that camera or "". */
  constructor(onLoaded = () => {}) {
    this.#onLoaded = onLoaded;
    for (const [hours, text] of Object.entries(HOURS)) this.#hours.append(el("option", { value: hours }, text));
    this.#hours.value = "24";
    this.#hours.addEventListener("change", () => this.refresh());
    this.element = el(
      "section", { class: "counts", "aria-labelledby": "counts-title" },
      el("div", { class: "head" }, el("h2", { id: "counts-title" }, "Counts"), el("a", { class: "button plain", href: "#counts" }, "Over days"), this.#hours), this.#body,
    );
    setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
  }

  /** Show the counts of one camera, or of all for "". */
  only(camera) {
    if (camera === this.#camera) return;
    this.#camera = camera;
    this.refresh();
  }

  /** Reload in a second, once for a burst of events. */
  refreshSoon() {
    this.#soon ||= setTimeout(() => this.refresh(), 1000);
  }

  /** Update how many tracks are in a camera's zones now, {zone: n}, n null while unknown. */
  inside(camera, zones) {
    const text = JSON.stringify(zones);
    const shown = this.#inside.get(camera);
    if (shown?.seen && shown.text === text) return;
    this.#inside.set(camera, { text, zones, seen: true });
    this.#show();
  }

  /** Mark the occupancy of a camera's zones as unknown until the next call of `inside`. */
  setUnknown(camera) {
    const shown = this.#inside.get(camera) ?? { text: "", zones: {}, seen: true };
    if (!shown.seen) return;
    this.#inside.set(camera, { ...shown, seen: false });
    this.#show();
  }

  async refresh() {
    clearTimeout(this.#soon);
    this.#soon = 0;
    const query = new URLSearchParams({ hours: this.#hours.value });
    if (this.#camera) query.set("camera", this.#camera);
    try {
      const answer = await fetchJson(`api/counts?${query}`);
      this.#last = { camera: this.#camera, ...answer };
      this.#onLoaded(answer.counts, query.get("camera") ?? "");
      this.#error = "";
    } catch (error) {
      this.#error = error.message;
    }
    this.#show();
  }

  #show() {
    if (this.#last === null) {
      this.#body.replaceChildren(el("p", { class: "empty" }, ...(this.#error ? [el("b", {}, "Counts cannot be shown"), this.#error] : ["Loading"])));
      return;
    }
    const cameras = countsByCamera(this.#last, this.#inside);
    const tables = [...cameras].flatMap(([camera, rows]) => tablesOf(camera, rows));
    if (!tables.length) {
      tables.push(el("p", { class: "empty" }, el("b", {}, "Nothing counted yet"), "Counts come from zones and lines: open a camera and choose “Edit zones”."));
    }
    this.#body.replaceChildren(...tables);
  }
}

/** Return Map camera -> Map zone -> {line, n: {in, enter, ...}, now, classes: Map name -> n}. */
function countsByCamera({ counts, inside, camera: only }, fresh) {
  const cameras = new Map();
  const rowOf = (camera, zone) => {
    if (!cameras.has(camera)) cameras.set(camera, new Map());
    const rows = cameras.get(camera);
    if (!rows.has(zone)) rows.set(zone, { n: {}, classes: new Map(), now: 0, line: false });
    return rows.get(zone);
  };
  for (const { camera, area: zone, kind, direction, class_name, count } of counts) {
    if (zone === "") continue; // an event of the camera itself
    const row = rowOf(camera, zone);
    const key = kind === "cross" ? direction : kind;
    row.line ||= kind === "cross";
    row.n[key] = (row.n[key] ?? 0) + count;
    if (!count) continue; // no event yet, so no class
    const ofClass = row.classes.get(class_name) ?? {};
    ofClass[key] = (ofClass[key] ?? 0) + count;
    row.classes.set(class_name, ofClass);
  }
  for (const { camera, area: zone, count } of inside) {
    const row = rowOf(camera, zone);
    row.now = count === null ? null : row.now + count;
  }
  for (const [camera, { zones, seen }] of fresh) {
    if (only && camera !== only) continue;
    for (const [zone, n] of Object.entries(zones)) rowOf(camera, zone).now = n;
    if (!seen) for (const row of cameras.get(camera)?.values() ?? []) row.now = null;
  }
  return cameras;
}

function tablesOf(camera, rows) {
  const all = [...rows].sort(([one], [other]) => one.localeCompare(other));
  const lines = all.filter(([, row]) => row.line);
  const zones = all.filter(([, row]) => !row.line);
  const tables = [el("h3", {}, camera)];
  if (lines.length) tables.push(table(camera, ["Line", "In", "Out"], lines, ({ n }) => [n.in, n.out]));
  if (zones.length) {
    tables.push(table(camera, ["Zone", "Now", "Entered", "Left", "Dwelled"], zones, ({ now, n }) => [now ?? "–", n.enter, n.leave, n.dwell]));
  }
  return tables;
}

function table(camera, heads, rows, cells) {
  const hasNow = heads[1] === "Now";
  return el(
    "table", {},
    el("caption", { class: "unseen" }, `${camera}: ${heads[0].toLowerCase()}s`),
    el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))),
    el("tbody", {}, ...rows.flatMap(([zone, row]) => {
      const classes = row.classes.size > 1 ? [...row.classes].sort(byTotal).slice(0, MAX_CLASSES) : [];
      return [
        line(zone, cells(row), hasNow, null),
        ...classes.map(([name, n]) => line(name || "object", cells({ n, now: "" }), false, "class")),
      ];
    })),
  );
}

function line(name, numbers, hasNow, kind) {
  const cells = numbers.map((n, i) => el("td", { class: hasNow && i === 0 ? "now" : n ? null : "none" }, String(n ?? 0)));
  return el("tr", { class: kind }, el("th", { scope: "row" }, name), ...cells);
}

function byTotal([, one], [, other]) {
  const total = (n) => Object.values(n).reduce((sum, value) => sum + value, 0);
  return total(other) - total(one);
}
