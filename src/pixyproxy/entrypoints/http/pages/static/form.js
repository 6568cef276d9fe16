/** The form of the prompt bar: what it asks for, and what the browser remembers of it. */

import { sourceFields } from "./sources.js";

const REMEMBERED = ["size", "quality", "output_format", "background", "visibility", "model", "n", "partial_images"];

export const form = /** @type {HTMLFormElement} */ (document.querySelector("#make"));
export const prompt = /** @type {HTMLTextAreaElement} */ (form.elements.namedItem("prompt"));
/** The name of the user, empty without a login. */
export const user = document.body.dataset.user ?? "";
const OPTIONS = `pixyproxy.options.${user}`;
const DRAFT = `pixyproxy.draft.${user}`;

/** @param {string} name */
function field(name) {
  return /** @type {HTMLInputElement | HTMLSelectElement | null} */ (form.elements.namedItem(name));
}

const early = /** @type {HTMLSelectElement | null} */ (field("partial_images"));
early?.closest("label")?.removeAttribute("hidden");

/** The number of pictures that are wanted. */
export function count() {
  return Number(field("n")?.value ?? 1);
}

/** Return the body of `POST /image`. @returns {Record<string, any>} */
export function bodyOfForm() {
  /** @type {Record<string, any>} */
  const body = { prompt: prompt.value };
  for (const name of ["model", "size", "quality", "background", "output_format", "visibility"]) {
    const value = field(name)?.value.trim();
    if (value) body[name] = value;
  }
  const earlyViews = Number(field("partial_images")?.value ?? 0);
  if (earlyViews > 0) body.partial_images = earlyViews;
  const tags = (field("tags")?.value ?? "").split(/[,\n]/).map((tag) => tag.trim().replace(/^#/, "")).filter(Boolean);
  if (tags.length > 0) body.tags = tags;
  return { ...body, ...sourceFields() };
}

/** Keep what is typed and chosen for the next time. */
export function remember() {
  localStorage.setItem(DRAFT, prompt.value);
  const kept = Object.fromEntries(REMEMBERED.map((name) => [name, field(name)?.value ?? ""]));
  // Left to the service, which knows whether they are free.
  if (early?.selectedOptions[0]?.defaultSelected) kept.partial_images = "";
  localStorage.setItem(OPTIONS, JSON.stringify(kept));
  showChosen();
}

function showChosen() {
  const words = ["size", "quality", "visibility"]
    .map((name) => field(name))
    .filter((found) => found instanceof HTMLSelectElement && found.selectedIndex > 0)
    .map((found) => /** @type {HTMLSelectElement} */ (found).selectedOptions[0].text);
  if (count() > 1) words.push(`${count()}×`);
  const others = ["output_format", "background", "model"].map((name) => field(name));
  words.push(...others.flatMap((other) => (other?.value ? (other instanceof HTMLSelectElement ? other.selectedOptions[0].text : other.value.trim()) : [])));
  const chosen = document.querySelector("#chosen");
  if (chosen) chosen.textContent = words.join(", ") || "Options";
}

// What was chosen and typed before, unless the address brings its own.
if (!prompt.value) {
  const kept = JSON.parse(localStorage.getItem(OPTIONS) ?? "{}");
  for (const name of REMEMBERED) {
    const found = field(name);
    if (found && kept[name]) found.value = kept[name];
  }
  for (const select of form.querySelectorAll("select")) if (select.selectedIndex < 0) select.selectedIndex = 0;
  prompt.value = localStorage.getItem(DRAFT) ?? "";
} else {
  prompt.focus();
}
showChosen();

// Folded away again with a click elsewhere or Escape.
const options = /** @type {HTMLDetailsElement} */ (form.querySelector(".options"));
addEventListener("click", (event) => {
  if (event.target instanceof Node && !options.contains(event.target)) options.open = false;
});
options.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  options.open = false;
  options.querySelector("summary")?.focus();
});
