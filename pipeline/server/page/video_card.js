// One uploaded video: played with boxes over it, in step, and what was found in words.
import { colourOf } from "./colours.js";
import { el, setText } from "./dom.js";
import { span } from "./format.js";
import { showCounts, showTags } from "./found_words.js";
import { fit, paint } from "./overlay.js";
import { analyseVideo } from "./video_upload.js";

const LAYERS = { boxes: true, labels: true, trails: false, zones: false };
const MAX_GAP_S = 0.5; // beyond the last box, or where pictures are missing
const CANNOT_PLAY = "This browser cannot play this kind of file";
export class VideoCard {
  answer = null;
  shown = []; // the tracks that are let through
  #filter = { score: 0, hidden: new Set() };
  #cancel = new AbortController();
  #urls = [];
  #annotated = null; // the video with its boxes, as a Blob
  #isAnnotatedShown = false;
  #cannotPlay = false;
  #time = 0;
  #video = el("video", { controls: true, playsinline: true, preload: "auto" });
  #boxes = el("canvas", { "aria-hidden": "true" });
  #text = el("p", { class: "hint", role: "status" }, "Waiting");
  #progress = el("progress", { max: 1, value: 0 });
  #tags = el("p", { class: "found tags-of", hidden: true });
  #found = el("p", { class: "found" });
  #tracks = el("ul", { class: "tracks", hidden: true });
  #save;
  #ids = new Set(); // of the tracks that are shown

  /** `onRemove` gets this card, `onSave` a blob and a file name. */
  constructor(file, { onRemove, onSave }) {
    this.file = file;
    this.name = file.name || "pasted video";
    this.#video.muted = true;
    this.#video.setAttribute("aria-label", this.name);
    this.#progress.setAttribute("aria-label", `Progress of ${this.name}`);
    this.#tracks.setAttribute("aria-label", `Tracks of ${this.name}`);
    const saved = `${this.name.replace(/\.[^.]*$/, "")}-boxes.mp4`;
    this.#save = el("button", { type: "button", disabled: true, on: { click: () => onSave(this.#annotated, saved) } }, "Download with boxes");
    this.element = el(
      "li", { class: "card" },
      el("div", { class: "stage" }, this.#video, this.#boxes),
      el("div", { class: "about" },
        el("h2", {}, this.name), this.#text, this.#progress, this.#tags, this.#found, this.#tracks,
        el("div", { class: "row" }, this.#save,
          el("button", { type: "button", "aria-label": `Remove ${this.name}`, on: { click: () => onRemove(this) } }, "Remove"))),
    );
    this.#video.addEventListener("error", () => this.#noteUnplayable());
    this.#video.addEventListener("loadedmetadata", () => this.#shape());
    this.#play(file);
    this.#follow();
  }

  /** Return what is counted by class: the tracks. */
  get things() {
    return this.answer?.tracks ?? [];
  }

  say(text) {
    setText(this.#text, text);
    this.#text.className = "hint";
  }

  failed(reason) {
    this.#progress.hidden = this.#save.hidden = true;
    setText(this.#text, reason);
    this.#text.className = "problem";
    if (this.#cannotPlay) this.element.firstChild.hidden = true;
  }

  /** Have the video analysed; raises ApiError. */
  async analyse() {
    this.say("Uploading…");
    const { answer, annotated } = await analyseVideo(this.file, this.name, {
      signal: this.#cancel.signal,
      onUpload: (share) => this.#progress.setAttribute("value", share),
      onJob: (job) => this.#sayHowFar(job),
    });
    this.#annotated = annotated;
    this.answer = { ...answer, name: this.name };
    this.#progress.hidden = true;
    this.#save.disabled = false;
    this.#showAnswer();
  }

  /** Show what has at least `score` and a class that is not in `hidden`. */
  show(filter) {
    this.#filter = filter;
    if (this.answer === null) return;
    this.shown = this.answer.tracks.filter((each) => this.#isShown(each));
    this.#ids = new Set(this.shown.map((each) => each.track_id));
    showCounts(this.#found, this.shown);
    const focused = this.#tracks.contains(document.activeElement) ? document.activeElement.dataset.track : null;
    this.#tracks.replaceChildren(...this.shown.map((each) => el("li", {}, this.#trackButton(each))));
    this.#tracks.hidden = this.shown.length === 0;
    if (focused !== null) this.#tracks.querySelector(`[data-track="${focused}"]`)?.focus();
    this.#drawBoxes();
  }

  /** Return the answer with the tracks and boxes that are shown, for the download. */
  shownAnswer() {
    const frames = this.answer.frames.map((frame) => ({ ...frame, objects: this.#objectsOf(frame) }));
    return { ...this.answer, tracks: this.shown, frames };
  }

  close() {
    this.#cancel.abort();
    this.element.remove();
    this.#video.removeAttribute("src");
    this.#video.load(); // frees the decoder
    for (const url of this.#urls) URL.revokeObjectURL(url);
  }

  #play(blob) {
    const url = URL.createObjectURL(blob);
    this.#urls.push(url);
    this.#video.src = url;
  }

  #sayHowFar({ state, analysed_s, duration_s }) {
    if (state === "waiting") this.say("Waiting for another video");
    else this.say(`Looking… ${span(analysed_s)}${duration_s ? ` of ${span(duration_s)}` : ""}`);
    if (duration_s) this.#progress.setAttribute("value", Math.min(1, analysed_s / duration_s));
    else this.#progress.removeAttribute("value");
  }

  #showAnswer() {
    const { width, height, duration_s, tags, problem } = this.answer;
    this.say(`${width} × ${height}, ${span(duration_s)}${problem ? `; ${problem}` : ""}`);
    showTags(this.#tags, tags);
    if (this.#cannotPlay) this.#showAnnotated();
    this.#shape();
  }

  #noteUnplayable() {
    if (!this.#video.hasAttribute("src") || this.#isAnnotatedShown) return;
    this.#cannotPlay = true;
    if (this.answer !== null) this.#showAnnotated();
  }

  #showAnnotated() {
    this.#isAnnotatedShown = true;
    this.say(`${this.#text.textContent}. ${CANNOT_PLAY}: this is the one with all boxes, as H.264.`);
    this.#play(this.#annotated);
  }

  #shape() {
    const { videoWidth, videoHeight, readyState } = this.#video;
    if (readyState >= 1 && !videoWidth) this.#noteUnplayable(); // its sound alone
    const [width, height] = videoWidth ? [videoWidth, videoHeight] : [this.answer?.width || 16, this.answer?.height || 9];
    this.element.firstChild.style.aspectRatio = `${width} / ${Math.min(height, width * 1.5)}`;
    this.#drawBoxes();
  }

  /** Draw the boxes of each frame as the browser shows it. */
  #follow() {
    const video = this.#video;
    if (!("requestVideoFrameCallback" in video)) {
      for (const kind of ["timeupdate", "seeked"]) video.addEventListener(kind, () => this.#at(video.currentTime));
      return;
    }
    const step = (_, { mediaTime }) => {
      this.#at(mediaTime);
      video.requestVideoFrameCallback(step);
    };
    video.requestVideoFrameCallback(step);
  }

  #at(time) {
    this.#time = time;
    this.#drawBoxes();
  }

  #isShown({ score, class_name }) {
    return score >= this.#filter.score && !this.#filter.hidden.has(class_name);
  }

  /** Return the boxes of a frame whose track is shown; those without a track go by themselves. */
  #objectsOf({ objects }) {
    return objects.filter((each) => (each.track_id ? this.#ids.has(each.track_id) : this.#isShown(each)));
  }

  #drawBoxes() {
    const { clientWidth: across, clientHeight: down } = this.#boxes;
    if (!across) return;
    const ratio = devicePixelRatio || 1;
    this.#boxes.width = Math.round(across * ratio);
    this.#boxes.height = Math.round(down * ratio);
    if (this.answer === null || this.#isAnnotatedShown) return;
    const { videoWidth, videoHeight } = this.#video;
    const { width, height, frames } = this.answer;
    const frame = nearest(frames, this.#time);
    if (frame === null || !videoWidth) return;
    // Pixels may be wider than high: boxes are in the pixels, the browser shows them square.
    const [sx, sy] = [videoWidth / width, videoHeight / height];
    const tracks = this.#objectsOf(frame).map((each) => ({
      ...each, id: each.track_id, xyxy: each.xyxy.map((value, k) => value * (k % 2 ? sy : sx)),
    }));
    this.#boxes.dataset.time = frame.time;
    paint(this.#boxes.getContext("2d"), fit(videoWidth, videoHeight, across, down), ratio,
      { tracks, zones: [], trails: new Map(), inside: {} }, LAYERS);
  }

  #trackButton({ track_id, class_name, score, first_s, last_s }) {
    const mark = el("i", { "aria-hidden": "true" });
    mark.style.background = colourOf(class_name);
    const text = `${class_name} ${track_id}`;
    return el("button", {
      type: "button", data: { track: track_id }, title: `Go to ${span(first_s)}`,
      on: { click: () => { this.#video.currentTime = first_s; } },
    }, mark, `${text} · ${first_s.toFixed(1)}–${last_s.toFixed(1)} s · ${Math.round(score * 100)} %`);
  }
}

/** Return the frame nearest to `time`, null where none is near. `frames` are in the order of time. */
function nearest(frames, time) {
  let [low, high] = [0, frames.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle].time < time) low = middle + 1;
    else high = middle;
  }
  const found = [frames[low - 1], frames[low]].filter(Boolean).sort((a, b) => Math.abs(a.time - time) - Math.abs(b.time - time))[0];
  return found && Math.abs(found.time - time) <= MAX_GAP_S ? found : null;
}
