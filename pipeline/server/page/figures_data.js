// Figures over days from rows of counts: what a card shows; pure functions of rows and times.

const MEASURES = { enter: "zone", cross: "line", appeared: "picture" };
export const KINDS = Object.keys(MEASURES);
export const HOUR_S = 3600;

/** Return a day as "2026-01-31", in the browser's time zone. */
export function dayText(date) {
  const two = (value) => String(value).padStart(2, "0");
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
}

/** Return the Date on which a day begins that is so many days after "2026-01-31"; null for no day. */
export function dayOf(text, after = 0) {
  const found = /^(\d{4})-(\d\d)-(\d\d)$/.exec(text ?? "");
  if (!found) return null;
  const date = new Date(Number(found[1]), Number(found[2]) - 1, Number(found[3]) + after);
  return Number.isFinite(date.getTime()) ? date : null;
}

/** Return the Unix seconds at which `days` days begin that end with `day`, and those of their end. */
export function spanOf(day, days) {
  const bounds = Array.from({ length: days + 1 }, (_, i) => dayOf(day, i + 1 - days).getTime() / 1000);
  return { days: bounds.slice(0, -1), since: bounds[0], until: bounds.at(-1) };
}

/**
 * Return the bars of a chart as {since, until}: the hours of one day, 23 to 25 of them, or the days
 * of several.
 */
export function slotsOf({ days, since, until }) {
  const hours = Array.from({ length: Math.round((until - since) / HOUR_S) }, (_, i) => since + i * HOUR_S);
  const starts = days.length === 1 ? hours : days;
  return starts.map((start, i) => ({ since: start, until: starts[i + 1] ?? until }));
}

/** Return the rows of one place as a card: Map "camera, kind, area" -> {camera, area, type, rows}. */
export function cardsOf(rows, names = []) {
  const cards = new Map();
  for (const row of [...names, ...rows]) {
    const type = MEASURES[row.kind];
    if (type === undefined) continue;
    const key = [row.camera, type, row.area].join("\0");
    if (!cards.has(key)) cards.set(key, { camera: row.camera, area: row.area, type, rows: [] });
    if (row.time !== undefined) cards.get(key).rows.push(row);
  }
  const rank = ({ camera, type, area }) => [camera, ["picture", "line", "zone"].indexOf(type), area].join("\0");
  return [...cards.values()].sort((one, other) => (rank(one) < rank(other) ? -1 : 1));
}

/** Return {total, in, out, classes: Map name -> n} of rows. */
export function sumOf(rows) {
  const sum = { total: 0, in: 0, out: 0, classes: new Map() };
  for (const { count, direction, class_name } of rows) {
    sum.total += count;
    if (direction) sum[direction] = (sum[direction] ?? 0) + count;
    sum.classes.set(class_name, (sum.classes.get(class_name) ?? 0) + count);
  }
  return sum;
}

/** Return the sum of each slot; rows that are in none are left out. */
export function bySlot(rows, slots) {
  const found = slots.map(() => []);
  for (const row of rows) {
    const at = slots.findIndex(({ since, until }) => row.time >= since && row.time < until);
    if (at >= 0) found[at].push(row);
  }
  return found.map(sumOf);
}

/** Return how many there were on average in each hour of the day, from rows of `days` days. */
export function byHour(rows, days) {
  const hours = new Array(24).fill(0);
  for (const { time, count } of rows) hours[new Date(time * 1000).getHours()] += count / days;
  return hours;
}

/** Return the hours of the day with most, at most three, as [hour, n]. */
export function busiest(hours) {
  const some = hours.map((n, hour) => [hour, n]).filter(([, n]) => n > 0);
  return some.sort(([a, n], [b, m]) => m - n || a - b).slice(0, 3);
}

/** Return rows between two times. */
export function between(rows, since, until) {
  return rows.filter(({ time }) => time >= since && time < until);
}

/** Return a number that may be an average: "0.4", "12". */
export function rough(n) {
  return n > 0 && n < 10 && !Number.isInteger(n) ? n.toFixed(1) : String(Math.round(n));
}
