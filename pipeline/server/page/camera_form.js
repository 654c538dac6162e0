// Form of one camera in a dialog: add it, try it, change it, remove it.
import { cameraPath, fetchJson } from "./api.js";
import { choose, show } from "./dialogs.js";
import { el, setText } from "./dom.js";

const APPEARS_MS = 30_000; // the program looks at its configuration once a second; it may be busy

export class CameraForm {
  #wall;
  #isOpen = false;

  constructor(wall) {
    this.#wall = wall;
  }

  /** Open the form of a new camera; return once it is closed. */
  add() {
    return this.#open(null);
  }

  /** Open the form of a camera that is there; return once it is closed. */
  async edit(name) {
    try {
      const settings = await fetchJson(cameraPath(name, "settings"));
      if (this.#wall.tile(name)) await this.#open(settings);
    } catch (error) {
      await choose("This camera cannot be changed here", error.message, [{ value: 0, text: "Close" }]);
    }
  }

  async #open(settings) {
    if (this.#isOpen || document.querySelector("dialog[open]")) return;
    this.#isOpen = true;
    const done = await new Promise((resolve) => new Sheet(settings, this.#wall, resolve));
    this.#isOpen = false;
    if (done) this.#wall.tile(done)?.button.focus();
  }
}

class Sheet {
  #settings;
  #wall;
  #fields = {};
  #problem = el("p", { class: "problem", role: "alert" });
  #told = el("p", { class: "told", role: "status" });
  #picture = el("img", { alt: "Picture of this camera", hidden: true });
  #test = el("button", { type: "button", on: { click: () => this.#try() } }, "Test");
  #send;
  #dialog;
  #done = "";

  constructor(settings, wall, closed) {
    this.#settings = settings;
    this.#wall = wall;
    const isNew = settings === null;
    const password = settings?.has_password ? "unchanged" : "";
    this.#send = el("button", { class: "strong" }, isNew ? "Add" : "Save");
    const close = el("button", { type: "button", on: { click: () => this.#dialog.close() } }, "Cancel");
    const remove = el("button", { type: "button", class: "remove", on: { click: () => this.#remove() } }, "Remove …");
    const form = el(
      "form", { class: "sheet camera-form", on: { submit: (event) => this.#submit(event) } },
      el("h2", { id: "camera-title" }, isNew ? "Add a camera" : `Settings of ${settings.name}`),
      settings && settings.address === null ? null : el(
        "div", { class: "grid" },
        this.#field("address", "Address", settings?.address, { required: true, placeholder: "rtsp://192.168.1.20/stream1", class: "all" },
          "From the camera's manual: rtsp or http (MJPEG), or the number of a camera on this machine, 0 for the first."),
        this.#field("user", "User", settings?.user),
        this.#field("password", "Password", "", { type: "password", autocomplete: "new-password", placeholder: password }),
      ),
      el("div", { class: "grid" }, this.#field("name", "Name", settings?.name, { placeholder: "as its address", maxlength: 200, class: "all" })),
      settings && settings.address === null ? null : el(
        "div", { class: "grid" },
        this.#field("record", "Main stream for clips", settings?.record, { placeholder: "none", class: "all" },
          "If the address above is that of a small stream: the camera's main stream (rtsp), with the same login."),
      ),
      isNew ? null : this.#detection(settings),
      this.#picture, this.#told, this.#problem,
      el("div", { class: "row" }, isNew ? null : remove, settings?.address === null ? null : this.#test, this.#send, close),
    );
    this.#dialog = el("dialog", { "aria-labelledby": "camera-title" }, form);
    show(this.#dialog, () => {
      URL.revokeObjectURL(this.#picture.src);
      closed(this.#done);
    });
    Object.values(this.#fields)[0].focus();
  }

  #field(key, label, value = "", attributes = {}, hint = "") {
    const id = `camera-${key}`;
    const { class: kind = null, ...more } = attributes;
    const input = el("input", { id, type: "text", autocomplete: "off", spellcheck: "false", ...more, "aria-describedby": hint ? `${id}-hint` : null });
    input.value = value ?? "";
    this.#fields[key] = input;
    return el("div", { class: kind }, el("label", { for: id }, label), input, hint ? el("small", { id: `${id}-hint` }, hint) : null);
  }

  /** Return the fields of what is detected; empty ones are as for the other cameras. */
  #detection({ detect, shared, classes, takes_sizes }) {
    const number = (key, label, rest) => this.#field(key, label, detect[key], { type: "number", inputmode: "decimal", step: "any", placeholder: shared[key] ?? "", ...rest });
    const names = (list) => (list ?? []).join(", ");
    const known = el("datalist", { id: "camera-known" }, ...classes.map((name) => el("option", { value: name })));
    return el(
      "fieldset", {}, el("legend", {}, "What is detected"),
      el(
        "div", { class: "grid" },
        this.#field("classes", "Classes", names(detect.classes), { placeholder: names(shared.classes) || "all", class: "all", list: known.id },
          "Names separated by commas, such as person, car. Empty fields: as for all cameras."),
        number("conf", "Lowest score", { min: 0, max: 0.99, placeholder: shared.conf ?? "" }),
        number("fps", "Most pictures a second", { min: 1, max: 1000, placeholder: "all" }),
        // One that is set already can be taken out.
        takes_sizes || detect.imgsz ? number("imgsz", "Size of the network's input", { min: 32, max: 8192, step: 1, placeholder: shared.imgsz ?? "the network's own", class: "all" }) : null,
        known,
      ),
    );
  }

  /** Return what has been changed, as the server takes it. */
  get #form() {
    const { address, user, password, record, name } = this.#fields;
    const before = this.#settings;
    const form = {};
    const given = (key, field, old) => { if (field && field.value.trim() !== (old ?? "")) form[key] = field.value.trim(); };
    given("address", address, before?.address);
    given("user", user, before?.user);
    if (password?.value) form.password = password.value;
    else if (before?.has_password && form.user === "") form.password = "";
    given("record", record, before?.record);
    given("name", name, before?.name);
    if (before) form.version = before.version;
    if (this.#fields.classes) form.detect = this.#detect;
    if (form.name === "") delete form.name;
    return form;
  }

  get #detect() {
    const number = (key) => (this.#fields[key]?.value ? Number(this.#fields[key].value) : null);
    const classes = this.#fields.classes.value.split(",").map((one) => one.trim()).filter(Boolean);
    return { conf: number("conf"), fps: number("fps"), imgsz: number("imgsz"), classes: classes.length ? classes : null };
  }

  async #try() {
    const { name, record, detect, ...form } = this.#form;
    this.#say("", "Testing. This takes some seconds …");
    this.#busy(true);
    try {
      const shown = await fetchJson("api/cameras/test", { method: "POST", body: { ...form, camera: this.#settings?.name ?? null } });
      URL.revokeObjectURL(this.#picture.src);
      this.#picture.src = URL.createObjectURL(blobOf(shown.jpeg));
      this.#picture.hidden = false;
      const rate = shown.fps === null ? "" : `, ${shown.fps} pictures a second`;
      this.#say("", `It works: ${shown.width} × ${shown.height}${rate}.`);
    } catch (error) {
      this.#picture.hidden = true;
      this.#say(error.message);
    }
    this.#busy(false);
  }

  async #submit(event) {
    event.preventDefault();
    this.#say("", this.#settings ? "Saving …" : "Adding …");
    this.#busy(true);
    try {
      const path = this.#settings ? cameraPath(this.#settings.name, "settings") : "api/cameras";
      const saved = await fetchJson(path, { method: this.#settings ? "PUT" : "POST", body: this.#form });
      await this.#until(() => this.#wall.tile(saved.name));
      this.#done = saved.name;
      this.#dialog.close();
    } catch (error) {
      this.#say(error.message);
      this.#busy(false);
    }
  }

  async #remove() {
    const { name } = this.#settings;
    const answer = await choose(`Remove ${name}?`, "The camera and its password are removed from the configuration. Its events, clips and zones stay.", [
      { value: true, text: "Remove" }, { value: false, text: "Keep" },
    ]);
    if (!answer) return;
    this.#busy(true);
    try {
      await fetchJson(cameraPath(name, "").slice(0, -1), { method: "DELETE" });
      this.#say("", "Removing …");
      await this.#until(() => !this.#wall.tile(name));
      this.#dialog.close();
    } catch (error) {
      this.#say(error.message);
      this.#busy(false);
    }
  }

  /** Wait until the program has taken a change up. */
  async #until(isSo) {
    const end = performance.now() + APPEARS_MS;
    while (!isSo() && performance.now() < end) await new Promise((resolve) => { setTimeout(resolve, 100); });
  }

  #say(problem, told = "") {
    setText(this.#problem, problem);
    setText(this.#told, told);
  }

  #busy(isBusy) {
    this.#test.disabled = this.#send.disabled = isBusy;
  }
}

/** Return a JPEG given as base64. */
function blobOf(base64) {
  return new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))], { type: "image/jpeg" });
}
