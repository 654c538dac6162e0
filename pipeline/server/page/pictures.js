// Decodes pictures off the main thread, one per camera at a time, and lets go of each at once.

/** Return a listener for the link's "picture" that shows on `wall` and acknowledges. */
export function pictureTaker(wall, link) {
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
      link.ack(header.camera, header.index);
    }
  };
}
