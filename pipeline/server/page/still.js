// One picture whose zones are drawn, and nothing else: the page of `trackline zones`.
import { endRequests, fetchJson } from "./api.js";
import { el, setText } from "./dom.js";

export const WORDS = { close: "Done", saved: "Saved." };

/** Whether this is the page of `trackline zones`: its address says so. */
export const isStill = new URLSearchParams(location.search).has("zones");

/** Offer the other frames of a video below its picture. */
export async function offerFrames(tile) {
  const { duration_s, at_s } = await fetchJson("api/frame").catch(() => ({})); // without an answer there is one frame
  if (!(duration_s > 0) || tile.element.querySelector(".frames")) return;
  const said = el("output", { for: "frame-at" });
  const say = (seconds) => setText(said, `${clock(seconds)} of ${clock(duration_s)}`);
  const slider = el("input", { type: "range", id: "frame-at", min: 0, max: duration_s, step: "any", "aria-label": "Time of the frame", on: { input: () => choose() } });
  slider.value = at_s;
  let isAsking = false;
  const choose = async () => {
    say(Number(slider.value));
    if (isAsking) return;
    isAsking = true;
    for (let asked = null; asked !== slider.value;) { // what was chosen meanwhile comes next
      asked = slider.value;
      try {
        await fetchJson("api/frame", { method: "PUT", body: { at_s: Number(asked) } });
      } catch (error) {
        setText(said, error.message);
      }
    }
    isAsking = false;
  };
  const step = (by) => {
    slider.value = Number(slider.value) + by;
    choose();
  };
  const button = (text, label, by) => el("button", { type: "button", "aria-label": label, on: { click: () => step(by) } }, text);
  say(at_s);
  tile.element.append(el("div", { class: "frames" }, button("‹", "One second earlier", -1), slider, button("›", "One second later", 1), said));
}

/** Return seconds as "1:02:03.4". */
function clock(seconds) {
  const whole = Math.floor(seconds / 60);
  const rest = (seconds - 60 * whole).toFixed(1).padStart(4, "0");
  return whole < 60 ? `${whole}:${rest}` : `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}:${rest}`;
}

/** Leave only the picture and the editor on the page; closing the editor ends the program. */
export function onlyZones(editor, connection) {
  document.body.dataset.still = "";
  editor.addEventListener("closed", async () => {
    connection.close();
    endRequests(); // the server will not be there to answer
    try {
      await fetchJson("api/done", { method: "POST", signal: null });
    } catch {
      // The program has ended already, by Ctrl-C.
    }
    document.getElementById("rail").hidden = true;
    document.getElementById("wall").replaceChildren(el(
      "p", { class: "empty", role: "status" },
      el("b", {}, "Done"), "What you saved is in the file. This window can be closed.",
    ));
  });
}
