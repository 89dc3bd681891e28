// Detail: everything about one order. Read from the daemon whenever an event says that something changed, so that what
// is shown is what is stored.

import { ask } from "./api.js";
import { announce, byId, h, redraw, write } from "./dom.js";
import { explain } from "./explain.js";
import { hasEnded, runsOut } from "./model.js";
import { sheet } from "./sheet.js";

/** Between two readings of one order: events come in bursts. */
const REST = 150;
/** After a reading that failed: no event need follow that would ask for another. */
const RETRY = 3_000;
const NOTHING = "Choose an order to see its timeline, quotes, bounds and signature.";
const CANCELLABLE = new Set(["pending", "routing", "building"]);

export class Detail {
  #model;
  #id = null;
  #order = null;
  #receipt = null;
  #reading = false;
  #again = false;
  #retry = 0;

  /** `closed(id)` is called when the user goes back to the list. */
  constructor(model, closed) {
    this.#model = model;
    // A deadline is counted down; everything else changes with an event.
    setInterval(() => {
      if (!document.hidden && this.#order && runsOut(this.#order)) this.#draw();
    }, 1_000);
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
    // The page's address leads to what it shows, and is not another page to go back to.
    history.replaceState(null, "", id === null ? location.pathname : `#${id}`);
    this.#order = this.#receipt = null;
    byId("detail").toggleAttribute("data-chosen", id !== null);
    byId("close-detail").hidden = id === null;
    if (id !== null) return;
    write(byId("detail-title"), "Order");
    redraw(byId("detail-body"), h("p", { class: "empty" }, NOTHING));
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
    clearTimeout(this.#retry);
    try {
      const order = await ask(`/v1/orders/${id}`);
      const receipt = hasEnded(order) ? await ask(`/v1/orders/${id}/receipt`) : null;
      if (id !== this.#id) return void (this.#again = true);
      if (this.#order && this.#order.status !== order.status) {
        announce(`Order ${order.tokenIn} to ${order.tokenOut}: ${order.status}`);
      }
      this.#order = order;
      this.#receipt = receipt;
      this.#draw();
    } catch (error) {
      if (id !== this.#id) return void (this.#again = true);
      const unknown = error.status === 404;
      if (unknown) this.#order = null;
      else this.#retry = setTimeout(() => this.refresh(), RETRY);
      if (this.#order) return;
      const advice = unknown ? "" : " It is read again in a moment.";
      redraw(byId("detail-body"), h("p", { class: "error" }, error.message, advice));
    } finally {
      byId("detail-body").removeAttribute("aria-busy");
    }
  }

  #draw() {
    const order = this.#order;
    write(byId("detail-title"), `${order.tokenIn} to ${order.tokenOut}`);
    const cancel = CANCELLABLE.has(order.status) && this.#cancelButton();
    redraw(byId("detail-body"), sheet(order, this.#receipt, this.#model, cancel));
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
