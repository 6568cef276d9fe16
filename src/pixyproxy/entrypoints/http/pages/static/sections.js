/** The sections of a long gallery: those far out of sight are emptied, and filled again before they are seen. */

/** Sections that stay filled wherever they are, for searches in the page and for readers of the screen. */
const MOST_FILLED = 20;
/** How far from the window a section is filled. */
const MARGIN = "300% 0px";

/** What was in the sections that are empty now, outside of the memory of scripts. @type {Map<Element, Blob>} */
const packed = new Map();
/** @type {WeakSet<Element>} */
const near = new WeakSet();
let count = 0;

const observer = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting, boundingClientRect } of entries) {
    if (isIntersecting) {
      near.add(target);
      void fill(/** @type {HTMLElement} */ (target));
    } else {
      near.delete(target);
      empty(/** @type {HTMLElement} */ (target), boundingClientRect.height);
    }
  }
}, { rootMargin: MARGIN });

/** Look after a section that was added. @param {Element} section */
export function watchSection(section) {
  count += 1;
  observer.observe(section);
}

/** Forget all sections: others take their places. */
export function forgetSections() {
  observer.disconnect();
  packed.clear();
  count = 0;
}

/** @param {HTMLElement} section @param {number} height */
function empty(section, height) {
  // A tile that is hidden may be shown again by "Undo".
  const isUsed = section.contains(document.activeElement) || section.querySelector(".tile[hidden]") !== null;
  if (count - packed.size <= MOST_FILLED || packed.has(section) || isUsed || height === 0) return;
  packed.set(section, new Blob([section.innerHTML]));
  section.style.minBlockSize = `${height}px`;
  section.replaceChildren();
}

/** Fill a section that is near, unless it is far again by then. @param {HTMLElement} section */
async function fill(section) {
  const text = await packed.get(section)?.text();
  if (text !== undefined && near.has(section)) show(section, text);
}

/** Fill a section wherever it is. @param {HTMLElement} section */
export async function fillSection(section) {
  const text = await packed.get(section)?.text();
  if (text !== undefined) show(section, text);
}

/** @param {HTMLElement} section @param {string} text */
function show(section, text) {
  if (!packed.delete(section)) return;
  // It is as the service sent it.
  section.innerHTML = text;
  section.style.minBlockSize = "";
}

/** Return whether a section is emptied. @param {Element} section */
export function isEmptied(section) {
  return packed.has(section);
}

/**
 * Return the emptied section that has a text, null if none has.
 * @param {string} text @returns {Promise<HTMLElement | null>}
 */
export async function sectionWith(text) {
  for (const [section, blob] of packed) {
    if ((await blob.text()).includes(text)) return /** @type {HTMLElement} */ (section);
  }
  return null;
}
