// Dead letters: the orders that are set aside and wait for a person, each with its cause and the way back.

import { ask, query } from "./api.js";
import { announce, byId, h, redraw, write } from "./dom.js";
import { moment, short } from "./format.js";
import { explain, plain } from "./explain.js";

const PAGE = 20;
/** After an event that may have changed the list: events come in bursts. */
const SOON = 150;
const CAUSES = {
  panicked: "The task that drove it crashed.",
  internal: "A step ran into an error of the daemon itself.",
  unreadable: "What is stored of it cannot be read.",
  stuck: "It was taken up again and again, and each time the process died before it moved.",
};
const MOVED = new Set(["set_aside", "replayed"]);

export class DeadLetters {
  #pages = 1;
  #count = 0;
  #soon = 0;

  /** `show(id)` is called when a person wants to see the order. */
  constructor(show) {
    this.show = show;
    byId("more-dead-letters").addEventListener("click", () => {
      this.#pages += 1;
      this.read();
    });
  }

  /** Takes in how many there are, as the daemon's readiness says. */
  counted(number) {
    if (number === undefined || number === null || number === this.#count) return;
    this.#count = number;
    this.#later();
  }

  heard(event) {
    if (MOVED.has(event.event)) this.#later();
  }

  #later() {
    this.#soon ||= setTimeout(() => {
      this.#soon = 0;
      this.read();
    }, SOON);
  }

  /** Reads as many pages as a person has opened. */
  async read() {
    const letters = [];
    let cursor = "";
    try {
      for (let n = 0; n < this.#pages && cursor !== null; n += 1) {
        const page = await ask(`/v1/dead-letters?${query({ limit: PAGE, cursor })}`);
        letters.push(...page.deadLetters);
        cursor = page.nextCursor;
      }
    } catch {
      this.#count = -1; // the next event, or the next count, reads again
      return;
    }
    byId("dead-letters").hidden = letters.length === 0;
    byId("more-dead-letters").hidden = cursor === null;
    redraw(
      byId("dead-letters-list"),
      letters.map((letter) => this.#item(letter)),
    );
  }

  #item({ id, status, tokenIn, tokenOut, txHash, setAside, createdAt }) {
    const name = `${tokenIn} to ${tokenOut}, ${short(id)}`;
    const fate = txHash ? "Its signature may land, or has." : "Nothing of it is signed.";
    return h(
      "li",
      { "data-id": id },
      h(
        "div",
        { class: "who" },
        h("b", {}, `${tokenIn} to ${tokenOut}`),
        h("span", { class: "muted small" }, `${status}, of ${moment(createdAt)}`),
        h("code", { class: "muted", title: id }, short(id)),
      ),
      h(
        "div",
        { class: "why" },
        h("p", {}, CAUSES[setAside.cause] ?? setAside.cause, " ", fate),
        h("p", { class: "small" }, `${moment(setAside.at)}: ${plain(setAside.reason)}`),
      ),
      h(
        "div",
        { class: "acts" },
        h(
          "button",
          { type: "button", class: "quiet", "data-key": `show ${id}`, "aria-label": `Show ${name}`, onclick: () => this.show(id) },
          "Show",
        ),
        h(
          "button",
          {
            type: "button",
            class: "quiet",
            "data-key": `replay ${id}`,
            "aria-label": `Replay ${name}`,
            onclick: (event) => this.#replay(event.currentTarget, id),
          },
          "Replay",
        ),
      ),
    );
  }

  async #replay(button, id) {
    button.disabled = true;
    write(byId("dead-letters-error"), "");
    try {
      await ask(`/v1/dead-letters/${id}/replay`, { method: "POST" });
      announce("Replayed: the order goes on from where it stands.");
    } catch (error) {
      // Somebody else was faster: the list says so by itself.
      if (error.code !== "conflict")
        write(byId("dead-letters-error"), error.code ? sentence(explain(error.code)) : error.message);
    }
    await this.read();
    // What was pressed may be gone, and the focus with it.
    if (document.activeElement !== document.body) return;
    const next = byId("dead-letters").hidden ? byId("orders") : byId("dead-letters-title");
    next.focus({ preventScroll: true });
  }
}

const sentence = ({ what, advice }) => `${what} ${advice}`;
