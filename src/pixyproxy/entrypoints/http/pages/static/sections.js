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

/** @param {HTMLElement} section */
async function fill(section) {
  const blob = packed.get(section);
  if (!blob) return;
  const text = await blob.text();
  if (!near.has(section) || !packed.delete(section)) return;
  // It is as the service sent it.
  section.innerHTML = text;
  section.style.minBlockSize = "";
}
