// Drawn over a clip: the track that a visit is about, and the camera's zones and lines.
import { cameraPath, fetchJson } from "./api.js";
import { el } from "./dom.js";
import { fit, paint } from "./overlay.js";
import { fromServer, rescaled } from "./zones.js";

const LAYERS = { boxes: true, labels: false, trails: false, zones: true };
const MAX_GAP_S = 0.3; // a box is shown this long after its picture

export class ClipOverlay {
  canvas = el("canvas", { "aria-hidden": "true" });
  #video;
  #shown = null; // {size, track, class_name, frames, zones}
  #number = 0;

  constructor(video) {
    this.#video = video;
    for (const event of ["seeked", "pause", "loadeddata"]) video.addEventListener(event, () => this.#draw());
    video.addEventListener("play", () => this.#follow());
    new ResizeObserver(() => this.#draw()).observe(video);
  }

  clear() {
    this.#number += 1;
    this.#shown = null;
    this.#draw();
  }

  /** Draw a visit's track and zones; nothing where their clip has no boxes stored. */
  async show(visit) {
    const number = (this.#number += 1);
    const [boxes, zones] = await Promise.all([
      fetchJson(`api/events/${visit.event_id}/boxes.json`).catch(() => null),
      fetchJson(cameraPath(visit.camera, "zones")).catch(() => null), // the camera may be gone
    ]);
    if (number !== this.#number || boxes === null) return;
    const frames = boxes.frames.map(([at, all]) => [at, all.find(([id]) => id === visit.track_id)?.slice(1) ?? null]);
    const shown = zones === null ? [] : zonesOf(zones, boxes.size);
    this.#shown = { size: boxes.size, track: visit.track_id, class_name: visit.class_name, frames, zones: shown };
    this.#draw();
    if (!this.#video.paused) this.#follow();
  }

  /** Draw with each picture of the video while it plays. */
  #follow() {
    const number = this.#number;
    const next = () => {
      if (number !== this.#number || this.#video.paused) return;
      this.#draw();
      this.#video.requestVideoFrameCallback(next);
    };
    if (this.#shown !== null && "requestVideoFrameCallback" in this.#video) next();
  }

  #draw() {
    const { canvas } = this;
    const ratio = devicePixelRatio || 1;
    const [across, down] = [this.#video.clientWidth, this.#video.clientHeight];
    const [width, height] = [Math.round(across * ratio), Math.round(down * ratio)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    delete canvas.dataset.box;
    if (this.#shown === null || !across) return;
    const { size, track, class_name, frames, zones } = this.#shown;
    const xyxy = boxAt(frames, this.#video.currentTime);
    if (xyxy) canvas.dataset.box = xyxy.join(" ");
    const tracks = xyxy ? [{ id: track, class_name, xyxy, chosen: true }] : [];
    const view = fit(...size, across, down);
    paint(context, view, ratio, { zones, inside: {}, trails: new Map(), tracks }, LAYERS);
  }
}

/** Return the box at a time: that of the last picture up to it. */
function boxAt(frames, now) {
  let [low, high] = [0, frames.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (frames[middle][0] <= now + 0.001) low = middle + 1;
    else high = middle;
  }
  const found = frames[low - 1];
  return found && now - found[0] < MAX_GAP_S ? found[1] : null;
}

function zonesOf(answer, size) {
  return answer.size ? rescaled(fromServer(answer), answer.size, size) : [];
}
