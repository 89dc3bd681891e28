// Detail: everything about one order. Read from the daemon whenever an event says that something changed, so that what
// is shown is what is stored.

import { ask } from "./api.js";
import { announce, byId, copyButton, h, redraw, write } from "./dom.js";
import { clock, count, day, decimal, duration, percent, short, venue } from "./format.js";
import { explain, plain } from "./explain.js";
import { quotesTable } from "./quotes.js";
import { timeline, words } from "./timeline.js";

/** Between two readings of one order: events come in bursts. */
const REST = 150;
const CANCELLABLE = new Set(["pending", "routing", "building"]);

export class Detail {
  #model;
  #id = null;
  #order = null;
  #receipt = null;
  #reading = false;
  #again = false;

  /** `closed(id)` is called when the user goes back to the list. */
  constructor(model, closed) {
    this.#model = model;
    byId("close-detail").addEventListener("click", () => {
      const id = this.#id;
      this.#show(null);
      closed(id);
    });
  }

  get id() {
    return this.#id;
  }

  /** Shows an order, and moves the focus to it when `focus` is set. */
  async choose(id, { focus = false } = {}) {
    this.#show(id);
    byId("detail-body").setAttribute("aria-busy", "true");
    await this.refresh();
    if (!focus || this.#id !== id) return;
    byId("detail-title").focus({ preventScroll: true });
    // Below the list, where there is no room beside it.
    if (byId("detail").getBoundingClientRect().top > innerHeight / 2) byId("detail").scrollIntoView();
  }

  #show(id) {
    this.#id = id;
    this.#order = this.#receipt = null;
    byId("detail").toggleAttribute("data-chosen", id !== null);
    byId("close-detail").hidden = id === null;
    if (id !== null) return;
    write(byId("detail-title"), "Order");
    redraw(byId("detail-body"), h("p", { class: "empty" }, "Choose an order to see its timeline, quotes, bounds and signature."));
  }

  /** Reads the order again; calls meanwhile are one more reading. */
  async refresh() {
    if (this.#id === null) return;
    if (this.#reading) {
      this.#again = true;
      return;
    }
    this.#reading = true;
    try {
      do {
        this.#again = false;
        await this.#read(this.#id);
        if (this.#again) await new Promise((resolve) => setTimeout(resolve, REST));
      } while (this.#again && this.#id !== null);
    } finally {
      this.#reading = false;
    }
  }

  async #read(id) {
    try {
      const order = await ask(`/v1/orders/${id}`);
      const ended = order.status === "confirmed" || order.status === "failed" || order.status === "cancelled";
      const receipt = ended ? await ask(`/v1/orders/${id}/receipt`) : null;
      if (id !== this.#id) return void (this.#again = true);
      if (this.#order && this.#order.status !== order.status) announce(`Order ${order.tokenIn} to ${order.tokenOut}: ${order.status}`);
      this.#order = order;
      this.#receipt = receipt;
      this.#draw();
    } catch (error) {
      if (id === this.#id && !this.#order) {
        redraw(byId("detail-body"), h("p", { class: "error" }, error.message, " It is read again with the next event."));
      }
    } finally {
      byId("detail-body").removeAttribute("aria-busy");
    }
  }

  #draw() {
    const order = this.#order;
    const amounts = words(order, this.#model);
    const routed = order.history.findLast((event) => event.event === "routed");
    write(byId("detail-title"), `${order.tokenIn} to ${order.tokenOut}`);
    redraw(byId("detail-body"),
      h("p", { class: "state", "data-status": order.status },
        h("b", {}, order.simulated ? `${order.status}, simulated` : order.status),
        h("span", { class: "muted small" }, `${clock(order.createdAt)}, ${day(order.createdAt)}`),
        CANCELLABLE.has(order.status) && this.#cancelButton()),
      order.failure && failure(order.failure),
      order.unknown && warning("Nobody can say yet what became of the signature. The chain is asked until there is an answer; the order is not signed again before.", order.unknown.reason),
      order.setAside && warning("Set aside: nobody drives this order until it is taken up again by hand.", order.setAside.reason),
      facts(order, this.#receipt, amounts),
      signatures(order),
      routed && section("Quotes", quotesTable(routed.route.quotes, {
        side: order.mode === "exact_in" ? "amountOut" : "amountIn",
        words: order.mode === "exact_in" ? amounts.received : amounts.paid,
        chosen: routed.route.chosen,
      })),
      section("Timeline", timeline(order.history, amounts)),
      this.#receipt && receipt(this.#receipt));
  }

  #cancelButton() {
    const id = this.#id;
    const button = h("button", { type: "button", class: "quiet", "data-key": "cancel" }, "Cancel order");
    button.addEventListener("click", async () => {
      button.disabled = true;
      try {
        await ask(`/v1/orders/${id}/cancel`, { method: "POST" });
      } catch (error) {
        announce(error.code ? explain(error.code).what : error.message);
      }
      this.refresh();
    });
    return button;
  }
}

const section = (title, ...children) => h("section", {}, h("h3", {}, title), children);

function failure({ code, reason }) {
  const { what, advice } = explain(code);
  return h("div", { class: "failure" },
    h("p", {}, h("b", {}, what)), h("p", {}, advice),
    h("p", { class: "small" }, h("code", {}, code), ": ", plain(reason)));
}

const warning = (what, reason) => h("div", { class: "failure warning" }, h("p", {}, what), reason && h("p", { class: "small" }, plain(reason)));

function facts(order, receipt, { paid, received }) {
  const rows = [];
  const fact = (name, ...value) => rows.push(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  const number = (text) => h("span", { class: "num" }, text);
  const moved = order.filled ?? order.quoted;
  const said = order.filled ? "" : "≈ ";
  const paysExactly = order.mode === "exact_in";
  fact("Pays", number(moved ? `${paysExactly ? "" : said}${paid(moved.amountIn.base)}` : paysExactly ? paid(order.amountIn.base) : "not decided"));
  fact(order.filled ? "Received" : "Receives", number(moved ? `${paysExactly ? said : ""}${received(moved.amountOut.base)}` : paysExactly ? "not decided" : received(order.amountOut.base)));
  if (order.minOut) fact("Bound", number(`at least ${received(order.minOut.base)}`));
  if (order.maxIn) fact("Bound", number(`at most ${paid(order.maxIn.base)}`));
  fact("Slippage", number(`${percent(order.slippageBps)} allowed`), slipped(receipt));
  if (order.executionPrice) fact("Price", number(`${decimal(order.executionPrice, 8)} ${order.tokenOut} per ${order.tokenIn}`));
  if (order.venue) fact("Venue", venue(order.venue), order.simulated && h("span", { class: "tag mock" }, "mock"));
  if (order.networkFee) fact("Network fee", number(`${order.networkFee.ui} SOL`));
  if (order.slot) fact("Slot", number(count(order.slot)));
  if (receipt?.timings?.totalMs !== undefined && receipt.timings.totalMs !== null) fact("Took", number(duration(receipt.timings.totalMs)));
  if (order.wallet) fact("Wallet", h("code", { title: order.wallet }, short(order.wallet)), copyButton(order.wallet, "wallet address"));
  fact("Order", h("code", { title: order.id }, short(order.id)), copyButton(order.id, "order id"));
  return h("dl", { class: "pairs" }, rows);
}

/** How far the fill was from the quote it was routed by. */
function slipped(receipt) {
  const bps = receipt?.realisedSlippageBps;
  if (bps === null || bps === undefined) return null;
  const words = bps > 0 ? `${percent(bps)} worse than quoted` : bps < 0 ? `${percent(-bps)} better than quoted` : "filled as quoted";
  return h("span", { class: "num muted" }, `, ${words}`);
}

function signatures(order) {
  if (order.attempts.length === 0) return null;
  const outcomes = { landed: "landed", rejected: "landed with an error", expired: "expired, proven", chain_reset: "its chain is gone" };
  return section(order.attempts.length > 1 ? "Signatures" : "Signature", h("ul", { class: "signatures" }, order.attempts.map((attempt) => h("li", {},
    h("code", { class: "signature" }, attempt.signature),
    h("span", { class: "actions" },
      h("span", { class: "muted small" }, outcomes[attempt.outcome] ?? "may still land"),
      copyButton(attempt.signature, "signature"),
      h("a", { href: attempt.explorerUrl, target: "_blank", rel: "noopener noreferrer", "data-key": `explorer ${attempt.n}` }, "Open in explorer"))))));
}

function receipt(json) {
  const text = JSON.stringify(json, null, 2);
  return h("details", { "data-key": "receipt", class: "receipt" },
    h("summary", { "data-key": "receipt summary" }, "Receipt"),
    copyButton(text, "receipt"),
    h("pre", { tabindex: "0", "aria-label": "Receipt as JSON" }, text));
}
