// Submit: an order that is sent once, whatever becomes of the answer.
//
// Each order gets an Idempotency-Key of its own before it is first sent. Until the daemon has said yes or no, the same
// order is sent with the same key, also after a reload: the daemon makes one order of it. A clear answer uses it up.

import { NoAnswer, Refused, ask } from "./api.js";

const PENDING = "swapd.pending";
const TRIES = 4;
const REST = 700;
/** Answers after which nobody knows, or which only ask to come again. */
const AGAIN = new Set([429, 500, 502, 503, 504]);
/** Refusals that last until a person ends them: whoever waits is told at once. */
const LASTS = new Set(["paused"]);

/** The accepted order. Throws `Refused`, or `NoAnswer` when it is not known whether there is an order. */
export async function submit(order) {
  const body = JSON.stringify(order);
  const key = keyFor(body);
  for (let n = 1; ; n += 1) {
    try {
      const accepted = await ask("/v1/orders", { method: "POST", body, headers: { "Idempotency-Key": key } });
      sessionStorage.removeItem(PENDING);
      return accepted;
    } catch (error) {
      const unclear = error instanceof NoAnswer || (error instanceof Refused && AGAIN.has(error.status));
      if (!unclear && error.status !== 401) sessionStorage.removeItem(PENDING);
      if (!unclear || LASTS.has(error.code) || n === TRIES) throw error;
      await new Promise((resolve) => setTimeout(resolve, REST * n));
    }
  }
}

/** The key of the same order that is still without an answer, or a fresh one. */
function keyFor(body) {
  const pending = JSON.parse(sessionStorage.getItem(PENDING) ?? "null");
  if (pending?.body === body) return pending.key;
  // `crypto.randomUUID` is missing on pages that came over plain HTTP from another machine.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  const key = `page-${[...bytes].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  sessionStorage.setItem(PENDING, JSON.stringify({ body, key }));
  return key;
}
