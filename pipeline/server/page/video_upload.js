// A short video at the server: uploaded, waited for, its answer fetched and forgotten there.
import { ApiError, fetchBlob, fetchJson, postVideo } from "./api.js";

const POLL_MS = 500;
const MAX_SILENCE_MS = 30_000; // of the server, before it is given up
const NAMES = /\.(mp4|m4v|mov|webm|mkv|avi|mpe?g|m?ts|m2ts|flv|wmv|ogv|3gp|mxf)$/i;

/** Return whether a file is a video, by the browser's word or its name. */
export function isVideo({ type, name }) {
  return type.startsWith("video/") || NAMES.test(name);
}

/**
 * Return the answer for a video, and the video with boxes as a Blob; raises ApiError.
 * `onUpload` gets the share that is uploaded, then `onJob` how far the analysis is. `signal` cancels it.
 */
export async function analyseVideo(file, name, { signal, onUpload, onJob }) {
  const { id } = await postVideo(file, name, onUpload, signal);
  const path = `api/videos/${encodeURIComponent(id)}`;
  try {
    await untilDone(path, signal, onJob);
    const answer = await fetchJson(`${path}/answer`, { signal });
    return { answer, annotated: await fetchBlob(`${path}/annotated.mp4`, signal) };
  } finally {
    fetchJson(path, { method: "DELETE" }).catch(() => {}); // the server forgets it by itself
  }
}

async function untilDone(path, signal, onJob) {
  let heardAt = performance.now();
  while (true) {
    try {
      const job = await fetchJson(path, { signal });
      heardAt = performance.now();
      if (job.state === "failed") throw new ApiError(job.problem, 422);
      if (job.state === "done") return;
      onJob(job);
    } catch (error) {
      // A connection that breaks costs nothing: the server goes on.
      if (error.status !== 0 || signal.aborted || performance.now() - heardAt > MAX_SILENCE_MS) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
