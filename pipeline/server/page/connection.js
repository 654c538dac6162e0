// WebSocket connection to the server: reconnects with backoff and parses its messages.

const MIN_RETRY_MS = 500;
const MAX_RETRY_MS = 15000;
// The state of cameras comes once a second; a connection silent for this long is dead although it looks open.
const SILENT_MS = 6000;
const PICTURE = 1;
const VIDEO = 2;

const TRY_LATER = 1013; // close code of a server that has its maximum of viewers

/**
 * Events: "open"; "closed" (detail.retryMs, detail.full where there are too many viewers);
 * "message" (detail: the JSON); "picture" (detail: the header and a JPEG blob); "video" (detail: the
 * header and the packets' bytes). Each picture and each piece of video must be acknowledged with
 * `ack`: the server sends a camera's next picture only after that.
 */
export class Connection extends EventTarget {
  #url;
  #socket = null;
  #failures = 0;
  #retry = 0;
  #lastMessageAt = 0;
  #watched = null;

  constructor(url) {
    super();
    this.#url = url;
    setInterval(() => this.#watchdog(), 2000);
    // Reconnect at once when the tab becomes visible or the network returns.
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
    this.#lastMessageAt = performance.now();
    socket.addEventListener("open", () => {
      if (socket !== this.#socket) return;
      this.#emit("open");
      this.#sendWatched();
    });
    socket.addEventListener("message", (event) => {
      if (socket === this.#socket) this.#receive(event.data);
    });
    socket.addEventListener("close", ({ code }) => {
      if (socket === this.#socket) this.#closed(code === TRY_LATER);
    });
  }

  /** Close the connection for good: no event and no reconnect follow. */
  close() {
    const socket = this.#socket;
    this.#socket = null;
    clearTimeout(this.#retry);
    this.#retry = 0;
    socket?.close();
  }

  /** Reconnect at once if a reconnect is scheduled. */
  retryNow() {
    if (this.#retry) this.connect();
  }

  /** Request pictures and tracks of these cameras; sent again after each reconnect. */
  watch(request) {
    const text = JSON.stringify({ type: "watch", ...request });
    if (text === this.#watched) return;
    this.#watched = text;
    this.#sendWatched();
  }

  /** Acknowledge a picture that was drawn, or video that was decoded, so that the next is sent. */
  ack(camera, index) {
    if (this.open) this.#socket.send(JSON.stringify({ type: "ack", camera, index }));
  }

  #sendWatched() {
    if (this.#watched !== null && this.open) this.#socket.send(this.#watched);
  }

  #receive(data) {
    this.#lastMessageAt = performance.now();
    this.#failures = 0; // not on open: a refused connection is opened, then closed
    if (typeof data === "string") {
      const message = parsed(data);
      if (message !== null) this.#emit("message", message);
      return;
    }
    const bytes = new DataView(data);
    const kind = bytes.byteLength < 5 ? 0 : bytes.getUint8(0);
    if (kind !== PICTURE && kind !== VIDEO) return;
    const start = kind === PICTURE ? 3 : 5;
    const end = start + (kind === PICTURE ? bytes.getUint16(1) : bytes.getUint32(1));
    if (end > bytes.byteLength) return;
    const header = parsed(new TextDecoder().decode(new Uint8Array(data, start, end - start)));
    if (header === null) return;
    const rest = new Uint8Array(data, end);
    if (kind === VIDEO) this.#emit("video", { header, packets: rest });
    else this.#emit("picture", { header, jpeg: new Blob([rest], { type: "image/jpeg" }) });
  }

  #closed(full = false) {
    this.#socket = null;
    const max = Math.min(MAX_RETRY_MS, MIN_RETRY_MS * 2 ** this.#failures);
    const wait = max * (0.6 + 0.4 * Math.random()); // jitter: many pages must not reconnect at once
    this.#failures += 1;
    this.#retry = setTimeout(() => this.connect(), wait);
    this.#emit("closed", { retryMs: wait, full });
  }

  #watchdog() {
    if (this.#socket === null || performance.now() - this.#lastMessageAt < SILENT_MS) return;
    const dead = this.#socket;
    this.#closed();
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
    return null; // A message of a later version, or a damaged one: the next one follows soon.
  }
}
