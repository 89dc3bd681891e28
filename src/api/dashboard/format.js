// Format: numbers, times and names as people read them. Amounts stay decimal strings: no float ever touches one.

const TIME = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DAY = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const VENUES = { raydium_cpmm: "Raydium CPMM", meteora_mock: "Meteora" };

/** Base units as whole tokens, exactly. */
export function ui(base, decimals) {
  const digits = String(base).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const fraction = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return fraction ? `${whole}.${fraction}` : whole;
}

/** A decimal string with its thousands apart and at most `places` decimals, cut off, never rounded up. */
export function decimal(text, places = 6) {
  const [whole, fraction = ""] = String(text).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  const kept = fraction.slice(0, places).replace(/0+$/, "");
  if (whole === "0" && kept === "" && /[1-9]/.test(fraction)) return `<0.${"0".repeat(places - 1)}1`;
  return kept ? `${grouped}.${kept}` : grouped;
}

/** A whole number with its thousands apart. */
export const count = (number) => decimal(String(number), 0);

/** Basis points as a percentage. */
export function percent(bps) {
  const sign = bps < 0 ? "-" : "";
  return `${sign}${ui(String(Math.abs(bps)), 2)} %`;
}

/** A percentage as basis points, or null when it is none. Keeps to digits: 0.07 is 7, not 7.000000000000001. */
export function basisPoints(text) {
  const match = /^(\d{1,3})(?:[.,](\d{1,2})0*)?$/.exec(text.trim());
  return match ? Number(match[1] + (match[2] ?? "").padEnd(2, "0")) : null;
}

/** Seconds as milliseconds, or null when they are none. Keeps to digits, as above; a comma may stand for thousands. */
export function milliseconds(text) {
  const match = /^(\d{1,7})(?:\.(\d{1,3}))?$/.exec(text.trim());
  return match ? Number(match[1] + (match[2] ?? "").padEnd(3, "0")) : null;
}

export const clock = (at) => TIME.format(new Date(at));
export const day = (at) => DAY.format(new Date(at));

/** A time of today as such, any other with its day. */
export const moment = (at) => (day(at) === day(Date.now()) ? clock(at) : `${clock(at)}, ${day(at)}`);

/** A span of time, in the unit that reads best. */
export function duration(milliseconds) {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 1)} s`;
  return `${Math.floor(milliseconds / 60_000)} min ${Math.round((milliseconds % 60_000) / 1000)} s`;
}

/** A span of time that is counted down: in whole seconds, minutes, hours or days, rounded up. */
export function remaining(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  for (const [unit, size] of [["d", 86_400], ["h", 3_600], ["min", 60]])
    if (seconds > size) return `${Math.ceil(seconds / size)} ${unit}`;
  return `${seconds} s`;
}

/** The two ends of a long address or signature. */
export const short = (text) => (text.length > 13 ? `${text.slice(0, 5)}…${text.slice(-5)}` : text);

export const venue = (id) => VENUES[id] ?? id;

/** A sentence with the venues' names in place of their ids. */
export const named = (sentence) => sentence.replace(/[a-z]+_[a-z]+/g, venue);
