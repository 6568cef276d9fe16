/** The prompt bar: what a picture will cost, a tile at once, and the picture in it when it is made. */

import { call, CallError, page, root } from "./api.js";

const PRICE_PAUSE_MS = 500;
const POLL_MS = 2000;
/** A second click within this time, or before the service has answered, is the first one again. */
const DOUBLE_CLICK_MS = 1000;
const FORGOTTEN_MS = 3_600_000;
const REMEMBERED = ["size", "quality", "output_format", "background", "visibility", "model", "n"];

const form = /** @type {HTMLFormElement} */ (document.querySelector("#make"));
const prompt = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("prompt"));
const making = /** @type {HTMLElement} */ (document.querySelector("#making"));
const status = /** @type {HTMLElement} */ (document.querySelector("#status"));
const user = form.dataset.user ?? "";
const STORE = `pixyproxy.making.${user}`;
const OPTIONS = `pixyproxy.options.${user}`;
const DRAFT = `pixyproxy.draft.${user}`;

/**
 * A picture that is being made: `guid` is known once the service has recorded it.
 * @typedef {{key: string, body: Record<string, any>, guid?: string, started: number}} Order
 */

/** @returns {Order[]} */
function orders() {
  const kept = JSON.parse(localStorage.getItem(STORE) ?? "[]");
  return kept.filter((/** @type {Order} */ order) => Date.now() - order.started < FORGOTTEN_MS);
}

/** @param {Order} order */
function keep(order) {
  localStorage.setItem(STORE, JSON.stringify([...orders().filter(({ key }) => key !== order.key), order]));
}

/** @param {Order} order */
function forget(order) {
  localStorage.setItem(STORE, JSON.stringify(orders().filter(({ key }) => key !== order.key)));
}

/** @param {string} name */
function field(name) {
  return /** @type {HTMLInputElement | HTMLSelectElement | null} */ (form.elements.namedItem(name));
}

/** Return the body of `POST /image`. */
function bodyOfForm() {
  /** @type {Record<string, any>} */
  const body = { prompt: prompt.value };
  for (const name of ["model", "size", "quality", "background", "output_format", "visibility"]) {
    const value = field(name)?.value.trim();
    if (value) body[name] = value;
  }
  const tags = (field("tags")?.value ?? "").split(/[,\n]/).map((tag) => tag.trim().replace(/^#/, "")).filter(Boolean);
  if (tags.length > 0) body.tags = tags;
  const sources = new FormData(form).getAll("edit_of");
  if (sources.length > 0) body.edit_of = sources;
  return body;
}

/** A random key; `crypto.randomUUID` exists on https and on this machine only. */
function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

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
  const text = JSON.stringify(body);
  if (text === last && (unanswered > 0 || event.timeStamp - lastTime < DOUBLE_CLICK_MS)) return;
  last = text;
  lastTime = event.timeStamp;
  const count = Number(field("n")?.value ?? 1);
  for (let number = 0; number < count; number++) {
    const order = { key: newKey(), body, started: Date.now() };
    keep(order);
    void make(order, tileOf(order));
  }
  status.textContent = count === 1 ? "The picture is being made." : `${count} pictures are being made.`;
  making.scrollIntoView({ block: "nearest" });
});

/** @param {Order} order */
function tileOf(order) {
  const tile = document.createElement("figure");
  const [width, height] = String(order.body.size ?? "1x1").split("x").map(Number);
  tile.className = "tile wait";
  tile.style.setProperty("--r", String(Math.min(4, Math.max(0.25, width / height || 1))));
  const caption = document.createElement("figcaption");
  caption.dir = "auto";
  caption.textContent = order.body.prompt.slice(0, 300);
  tile.append(document.createElement("div"), caption);
  making.prepend(tile);
  making.hidden = false;
  state(tile, "Being made", "", []);
  return tile;
}

/** @param {HTMLElement} tile @param {string} title @param {string} text @param {[string, () => void][]} buttons */
function state(tile, title, text, buttons) {
  const box = document.createElement("div");
  box.className = "state";
  const heading = document.createElement("b");
  heading.textContent = title;
  const words = document.createElement("span");
  words.textContent = text;
  box.append(heading, words);
  for (const [label, act] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.addEventListener("click", act);
    box.append(button);
  }
  tile.firstElementChild?.replaceWith(box);
}

/** @param {number} ms */
function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** @param {Order} order @param {HTMLElement} tile */
async function make(order, tile) {
  try {
    if (!order.guid) {
      const headers = { "Idempotency-Key": order.key, Prefer: "respond-async" };
      unanswered += 1;
      const made = await call("POST", "image", order.body, headers).finally(() => (unanswered -= 1));
      order.guid = made.guid;
      keep(order);
    }
    for (;;) {
      const image = await call("GET", `image/${order.guid}`);
      if (image.status === "ready") return await finish(order, tile);
      if (image.status === "failed" || image.status === "unknown") return refuse(order, tile, image);
      await wait(POLL_MS);
    }
  } catch (error) {
    const problem = error instanceof CallError ? error : new CallError(String(error), 0);
    if (problem.status === 0 || problem.status === 503) {
      // The same key: whatever became of the first attempt, the picture is paid for once.
      again(order, tile, problem.message);
    } else {
      const words = { status: "failed", error: { message: problem.message, code: problem.problem.code } };
      if (problem.status === 404) forget(order);
      refuse(order, tile, words);
    }
  }
}

/** @param {Order} order @param {HTMLElement} tile @param {string} reason */
function again(order, tile, reason) {
  const retry = () => {
    removeEventListener("online", retry);
    tile.classList.remove("fail");
    state(tile, "Being made", "", []);
    void make(order, tile);
  };
  tile.classList.add("fail");
  state(tile, "Not reached", reason, [["Try again", retry], ["Give up", () => drop(order, tile)]]);
  addEventListener("online", retry);
}

/** @param {Order} order @param {HTMLElement} tile */
async function finish(order, tile) {
  const fresh = (await page(`${root}?guid=${order.guid}`)).querySelector("#results .tile");
  forget(order);
  if (!fresh) return drop(order, tile);
  // The list may show it already, after a reload.
  document.querySelector(`#results .tile[data-guid="${order.guid}"]`)?.remove();
  tile.replaceWith(fresh);
  status.textContent = `The picture is ready: ${order.body.prompt.slice(0, 100)}`;
}

/** @param {Order} order @param {HTMLElement} tile @param {any} image */
function refuse(order, tile, image) {
  forget(order);
  const isRefused = image.error?.code === "prompt-rejected";
  const title = isRefused ? "Refused" : image.status === "unknown" ? "Uncertain" : "Not made";
  const doubt = image.status === "unknown" ? " It may have been paid for." : "";
  tile.classList.add("fail");
  state(tile, title, (image.error?.message ?? "There is no reason given.") + doubt, [
    ["Edit the prompt", () => {
      prompt.value = order.body.prompt;
      drop(order, tile);
      prompt.focus();
      update();
    }],
    ["Dismiss", () => drop(order, tile)],
  ]);
  status.textContent = `${title}: ${image.error?.message ?? ""}`;
}

/** @param {Order} order @param {HTMLElement} tile */
function drop(order, tile) {
  forget(order);
  tile.remove();
  making.hidden = making.children.length === 0;
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
  localStorage.setItem(DRAFT, prompt.value);
  const kept = Object.fromEntries(REMEMBERED.map((name) => [name, field(name)?.value ?? ""]));
  localStorage.setItem(OPTIONS, JSON.stringify(kept));
  showChosen();
  clearTimeout(pause);
  pause = setTimeout(showPrice, PRICE_PAUSE_MS);
}
form.addEventListener("input", update);

async function showPrice() {
  const number = ++asked;
  let text = "";
  if (prompt.value.trim()) {
    try {
      const count = Number(field("n")?.value ?? 1);
      const found = await call("POST", "price", { ...bodyOfForm(), n: count });
      text = describe(found);
      price.title = found.usd_max === null ? "" : `at most $${found.usd_max}`;
    } catch {
      // The reason is said when the picture is asked for.
    }
  }
  if (number === asked) price.textContent = text;
}

/** @param {{usd_typical: string | null, usd_max: string | null}} found */
function describe({ usd_typical: typical, usd_max: most }) {
  const usd = typical ?? most;
  if (usd === null) return "price unknown";
  if (Number(usd) === 0) return "free";
  return `${typical === null ? "at most" : "about"} $${Number(usd) < 0.1 ? Number(usd).toFixed(3) : Number(usd).toFixed(2)}`;
}

function showChosen() {
  const words = ["size", "quality", "visibility"]
    .map((name) => field(name))
    .filter((found) => found instanceof HTMLSelectElement && found.selectedIndex > 0)
    .map((found) => /** @type {HTMLSelectElement} */ (found).selectedOptions[0].text);
  const count = Number(field("n")?.value ?? 1);
  if (count > 1) words.push(`${count}×`);
  const chosen = document.querySelector("#chosen");
  if (chosen) chosen.textContent = words.join(", ") || "Options";
}

// What was chosen and typed before, unless the address brings its own.
if (!prompt.value) {
  const kept = JSON.parse(localStorage.getItem(OPTIONS) ?? "{}");
  for (const name of REMEMBERED) {
    const found = field(name);
    if (found && kept[name]) found.value = kept[name];
  }
  for (const select of form.querySelectorAll("select")) if (select.selectedIndex < 0) select.selectedIndex = 0;
  prompt.value = localStorage.getItem(DRAFT) ?? "";
} else {
  prompt.focus();
}
showChosen();
void showPrice();

// Folded away again with a click elsewhere or Escape.
const options = /** @type {HTMLDetailsElement} */ (form.querySelector(".options"));
addEventListener("click", (event) => {
  if (event.target instanceof Node && !options.contains(event.target)) options.open = false;
});
options.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  options.open = false;
  options.querySelector("summary")?.focus();
});

// Leaving the page lost nothing: the tiles are there again.
for (const order of orders()) void make(order, tileOf(order));
