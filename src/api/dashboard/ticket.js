// Ticket: the form that quotes while one types and places the order.
//
// Owns what is in the fields and where an error is shown. A quote that is no longer wanted is called off; what it would
// have said is never shown beside other input.

import { NoAnswer, ask, query } from "./api.js";
import { announce, byId, h, redraw, write } from "./dom.js";
import { basisPoints, decimal, milliseconds, percent, ui } from "./format.js";
import { explain, fieldOf, plain } from "./explain.js";
import { quotesTable, viewed } from "./quotes.js";
import { rehearsed } from "./rehearsal.js";
import { submit } from "./submit.js";

/** After the last key before a quote is asked for. */
const DEBOUNCE = 250;
/** A quote that is shown is asked for again after this. */
const REFRESH = 10_000;
const UNCLEAR =
  "It is not known whether it took the order. Press Swap again: with the same key it is one order either way.";
const FIELDS = ["token-in", "token-out", "amount", "slippage", "wallet", "expiry"];
/** The page itself sets thousands apart with commas: read as a point, one would trade a thousandth. */
const COMMA = "A comma can stand for thousands or for decimals. Write 1500, or 1.5 with a point.";
/** Seven days, the daemon's limit. */
const LONGEST_EXPIRY = 604_800_000;

export class Ticket {
  #form = byId("ticket");
  #timer = 0;
  #asking = null;
  #sending = false;
  /** Whether the errors that are shown are the daemon's to an order: a new quote does not take them away. */
  #orderRefused = false;
  #highest = 1_000;

  /** `placed(order)` is called with an order that was accepted. */
  constructor(placed) {
    this.placed = placed;
    this.#form.addEventListener("input", () => this.#edited());
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    byId("token-in").addEventListener("change", () => this.#keepApart("token-out", "token-in"));
    byId("token-out").addEventListener("change", () => this.#keepApart("token-in", "token-out"));
    byId("turn").addEventListener("click", () => {
      const [pay, receive] = [byId("token-in"), byId("token-out")];
      [pay.value, receive.value] = [receive.value, pay.value];
      this.#edited();
    });
    setInterval(() => {
      if (!document.hidden && this.#amount() && !this.#asking) this.#quote();
    }, REFRESH);
  }

  useTokens(tokens) {
    const options = () => tokens.map(({ symbol, mint }) => h("option", { value: symbol, title: mint }, symbol));
    const [pay, receive] = [byId("token-in"), byId("token-out")];
    const [before, after] = [pay.value, receive.value];
    pay.replaceChildren(...options());
    receive.replaceChildren(...options());
    pay.value = before || tokens[0]?.symbol;
    receive.value = after || tokens[1]?.symbol;
    this.#label();
  }

  useLimits({ defaultSlippageBps, maxSlippageBps }) {
    this.#highest = maxSlippageBps;
    byId("slippage").value ||= ui(String(defaultSlippageBps), 2);
  }

  useWallets(wallets) {
    const select = byId("wallet");
    const chosen = select.value;
    const known = [...select.options].map((option) => option.value).join();
    if (known === ["", ...wallets.map((wallet) => wallet.address)].join()) return;
    select.replaceChildren(
      h("option", { value: "" }, "Least busy"),
      ...wallets.map(({ address, name }) => h("option", { value: address }, name || address)),
    );
    select.value = chosen;
  }

  #amount() {
    return byId("amount").value.trim();
  }

  #exactIn() {
    return new FormData(this.#form).get("mode") === "exact_in";
  }

  #isDryRun() {
    return byId("dry-run").checked;
  }

  /** Two selects never name the same token: the other one moves on. */
  #keepApart(other, chosen) {
    const [moves, stays] = [byId(other), byId(chosen)];
    if (moves.value !== stays.value) return;
    moves.value = [...moves.options].find((option) => option.value !== stays.value)?.value ?? "";
    this.#edited();
  }

  #label() {
    const exactIn = this.#exactIn();
    const unit = byId(exactIn ? "token-in" : "token-out").value;
    write(byId("amount-label"), exactIn ? "Amount to pay" : "Amount to receive");
    write(byId("amount-unit"), unit);
    const amount = this.#amount();
    const [pay, receive] = [byId("token-in").value, byId("token-out").value];
    const verb = this.#isDryRun() ? "Dry run: swap" : "Swap";
    const words = exactIn ? `${verb} ${amount} ${pay} for ${receive}` : `${verb} ${pay} for ${amount} ${receive}`;
    write(byId("submit"), amount ? words : verb);
  }

  #edited() {
    this.#clearErrors();
    this.#label();
    this.#asking?.abort();
    this.#asking = null;
    clearTimeout(this.#timer);
    write(byId("submitted"), "");
    byId("rehearsal").hidden = true;
    if (!this.#amount())
      return redraw(byId("quote"), h("p", { class: "muted" }, "Type an amount to see what every venue gives."));
    byId("quote").toggleAttribute("data-stale", true);
    this.#timer = setTimeout(() => this.#quote(true), DEBOUNCE);
  }

  /** The fields of a quote and of an order, or null with the error at its field. */
  #read() {
    if (this.#amount().includes(",")) {
      this.#error("amount", COMMA);
      return null;
    }
    const slippageBps = basisPoints(byId("slippage").value);
    if (slippageBps === null || slippageBps > this.#highest) {
      this.#error("slippage", `Give a percentage from 0 to ${percent(this.#highest)} with at most two decimals.`);
      return null;
    }
    return {
      tokenIn: byId("token-in").value,
      tokenOut: byId("token-out").value,
      [this.#exactIn() ? "amountIn" : "amountOut"]: this.#amount(),
      slippageBps,
    };
  }

  /** Asks; what was typed for is said aloud, a refreshed number is not. */
  async #quote(aloud = false) {
    if (!this.#orderRefused) this.#clearErrors();
    const fields = this.#read();
    if (!fields) return redraw(byId("quote"));
    const asking = new AbortController();
    this.#asking = asking;
    try {
      const quote = await ask(`/v1/quote?${query(fields)}`, { signal: asking.signal });
      if (this.#asking !== asking) return;
      redraw(byId("quote"), quoted(quote));
      if (aloud) announce(byId("quote").querySelector(".headline").textContent);
    } catch (error) {
      if (this.#asking !== asking) return;
      redraw(byId("quote"));
      this.#refused(error);
    } finally {
      if (this.#asking === asking) {
        this.#asking = null;
        byId("quote").removeAttribute("data-stale");
      }
    }
  }

  async #submit() {
    if (this.#sending) return;
    this.#clearErrors();
    if (!this.#amount()) {
      this.#error("amount", "Give an amount first.");
      return byId("amount").focus();
    }
    const fields = this.#read();
    const order = fields && this.#choices(fields);
    if (!order) return this.#form.querySelector('[aria-invalid="true"]').focus();
    const dryRun = this.#isDryRun();
    this.#busy(true);
    byId("rehearsal").hidden = true;
    try {
      if (dryRun) return await this.#rehearse(order);
      const placed = await submit(order);
      write(byId("submitted"), "Order placed. Watch it under Orders.");
      this.placed(placed);
    } catch (error) {
      this.#orderRefused = true;
      this.#refused(error, { focus: true, unclear: !dryRun });
    } finally {
      this.#busy(false);
    }
  }

  /** A quote's fields with what only an order has, or null with the error at its field. */
  #choices(fields) {
    const order = { ...fields };
    const [wallet, expiry] = [byId("wallet").value, byId("expiry").value.trim()];
    if (wallet) order.wallet = wallet;
    if (!expiry) return order;
    order.expiresInMs = milliseconds(expiry);
    if (order.expiresInMs >= 1 && order.expiresInMs <= LONGEST_EXPIRY) return order;
    this.#error("expiry", "Give seconds without commas, from 0.001 to 604800, which is seven days, or nothing.");
    return null;
  }

  /** Asks what the order would do. It is not stored, so it needs no key of its own: asked twice it is asked twice. */
  async #rehearse(order) {
    const answer = await ask("/v1/orders", { method: "POST", body: JSON.stringify({ ...order, dryRun: true }) });
    redraw(byId("rehearsal"), rehearsed(answer));
    byId("rehearsal").hidden = false;
    announce(byId("rehearsal").querySelector(".headline").textContent);
    byId("rehearsal").scrollIntoView({ block: "nearest" });
  }

  #busy(sending) {
    this.#sending = sending;
    // Not `disabled`: that would throw the keyboard's focus away.
    byId("submit").setAttribute("aria-disabled", String(sending));
    this.#form.setAttribute("aria-busy", String(sending));
  }

  /** Shows an error at its field, or under the form when it belongs to none. `unclear`: unanswered, there may be an order. */
  #refused(error, { focus = false, unclear = false } = {}) {
    if (error instanceof NoAnswer) {
      return this.#error(null, unclear ? `${error.message} ${UNCLEAR}` : error.message);
    }
    const { what, advice } = explain(error.code);
    const field = fieldOf(error.code ?? "", error.message);
    this.#error(field, `${what} ${advice} ${sentence(plain(error.message))}`);
    if (focus && field) byId(field).focus();
  }

  #error(field, text) {
    const place = byId(field ? `${field}-error` : "form-error");
    place.textContent = text;
    place.hidden = false;
    if (field) byId(field).setAttribute("aria-invalid", "true");
  }

  #clearErrors() {
    this.#orderRefused = false;
    for (const field of FIELDS) {
      byId(field).removeAttribute("aria-invalid");
      byId(`${field}-error`).hidden = true;
    }
    byId("form-error").hidden = true;
  }
}

const sentence = (text) => `${text[0]?.toUpperCase() ?? ""}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

/** A quote: the number that matters, its bound, and every venue's answer. */
function quoted(quote) {
  const exactIn = quote.mode === "exact_in";
  const symbol = exactIn ? quote.tokenOut : quote.tokenIn;
  const [moves, bound] = exactIn ? [quote.amountOut, quote.minOut] : [quote.amountIn, quote.maxIn];
  const fact = (name, text) => h("div", {}, h("dt", {}, name), h("dd", { class: "num" }, text));
  return [
    h(
      "p",
      { class: "headline" },
      h("span", { class: "muted" }, exactIn ? "Receive about" : "Pay about"),
      " ",
      h("b", { class: "num" }, decimal(moves.ui, 6)),
      " ",
      symbol,
    ),
    h(
      "dl",
      { class: "pairs" },
      fact(exactIn ? "At least" : "At most", `${decimal(bound.ui, 6)} ${symbol}`),
      fact("Price", `${decimal(quote.price, 6)} ${quote.tokenOut} per ${quote.tokenIn}`),
      fact("Pool fee", `${decimal(quote.tradeFee.ui, 9)} ${quote.tokenIn}`),
    ),
    quotesTable(quote.quotes, { side: exactIn ? "amountOut" : "amountIn", words: viewed(symbol), chosen: quote }),
  ];
}
