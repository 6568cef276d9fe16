/** Tiles of pictures that are being made: their words and buttons. */

const making = /** @type {HTMLElement} */ (document.querySelector("#making"));
let tiles = 0;

/**
 * Show a tile for a picture, of the shape that was asked for.
 * @param {string} prompt @param {string} [size]
 */
export function addTile(prompt, size = "1x1") {
  const tile = document.createElement("figure");
  const [width, height] = size.split("x").map(Number);
  tile.className = "tile wait";
  shape(tile, width, height);
  tile.tabIndex = -1;
  const caption = document.createElement("figcaption");
  caption.dir = "auto";
  caption.id = `making-${(tiles += 1)}`;
  caption.textContent = prompt.slice(0, 300);
  tile.append(document.createElement("div"), caption);
  tile.setAttribute("aria-labelledby", caption.id);
  making.prepend(tile);
  making.hidden = false;
  return tile;
}

/** @param {HTMLElement} tile */
export function removeTile(tile) {
  tile.remove();
  making.hidden = making.children.length === 0;
}

/**
 * Say how it stands in a tile. Buttons with the same labels stay, so that the focus does.
 * @param {HTMLElement} tile @param {string} title @param {string} [text]
 * @param {[string, (button: HTMLButtonElement) => void][]} [buttons]
 */
export function say(tile, title, text = "", buttons = []) {
  let box = /** @type {HTMLElement} */ (tile.firstElementChild);
  const labels = buttons.map(([label]) => label).join();
  if (box.dataset.labels !== labels) {
    const fresh = boxWith(buttons, tile.getAttribute("aria-labelledby") ?? "");
    fresh.dataset.labels = labels;
    const hadFocus = box.contains(document.activeElement);
    box.replaceWith(fresh);
    if (hadFocus) /** @type {HTMLElement} */ (fresh.querySelector("button") ?? tile).focus();
    box = fresh;
  }
  for (const [part, words] of [["b", title], ["span", text]]) {
    const element = /** @type {HTMLElement} */ (box.querySelector(part));
    if (element.textContent !== words) element.textContent = words;
  }
}

/** @param {[string, (button: HTMLButtonElement) => void][]} buttons @param {string} describedBy */
function boxWith(buttons, describedBy) {
  const box = document.createElement("div");
  box.className = "state";
  box.append(document.createElement("b"), document.createElement("span"));
  for (const [label, act] of buttons) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = label;
    button.setAttribute("aria-describedby", describedBy);
    button.addEventListener("click", () => act(button));
    box.append(button);
  }
  return box;
}

/**
 * Show an early view in a tile, which takes its shape.
 * @param {HTMLElement} tile @param {string} picture In base64.
 */
export function showEarly(tile, picture) {
  let view = /** @type {HTMLImageElement | null} */ (tile.querySelector("img.early"));
  if (!view) {
    view = document.createElement("img");
    view.className = "early";
    view.alt = "Early view";
    view.addEventListener("load", () => shape(tile, view?.naturalWidth ?? 1, view?.naturalHeight ?? 1));
    const badge = document.createElement("span");
    badge.className = "early badge";
    badge.ariaHidden = "true";
    badge.textContent = "early view";
    tile.firstElementChild?.after(view, badge);
  }
  // The browser finds out the format.
  view.src = `data:image/png;base64,${picture}`;
}

/** @param {HTMLElement} tile */
export function hideEarly(tile) {
  for (const part of tile.querySelectorAll(".early")) part.remove();
}

/** @param {HTMLElement} tile @param {number} width @param {number} height */
function shape(tile, width, height) {
  // The page's policy forbids styles in HTML, not those that a script sets.
  tile.style.setProperty("--r", String(Math.min(4, Math.max(0.25, width / height || 1))));
}

/**
 * Return the place in the queue and the time to go in words.
 * @param {{position: number, eta_s: number | null} | null} queue
 */
export function placeOf(queue) {
  if (!queue) return ["In line", ""];
  const { position, eta_s: seconds } = queue;
  const isTeen = [11, 12, 13].includes(position % 100);
  const ending = isTeen ? "th" : (["th", "st", "nd", "rd"][position % 10] ?? "th");
  const time = seconds === null ? "" : seconds < 100 ? `about ${seconds} s` : `about ${Math.round(seconds / 60)} min`;
  return [`${position}${ending} in line`, time];
}
