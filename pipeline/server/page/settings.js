// What this browser remembers: the theme and what is drawn over the pictures.

const LAYERS = ["boxes", "labels", "trails", "areas"];
const THEMES = ["system", "dark", "light"];

/** Which layers are on; `change` is dispatched when one is switched. */
export class Layers extends EventTarget {
  constructor() {
    super();
    const off = (recall("trackline.off") ?? "").split(" ");
    for (const layer of LAYERS) this[layer] = !off.includes(layer);
  }

  toggle(layer) {
    this[layer] = !this[layer];
    keep("trackline.off", LAYERS.filter((one) => !this[one]).join(" "));
    this.dispatchEvent(new Event("change"));
  }

  /** Keep buttons with `data-layer` in step with what is drawn. */
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

/** Make `button` go round system, dark, light. */
export function bindTheme(button) {
  const show = (theme) => {
    button.textContent = { system: "◐ Auto", dark: "● Dark", light: "○ Light" }[theme];
    button.setAttribute("aria-label", `Theme: ${theme}. Change`);
  };
  let theme = THEMES.includes(recall("trackline.theme")) ? recall("trackline.theme") : "system";
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    keep("trackline.theme", theme);
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    show(theme);
  });
  show(theme);
}

function recall(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // Storage is switched off.
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // Storage is switched off or full: it holds until the page is closed.
  }
}
