// Settings stored in the browser: the theme, the layers drawn over the pictures, parts of the page.

const LAYERS = ["boxes", "labels", "trails", "zones", "rail"];
const EXTRAS = ["ids", "cover"]; // off until they are switched on
const THEMES = ["system", "dark", "light"];

/** The layers and parts of the page that are on; `change` is dispatched when one is switched. */
export class Layers extends EventTarget {
  constructor() {
    super();
    const [off, on] = ["trackline.off", "trackline.on"].map((key) => (load(key) ?? "").split(" "));
    for (const layer of LAYERS) this[layer] = !off.includes(layer);
    for (const layer of EXTRAS) this[layer] = on.includes(layer);
  }

  toggle(layer) {
    this[layer] = !this[layer];
    save("trackline.off", LAYERS.filter((one) => !this[one]).join(" "));
    save("trackline.on", EXTRAS.filter((one) => this[one]).join(" "));
    this.dispatchEvent(new Event("change"));
  }

  /** Bind buttons with `data-layer`: they switch a layer and show whether it is on. */
  bind(buttons) {
    const show = () => {
      for (const button of buttons) button.setAttribute("aria-pressed", this[button.dataset.layer]);
    };
    for (const button of buttons) {
      button.addEventListener("click", () => this.toggle(button.dataset.layer));
    }
    this.addEventListener("change", show);
    show();
  }
}

/** Make `button` show the cameras on the whole screen and back; return what it does. */
export function bindFullScreen(button) {
  const root = document.documentElement;
  const toggle = () => {
    if (document.fullscreenElement) document.exitFullscreen().catch(() => {}); // left meanwhile, by Escape
    else if (document.fullscreenEnabled) root.requestFullscreen().catch(() => {}); // the browser may refuse
  };
  const show = () => button.setAttribute("aria-pressed", document.fullscreenElement !== null);
  button.hidden = !document.fullscreenEnabled;
  button.addEventListener("click", toggle);
  document.addEventListener("fullscreenchange", show);
  show();
  return toggle;
}

/** Make `button` cycle through the themes system, dark and light. */
export function bindTheme(button) {
  const show = (theme) => {
    button.textContent = { system: "◐ Auto", dark: "● Dark", light: "○ Light" }[theme];
    button.setAttribute("aria-label", `Theme: ${button.textContent}. Change`); // what is seen is part of the name
  };
  let theme = THEMES.includes(load("trackline.theme")) ? load("trackline.theme") : "system";
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    save("trackline.theme", theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    show(theme);
  });
  show(theme);
}

/** Return what is stored, null where nothing is. */
export function load(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // Storage is switched off.
  }
}

export function save(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is switched off or full: the setting lasts until the page is closed.
  }
}
