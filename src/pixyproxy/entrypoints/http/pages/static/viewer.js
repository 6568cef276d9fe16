/** The dialog that shows one picture over the gallery; its address is that of the picture's own page. */

import { page } from "./api.js";
import { awaitPicture, enliven } from "./picture.js";
import { toast } from "./toast.js";
import { watchZoom } from "./zoom.js";

const SWIPE_PX = 60;

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector("#viewer"));
/** The call for the picture that was asked for last. */
let current = new AbortController();
/** Shows more of the list, and says whether there was more. @type {() => Promise<boolean>} */
let loadMore = async () => false;

/** @param {() => Promise<boolean>} load */
export function watchTiles(load) {
  loadMore = load;
  document.querySelector("main")?.addEventListener("click", (event) => {
    const link = /** @type {Element} */ (event.target).closest(".tile a");
    const isPlain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (!(link instanceof HTMLAnchorElement) || !isPlain) return;
    event.preventDefault();
    history.pushState({ viewer: true }, "", link.href);
    void show(link.href);
  });
}

/** The tiles in their order, without those that are about to be deleted. */
function tiles() {
  return /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main .tile[data-guid]:not([hidden])")]);
}

/** @param {string} guid */
function tileOf(guid) {
  return /** @type {HTMLElement | null} */ (document.querySelector(`main .tile[data-guid="${CSS.escape(guid)}"]`));
}

/** @param {string} address */
async function show(address) {
  current.abort();
  current = new AbortController();
  const { signal } = current;
  if (!dialog.open) dialog.showModal();
  dialog.setAttribute("aria-busy", "true");
  try {
    const found = await page(address, signal);
    const main = found.querySelector("main.view");
    if (!main || signal.aborted) return;
    const view = document.createElement("div");
    view.className = "view";
    Object.assign(view.dataset, /** @type {HTMLElement} */ (main).dataset);
    view.append(...main.childNodes);
    const toasts = document.createElement("div");
    toasts.className = "toasts";
    toasts.role = "status";
    dialog.replaceChildren(view, toasts);
    document.title = found.title;
    ready(view);
    enliven(view, hooks);
    void awaitPicture(view, address, () => void show(address));
    /** @type {HTMLElement | null} */ (view.querySelector("[data-nav=close]"))?.focus();
  } catch (error) {
    if (signal.aborted) return;
    toast(error instanceof Error ? error.message : String(error), { isProblem: true });
    if (!dialog.querySelector(".view")) leave();
  } finally {
    if (!signal.aborted) dialog.removeAttribute("aria-busy");
  }
}

/** @param {HTMLElement} view */
function ready(view) {
  watchZoom(view);
  const guid = view.dataset.guid ?? "";
  const list = tiles();
  const index = list.findIndex((tile) => tile.dataset.guid === guid);
  /** @type {[string, boolean][]} */
  const steps = [
    ["newer", index > 0],
    ["older", index >= 0 && (index < list.length - 1 || document.querySelector("#next") !== null)],
  ];
  for (const [name, isThere] of steps) {
    const link = view.querySelector(`[data-nav=${name}]`);
    link?.toggleAttribute("hidden", !isThere);
  }
}

const hooks = {
  /** @param {string} guid */
  onDelete(guid) {
    if (tileOf(guid)) tileOf(guid)?.setAttribute("hidden", "");
    leave();
  },
  /** @param {string} guid */
  onUndo(guid) {
    tileOf(guid)?.removeAttribute("hidden");
  },
  /** @param {string} guid */
  onDeleted(guid) {
    tileOf(guid)?.remove();
  },
  onShow: ready,
};

/** @param {number} step */
async function go(step) {
  const guid = /** @type {HTMLElement | null} */ (dialog.querySelector(".view"))?.dataset.guid;
  const index = tiles().findIndex((tile) => tile.dataset.guid === guid);
  if (index < 0 || index + step < 0) return;
  if (index + step >= tiles().length && !(await loadMore())) return;
  const link = tiles()[index + step]?.querySelector("a");
  if (!link) return;
  link.scrollIntoView({ block: "nearest" });
  // Back closes the dialog, however far one went in it.
  history.replaceState({ viewer: true }, "", link.href);
  await show(link.href);
}

/** Close the dialog by going back to the address of the gallery. */
function leave() {
  if (history.state?.viewer) history.back();
  else hide();
}

function hide() {
  current.abort();
  if (!dialog.open) return;
  const guid = /** @type {HTMLElement | null} */ (dialog.querySelector(".view"))?.dataset.guid ?? "";
  const undo = dialog.querySelector(".toast");
  dialog.close();
  // What can be undone must stay in reach.
  if (undo) document.querySelector("#toasts")?.append(...dialog.querySelectorAll(".toast"));
  dialog.replaceChildren();
  document.title = document.body.dataset.title ?? document.title;
  const last = document.querySelector("#toasts .toast:last-child button") ?? tileOf(guid)?.querySelector("a");
  /** @type {HTMLElement | null} */ (last)?.focus({ preventScroll: true });
}

addEventListener("popstate", () => {
  if (history.state?.viewer) void show(location.href);
  else hide();
});

dialog.addEventListener("cancel", (event) => {
  event.preventDefault();
  leave();
});
dialog.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("[data-nav]");
  if (!(link instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  if (link.dataset.nav === "close") leave();
  else void go(link.dataset.nav === "newer" ? -1 : 1);
});
dialog.addEventListener("keydown", (event) => {
  const field = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") void go(1);
  else if (event.key === "ArrowLeft") void go(-1);
});

/** Where a finger went down on the picture. */
let startX = 0;
let startY = 0;
dialog.addEventListener("touchstart", (event) => {
  startX = event.touches.length === 1 ? event.touches[0].clientX : NaN;
  startY = event.touches[0].clientY;
}, { passive: true });
dialog.addEventListener("touchend", (event) => {
  const across = event.changedTouches[0].clientX - startX;
  const down = event.changedTouches[0].clientY - startY;
  const isOnStage = event.target instanceof Element && event.target.closest(".stage:not(.zoomed)");
  if (isOnStage && Math.abs(across) > SWIPE_PX && Math.abs(across) > 2 * Math.abs(down)) void go(across < 0 ? 1 : -1);
}, { passive: true });
