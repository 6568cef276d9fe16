/** The order of the tiles, through sections that are emptied and pages that are not loaded yet. */

import { fillSection, isEmptied, sectionWith } from "./sections.js";

/** The tiles in an element in their order, without those that are about to be deleted. @param {ParentNode} parent */
function tilesIn(parent) {
  return /** @type {HTMLElement[]} */ ([...parent.querySelectorAll(".tile[data-guid]:not([hidden])")]);
}

/** The sections with tiles, those that are being made first. */
function sections() {
  return /** @type {HTMLElement[]} */ ([...document.querySelectorAll("main .rows")]);
}

/**
 * Return the tile of a picture, null if the gallery has none.
 * @param {string} guid @returns {Promise<HTMLElement | null>}
 */
export async function findTile(guid) {
  const selector = `main .tile[data-guid="${CSS.escape(guid)}"]`;
  if (!document.querySelector(selector)) {
    const section = await sectionWith(guid);
    if (section) await fillSection(section);
  }
  return /** @type {HTMLElement | null} */ (document.querySelector(selector));
}

/**
 * Return the tile beside the one of a picture, `step` -1 or 1, null at the end.
 * @param {string} guid @param {number} step
 * @param {() => Promise<boolean>} loadMore Shows more of the list, and says whether there was more.
 */
export async function tileBeside(guid, step, loadMore) {
  const tile = await findTile(guid);
  const own = tile?.closest(".rows");
  if (!tile || !own) return null;
  const list = tilesIn(own);
  const beside = list[list.indexOf(tile) + step];
  if (beside) return beside;
  for (let place = sections().findIndex((section) => section === own) + step; place >= 0; place += step) {
    if (place >= sections().length && !(await loadMore())) return null;
    const section = sections()[place];
    if (!section) return null;
    await fillSection(section);
    const found = tilesIn(section).at(step > 0 ? 0 : -1);
    if (found) return found;
  }
  return null;
}

/**
 * Return whether there are a newer and an older picture than this one.
 * @param {string} guid @returns {Promise<[boolean, boolean]>}
 */
export async function sidesOf(guid) {
  const tile = await findTile(guid);
  if (!tile) return [false, false];
  const isFilled = (/** @type {HTMLElement} */ section) => isEmptied(section) || tilesIn(section).length > 0;
  const own = sections().findIndex((section) => section.contains(tile));
  const list = tilesIn(sections()[own]);
  const isNewest = list[0] === tile && !sections().slice(0, own).some(isFilled);
  const isOldest = list.at(-1) === tile && !sections().slice(own + 1).some(isFilled);
  return [!isNewest, !isOldest || document.querySelector("#next") !== null];
}
