// Texts and elements. Nothing that came through the proxy is ever more than text.

// What changes how text is shown, or cannot be seen: control, format and private characters.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cs}]/gu;

export function clean(text) {
  return String(text).replace(UNSEEN, (char) => {
    if (char === "\n") return "\\n";
    if (char === "\t") return "\\t";
    const code = char.codePointAt(0);
    return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
  });
}

// Several lines stay several lines.
export function cleanLines(text) {
  return String(text).split("\n").map(clean).join("\n");
}

// An element with attributes and children; a string is a text node.
export function element(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "onclick") node.addEventListener("click", value);
    else if (value !== undefined && value !== false) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

export function duration(ms) {
  if (ms === undefined) return "";
  if (ms < 9.95) return `${ms.toFixed(1)}ms`;
  if (ms < 999.5) return `${ms.toFixed(0)}ms`;
  const seconds = ms / 1000;
  if (seconds < 59.95) return `${seconds.toFixed(1)}s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${Math.floor(seconds / 60)}m${pad(Math.floor(seconds % 60))}s`;
  return `${Math.floor(minutes / 60)}h${pad(minutes % 60)}m`;
}

export function size(count) {
  if (count === undefined) return "";
  if (count < 1000) return String(count);
  let value = count;
  for (const unit of "kMGT") {
    value /= 1000;
    if (value < 9.95) return `${value.toFixed(1)}${unit}`;
    if (value < 999.5) return `${value.toFixed(0)}${unit}`;
  }
  return `${value.toFixed(0)}T`;
}

export function time(seconds) {
  const at = new Date(seconds * 1000);
  const millis = String(at.getMilliseconds()).padStart(3, "0");
  return `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}.${millis}`;
}

function pad(number) {
  return String(number).padStart(2, "0");
}

export function resourceOf(item) {
  if (!item.resource) return "";
  const group = item.group ? `.${item.group}` : "";
  return item.resource + group + (item.subresource ? `/${item.subresource}` : "");
}

export function objectOf(item) {
  if (!item.resource) return item.target || "";
  const inside = item.namespace && item.resource !== "namespaces";
  if (!inside) return item.name || "";
  return item.name ? `${item.namespace}/${item.name}` : item.namespace;
}

// What filters and totals call a client.
export function clientOf(item) {
  const agent = (item.user_agent || "").split(" ")[0];
  const address = item.client || "unix";
  const user = item.uid === undefined ? "" : ` uid ${item.uid}`;
  return `${agent || "unnamed"}, ${address}${user}`;
}

export function processOf(item) {
  return item.process ? `${item.process.name}[${item.process.pid}]` : "";
}

// When the page got to know of a request; no part of what is searched.
export const CAME = Symbol("came");

const SIGNS = { ADDED: "+", MODIFIED: "~", DELETED: "−", BOOKMARK: "b", ERROR: "!" };

// What a stream has carried, in a few characters.
export function activity(item) {
  if (item.stream === "tunnel") {
    return `↑${size(item.received_bytes || 0)} ↓${size(item.sent_bytes || 0)}`;
  }
  if (item.events) {
    const counts = Object.entries(item.events).map(([name, count]) => SIGNS[name] + count);
    return counts.join(" ") || "no events";
  }
  return size(item.sent_bytes);
}

export function activityAloud(item) {
  if (item.stream === "tunnel") {
    return `${item.received_bytes || 0} bytes from the client, ${item.sent_bytes || 0} to it`;
  }
  if (item.events) {
    const counts = Object.entries(item.events).map(([name, count]) => `${count} ${name}`);
    return `${counts.join(", ") || "no events"}; ${item.sent_bytes || 0} bytes`;
  }
  return `${item.sent_bytes || 0} bytes`;
}
