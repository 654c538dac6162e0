// Applies the stored theme before the first paint; a plain script, because modules run too late.
(function () {
  "use strict";
  let theme = null;
  try {
    theme = localStorage.getItem("trackline.theme");
  } catch {
    // Storage is switched off: the system's preference holds.
  }
  if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
})();
