// Status of server and connection: header, notices and footer.
import { fetchJson } from "./api.js";
import { Deliveries } from "./deliveries.js";
import { el, setText } from "./dom.js";
import { count, span, time } from "./format.js";

const REFRESH_MS = 3000;
const LIMITS = { infer: "detection", track: "tracking", sinks: "what is written", decode: "decoding" }; // "camera" is no limit: all that comes is analysed

export class Status {
  #lamp = document.querySelector(".link .lamp");
  #text = document.getElementById("link-text");
  #notices = document.getElementById("notices");
  #foot = document.getElementById("foot");
  #summary = document.getElementById("summary");
  #again;
  #retryAt = 0;
  #connected = false;
  #full = false;
  #version = "";
  #deliveries = new Deliveries((...args) => this.#notice(...args));
  configPath = "";
  fixed = null; // why cameras cannot be changed here; null where they can, and before that is known
  isKnown = false;

  #onRefresh;

  constructor(retryNow, onRefresh) {
    this.#onRefresh = onRefresh;
    this.#again = el("button", { type: "button", hidden: true, on: { click: retryNow } }, "Try now");
    this.#text.after(this.#again);
    setInterval(() => document.hidden || this.refresh(), REFRESH_MS);
    setInterval(() => this.#countdown(), 500);
  }

  connected(version) {
    this.#connected = true;
    this.#version = version;
    this.#lamp.dataset.state = "live";
    this.#again.hidden = true;
    setText(this.#text, "Connected");
    this.#notice("link", null);
    delete document.body.dataset.away;
  }

  /** Show that there is no connection; `full`: the server has its maximum of viewers. */
  disconnected(retryMs, full = false) {
    this.#connected = false;
    this.#retryAt = performance.now() + retryMs;
    this.#lamp.dataset.state = "lost";
    this.#again.hidden = false;
    document.body.dataset.away = "";
    this.#full = full;
    const [title, text] = full
      ? ["Too many viewers.", "The server shows its cameras to others already. Close a page elsewhere, or raise web.viewers; this one tries again by itself."]
      : ["Disconnected.", "What you see is the last that came. The page connects again by itself."];
    this.#notice("link", title, text, true);
    setText(this.#text, this.#full ? "Too many viewers" : "Disconnected");
  }

  cameras(cameras) {
    const of = (...states) => cameras.filter((camera) => states.includes(camera.state)).length;
    const parts = [count(cameras.length, "camera"), `${of("live")} live`];
    if (of("stale")) parts.push(`${of("stale")} stale`);
    if (of("lost")) parts.push(`${of("lost")} lost`);
    if (of("connecting")) parts.push(`${of("connecting")} connecting`);
    setText(this.#summary, cameras.length ? parts.join(", ") : "");
    document.title = of("lost") ? `(${of("lost")} lost) Trackline` : "Trackline";
  }

  /** Reload the program's status; while the server does not answer, the last one stays. */
  async refresh() {
    if (!this.#connected) return;
    this.#deliveries.refresh();
    let status;
    try {
      status = await fetchJson("api/status");
    } catch {
      return; // The WebSocket connection shows that the server is away.
    }
    const { config } = status;
    this.configPath = config.path ?? "";
    this.fixed = config.fixed ?? null;
    this.isKnown = true;
    this.#onRefresh();
    this.#notice("config", config.error ? "The changed configuration is not applied." : null, config.error ?? "");
    const parts = [
      `${status.fps.toFixed(1)} results/s`,
      status.fps && status.limited_by in LIMITS ? `limited by ${LIMITS[status.limited_by]}` : "",
      `up ${span(status.uptime_s)}`,
      config.path ? `${config.path}, loaded ${time(config.loaded_at)}` : "",
    ].filter(Boolean);
    const nodes = parts.map((part) => el("span", {}, part));
    nodes.push(el("span", { class: "end" }, `Trackline ${this.#version}`));
    this.#foot.replaceChildren(...nodes);
  }

  #countdown() {
    if (this.#connected) return;
    const s = Math.ceil((this.#retryAt - performance.now()) / 1000);
    const why = this.#full ? "Too many viewers" : "Disconnected";
    setText(this.#text, s > 1 ? `${why}, next try in ${s} s` : "Connecting");
  }

  #notice(id, title, text = "", bad = false) {
    let node = this.#notices.querySelector(`[data-id="${id}"]`);
    if (title === null) {
      node?.remove();
      return;
    }
    if (!node) {
      node = el("p", { class: bad ? "notice bad" : "notice", data: { id } }, el("b"), el("span"));
      this.#notices.append(node);
    }
    setText(node.children[0], title);
    setText(node.children[1], text);
  }
}
