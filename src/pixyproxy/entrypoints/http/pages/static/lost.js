/** Pictures whose answer was lost. The service may make them, so that asking for the same again must not pay again. */

/** @typedef {import("./orders.js").Order} Order */

/** @type {Map<Order, {tile: HTMLElement, tryAgain: () => void}>} */
const lost = new Map();

/** Remember a lost picture, and how it is tried again. @param {Order} order @param {HTMLElement} tile @param {() => void} tryAgain */
export function addLost(order, tile, tryAgain) {
  lost.set(order, { tile, tryAgain });
}

/** @param {Order} order */
export function removeLost(order) {
  lost.delete(order);
}

/**
 * Try lost pictures of the same act again; return their number.
 * @param {string} act @param {number} most
 */
export function retryLost(act, most) {
  const same = [...lost].filter(([order, { tile }]) => tile.isConnected && actOf(order.body, order.batch?.upload) === act);
  for (const [, { tryAgain }] of same.slice(0, most)) tryAgain();
  return Math.min(same.length, most);
}

/**
 * Return in one text all that a picture is asked for by; early views are none of it.
 * @param {Record<string, any>} body @param {import("./sources.js").Upload | null} [files]
 */
export function actOf({ partial_images, ...body }, files) {
  return JSON.stringify([body, files?.version]);
}
