// Control: the kill switch. Says what holds trading and why, and turns the switch on and off after a question.

import { ask } from "./api.js";
import { announce, byId, h, redraw, write } from "./dom.js";
import { moment } from "./format.js";
import { explain } from "./explain.js";

/** Whoever pauses, every open page says so within about this. */
const EVERY = 1_000;
const BY = { api: "over the API", command: "from the command line", file: "by the pause file" };
const WHILE_PAUSED =
  "New orders are refused, accepted ones wait, and what is signed already is followed to its end.";
const PAUSE =
  "Nothing new is signed from then on, by no process of this daemon. New orders are refused, accepted ones wait, and what is signed already is followed to its end.";
const RESUME = "Waiting orders are taken up at once, at the prices of then. Their bounds hold.";
const FILE = "The pause file holds trading until it is removed from the daemon's machine.";

export class Control {
  #causes = [];
  #reading = false;
  /** How often this page has turned the switch: what was asked before says nothing any more. */
  #turns = 0;
  #dialog = byId("control-dialog");

  constructor() {
    byId("switch").addEventListener("click", () => this.#open());
    byId("control-cancel").addEventListener("click", () => this.#dialog.close());
    byId("control-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#turn();
    });
    setInterval(() => {
      if (!document.hidden) this.read();
    }, EVERY);
    document.addEventListener("visibilitychange", () => {
      if (!document.hidden) this.read();
    });
  }

  async read() {
    if (this.#reading) return;
    this.#reading = true;
    const turns = this.#turns;
    try {
      const control = await ask("/v1/control");
      if (turns === this.#turns) this.#show(control);
    } catch {
      // The connection's state tells that the daemon is away; what was known last stays.
    } finally {
      this.#reading = false;
    }
  }

  get #paused() {
    return this.#causes.length > 0;
  }

  #show({ causes }) {
    const before = this.#paused;
    if (JSON.stringify(causes) !== JSON.stringify(this.#causes)) redraw(byId("paused"), causes.map(banner));
    this.#causes = causes;
    byId("switch").hidden = false;
    byId("switch").toggleAttribute("data-paused", this.#paused);
    write(byId("switch"), this.#paused ? "Resume trading" : "Pause trading");
    if (before && !this.#paused) announce("Trading goes on.");
  }

  #open() {
    const files = this.#causes.filter(({ cause }) => cause === "file");
    const onlyFiles = this.#paused && files.length === this.#causes.length;
    write(byId("control-title"), this.#paused ? "Resume trading?" : "Pause trading?");
    const words = this.#paused ? [!onlyFiles && RESUME, files.length > 0 && FILE] : [PAUSE];
    write(byId("control-words"), words.filter(Boolean).join(" "));
    write(byId("control-confirm"), this.#paused ? "Resume trading" : "Pause trading");
    byId("control-confirm").hidden = onlyFiles;
    byId("control-confirm").dataset.action = this.#paused ? "resume" : "pause";
    byId("control-reason-field").hidden = this.#paused;
    byId("control-reason").value = "";
    byId("control-error").hidden = true;
    this.#dialog.showModal();
  }

  /** Does what the dialog asked about, whatever has happened to the switch meanwhile. */
  async #turn() {
    const button = byId("control-confirm");
    const action = button.dataset.action;
    if (button.hidden || button.getAttribute("aria-disabled") === "true") return;
    const reason = byId("control-reason").value.trim();
    const body = action === "pause" ? JSON.stringify(reason ? { reason } : {}) : undefined;
    button.setAttribute("aria-disabled", "true");
    try {
      const control = await ask(`/v1/control/${action}`, { method: "POST", body });
      this.#turns += 1;
      this.#show(control);
      this.#dialog.close();
    } catch (error) {
      const known = error.code && explain(error.code);
      byId("control-error").textContent = known ? `${known.what} ${known.advice}` : `${error.message} Try again.`;
      byId("control-error").hidden = false;
    } finally {
      button.setAttribute("aria-disabled", "false");
    }
  }
}

function banner({ cause, reason, since }) {
  const when = since ? ` at ${moment(since)}` : "";
  return h(
    "p",
    {},
    h("b", {}, "Trading is paused"),
    reason ? `: ${reason}. ` : ". ",
    h("span", {}, `Stopped ${BY[cause] ?? `by ${cause}`}${when}. ${WHILE_PAUSED}`),
  );
}
