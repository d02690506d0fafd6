// One request: what was sent, what came back, how long it took, and how to make it again.

import { tree } from "./json.js";
import {
  activityAloud, clean, cleanLines, clientOf, duration, element, objectOf, processOf, resourceOf,
  size, time,
} from "./text.js";

const NAMES = { curl: "curl", kubectl: "kubectl", python: "Python" };
const PARTS = [
  ["credential", "Credential", (item) => item.credential_wait_ms],
  ["connect", "Connect", (item) => item.connect_ms],
  ["wait", "Wait for the response", (item) => item.upstream_ms],
  ["transfer", "Transfer", (item) =>
    item.first_byte_ms === undefined ? undefined : item.duration_ms - item.first_byte_ms],
];

export function showDetail(panel, item, actions) {
  const same = panel.dataset.id === item.id && !panel.hidden;
  if (same && item.event === "begin") {
    // The rest stays, with what is selected and unfolded there.
    panel.querySelector(".facts").replaceWith(facts(item));
    panel.querySelector(".times").replaceWith(timing(item));
    return;
  }
  const unfolded = same ? namesOf(panel, "details.command[open] > summary") : [];
  const at = same ? panel.scrollTop : 0;
  panel.dataset.id = item.id;
  const title = [item.method, resourceOf(item) || item.target].filter(Boolean).join(" ");
  const replayable = ["GET", "HEAD"].includes(item.method) && !item.stream;
  panel.replaceChildren(
    element("div", { class: "bar" },
      element("h2", {}, clean(title || "unreadable request")),
      replayable ? element("button", { onclick: actions.replay, "aria-keyshortcuts": "r" },
        "Replay") : "",
      element("button", { onclick: actions.close, "aria-label": "Close details",
        "aria-keyshortcuts": "Escape" }, "✕")),
    facts(item), forbidden(item, actions), timing(item), commands(item, actions),
    message("Request", item.request, "It could not be read."),
    message("Response", item.response, item.status
      ? `This proxy responded itself: ${item.status}, ${size(item.sent_bytes)} bytes.`
      : "None has come."));
  for (const summary of panel.querySelectorAll("details.command > summary")) {
    summary.parentNode.open = unfolded.includes(summary.textContent);
  }
  panel.hidden = false;
  panel.scrollTop = at;
}

function namesOf(panel, selector) {
  return [...panel.querySelectorAll(selector)].map((node) => node.textContent);
}

function connectionOf(item) {
  if (item.reused === undefined) return "";
  if (item.proto === "h2") return item.reused ? "HTTP/2, shared" : "HTTP/2, new";
  return item.reused ? "reused" : "new";
}

function facts(item) {
  const process = processOf(item);
  const rows = [
    ["Target", item.target], ["Status", item.status || (item.event === "begin" ? "" : "none")],
    ["Object", item.resource ? objectOf(item) : ""], ["Verb", item.verb],
    ["State", item.event === "begin" ? "under way" : ""],
    [item.stream ? "Carried" : "", activityAloud(item)],
    ["Time", time(item.started)], ["Client", clientOf(item)], ["User agent", item.user_agent],
    ["Process", process && `${process} (as it claims)`], ["Context", item.context],
    ["Credential", item.credential], ["Protocol", item.protocol], ["Rule", item.rule],
    ["Cause", item.cause], ["Error", item.error], ["Retries", item.retries],
    ["Connection", connectionOf(item)],
    ["Audit id", item.audit_id], ["Replay of", item.replayed],
  ];
  const list = element("dl", { class: "facts" });
  for (const [name, value] of rows) {
    if (name && value) {
      list.append(element("dt", {}, name), element("dd", {}, clean(value)));
    }
  }
  return list;
}

function forbidden(item, actions) {
  const found = item.forbidden;
  if (!found) return "";
  const who = found.by === "proxy"
    ? `The rule ${found.rule} of this proxy refused it.`
    : "The API server refused it: the user lacks a permission.";
  const section = element("section", { class: "forbidden" }, element("h3", {}, "Why"),
    element("p", {}, clean(who)));
  for (const text of [found.message, found.hint]) {
    if (text) section.append(element("p", {}, clean(text)));
  }
  if (found.role) {
    section.append(element("p", {}, found.by === "proxy"
      ? "In a file of --allow-rules this would allow it:"
      : "Bound to the user, this would allow it:"));
    section.append(copyable("Role", found.role, actions));
  }
  return section;
}

function timing(item) {
  const parts = PARTS.map(([name, title, of]) => [name, title, of(item) || 0])
    .filter(([, , ms]) => ms > 0);
  if (!parts.length) return element("section", { class: "times" });
  const bar = element("div", { class: "timing", role: "img",
    "aria-label": parts.map(([, title, ms]) => `${title} ${duration(ms)}`).join(", ") });
  const legend = element("ul", { class: "legend" });
  for (const [name, title, ms] of parts) {
    const piece = element("span", { class: name });
    piece.style.flexGrow = ms;
    bar.append(piece);
    legend.append(element("li", {}, element("span", { class: `mark ${name}` }),
      `${title} ${duration(ms)}`));
  }
  return element("section", { class: "times" }, element("h3", {}, "Timing"), bar, legend);
}

function commands(item, actions) {
  const made = item.commands || {};
  const section = element("section", {}, element("h3", {}, "Make it again"));
  if (made.missing) {
    section.append(element("p", {}, `No command can: ${clean(made.missing)}.`));
  }
  for (const [key, name] of Object.entries(NAMES)) {
    if (made[key]) section.append(copyable(name, made[key], actions));
  }
  return section;
}

function copyable(name, text, actions) {
  return element("details", { class: "command" },
    element("summary", {}, name),
    element("button", { onclick: () => actions.copy(text, name) }, `Copy as ${name}`),
    element("pre", { tabindex: 0, "aria-label": name }, cleanLines(text)));
}

function message(title, part, empty) {
  if (!part) return "";
  const section = element("section", {}, element("h3", {}, title));
  if (part.headers?.length) {
    const table = element("table", { class: "headers", "aria-label": `${title} header fields` });
    for (const [name, value] of part.headers) {
      table.append(element("tr", {}, element("th", { scope: "row" }, clean(name)),
        element("td", { class: value === "***" ? "redacted" : undefined }, clean(value))));
    }
    section.append(table);
  }
  const body = part.body;
  if (!part.headers?.length && !body?.size) section.append(element("p", {}, empty));
  if (body && body.size) {
    section.append(element("h4", {}, `Body, ${size(body.size)} bytes`));
    if (body.not_kept) section.append(element("p", {}, `Not kept: ${clean(body.not_kept)}.`));
    if ("value" in body) section.append(element("div", { class: "body" }, tree(body.value)));
  }
  return section;
}
