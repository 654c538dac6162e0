// The WebSocket: opens it, opens it again, and takes pictures out of its messages.

const FIRST_WAIT_MS = 500;
const LONGEST_WAIT_MS = 15000;
// The state of cameras comes once a second; a line that is silent this long is dead although it looks open.
const SILENT_MS = 6000;
const PICTURE = 1;

const TRY_LATER = 1013; // the close code of a server that has no seat free

/**
 * Events: "open"; "closed" (detail.retryMs, detail.full where there are too many viewers); "message" (detail: the JSON); "picture" (detail: the
 * header and a JPEG blob). Whoever takes a picture must `ack` it, or no other comes.
 */
export class Link extends EventTarget {
  #url;
  #socket = null;
  #failures = 0;
  #retry = 0;
  #lastHeard = 0;
  #wanted = null;

  constructor(url) {
    super();
    this.#url = url;
    setInterval(() => this.#watchdog(), 2000);
    // Whoever comes back to the tab, or gets a network, need not wait for the next try.
    addEventListener("online", () => this.retryNow());
    document.addEventListener("visibilitychange", () => document.hidden || this.retryNow());
  }

  get open() {
    return this.#socket !== null && this.#socket.readyState === WebSocket.OPEN;
  }

  connect() {
    clearTimeout(this.#retry);
    this.#retry = 0;
    const socket = new WebSocket(this.#url);
    socket.binaryType = "arraybuffer";
    this.#socket = socket;
    this.#lastHeard = performance.now();
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#emit("open");
      this.#sendWanted();
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#take(event.data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket) this.#lost(code === TRY_LATER);
    });
  }

  /** Close the connection for good: no event follows, no other try. */
  close() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#retry);
    this.#retry = 0;
    socket?.close();
  }

  /** Connect at once if a try is pending. */
  retryNow() {
    if (this.#retry) this.connect();
  }

  /** Say which cameras to send; said again after each reconnect. */
  watch(wanted) {
    const text = JSON.stringify({ type: "watch", ...wanted });
    if (text === this.#wanted) return;
    this.#wanted = text;
    this.#sendWanted();
  }

  /** Say that a picture has been drawn, so that the next may come. */
  ack(camera, index) {
    if (this.open) this.#socket.send(JSON.stringify({ type: "ack", camera, index }));
  }

  #sendWanted() {
    if (this.#wanted !== null && this.open) this.#socket.send(this.#wanted);
  }

  #take(data) {
    this.#lastHeard = performance.now();
    this.#failures = 0; // not when it opens: one that is turned away is opened and closed
    if (typeof data === "string") {
      const message = parsed(data);
      if (message !== null) this.#emit("message", message);
      return;
    }
    const bytes = new DataView(data);
    if (bytes.byteLength < 3 || bytes.getUint8(0) !== PICTURE) return;
    const end = 3 + bytes.getUint16(1);
    if (end > bytes.byteLength) return;
    const header = parsed(new TextDecoder().decode(new Uint8Array(data, 3, end - 3)));
    if (header === null) return;
    this.#emit("picture", { header, jpeg: new Blob([new Uint8Array(data, end)], { type: "image/jpeg" }) });
  }

  #lost(full = false) {
    this.#socket = null;
    const longest = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** this.#failures);
    const wait = longest * (0.6 + 0.4 * Math.random()); // many pages must not come back at once
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), wait);
    this.#emit("closed", { retryMs: wait, full });
  }

  #watchdog() {
    if (this.#socket === null || performance.now() - this.#lastHeard < SILENT_MS) return;
    const dead = this.#socket;
    this.#lost();
    dead.close();
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return typeof value === "object" ? value : null;
  } catch {
    return null; // A message of a later version, or damage: the next one comes soon.
  }
}
