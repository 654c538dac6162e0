// Player of a visit's clip in a dialog: its track highlighted, its zones drawn, its events marked.
import { fetchJson } from "./api.js";
import { ClipOverlay } from "./clip_overlay.js";
import { el, setAttribute, setText } from "./dom.js";
import { eventText, mayHaveClip, span, time, visitText } from "./format.js";

const MIN_RETRY_MS = 1500;
const MAX_RETRY_MS = 10000;
const JUMP_S = 2;
const LEAD_S = 2; // start this long before the event
const PREFIX = "#visit/";
const SAME_CLIP_S = 0.01;

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
  #visit = null;
  #visits = [];
  #retry = 0;
  #retryMs = MIN_RETRY_MS;

  constructor() {
    this.dialog = el(
      "dialog", { class: "clip", "aria-labelledby": "clip-title" },
      el("div", { class: "screen" }, this.#video, this.#overlay.canvas), this.#marks,
      el(
        "div", { class: "sheet" }, this.#title, this.#hint, this.#link,
        el("div", { class: "row" }, this.#newer, this.#older, this.#download, this.#share, this.#close),
      ),
    );
    this.dialog.addEventListener("close", () => this.#stop());
    // Captured before the video's own controls: else Space would play and pause at once.
    this.dialog.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.#video.addEventListener("error", () => this.#failed());
    this.#video.addEventListener("loadedmetadata", () => this.#prepare());
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
      setText(this.#hint, "It is older than events are kept.");
    }
  }

  #open(visit) {
    clearTimeout(this.#retry);
    this.#visit = visit;
    this.#retryMs = MIN_RETRY_MS;
    this.#overlay.clear();
    this.#marks.replaceChildren();
    this.#link.hidden = true;
    setText(this.#title, `${visitText(visit)} · ${visit.camera} · ${time(visit.started)}${visit.ended !== null && visit.seconds ? ` · ${span(visit.seconds)}` : ""}`);
    setText(this.#hint, "Loading …");
    this.#newer.disabled = this.#neighbour(-1) === null;
    this.#older.disabled = this.#neighbour(1) === null;
    this.#download.hidden = this.#share.hidden = visit.event_id === null;
    if (visit.event_id === null) {
      this.#video.removeAttribute("src");
      return;
    }
    const url = new URL(`api/events/${encodeURIComponent(visit.event_id)}/clip.mp4`, document.baseURI);
    this.#video.src = url;
    this.#download.href = url;
    const stamp = new Date(visit.started * 1000).toISOString().slice(0, 19).replaceAll(":", "-");
    setAttribute(this.#download, "download", `${visit.camera} ${stamp}.mp4`);
  }

  /** Go to shortly before the first event, mark all of them, and have the track highlighted. */
  async #prepare() {
    const visit = this.#visit;
    if (visit === null) return;
    const { events } = await fetchJson(`api/events?visit=${visit.id}&limit=200`).catch(() => ({ events: [] }));
    if (this.#visit !== visit) return;
    const first = events.find((one) => one.id === visit.event_id);
    const offset = first?.clip_offset_s ?? visit.clip_offset_s;
    const { duration } = this.#video;
    if (offset !== null && Number.isFinite(duration)) this.#video.currentTime = Math.min(Math.max(0, offset - LEAD_S), duration);
    const began = first ? first.time - first.clip_offset_s : null;
    const here = events.filter((one) => one.clip_offset_s !== null && Math.abs(one.time - one.clip_offset_s - began) < SAME_CLIP_S);
    if (Number.isFinite(duration) && duration > 0) this.#marks.replaceChildren(...here.reverse().map((one) => this.#mark(one, duration)));
    await this.#overlay.show(visit);
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

  #failed() {
    if (this.#visit === null || !this.#video.hasAttribute("src")) return;
    if (mayHaveClip(this.#visit)) {
      setText(this.#hint, "The clip is still being recorded; it plays as soon as it is there.");
      this.#retry = setTimeout(() => this.#video.load(), this.#retryMs);
      this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.5);
    } else {
      setText(this.#hint, "There is no clip of this visit: it was not recorded, or it is older than clips are kept.");
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
    const video = this.#video;
    const focused = document.activeElement;
    const jump = { ArrowLeft: -JUMP_S, ArrowRight: JUMP_S }[event.key];
    if (focused instanceof HTMLInputElement || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "n") this.#step(-1);
    else if (event.key === "p") this.#step(1);
    else if (jump !== undefined && Number.isFinite(video.duration)) {
      video.currentTime = Math.min(video.duration, Math.max(0, video.currentTime + jump));
    } else if (event.key === " " && !(focused instanceof HTMLButtonElement)) {
      if (video.paused) video.play().catch(() => this.#failed());
      else video.pause();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  }
}
