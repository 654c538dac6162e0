// Requests to the REST interface; every failure becomes an ApiError with one line to show.

export class ApiError extends Error {
  /** `status` is 0 where no answer came. */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

const NO_ANSWER = "The server does not answer.";
const NOT_UNDERSTOOD = "The server's answer is not JSON: is something else in between?";

// Signing out aborts requests under way, so that none is sent without a session.
const untilSignOut = new AbortController();

/** Return the JSON of a response (null for 204); raises ApiError with the server's own message. */
export async function fetchJson(path, { method = "GET", body, signal = untilSignOut.signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Trackline"] = "1";
  if (body !== undefined && !(body instanceof Blob)) headers["Content-Type"] = "application/json";
  if (body instanceof Blob) headers["Content-Type"] = "application/octet-stream"; // the server looks itself
  const answer = await sent(path, {
    method, headers, signal, body: body === undefined || body instanceof Blob ? body : JSON.stringify(body),
  });
  if (answer.ok) return answer.status === 204 ? null : bodyOf(answer, "json");
  throw new ApiError(await reason(answer), answer.status);
}

/** Return the REST path of a camera's resource; the name is escaped. */
export function cameraPath(name, rest) {
  return `api/cameras/${encodeURIComponent(name)}/${rest}`;
}

/** Return what the server finds in a picture's file, scores from `conf` on. */
export function postPicture(file, conf) {
  return fetchJson(`api/images?conf=${conf}`, { method: "POST", body: file });
}

/**
 * Send a short video and return its job. `onProgress` gets the share that is uploaded; a request of
 * the other kind cannot tell that.
 */
export function postVideo(file, name, onProgress, signal) {
  const request = new XMLHttpRequest();
  const query = new URLSearchParams({ name: name.slice(0, 200), annotated: "true" });
  request.open("POST", new URL(`api/videos?${query}`, document.baseURI));
  request.setRequestHeader("X-Trackline", "1");
  request.setRequestHeader("Content-Type", "application/octet-stream");
  request.responseType = "json";
  const answered = new Promise((resolve, reject) => {
    request.upload.onprogress = ({ loaded, total }) => onProgress(loaded / total);
    request.onload = () => {
      if (request.status < 300 && request.response) resolve(request.response);
      else if (request.status < 300) reject(new ApiError(NOT_UNDERSTOOD, request.status));
      else reject(new ApiError(request.response?.detail || `The server answers ${request.status}`, request.status));
    };
    request.onerror = () => reject(new ApiError("The server does not answer.", 0));
    request.onabort = () => reject(new ApiError("Cancelled.", 0));
  });
  signal.addEventListener("abort", () => request.abort());
  request.send(file);
  return answered;
}

/** Return a file of the server's as a Blob. */
export async function fetchBlob(path, signal) {
  const answer = await sent(path, { signal });
  if (!answer.ok) throw new ApiError(await reason(answer), answer.status);
  return bodyOf(answer, "blob");
}

/** Go to the sign-in page if a token is required and there is no session; return whether. */
export async function signInIfNeeded() {
  const session = await fetchJson("api/session");
  if (session.token_required && !session.signed_in) {
    location.replace(new URL(`login.html${location.hash}`, document.baseURI)); // and back to the same camera
    return true;
  }
  return false;
}

/** Abort requests under way; later ones fail at once, without being sent. */
export function endRequests() {
  untilSignOut.abort();
}

/** End the session. Requests under way are aborted, later ones fail at once. */
export async function signOut() {
  endRequests();
  for (const one of document.querySelectorAll("img[src^='api/'], video[src]")) one.removeAttribute("src"); // what they would load, too
  try {
    await fetchJson("api/logout", { method: "POST", signal: null });
  } catch {
    // The server is away or the session has expired: the sign-in page shows which.
  }
}

async function sent(path, request) {
  try {
    return await fetch(new URL(path, document.baseURI), { credentials: "same-origin", cache: "no-store", ...request });
  } catch {
    throw new ApiError(NO_ANSWER, 0);
  }
}

/** Return the body of a response, read by its method `kind`: it may break off, or be aborted, after its head. */
async function bodyOf(answer, kind) {
  try {
    return await answer[kind]();
  } catch (error) {
    if (error instanceof SyntaxError) throw new ApiError(NOT_UNDERSTOOD, answer.status);
    throw new ApiError(NO_ANSWER, 0);
  }
}

async function reason(answer) {
  let detail = "";
  try {
    detail = (await answer.json()).detail;
  } catch {
    // Not JSON: a proxy's page, say.
  }
  if (typeof detail === "string" && detail) return detail;
  const waits = Number(answer.headers.get("Retry-After"));
  if (answer.status === 429 && waits > 0) return `Too many tries; wait ${Math.ceil(waits)} s.`;
  return `The server answers ${answer.status} ${answer.statusText}`.trim();
}
