// The list of requests: only the rows that are in sight are elements, and they are reused.

import {
  CAME, activity, activityAloud, clean, clientOf, duration, element, objectOf, processOf, resourceOf,
  size, time,
} from "./text.js";

const HEIGHT = 26;
const COLUMNS = [
  ["time", "Time"], ["status", "Status"], ["duration", "Duration"], ["verb", "Verb"],
  ["resource", "Resource"], ["object", "Namespace/name"], ["size", "Size"], ["client", "Client"],
  ["context", "Context"],
];

export class List {
  constructor(grid, head, rows, onOpen) {
    this.grid = grid;
    this.rows = rows;
    this.items = [];
    this.selected = null;
    this.pool = [];
    this.scheduled = false;
    const cells = COLUMNS.map(([name, title]) =>
      element("span", { role: "columnheader", class: name }, title));
    head.append(element("div", { role: "row", class: "row", "aria-rowindex": 1 }, ...cells));
    grid.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(grid);
    rows.addEventListener("click", (event) => {
      const row = event.target.closest(".row");
      if (row) { this.select(row.item); onOpen(row.item); }
    });
  }

  // Show other items, newest first; *above*: how many of them are new at the top.
  show(items, above = 0) {
    this.items = items;
    if (above && this.grid.scrollTop > 0) this.grid.scrollTop += above * HEIGHT;
    this.draw();
  }

  select(item) {
    this.selected = item ? item.id : null;
    this.draw();
  }

  get current() {
    return this.items.find((item) => item.id === this.selected) || null;
  }

  move(step) {
    const at = this.items.findIndex((item) => item.id === this.selected);
    const next = this.items[at < 0 ? 0 : Math.min(Math.max(at + step, 0), this.items.length - 1)];
    if (!next) return;
    this.select(next);
    const top = this.items.indexOf(next) * HEIGHT;
    const room = this.grid.clientHeight - 2 * HEIGHT;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top > this.grid.scrollTop + room) this.grid.scrollTop = top - room;
  }

  draw() {
    if (this.scheduled) return;
    this.scheduled = true;
    requestAnimationFrame(() => { this.scheduled = false; this.paint(); });
  }

  paint() {
    const first = Math.max(Math.floor(this.grid.scrollTop / HEIGHT) - 4, 0);
    const count = Math.min(
      Math.ceil(this.grid.clientHeight / HEIGHT) + 8, this.items.length - first);
    this.rows.style.height = `${this.items.length * HEIGHT}px`;
    this.grid.setAttribute("aria-rowcount", this.items.length + 1);
    while (this.pool.length < count) this.pool.push(this.makeRow());
    for (let at = 0; at < this.pool.length; at += 1) {
      const row = this.pool[at];
      row.hidden = at >= count;
      if (at < count) this.fill(row, this.items[first + at], first + at);
    }
    const selected = this.selected && document.getElementById(`request-${this.selected}`);
    if (selected && !selected.hidden) {
      this.grid.setAttribute("aria-activedescendant", selected.id);
    } else {
      this.grid.removeAttribute("aria-activedescendant");
    }
  }

  makeRow() {
    const row = element("div", { role: "row", class: "row" });
    row.cells = COLUMNS.map(([name]) => element("span", { role: "gridcell", class: name }));
    row.append(...row.cells);
    this.rows.append(row);
    return row;
  }

  fill(row, item, index) {
    if (row.index !== index) {
      row.index = index;
      row.style.transform = `translateY(${index * HEIGHT}px)`;
      row.setAttribute("aria-rowindex", index + 2);
    }
    const selected = item.id === this.selected;
    if (row.isSelected !== selected) {
      row.isSelected = selected;
      row.setAttribute("aria-selected", selected);
    }
    if (row.item === item) {
      if (item.event === "begin") setText(row.cells[2], lasting(item));
      return;
    }
    row.item = item;
    row.id = `request-${item.id}`;
    const texts = textsOf(item);
    texts.forEach((text, at) => {
      setText(row.cells[at], text);
    });
    row.cells[5].title = texts[5];
    row.cells[6].setAttribute("aria-label", activityAloud(item));
    row.cells[6].title = activityAloud(item);
    row.cells[7].title = clientTitle(item);
    row.className = `row ${kind(item)}`;
  }
}

function setText(cell, text) {
  if (cell.textContent !== text) cell.textContent = text;
}

// How long it has lasted, or lasts by now.
function lasting(item) {
  const since = item.event === "begin" ? performance.now() - item[CAME] : 0;
  return duration(item.duration_ms === undefined ? undefined : item.duration_ms + since);
}

function textsOf(item) {
  const running = item.event === "begin";
  const process = processOf(item);
  const status = item.status ? String(item.status) : running ? "…" : "none";
  return [
    time(item.started), running ? `${status} ▸` : status, lasting(item),
    item.verb, resourceOf(item), objectOf(item), activity(item),
    process ? `${process} · ${agentOf(item)}` : agentOf(item), item.context || "",
  ].map((text) => clean(text || ""));
}

function agentOf(item) {
  return (item.user_agent || "").split(" ")[0] || item.client || "unix";
}

function clientTitle(item) {
  const process = processOf(item);
  const claimed = process ? `\nprocess, as it claims: ${clean(process)}` : "";
  return `${clean(clientOf(item))}\n${clean(item.user_agent || "")}${claimed}`;
}

function kind(item) {
  if (item.event === "begin") return "running";
  if (!item.status || item.status >= 500) return "failed";
  if (item.status >= 400) return "refused";
  return "";
}

export { size };
