/** The user's pictures that are being made and were asked for elsewhere, in another browser or by a program. */

import { call } from "./api.js";
import { orders } from "./orders.js";
import { removeTile } from "./tile.js";

const making = /** @type {HTMLElement} */ (document.querySelector("#making"));

/**
 * Follow the pictures of the tiles that came with the page, except those that this browser asked for.
 * @param {(order: import("./orders.js").Order) => HTMLElement} show
 */
export function adoptWaiting(show) {
  for (const tile of /** @type {NodeListOf<HTMLElement>} */ (making.querySelectorAll(".tile[data-guid]"))) {
    // Without an answer it stays as the service sent it.
    adopt(tile, show).catch(() => {});
  }
}

/** @param {HTMLElement} tile @param {(order: import("./orders.js").Order) => HTMLElement} show */
async function adopt(tile, show) {
  const guid = tile.dataset.guid ?? "";
  if (isOwn(guid)) return removeTile(tile);
  const { prompt, parameters, model, visibility, tags } = await call("GET", `image/${guid}`);
  if (isOwn(guid)) return removeTile(tile);
  const hadFocus = tile.contains(document.activeElement);
  const own = show({ key: guid, guid, body: { ...parameters, prompt, model, visibility, tags }, started: Date.now() });
  own.dataset.adopted = guid;
  tile.replaceWith(own);
  if (hadFocus) own.focus();
}

/** @param {string} guid */
function isOwn(guid) {
  return orders().some((order) => order.guid === guid);
}

/** Remove the tile of a picture that turned out to be one of this browser. @param {string} guid */
export function forgetAdopted(guid) {
  const tile = /** @type {HTMLElement | null} */ (making.querySelector(`[data-adopted="${guid}"]`));
  if (tile) removeTile(tile);
}
