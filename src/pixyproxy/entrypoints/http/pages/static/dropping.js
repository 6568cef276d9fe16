/** Pictures that are wanted no longer: their tiles go, and the browser forgets them. */

import { warnOfLeaving } from "./edits.js";
import { forget, orders } from "./orders.js";
import { removeTile } from "./tile.js";

/** @typedef {import("./orders.js").Order} Order */

/** @param {Order} order @param {HTMLElement} tile */
export function drop(order, tile) {
  if (order.batch) warnOfLeaving(order.batch, false);
  forget(order);
  removeTile(tile);
}

/** Drop a picture, and the others of its call, which are made or cancelled together. @param {Order} order @param {HTMLElement} tile */
export function dropCall(order, tile) {
  drop(order, tile);
  if (!order.call) return;
  for (const other of orders()) if (other.call === order.call) forget(other);
  const tiles = /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll(`#making [data-call="${order.call}"]`));
  for (const other of tiles) removeTile(other);
}
