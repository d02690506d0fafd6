// A JSON value as a tree that folds. Children are made when they are opened.

import { clean, element } from "./text.js";

const MOST = 200;

export function tree(value, depth = 0) {
  if (value === null || typeof value !== "object") return leaf(value);
  const entries = Array.isArray(value)
    ? value.map((item) => [null, item]) : Object.entries(value);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  if (!entries.length) return element("span", { class: "punctuation" }, open + close);
  const what = Array.isArray(value) ? "items" : "fields";
  const hint = label(value);
  const summary = element("summary", {},
    element("span", { class: "punctuation" }, `${open} ${entries.length} ${what} ${close}`),
    hint ? element("span", { class: "hint" }, ` ${hint}`) : "");
  const node = element("details", { class: "tree" }, summary);
  const fill = () => {
    node.removeEventListener("toggle", fill);
    node.append(children(entries, 0, depth));
  };
  if (depth < 2 && entries.length <= 50) {
    node.open = true;
    node.append(children(entries, 0, depth));
  } else {
    node.addEventListener("toggle", fill);
  }
  return node;
}

// What tells objects of a list apart.
function label(value) {
  const name = value.metadata?.name ?? value.object?.metadata?.name ?? value.name;
  const kind = value.kind ?? value.type;
  return [kind, name].filter((part) => typeof part === "string").map(clean).join(" ");
}

function children(entries, from, depth) {
  const list = element("ul");
  for (const [key, value] of entries.slice(from, from + MOST)) {
    const item = element("li");
    if (key !== null) item.append(element("span", { class: "key" }, clean(key)), ": ");
    item.append(tree(value, depth + 1));
    list.append(item);
  }
  const left = entries.length - from - MOST;
  if (left > 0) {
    const more = element("button", {
      onclick: () => more.replaceWith(children(entries, from + MOST, depth)),
    }, `${left} more`);
    list.append(element("li", {}, more));
  }
  return list;
}

function leaf(value) {
  const kind = value === "***" ? "redacted" : value === null ? "null" : typeof value;
  const text = typeof value === "string" ? `"${clean(value)}"` : String(value);
  return element("span", { class: `value ${kind}` }, text);
}
