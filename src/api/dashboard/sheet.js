// Sheet: what is shown of one order: its state, amounts, signatures, quotes, timeline and receipt.

import { key } from "./api.js";
import { copyButton, h } from "./dom.js";
import { clock, count, day, decimal, duration, moment, percent, remaining, short, venue } from "./format.js";
import { explain, plain } from "./explain.js";
import { hasEnded, runsOut } from "./model.js";
import { quotesTable } from "./quotes.js";
import { timeline, words } from "./timeline.js";

const UNKNOWN =
  "Nobody can say yet what became of the signature. The chain is asked until there is an answer; nothing is signed again before.";
const AGAIN = "It is tried again by itself until it goes through or is refused for good; its bound and its deadline hold.";
const SET_ASIDE = "Set aside: nobody drives this order until it is taken up again by hand.";
const OUTCOMES = {
  landed: "landed",
  rejected: "landed with an error",
  expired: "expired, proven",
  chain_reset: "its chain is gone",
};

/** The parts of an order, in the order in which one wants to know them. `action` is a button beside its state. */
export function sheet(order, receipt, model, action) {
  const amounts = words(order, model);
  const routed = order.history.findLast((event) => event.event === "routed");
  return [
    h(
      "p",
      { class: "state", "data-status": order.status },
      h("b", {}, order.simulated ? `${order.status}, simulated` : order.status),
      h("span", { class: "muted small" }, `${clock(order.createdAt)}, ${day(order.createdAt)}`),
      action,
    ),
    order.failure && failure(order.failure),
    order.unknown && warning(UNKNOWN, order.unknown.reason, order.unknown.since),
    order.setAside && warning(SET_ASIDE, order.setAside.reason, order.setAside.at),
    retrying(order),
    facts(order, receipt, amounts),
    signatures(order),
    routed &&
      section(
        "Quotes",
        quotesTable(routed.route.quotes, {
          side: order.mode === "exact_in" ? "amountOut" : "amountIn",
          words: order.mode === "exact_in" ? amounts.received : amounts.paid,
          chosen: routed.route.chosen,
        }),
      ),
    section("Timeline", timeline(order.history, amounts)),
    receipt && asJson(receipt),
  ];
}

const section = (title, ...children) => h("section", {}, h("h3", {}, title), children);

function failure({ code, reason }) {
  const { what, advice } = explain(code);
  return h(
    "div",
    { class: "failure" },
    h("p", {}, h("b", {}, what)),
    h("p", {}, advice),
    h("p", { class: "small" }, h("code", {}, code), ": ", plain(reason)),
  );
}

const warning = (what, reason, since) =>
  h(
    "div",
    { class: "failure warning" },
    h("p", {}, what),
    h("p", { class: "small" }, since && `Since ${clock(since)}: `, plain(reason)),
  );

/** What the daemon waits for when its last try did not go through; not what it has waited for. */
function retrying(order) {
  const last = order.history.at(-1);
  if (hasEnded(order) || last?.event !== "retrying") return null;
  const { code, reason } = last.failure;
  return warning(`${explain(code).what} ${AGAIN}`, reason, last.at);
}

function facts(order, receipt, { paid, received }) {
  const rows = [];
  const fact = (name, ...value) => rows.push(h("div", {}, h("dt", {}, name), h("dd", {}, value)));
  const number = (text) => h("span", { class: "num" }, text);
  const moved = order.filled ?? order.quoted;
  // The exact side is known from the beginning, the other one from the quote on, and for sure from the fill on.
  const exactly =
    order.mode === "exact_in" ? { pays: order.amountIn, gets: null } : { pays: null, gets: order.amountOut };
  const said = (exact, moved, words) =>
    exact ? words(exact.base) : moved ? `${order.filled ? "" : "≈ "}${words(moved.base)}` : "not decided";
  fact("Pays", number(said(exactly.pays, moved?.amountIn, paid)));
  fact(order.filled ? "Received" : "Receives", number(said(exactly.gets, moved?.amountOut, received)));
  if (order.minOut) fact("Bound", number(`at least ${received(order.minOut.base)}`));
  if (order.maxIn) fact("Bound", number(`at most ${paid(order.maxIn.base)}`));
  fact("Slippage", number(`${percent(order.slippageBps)} allowed`), slipped(receipt));
  if (order.executionPrice)
    fact("Price", number(`${decimal(order.executionPrice, 8)} ${order.tokenOut} per ${order.tokenIn}`));
  if (order.venue) fact("Venue", venue(order.venue), order.simulated && h("span", { class: "tag mock" }, "mock"));
  if (order.networkFee) fact("Network fee", number(`${order.networkFee.ui} SOL`));
  if (order.slot) fact("Slot", number(count(order.slot)));
  if (Number.isFinite(receipt?.timings?.totalMs)) fact("Took", number(duration(receipt.timings.totalMs)));
  if (order.wallet)
    fact("Wallet", h("code", { title: order.wallet }, short(order.wallet)), copyButton(order.wallet, "wallet address"));
  if (order.expiresAt) fact("Deadline", number(moment(order.expiresAt)), left(order));
  fact(
    "Order",
    h("a", { href: `#${order.id}`, title: `${order.id}: a link to this order`, "data-key": "order link" }, h("code", {}, short(order.id))),
    copyButton(order.id, "order id"),
  );
  return h("dl", { class: "pairs" }, rows);
}

/** What the deadline still means. */
function left(order) {
  if (hasEnded(order)) return null;
  const milliseconds = Date.parse(order.expiresAt) - Date.now();
  const words = !runsOut(order)
    ? "signed in time, followed to its end"
    : milliseconds > 0
      ? `${remaining(milliseconds)} left to be signed`
      : "passed: it ends without a swap";
  return h("span", { class: "num muted" }, `, ${words}`);
}

/** How far the fill was from the quote it was routed by. */
function slipped(receipt) {
  const bps = receipt?.realisedSlippageBps;
  if (bps === null || bps === undefined) return null;
  const words =
    bps > 0
      ? `${percent(bps)} worse than quoted`
      : bps < 0
        ? `${percent(-bps)} better than quoted`
        : "filled as quoted";
  return h("span", { class: "num muted" }, `, ${words}`);
}

function signatures(order) {
  if (order.attempts.length === 0) return null;
  return section(
    order.attempts.length > 1 ? "Signatures" : "Signature",
    h("ul", { class: "signatures" }, order.attempts.map(signature)),
  );
}

function signature(attempt) {
  const link = {
    href: attempt.explorerUrl,
    target: "_blank",
    rel: "noopener noreferrer",
    "data-key": `explorer ${attempt.n}`,
  };
  return h(
    "li",
    {},
    h("code", { class: "signature" }, attempt.signature),
    h(
      "span",
      { class: "actions" },
      h("span", { class: "muted small" }, OUTCOMES[attempt.outcome] ?? "may still land"),
      copyButton(attempt.signature, "signature"),
      h("a", link, "Open in explorer"),
    ),
  );
}

function asJson(receipt) {
  const text = JSON.stringify(receipt, null, 2);
  return h(
    "details",
    { "data-key": "receipt", class: "receipt" },
    h("summary", { "data-key": "receipt summary" }, "Receipt"),
    h("span", { class: "actions" }, receiptLink(receipt.id, text), copyButton(text, "receipt")),
    h("pre", { tabindex: "0", "aria-label": "Receipt as JSON" }, text),
  );
}

/** Where the receipt is. A link cannot carry the key where one is demanded: there it saves what the page has read. */
function receiptLink(id, text) {
  if (!key.read()) {
    const link = { href: `/v1/orders/${id}/receipt`, target: "_blank", rel: "noopener" };
    return h("a", { ...link, "data-key": "receipt link" }, "Open receipt");
  }
  const data = `data:application/json;charset=utf-8,${encodeURIComponent(text)}`;
  return h("a", { href: data, download: `receipt-${id}.json`, "data-key": "receipt link" }, "Save receipt");
}
