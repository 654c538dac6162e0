// Editor of one camera's zones and lines: load, draw, edit, undo, save.
import { fetchJson, cameraPath } from "./api.js";
import { MAX_ZONES, MIN_POINTS, freshName, fromServer, maskOf, masksOf, problemOf, rescaled, rounded, toServer } from "./zones.js";
import { WholePicture } from "./whole_picture.js";
import { choose } from "./dialogs.js";
import { Preview } from "./zone_preview.js";
import { el, setAttribute, setText } from "./dom.js";
import { ZoneDrawing } from "./zone_drawing.js";
import { ZoneForm } from "./zone_form.js";

const HINTS = {
  idle: "Choose a zone or a line to change it, or draw a new one.",
  zone: "Set the corners: click, tap, or arrow keys and Space. Enter, double click or the first corner finishes.",
  line: "Drag from one end of the line to the other, or click both. The arrow points “in”; the small dot bends it afterwards.",
  mask: "Set the corners of an area to ignore, such as a street: objects with their feet inside cause no event of the whole picture.",
  chosen: "Drag points to move them, the small dots to add one. Delete removes the point that has the focus.",
};

/** Sidebar section of the editor. Events: "saved" (detail: camera, zones, size) and "closed". */
export class ZoneEditor extends EventTarget {
  #tile = null;
  #draft = null;
  #size = null;
  #others = {};
  #saved = "";
  #undo = [];
  #hint = el("p", { class: "say", role: "status" });
  #problem = el("p", { class: "problem", role: "alert" });
  #title = el("h2", { id: "editor-title" });
  #none = el("li", { class: "empty" }, "This camera has no zones and no lines yet.");
  #list = el("ul", { class: "list" }, this.#none);
  #newZone = el("button", { type: "button", on: { click: () => this.#start("zone") } }, "New zone");
  #newLine = el("button", { type: "button", on: { click: () => this.#start("line") } }, "New line");
  #newMask = el("button", { type: "button", on: { click: () => this.#start("mask") } }, "New mask");
  #finish = el("button", { type: "button", class: "strong", hidden: true, on: { click: () => this.#draft.finish() } }, "Finish");
  #cancel = el("button", { type: "button", hidden: true, on: { click: () => this.#draft.cancel() } }, "Cancel");
  #save = el("button", { type: "button", class: "strong", on: { click: () => this.save() } }, "Save");
  #revert = el("button", { type: "button", on: { click: () => this.#undoLast() } }, "Undo");
  #close = el("button", { type: "button", on: { click: () => this.close() } }, "Close");
  #form = new ZoneForm({ begin: () => this.#pushUndo(), change: () => this.#refresh(), remove: () => this.#delete() });
  #whole = new WholePicture({ begin: () => this.#pushUndo(), change: () => this.#refresh() });
  #preview = new Preview(() => this.#showCounts());
  #words;
  #isLive;
  #onSizeChange = () => this.#rescale();

  /** `words` are what the button that closes is called, the hint after saving, and whether it is a camera. */
  constructor(words = { close: "Close", saved: "Saved. It counts from now on.", isLive: true }) {
    super();
    this.#words = words;
    this.#isLive = words.isLive ?? false;
    this.element = el(
      "section", { class: "editor", "aria-labelledby": "editor-title", hidden: true },
      el("div", { class: "head" }, this.#title),
      el("div", { class: "buttons" }, this.#newZone, this.#newLine, this.#newMask, this.#finish, this.#cancel),
      this.#hint, this.#list, this.#preview.element, this.#form.element, this.#whole.element,
      el("div", { class: "end" }, this.#problem, el("div", { class: "row" }, this.#save, this.#revert, this.#close)),
    );
    addEventListener("beforeunload", (event) => this.dirty && event.preventDefault());
    document.addEventListener("keydown", (event) => {
      const isUndo = event.key === "z" && (event.ctrlKey || event.metaKey) && !event.target.closest?.("input");
      if (this.#tile && isUndo) this.#undoLast();
    });
  }

  get camera() {
    return this.#tile?.name ?? null;
  }

  get dirty() {
    return this.#tile !== null && this.#asText() !== this.#saved;
  }

  /** Begin to edit the zones of a tile's camera, if it is still wanted once they are there; raises ApiError when they cannot be loaded. */
  async open(tile, isWanted) {
    const answer = await fetchJson(cameraPath(tile.name, "zones"));
    if (!isWanted()) return;
    const { zones, lines, size, appeared = null, ...others } = answer;
    this.#others = others;
    this.#size = tile.size;
    this.#tile = tile;
    this.#draft = new ZoneDrawing(tile);
    this.#draft.zones = rescaled([...fromServer({ zones, lines }), ...masksOf({ appeared })], size, tile.size);
    this.#whole.open(appeared, this.#isLive && !zones.length && !lines.length);
    this.#saved = this.#asText();
    this.#undo = [];
    this.#problem.textContent = "";
    for (const [type, listener] of Object.entries({
      begin: () => this.#pushUndo(), change: () => this.#refresh(), choose: () => this.#refresh(),
      point: () => this.#refresh(), cancel: () => this.#refresh(), finish: ({ detail }) => this.#add(detail),
    })) this.#draft.addEventListener(type, listener);
    tile.stage.addEventListener("sizechange", this.#onSizeChange);
    tile.element.setAttribute("data-editing", "");
    document.body.dataset.editing = "";
    this.element.hidden = false;
    tile.paint();
    this.#refresh();
    this.#newZone.focus();
  }

  /** Stop editing; asks about unsaved changes. Return whether the editor is closed now. */
  async close() {
    if (this.#tile === null) return true;
    if (this.dirty) {
      const answer = await choose("Save the changes?", `The zones and lines of ${this.#tile.name} have unsaved changes.`, [
        { value: "save", text: "Save" }, { value: "drop", text: "Discard changes" }, { value: "stay", text: "Keep editing" },
      ]);
      if (answer === "stay" || (answer === "save" && !(await this.save()))) return false;
    }
    const tile = this.#tile;
    this.#tile = null;
    this.#preview.end();
    this.#draft.close();
    this.element.hidden = true;
    tile.stage.removeEventListener("sizechange", this.#onSizeChange);
    tile.element.removeAttribute("data-editing");
    delete document.body.dataset.editing;
    tile.paint();
    this.dispatchEvent(new Event("closed"));
    return true;
  }

  /** Save all zones and lines on the server; return whether it accepted them. */
  async save() {
    const draft = this.#draft;
    for (const zone of draft.zones) zone.name = zone.name.trim();
    setText(this.#problem, problemOf(draft.zones));
    if (this.#problem.textContent) return false;
    this.#save.disabled = true;
    const sent = this.#asText();
    try {
      const saved = await fetchJson(cameraPath(this.#tile.name, "zones"), { method: "PUT", body: JSON.parse(sent) });
      this.#saved = sent;
      const detail = { camera: this.#tile.name, zones: fromServer(saved), size: saved.size };
      this.dispatchEvent(new CustomEvent("saved", { detail }));
      this.#refresh();
      setText(this.#hint, this.#words.saved);
      return true;
    } catch (error) {
      setText(this.#problem, `Not saved: ${error.message}`);
      return false;
    } finally {
      this.#save.disabled = !this.dirty;
    }
  }

  /** Scale the zones to the camera's new picture size. */
  #rescale() {
    const wasDirty = this.dirty;
    const draft = this.#draft;
    if (draft.drawing) draft.cancel();
    draft.zones = rescaled(draft.zones, this.#size, this.#tile.size);
    this.#size = this.#tile.size;
    this.#undo = [];
    if (!wasDirty) this.#saved = this.#asText();
    this.#refresh();
  }

  #start(kind) {
    this.#draft.draw(kind);
    this.#refresh();
  }

  #add({ kind, points }) {
    this.#pushUndo();
    const draft = this.#draft;
    draft.zones.push({ ...maskOf(points, freshName(draft.zones, kind)), kind });
    if (kind === "mask") this.#whole.switchOn();
    draft.chosen = draft.zones.length - 1;
    draft.render();
    this.#refresh();
    this.#form.focus();
  }

  #delete() {
    this.#pushUndo();
    this.#draft.zones.splice(this.#draft.chosen, 1);
    this.#draft.chosen = -1;
    this.#draft.render();
    this.#refresh();
    this.#newZone.focus();
  }

  #pushUndo() {
    this.#undo.push(JSON.stringify([this.#draft.zones, this.#whole.state]));
    if (this.#undo.length > 100) this.#undo.shift();
  }

  #undoLast() {
    if (!this.#undo.length) return;
    const draft = this.#draft;
    [draft.zones, this.#whole.state] = JSON.parse(this.#undo.pop());
    if (draft.chosen >= draft.zones.length) draft.chosen = -1;
    draft.render();
    this.#refresh(true);
  }

  #asText() {
    const masks = this.#draft.zones.filter((zone) => zone.kind === "mask").map((zone) => rounded(zone.points));
    return JSON.stringify(toServer(this.#draft.zones, this.#size, { ...this.#others, ...this.#whole.toServer(masks) }));
  }

  #refresh(anew = false) {
    const { zones, chosen, drawing } = this.#draft;
    setText(this.#title, `Zones and lines of ${this.#tile.name}`);
    setText(this.#hint, HINTS[drawing?.kind ?? (chosen >= 0 ? "chosen" : "idle")]);
    for (const button of [this.#newZone, this.#newLine, this.#newMask]) {
      button.hidden = drawing !== null;
      button.disabled = zones.length >= MAX_ZONES;
    }
    this.#whole.element.hidden = chosen >= 0 || drawing !== null;
    this.#finish.hidden = this.#cancel.hidden = drawing === null;
    this.#finish.disabled = drawing !== null && drawing.points.length < MIN_POINTS[drawing.kind];
    this.#form.show(zones[chosen] ?? null, anew);
    this.#save.disabled = !this.dirty;
    this.#revert.disabled = !this.#undo.length;
    setText(this.#close, `${this.#words.close}${this.dirty ? " …" : ""}`);
    if (this.#problem.textContent && !problemOf(zones)) setText(this.#problem, "");
    this.#preview.ask(this.#tile.name, this.#asText(), problemOf(zones) === "" && drawing === null);
    this.#showCounts();
    this.#draft.render();
  }

  /** Show what would have counted; what the editor says meanwhile, "Saved." say, stays. */
  #showCounts() {
    this.#whole.count(this.#preview.appeared);
    this.#fillList(this.#draft.zones, this.#draft.chosen);
  }

  /** Show the zones in place: counts come while a row is being clicked, or has the focus. */
  #fillList(zones, chosen) {
    this.#none.hidden = zones.length > 0;
    const rows = [...this.#list.querySelectorAll("button")];
    for (const row of rows.slice(zones.length)) row.parentElement.remove();
    zones.forEach((zone, i) => {
      const row = rows[i] ?? el("button", { type: "button", on: { click: () => this.#pick(i) } }, el("span"), el("small"));
      if (!rows[i]) this.#list.append(el("li", {}, row));
      setAttribute(row, "aria-pressed", String(i === chosen));
      setText(row.children[0], zone.name || "(no name)");
      setText(row.children[1], this.#preview.text(zone) || zone.kind);
    });
  }

  #pick(index) {
    this.#draft.chosen = index;
    this.#draft.render();
    this.#refresh();
  }
}
