// Timeline: an order's events in sentences, with the time each took after the one before it.

import { h } from "./dom.js";
import { clock, count, decimal, duration, named, short } from "./format.js";
import { explain, plain } from "./explain.js";

/** The events as a list. `amounts` turns base units into words with the order's tokens. */
export function timeline(history, amounts) {
  return h(
    "ol",
    { class: "timeline" },
    history.map((event, n) => {
      const before = history[n - 1];
      const after = before ? Date.parse(event.at) - Date.parse(before.at) : null;
      return h(
        "li",
        { "data-seq": event.seq, "data-event": event.event },
        h("span", { class: "when num" }, clock(event.at), h("small", {}, after === null ? "" : `+${duration(after)}`)),
        h("span", { class: "what" }, h("strong", {}, title(event)), sentence(event, amounts)),
      );
    }),
  );
}

const TITLES = {
  created: "Accepted and stored",
  claimed: "Taken up",
  routed: "Routed",
  requoted: "Asked again",
  signed: "Signed",
  sent: "Sent",
  outcome_unknown: "Outcome unknown",
  expired: "Expired",
  landed: "Landed",
  settled: "Settled",
  rejected: "Rejected by the chain",
  paper_filled: "Filled on paper",
  retrying: "Trying again",
  failed: "Failed",
  chain_reset: "Chain gone",
  set_aside: "Set aside",
  replayed: "Taken up again",
  cancelled: "Cancelled",
};

const title = (event) => TITLES[event.event] ?? event.event.replaceAll("_", " ");

function sentence(event, { paid, received, limit }) {
  const moved = (fill) => `${paid(fill.amountIn)} became ${received(fill.amountOut)}.`;
  const text = {
    created: () => "It survives a crash from here on.",
    claimed: () => "A worker holds it.",
    routed: () => `${named(event.route.reason)}. Bound: ${limit(event.limit)}.`,
    requoted: () => `${event.reason}.`,
    signed: () =>
      `Attempt ${event.attempt.n}, good until block height ${count(event.attempt.lastValidBlockHeight)}. Stored before it is sent.`,
    sent: () => "A node took the bytes.",
    outcome_unknown: () => `${event.reason}. The chain is asked until there is an answer.`,
    expired: () =>
      `Finalized height ${count(event.proof.finalizedHeight)} is past ${count(event.proof.lastValidBlockHeight)} and ${short(event.proof.signature)} is not on the chain: it can never land.`,
    landed: () => `In slot ${count(event.landing.slot)}. ${event.fill ? moved(event.fill) : ""}`,
    settled: () => `${moved(event.fill)} Read back from the chain.`,
    rejected: () => `In slot ${count(event.landing.slot)}. ${event.failure.reason}`,
    paper_filled: () => `Simulated: nothing was signed or sent. ${moved(event.fill)}`,
    retrying: () => `${explain(event.failure.code).what} Rests ${duration(event.delayMs)}.`,
    failed: () => `${explain(event.failure.code).what}`,
    chain_reset: () => "The local chain that held the signature no longer exists.",
    set_aside: () => `${event.reason}.`,
    replayed: () => "By hand.",
    cancelled: () => "Called off before anything was signed.",
  }[event.event];
  return h("span", {}, text ? plain(text()) : "");
}

/** Words for an order's amounts. */
export function words(order, model) {
  const paid = (base) => `${decimal(model.whole(base, order.tokenIn), 9)} ${order.tokenIn}`;
  const received = (base) => `${decimal(model.whole(base, order.tokenOut), 9)} ${order.tokenOut}`;
  const limit = (base) => (order.mode === "exact_in" ? `at least ${received(base)}` : `at most ${paid(base)}`);
  return { paid, received, limit };
}
