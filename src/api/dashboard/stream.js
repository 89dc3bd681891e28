// Stream: the events of all orders, each once and in order, over connections that come and go.
//
// Owns the cursor. A socket that ends is opened again with `since`, so nothing is missed; an event at or below the
// cursor was told before and is dropped. A socket that is silent although it was pinged is taken for dead.

import { ask, streamUrl } from "./api.js";

const FIRST_REST = 250;
const LONGEST_REST = 5_000;
const PING_EVERY = 5_000;
/** How long a ping may go without an answer, and a socket without opening. */
const SILENCE = 4_000;
const OPENING = 10_000;
/** A reader further behind than this skips ahead: the list has room for fewer orders anyway. */
export const REPLAY = 1_500;

export class Stream {
  #cursor;
  #socket = null;
  #rest = FIRST_REST;
  #timer = 0;
  #pings = 0;
  #pinged = 0;
  #heard = 0;
  #opening = false;

  /** `on.event(event)`, `on.state(name, milliseconds)`, and `on.gap(status)` when the list has to be read anew. */
  constructor(cursor, on) {
    this.#cursor = cursor;
    this.on = on;
    addEventListener("online", () => this.#open());
    // A tab that slept may hold a socket that died meanwhile.
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.#look();
    });
  }

  start() {
    this.#open();
  }

  async #open() {
    if (this.#opening || this.#socket) return;
    this.#opening = true;
    clearTimeout(this.#timer);
    this.on.state("connecting");
    try {
      const status = await ask("/v1/status");
      const replaced = status.cursor < this.#cursor;
      if (replaced || status.cursor - this.#cursor > REPLAY) {
        this.#cursor = Math.max(0, status.cursor - REPLAY);
        this.on.gap({ replaced });
      }
      this.#connect();
    } catch (error) {
      this.#later(error.status === 401 || error.status === 403 ? "refused" : "waiting");
    } finally {
      this.#opening = false;
    }
  }

  #connect() {
    const socket = new WebSocket(streamUrl(this.#cursor));
    this.#socket = socket;
    setTimeout(() => {
      if (socket.readyState === WebSocket.CONNECTING) socket.close();
    }, OPENING);
    socket.addEventListener("open", () => {
      this.#rest = FIRST_REST;
      this.#heard = Date.now();
      this.on.state("live");
      this.#pings = setInterval(() => this.#look(), PING_EVERY);
    });
    socket.addEventListener("message", ({ data }) => {
      if (socket !== this.#socket) return;
      this.#heard = Date.now();
      const event = JSON.parse(data);
      if (event.cursor === undefined || event.cursor <= this.#cursor) return;
      this.#cursor = event.cursor;
      this.on.event(event);
    });
    socket.addEventListener("close", () => this.#lost(socket));
  }

  /** Pings, or gives a socket up whose last ping has no answer. Timers of hidden tabs are late, so only that counts. */
  #look() {
    const socket = this.#socket;
    const now = Date.now();
    if (!socket) return this.#open();
    if (socket.readyState !== WebSocket.OPEN) return;
    if (this.#pinged > this.#heard) {
      if (now - this.#pinged < SILENCE) return;
      socket.close();
      return this.#lost(socket);
    }
    this.#pinged = now;
    socket.send("ping");
  }

  #lost(socket) {
    if (socket !== this.#socket) return;
    clearInterval(this.#pings);
    this.#socket = null;
    this.#later("waiting");
  }

  #later(state) {
    // Some of it by chance, so that many pages do not come back at the same moment.
    const rest = this.#rest * (0.75 + Math.random() / 2);
    this.#rest = Math.min(this.#rest * 2, LONGEST_REST);
    this.on.state(state, rest);
    this.#timer = setTimeout(() => this.#open(), rest);
  }
}
