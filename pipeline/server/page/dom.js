// DOM helpers. Text from the server becomes text nodes and attributes, never HTML.

/** Return a new element. `on` maps event names to listeners, `data` fills the dataset. */
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) node.addEventListener(event, listener);
    } else if (name === "data") {
      Object.assign(node.dataset, value);
    } else if (value === true) {
      node.setAttribute(name, "");
    } else if (value !== false && value !== null && value !== undefined) {
      node.setAttribute(name, value);
    }
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

const styles = new Map(); // file -> promise

/** Load a style sheet once; what it is for is shown after that, or it would be without any style for a moment. */
export function loadStyle(href) {
  if (!styles.has(href)) {
    styles.set(href, new Promise((resolve) => {
      const failed = () => { styles.delete(href); link.remove(); resolve(); }; // shown without it, and asked for again next time
      const link = el("link", { rel: "stylesheet", href, on: { load: resolve, error: failed } });
      document.head.append(link);
    }));
  }
  return styles.get(href);
}

/** Return a new SVG element with the given attributes. */
export function svg(tag, attributes = {}) {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}

/** Set an element's text if it differs: an unchanged text causes no layout and is not read out. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Set an attribute if it differs; null or false removes it. */
export function setAttribute(node, name, value) {
  if (value === null || value === false) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

/** Return whether a key event belongs to an input field, a video or a dialog. */
export function isTyping(event) {
  const target = event.target;
  return (
    event.altKey || event.ctrlKey || event.metaKey ||
    document.querySelector("dialog[open]") !== null ||
    (target instanceof Element && target.closest("input, select, textarea, video") !== null)
  );
}
