// Notifications of this browser: whether it has them, switched on and off.
import { fetchJson } from "./api.js";

const SCRIPT = "service-worker.js";
const PATH = "api/push/subscriptions";

// Only this one address becomes a script: browsers with trusted types want that said.
const policy = globalThis.trustedTypes?.createPolicy("trackline-worker", {
  createScriptURL: () => new URL(SCRIPT, document.baseURI).href,
});

/** Return why this browser cannot show notifications, "" where it can. */
export function obstacle() {
  if (!window.isSecureContext) return "Notifications need https, or the page on this machine.";
  const has = "serviceWorker" in navigator && "PushManager" in window && "Notification" in window;
  if (!has) return "This browser has none. On an iPhone or iPad, add the page to the home screen first.";
  if (Notification.permission === "denied") return "They are blocked for this page in the browser's settings.";
  return "";
}

/** Return whether this browser is subscribed with the server's key; tells the server again if so. */
export async function isOn(key) {
  const subscription = await subscribed();
  if (!subscription || !isOfKey(subscription, key)) return false;
  await fetchJson(PATH, { method: "POST", body: subscription.toJSON() }); // its database may be a new one
  return true;
}

/** Subscribe; raises an Error with one line to show. */
export async function switchOn(key) {
  if ((await Notification.requestPermission()) !== "granted") throw new Error("The browser was not allowed to show them.");
  await navigator.serviceWorker.register(policy ? policy.createScriptURL("") : new URL(SCRIPT, document.baseURI));
  const { pushManager } = await navigator.serviceWorker.ready;
  const old = await pushManager.getSubscription();
  if (old && !isOfKey(old, key)) await old.unsubscribe();
  let subscription;
  try {
    subscription = await pushManager.subscribe({ userVisibleOnly: true, applicationServerKey: key });
  } catch (error) {
    throw new Error(`The browser's push service refuses: ${error.message}`);
  }
  await fetchJson(PATH, { method: "POST", body: subscription.toJSON() });
}

/** End the subscription, here and at the server. */
export async function switchOff() {
  const subscription = await subscribed();
  if (!subscription) return;
  await subscription.unsubscribe();
  try {
    await fetchJson(PATH, { method: "DELETE", body: { endpoint: subscription.endpoint } });
  } catch (error) {
    if (error.status !== 404) throw error; // it was forgotten already
  }
}

async function subscribed() {
  const registration = await navigator.serviceWorker.getRegistration(document.baseURI);
  return registration?.pushManager.getSubscription() ?? null;
}

function isOfKey({ options }, key) {
  const bytes = new Uint8Array(options.applicationServerKey ?? []);
  const text = btoa(String.fromCharCode(...bytes));
  return text.replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "") === key;
}
