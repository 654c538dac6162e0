// Details of the camera that is shown large: picture ages, dropped frames, reconnects.
import { el, setText } from "./dom.js";
import { age, rateText, stateText, time } from "./format.js";

const ROWS = {
  since: "State",
  size: "Picture",
  rate: "Analysed",
  ages: "Delay, mostly / at worst",
  delivered: "Pictures analysed",
  dropped: "Left out",
  reconnects: "Reconnects",
};
const CAUSES = { overrun: "for newer ones", stale: "too old", undecoded: "not decoded", unwanted: "not asked for" };

export class CameraDetails {
  #cells = Object.fromEntries(Object.keys(ROWS).map((key) => [key, el("dd", {}, "–")]));

  constructor() {
    const rows = Object.entries(ROWS).flatMap(([key, text]) => [el("dt", {}, text), this.#cells[key]]);
    this.element = el(
      "section", { class: "facts", "aria-labelledby": "facts-title", hidden: true },
      el("div", { class: "head" }, el("h2", { id: "facts-title" }, "This camera")), el("dl", {}, ...rows),
    );
  }

  /** Show a camera's details, or hide the section for undefined. */
  show(camera) {
    this.element.hidden = !camera;
    if (!camera) return;
    const { p50, p99 } = camera.age_ms;
    const dropped = Object.entries(camera.dropped).filter(([, n]) => n).map(([cause, n]) => `${n} ${CAUSES[cause] ?? cause}`);
    this.#set("since", `${stateText(camera.state)} since ${time(camera.since)}`);
    this.#set("size", camera.width ? `${camera.width} × ${camera.height}` : "–");
    this.#set("rate", rateText(camera));
    this.#set("ages", [p50, p99].map(age).join(" / "));
    this.#set("delivered", `${camera.delivered} of ${camera.grabbed}`);
    this.#set("dropped", dropped.join(", ") || "none");
    this.#set("reconnects", String(camera.reconnects));
  }

  #set(key, text) {
    setText(this.#cells[key], text);
  }
}
