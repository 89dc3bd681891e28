// Explain: what a stable code means for a person, and what can be done. Sentences of the daemon come beside it.

const CODES = {
  invalid_request: ["The order does not say something that can be done.", "Check the marked field."],
  unknown_token: ["This token is not traded here.", "Choose one of the listed tokens."],
  invalid_amount: ["The amount cannot be used.", "Give a positive number with no more decimals than the token has."],
  invalid_slippage: ["The slippage is out of range.", "Give a percentage within the daemon's limit."],
  cap_exceeded: [
    "The order is above what may be spent.",
    "Trade a smaller amount, wait until the hour has passed, or have the cap raised.",
  ],
  forbidden: ["This key may look, but not trade.", "Use a key that may trade."],
  unauthorized: ["The daemon wants a key.", "Enter its API key."],
  conflict: ["It is too late for that.", "The order is signed or has ended; look at its timeline."],
  idempotency_conflict: [
    "This request was already used for another order.",
    "Send the order again: it gets a request of its own.",
  ],
  no_route: ["No venue can execute this pair.", "Choose another pair, or try again when a pool exists."],
  insufficient_liquidity: ["The pools are too small for this amount.", "Trade a smaller amount, or split it."],
  insufficient_funds: [
    "No wallet can pay the amount, its fees and rent.",
    "Fund a wallet, or wait until open orders release what they reserve.",
  ],
  slippage_exceeded: [
    "The price moved past your bound, so nothing was swapped.",
    "Ask for a new quote, and allow more slippage if the market is moving.",
  ],
  expired: [
    "It ran out of time before a block took it. That is proven, so nothing was swapped.",
    "Send the order again, with a later deadline; without one, raise the priority fee if this happens often.",
  ],
  transaction_failed: [
    "The transaction landed with an error. Nothing was swapped, the network fee is spent.",
    "Read the reason below before you try again.",
  ],
  chain_reset: [
    "The local chain that held the signature is gone.",
    "Nothing to do: an embedded chain forgets everything when it stops. Place the order again.",
  ],
  rate_limited: ["Too many requests.", "Wait a moment and try again."],
  overloaded: ["The daemon is as busy as it allows itself to be.", "Wait a moment and try again."],
  paused: ["Trading is stopped by the operator: nothing new is signed.", "Wait until it is resumed."],
  queue_full: ["The daemon has as many orders waiting as it allows.", "Wait until some have ended."],
  venue_unavailable: ["A venue could not be read.", "Try again in a moment."],
  rpc_unavailable: ["No RPC endpoint answered.", "Try again later, or give the daemon another endpoint."],
  store_unavailable: [
    "The daemon's store did not answer. Nobody knows yet whether the order was stored.",
    "Send it again: with the same request it is one order either way.",
  ],
  internal: ["Something went wrong inside the daemon.", "Look at its log, by the request's id."],
};

/** What happened and what to do, for an error code. Unknown codes are shown as they are. */
export function explain(code) {
  const [what, advice] = CODES[code] ?? [`The daemon says ${code}.`, "See the reason below."];
  return { what, advice };
}

/** The form's field that an error is about, or null. */
export function fieldOf(code, message) {
  if (code === "invalid_slippage") return "slippage";
  if (code === "invalid_amount" || code === "insufficient_liquidity" || code === "cap_exceeded") return "amount";
  if (message.includes("`wallet`")) return "wallet";
  if (message.includes("`expires")) return "expiry";
  if (message.includes("`tokenOut`")) return "token-out";
  if (message.includes("`tokenIn`") || code === "unknown_token") return "token-in";
  if (code === "no_route") return "token-out";
  return null;
}

/** A sentence of the daemon without its code marks. */
export const plain = (sentence) => sentence.replaceAll("`", "");
