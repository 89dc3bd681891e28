// Status: what the daemon says of itself, and what a person should know before trading.

import { ask } from "./api.js";
import { byId, h, redraw, write } from "./dom.js";
import { count, duration } from "./format.js";

const EVERY = 3_000;
const PARTS = { store: "The store", queue: "The queue", bus: "The event bus", rpc: "The chain's RPC endpoint" };

export class Status {
  #model;
  #shown = "";

  /** `on.limits(status)` and `on.deadLetters(number)` are called with every reading. */
  constructor(model, on) {
    this.#model = model;
    this.on = on;
    setInterval(() => {
      if (!document.hidden) this.read();
    }, EVERY);
  }

  async read() {
    const [status, ready] = await Promise.all(["/v1/status", "/ready"].map((path) => ask(path).catch(() => null)));
    if (status) {
      write(byId("cluster"), status.cluster);
      write(byId("slot"), status.slot === null ? "unknown" : count(status.slot));
      write(byId("open-orders"), count(status.openOrders));
      write(byId("version"), `swapd ${status.version}`);
      this.on.limits(status);
    }
    this.on.deadLetters(ready?.deadLetters);
    const readiness = byId("readiness");
    readiness.dataset.state = ready?.ready ? "good" : "bad";
    write(readiness, !ready ? "no answer" : ready.ready ? "ready" : "not ready");
    this.#notices(ready);
  }

  #notices(ready) {
    const notices = [];
    for (const [name, check] of Object.entries(ready?.checks ?? {})) {
      // A pause has a banner of its own, dead letters have a panel.
      if (check.ok || name === "trading") continue;
      const reason = PARTS[name] ? `${PARTS[name]} cannot be used: ${check.reason}` : check.reason;
      notices.push(`${reason[0].toUpperCase()}${reason.slice(1)}.`);
    }
    const unknown = this.#model.newest().filter((order) => order.unknown).length;
    if (unknown)
      notices.push(`The outcome of ${orders(unknown)} unknown: the chain is asked until there is an answer.`);
    // Written only when it changes: it is read aloud.
    if (notices.join() === this.#shown) return;
    this.#shown = notices.join();
    redraw(
      byId("notices"),
      notices.map((notice) => h("p", {}, notice)),
    );
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
