// Status: what the daemon says of itself, and what a person should know before trading.

import { ask } from "./api.js";
import { byId, h, redraw, write } from "./dom.js";
import { count, duration } from "./format.js";

const EVERY = 3_000;
const PARTS = { store: "The store", queue: "The queue", bus: "The event bus", rpc: "The chain's RPC endpoint" };

export class Status {
  #model;
  /** Not every daemon keeps a list of orders for people: one that has none is not asked again. */
  #deadLetters = true;
  #shown = "";

  constructor(model, limits) {
    this.#model = model;
    this.limits = limits;
    setInterval(() => { if (!document.hidden) this.read(); }, EVERY);
  }

  async read() {
    const [status, ready, letters] = await Promise.all([
      ask("/v1/status").catch(() => null), ask("/ready").catch(() => null), this.#letters(),
    ]);
    if (status) {
      write(byId("cluster"), status.cluster);
      write(byId("slot"), status.slot === null ? "unknown" : count(status.slot));
      write(byId("open-orders"), count(status.openOrders));
      write(byId("version"), `swapd ${status.version}`);
      this.limits(status);
    }
    const readiness = byId("readiness");
    readiness.dataset.state = ready?.ready ? "good" : "bad";
    write(readiness, !ready ? "no answer" : ready.ready ? "ready" : "not ready");
    this.#notices(ready, letters);
  }

  async #letters() {
    if (!this.#deadLetters) return 0;
    try {
      const answer = await ask("/v1/dead-letters");
      return answer.total ?? Object.values(answer).find(Array.isArray)?.length ?? 0;
    } catch (error) {
      if (error.status === 404) this.#deadLetters = false;
      return 0;
    }
  }

  #notices(ready, letters) {
    const notices = [];
    for (const [name, check] of Object.entries(ready?.checks ?? {})) {
      if (check.ok) continue;
      const reason = PARTS[name] ? `${PARTS[name]} cannot be used: ${check.reason}` : check.reason;
      notices.push(`${reason[0].toUpperCase()}${reason.slice(1)}.`);
    }
    const unknown = this.#model.newest().filter((order) => order.unknown).length;
    if (unknown) notices.push(`${orders(unknown)} sent, and nobody can say yet what became of it. The chain is asked until there is an answer.`);
    if (letters) notices.push(`${orders(letters)} waiting to be looked at by hand.`);
    // Written only when it changes: it is read aloud.
    if (notices.join() === this.#shown) return;
    this.#shown = notices.join();
    redraw(byId("notices"), notices.map((notice) => h("p", {}, notice)));
  }
}

const orders = (number) => (number === 1 ? "1 order is" : `${count(number)} orders are`);

const STATES = { connecting: "Connecting", live: "Live", refused: "Refused", waiting: "Reconnecting" };

/** Shows how the stream of events is doing. */
export function showConnection(state, rest) {
  const place = byId("connection");
  // Trying again is part of waiting: a light that flickers tells nothing.
  if (state === "connecting" && place.dataset.state === "waiting") return;
  place.dataset.state = state;
  write(place, STATES[state]);
  place.title = state === "live" ? "Events arrive as they are stored" : rest ? `Next try in ${duration(rest)}` : "";
}
