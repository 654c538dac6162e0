// Service worker: shows alerts as notifications, and opens what they are about. It keeps nothing:
// no request of the page passes through it, and no picture is cached.

const PICTURE_MS = 3000;

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", (event) => event.waitUntil(self.clients.claim()));
self.addEventListener("push", (event) => event.waitUntil(show(event.data)));
self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.visit));
});

/** Show an alert; a browser takes the right to push away where nothing is shown. */
async function show(data) {
  let alert = {};
  try {
    alert = data.json();
  } catch {
    // Empty, or not from this server.
  }
  const { title = "Trackline", text = "Something happened.", tag, visit = null, picture } = alert;
  const image = picture && Number.isInteger(visit) ? await thumbnail(visit) : undefined;
  await self.registration.showNotification(title, {
    body: text, tag, image, icon: at("icon-192.png"), badge: at("icon-192.png"), data: { visit },
  });
}

/** Return a visit's picture as a data URL, undefined if the signed-in user has none. */
async function thumbnail(visit) {
  try {
    const answer = await fetch(at(`api/visits/${visit}/thumbnail.jpg`), {
      credentials: "same-origin", cache: "no-store", signal: AbortSignal.timeout(PICTURE_MS),
    });
    if (!answer.ok) return undefined;
    const bytes = new Uint8Array(await answer.arrayBuffer());
    return `data:image/jpeg;base64,${btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""))}`;
  } catch {
    return undefined; // The server is out of reach from here: the notification says enough.
  }
}

/** Show a visit in a window of the page that is open, or in a new one. */
async function open(visit) {
  const url = at(Number.isInteger(visit) ? `#visit/${visit}` : "");
  const windows = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const one of windows.filter(({ url: shown }) => shown.split("#", 1)[0] === at(""))) {
    try {
      await one.focus();
      await one.navigate(url);
      return;
    } catch {
      // Not under this worker's control, or closed meanwhile.
    }
  }
  await self.clients.openWindow(url);
}

function at(path) {
  return new URL(path, self.registration.scope).href;
}
