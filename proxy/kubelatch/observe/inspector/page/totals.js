// Totals by client and by resource: who hammers the API server?

import { clean, clientOf, duration, element, size } from "./text.js";

const COLUMNS = [
  ["Requests/s", (row) => row.rate.toFixed(row.rate < 10 ? 1 : 0)],
  ["Requests", (row) => String(row.count)],
  ["Bytes", (row) => size(row.bytes)],
  ["Errors", (row) => String(row.errors)],
  ["p50", (row) => duration(row.p50_ms)],
  ["p99", (row) => duration(row.p99_ms)],
];

export class Totals {
  constructor(section, title, nameOf, onPick) {
    this.nameOf = nameOf;
    this.onPick = onPick;
    const heads = [title, ...COLUMNS.map(([name]) => name)];
    this.body = element("tbody");
    section.append(element("table", { class: "totals" },
      element("thead", {}, element("tr", {},
        ...heads.map((name) => element("th", { scope: "col" }, name)))),
      this.body));
    this.rows = [];
  }

  // Rows are reused, so that focus stays where it is.
  show(rows) {
    const most = Math.max(...rows.map((row) => row.rate), 0.1);
    while (this.rows.length < rows.length) this.rows.push(this.makeRow());
    while (this.rows.length > rows.length) this.rows.pop().node.remove();
    rows.forEach((row, at) => {
      const { button, cells, bar } = this.rows[at];
      this.rows[at].row = row;
      set(button, clean(this.nameOf(row)));
      COLUMNS.forEach(([, of], column) => set(cells[column], of(row)));
      bar.style.width = `${Math.round((100 * row.rate) / most)}%`;
      cells[3].className = row.errors ? "errors" : "";
    });
  }

  makeRow() {
    const made = { row: null };
    made.button = element("button", { onclick: () => this.onPick(made.row) });
    made.bar = element("span", { class: "rate", "aria-hidden": "true" });
    made.cells = COLUMNS.map(() => element("td"));
    made.node = element("tr", {},
      element("th", { scope: "row" }, made.button, made.bar), ...made.cells);
    this.body.append(made.node);
    return made;
  }
}

function set(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export { clientOf };
