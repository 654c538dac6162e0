// Alerts: notifications of this browser, the rules with their last alert, and tests of them.
import { fetchJson } from "./api.js";
import { el, loadStyle, setText } from "./dom.js";
import { show } from "./dialogs.js";
import { count, eventText, span, time } from "./format.js";
import { KINDS } from "./visit_filter.js";
import { isOn, obstacle, switchOff, switchOn } from "./push.js";

const DOCS = "Rules are in the configuration file, section alerts; changes take effect at once.";

/** Show the dialog about alerts. */
export async function showAlerts() {
  await loadStyle("alerts.css");
  const body = el("div", { class: "rules", role: "status" }, "Loading");
  const push = el("div", { class: "push" });
  const close = el("button", { type: "button", on: { click: () => dialog.close() } }, "Close");
  const dialog = el(
    "dialog", { class: "alerts", "aria-labelledby": "alerts-title" },
    el("div", { class: "sheet" }, el("h2", { id: "alerts-title" }, "Alerts"), push, body, el("div", { class: "row" }, close)),
  );
  show(dialog, () => {});
  try {
    const answer = await fetchJson("api/alerts");
    body.removeAttribute("role");
    body.replaceChildren(...rulesOf(answer));
    if (answer.push) await showPush(push, answer.push);
  } catch (error) {
    body.replaceChildren(el("p", { class: "problem" }, error.message));
  }
}

function rulesOf({ rules }) {
  if (!rules.length) return [el("p", {}, "There are no rules. ", DOCS)];
  return [el("ul", {}, ...rules.map(ruleOf)), el("p", { class: "hint" }, DOCS)];
}

function ruleOf(rule) {
  const outcome = el("p", { class: "outcome", role: "status" });
  const test = el("button", { type: "button", "aria-label": `Send a test of ${rule.name}`, on: { click: () => send(rule, test, outcome) } }, "Send a test");
  return el(
    "li", {},
    el("div", { class: "what" }, el("h3", {}, rule.name), el("p", {}, describe(rule)), el("p", {}, lastOf(rule)), outcome),
    test,
  );
}

/** Return what a rule is about, where it goes, and whether it holds now. */
function describe(rule) {
  const parts = [
    rule.classes.join(", ") || (rule.kinds.some((kind) => kind === "lost" || kind === "live") ? "" : "everything"),
    rule.kinds.map((kind) => (KINDS[kind] ?? kind).toLowerCase()).join(", "), [...rule.zones, ...rule.cameras].join(", "),
    rule.min_score ? `score from ${Math.round(rule.min_score * 100)} %` : "",
    rule.min_dwell_s ? `${span(rule.min_dwell_s)} or longer` : "",
    rule.schedule.map(({ days, hours }) => [days.join(" "), hours].filter(Boolean).join(" ")).join(", "),
    `to ${rule.channels.map(channelText).join(", ")}`,
  ];
  const state = rule.in_force ? "" : rule.enabled ? "Not now: " : "Switched off: ";
  return state + parts.filter(Boolean).join(" · ");
}

function channelText(name) {
  const words = { email: "e-mail", mqtt: "MQTT", web_push: "browsers" };
  return words[name] ?? name.replace("alert-webhook:", "webhook ");
}

function lastOf({ last, suppressed }) {
  const text = last ? `Last: ${time(last.time)}, ${eventText({ ...last, track_id: "" })}, ${last.camera}` : "No alert yet";
  const more = suppressed ? `; ${count(suppressed, "event")} came too soon after one` : "";
  const shown = text.replace(/\s+/g, " ").replace(" ,", ",") + more;
  return last?.visit ? el("a", { href: `#visit/${last.visit}`, on: { click: (event) => event.target.closest("dialog").close() } }, shown) : shown;
}

async function send(rule, button, outcome) {
  button.disabled = true;
  setText(outcome, "Sending");
  outcome.classList.remove("problem");
  try {
    const { results } = await fetchJson(`api/alerts/${encodeURIComponent(rule.name)}/test`, { method: "POST" });
    setText(outcome, results.map(({ channel, problem }) => `${channelText(channel)}: ${problem ?? "sent"}`).join("; "));
    outcome.classList.toggle("problem", results.some(({ problem }) => problem));
  } catch (error) {
    setText(outcome, error.message);
    outcome.classList.add("problem");
  }
  button.disabled = false;
}

async function showPush(place, { key }) {
  const text = el("p", { role: "status" });
  const button = el("button", { type: "button" });
  place.replaceChildren(el("div", {}, el("h3", {}, "Notifications on this browser"), text), button);
  let on = false;
  const update = (problem = "") => {
    const why = problem || obstacle();
    setText(text, why || (on ? "On: alerts of rules that go to web push are shown here." : "Off."));
    text.classList.toggle("problem", why !== "");
    setText(button, on ? "Switch off" : "Switch on");
    button.hidden = !on && obstacle() !== "";
  };
  button.addEventListener("click", async () => {
    button.disabled = true;
    let problem = "";
    try {
      if (on) await switchOff();
      else await switchOn(key);
      on = !on;
    } catch (error) {
      problem = error.message;
    }
    button.disabled = false;
    update(problem);
  });
  if (!obstacle()) on = await isOn(key).catch(() => false);
  update();
}
