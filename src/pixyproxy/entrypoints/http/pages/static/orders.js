/** Pictures that are being made, as the browser keeps them, so that their tiles are there again after the page was left. */

import { user } from "./form.js";

const FORGOTTEN_MS = 3_600_000;

const STORE = `pixyproxy.making.${user}`;

/**
 * A picture that is being made: `guid` is known once the service has recorded it; `upload` has files until then.
 * @typedef {{key: string, body: Record<string, any>, guid?: string, started: number,
 *   upload?: import("./sources.js").Upload | null}} Order
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

/** A random key; `crypto.randomUUID` exists on https and on this machine only. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}
