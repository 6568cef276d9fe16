/** Zoom of the picture that is shown: fitted, or pixel by pixel. */

/** @param {HTMLElement} view */
export function watchZoom(view) {
  const stage = view.querySelector(".stage");
  const full = stage?.querySelector(".full");
  const whole = full?.querySelector(".whole");
  if (!stage || !(full instanceof HTMLElement) || !(whole instanceof HTMLImageElement)) return;
  full.setAttribute("aria-label", `Show every pixel: ${whole.alt}`);
  full.setAttribute("role", "button");
  full.setAttribute("aria-pressed", "false");
  full.removeAttribute("title");
  const toggle = () => {
    const isZoomed = stage.classList.toggle("zoomed");
    full.setAttribute("aria-pressed", String(isZoomed));
  };
  full.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    toggle();
  });
  full.addEventListener("keydown", (event) => {
    if (event.key !== " ") return;
    event.preventDefault();
    toggle();
  });
}
