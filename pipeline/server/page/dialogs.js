// Dialogs: a question with a few answers, and the list of keyboard shortcuts.
import { el } from "./dom.js";

const KEYS = [
  ["← ↑ → ↓", "go from camera to camera"],
  ["Enter", "show the camera large"],
  ["Esc", "back to all cameras"],
  ["← →", "the camera before and after, while one is large"],
  ["Shift ← ↑ → ↓", "move the camera to another place; while it is large and zoomed, its picture"],
  ["+ - 0", "zoom in, out, the whole picture; so do wheel, pinch and double tap"],
  ["S", "settings of the large camera"],
  ["E", "edit the zones and lines of the large camera"],
  ["B L I T Z", "boxes, labels, IDs, trails, zones on and off"],
  ["C R F", "pictures fill their tiles; the list beside them; full screen"],
  ["Space Enter", "while drawing: set a point at the cross, finish"],
  ["Tab Arrows Del", "on a point: choose, move (Shift: faster), delete it"],
  ["Ctrl Z", "take back the last change to a zone or line"],
  ["Space ← → N P", "in a clip: play, jump, newer, older visit"],
];

/** Show a question; return the value of the chosen answer, that of the last one for Escape. */
export function choose(title, text, answers) {
  return new Promise((resolve) => {
    let value = answers.at(-1).value;
    const buttons = answers.map((answer, i) =>
      el("button", { type: "button", class: i === 0 ? "strong" : null, on: { click: () => { value = answer.value; dialog.close(); } } }, answer.text));
    const dialog = el(
      "dialog", { "aria-labelledby": "question" },
      el("div", { class: "sheet" }, el("h2", { id: "question" }, title), el("p", {}, text), el("div", { class: "row" }, ...buttons)),
    );
    show(dialog, () => resolve(value));
  });
}

/** Show the keyboard shortcuts. */
export function showKeys() {
  const rows = KEYS.flatMap(([keys, text]) => [
    el("dt", {}, ...keys.split(" ").flatMap((key) => [el("kbd", {}, key), " "])),
    el("dd", {}, text),
  ]);
  const dialog = el("dialog", { "aria-labelledby": "keys-title" });
  dialog.append(el(
    "div", { class: "sheet" }, el("h2", { id: "keys-title" }, "Keys"), el("dl", { class: "keys" }, ...rows),
    el("div", { class: "row" }, el("button", { type: "button", on: { click: () => dialog.close() } }, "Close")),
  ));
  show(dialog, () => {});
}

/** Show a dialog; `closed` is called once it is closed, by whatever. */
export function show(dialog, closed) {
  dialog.addEventListener("close", () => {
    dialog.remove();
    closed();
  });
  document.body.append(dialog);
  dialog.showModal();
}
