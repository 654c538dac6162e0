// Decoding of pictures off the main thread, one per camera at a time; bitmaps are freed at once.

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
