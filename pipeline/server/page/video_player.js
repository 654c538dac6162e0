// Plays a camera's own H.264 or H.265: decoded with WebCodecs, each picture drawn with its boxes.

const MAX_FRAMES = 6; // decoded ahead: decoders have few pictures to lend
const MAX_DELAY_MS = 1500;
const MAX_LATE_MS = 300; // a decoder that is later gets no more until it has caught up
const MAX_HEADERS = 120;
const CATCH_UP = 0.02; // how much of the delay that is not needed is given up with each message

export class VideoPlayer {
  #tile;
  #acknowledge;
  #onError;
  #decoder = null;
  #epoch = null;
  #chunks = []; // to be decoded
  #frames = []; // decoded, in order, to be drawn
  #headers = []; // of analysed pictures, by time
  #from = 0;
  #offset = 0; // from a picture's time to when it is drawn, in milliseconds
  #unacked = [];
  #animation = 0;

  /**
   * `acknowledge` is called with the header of each message that is decoded, `onError` when the
   * browser cannot decode, with whether it never can.
   */
  constructor(tile, acknowledge, onError) {
    this.#tile = tile;
    this.#acknowledge = acknowledge;
    this.#onError = onError;
  }

  /** Take a message: the packets up to a picture that was analysed, and that picture's header. */
  take(header, data) {
    const { format, packets, pts_us } = header;
    if (this.#decoder === null || format.epoch !== this.#epoch) this.#begin(format);
    header.at = performance.now();
    this.#pace(header);
    if (header.start) this.#from = pts_us;
    this.#headers.push(header);
    this.#headers.sort((one, other) => one.pts_us - other.pts_us);
    this.#headers.splice(0, this.#headers.length - MAX_HEADERS);
    this.#unacked.push(header);
    if (header.start) this.#chunks = [];
    let at = 0;
    for (const [timestamp, size, isKey] of packets) {
      this.#chunks.push(new EncodedVideoChunk({ type: isKey ? "key" : "delta", timestamp, data: data.subarray(at, at + size) }));
      at += size;
    }
    this.#decode();
    this.#drawSoon();
  }

  /** Free decoder and pictures; the tile keeps what it shows. */
  close() {
    cancelAnimationFrame(this.#animation);
    this.#animation = 0;
    if (this.#decoder !== null && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    for (const frame of this.#frames) frame.close();
    this.#frames = [];
    this.#chunks = [];
    this.#headers = [];
    this.#unacked = [];
  }

  #begin({ codec, description, epoch }) {
    this.close();
    this.#epoch = epoch;
    this.#decoder = new VideoDecoder({
      output: (frame) => this.#keep(frame),
      error: ({ name }) => {
        this.close();
        this.#onError(name === "NotSupportedError");
      },
    });
    this.#decoder.addEventListener("dequeue", () => this.#decode());
    const record = description === null ? {} : { description: Uint8Array.from(atob(description), (sign) => sign.charCodeAt(0)) };
    this.#decoder.configure({ codec, optimizeForLatency: true, ...record });
  }

  /** Set when pictures are drawn: at the camera's own pace, late enough for the slowest message. */
  #pace({ start, packets, pts_us, at }) {
    const first = start || !packets.length ? pts_us : packets[0][0];
    const base = at - first / 1000;
    if (start || base > this.#offset) this.#offset = base;
    else this.#offset += (base - this.#offset) * CATCH_UP;
    this.#offset = Math.min(this.#offset, at - pts_us / 1000 + MAX_DELAY_MS);
  }

  /** Decode a few pictures ahead, and ask for more unless the decoder is late. */
  #decode() {
    const decoder = this.#decoder;
    while (this.#chunks.length && decoder?.state === "configured" && this.#frames.length + decoder.decodeQueueSize < MAX_FRAMES) {
      decoder.decode(this.#chunks.shift());
    }
    const isLate = this.#chunks.length && performance.now() - this.#dueAt(this.#chunks[0]) > MAX_LATE_MS;
    if (!isLate) for (const header of this.#unacked.splice(0)) this.#acknowledge(header);
  }

  #keep(frame) {
    if (frame.timestamp < this.#from) frame.close(); // what the first picture was decoded from
    else this.#frames.push(frame);
    this.#decode();
    this.#drawSoon();
  }

  #drawSoon() {
    if (this.#frames.length) this.#animation ||= requestAnimationFrame((now) => this.#draw(now));
  }

  /** Draw the newest picture that is due; those between two analysed ones wait for the second. */
  #draw(now) {
    this.#animation = 0;
    let frame = null;
    while (this.#frames.length && this.#isDue(this.#frames[0], now)) {
      frame?.close();
      frame = this.#frames.shift();
    }
    if (frame !== null) {
      const header = this.#headerOf(frame.timestamp);
      if (header !== null) this.#tile.show({ ...header, age_ms: header.age_ms + now - header.at }, frame);
      frame.close();
    }
    this.#decode();
    this.#drawSoon();
  }

  #dueAt({ timestamp }) {
    return timestamp / 1000 + this.#offset;
  }

  #isDue(frame, now) {
    return frame.timestamp <= (this.#headers.at(-1)?.pts_us ?? -Infinity) && now >= this.#dueAt(frame);
  }

  /** Return the header of a picture, its boxes on straight lines where it was not analysed. */
  #headerOf(timestamp) {
    const after = this.#headers.find((header) => header.pts_us >= timestamp) ?? null;
    if (after === null || after.pts_us === timestamp) return after;
    const before = this.#headers.findLast((header) => header.pts_us < timestamp) ?? null;
    if (before === null) return null;
    const share = (timestamp - before.pts_us) / (after.pts_us - before.pts_us);
    return { ...before, tracks: between(before.tracks, after.tracks, share) };
  }
}

/** Return the tracks that are there before and after, `share` of the way between. */
export function between(before, after, share) {
  const later = new Map(after.filter(({ id }) => id > 0).map((track) => [track.id, track.xyxy]));
  return before.filter(({ id }) => later.has(id)).map((track) => {
    const to = later.get(track.id);
    return { ...track, xyxy: track.xyxy.map((from, k) => from + (to[k] - from) * share) };
  });
}
