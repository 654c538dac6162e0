// What others are not told of events: a notice for each target that does not take them.
import { ask } from "./api.js";
import { time } from "./words.js";

const LATE_S = 30; // without an error known; a message is under way for a moment
const RECENT_S = 24 * 3600;

export class Deliveries {
  #notice;
  #shown = 0;

  /** `notice(id, title, text)` shows a line, `notice(id, null)` takes it away. */
  constructor(notice) {
    this.#notice = notice;
  }

  /** Ask how each target fares; while the server does not answer, what is shown stays. */
  async refresh() {
    let deliveries;
    try {
      ({ deliveries } = await ask("api/deliveries"));
    } catch {
      return; // The WebSocket notices a server that is away, and says so.
    }
    const told = deliveries.map(sayingOf).filter(Boolean);
    told.forEach(({ title, text }, n) => this.#notice(`delivery-${n}`, title, text));
    for (let n = told.length; n < this.#shown; n += 1) this.#notice(`delivery-${n}`, null);
    this.#shown = told.length;
  }
}

/** Return what is to be said of one target, null while all is well. */
function sayingOf({ target, address, waiting, waiting_since, problem, failed, failed_at, failure }) {
  const now = Date.now() / 1000;
  const late = waiting > 0 && (problem || now - waiting_since > LATE_S);
  const recent = failed > 0 && now - failed_at < RECENT_S;
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
