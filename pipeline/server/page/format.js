// Formatting of numbers, times, states and events as text.

// Events close together share a clip, which is complete after the last of them.
const CLIP_EXPECTED_S = 300;
const SAME_CLIP_S = 0.01;

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** Return an age in milliseconds as "0.14 s", "12 s", "3 min", "2 h". */
export function age(ms) {
  if (ms === null || ms === undefined || !Number.isFinite(ms)) return "–";
  const s = Math.max(0, ms) / 1000;
  if (s < 10) return `${s.toFixed(2)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  return span(s);
}

/** Return a duration in seconds, rounded to what matters. */
export function span(s) {
  if (s > 0 && s < 9.95) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  if (s < 5400) return `${Math.round(s / 60)} min`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ${Math.round((s % 3600) / 60) % 60} min`;
  return `${Math.round(s / 86400)} days`;
}

/** Return the warning level of a picture's age: "warn", "bad" or "". */
export function ageLevel(ms) {
  if (!Number.isFinite(ms)) return "";
  return ms >= 3000 ? "bad" : ms >= 1000 ? "warn" : "";
}

/** Return the time of day of a unix time, with the date where it is not today. */
export function time(unix) {
  const then = new Date(unix * 1000);
  const text = clock.format(then);
  return then.toDateString() === new Date().toDateString() ? text : `${day.format(then)} ${text}`;
}

/** Return a time in milliseconds as files are named by it: UTC, "2026-01-31T18-00-05". */
export function stamp(ms) {
  return new Date(ms).toISOString().slice(0, 19).replaceAll(":", "-");
}

/** Return whether a visit has a clip or may get one: recording goes on after the event. */
export function mayHaveClip(visit) {
  if (isCameraVisit(visit)) return false;
  return visit.clip || Date.now() / 1000 - visit.started < CLIP_EXPECTED_S;
}

/** Return a visit's clips in order, {began, events}, from that of its first event on. */
export function clipsOf(events, first) {
  const clips = [];
  const known = events.filter((one) => one.clip_offset_s !== null && one.clip_offset_s !== undefined);
  for (const event of known.sort((one, other) => one.time - other.time)) {
    const began = event.time - event.clip_offset_s;
    const clip = clips.find((one) => Math.abs(one.began - began) < SAME_CLIP_S);
    if (clip) clip.events.push(event);
    else clips.push({ began, events: [event] });
  }
  clips.sort((one, other) => one.began - other.began);
  return clips.slice(Math.max(0, clips.findIndex((one) => one.events.some(({ id }) => id === first))));
}

/** Return whether a visit is about the camera itself: lost until it is live again. */
export function isCameraVisit({ track_id }) {
  return track_id === 0;
}

/** Return what a visit is of: its class, or what became of the camera. */
export function visitTitle(visit) {
  if (!isCameraVisit(visit)) return visit.class_name || "object";
  if (!visit.touched.some(({ kind }) => kind === "lost")) return "camera is back";
  return visit.ended === null ? "camera lost" : "camera was lost";
}

/** Return the places that a visit touched, in order: lines with their direction, {text, isLine}. */
export function placesOf({ touched }) {
  const texts = new Map();
  for (const { kind, area, direction } of touched) {
    if (area) texts.set(kind === "cross" ? `${area} ${direction}`.trimEnd() : area, kind === "cross");
  }
  return [...texts].map(([text, isLine]) => ({ text, isLine }));
}

/** Return a visit as text, without its camera and time. */
export function visitText(visit) {
  return [visitTitle(visit), ...placesOf(visit).map(({ text }) => text)].join(", ");
}

/** Return an event as text, without its camera and time. */
export function eventText(event) {
  if (event.kind === "lost") return "camera lost";
  if (event.kind === "live") return "camera is back";
  const object = `${event.class_name || "object"} ${event.track_id}`;
  const where = event.area;
  if (event.kind === "cross") return `${object} crossed ${where} ${event.direction}`.trimEnd();
  if (event.kind === "enter") return `${object} entered ${where}`;
  if (event.kind === "leave") {
    return `${object} left ${where}${event.dwell_s ? ` after ${span(event.dwell_s)}` : ""}`;
  }
  if (event.kind === "appeared") return `${object} appeared`;
  if (event.kind === "dwell") return `${object} in ${where} for ${span(event.dwell_s)}`;
  return `${object} ${event.kind} ${where}`;
}

/** Return the label of a camera state. */
export function stateText(state) {
  const words = {
    connecting: "Connecting", live: "Live", stale: "Stale", lost: "Lost", ended: "Ended",
  };
  return words[state] ?? state;
}

/** Return whether a camera in this state shows what is there now. */
export function isSeen(state) {
  return state === "live" || state === "stale";
}

/** Return the text about the next retry of a lost camera in `s` seconds; "" if unknown. */
export function retryText(s) {
  if (s === null || !Number.isFinite(s)) return "";
  return s < 0.5 ? "Trying now" : `Next try in ${Math.round(s)} s`;
}

/** Return the rate of a camera's pictures: "10.0 fps", "6.4 of 10.0 fps" where not all are analysed. */
export function rateText(camera) {
  const [analysed, arriving] = ratesOf(camera).map((rate) => rate.toFixed(1));
  return analysed === arriving ? `${arriving} fps` : `${analysed} of ${arriving} fps`;
}

/** Return whether at least a tenth of a camera's pictures is not analysed; not judged in its first ten seconds. */
export function isLagging(camera) {
  const [analysed, arriving] = ratesOf(camera);
  const wanted = camera.grabbed - (camera.dropped.unwanted ?? 0); // the rates are of these
  return wanted >= 10 * arriving && Number(analysed.toFixed(1)) < 0.9 * Number(arriving.toFixed(1));
}

function ratesOf({ fps, analysed_fps }) {
  return [analysed_fps ?? fps ?? 0, fps ?? 0];
}

/** Return "1 camera", "2 cameras". */
export function count(n, one, many = `${one}s`) {
  return `${n} ${n === 1 ? one : many}`;
}
