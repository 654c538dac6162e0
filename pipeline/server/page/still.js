// One picture whose zones are drawn, and nothing else: the page of `trackline zones`.
import { endRequests, fetchJson } from "./api.js";
import { el } from "./dom.js";

export const WORDS = { close: "Done", saved: "Saved." };

/** Whether this is the page of `trackline zones`: its address says so. */
export const isStill = new URLSearchParams(location.search).has("zones");

/** Leave only the picture and the editor on the page; closing the editor ends the program. */
export function onlyZones(editor, connection) {
  document.body.dataset.still = "";
  editor.addEventListener("closed", async () => {
    connection.close();
    endRequests(); // the server will not be there to answer
    try {
      await fetchJson("api/done", { method: "POST", signal: null });
    } catch {
      // The program has ended already, by Ctrl-C.
    }
    document.getElementById("rail").hidden = true;
    document.getElementById("wall").replaceChildren(el(
      "p", { class: "empty", role: "status" },
      el("b", {}, "Done"), "What you saved is in the file. This window can be closed.",
    ));
  });
}
