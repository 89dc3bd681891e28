// Latency: how long the stages of the latest orders took, by the daemon's own clock, drawn by hand.

import { batched, byId, h, redraw, svg, write } from "./dom.js";
import { clock, duration } from "./format.js";
import { stages } from "./model.js";

/** Orders the percentiles are taken over. */
const WINDOW = 300;
/** Bars of the strip. */
const BARS = 60;
const STAGES = [
  ["queue", "Queue"],
  ["quotes", "Quotes"],
  ["sign", "Simulate, sign"],
  ["send", "Send"],
  ["confirm", "Confirm"],
  ["total", "In all"],
];
/** What a bar is made of. */
const PARTS = ["queue", "quotes", "sign", "send", "confirm"];
/** The logarithmic scale, in milliseconds. */
const [FROM, TO] = [1, 60_000];
const TICKS = [1, 10, 100, 1_000, 10_000];

export class Latency {
  #model;

  constructor(model) {
    this.#model = model;
    redraw(byId("latency-axis"), axis());
    this.draw();
  }

  /** At most once a second: nobody reads a plot faster. */
  draw() {
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.#frame();
    }, 1_000);
  }

  #frame = batched(() => {
    const seen = [];
    for (const order of this.#model.newest()) {
      const spans = stages(order);
      if (spans) seen.push({ spans, at: order.marks.landed });
      if (seen.length === WINDOW) break;
    }
    const words =
      seen.length === 0 ? "no landed order seen yet" : `${seen.length} ${seen.length === 1 ? "order" : "orders"} seen`;
    write(byId("latency-count"), words);
    redraw(
      byId("latency-rows"),
      STAGES.map(([name, title]) =>
        row(
          title,
          seen.map(({ spans }) => spans[name]),
        ),
      ),
    );
    redraw(byId("latency-strip"), strip(seen.slice(0, BARS).reverse()));
  });
}

function row(title, spans) {
  const sorted = spans.toSorted((a, b) => a - b);
  const [p50, p95] = [percentile(sorted, 50), percentile(sorted, 95)];
  const words = (span) => (span === undefined ? "–" : duration(span));
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, title),
    h("td", { class: "num right" }, words(p50)),
    h("td", { class: "num right" }, words(p95)),
    h("td", { class: "plot", "aria-hidden": "true" }, plot(p50, p95)),
  );
}

/** The nearest rank: a time that was measured, not one in between. */
const percentile = (sorted, p) => sorted[Math.max(0, Math.ceil((p / 100) * sorted.length) - 1)];

const x = (span) => `${(100 * Math.log10(Math.max(span, FROM) / FROM)) / Math.log10(TO / FROM)}%`;

function plot(p50, p95) {
  const grid = TICKS.map((tick) => svg("line", { class: "grid-line", x1: x(tick), x2: x(tick), y1: 0, y2: 16 }));
  const marks =
    p50 === undefined
      ? []
      : [
          svg("line", { class: "span", x1: x(p50), x2: x(p95), y1: 8, y2: 8 }),
          svg("circle", { class: "p95", cx: x(p95), cy: 8, r: 3 }),
          svg("circle", { class: "p50", cx: x(p50), cy: 8, r: 3.5 }),
        ];
  return svg("svg", { class: "dots", height: 16 }, grid, marks);
}

function axis() {
  const label = (tick) =>
    svg(
      "text",
      { x: x(tick), y: 11, class: `tick-${tick}`, "text-anchor": tick === FROM ? "start" : "middle" },
      tick < 1000 ? `${tick} ms` : `${tick / 1000} s`,
    );
  return svg("svg", { class: "dots", height: 14 }, TICKS.filter((_, n) => n % 2 === 0).map(label));
}

/** One bar per order, its stages on top of each other, the oldest on the left. */
function strip(seen) {
  if (seen.length === 0) return h("p", { class: "empty" }, "Times appear with the first order that lands.");
  const height = 72;
  const highest = Math.max(...seen.map(({ spans }) => spans.total), 1);
  const width = 400;
  const step = width / BARS;
  const bars = seen.map(({ spans, at }, n) => {
    let top = height;
    const parts = PARTS.map((name) => {
      const tall = (spans[name] / highest) * (height - 2);
      top -= tall;
      return svg("rect", {
        class: `stage-${name}`,
        x: width - (seen.length - n) * step,
        y: top,
        width: step - 1.5,
        height: tall,
      });
    });
    return svg("g", {}, svg("title", {}, `${clock(at)}: ${duration(spans.total)}`), parts);
  });
  const latest = seen.at(-1).spans.total;
  const label = `The latest ${seen.length} orders; the slowest took ${duration(highest)}, the newest ${duration(latest)}.`;
  return [
    svg(
      "svg",
      {
        viewBox: `0 0 ${width} ${height}`,
        class: "bars",
        role: "img",
        "aria-label": label,
        preserveAspectRatio: "none",
      },
      bars,
    ),
    h(
      "p",
      { class: "small muted legend" },
      h("span", { class: "num" }, `slowest ${duration(highest)}`),
      PARTS.map((name) => h("span", {}, h("i", { class: `key stage-${name}` }), name)),
    ),
  ];
}
