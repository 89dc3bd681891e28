// Main: puts the parts together. The list of orders is read once and then kept by events; what an event does not say
// is read with the next listing, one for however many orders.

import { ask } from "./api.js";
import { Control } from "./control.js";
import { DeadLetters } from "./dead-letters.js";
import { Detail } from "./detail.js";
import { byId } from "./dom.js";
import { watchKey } from "./key.js";
import { Latency } from "./latency.js";
import { Model, hasEnded } from "./model.js";
import { Orders } from "./orders.js";
import { Status, showConnection } from "./status.js";
import { REPLAY, Stream } from "./stream.js";
import { Ticket } from "./ticket.js";
import { Wallets } from "./wallets.js";

/** Orders of a listing. */
const PAGE = 150;
/** Between two listings. */
const LISTING_REST = 600;
const ORDER_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
/** Between two tries to begin while the daemon does not answer. */
const START_REST = 1_500;

const model = new Model();
const detail = new Detail(model, (id) => {
  orders.choose(null);
  orders.focus(id);
});
const orders = new Orders(model, show);
const deadLetters = new DeadLetters(show);
const control = new Control();
const latency = new Latency(model);
const ticket = new Ticket((order) => {
  model.list(order);
  orders.choose(order.id);
  detail.choose(order.id);
});
const wallets = new Wallets((known) => ticket.useWallets(known));
const status = new Status(model, {
  limits: (limits) => ticket.useLimits(limits),
  deadLetters: (number) => deadLetters.counted(number),
});

let listing = 0;
let begun = false;

model.onchange = () => {
  orders.draw();
  latency.draw();
  if (model.lacksDetails()) listing ||= setTimeout(list, LISTING_REST);
};

async function list() {
  let failed = false;
  try {
    const page = await ask(`/v1/orders?limit=${PAGE}`);
    for (const order of page.orders) model.list(order);
    if (page.nextCursor) model.giveUpDetails(page.nextCursor);
  } catch {
    // The stream's state tells that the daemon is away.
    failed = true;
  } finally {
    // What was first heard of meanwhile is not in it, and may have told its last event already.
    clearTimeout(listing);
    listing = failed || model.lacksDetails() ? setTimeout(list, LISTING_REST) : 0;
  }
}

function heard(event) {
  model.event(event);
  deadLetters.heard(event);
  if (event.orderId === detail.id) detail.refresh();
  if (hasEnded(event)) wallets.moved();
}

/** Begins, or tries again until the daemon answers. A missing key is asked for, and its entry begins again. */
async function begin() {
  if (begun) return;
  try {
    const { cursor } = await ask("/v1/status");
    const { tokens } = await ask("/v1/tokens");
    if (begun) return;
    begun = true;
    model.useTokens(tokens);
    ticket.useTokens(tokens);
    // The listing is read after the cursor: what is stored in between comes by event as well.
    await list();
    // A little of what has been is replayed, so that the plot has something to show.
    const stream = new Stream(Math.max(0, cursor - REPLAY / 2), { event: heard, state: connected, gap });
    stream.start();
    status.read();
    control.read();
    wallets.read();
    linked();
  } catch (error) {
    showConnection(error.status === 401 ? "refused" : "waiting", START_REST);
    if (error.status !== 401) setTimeout(begin, START_REST);
  }
}

/** Each connection brings what was missed as events, but for a gap: what is shown beside the list is read once more. */
function connected(state, rest) {
  showConnection(state, rest);
  if (state !== "live") return;
  detail.refresh();
  deadLetters.read();
}

/** The stream skipped ahead, or the daemon has another store. */
function gap({ replaced }) {
  if (replaced) model.clear();
  list();
}

/** Shows an order and moves the focus to it. */
function show(id) {
  orders.choose(id);
  detail.choose(id, { focus: true });
}

/** An address that ends in an order's id shows that order. */
function linked() {
  const id = location.hash.slice(1);
  if (ORDER_ID.test(id) && id !== detail.id) show(id);
}

addEventListener("hashchange", linked);
watchKey(begin);
begin();
byId("amount").focus({ preventScroll: true });
