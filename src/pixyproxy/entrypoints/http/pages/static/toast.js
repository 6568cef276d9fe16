/** Short notices at the edge of the page, which a screen reader reads out. */

const STAYS_MS = 6000;

/**
 * Show a notice, perhaps with a button; return a function that takes it away. A problem stays until it is dismissed, and
 * is shown once however often it comes.
 * @param {string} text
 * @param {{label?: string, act?: () => void, staysMs?: number, isProblem?: boolean}} [options]
 */
export function toast(text, { label, act, staysMs = STAYS_MS, isProblem = false } = {}) {
  for (const same of isProblem ? document.querySelectorAll(".toast.problem") : []) {
    if (same.firstElementChild?.textContent === text) same.remove();
  }
  const notice = document.createElement("div");
  notice.className = isProblem ? "toast problem" : "toast";
  const words = document.createElement("span");
  words.textContent = text;
  notice.append(words);
  // A modal dialog covers what is outside of it.
  const open = document.querySelector("dialog:modal");
  const place = open?.querySelector(".toasts") ?? document.querySelector("#toasts");
  const timer = isProblem ? 0 : setTimeout(remove, staysMs);
  // What went wrong without a network is over when it returns.
  if (isProblem && !navigator.onLine) addEventListener("online", remove, { once: true });
  function remove() {
    clearTimeout(timer);
    notice.remove();
  }
  /** @param {string} words @param {() => void} [act] */
  function addButton(words, act) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", () => {
      remove();
      act?.();
    });
    notice.append(button);
  }
  if (label) addButton(label, act);
  if (isProblem) addButton("Dismiss");
  place?.append(notice);
  return remove;
}
