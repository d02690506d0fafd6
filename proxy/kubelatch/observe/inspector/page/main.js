// The page: what comes over the stream goes into the list, the filters and the totals.

import { Refused, ask, findSecret, follow, keepSecret } from "./api.js";
import { showDetail } from "./detail.js";
import { List } from "./list.js";
import { Pending } from "./pending.js";
import { CAME, clean, clientOf, element, resourceOf } from "./text.js";
import { Totals } from "./totals.js";

const MOST = 1000;
const SELECTS = {
  verb: ["All verbs", (item) => item.verb],
  resource: ["All resources", (item) => resourceOf(item) || "(none)"],
  namespace: ["All namespaces", (item) => item.namespace || ""],
  status: ["All statuses", statusOf],
  client: ["All clients", clientOf],
};
const $ = (id) => document.getElementById(id);

const items = new Map(); // by id, in any order
let sorted = []; // ids, newest first
let paused = false;
let waiting = []; // what came while paused
let opened = null; // the id that the detail shows
let shown = null; // its detail
let changed = false;
const filter = { text: "", verb: "", resource: "", namespace: "", status: "", client: "" };
const values = Object.fromEntries(Object.keys(SELECTS).map((name) => [name, new Set()]));

const list = new List($("list"), $("head"), $("rows"), open);
const clients = new Totals($("clients"), "Client", clientOf, (row) => pick("client", clientOf(row)));
const resources = new Totals($("resources"), "Resource", (row) => row.resource, (row) =>
  pick("resource", row.resource));

const pending = new Pending($("pending"), attempt, toast, () => $("list").focus());

function statusOf(item) {
  if (item.event === "begin") return "running";
  return item.status ? `${Math.floor(item.status / 100)}xx` : "none";
}

function matches(item) {
  for (const [name, [, of]] of Object.entries(SELECTS)) {
    if (filter[name] && of(item) !== filter[name]) return false;
  }
  if (!filter.text) return true;
  item.haystack = item.haystack || JSON.stringify(item).toLowerCase();
  return filter.text.toLowerCase().split(/\s+/).every((word) => item.haystack.includes(word));
}

function take(item) {
  for (const [name, [, of]] of Object.entries(SELECTS)) {
    const value = of(item);
    if (value && !values[name].has(value)) {
      values[name].add(value);
      addOption(name, value);
    }
  }
  item[CAME] = performance.now();
  items.set(item.id, item);
  changed = true;
  list.draw();
  if (item.id === opened && shown?.event === "begin") refreshDetail();
}

// Once for each frame, however many came.
function arrange() {
  if (!changed) return;
  changed = false;
  const top = list.items[0]?.id;
  sorted = [...items.values()].sort((a, b) => b.id - a.id);
  let ended = 0;
  for (const item of sorted) {
    if (item.event !== "begin" && (ended += 1) > MOST) items.delete(item.id);
  }
  const found = sorted.filter((item) => items.has(item.id) && matches(item));
  const above = top === undefined ? 0 : found.findIndex((item) => item.id === top);
  list.show(found, Math.max(above, 0));
}

const paint = list.paint.bind(list);
list.paint = () => { arrange(); paint(); };

function forget() {
  items.clear();
  waiting = [];
  changed = true;
  list.draw();
}

function on(type, data) {
  if (type === "totals") {
    clients.show(data.clients);
    resources.show(data.resources);
    const lost = data.not_kept ? `, ${data.not_kept} too fast to keep` : "";
    $("counts").textContent = `${data.kept} kept${lost}`;
  } else if (type === "pending") {
    pending.show(data.pending);
  } else if (type === "clear") {
    forget();
  } else if (type === "exchange") {
    if (!paused) take(data);
    else if (waiting.push(data) > 2 * MOST) waiting.shift();
    if (paused) showState();
  }
}

// What is under way lasts longer.
setInterval(() => list.draw(), 1000);

let connection = "connecting…";
function showState(state = connection) {
  connection = state;
  const more = waiting.length ? `, ${waiting.length} changes` : "";
  const text = paused ? `paused${more}` : connection;
  if ($("state").textContent !== text) $("state").textContent = text;
  $("state").className = paused ? "paused" : connection === "live" ? "live" : "lost";
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) waiting.splice(0).forEach(take);
  showState();
}

async function clear() {
  await attempt(() => ask("requests", "DELETE"));
}

async function open(item) {
  if (!item) return;
  opened = item.id;
  await refreshDetail();
}

async function refreshDetail() {
  const id = opened;
  await attempt(async () => {
    const response = await ask(`requests/${id}`);
    const detail = await response.json();
    if (id !== opened) return;
    shown = detail;
    showDetail($("detail"), detail, { close, copy, replay: () => replay(id) });
    document.body.classList.add("opened");
    list.draw();
  });
}

function close() {
  opened = shown = null;
  $("detail").hidden = true;
  document.body.classList.remove("opened");
  $("list").focus();
}

async function copy(text, name) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copySelected(text)) {
      toast("The browser does not let this page copy: the text can be selected");
      return;
    }
  }
  toast(`Copied as ${name}`);
}

// Where the page's address is none that browsers trust, there is no clipboard.
function copySelected(text) {
  const area = element("textarea", { "aria-hidden": "true", class: "copied" });
  area.value = text;
  document.body.append(area);
  const focused = document.activeElement;
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focused?.focus();
  return copied;
}

async function copyAsCurl() {
  const item = list.current;
  if (!item) return;
  await attempt(async () => {
    const detail = shown?.id === item.id && shown.event !== "begin"
      ? shown : await (await ask(`requests/${item.id}`)).json();
    if (detail.commands?.curl) await copy(detail.commands.curl, "curl");
    else toast(`No command can: ${clean(detail.commands?.missing || "unknown")}`);
  });
}

async function replay(id) {
  await attempt(async () => {
    const result = await (await ask(`requests/${id}/replay`, "POST")).json();
    toast(`Replayed: ${result.status || "no response"}`);
    if (result.id) {
      list.selected = result.id;
      await arrived(result.id);
      await open({ id: result.id });
    }
  });
}

// The new exchange comes over the stream a moment later.
async function arrived(id) {
  for (let tries = 0; tries < 20 && !items.has(id); tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function attempt(what) {
  try {
    await what();
  } catch (error) {
    if (error instanceof Refused) login();
    else toast(clean(error.message));
  }
}

let toastTimer = 0;
function toast(text) {
  $("toast").textContent = text;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { $("toast").textContent = ""; }, 4000);
}

function addOption(name, value) {
  const select = $(name);
  const option = element("option", { value }, clean(value));
  const after = [...select.options].slice(1).find((each) => each.value > value);
  select.insertBefore(option, after || null);
}

function refilter() {
  changed = true;
  list.grid.scrollTop = 0;
  list.draw();
}

function pick(name, value) {
  for (const each of Object.keys(SELECTS)) $(each).value = filter[each] = "";
  if (![...$(name).options].some((option) => option.value === value)) addOption(name, value);
  $(name).value = filter[name] = value;
  showTab("requests");
  refilter();
}

function showTab(name) {
  for (const each of ["requests", "clients", "resources"]) {
    const tab = $(`tab-${each}`);
    tab.setAttribute("aria-selected", each === name);
    tab.tabIndex = each === name ? 0 : -1;
    $(each).hidden = each !== name;
  }
  list.draw();
}

const KEYS = {
  j: () => list.move(1),
  k: () => list.move(-1),
  "/": () => { showTab("requests"); $("text").focus(); },
  Enter: () => open(list.current),
  c: copyAsCurl,
  r: () => list.current && replay(list.current.id),
  x: clear,
  p: pause,
  n: () => pending.next(),
  a: () => pending.current?.approve(),
  d: () => pending.current?.reason.focus(),
  f: () => pending.current?.showChange(),
  "?": () => $("help").showModal(),
};

document.addEventListener("keydown", async (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) {
    return;
  }
  const inField = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (inField) event.target.blur();
    else if (pending.current) pending.current.fold();
    else if (opened) close();
    return;
  }
  if (inField || (event.key === "Enter" && event.target.matches("button, summary, a"))) return;
  const act = KEYS[event.key] || (event.target === $("list") && { ArrowDown: KEYS.j,
    ArrowUp: KEYS.k }[event.key]);
  if (!act) return;
  event.preventDefault();
  act();
  if (["j", "k"].includes(event.key) && opened && list.current) await open(list.current);
});

$("text").addEventListener("input", () => { filter.text = $("text").value; refilter(); });
$("text").addEventListener("keydown", (event) => { if (event.key === "Enter") $("list").focus(); });
for (const [name, [title]] of Object.entries(SELECTS)) {
  $(name).append(element("option", { value: "" }, title));
  $(name).addEventListener("change", () => { filter[name] = $(name).value; refilter(); });
}
$("pause").addEventListener("click", pause);
$("clear").addEventListener("click", clear);
$("help-button").addEventListener("click", () => $("help").showModal());
$("help-close").addEventListener("click", () => $("help").close());
const tabs = [...document.querySelectorAll("[role=tab]")];
tabs.forEach((tab, at) => {
  tab.addEventListener("click", () => showTab(tab.getAttribute("aria-controls")));
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = tabs[(at + step + tabs.length) % tabs.length];
    showTab(next.getAttribute("aria-controls"));
    next.focus();
  });
});
$("login-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepSecret($("secret").value.trim());
  $("secret").value = "";
  $("login").close();
  start();
});

function login(problem = "") {
  $("login-problem").textContent = problem;
  if (!$("login").open) $("login").showModal();
}

async function start() {
  try {
    await follow(on, showState);
  } catch (error) {
    showState("not connected");
    login(error.message);
  }
}

if (await findSecret()) start();
else login();
$("list").focus();
