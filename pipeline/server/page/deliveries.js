// Notices about events that are not stored or not delivered to MQTT and webhooks.
import { fetchJson } from "./api.js";
import { count, time } from "./format.js";

const LATE_S = 30; // without a known error: a message may be under way for a moment
const RECENT_S = 24 * 3600;

export class Deliveries {
  #notice;
  #shown = 0;

  /** `notice(id, title, text)` shows a notice, `notice(id, null)` removes it. */
  constructor(notice) {
    this.#notice = notice;
  }

  /** Reload the delivery status; while the server does not answer, the notices stay. */
  async refresh() {
    let keeping;
    let deliveries;
    try {
      ({ keeping, deliveries } = await fetchJson("api/deliveries"));
    } catch {
      return; // The WebSocket connection shows that the server is away.
    }
    const kept = keeping && storeNotice(keeping);
    this.#notice("keeping", kept ? kept.title : null, kept?.text);
    const notices = deliveries.map(deliveryNotice).filter(Boolean);
    notices.forEach(({ title, text }, n) => this.#notice(`delivery-${n}`, title, text));
    for (let n = notices.length; n < this.#shown; n += 1) this.#notice(`delivery-${n}`, null);
    this.#shown = notices.length;
  }
}

/** Return the notice about one target, null while there is no problem. */
function deliveryNotice({ target, address, waiting, waiting_since, problem, failed, failed_at, failure }) {
  const late = waiting > 0 && (problem || Date.now() / 1000 - waiting_since > LATE_S);
  const recent = isRecent(failed_at);
  if (!late && !recent && !problem) return null;
  const name = target.replace(":", " ");
  const givenUp = `${failed} given up, the newest at ${time(failed_at)}: ${failure}.`;
  let title = `${name}: ${givenUp}`;
  if (late) title = `${name}: ${waiting} waiting since ${time(waiting_since)}.`;
  else if (problem) title = `${name}: ${problem}.`;
  const parts = [
    late && problem ? `Last error: ${problem}.` : "",
    recent && (late || problem) ? givenUp : "",
    `Events go to ${address}.`,
  ];
  return { title, text: parts.filter(Boolean).join(" ") };
}

/** Return the notice about events and clips that are not stored, null while all are. */
function storeNotice({ waiting, since, problem, lost, lost_at, clips_lost, clip_lost_at, clip_problem }) {
  const events = isRecent(lost_at) && `${count(lost, "event")} lost, the newest at ${time(lost_at)}.`;
  const clips = isRecent(clip_lost_at) &&
    `${count(clips_lost, "clip")} lost, the newest at ${time(clip_lost_at)}: ${clip_problem}.`;
  const away = problem !== null && `Events have not been kept since ${time(since)}.`;
  const [title, ...rest] = [
    away, away && `${count(waiting, "waits", "wait")} in memory. Last error: ${problem}.`, events, clips,
  ].filter(Boolean);
  return title ? { title, text: rest.join(" ") } : null;
}

function isRecent(unix) {
  return unix !== null && Date.now() / 1000 - unix < RECENT_S;
}
