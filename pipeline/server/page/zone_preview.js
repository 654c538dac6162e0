// What the zones and lines being edited would have counted in the last minute.
import { cameraPath, fetchJson } from "./api.js";
import { el, setText } from "./dom.js";
import { isStill } from "./still.js";

const WAIT_MS = 500; // after a change: a drag is many
const AGAIN_MS = 5000; // people go on walking

export class Preview {
  element = el("p", { class: "preview", role: "status" });
  #onChange;
  #timer = 0;
  #asked = ""; // what the counts are of, or will be
  #camera = null;
  #rows = null;

  /** `onChange` is called when there are other counts. */
  constructor(onChange) {
    this.#onChange = onChange;
  }

  /** Ask for the counts of zones as the server takes them; without `isValid` there are none. */
  ask(camera, zones, isValid) {
    if (camera === this.#camera && zones === this.#asked && isValid) return;
    this.end();
    if (!isValid) return;
    [this.#camera, this.#asked] = [camera, zones];
    this.#timer = setTimeout(() => this.#fetch(), WAIT_MS);
  }

  /** Return what a zone or line would have counted, "" where that is not known. */
  text({ kind, name }) {
    if (!this.#rows || kind === "mask") return "";
    const count = (what, direction = "") => this.#rows
      .filter((row) => row.area === name && row.kind === what && row.direction === direction)
      .reduce((sum, row) => sum + row.count, 0);
    return kind === "line" ? `${count("cross", "in")} in, ${count("cross", "out")} out` : `${count("enter")} entered`;
  }

  /** Return how many would have appeared in the whole picture, "" where that is not known. */
  get appeared() {
    const rows = (this.#rows ?? []).filter((row) => row.kind === "appeared");
    return rows.length ? `${rows.reduce((sum, row) => sum + row.count, 0)} appeared` : "";
  }

  /** Forget the counts and ask no more. */
  end() {
    clearTimeout(this.#timer);
    this.#camera = this.#rows = null;
    this.#asked = "";
    setText(this.element, "");
  }

  async #fetch() {
    const asked = this.#asked;
    try {
      const answer = await fetchJson(cameraPath(this.#camera, "zones/preview"), { method: "POST", body: JSON.parse(asked) });
      if (asked !== this.#asked) return;
      const isNew = JSON.stringify(answer.counts) !== JSON.stringify(this.#rows);
      this.#rows = answer.seconds > 0 && answer.counts.length ? answer.counts : null;
      setText(this.element, this.#rows ? words(answer.seconds) : "");
      if (isNew) this.#onChange();
    } catch {
      return; // it is a help, no more: what is wrong is said when the zones are saved
    }
    if (!isStill) this.#timer = setTimeout(() => this.#fetch(), AGAIN_MS);
  }
}

function words(seconds) {
  return isStill ? `That is what they count in the recording of ${Math.round(seconds)} s.` : `That is what they would have counted in the last ${Math.round(seconds)} s.`;
}
