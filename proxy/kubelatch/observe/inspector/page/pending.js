// The requests that wait for an answer: shown on top, oldest first, each answered once.

import { ask } from "./api.js";
import { tree } from "./json.js";
import { clean, cleanLines, element, size } from "./text.js";

// After a request above has gone, what is under the pointer is another one: an answer has to wait.
const SETTLE = 700;
const TITLE = document.title;

export class Pending {
  // *panel* is the section; *attempt* runs what may fail; *toast* tells; *focus* takes the focus.
  constructor(panel, attempt, toast, focus) {
    this.panel = panel;
    this.attempt = attempt;
    this.toast = toast;
    this.leave = focus;
    this.cards = new Map(); // by id, oldest first
    this.current = null;
    this.moved = -Infinity;
    this.count = element("h2", { id: "pending-count", "aria-live": "polite" });
    this.several = element("button", { onclick: () => this.approveSelected(), hidden: "" });
    this.list = element("ul", { "aria-labelledby": "pending-count" });
    panel.append(element("div", { class: "bar" }, this.count, this.several), this.list);
    setInterval(() => this.tick(), 1000);
  }

  show(items) {
    const known = new Set(items.map((item) => item.id));
    for (const [id, card] of this.cards) {
      if (!known.has(id)) this.remove(card);
    }
    for (const item of items) {
      if (!this.cards.has(item.id)) this.add(item);
    }
    const count = this.cards.size;
    this.panel.hidden = !count;
    this.count.textContent = count === 1 ? "1 request waits for an answer"
      : `${count} requests wait for an answer`;
    document.title = count ? `(${count}) ${TITLE}` : TITLE;
    this.showSeveral();
    this.tick();
  }

  // At the end, so that nothing else moves.
  add(item) {
    const card = new Card(item, this);
    this.cards.set(item.id, card);
    this.list.append(card.node);
  }

  remove(card) {
    const focused = card.node.contains(document.activeElement);
    card.node.remove();
    this.cards.delete(card.item.id);
    this.moved = performance.now();
    if (this.current === card) this.current = null;
    if (focused) this.leave();
  }

  tick() {
    for (const card of this.cards.values()) card.tick();
  }

  // Answers that come right after a move may be meant for what was there before.
  settled() {
    if (performance.now() - this.moved > SETTLE) return true;
    this.toast("The list has just changed: look again");
    return false;
  }

  open(card) {
    if (this.current && this.current !== card) this.current.fold();
    this.current = card;
    card.unfold();
  }

  next() {
    const cards = [...this.cards.values()];
    if (!cards.length) return;
    const card = cards[(cards.indexOf(this.current) + 1) % cards.length];
    this.open(card);
    card.title.focus();
    card.node.scrollIntoView({ block: "nearest" });
  }

  get selected() {
    return [...this.cards.values()].filter((card) => card.box.checked);
  }

  showSeveral() {
    const count = this.selected.length;
    this.several.hidden = count < 2;
    this.several.textContent = `Approve the ${count} selected`;
  }

  async approveSelected() {
    if (!this.settled()) return;
    const requests = this.selected.map((card) => card.answer());
    await this.attempt(async () => {
      const response = await post("pending/approve", { requests });
      const { results } = await response.json();
      const failed = results.filter((result) => result.error);
      this.toast(failed.length ? `${failed.length} not approved: ${clean(failed[0].error)}`
        : `Approved: ${results.length}`);
    });
  }
}

class Card {
  constructor(item, pending) {
    this.item = item;
    this.pending = pending;
    this.version = undefined; // of the object that was shown
    const name = clean(item.summary);
    this.box = element("input", { type: "checkbox", "aria-label": `Select: ${name}` });
    this.box.addEventListener("change", () => pending.showSeveral());
    this.age = element("span", { class: "age" });
    this.title = element("button", { class: "summary", "aria-expanded": "false",
      onclick: () => (this.detail.hidden ? pending.open(this) : this.fold()) }, name);
    this.reason = element("input", { type: "text", maxlength: 500, "aria-label": "Reason",
      placeholder: "why not (the client reads it)", spellcheck: "false", autocomplete: "off" });
    this.reason.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.deny();
    });
    this.change = element("div", { class: "change" });
    this.body = element("div", {});
    this.detail = element("div", { class: "waiting", hidden: "" },
      risks(item.risks, item.risks_left), facts(item),
      element("div", { class: "answers" },
        element("button", { class: "approve", onclick: () => this.approve(),
          "aria-keyshortcuts": "a" }, "Approve"),
        element("button", { onclick: () => this.deny(), "aria-keyshortcuts": "d" }, "Deny"),
        this.reason,
        element("button", { onclick: () => this.showChange(), "aria-keyshortcuts": "f" },
          "What would change?")),
      this.change, this.body);
    this.node = element("li", {}, element("div", { class: "bar" }, this.box, this.title, this.age),
      this.detail);
  }

  tick() {
    const now = Date.now() / 1000;
    const left = this.item.expires === null ? "" : `, ${seconds(this.item.expires - now)} left`;
    const who = this.item.uid === undefined ? this.item.client : `uid ${this.item.uid}`;
    const text = `${clean(who)}, ${seconds(now - this.item.asked)} ago${left}`;
    if (this.age.textContent !== text) this.age.textContent = text;
  }

  fold() {
    this.detail.hidden = true;
    this.title.setAttribute("aria-expanded", "false");
    if (this.pending.current === this) this.pending.current = null;
  }

  unfold() {
    this.detail.hidden = false;
    this.title.setAttribute("aria-expanded", "true");
    if (!this.body.childNodes.length && this.item.body_size) this.showBody();
  }

  showBody() {
    this.pending.attempt(async () => {
      const { body } = await (await ask(`pending/${this.item.id}`)).json();
      this.body.replaceChildren(element("h3", {}, `Body, ${size(body.size)} bytes`),
        "value" in body ? element("div", { class: "body" }, tree(body.value))
          : element("p", {}, `Not shown: ${clean(body.not_shown || "")}.`));
    });
  }

  showChange() {
    this.version = undefined;
    this.change.replaceChildren(element("p", {}, "asking the API server…"));
    this.pending.attempt(async () => {
      try {
        const found = await (await post(`pending/${this.item.id}/diff`, {})).json();
        if (found.digest === this.item.digest) this.version = found.resourceVersion ?? undefined;
        this.change.replaceChildren(...changeOf(found));
      } catch (error) {
        this.change.replaceChildren(element("p", {}, clean(error.message)));
        throw error;
      }
    });
  }

  answer() {
    const { id, digest } = this.item;
    return this.version === undefined ? { id, digest }
      : { id, digest, resourceVersion: this.version };
  }

  approve() {
    if (!this.pending.settled()) return;
    this.send("approve", this.answer(), "Approved");
  }

  deny() {
    if (!this.pending.settled()) return;
    this.send("deny", { reason: this.reason.value.trim() }, "Denied");
  }

  send(answer, body, told) {
    this.pending.attempt(async () => {
      await post(`pending/${this.item.id}/${answer}`, body);
      this.pending.toast(told);
    });
  }
}

function post(path, body) {
  return ask(path, "POST", { "Content-Type": "application/json" }, undefined, JSON.stringify(body));
}

function risks(found, left) {
  const list = element("ul", { class: "risks", "aria-label": "What is risky" });
  for (const { field, value } of found || []) {
    list.append(element("li", {}, element("b", {}, clean(field)), ` ${clean(value)}`));
  }
  if (left) list.append(element("li", {}, `${left} more that are not shown`));
  return list.childNodes.length ? list : "";
}

function facts(item) {
  const process = item.process ? `${item.process.name}[${item.process.pid}]` : "";
  const more = item.command_left ? ` …(${item.command_left} more)` : "";
  const rows = [
    ["Command", item.command ? item.command.map(quote).join(" ") + more : ""],
    ["Container", item.container], ["Request", `${item.method} ${item.target}`],
    ["Stopped by", `${item.rule}: ${item.message}`],
    ["Client", item.uid === undefined ? item.client : `uid ${item.uid}, ${item.client}`],
    ["Claims to be", [process, item.user_agent].filter(Boolean).join(", ")],
    ["Context", item.context], ["Server", item.server], ["Upgrade to", item.upgrade],
  ];
  const list = element("dl", { class: "facts" });
  for (const [name, value] of rows) {
    if (value) list.append(element("dt", {}, name), element("dd", {}, clean(value)));
  }
  return list;
}

// A word as a shell would need it, so that its end is seen.
function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function changeOf(found) {
  if (found.refused) {
    return [element("p", {}, `The API server would refuse it: ${clean(found.refused)}`)];
  }
  const lines = element("pre", { class: "diff", tabindex: 0, "aria-label": "What would change" });
  for (const line of found.diff.split("\n")) {
    const kind = { "+": "added", "-": "removed", "@": "place" }[line[0]];
    lines.append(element("span", { class: kind }, `${cleanLines(line)}\n`));
  }
  if (found.lines_left) lines.append(`…(${found.lines_left} lines more)\n`);
  const version = found.resourceVersion === null ? "" : "An approval now is for this version of the object alone.";
  return [risks(found.risks, found.risks_left),
    found.diff ? lines : element("p", {}, "Nothing would change."), element("p", {}, version)]
    .filter((node) => node !== "");
}

function seconds(count) {
  const whole = Math.max(0, Math.round(count));
  return whole < 120 ? `${whole}s` : `${Math.round(whole / 60)}m`;
}
