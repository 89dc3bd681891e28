// Quotes: what each venue answered, side by side, with the one that is taken and the ones that only quote.

import { h } from "./dom.js";
import { decimal, percent, venue } from "./format.js";
import { explain } from "./explain.js";

/**
 * A table of answers: `[{venue, latencyMs, quote, refusal}]`. `side` is the amount that differs ("amountOut" or
 * "amountIn"), `words` writes it, `chosen` is the quote that is taken.
 */
export function quotesTable(quotes, { side, words, chosen }) {
  return h(
    "table",
    { class: "quotes" },
    h("caption", { class: "hidden" }, "What each venue quotes"),
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "col" }, "Venue"),
        h("th", { scope: "col", class: "right" }, side === "amountOut" ? "Receive" : "Pay"),
      ),
    ),
    h(
      "tbody",
      {},
      quotes.map((answer) => row(answer, side, words, chosen)),
    ),
  );
}

function row({ venue: id, latencyMs, quote, refusal }, side, words, chosen) {
  const taken = quote?.executable && quote.pool === chosen?.pool && id === chosen?.venue;
  const head = h(
    "th",
    { scope: "row" },
    venue(id),
    h("small", {}, tag(quote, taken), h("span", { class: "num" }, `${latencyMs} ms`)),
  );
  if (!quote) {
    const why = refusal ? explain(refusal.code).what : "No answer.";
    return h("tr", {}, head, h("td", { class: "muted", title: refusal?.reason }, why));
  }
  return h(
    "tr",
    { class: taken ? "taken" : null },
    head,
    h("td", { class: "num right" }, words(quote[side]), h("small", {}, `${percent(quote.priceImpactBps)} impact`)),
  );
}

function tag(quote, taken) {
  if (!quote) return null;
  if (taken) return h("span", { class: "tag good" }, "taken");
  return quote.executable
    ? h("span", { class: "tag" }, "executable")
    : h("span", { class: "tag mock" }, "mock, quote only");
}

/** A quote's amounts as `/v1/quote` writes them. */
export const viewed = (symbol) => (amount) => `${decimal(amount.ui, 6)} ${symbol}`;
