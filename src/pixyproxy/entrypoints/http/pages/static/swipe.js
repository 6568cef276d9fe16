/** Swipes across the picture that is shown. */

const FAR_PX = 60;

/**
 * Call `go` with 1 for a swipe to the left, which asks for the older picture, and with -1 for one to the right.
 * @param {HTMLElement} element @param {(step: number) => void} go
 */
export function watchSwipes(element, go) {
  let startX = 0;
  let startY = 0;
  element.addEventListener("touchstart", ({ touches }) => {
    startX = touches.length === 1 ? touches[0].clientX : NaN;
    startY = touches[0].clientY;
  }, { passive: true });
  element.addEventListener("touchend", ({ changedTouches, target }) => {
    const across = changedTouches[0].clientX - startX;
    const down = changedTouches[0].clientY - startY;
    // Whoever has enlarged the picture moves in it.
    const isFitted = target instanceof Element && target.closest(".stage:not(.zoomed)") && visualViewport?.scale === 1;
    if (isFitted && Math.abs(across) > FAR_PX && Math.abs(across) > 2 * Math.abs(down)) go(across < 0 ? 1 : -1);
  }, { passive: true });
}
