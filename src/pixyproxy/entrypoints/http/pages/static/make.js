/** The prompt bar: a tile at once for each picture, and the picture in it when it is made. */

import { call, CallError, newKey, page, root } from "./api.js";
import { drop, dropCall } from "./dropping.js";
import { Batch, warnOfLeaving } from "./edits.js";
import { bodyOfForm, count, form, prompt, remember, user } from "./form.js";
import { adoptWaiting, forgetAdopted } from "./elsewhere.js";
import { canFollow, follow, wait } from "./follow.js";
import { actOf, addLost, removeLost, retryLost } from "./lost.js";
import { forget, keep, orders } from "./orders.js";
import { priceLater, showPrice } from "./price_line.js";
import { allowed, logIn, saidOf } from "./refusals.js";
import { upload } from "./sources.js";
import { addTile, hideEarly, placeOf, say, showEarly } from "./tile.js";
import { toast } from "./toast.js";

/** @typedef {import("./orders.js").Order} Order */

/** Between the first looks at a picture, and later ones; some are made at once. */
const SOON_POLL_MS = 250;
const POLL_MS = 2000;
/** Between two looks at a picture that has long to wait. */
const SLOW_POLL_MS = 6000;
const SOON_S = 30;
/** A second click within this time, or before the service has answered, is the first one again. */
const DOUBLE_CLICK_MS = 1000;

const making = /** @type {HTMLElement} */ (document.querySelector("#making"));
const status = /** @type {HTMLElement} */ (document.querySelector("#status"));

let last = "";
let lastTime = 0;
let unanswered = 0;
form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (!prompt.value.trim()) {
    prompt.focus();
    return;
  }
  const [body, files] = [bodyOfForm(), upload()];
  const act = actOf(body, files);
  const retried = retryLost(act, count());
  if (!retried && act === last && (unanswered > 0 || event.timeStamp - lastTime < DOUBLE_CLICK_MS)) return;
  last = act;
  lastTime = event.timeStamp;
  begin(body, files, count() - retried);
  announce(count() === 1 ? "The picture is being made." : `${count()} pictures are being made.`);
  making.firstElementChild?.scrollIntoView({ block: "nearest" });
});

/** @param {Record<string, any>} body @param {import("./sources.js").Upload | null} files @param {number} number */
function begin(body, files, number) {
  const { partial_images, ...plain } = body;
  const batch = files && new Batch(plain, files, number, newKey());
  if (batch && number > 0) warnOfLeaving(batch, true);
  for (let place = 0; place < number; place++) {
    /** @type {Order} */ // Early views that nobody would see may cost money.
    const order = { key: newKey(), body: canFollow() && !batch ? body : plain, started: Date.now() };
    if (batch) Object.assign(order, { batch, place, ...(number > 1 && { call: batch.key }) });
    else keep(order);
    void make(order, tileOf(order));
  }
}

/** @param {Order} order */
function tileOf(order) {
  const tile = addTile(order.body.prompt, order.body.size);
  tile.dataset.call = order.call ?? "";
  say(tile, "Being made");
  return tile;
}

/** @param {Order} order @param {HTMLElement} tile */
async function make(order, tile) {
  try {
    if (!order.guid) await (order.body.partial_images && canFollow() ? watch(order, tile) : ask(order));
    while (tile.isConnected) {
      const image = await call("GET", `image/${order.guid}`);
      if (image.status === "ready") return await finish(order, tile);
      if (image.status === "failed" || image.status === "unknown") return refuse(order, tile, image);
      showProgress(order, tile, image);
      const pause = Math.min(POLL_MS, SOON_POLL_MS + Date.now() - order.started);
      await wait((image.queue?.eta_s ?? 0) > SOON_S ? SLOW_POLL_MS : pause);
    }
  } catch (error) {
    // It was cancelled.
    if (!tile.isConnected) return;
    const problem = error instanceof CallError ? error : new CallError(String(error), 0);
    // Of one that was asked for before, the answer may be lost.
    const isOpen = order.guid ? problem.status !== 404 : problem.status === 401 && (order.tries ?? 0) > 1;
    if (problem.isLost || problem.status === 503 || isOpen) {
      // The same key: whatever became of the first attempt, the picture is paid for once.
      again(order, tile, problem);
    } else {
      const isOver = problem.code === "budget-exceeded" || problem.code === "insufficient_quota";
      const reason = isOver && (await allowed(order));
      const code = reason ? "budget-exceeded" : problem.code;
      refuse(order, tile, { status: "failed", error: { message: reason || problem.message, code } }, logIn(problem));
    }
  }
}

/** Count an attempt, also for the next page. @param {Order} order */
function attempt(order) {
  order.tries = (order.tries ?? 0) + 1;
  if (!order.batch) keep(order);
}

/** @param {Order} order */
async function ask(order) {
  attempt(order);
  const headers = { "Idempotency-Key": order.key, Prefer: "respond-async" };
  unanswered += 1;
  const begun = order.batch ? order.batch.begin(order.place ?? 0) : call("POST", "image", order.body, headers);
  accept(order, await begun.finally(() => (unanswered -= 1)));
}

/** @param {Order} order @param {any} image */
function accept(order, image) {
  if (order.guid) return;
  order.guid = image.guid;
  if (order.batch) warnOfLeaving(order.batch, false);
  order.batch = null;
  keep(order);
  forgetAdopted(image.guid);
  priceLater();
}

/**
 * Have a picture made, and show its early views. Once it is recorded it is made whatever becomes of the connection, and
 * its own details say how it ended.
 * @param {Order} order @param {HTMLElement} tile
 */
async function watch(order, tile) {
  attempt(order);
  let isUnanswered = true;
  unanswered += 1;
  try {
    for await (const { name, data } of follow(order.body, order.key)) {
      if (!tile.isConnected) return;
      if (name === "image") {
        accept(order, data);
        if (isUnanswered) unanswered -= 1;
        isUnanswered = false;
      }
      if (name === "early_view") {
        if (!tile.querySelector(".early")) announce(`An early view is there: ${order.body.prompt.slice(0, 100)}`);
        showEarly(tile, data.b64_json);
      } else if (name === "queued") showProgress(order, tile, { status: "queued", queue: data });
      else if (data?.status === "queued" || data?.status === "generating") showProgress(order, tile, data);
    }
    if (!order.guid) throw new CallError("The connection ended before the service had answered.", 0);
  } catch (error) {
    if (!order.guid) throw error;
  } finally {
    if (isUnanswered) unanswered -= 1;
  }
}

/** @param {Order} order @param {HTMLElement} tile @param {any} image */
function showProgress(order, tile, image) {
  const isQueued = image.status === "queued";
  if (isQueued && !tile.classList.contains("queued")) announce(`The picture waits in line: ${order.body.prompt.slice(0, 100)}`);
  tile.classList.toggle("queued", isQueued);
  if (!isQueued) return say(tile, "Being made", lateCancels.has(order.key) ? "It was begun before you cancelled." : "");
  const [place, time] = placeOf(image.queue);
  // Only its author cancels a picture, and one made without a login has none.
  say(tile, place, time, user ? [[order.call ? "Cancel all" : "Cancel", (button) => void cancel(order, tile, button)]] : []);
}

/** Keys of the pictures that were begun before they could be cancelled. @type {Set<string>} */
const lateCancels = new Set();

/**
 * Cancel a picture while it waits. One whose call has begun is paid for, and goes on: the service decides.
 * @param {Order} order @param {HTMLElement} tile @param {HTMLButtonElement} button
 */
async function cancel(order, tile, button) {
  button.disabled = true;
  try {
    await call("DELETE", `image/${order.guid}?status=queued`);
  } catch (error) {
    const problem = error instanceof CallError ? error : new CallError(String(error), 0);
    if (problem.status === 409) {
      lateCancels.add(order.key);
      announce("The picture is being made already.");
      return showProgress(order, tile, { status: "generating" });
    }
    if (problem.status !== 404) {
      button.disabled = false;
      toast(`It is not cancelled: ${problem.message}`, { isProblem: true });
      return;
    }
  }
  dropCall(order, tile);
  toast("Cancelled. Nothing was paid.");
  prompt.focus();
  priceLater();
}

/** @param {Order} order @param {HTMLElement} tile @param {CallError} problem */
function again(order, tile, problem) {
  const stop = () => {
    removeEventListener("online", tryAgain);
    removeLost(order);
  };
  const tryAgain = () => {
    stop();
    if (!tile.isConnected) return;
    tile.classList.remove("fail");
    say(tile, "Being made");
    void make(order, tile);
  };
  const giveUp = () => {
    stop();
    dropCall(order, tile);
  };
  hideEarly(tile);
  tile.classList.remove("queued");
  tile.classList.add("fail");
  /** @type {[string, () => void][]} */
  const buttons = [...logIn(problem), ["Try again", tryAgain], ["Give up", giveUp]];
  say(tile, problem.isLost ? "Not reached" : "Not now", problem.message, buttons);
  addEventListener("online", tryAgain);
  if (!order.guid) addLost(order, tile, tryAgain);
}

/** @param {Order} order @param {HTMLElement} tile */
async function finish(order, tile) {
  const fresh = (await page(`${root}?guid=${order.guid}`)).querySelector("#results .tile");
  forget(order);
  priceLater();
  if (!fresh) return drop(order, tile);
  // The list may show it already, after a reload.
  document.querySelector(`#results .tile[data-guid="${order.guid}"]`)?.remove();
  const link = tile.contains(document.activeElement) ? fresh.querySelector("a") : null;
  // The picture leads back to the gallery, not to itself alone.
  for (const own of fresh.querySelectorAll("a")) own.search = "";
  tile.replaceWith(fresh);
  link?.focus();
  announce(`The picture is ready: ${order.body.prompt.slice(0, 100)}`);
}

/** @param {Order} order @param {HTMLElement} tile @param {any} image @param {[string, () => void][]} buttons */
function refuse(order, tile, image, buttons = []) {
  // The pictures of one call are refused together, which is said once.
  if (order.batch && order.place) return drop(order, tile);
  if (order.batch) warnOfLeaving(order.batch, false);
  forget(order);
  priceLater();
  const { title, text } = saidOf(image);
  hideEarly(tile);
  tile.classList.remove("queued");
  tile.classList.add("fail");
  say(tile, title, text, [
    ...buttons,
    ["Edit the prompt", () => {
      prompt.value = order.body.prompt;
      drop(order, tile);
      prompt.focus();
      update();
    }],
    ["Dismiss", () => drop(order, tile)],
  ]);
  announce(`${title}: ${text}`);
}

/** @param {string} text */
function announce(text) {
  status.textContent = text;
}

// Ctrl+Enter, and Enter alone makes a new line.
prompt.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  form.requestSubmit();
});

function update() {
  remember();
  priceLater();
}
form.addEventListener("input", update);
void showPrice();

// Leaving the page lost nothing: the tiles are there again.
for (const order of orders()) void make(order, tileOf(order));
adoptWaiting((order) => {
  const tile = tileOf(order);
  void make(order, tile);
  return tile;
});
