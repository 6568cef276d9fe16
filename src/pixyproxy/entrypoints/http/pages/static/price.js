/** The price of a request and what budgets leave for it, in words, before the click and after a refusal. */

import { call } from "./api.js";

/**
 * A budget of the service: amounts in decimal text.
 * @typedef {{scope: string, per: string, cap_usd: string, spent_usd: string, reserved_usd: string, possibly_usd: string,
 *   resets_at: string | null}} Budget
 * @typedef {{usd_typical: string | null, usd_max: string | null, budgets: Budget[]}} Price
 */

const SPANS = { day: "today", month: "this month" };
const FULL_SPANS = { day: "for today", month: "for this month" };

/**
 * Return what `POST /price` says of some pictures.
 * @param {object} body @param {number} count @returns {Promise<Price>}
 */
export function priceOf(body, count) {
  return call("POST", "price", { ...body, n: count });
}

/**
 * Say what pictures will cost and what is left; `isRefused` if a budget would refuse them.
 * @param {Price} price @param {number} count @param {Record<string, any>} body
 */
export function describe({ usd_typical: typical, usd_max: most, budgets }, count, body) {
  if (most === null) {
    if (budgets.length === 0) return { text: "unpriced: the cost is not known", isRefused: false };
    return { text: `It would be refused: no price is known, and ${name(budgets[0])} needs one.`, isRefused: true };
  }
  const highest = micro(most);
  if (highest === 0) return { text: "free", isRefused: false };
  const tightest = tightestOf(budgets);
  if (tightest && left(tightest) < highest) {
    const possible = Math.floor((left(tightest) * count) / highest);
    // Those that are made from files are one call, which is refused as a whole.
    const some = possible > 0 && !body.edit_sizes ? `Only ${possible} of ${count} would be made` : "It would be refused";
    return { text: `${some}: ${reason(tightest, highest, body)}`, isRefused: true };
  }
  const price = typical === null ? `at most ${usd(highest)}` : `about ${usd(micro(typical))}`;
  return { text: tightest ? `${price} · ${usd(left(tightest))} left${span(tightest)}` : price, isRefused: false };
}

/**
 * Return the reason why a budget refuses pictures, null if none does.
 * @param {Price} price @param {Record<string, any>} body
 */
export function refusal({ usd_max: most, budgets }, body) {
  const tightest = tightestOf(budgets);
  const isOver = most !== null && tightest && left(tightest) < micro(most);
  return isOver ? sentence(reason(tightest, micro(most), body)) : null;
}

/**
 * Return what the tightest budget leaves, in words and in percent of its cap, null without a budget.
 * @param {Price} price
 */
export function leftOf({ budgets }) {
  const tightest = tightestOf(budgets);
  if (!tightest) return null;
  const cap = micro(tightest.cap_usd);
  return { text: usd(left(tightest)), percent: String(cap && Math.round((100 * left(tightest)) / cap)) };
}

/** @param {Budget} budget @param {number} highest @param {Record<string, any>} body */
function reason(budget, highest, body) {
  const cap = usd(micro(budget.cap_usd));
  const until = budget.resets_at === null ? "" : ` It is full again on ${time(budget.resets_at)}.`;
  // What is left to the model may be its largest and finest picture.
  const advice = body.size && body.quality ? until : " With a shape and a quality chosen it may cost less.";
  return `${name(budget)} has ${usd(left(budget))} left of ${cap}, and this may cost up to ${usd(highest)}.${advice}`;
}

/** @param {Budget[]} budgets */
function tightestOf(budgets) {
  return budgets.toSorted((one, other) => left(one) - left(other)).at(0);
}

/** Return an amount in micro-dollars, which a number holds exactly. @param {string} text */
function micro(text) {
  return Math.round(Number(text) * 1e6);
}

/** @param {Budget} budget */
function left({ cap_usd, spent_usd, reserved_usd, possibly_usd }) {
  return Math.max(0, micro(cap_usd) - micro(spent_usd) - micro(reserved_usd) - micro(possibly_usd));
}

/** @param {number} amount In micro-dollars. */
function usd(amount) {
  if (amount > 0 && amount < 1000) return "less than $0.001";
  const digits = amount > 0 && amount < 100_000 ? 3 : 2;
  return `$${(amount / 1e6).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits })}`;
}

/** @param {Budget} budget */
function span({ per }) {
  return per in SPANS ? ` ${SPANS[/** @type {"day" | "month"} */ (per)]}` : "";
}

/** @param {Budget} budget */
function name({ scope, per }) {
  const [kind, ...rest] = scope.split(":");
  // Isolated, so that the name of a class turns no other text around.
  const whose = { service: "the budget of the service", class: `the budget of class \u2068${rest.join(":")}\u2069` };
  const words = kind === "service" || kind === "class" ? whose[kind] : "your budget";
  return per in FULL_SPANS ? `${words} ${FULL_SPANS[/** @type {"day" | "month"} */ (per)]}` : words;
}

/** @param {string} text */
function sentence(text) {
  return text[0].toUpperCase() + text.slice(1);
}

/** @param {string} text */
function time(text) {
  return new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
