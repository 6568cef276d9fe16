/** Two pictures side by side: both fitted, or both pixel by pixel and scrolled together. */

const pair = /** @type {HTMLElement} */ (document.querySelector("#pair"));
const button = /** @type {HTMLButtonElement} */ (document.querySelector("#zoom"));
const panes = /** @type {HTMLElement[]} */ ([...pair.querySelectorAll(".pane")]);

button.hidden = false;
button.addEventListener("click", () => {
  const isZoomed = pair.classList.toggle("zoomed");
  button.setAttribute("aria-pressed", String(isZoomed));
  // What scrolls must be in reach of the keyboard.
  for (const pane of panes) pane.tabIndex = isZoomed ? 0 : -1;
});

/** The pane that follows the other; its own event must not move that one back. @type {HTMLElement | null} */
let follower = null;
for (const pane of panes) {
  pane.addEventListener("scroll", () => {
    if (follower === pane) {
      follower = null;
      return;
    }
    const other = panes[pane === panes[0] ? 1 : 0];
    const [left, top] = [other.scrollLeft, other.scrollTop];
    other.scrollLeft = share(pane.scrollLeft, pane.scrollWidth - pane.clientWidth) * (other.scrollWidth - other.clientWidth);
    other.scrollTop = share(pane.scrollTop, pane.scrollHeight - pane.clientHeight) * (other.scrollHeight - other.clientHeight);
    if (other.scrollLeft !== left || other.scrollTop !== top) follower = other;
  });
}

/** @param {number} part @param {number} whole */
function share(part, whole) {
  return whole > 0 ? part / whole : 0;
}
