// The page of uploaded pictures and videos: sends each to the server, draws what it finds, downloads it.
import { ApiError, fetchJson, signInIfNeeded } from "./api.js";
import { colourOf } from "./colours.js";
import { el, isTyping, setText } from "./dom.js";
import { count, span } from "./format.js";
import { PictureCard } from "./picture_card.js";
import { bindTheme } from "./settings.js";
import { VideoCard } from "./video_card.js";
import { isVideo } from "./video_upload.js";

const LOWEST = 0.05; // asked for once; the slider then filters without asking again
const MAX_CARDS = 200;

const byId = (id) => document.getElementById(id);
const cards = []; // the newest first
const hidden = new Set(); // names of classes that are switched off
// The server looks at one picture and at one video at a time: no video keeps a picture waiting.
const lanes = { picture: { waiting: [], isBusy: false }, video: { waiting: [], isBusy: false } };
let limits = null; // in MB and seconds, as the server has them
let dragDepth = 0;

bindTheme(byId("theme"));
byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = "";
});
byId("score").addEventListener("input", show);
byId("download").addEventListener("click", () => {
  const answered = (kind) => cards.filter((card) => card instanceof kind && card.answer !== null).map((card) => card.shownAnswer());
  const all = { pictures: answered(PictureCard), videos: answered(VideoCard) };
  save(new Blob([JSON.stringify(all, null, 1)], { type: "application/json" }), "pictures.json");
});
byId("clear").addEventListener("click", () => {
  for (const card of [...cards]) remove(card);
  byId("choose").focus();
});
document.addEventListener("paste", ({ clipboardData }) => add(clipboardData.files));
document.addEventListener("keydown", (event) => {
  if (event.key === "o" && !isTyping(event)) byId("files").click();
});
for (const kind of ["dragenter", "dragleave", "dragover", "drop"]) document.addEventListener(kind, onDrag);
addEventListener("resize", show);
show();
begin().catch(() => {}); // the server is away: the next picture says so

async function begin() {
  if (await signInIfNeeded()) return;
  limits = await fetchJson("api/uploads");
  const { picture_mb, video_mb, video_s } = limits;
  setText(byId("limits"), `Pictures up to ${picture_mb} MB, videos up to ${video_mb} MB and ${span(video_s)}.`);
}

function onDrag(event) {
  if (!event.dataTransfer?.types.includes("Files")) return;
  event.preventDefault();
  if (event.type === "dragenter") dragDepth += 1;
  if (event.type === "dragleave") dragDepth -= 1;
  if (event.type === "drop") {
    dragDepth = 0;
    add(event.dataTransfer.files);
  }
  byId("intake").classList.toggle("over", dragDepth > 0);
}

function add(files) {
  for (const file of files) {
    const kind = isVideo(file) ? "video" : "picture";
    const card = new (kind === "video" ? VideoCard : PictureCard)(file, { onRemove: remove, onSave: save });
    cards.unshift(card);
    byId("list").prepend(card.element);
    const most = limits?.[`${kind}_mb`] ?? Infinity;
    if (file.size > most * 2 ** 20) card.failed(`The file is larger than ${most} MB.`);
    else lanes[kind].waiting.push(card);
  }
  for (const card of cards.slice(MAX_CARDS)) remove(card);
  show();
  for (const lane of Object.values(lanes)) if (!lane.isBusy) sendAll(lane);
}

/** Have what waits in a lane looked at, one after the other. */
async function sendAll(lane) {
  lane.isBusy = true;
  while (lane.waiting.length) await send(lane.waiting.shift());
  lane.isBusy = false;
}

async function send(card) {
  try {
    await card.analyse(LOWEST);
    for (const { class_name } of card.things) colourOf(class_name);
  } catch (error) {
    card.failed(error.message);
    if (!(error instanceof ApiError)) reportError(error); // a bug: the next ones are looked at all the same
    if (error.status === 401) await signInIfNeeded().catch(() => {});
  }
  show();
}

function remove(card) {
  const place = cards.indexOf(card);
  if (place < 0) return;
  const isFocused = card.element.contains(document.activeElement);
  cards.splice(place, 1);
  for (const { waiting } of Object.values(lanes)) if (waiting.includes(card)) waiting.splice(waiting.indexOf(card), 1);
  card.close();
  show();
  // Where it was, or else nowhere: the keyboard would begin at the top again.
  if (isFocused) (cards[Math.min(place, cards.length - 1)]?.element.querySelector("button:last-of-type") ?? byId("choose")).focus();
}

/** Draw every card with what the slider and the classes let through. */
function show() {
  const score = Number(byId("score").value);
  setText(byId("score-text"), `${Math.round(score * 100)} %`);
  const totals = new Map();
  let objects = 0;
  for (const card of cards) {
    card.show({ score, hidden });
    for (const { class_name, score: own } of card.things) {
      if (own >= score) totals.set(class_name, (totals.get(class_name) ?? 0) + 1);
    }
    objects += card.shown.length;
  }
  byId("filters").hidden = cards.length === 0;
  const videos = cards.filter((card) => card instanceof VideoCard).length;
  const kinds = [[cards.length - videos, "picture"], [videos, "video"]].filter(([number]) => number > 0);
  const summary = [...kinds, [objects, "object"]].map(([number, kind]) => count(number, kind)).join(", ");
  setText(byId("summary"), cards.length ? summary : "");
  showClasses(totals);
}

function showClasses(totals) {
  for (const name of hidden) if (!totals.has(name)) totals.set(name, 0);
  const buttons = [...totals].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0])).map(([name, number]) => {
    const mark = el("i", { "aria-hidden": "true" });
    mark.style.background = colourOf(name);
    return el("button", { type: "button", "aria-pressed": String(!hidden.has(name)), data: { class: name },
      on: { click: () => toggle(name) } }, mark, `${name} ${number}`);
  });
  const focused = document.activeElement?.dataset.class;
  byId("classes").replaceChildren(...buttons);
  buttons.find((button) => button.dataset.class === focused)?.focus();
}

function toggle(name) {
  if (!hidden.delete(name)) hidden.add(name);
  show();
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  el("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
