// Decoding of pictures off the main thread, one per camera at a time; bitmaps are freed at once.

const RETRY_MS = 30_000;

/** Return a listener for "picture" events that shows each on `wall` and acknowledges it. */
export function pictureListener(wall, connection) {
  return async ({ detail: { header, jpeg } }) => {
    let bitmap = null;
    try {
      bitmap = await createImageBitmap(jpeg);
      wall.tile(header.camera)?.show(header, bitmap);
    } catch (error) {
      // A damaged JPEG is skipped: the last picture stays, the next one comes.
      if (!(error instanceof DOMException)) throw error;
    } finally {
      bitmap?.close();
      connection.ack(header.camera, header.index);
    }
  };
}

/**
 * The camera that is shown by its own video, one at a time: the large one. A browser that decodes
 * such a picture pays for all its pixels, so a tile of the wall has small JPEG pictures.
 */
export class Video {
  #wall;
  #connection;
  #onChange;
  #player = null;
  #camera = null;
  #wanted = null;
  #refused = new Map();
  #module = null;

  /** `onChange` is called when what `wanted` returns may have changed. */
  constructor(wall, connection, onChange) {
    this.#wall = wall;
    this.#connection = connection;
    this.#onChange = onChange;
    connection.addEventListener("video", ({ detail }) => this.#take(detail));
    connection.addEventListener("picture", ({ detail }) => detail.header.camera === this.#camera && this.stop());
  }

  /** Return the cameras to ask for as video when `name` is large; none where nothing decodes it. */
  wanted(name) {
    // Browsers have WebCodecs on pages of https and of this machine only.
    const can = name !== null && "VideoDecoder" in globalThis && !((this.#refused.get(name) ?? 0) > performance.now());
    this.#wanted = can ? name : null;
    if (this.#wanted !== this.#camera) this.stop();
    return can ? [name] : [];
  }

  /** Free the decoder; the next message begins anew. */
  stop() {
    this.#player?.close();
    this.#player = this.#camera = null;
  }

  async #take({ header, packets }) {
    this.#module ??= import("./video_player.js"); // not for the wall alone
    const { VideoPlayer } = await this.#module;
    const tile = this.#wall.tile(header.camera);
    if (header.camera !== this.#wanted || !tile) return;
    if (this.#player === null) {
      this.#camera = header.camera;
      if (!header.start) {
        this.#refuse(false);
        return;
      }
      this.#player = new VideoPlayer(tile, ({ camera, index }) => this.#connection.ack(camera, index), (isFinal) => this.#refuse(isFinal));
    }
    this.#player.take(header, packets);
  }

  #refuse(isFinal) {
    this.#refused.set(this.#camera, isFinal ? Infinity : performance.now() + RETRY_MS);
    if (!isFinal) setTimeout(this.#onChange, RETRY_MS);
    this.stop();
    this.#onChange();
  }
}
