// Layout of the wall: how many columns make the pictures largest.

const MIN_WIDTH = 170; // below this a picture says nothing: the wall scrolls instead

/**
 * Return {columns, row} that make the most of `width` x `height` CSS pixels without scrolling, null
 * where pictures would be too small. `aspects` are the cameras' width / height; `row` is a tile's
 * height with its caption. With `cover` pictures fill their tiles, and what is cut off counts as lost.
 */
export function layoutOf(aspects, width, height, { caption, gap, cover }) {
  let best = null;
  for (let columns = 1; columns <= aspects.length; columns += 1) {
    const across = width / columns - gap;
    const room = Math.floor(height / Math.ceil(aspects.length / columns) - gap);
    const down = room - caption;
    if (down <= 0) continue;
    const shown = aspects.map((aspect) => (cover ? coveredArea : containedArea)(aspect, across, down));
    const area = shown.reduce((sum, one) => sum + one, 0);
    const widest = cover ? across : Math.max(...aspects.map((aspect) => Math.min(across, down * aspect)));
    if (widest < MIN_WIDTH || (best !== null && area <= best.area)) continue;
    // No higher than the pictures need: spare room stays below, not between them.
    const needed = Math.ceil(across / Math.min(...aspects)) + caption;
    best = { area, columns, row: cover ? room : Math.min(needed, room) };
  }
  return best && { columns: best.columns, row: best.row };
}

function containedArea(aspect, across, down) {
  const wide = Math.min(across, down * aspect);
  return (wide * wide) / aspect;
}

function coveredArea(aspect, across, down) {
  const own = across / down;
  return across * down * (Math.min(own, aspect) / Math.max(own, aspect));
}
