/** The dialog that shows one picture over the gallery; its address is that of the picture's own page. */

import { page } from "./api.js";
import { glanceAt } from "./glance.js";
import { findTile, sidesOf, tileBeside } from "./neighbours.js";
import { awaitPicture, enliven } from "./picture.js";
import { watchSwipes } from "./swipe.js";
import { toast } from "./toast.js";
import { watchZoom } from "./zoom.js";

const dialog = /** @type {HTMLDialogElement} */ (document.querySelector("#viewer"));
/** The picture that was asked for last, and the call for it. */
let asked = "";
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

/** @param {string} address */
async function show(address) {
  asked = new URL(address).pathname.split("/").at(-1) ?? "";
  current.abort();
  current = new AbortController();
  const { signal } = current;
  if (!dialog.open) {
    dialog.replaceChildren(glanceAt(document.querySelector(`main .tile[data-guid="${CSS.escape(asked)}"]`)));
    dialog.showModal();
  }
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
  const [newer, older] = [beyond(-1), beyond(1)];
  void sidesOf(view.dataset.guid ?? "").then(([hasNewer, hasOlder]) => {
    view.querySelector("[data-nav=newer]")?.toggleAttribute("hidden", !hasNewer && !newer);
    view.querySelector("[data-nav=older]")?.toggleAttribute("hidden", !hasOlder && !older);
  });
}

/** Return the address of the picture beside the one that is shown, as the service found it. @param {number} step */
function beyond(step) {
  if (/** @type {HTMLElement | null} */ (dialog.querySelector(".view"))?.dataset.guid !== asked) return null;
  const link = /** @type {HTMLAnchorElement | null} */ (dialog.querySelector(`[data-nav=${step > 0 ? "older" : "newer"}]`));
  return link && link.getAttribute("href") !== "#" ? link.href : null;
}

/** Hide the tile of a picture, or show it again. @param {string} guid @param {boolean} isHidden */
async function hideTile(guid, isHidden) {
  (await findTile(guid))?.toggleAttribute("hidden", isHidden);
}

const hooks = {
  /** @param {string} guid */
  onDelete(guid) {
    void hideTile(guid, true);
    leave();
  },
  /** @param {string} guid */
  onUndo(guid) {
    void hideTile(guid, false);
  },
  /** @param {string} guid */
  onDeleted(guid) {
    void findTile(guid).then((tile) => tile?.remove());
  },
  onShow: ready,
};

/** One after another, from the picture that was asked for last: whoever is quick skips some. @type {Promise<void>} */
let steps = Promise.resolve();

/** @param {number} step */
function go(step) {
  steps = steps.then(async () => {
    // A page of the gallery does not hold all pictures.
    const link = (await tileBeside(asked, step, loadMore))?.querySelector("a");
    const address = link?.href ?? beyond(step);
    if (!address || !dialog.open) return;
    link?.scrollIntoView({ block: "nearest" });
    // Back closes the dialog, however far one went in it.
    history.replaceState({ viewer: true }, "", address);
    void show(address);
  });
}

/** Close the dialog by going back to the address of the gallery. */
function leave() {
  if (history.state?.viewer) history.back();
  else hide();
}

function hide() {
  current.abort();
  if (!dialog.open) return;
  const undo = dialog.querySelector(".toast");
  dialog.close();
  // What can be undone must stay in reach.
  if (undo) document.querySelector("#toasts")?.append(...dialog.querySelectorAll(".toast"));
  dialog.replaceChildren();
  document.title = document.body.dataset.title ?? document.title;
  const last = /** @type {HTMLElement | null} */ (document.querySelector("#toasts .toast:last-child button"));
  if (last) last.focus({ preventScroll: true });
  else void findTile(asked).then((tile) => tile?.querySelector("a")?.focus({ preventScroll: true }));
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
  else go(link.dataset.nav === "newer" ? -1 : 1);
});
dialog.addEventListener("keydown", (event) => {
  const field = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") go(1);
  else if (event.key === "ArrowLeft") go(-1);
});

watchSwipes(dialog, go);
