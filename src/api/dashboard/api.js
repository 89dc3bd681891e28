// Api: every question to the daemon. Owns the key, the time-outs and how a refusal is told from silence.

const PATIENCE = 12_000;
const KEY = "swapd.key";

/** The daemon answered, and said no. `code` is stable, `message` is a sentence. */
export class Refused extends Error {
  constructor(status, error) {
    super(error?.message ?? `The daemon answered with status ${status}.`);
    this.status = status;
    this.code = error?.code ?? "internal";
    this.details = error ?? {};
  }
}

/** Nobody answered, or not in time. What was asked may have been done. */
export class NoAnswer extends Error {}

let refusedKey = () => {};

/** What to do when a key is missing or wrong. */
export function onRefusedKey(listener) {
  refusedKey = listener;
}

export const key = {
  read: () => sessionStorage.getItem(KEY),
  use: (text) => sessionStorage.setItem(KEY, text),
  forget: () => sessionStorage.removeItem(KEY),
};

/** The answer's JSON. Throws `Refused` or `NoAnswer`, or what `signal` was aborted with. */
export async function ask(path, { method = "GET", body, headers = {}, signal } = {}) {
  const sent = { ...headers };
  if (body !== undefined) sent["Content-Type"] = "application/json";
  if (key.read()) sent.Authorization = `Bearer ${key.read()}`;
  const late = AbortSignal.timeout(PATIENCE);
  let answer, text;
  try {
    answer = await fetch(path, {
      method,
      body,
      headers: sent,
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    text = await answer.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new NoAnswer("The daemon does not answer.");
  }
  const json = parse(text);
  // `/ready` answers 503 with the same words as 200.
  if (answer.ok || json?.checks) return json;
  if (answer.status === 401) refusedKey();
  throw new Refused(answer.status, json?.error);
}

/** A query string of what is there. */
export function query(fields) {
  const there = Object.entries(fields).filter(([, value]) => value !== undefined && value !== "");
  return new URLSearchParams(there).toString();
}

/** Where the events come from. Browsers cannot set a socket's headers, so the key goes into its query. */
export function streamUrl(since) {
  const url = new URL("/v1/stream", location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.searchParams.set("since", since);
  if (key.read()) url.searchParams.set("token", key.read());
  return url;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
