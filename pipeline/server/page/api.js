// Asks the server over HTTP; every failure becomes one line that can be shown.

export class AskError extends Error {
  /** `status` is 0 where no answer came. */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

// Signing out ends what is still being asked, so that nothing is asked without a session.
const untilSignOut = new AbortController();

/** Return the JSON answer (null for 204); raises AskError with the server's own words. */
export async function ask(path, { method = "GET", body, signal = untilSignOut.signal } = {}) {
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-Trackline"] = "1";
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(new URL(path, document.baseURI), {
      method, headers, credentials: "same-origin", cache: "no-store", signal,
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new AskError("The server does not answer.", 0);
  }
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  throw new AskError(await reason(answer), answer.status);
}

/** Return the path of something under a camera, whatever its name holds. */
export function cameraPath(name, rest) {
  return `api/cameras/${encodeURIComponent(name)}/${rest}`;
}

/** Go to the sign-in page if the server wants a token and we have no session; return whether. */
export async function signInIfNeeded() {
  const session = await ask("api/session");
  if (session.token_required && !session.signed_in) {
    location.replace(new URL(`login.html${location.hash}`, document.baseURI)); // and back to the same camera
    return true;
  }
  return false;
}

/** End the session. Requests under way are aborted, later ones fail at once. */
export async function signOut() {
  untilSignOut.abort();
  try {
    await ask("api/logout", { method: "POST", signal: null });
  } catch {
    // The server is away or the session has expired: the sign-in page says so.
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
