// Large view of one camera: opened by the address, with keys for the next camera and its zones.
import { cameraPath } from "./api.js";
import { choose } from "./dialogs.js";
import { el, isTyping } from "./dom.js";
import { stamp } from "./format.js";

const PREFIX = "#camera/";

export class LargeView {
  #wall;
  #editor;
  #onShow;
  #onSettings;
  #leaving = false;
  #isOpening = false; // the editor, whose zones are on their way

  /**
   * `onShow` is called with the name of the camera shown large, or null for the wall; `onSettings`
   * with that whose settings are to be shown.
   */
  constructor(wall, editor, onShow, onSettings) {
    this.#onSettings = onSettings;
    this.#wall = wall;
    this.#editor = editor;
    this.#onShow = onShow;
    addEventListener("hashchange", () => this.follow());
    document.addEventListener("keydown", (event) => this.#key(event));
    editor.addEventListener("closed", () => this.#focusTool());
  }

  open(name) {
    location.hash = PREFIX + encodeURIComponent(name);
    this.follow(); // the browser's event comes later, and a key pressed meanwhile is for the large camera
  }

  back() {
    history.pushState(null, "", location.pathname + location.search); // no "#" left behind
    this.follow();
  }

  /** Show the camera in the address; with unsaved zones the user may choose to stay. */
  async follow() {
    if (this.#leaving) return;
    const wanted = this.#wanted;
    const now = this.#wall.large;
    if (wanted === now) return;
    this.#leaving = true;
    const isClosed = await this.#editor.close();
    this.#leaving = false;
    if (!isClosed) {
      history.replaceState(null, "", PREFIX + encodeURIComponent(now));
      return;
    }
    this.#show(this.#wanted);
  }

  /** Show the camera `step` places further, wrapping around. */
  step(step) {
    const names = this.#wall.names;
    const at = names.indexOf(this.#wall.large);
    if (at >= 0 && names.length > 1) this.open(names[(at + step + names.length) % names.length]);
  }

  async edit() {
    const tile = this.#wall.tile(this.#wall.large);
    if (!tile || this.#editor.camera !== null || this.#isOpening) return;
    if (!tile.size) {
      await choose("No picture yet", "Zones are drawn on the picture; wait until the camera has sent one.", [{ value: 0, text: "Close" }]);
      return;
    }
    tile.zoom.reset();
    this.#isOpening = true;
    try {
      await this.#editor.open(tile, () => this.#wall.large === tile.name && this.#wall.tile(tile.name) === tile);
    } catch (error) {
      await choose("The zones cannot be loaded", error.message, [{ value: 0, text: "Close" }]);
    } finally {
      this.#isOpening = false;
    }
  }

  get #wanted() {
    if (!location.hash.startsWith(PREFIX)) return null;
    const name = decoded(location.hash.slice(PREFIX.length));
    return this.#wall.tile(name) ? name : null;
  }

  #show(name) {
    const before = this.#wall.large;
    this.#wall.enlarge(name);
    const tile = this.#wall.tile(name ?? before);
    if (name !== null) this.#fillTools(tile);
    this.#onShow(name);
    if (name === null) tile?.button.focus();
    else tile.tools.querySelector(".back").focus({ preventScroll: true });
  }

  #fillTools(tile) {
    if (tile.tools.childElementCount) return;
    const button = (text, key, label, act, kind) => el(
      "button", { type: "button", class: kind ?? null, "aria-keyshortcuts": key, "aria-label": label, on: { click: act } }, text,
    );
    const edit = button("Edit zones", "e", "Edit zones and lines", () => this.edit(), "edit");
    const save = el("a", { class: "button snapshot", href: cameraPath(tile.name, "snapshot.jpg"), title: "Save the newest picture, in full size" }, "Snapshot");
    save.addEventListener("click", () => { save.download = `${tile.name} ${stamp(Date.now())}.jpg`; });
    // In the row itself where there is room, else in a menu.
    const others = el(
      "div", { class: "others", popover: "", on: { click: () => others.hidePopover() } },
      save, edit, button("Settings", "s", "Settings of this camera", () => this.#onSettings(tile.name), "settings"),
    );
    const more = el("button", { type: "button", class: "more" }, "More");
    more.popoverTargetElement = others;
    others.addEventListener("beforetoggle", () => { others.style.top = `${more.getBoundingClientRect().bottom + 4}px`; });
    tile.tools.append(
      button("←", "Escape", "Back to all cameras", () => this.back(), "back"),
      el("h2", {}, tile.name),
      button("‹", "ArrowLeft", "Camera before", () => this.step(-1)),
      button("›", "ArrowRight", "Next camera", () => this.step(1)),
      more, others,
    );
    tile.tools.querySelector(".back").append(el("span", { class: "wide" }, "All cameras"));
  }

  /** Focus what opened the editor. */
  #focusTool() {
    const tools = [...this.#wall.tile(this.#wall.large)?.tools.querySelectorAll(".edit, .more") ?? []];
    tools.find((one) => one.checkVisibility())?.focus();
  }

  #key(event) {
    if (this.#wall.large === null || event.defaultPrevented || isTyping(event)) {
      // Escape leaves a field first.
      if (event.key === "Escape" && event.target instanceof HTMLInputElement) event.target.blur();
      return;
    }
    if (event.key === "Escape" && document.querySelector(":popover-open")) return; // it closes the menu
    const editing = this.#editor.camera !== null;
    if (event.shiftKey && event.key.startsWith("Arrow") && !editing) this.#zoom(event);
    else if (event.key === "Escape") editing ? this.#editor.close() : this.back();
    else if (!editing && event.key === "ArrowLeft") this.step(-1);
    else if (!editing && event.key === "ArrowRight") this.step(1);
    else if (event.key === "e" && !editing) this.edit();
    else if (event.key === "s" && !editing && !document.body.hasAttribute("data-fixed")) this.#onSettings(this.#wall.large);
    else if (editing || !this.#zoom(event)) return;
    event.preventDefault();
  }

  /** Zoom or move the picture by a key; return whether it is one for that. */
  #zoom({ key, shiftKey }) {
    const { zoom } = this.#wall.tile(this.#wall.large);
    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (shiftKey && key in ways) zoom.pan(...ways[key]);
    else if (key === "+" || key === "=") zoom.step(1);
    else if (key === "-") zoom.step(-1);
    else if (key === "0") zoom.reset();
    else return false;
    return true;
  }
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return ""; // an incomplete escape sequence
  }
}
