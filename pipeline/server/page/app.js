// Starts the page and connects its parts.
import { ask, cameraPath, signInIfNeeded, signOut } from "./api.js";
import { fromServer } from "./areas.js";
import { Clip } from "./clip.js";
import { Counts } from "./counts.js";
import { colourOf } from "./colours.js";
import { showKeys } from "./dialogs.js";
import { typing } from "./dom.js";
import { Editor } from "./editor.js";
import { Events } from "./events.js";
import { Facts } from "./facts.js";
import { Large } from "./large.js";
import { Link } from "./link.js";
import { pictureTaker } from "./pictures.js";
import { Layers, bindTheme } from "./settings.js";
import { Status } from "./status.js";
import { Wall, noCameras } from "./wall.js";
import { isSeen } from "./words.js";

const LAYER_KEYS = { b: "boxes", l: "labels", t: "trails", z: "areas" };
const WALL_FPS = 12;
const LARGE_FPS = 25;

const byId = (id) => document.getElementById(id);
const layers = new Layers();
const link = new Link(new URL("api/ws", document.baseURI.replace(/^http/, "ws")));
const status = new Status(() => link.retryNow());
const clip = new Clip();
const counts = new Counts();
const events = new Events((event, all) => clip.play(event, all));
const facts = new Facts();
const editor = new Editor();
const wall = new Wall(byId("wall"), layers, { onWatch: watchSoon, onOpen: (name) => large.open(name) });
const large = new Large(wall, editor, showLarge);
let watching = 0;
let version = "";

byId("rail").append(editor.element, facts.element, counts.element, events.element);
layers.bind(document.querySelectorAll("[data-layer]"));
bindTheme(byId("theme"));
byId("help").addEventListener("click", showKeys);
byId("sign-out").addEventListener("click", async () => {
  if (!(await editor.close())) return;
  link.close();
  await signOut();
  location.replace(new URL("login.html", document.baseURI));
});
for (const tab of document.querySelectorAll(".tabs button")) {
  tab.addEventListener("click", () => view(tab.dataset.view));
}
document.addEventListener("keydown", (event) => {
  if (typing(event)) return;
  if (event.key in LAYER_KEYS) layers.toggle(LAYER_KEYS[event.key]);
  else if (event.key === "?") showKeys();
});
document.addEventListener("visibilitychange", watchSoon);
setInterval(() => document.hidden || wall.tick(), 250);

link.addEventListener("picture", pictureTaker(wall, link));
link.addEventListener("open", () => {
  status.connected(version);
  status.refresh();
  events.refresh();
  counts.refresh();
  loadAreas(wall.names);
});
link.addEventListener("closed", async ({ detail }) => {
  status.away(detail.retryMs, detail.full);
  // An expired session closes the line too; a server that is away answers nothing here.
  await signInIfNeeded().catch(() => {});
});
link.addEventListener("message", ({ detail: message }) => {
  if (message.type === "cameras") takeCameras(message.cameras);
  else if (message.type === "tracks") takeTracks(message);
  else if (message.type === "event") {
    events.add(message.event);
    counts.stir();
  }
});
editor.addEventListener("saved", ({ detail }) => {
  wall.tile(detail.camera)?.areas(detail.areas, detail.size);
  counts.refresh();
});
start();

async function start() {
  view("cameras");
  try {
    const session = await ask("api/session");
    version = session.version;
    byId("sign-out").hidden = !session.token_required;
    if (await signInIfNeeded()) return;
  } catch {
    // The server is away: the line keeps trying and says so.
  }
  link.connect();
}

function takeCameras(cameras) {
  const before = new Set(wall.names);
  const changed = wall.update(cameras, () => noCameras(status.configPath));
  status.cameras(cameras);
  for (const { name, state } of cameras) if (!isSeen(state)) counts.unseen(name);
  if (changed) {
    events.cameras(wall.names);
    loadAreas(wall.names.filter((name) => !before.has(name)));
    large.follow();
  }
  facts.show(cameras.find((camera) => camera.name === wall.large));
}

function takeTracks({ camera, tracks, inside }) {
  for (const track of tracks) colourOf(track.class_name); // the filters offer what was seen
  wall.tile(camera)?.inside(inside);
  if (isSeen(wall.tile(camera)?.camera?.state)) counts.inside(camera, inside);
}

function showLarge(name) {
  events.only(name ?? "");
  counts.only(name ?? "");
  facts.show(wall.tile(name)?.camera);
  watchSoon();
}

async function loadAreas(names) {
  for (const name of names) {
    try {
      const answer = await ask(cameraPath(name, "zones"));
      wall.tile(name)?.areas(fromServer(answer), answer.size);
    } catch {
      // Shown without its zones; the next connection asks again.
    }
  }
}

/** Ask for pictures of what is on the screen, soon: many changes of one moment are one message. */
function watchSoon() {
  watching ||= setTimeout(() => {
    watching = 0;
    const { names, width } = wall.watched;
    const seen = !document.hidden && names.length > 0;
    link.watch({ cameras: seen ? names : [], pictures: seen, width: width || 640, fps: wall.large === null ? WALL_FPS : LARGE_FPS });
  }, 60);
}

function view(name) {
  document.body.dataset.view = name;
  for (const tab of document.querySelectorAll(".tabs button")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
}
