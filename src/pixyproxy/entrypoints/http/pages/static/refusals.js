/** Pictures that are not made: their words in the tile. */

import { toLogin } from "./api.js";
import { priceOf, refusal } from "./price.js";

const TITLES = { "prompt-rejected": "Refused", "budget-exceeded": "Over the budget", "unpriced-model": "Without a price" };

/** Return the title and the reason for a picture that is not made. @param {any} image */
export function saidOf({ status, error }) {
  const text = error?.message ?? "There is no reason given.";
  if (status === "unknown") return { title: "Uncertain", text: `${text} It may have been paid for.` };
  return { title: TITLES[/** @type {keyof TITLES} */ (error?.code)] ?? "Not made", text };
}

/** Return what the budgets allow, null if that is not known. @param {import("./orders.js").Order} order */
export async function allowed(order) {
  return priceOf(order.body, order.batch?.count ?? 1).then((price) => refusal(price, order.body), () => null);
}

/**
 * Return the button for a session that has ended: it leads to the login, and back.
 * @param {import("./api.js").CallError} problem @returns {[string, () => void][]}
 */
export function logIn({ status, code }) {
  if (status !== 401) return [];
  return [code === "other-login" ? ["Load the page again", () => location.reload()] : ["Log in", toLogin]];
}
