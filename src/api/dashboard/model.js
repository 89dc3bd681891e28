// Model: the newest orders as the page knows them, out of listings and events, whichever comes first.
//
// An order's `version` in a listing and an event's `seq` count the same thing, so the later word wins and a repeated
// one changes nothing. Bounded: the oldest orders are forgotten.

import { ui } from "./format.js";

/** Orders that are kept. More than are shown, so that a filter has something to choose from. */
const MOST_ORDERS = 1_000;
const ENDED = new Set(["confirmed", "failed", "cancelled"]);
/** The events that mark an order's way. Of repeated ones the last counts, but for the first two. */
const MARKS = ["created", "claimed", "routed", "signed", "sent", "landed"];

export class Model {
  #orders = new Map();
  #decimals = new Map();
  /** Ids of orders that changed since they were last taken. */
  #changed = new Set();
  /** Called after every change; draws nothing by itself. */
  onchange = () => {};

  useTokens(tokens) {
    for (const token of tokens) this.#decimals.set(token.symbol, token.decimals);
  }

  order(id) {
    return this.#orders.get(id);
  }

  /** Newest first: ids are version 7 UUIDs and sort by time. */
  newest() {
    return [...this.#orders.values()].sort((a, b) => (a.id < b.id ? 1 : -1));
  }

  clear() {
    this.#orders.clear();
    this.onchange();
  }

  takeChanged() {
    const changed = this.#changed;
    this.#changed = new Set();
    return changed;
  }

  /** Whether some order is only known from events, which do not say all of it. */
  lacksDetails() {
    for (const order of this.#orders.values()) if (!order.listed) return true;
    return false;
  }

  /** After a listing that ended at an order: older ones are not asked for again. */
  giveUpDetails(before) {
    for (const order of this.#orders.values()) if (order.id < before) order.listed = true;
  }

  /** Takes in an order as `/v1/orders` has it. */
  list(view) {
    if (view.unreadable) {
      // Nothing more can be known of it than what events have said.
      const known = this.#orders.get(view.id);
      if (known) known.listed = true;
      return;
    }
    const order = this.#known(view.id);
    order.listed = true;
    order.createdAt = Date.parse(view.createdAt);
    order.tokenIn = view.tokenIn;
    order.tokenOut = view.tokenOut;
    order.mode = view.mode;
    order.expiresAt = view.expiresAt && Date.parse(view.expiresAt);
    if (view.version >= order.seq) {
      if (view.version > order.seq) order.retrying = false;
      order.seq = view.version;
      order.status = view.status;
      order.venue = view.venue ?? order.venue;
      order.failure = view.failure;
      order.simulated = view.simulated;
      order.unknown = view.outcome === "unknown";
      order.setAside = view.setAside !== null;
      order.updatedAt = Date.parse(view.updatedAt);
      order.filled = view.filled !== null;
      const amounts = view.filled ?? view.quoted;
      if (amounts) Object.assign(order, { pays: amounts.amountIn.ui, gets: amounts.amountOut.ui });
    }
    // The exact side is known from the first moment on.
    if (view.mode === "exact_in") order.pays ??= view.amountIn.ui;
    else order.gets ??= view.amountOut.ui;
    this.#touch(order);
  }

  /** Takes in an event of the stream. */
  event(event) {
    const order = this.#known(event.orderId);
    const at = Date.parse(event.at);
    if (MARKS.includes(event.event) && !(event.event === "claimed" && order.marks.claimed))
      order.marks[event.event] = at;
    order.tokenIn = event.tokenIn;
    order.tokenOut = event.tokenOut;
    if (event.event === "created") order.createdAt = at;
    if (event.seq > order.seq) {
      order.seq = event.seq;
      order.status = event.status;
      order.updatedAt = at;
      order.setAside = event.event === "set_aside" || (order.setAside && event.event !== "replayed");
      // Being set aside says nothing of the outcome.
      if (event.event !== "set_aside") order.unknown = event.event === "outcome_unknown";
      order.failure = event.event === "failed" || event.event === "rejected" ? event.failure : null;
      if (event.event === "paper_filled") order.simulated = true;
      this.#amounts(order, event);
    }
    // A listing does not say it, so the event that a listing was made after counts as well.
    if (event.seq === order.seq) order.retrying = event.event === "retrying";
    this.#touch(order);
  }

  #amounts(order, event) {
    const moved = event.fill ?? event.route?.chosen;
    if (event.route) order.venue = event.route.chosen.venue;
    if (!moved) return;
    order.pays = this.whole(moved.amountIn, order.tokenIn);
    order.gets = this.whole(moved.amountOut, order.tokenOut);
    order.filled = Boolean(event.fill);
  }

  /** Base units of a token as whole tokens. */
  whole(base, symbol) {
    return ui(base, this.#decimals.get(symbol) ?? 0);
  }

  #known(id) {
    let order = this.#orders.get(id);
    if (!order) {
      order = {
        id,
        seq: 0,
        status: "pending",
        marks: {},
        createdAt: Date.now(),
        listed: false,
        unknown: false,
        setAside: false,
        retrying: false,
        filled: false,
      };
      this.#orders.set(id, order);
      if (this.#orders.size > MOST_ORDERS * 1.2) this.#forgetOldest();
    }
    return order;
  }

  #forgetOldest() {
    for (const order of this.newest().slice(MOST_ORDERS)) this.#orders.delete(order.id);
  }

  #touch(order) {
    this.#changed.add(order.id);
    this.onchange();
  }
}

export const hasEnded = (order) => ENDED.has(order.status);

/** Whether its deadline can still end it: what is signed in time is followed to its end, however late. */
export const runsOut = (order) => Boolean(order.expiresAt) && !hasEnded(order) && order.status !== "submitted";

/** How long each stage of a landed order took, in milliseconds, in order; null when not all of it was seen. */
export function stages(order) {
  const { created, claimed, routed, signed, landed, sent = signed } = order.marks;
  if (!(created && claimed && routed && signed && landed)) return null;
  // The note that a node took the bytes may come after the landing itself.
  const left = Math.min(sent, landed);
  const spans = {
    queue: claimed - created,
    quotes: routed - claimed,
    sign: signed - routed,
    send: left - signed,
    confirm: landed - left,
  };
  return Object.values(spans).every((span) => span >= 0) ? { ...spans, total: landed - created } : null;
}
