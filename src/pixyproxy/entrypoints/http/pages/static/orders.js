/** Pictures that are being made, as the browser keeps them, so that their tiles are there again after the page was left. */

import { user } from "./form.js";

const FORGOTTEN_MS = 3_600_000;

const STORE = `pixyproxy.making.${user}`;

/**
 * A picture that is being made: `guid` is known once the service has recorded it; `tries` counts the attempts until then.
 * Of several that are made from files by one call, `call` is the key of the call and `place` the number of this one;
 * `batch` has the files until `guid` is known.
 * @typedef {{key: string, body: Record<string, any>, guid?: string, tries?: number, started: number,
 *   call?: string, place?: number, batch?: import("./edits.js").Batch | null}} Order
 */

/** @returns {Order[]} */
export function orders() {
  const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
  return kept.filter((/** @type {Order} */ order) => Date.now() - order.started < FORGOTTEN_MS);
}

/** @param {Order} order */
export function keep(order) {
  localStorage.setItem(STORE, JSON.stringify([...orders().filter(({ key }) => key !== order.key), order]));
}

/** @param {Order} order */
export function forget(order) {
  localStorage.setItem(STORE, JSON.stringify(orders().filter(({ key }) => key !== order.key)));
}
