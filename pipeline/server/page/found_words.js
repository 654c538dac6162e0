// What was found on a picture or in a video, in words: tags with their scores, counts by class.
import { el } from "./dom.js";

/** Show tags and their scores in `node`, which is hidden where there are none. */
export function showTags(node, tags) {
  const words = Object.entries(tags ?? {});
  node.replaceChildren(...words.map(([word, score]) => el("span", {}, `${word} ${Math.round(score * 100)} %`)));
  node.hidden = words.length === 0;
}

/** Show in `node` how many of each class there are. */
export function showCounts(node, things) {
  const numbers = new Map();
  for (const { class_name } of things) numbers.set(class_name, (numbers.get(class_name) ?? 0) + 1);
  const words = [...numbers].map(([name, number]) => el("span", {}, `${number} × ${name}`));
  node.replaceChildren(...(words.length ? words : [el("span", { class: "hint" }, "Nothing found at this score")]));
}
