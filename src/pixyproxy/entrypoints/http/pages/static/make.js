/** The prompt bar: what a picture will cost, a tile at once, and the picture in it when it is made. */

import { call, CallError, page, root } from "./api.js";
import { beginEdit } from "./edits.js";
import { bodyOfForm, count, form, prompt, remember, user } from "./form.js";
import { adoptWaiting, forgetAdopted } from "./elsewhere.js";
import { canFollow, follow, wait } from "./follow.js";
import { forget, keep, newKey, orders } from "./orders.js";
import { describe, priceOf, refusal } from "./price.js";
import { changes, upload } from "./sources.js";
import { addTile, hideEarly, placeOf, removeTile, say, showEarly } from "./tile.js";
import { toast } from "./toast.js";

const PRICE_PAUSE_MS = 500;
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
  const body = bodyOfForm();
  const text = JSON.stringify([body, changes]);
  if (text === last && (unanswered > 0 || event.timeStamp - lastTime < DOUBLE_CLICK_MS)) return;
  last = text;
  lastTime = event.timeStamp;
  for (let number = 0; number < count(); number++) {
    const file = upload();
    // Early views that nobody would see may cost money.
    const { partial_images, ...plain } = body;
    const wanted = canFollow() && !file ? body : plain;
    const order = { key: newKey(), body: wanted, started: Date.now(), upload: file };
    // A browser keeps no files: such a picture is found again once the service has it.
    if (!file) keep(order);
    void make(order, tileOf(order));
  }
  announce(count() === 1 ? "The picture is being made." : `${count()} pictures are being made.`);
  making.scrollIntoView({ block: "nearest" });
});

/** @param {import("./orders.js").Order} order */
function tileOf(order) {
  const tile = addTile(order.body.prompt, order.body.size);
  say(tile, "Being made");
  return tile;
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile */
async function make(order, tile) {
  try {
    if (!order.guid) await (order.body.partial_images && canFollow() ? watch(order, tile) : begin(order));
    while (tile.isConnected) {
      const image = await call("GET", `image/${order.guid}`);
      if (image.status === "ready") return await finish(order, tile);
      if (image.status === "failed" || image.status === "unknown") return refuse(order, tile, image);
      showProgress(order, tile, image);
      await wait((image.queue?.eta_s ?? 0) > SOON_S ? SLOW_POLL_MS : POLL_MS);
    }
  } catch (error) {
    // It was cancelled.
    if (!tile.isConnected) return;
    const problem = error instanceof CallError ? error : new CallError(String(error), 0);
    if (problem.isLost || problem.status === 503 || (order.guid && problem.status !== 404)) {
      // The same key: whatever became of the first attempt, the picture is paid for once.
      again(order, tile, problem);
    } else {
      const isOver = problem.code === "budget-exceeded" || problem.code === "insufficient_quota";
      const reason = isOver && (await allowed(order));
      const code = reason ? "budget-exceeded" : problem.code;
      refuse(order, tile, { status: "failed", error: { message: reason || problem.message, code } });
    }
  }
}

/** @param {import("./orders.js").Order} order */
async function begin(order) {
  const headers = { "Idempotency-Key": order.key, Prefer: "respond-async" };
  unanswered += 1;
  const begun = order.upload ? beginEdit(order.body, order.upload, headers) : call("POST", "image", order.body, headers);
  accept(order, await begun.finally(() => (unanswered -= 1)));
}

/** @param {import("./orders.js").Order} order @param {any} image */
function accept(order, image) {
  if (order.guid) return;
  order.guid = image.guid;
  order.upload = null;
  keep(order);
  forgetAdopted(image.guid);
  priceLater();
}

/**
 * Have a picture made, and show its early views. Once it is recorded it is made whatever becomes of the connection, and
 * its own details say how it ended.
 * @param {import("./orders.js").Order} order @param {HTMLElement} tile
 */
async function watch(order, tile) {
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

/** Return what the budgets allow, null if that is not known. @param {import("./orders.js").Order} order */
async function allowed(order) {
  return priceOf(order.body, 1).then((price) => refusal(price, order.body), () => null);
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile @param {any} image */
function showProgress(order, tile, image) {
  const isQueued = image.status === "queued";
  if (isQueued && !tile.classList.contains("queued")) announce(`The picture waits in line: ${order.body.prompt.slice(0, 100)}`);
  tile.classList.toggle("queued", isQueued);
  if (!isQueued) return say(tile, "Being made", lateCancels.has(order.key) ? "It was begun before you cancelled." : "");
  const [place, time] = placeOf(image.queue);
  // Only its author cancels a picture, and one made without a login has none.
  say(tile, place, time, user ? [["Cancel", (button) => void cancel(order, tile, button)]] : []);
}

/** Keys of the pictures that were begun before they could be cancelled. @type {Set<string>} */
const lateCancels = new Set();

/**
 * Cancel a picture while it waits. One whose call has begun is paid for, and goes on: the service decides.
 * @param {import("./orders.js").Order} order @param {HTMLElement} tile @param {HTMLButtonElement} button
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
  drop(order, tile);
  toast("Cancelled. Nothing was paid.");
  prompt.focus();
  priceLater();
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile @param {CallError} problem */
function again(order, tile, problem) {
  const retry = () => {
    removeEventListener("online", retry);
    if (!tile.isConnected) return;
    tile.classList.remove("fail");
    say(tile, "Being made");
    void make(order, tile);
  };
  hideEarly(tile);
  tile.classList.remove("queued");
  tile.classList.add("fail");
  const title = problem.isLost ? "Not reached" : "Not now";
  const giveUp = () => {
    removeEventListener("online", retry);
    drop(order, tile);
  };
  say(tile, title, problem.message, [["Try again", retry], ["Give up", giveUp]]);
  addEventListener("online", retry);
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile */
async function finish(order, tile) {
  const fresh = (await page(`${root}?guid=${order.guid}`)).querySelector("#results .tile");
  forget(order);
  priceLater();
  if (!fresh) return drop(order, tile);
  // The list may show it already, after a reload.
  document.querySelector(`#results .tile[data-guid="${order.guid}"]`)?.remove();
  const hadFocus = tile.contains(document.activeElement);
  tile.replaceWith(fresh);
  if (hadFocus) fresh.querySelector("a")?.focus();
  announce(`The picture is ready: ${order.body.prompt.slice(0, 100)}`);
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile @param {any} image */
function refuse(order, tile, image) {
  forget(order);
  priceLater();
  const code = image.error?.code;
  const titles = { "prompt-rejected": "Refused", "budget-exceeded": "Over the budget", "unpriced-model": "Without a price" };
  const title = image.status === "unknown" ? "Uncertain" : (titles[/** @type {keyof titles} */ (code)] ?? "Not made");
  const doubt = image.status === "unknown" ? " It may have been paid for." : "";
  hideEarly(tile);
  tile.classList.remove("queued");
  tile.classList.add("fail");
  say(tile, title, (image.error?.message ?? "There is no reason given.") + doubt, [
    ["Edit the prompt", () => {
      prompt.value = order.body.prompt;
      drop(order, tile);
      prompt.focus();
      update();
    }],
    ["Dismiss", () => drop(order, tile)],
  ]);
  announce(`${title}: ${image.error?.message ?? ""}`);
}

/** @param {import("./orders.js").Order} order @param {HTMLElement} tile */
function drop(order, tile) {
  forget(order);
  removeTile(tile);
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

// The price, before the click.
const price = /** @type {HTMLOutputElement} */ (document.querySelector("#price"));
let pause = 0;
let asked = 0;
function update() {
  remember();
  priceLater();
}
form.addEventListener("input", update);

function priceLater() {
  clearTimeout(pause);
  pause = setTimeout(showPrice, PRICE_PAUSE_MS);
}

async function showPrice() {
  const number = ++asked;
  let said = { text: "", isRefused: false };
  let most = null;
  if (prompt.value.trim()) {
    try {
      const [body, wanted] = [bodyOfForm(), count()];
      const found = await priceOf(body, wanted);
      said = describe(found, wanted, body);
      most = found.usd_max;
    } catch {
      // The reason is said when the picture is asked for.
    }
  }
  if (number !== asked) return;
  price.textContent = said.text;
  price.classList.toggle("over", said.isRefused);
  price.title = most === null || said.isRefused ? "" : `at most $${most}`;
}

void showPrice();

// Leaving the page lost nothing: the tiles are there again.
for (const order of orders()) void make(order, tileOf(order));
adoptWaiting((order) => {
  const tile = tileOf(order);
  void make(order, tile);
  return tile;
});
