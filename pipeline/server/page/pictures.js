// The page of uploaded pictures: sends each to the server, draws what it finds, downloads it.
import { ApiError, postPicture, signInIfNeeded } from "./api.js";
import { colourOf } from "./colours.js";
import { el, isTyping, setText } from "./dom.js";
import { count } from "./format.js";
import { PictureCard } from "./picture_card.js";
import { bindTheme } from "./settings.js";

const LOWEST = 0.05; // asked for once; the slider then filters without asking again
const MAX_CARDS = 200;

const byId = (id) => document.getElementById(id);
const cards = []; // the newest first
const hidden = new Set(); // names of classes that are switched off
const waiting = [];
let running = false;
let dragDepth = 0;

bindTheme(byId("theme"));
byId("choose").addEventListener("click", () => byId("files").click());
byId("files").addEventListener("change", ({ target }) => {
  add(target.files);
  target.value = "";
});
byId("score").addEventListener("input", show);
byId("download").addEventListener("click", () => {
  const pictures = cards.filter((card) => card.answer !== null).map((card) => card.shownAnswer());
  save(new Blob([JSON.stringify({ pictures }, null, 1)], { type: "application/json" }), "pictures.json");
});
byId("clear").addEventListener("click", () => {
  waiting.length = 0;
  for (const card of [...cards]) remove(card);
});
document.addEventListener("paste", ({ clipboardData }) => add(clipboardData.files));
document.addEventListener("keydown", (event) => {
  if (event.key === "o" && !isTyping(event)) byId("files").click();
});
for (const kind of ["dragenter", "dragleave", "dragover", "drop"]) document.addEventListener(kind, onDrag);
addEventListener("resize", show);
show();
signInIfNeeded().catch(() => {}); // the server is away: the next picture says so

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
    const card = new PictureCard(file, { onRemove: remove, onSave: save });
    cards.unshift(card);
    byId("list").prepend(card.element);
    waiting.push(card);
  }
  for (const card of cards.slice(MAX_CARDS)) remove(card);
  show();
  if (!running) sendAll();
}

/** Send the waiting pictures one after the other: the server looks at one at a time. */
async function sendAll() {
  running = true;
  while (waiting.length) await send(waiting.shift());
  running = false;
}

async function send(card) {
  card.say("Looking…");
  try {
    const { pictures } = await postPicture(card.file, LOWEST);
    card.answered(pictures[0]);
    for (const { class_name } of pictures[0].objects) colourOf(class_name);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    if (error.status === 401) await signInIfNeeded().catch(() => {});
    card.failed(error.message);
  }
  show();
}

function remove(card) {
  const place = cards.indexOf(card);
  if (place < 0) return;
  cards.splice(place, 1);
  if (waiting.includes(card)) waiting.splice(waiting.indexOf(card), 1);
  card.close();
  show();
}

/** Draw every card with what the slider and the classes let through. */
function show() {
  const score = Number(byId("score").value);
  setText(byId("score-text"), `${Math.round(score * 100)} %`);
  const totals = new Map();
  let objects = 0;
  for (const card of cards) {
    card.show({ score, hidden });
    for (const { class_name, score: own } of card.answer?.objects ?? []) {
      if (own >= score) totals.set(class_name, (totals.get(class_name) ?? 0) + 1);
    }
    objects += card.shown.length;
  }
  byId("filters").hidden = cards.length === 0;
  const summary = `${count(cards.length, "picture")}, ${count(objects, "object")}`;
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
