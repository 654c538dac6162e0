// Player of event clips in a dialog; tries again while a clip is still being recorded.
import { fetchJson } from "./api.js";
import { el, setText } from "./dom.js";
import { eventText, mayHaveClip, time } from "./format.js";

const MIN_RETRY_MS = 1500;
const MAX_RETRY_MS = 10000;
const JUMP_S = 2;
const LEAD_S = 2; // start this long before the event

export class Clip {
  #video = el("video", { controls: true, playsinline: true, preload: "auto" });
  #title = el("h2", { id: "clip-title" });
  #hint = el("p", { class: "hint", role: "status" });
  #newer = el("button", { type: "button", "aria-keyshortcuts": "n", on: { click: () => this.#step(-1) } }, "Newer");
  #older = el("button", { type: "button", "aria-keyshortcuts": "p", on: { click: () => this.#step(1) } }, "Older");
  #close = el("button", { type: "button", class: "close", on: { click: () => this.dialog.close() } }, "Close");
  #event = null;
  #events = [];
  #retry = 0;
  #retryMs = MIN_RETRY_MS;

  constructor() {
    this.dialog = el(
      "dialog", { class: "clip", "aria-labelledby": "clip-title" },
      this.#video,
      el("div", { class: "sheet" }, this.#title, this.#hint, el("div", { class: "row" }, this.#newer, this.#older, this.#close)),
    );
    this.dialog.addEventListener("close", () => this.#stop());
    // Captured before the video's own controls: else Space would play and pause at once.
    this.dialog.addEventListener("keydown", (event) => this.#key(event), { capture: true });
    this.#video.addEventListener("error", () => this.#failed());
    this.#video.addEventListener("loadedmetadata", () => this.#seek());
    this.#video.addEventListener("loadeddata", () => {
      setText(this.#hint, "Space plays and pauses, ← → jump, N newer, P older, Esc closes.");
      this.#video.play().catch(() => {}); // refused where the browser wants a click first: the controls are there
    });
    document.body.append(this.dialog);
  }

  /** Show the clip of `event`; `events`, newest first, is the list that "newer" and "older" step through. */
  play(event, events) {
    this.#events = [...events];
    this.#open(event);
    if (!this.dialog.open) this.dialog.showModal();
    this.#video.focus();
  }

  #open(event) {
    clearTimeout(this.#retry);
    this.#event = event;
    this.#retryMs = MIN_RETRY_MS;
    setText(this.#title, `${eventText(event)} · ${event.camera} · ${time(event.time)}`);
    setText(this.#hint, "Loading …");
    this.#newer.disabled = this.#neighbour(-1) === null;
    this.#older.disabled = this.#neighbour(1) === null;
    this.#video.src = new URL(`api/events/${encodeURIComponent(event.id)}/clip.mp4`, document.baseURI);
  }

  /** Go to shortly before the event: a clip that several events share begins up to a minute earlier. */
  async #seek() {
    const event = this.#event;
    if (event === null) return;
    let offset = event.clip_offset_s ?? null;
    if (offset === null) {
      // The event was shown before its clip was there.
      const { events } = await fetchJson(`api/events?before_id=${event.id + 1}&limit=1`).catch(() => ({ events: [] }));
      offset = events.find((one) => one.id === event.id)?.clip_offset_s ?? null;
    }
    if (offset === null || this.#event !== event) return;
    const start = Math.max(0, offset - LEAD_S);
    if (Number.isFinite(this.#video.duration)) this.#video.currentTime = Math.min(start, this.#video.duration);
  }

  #failed() {
    if (this.#event === null || !this.#video.hasAttribute("src")) return;
    if (mayHaveClip(this.#event)) {
      setText(this.#hint, "The clip is still being recorded; it plays as soon as it is there.");
      this.#retry = setTimeout(() => this.#video.load(), this.#retryMs);
      this.#retryMs = Math.min(MAX_RETRY_MS, this.#retryMs * 1.5);
    } else {
      setText(this.#hint, "There is no clip of this event: it was not recorded, or it is older than clips are kept.");
    }
  }

  #stop() {
    clearTimeout(this.#retry);
    this.#event = null;
    this.#video.removeAttribute("src");
    this.#video.load(); // closes the connection and frees the buffer
  }

  #neighbour(step) {
    const at = this.#events.findIndex((one) => one.id === this.#event.id);
    for (let i = at + step; i >= 0 && i < this.#events.length; i += step) {
      if (mayHaveClip(this.#events[i])) return this.#events[i];
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
