// Rehearsal: what a dry run says an order would do now.

import { h } from "./dom.js";
import { count, decimal, short } from "./format.js";
import { explain, plain } from "./explain.js";

/** The answer of a dry run, as parts: what would come of it first, then what it would cost. */
export function rehearsed(answer) {
  const { simulation, funds, fees, wallet } = answer;
  const fact = (name, text, title) => h("div", {}, h("dt", {}, name), h("dd", { class: "num", title }, text));
  const bound = answer.minOut
    ? fact("At least", `${decimal(answer.minOut.ui, 9)} ${answer.tokenOut}`)
    : fact("At most", `${decimal(answer.maxIn.ui, 9)} ${answer.tokenIn}`);
  return [
    h("p", { class: "headline" }, headline(answer)),
    simulation?.failure && reason(simulation.failure),
    h(
      "dl",
      { class: "pairs" },
      bound,
      wallet && fact("Wallet", short(wallet), wallet),
      fees && fact("Network fee", `${fees.total.ui} SOL`, `${fees.base.ui} SOL and ${fees.priority.ui} SOL of priority`),
      funds && fact("SOL needed", needed(funds.solNeeded, funds.solFree)),
      funds?.tokenNeeded && fact(`${answer.tokenIn} needed`, needed(funds.tokenNeeded, funds.tokenFree)),
      simulation?.computeUnits &&
        fact("Compute units", `${count(simulation.computeUnits)} of ${count(simulation.computeUnitLimit)}`),
    ),
    h("p", { class: "muted small" }, "A dry run: nothing was stored, signed or sent."),
  ];
}

const needed = (amount, free) => `${decimal(amount.ui, 4)} of ${decimal(free.ui, 4)} free`;

function headline({ mode, simulation, tokenIn, tokenOut, amountIn, amountOut }) {
  if (simulation && !simulation.ok) return h("b", { class: "bad" }, "It would fail now");
  const [does, moves, symbol] =
    mode === "exact_in"
      ? ["receive", simulation?.received ?? amountOut, tokenOut]
      : ["pay", simulation?.paid ?? amountIn, tokenIn];
  const words = h("span", { class: "muted" }, `Would ${does} `);
  return [words, h("b", { class: "num" }, decimal(moves.ui, 9)), ` ${symbol}`];
}

function reason(failure) {
  const { what, advice } = explain(failure.code);
  return h("p", {}, `${what} ${advice} `, h("span", { class: "muted small" }, plain(failure.reason)));
}
