/** The page of one picture: its actions, and keys and swipes to go on. */

import { awaitPicture, enliven } from "./picture.js";
import { watchSwipes } from "./swipe.js";
import { toast } from "./toast.js";
import { watchZoom } from "./zoom.js";

const view = /** @type {HTMLElement} */ (document.querySelector("main.view"));

/** @param {string} name */
function link(name) {
  return /** @type {HTMLAnchorElement | null} */ (document.querySelector(`[data-nav=${name}]:not([hidden])`));
}

enliven(view, {
  onDelete: () => document.querySelector("main.view")?.classList.add("gone"),
  onUndo: () => {
    document.querySelector("main.view")?.classList.remove("gone");
    toast("The picture stays.");
  },
  // @ts-ignore: an optional hook
  onDeleted: () => location.assign(link("close")?.href ?? "/"),
  onShow: watchZoom,
});
watchZoom(view);
void awaitPicture(view, location.href, () => location.reload());

/** @param {number} step */
function go(step) {
  link(step > 0 ? "older" : "newer")?.click();
}

watchSwipes(document.body, go);
addEventListener("keydown", (event) => {
  const field = event.target instanceof Element && event.target.closest("input, textarea, select");
  if (field || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "ArrowRight") go(1);
  else if (event.key === "ArrowLeft") go(-1);
  else if (event.key === "Escape") link("close")?.click();
});
