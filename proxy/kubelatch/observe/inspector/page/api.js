// The interface: requests with the secret, and the stream of events.

const KEY = "kubelatch-inspector-secret";
let secret = "";

// Take the secret out of the address bar, or find that of this tab.
export async function findSecret() {
  const fragment = location.hash.slice(1);
  if (fragment) {
    history.replaceState(null, "", location.pathname);
    if (fragment.startsWith("code=")) {
      const headers = { Authorization: `Bearer ${fragment.slice(5)}` };
      const response = await fetch("session", { method: "POST", headers });
      if (response.ok) keepSecret((await response.json()).secret);
    } else {
      keepSecret(fragment);
    }
  }
  secret = secret || sessionStorage.getItem(KEY) || "";
  return secret !== "";
}

export function keepSecret(text) {
  secret = text;
  sessionStorage.setItem(KEY, text);
}

export class Refused extends Error {}

export async function ask(path, method = "GET", headers = {}, signal = undefined, body = undefined) {
  const all = { ...headers, Authorization: `Bearer ${secret}` };
  const response = await fetch(path, { method, headers: all, cache: "no-store", signal, body });
  if (response.status === 401) throw new Refused("the secret is another one");
  if (!response.ok) throw new Error((await response.text()).trim() || String(response.status));
  return response;
}

// Read events for ever. *on* is called with the type and data of each; *state* with a word.
export async function follow(on, state) {
  let last = "";
  let wait = 250;
  for (;;) {
    try {
      const response = await ask("events", "GET", last ? { "Last-Event-ID": last } : {});
      state("live");
      wait = 250;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      let rest = "";
      for (;;) {
        const { value, done } = await reader.read();
        if (done) break;
        const blocks = (rest + value).split("\n\n");
        rest = blocks.pop();
        for (const block of blocks) last = handle(block, on) || last;
      }
    } catch (error) {
      if (error instanceof Refused) throw error;
    }
    state("not connected");
    await new Promise((resolve) => setTimeout(resolve, wait));
    wait = Math.min(wait * 2, 5000);
  }
}

function handle(block, on) {
  let id = "", type = "", data = "";
  for (const line of block.split("\n")) {
    if (line.startsWith("id: ")) id = line.slice(4);
    else if (line.startsWith("event: ")) type = line.slice(7);
    else if (line.startsWith("data: ")) data = line.slice(6);
  }
  if (type) on(type, JSON.parse(data));
  return id;
}
