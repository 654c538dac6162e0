// Player of a visit's clip in a dialog: its track highlighted, its zones drawn, its events marked.
import { fetchJson } from "./api.js";
import { ClipOverlay } from "./clip_overlay.js";
import { el, setAttribute, setText } from "./dom.js";
import { clipsOf, eventText, mayHaveClip, span, stamp, time, visitText } from "./format.js";

const MIN_RETRY_MS = 1500;
const MAX_RETRY_MS = 10000;
const JUMP_S = 2;
const LEAD_S = 2; // start this long before the event
const PREFIX = "#visit/";

export class Clip {
  #video = el("video", { controls: true, playsinline: true, preload: "auto" });
  #overlay = new ClipOverlay(this.#video);
  #marks = el("ol", { class: "marks", "aria-label": "Events in the clip" });
  #title = el("h2", { id: "clip-title" });
  #hint = el("p", { class: "hint", role: "status" });
  #newer = el("button", { type: "button", "aria-keyshortcuts": "n", on: { click: () => this.#step(-1) } }, "Newer");
  #older = el("button", { type: "button", "aria-keyshortcuts": "p", on: { click: () => this.#step(1) } }, "Older");
  #download = el("a", { class: "button", download: "" }, "Download");
  #share = el("button", { type: "button", on: { click: () => this.#copyLink() } }, "Copy link");
  #link = el("input", { readonly: true, hidden: true, "aria-label": "Link to this visit" });
  #close = el("button", { type: "button", class: "close", on: { click: () => this.dialog.close() } }, "Close");
  #parts = el("div", { class: "parts", role: "group", "aria-label": "Clips of this visit", hidden: true });
  #visit = null;
  #clips = []; // of the visit, as `clipsOf` has them
  #at = 0; // which of them is shown
  #isPlaced = false; // whether the clip began where it should, or the user has gone elsewhere in it
  #visits = [];
  #retry = 0;
  #retryMs = MIN_RETRY_MS;
  #there = ""; // address of a clip that failed and is there

  constructor() {
    this.dialog = el(
      "dialog", { class: "clip", "aria-labelledby": "clip-title" },
      el("div", { class: "screen" }, this.#video, this.#overlay.canvas), this.#marks, this.#parts,
      el(
        "div", { class: "sheet" }, this.#title, this.#hint, this.#link,
        el("div", { class: "row" }, this.#newer, this.#older, this.#download, this.#share, this.#close),
      ),
    );
    this.dialog.addEventListener("close", () => this.#stop());
    // Captured before the video's own controls: else Space would play and pause at once.
    this.dialog.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.#video.addEventListener("error", () => this.#failed());
    this.#video.addEventListener("ended", () => this.#goOn());
    this.#video.addEventListener("loadedmetadata", () => { this.#download.hidden = false; this.#prepare(); });
    this.#video.addEventListener("seeking", () => { this.#isPlaced = true; });
    this.#video.addEventListener("loadeddata", () => {
      setText(this.#hint, "Space plays and pauses, ← → jump, N newer, P older, Esc closes.");
      this.#video.play().catch(() => {}); // refused where the browser wants a click first: the controls are there
    });
    document.body.append(this.dialog);
    addEventListener("hashchange", () => this.follow());
  }

  /** Show the clip of `visit`; `visits`, newest first, is the list that "newer" and "older" step through. */
  play(visit, visits) {
    this.#visits = [...visits];
    this.#open(visit);
    if (!this.dialog.open) this.dialog.showModal();
    this.#video.focus();
  }

  /** Show the visit that the page's address names, if it does. */
  async follow() {
    const number = location.hash.startsWith(PREFIX) ? Number(location.hash.slice(PREFIX.length)) : NaN;
    if (Number.isSafeInteger(number) && number > 0) await this.playNumber(number);
  }

  /** Show the visit of a number, or say that there is none. */
  async playNumber(number) {
    try {
      const visit = await fetchJson(`api/visits/${number}`);
      this.play(visit, [visit]);
    } catch (error) {
      if (error.status !== 404) return;
      this.play({ id: number, event_id: null, camera: "", class_name: "", track_id: 0, touched: [], started: 0, clip: false, ended: 0 }, []);
      setText(this.#title, "There is no such visit");
      setText(this.#hint, "It has been deleted because of its age.");
    }
  }

  #open(visit) {
    clearTimeout(this.#retry);
    [this.#visit, this.#clips, this.#retryMs] = [visit, [], MIN_RETRY_MS];
    this.#showParts();
    this.#link.hidden = true;
    setText(this.#title, `${visitText(visit)} · ${visit.camera} · ${time(visit.started)}${visit.ended !== null && visit.seconds ? ` · ${span(visit.seconds)}` : ""}`);
    this.#newer.disabled = this.#neighbour(-1) === null;
    this.#older.disabled = this.#neighbour(1) === null;
    this.#download.hidden = true; // until the clip is there
    this.#share.hidden = visit.event_id === null;
    setAttribute(this.#video, "poster", visit.thumbnail ? `api/visits/${visit.id}/thumbnail.jpg?v=${visit.thumbnail}` : null);
    if (visit.event_id === null) this.#video.removeAttribute("src");
    else this.#play(0, visit.event_id, visit.started);
  }

  /** Play the clip that shows an event. */
  #play(at, number, began) {
    this.#at = at;
    this.#isPlaced = at > 0; // a later clip goes on
    this.#overlay.clear();
    this.#marks.replaceChildren();
    this.#showParts();
    setText(this.#hint, "Loading …");
    const url = new URL(`api/events/${encodeURIComponent(number)}/clip.mp4`, document.baseURI);
    this.#video.src = url;
    this.#download.href = url;
    setAttribute(this.#download, "download", `${this.#visit.camera} ${stamp(began * 1000)}.mp4`);
  }

  /** Go to shortly before the first event, mark all of them, and have the track highlighted. */
  async #prepare() {
    const [visit, at] = [this.#visit, this.#at];
    if (visit === null) return;
    this.#place(visit.clip_offset_s);
    const events = await this.#load();
    if (this.#visit !== visit || this.#at !== at) return;
    this.#place(events.find((one) => one.id === visit.event_id)?.clip_offset_s);
    const { duration } = this.#video;
    const here = this.#clips[at]?.events ?? [];
    if (Number.isFinite(duration) && duration > 0) this.#marks.replaceChildren(...here.map((one) => this.#mark(one, duration)));
    await this.#overlay.show(at === 0 ? visit : { ...visit, event_id: here[0]?.id });
  }

  /** Go to shortly before the event, once that is known, unless the user has gone elsewhere meanwhile. */
  #place(offset = null) {
    const video = this.#video;
    if (offset === null || this.#isPlaced || video.seeking || !Number.isFinite(video.duration)) return;
    video.currentTime = Math.min(Math.max(0, offset - LEAD_S), video.duration);
    this.#isPlaced = true;
  }

  /** Load the visit's events, and which clips they are in. */
  async #load() {
    const visit = this.#visit;
    const { events } = await fetchJson(`api/events?visit=${visit.id}&limit=1000`).catch(() => ({ events: [] }));
    if (this.#visit === visit) {
      this.#clips = clipsOf(events, visit.event_id);
      this.#showParts();
    }
    return events;
  }

  /** Show which of several clips this is, each a button. */
  #showParts() {
    const { length } = this.#clips;
    this.#parts.hidden = length < 2;
    const focused = this.#parts.contains(document.activeElement);
    this.#parts.replaceChildren(...this.#clips.map(({ began, events }, i) => el(
      "button", {
        type: "button", "aria-pressed": String(i === this.#at), "aria-label": `Part ${i + 1} of ${length}, ${time(began)}`, title: time(began),
        on: { click: () => this.#play(i, events[0].id, events[0].time) },
      }, String(i + 1),
    )));
    if (focused) this.#parts.children[this.#at]?.focus();
  }

  /** Play on with the visit's next clip, which may have come meanwhile. */
  async #goOn() {
    const [visit, at] = [this.#visit, this.#at];
    if (visit === null) return;
    if (this.#clips.length <= at + 1 && visit.ended === null) await this.#load();
    const next = this.#clips[at + 1];
    if (next && this.#visit === visit && this.#at === at) this.#play(at + 1, next.events[0].id, next.events[0].time);
  }

  #mark(event, duration) {
    const text = `${eventText(event)}, at ${span(event.clip_offset_s)}`;
    const button = el("button", { type: "button", class: event.kind, "aria-label": text, title: text, on: { click: () => { this.#video.currentTime = event.clip_offset_s; } } });
    const item = el("li", {}, button);
    item.style.left = `${(100 * Math.min(1, event.clip_offset_s / duration)).toFixed(2)}%`;
    return item;
  }

  async #copyLink() {
    const link = new URL(location.href);
    link.hash = `${PREFIX}${this.#visit.id}`;
    this.#link.value = link.href;
    try {
      await navigator.clipboard.writeText(link.href);
      setText(this.#hint, "The link is copied; it opens this visit for everyone who may see this page.");
    } catch {
      this.#link.hidden = false; // no secure connection, or not allowed: to be copied by hand
      this.#link.select();
    }
  }

  async #failed() {
    const [visit, { src }] = [this.#visit, this.#video];
    if (visit === null || !this.#video.hasAttribute("src")) return;
    const isThere = await fetch(src, { headers: { range: "bytes=0-0" } }).then(({ ok }) => ok, () => false);
    if (this.#visit !== visit || this.#video.src !== src) return;
    this.#download.hidden = !isThere;
    if (isThere && this.#there !== src) {
      this.#there = src; // it may have come meanwhile
      this.#video.load();
    } else if (isThere) {
      setText(this.#hint, "This browser cannot play the clip, perhaps because it is H.265. Download it to play it elsewhere.");
    } else if (mayHaveClip(visit)) {
      setText(this.#hint, "The clip is still being recorded; it plays as soon as it is there.");
      this.#retry = setTimeout(() => this.#video.load(), this.#retryMs);
      this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.5);
    } else {
      setText(this.#hint, "There is no clip of this visit: it was not recorded, or it has been deleted because of its age.");
    }
  }

  #stop() {
    clearTimeout(this.#retry);
    this.#visit = null;
    this.#overlay.clear();
    this.#video.removeAttribute("src");
    this.#video.load(); // closes the connection and frees the buffer
    if (location.hash.startsWith(PREFIX)) history.replaceState(null, "", location.pathname + location.search);
  }

  #neighbour(step) {
    const at = this.#visits.findIndex((one) => one.id === this.#visit.id);
    for (let i = at + step; at >= 0 && i >= 0 && i < this.#visits.length; i += step) {
      if (mayHaveClip(this.#visits[i])) return this.#visits[i];
    }
    return null;
  }

  #step(step) {
    const next = this.#neighbour(step);
    if (next) this.#open(next);
  }

  #key(event) {
    const [video, focused] = [this.#video, document.activeElement];
    const jump = { ArrowLeft: -JUMP_S, ArrowRight: JUMP_S }[event.key];
    if (focused instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n") this.#step(-1);
    else if (event.key === "p") this.#step(1);
    else if (jump !== undefined && Number.isFinite(video.duration)) {
      video.currentTime = Math.min(video.duration, Math.max(0, video.currentTime + jump));
    } else if (event.key === " " && !(focused instanceof HTMLButtonElement)) {
      if (video.paused) video.play().catch(() => {}); // paused again at once; what cannot be played has its own event
      else video.pause();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
