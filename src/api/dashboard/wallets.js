// Wallets: what each has, and what of it open orders have reserved.

import { ask } from "./api.js";
import { byId, copyButton, h, redraw, write } from "./dom.js";
import { count, decimal, short } from "./format.js";

const EVERY = 15_000;
/** After an order ended: balances moved, and the daemon remembers its last reading for a moment. */
const SOON = 2_500;

export class Wallets {
  #soon = 0;

  /** `known(wallets)` is called with every reading. */
  constructor(known) {
    this.known = known;
    setInterval(() => {
      if (!document.hidden) this.read();
    }, EVERY);
  }

  /** Something moved: reads in a moment, once for however many orders. */
  moved() {
    this.#soon ||= setTimeout(() => {
      this.#soon = 0;
      if (!document.hidden) this.read();
    }, SOON);
  }

  async read() {
    try {
      const { wallets, reason } = await ask("/v1/wallets");
      if (wallets === null) return this.#say(`Not known here: ${reason}.`);
      if (wallets.length === 0) return this.#say("This daemon has no wallet.");
      this.known(wallets);
      write(byId("wallets-slot"), `as of slot ${count(Math.min(...wallets.map((wallet) => wallet.asOfSlot)))}`);
      redraw(byId("wallets"), list(wallets));
    } catch (error) {
      if (error.status === 404) this.#say("This daemon does not tell its wallets.");
      else write(byId("wallets-slot"), "balances cannot be read now");
    }
  }

  #say(text) {
    redraw(byId("wallets"), h("p", { class: "empty" }, text));
  }
}

function list(wallets) {
  return h(
    "ul",
    { class: "purses" },
    wallets.map((wallet) =>
      h(
        "li",
        {},
        h(
          "div",
          { class: "who" },
          h("b", {}, wallet.name),
          h("code", { title: wallet.address }, short(wallet.address)),
          copyButton(wallet.address, `address of ${wallet.name}`),
        ),
        h(
          "dl",
          {},
          balance("SOL", wallet.sol),
          wallet.tokens.map((token) => balance(token.symbol, token)),
        ),
      ),
    ),
  );
}

function balance(symbol, { balance, reserved }) {
  return h(
    "div",
    {},
    h("dt", {}, symbol),
    h(
      "dd",
      { class: "num", title: balance.ui },
      decimal(balance.ui, 2),
      reserved.base !== "0" && h("small", { class: "reserved" }, `${decimal(reserved.ui, 2)} reserved`),
    ),
  );
}
