// Starts the page and connects its parts.
import { fetchJson, cameraPath, signInIfNeeded, signOut } from "./api.js";
import { fromServer } from "./zones.js";
import { Clip } from "./clip.js";
import { Counts } from "./counts.js";
import { colourOf } from "./colours.js";
import { showKeys } from "./dialogs.js";
import { isTyping, setAttribute } from "./dom.js";
import { ZoneEditor } from "./zone_editor.js";
import { CameraDetails } from "./camera_details.js";
import { LargeView } from "./large_view.js";
import { Connection } from "./connection.js";
import { Video, pictureListener } from "./picture_decoder.js";
import { Layers, bindFullScreen, bindTheme } from "./settings.js";
import { Status } from "./status.js";
import { Visits } from "./visits.js";
import { WORDS, isStill, offerFrames, onlyZones } from "./still.js";
import { Wall, noCameras } from "./wall.js";
import { isSeen } from "./format.js";
import { linesOf } from "./tile_text.js";

const LAYER_KEYS = { b: "boxes", l: "labels", i: "ids", t: "trails", z: "zones", c: "cover", r: "rail" };
const WALL_FPS = 12;
const LARGE_FPS = 25;

const byId = (id) => document.getElementById(id);
const layers = new Layers();
const connection = new Connection(new URL("api/ws", document.baseURI.replace(/^http/, "ws")));
const status = new Status(() => connection.retryNow(), offerCameras);
const clip = new Clip();
const counts = new Counts(showLines);
const visits = new Visits((visit, all) => clip.play(visit, all));
const details = new CameraDetails();
const editor = isStill ? new ZoneEditor(WORDS) : new ZoneEditor();
const wall = new Wall(byId("wall"), layers, { onWatch: watchSoon, onOpen: (name) => large.open(name) });
const video = new Video(wall, connection, watchSoon);
let cameraForm = null; // a promise, once it was asked for: rarely needed
const form = () => (cameraForm ??= import("./camera_form.js").then(({ CameraForm }) => new CameraForm(wall)));
const addCamera = async () => (await form()).add();
const large = new LargeView(wall, editor, showLarge, async (name) => (await form()).edit(name));
let isOffered = false;
let figures = null; // loaded when they are first shown
let hasCameras = null; // before the first word of the server
let watching = 0;
let version = "";

byId("rail").append(editor.element, details.element, counts.element, visits.element);
if (isStill) onlyZones(editor, connection);
layers.bind(document.querySelectorAll("[data-layer]"));
layers.addEventListener("change", foldRail);
foldRail();
bindTheme(byId("theme"));
const offerReset = () => { byId("reset-order").hidden = !wall.order.isSet; };
wall.element.addEventListener("orderchange", offerReset);
byId("reset-order").addEventListener("click", () => wall.order.reset());
offerReset();
const toggleFullScreen = bindFullScreen(byId("full-screen"));
byId("add-camera").addEventListener("click", addCamera);
byId("alerts").addEventListener("click", async () => (await import("./alerts.js")).showAlerts());
byId("help").addEventListener("click", showKeys);
byId("sign-out").addEventListener("click", async () => {
  if (!(await editor.close())) return;
  connection.close();
  await signOut();
  location.replace(new URL("login.html", document.baseURI));
});
for (const tab of document.querySelectorAll(".tabs button")) {
  tab.addEventListener("click", () => {
    leaveFigures();
    showView(tab.dataset.view);
  });
}
document.addEventListener("keydown", (event) => {
  if (isTyping(event)) return;
  if (event.key in LAYER_KEYS) layers.toggle(LAYER_KEYS[event.key]);
  else if (event.key === "f") toggleFullScreen();
  else if (event.key === "Escape") leaveFigures();
  else if (event.key === "?") showKeys();
});
addEventListener("hashchange", followFigures);
editor.addEventListener("closed", followFigures);
document.addEventListener("visibilitychange", watchSoon);
addEventListener("resize", nameMain);
setInterval(() => document.hidden || wall.tick(), 250);

connection.addEventListener("picture", pictureListener(wall, connection));
connection.addEventListener("open", () => {
  status.connected(version);
  status.refresh();
  visits.refresh();
  counts.refresh();
  loadZones(wall.names);
});
connection.addEventListener("closed", async ({ detail }) => {
  video.stop();
  status.disconnected(detail.retryMs, detail.full);
  // An expired session closes the connection too; a server that is away does not answer here.
  await signInIfNeeded().catch(() => {});
});
connection.addEventListener("message", ({ detail: message }) => {
  if (message.type === "cameras") updateCameras(message.cameras);
  else if (message.type === "tracks") updateTracks(message);
  else if (message.type === "event") counts.refreshSoon();
  else if (message.type === "visit") visits.update(message.visit);
});
editor.addEventListener("saved", ({ detail }) => {
  wall.tile(detail.camera)?.zones(detail.zones, detail.size);
  visits.zones(detail.camera, detail.zones);
  counts.refresh();
});
start();

async function start() {
  showView("cameras");
  try {
    const session = await fetchJson("api/session");
    version = session.version;
    byId("sign-out").hidden = !session.token_required;
    if (await signInIfNeeded()) return;
  } catch {
    // The server is away: the connection keeps trying and shows that.
  }
  connection.connect();
  clip.follow();
  followFigures();
}

/** Show the figures over days in place of the wall where the address says so. */
async function followFigures() {
  const isWanted = () => location.hash.split("?", 1)[0] === "#counts" && editor.camera === null && !isStill;
  if (isWanted() && figures === null) {
    const { openFigures } = await import("./figures.js");
    figures = await openFigures({ onVisits: showVisits, onVisit: (id) => clip.playNumber(id), cameras: () => wall.names, onClose: leaveFigures });
  }
  const changed = document.body.hasAttribute("data-figures") !== isWanted();
  document.body.toggleAttribute("data-figures", isWanted());
  figures?.follow();
  nameMain();
  if (changed && isWanted()) {
    showView("counts");
    figures.element.focus({ preventScroll: true });
  } else if (changed) showView("cameras");
}

/** Show visits beside the figures; in place of them on a phone. */
function showVisits(filter) {
  visits.show(filter);
  if (!layers.rail) layers.toggle("rail");
  if (byId("rail").checkVisibility()) return;
  leaveFigures();
  showView("events");
}

function leaveFigures() {
  if (!document.body.hasAttribute("data-figures")) return;
  history.pushState(null, "", location.pathname + location.search);
  followFigures();
}

function updateCameras(cameras) {
  const before = new Set(wall.names);
  const changed = wall.update(cameras, () => noCameras(status.configPath, status.fixed, addCamera), `${status.configPath} ${status.fixed}`);
  status.cameras(cameras);
  for (const { name, state } of cameras) if (!isSeen(state)) counts.setUnknown(name);
  if (changed) {
    visits.cameras(wall.names);
    loadZones(wall.names.filter((name) => !before.has(name)));
    large.follow();
  }
  details.show(cameras.find((camera) => camera.name === wall.large));
  hasCameras = cameras.length > 0;
}

/** Offer to add cameras where that is possible; a first run without any begins with the form. */
function offerCameras() {
  const can = !isStill && status.fixed === null;
  byId("add-camera").hidden = !can;
  document.body.toggleAttribute("data-fixed", !can);
  if (!can || hasCameras !== false || isOffered || location.hash) return; // a link leads elsewhere
  isOffered = true;
  addCamera();
}

function updateTracks({ camera, tracks, inside }) {
  for (const track of tracks) colourOf(track.class_name); // the filters offer what was seen
  wall.tile(camera)?.inside(inside);
  if (isSeen(wall.tile(camera)?.camera?.state)) counts.inside(camera, inside);
}

/** Show what the lines counted on the tiles of the cameras that were asked for. */
function showLines(all, camera) {
  const lines = linesOf(all);
  for (const tile of wall.tiles) if (!camera || tile.name === camera) tile.lines(lines.get(tile.name) ?? new Map());
}

function showLarge(name) {
  document.body.toggleAttribute("data-large", name !== null);
  visits.only(name ?? "");
  counts.only(name ?? "");
  details.show(wall.tile(name)?.camera);
  watchSoon();
  if (isStill && name !== null) {
    large.edit();
    offerFrames(wall.tile(name));
  }
}

async function loadZones(names) {
  for (const name of names) {
    try {
      const answer = await fetchJson(cameraPath(name, "zones"));
      wall.tile(name)?.zones(fromServer(answer), answer.size);
      visits.zones(name, fromServer(answer));
    } catch {
      // Shown without its zones; they are loaded again after the next reconnect.
    }
  }
}

/** Request pictures of the cameras on the screen, after 60 ms: several changes become one message. */
function watchSoon() {
  watching ||= setTimeout(() => {
    watching = 0;
    const { names, width } = wall.watched;
    const seen = !document.hidden && names.length > 0;
    const large = seen && names.includes(wall.large) ? wall.large : null;
    connection.watch({ cameras: seen ? names : [], pictures: seen, video: video.wanted(large), width: width || 640, fps: wall.large === null ? WALL_FPS : LARGE_FPS });
  }, 60);
}

function showView(name) {
  document.body.dataset.view = name;
  for (const tab of document.querySelectorAll(".tabs button")) {
    if (tab.dataset.view === name) tab.setAttribute("aria-current", "true");
    else tab.removeAttribute("aria-current");
  }
  nameMain();
}

function foldRail() {
  document.body.toggleAttribute("data-folded", !layers.rail);
}

/** Make the rail the main part of the page where it stands in place of the wall, as on a phone. */
function nameMain() {
  setAttribute(byId("rail"), "role", byId("wall").checkVisibility() || figures?.element.checkVisibility() ? "complementary" : "main");
}
