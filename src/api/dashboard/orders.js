// Orders: the list of the newest orders, each moving through its stages.
//
// A row is one button: it can be reached with Tab, the arrow keys go from row to row. Rows are kept by order and
// only changed ones are written again, at most once per frame, so thousands of events cost one drawing.

import { batched, byId, h, write } from "./dom.js";
import { clock, decimal, duration, remaining, venue } from "./format.js";
import { hasEnded, runsOut } from "./model.js";

/** Rows that are shown. */
const MOST_ROWS = 150;
const STEPS = ["pending", "routing", "building", "submitted", "confirmed"];
const SHOWN = {
  all: () => true,
  open: (order) => !hasEnded(order),
  confirmed: (order) => order.status === "confirmed",
  failed: (order) => order.status === "failed" || order.status === "cancelled",
};

export class Orders {
  #rows = new Map();
  #model;
  #chosen = null;
  #list = byId("rows");

  /** `choose(id)` is called when a row is pressed. */
  constructor(model, choose) {
    this.#model = model;
    this.#list.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (button) choose(button.dataset.id);
    });
    this.#list.addEventListener("keydown", (event) => this.#walk(event));
    byId("filter").addEventListener("change", () => this.draw());
    // A row that is working tells how long; nothing else changes by itself.
    setInterval(() => {
      if (!document.hidden && this.#anyOpen()) this.draw();
    }, 1_000);
  }

  draw = batched(() => this.#draw());

  /** Marks a row as the one whose details are shown. */
  choose(id) {
    this.#chosen = id;
    this.draw();
  }

  focus(id) {
    (this.#rows.get(id)?.button ?? byId("orders")).focus();
  }

  #anyOpen() {
    return [...this.#rows.keys()].some((id) => {
      const order = this.#model.order(id);
      return order && !hasEnded(order);
    });
  }

  #draw() {
    const changed = this.#model.takeChanged();
    const show = SHOWN[byId("filter").querySelector(":checked").value];
    const orders = this.#model.newest().filter(show).slice(0, MOST_ROWS);
    const wanted = new Set(orders.map((order) => order.id));
    for (const [id, row] of this.#rows) {
      if (wanted.has(id)) continue;
      row.item.remove();
      this.#rows.delete(id);
    }
    let next = this.#list.firstElementChild;
    for (const order of orders) {
      let row = this.#rows.get(order.id);
      if (!row) {
        row = makeRow(order.id);
        this.#rows.set(order.id, row);
        writeRow(row, order);
      } else if (changed.has(order.id) || !hasEnded(order)) {
        writeRow(row, order);
      }
      if (row.item === next) next = next.nextElementSibling;
      else this.#list.insertBefore(row.item, next);
      row.button.setAttribute("aria-current", String(order.id === this.#chosen));
    }
    byId("no-rows").hidden = orders.length > 0;
    this.#oneTabStop();
  }

  /** Only one row is in the tab order; the arrow keys reach the others. */
  #oneTabStop() {
    const buttons = this.#buttons();
    const stop =
      buttons.find((button) => button === document.activeElement) ??
      buttons.find((button) => button.dataset.id === this.#chosen) ??
      buttons[0];
    for (const button of buttons) button.tabIndex = button === stop ? 0 : -1;
  }

  #buttons() {
    return [...this.#list.querySelectorAll("button")];
  }

  #walk(event) {
    const buttons = this.#buttons();
    const at = buttons.indexOf(document.activeElement);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || at < 0 || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }
}

function makeRow(id) {
  const part = (name) => h("span", { class: name });
  const says = (text) => h("span", { class: "hidden" }, text);
  const parts = {
    time: part("time num"),
    pays: part("pays num"),
    gets: part("gets num"),
    word: part("word"),
    venue: part("venue"),
    took: part("took num"),
  };
  const track = h(
    "span",
    { class: "track", "aria-hidden": "true" },
    STEPS.map(() => h("i")),
  );
  const button = h(
    "button",
    { type: "button", class: "row", "data-id": id, tabindex: "-1" },
    parts.time,
    says(" pays "),
    parts.pays,
    says(" receives "),
    parts.gets,
    says(" "),
    h("span", { class: "stage" }, track, parts.word),
    parts.venue,
    parts.took,
  );
  return { item: h("li", {}, button), button, parts };
}

function writeRow({ button, parts }, order) {
  button.dataset.status = attention(order) ?? order.status;
  button.dataset.seq = order.seq;
  button.dataset.step = STEPS.indexOf(order.status);
  write(parts.time, clock(order.createdAt));
  amount(parts.pays, order.pays, order.tokenIn, order.filled || order.mode === "exact_in");
  amount(parts.gets, order.gets, order.tokenOut, order.filled || order.mode === "exact_out");
  write(parts.word, word(order));
  parts.word.title = parts.word.textContent;
  write(parts.venue, order.venue ? venue(order.venue) : "");
  const end = hasEnded(order) ? (order.marks.landed ?? order.updatedAt) : Date.now();
  write(parts.took, end ? duration(Math.max(0, end - order.createdAt)) : "");
}

/** Why a person may want to look at an order that is still open; null where all is as it should be. */
function attention(order) {
  if (hasEnded(order)) return null;
  return order.setAside ? "set-aside" : order.unknown ? "unknown" : order.retrying ? "retrying" : null;
}

const WORDS = { "set-aside": "set aside", unknown: "outcome unknown", retrying: "trying again" };

function word(order) {
  const said = WORDS[attention(order)] ?? (order.simulated ? `${order.status}, simulated` : order.status);
  if (!runsOut(order)) return said;
  const left = order.expiresAt - Date.now();
  return left > 0 ? `${said}, ${remaining(left)} left` : `${said}, out of time`;
}

/** What is only quoted is marked as about so much. */
function amount(element, text, symbol, exact) {
  const number = text === undefined ? "–" : `${exact ? "" : "≈ "}${decimal(text, 4)}`;
  if (element.textContent === `${number} ${symbol}`) return;
  element.replaceChildren(number, " ", h("b", {}, symbol));
  element.title = text === undefined ? "" : `${text} ${symbol}`;
}
