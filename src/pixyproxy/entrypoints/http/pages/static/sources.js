/** The pictures to edit in the prompt bar: stored ones and one's own files, with a mask for the first. */

import { call } from "./api.js";
import { guidOf, isUpload, readPicture } from "./source_files.js";
import { toast } from "./toast.js";

const MOST = 16;
const MOST_BYTES = 200 * 1024 * 1024;

const form = /** @type {HTMLFormElement} */ (document.querySelector("#make"));
const canEdit = form.dataset.edits !== undefined;
const list = /** @type {HTMLUListElement | null} */ (form.querySelector("#sources"));
const picker = /** @type {HTMLInputElement | null} */ (form.querySelector("input[type=file]"));
const adder = /** @type {HTMLButtonElement | null} */ (form.querySelector("#add-source"));
const status = /** @type {HTMLElement} */ (document.querySelector("#status"));

/**
 * A picture to edit: stored here (`guid`), or a file; `size` in pixels as `WIDTHxHEIGHT`.
 * @typedef {{guid?: string, file?: Blob, address: string, thumbnail: string, name: string, size: string}} Source
 * What is sent as files; two of the same `version` are the same.
 * @typedef {{images: (string | Blob)[], mask: Blob | null, version: number}} Upload
 */

/** @type {Source[]} */
let sources = [];
/** The mask of the first source, and a picture of it. @type {(import("./mask.js").Mask & {thumbnail: string}) | null} */
let mask = null;

/** Counts the changes of the sources and the mask. */
let changes = 0;

/** Return the fields of a request that name the sources: for `POST /image` if there are no files, and for `POST /price`. */
export function sourceFields() {
  /** @type {{edit_of?: string[], edit_sizes?: string[]}} */
  const fields = {};
  const stored = sources.flatMap(({ guid }) => guid ?? []);
  const sizes = sources.filter(({ file }) => file).map(({ size }) => size);
  if (mask) sizes.push(sources[0].size);
  if (stored.length > 0) fields.edit_of = stored;
  if (sizes.length > 0) fields.edit_sizes = sizes;
  return fields;
}

/** Return what has to be sent as files, null if the fields say it all. @returns {Upload | null} */
export function upload() {
  if (!mask && sources.every(({ guid }) => guid)) return null;
  const images = sources.map(({ guid, file }) => guid ?? /** @type {Blob} */ (file));
  return { images, mask: mask?.blob ?? null, version: changes };
}

/** @param {Source[]} found */
function add(found) {
  const left = Math.max(0, MOST - sources.length);
  if (found.length > left) problem(`At most ${MOST} pictures can be edited at once: ${found.length - left} left out.`);
  let bytes = sources.reduce((sum, { file }) => sum + (file?.size ?? 0), 0);
  const taken = found.slice(0, left).filter(({ file, name }) => {
    bytes += file?.size ?? 0;
    if (bytes > MOST_BYTES) problem(`${name} is left out: all files together may have 200 MiB.`);
    return bytes <= MOST_BYTES;
  });
  for (const source of found) if (!taken.includes(source)) release(source);
  if (taken.length === 0) return;
  sources.push(...taken);
  changed(`${sources.length === 1 ? "One picture" : `${sources.length} pictures`} to edit.`);
}

/** Have the browser forget a file. @param {Source} source */
function release({ file, address }) {
  if (file) URL.revokeObjectURL(address);
}

/** Add a stored picture. @param {string} guid */
async function addStored(guid) {
  if (!editing() || sources.some((source) => source.guid === guid)) return;
  try {
    const image = await call("GET", `image/${guid}`);
    if (image.status !== "ready") throw new Error("it is not there yet.");
    add([storedSource(image)]);
  } catch (error) {
    problem(`The picture cannot be edited: ${error instanceof Error ? error.message : error}`);
  }
}

/** @param {any} image @returns {Source} */
function storedSource({ guid, prompt, content_url: address, thumbnail_url: thumbnail, width, height }) {
  return { guid, address, thumbnail: `${thumbnail}?size=128`, name: prompt.slice(0, 100), size: `${width}x${height}` };
}

/** Add files. @param {Iterable<File>} files */
async function addFiles(files) {
  if (!editing()) return;
  /** @type {Source[]} */
  const found = [];
  for (const file of files) {
    try {
      found.push(await readPicture(file));
    } catch (error) {
      problem(error instanceof Error ? error.message : String(error));
    }
  }
  if (found.length > 0) add(found);
}

/** Return whether pictures can be edited here, and say so if not. */
function editing() {
  if (!canEdit) problem("The generator here makes pictures from prompts only: it cannot edit pictures.");
  return canEdit;
}

/** @param {string} text */
function problem(text) {
  toast(text, { isProblem: true });
}

/** Show the sources, say the change, and have the price asked for. @param {string} text */
function changed(text) {
  changes += 1;
  show();
  status.textContent = text;
  form.dispatchEvent(new Event("input"));
}

function show() {
  if (!list) return;
  const items = sources.map((source, index) =>
    itemOf(thumbnailOf(source.thumbnail, source.name, `Remove ${source.name}`, () => remove(index))));
  // The mask is one of the first picture, and stands beside it.
  if (sources.length > 0) items.splice(1, 0, itemOf(...maskParts()));
  list.replaceChildren(...items);
  list.hidden = sources.length === 0;
}

/** @param {HTMLElement[]} parts */
function itemOf(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  return item;
}

function maskParts() {
  const painter = buttonOf(mask ? "Change mask" : "Paint a mask", () => void paint());
  painter.title = "Paint over what of the first picture may change";
  painter.dataset.mask = "";
  if (!mask) return [painter];
  const thumbnail = thumbnailOf(mask.thumbnail, "The mask: what may change", "Remove the mask", removeMask);
  return [thumbnail, painter];
}

/** @param {string} address @param {string} alt @param {string} label @param {() => void} act */
function thumbnailOf(address, alt, label, act) {
  const box = document.createElement("span");
  const image = document.createElement("img");
  const button = buttonOf("×", act);
  image.src = address;
  image.alt = alt;
  image.width = image.height = 56;
  box.className = "thumb";
  button.className = "drop";
  button.setAttribute("aria-label", label);
  box.append(image, button);
  return box;
}

/** @param {string} text @param {() => void} act */
function buttonOf(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}

/** @param {number} index */
function remove(index) {
  const [gone] = sources.splice(index, 1);
  release(gone);
  const lostMask = index === 0 && mask !== null;
  if (lostMask) forgetMask();
  changed(lostMask ? "The picture and its mask are removed." : "The picture is removed.");
  const next = Math.min(index, sources.length - 1);
  // The button of the mask stands behind that of the first picture.
  focusOn(".drop", mask && next > 0 ? next + 1 : next);
}

function forgetMask() {
  if (mask) URL.revokeObjectURL(mask.thumbnail);
  mask = null;
}

function removeMask() {
  forgetMask();
  changed("The mask is removed.");
  focusOn("[data-mask]");
}

/** Move the focus to a control of the list, or to the one that adds. @param {string} selector @param {number} [index] */
function focusOn(selector, index = 0) {
  const control = list?.querySelectorAll(selector)[index] ?? adder;
  if (control instanceof HTMLElement) control.focus();
}

let isPainting = false;
async function paint() {
  // The editor opens once its picture is decoded.
  if (isPainting) return;
  isPainting = true;
  const [first] = sources;
  try {
    // The editor is loaded when it is used first.
    const { paintMask } = await import("./mask.js");
    const painted = await paintMask(first.address, mask?.marks ?? []);
    if (painted && sources[0] === first) {
      forgetMask();
      mask = { ...painted, thumbnail: URL.createObjectURL(painted.blob) };
      changed("The mask is set: only what is painted may change.");
    }
  } catch (error) {
    problem(`The mask cannot be painted: ${error instanceof Error ? error.message : error}`);
  } finally {
    isPainting = false;
  }
  focusOn("[data-mask]");
}

// Files are picked, dropped and pasted; pictures of the gallery are dropped too.
if (picker && adder) {
  const label = /** @type {HTMLElement} */ (picker.parentElement);
  label.hidden = true;
  adder.hidden = false;
  adder.addEventListener("click", () => picker.click());
  picker.addEventListener("change", () => {
    const files = [...(picker.files ?? [])];
    picker.value = "";
    void addFiles(files);
  });
}

/** Return whether a picture could be dropped or pasted here, which a dialog covers. */
function isOpen() {
  return document.querySelector("dialog:modal") === null;
}

addEventListener("dragstart", (event) => {
  const tile = event.target instanceof Element ? event.target.closest(".tile[data-guid]") : null;
  const link = tile?.querySelector("a");
  // A browser would offer the thumbnail as a file.
  if (link) event.dataTransfer?.setData("text/uri-list", link.href);
});
addEventListener("dragover", (event) => {
  if (!event.dataTransfer || !isUpload(event.dataTransfer)) return;
  event.preventDefault();
  if (isOpen()) form.classList.toggle("dropping", canEdit);
  else event.dataTransfer.dropEffect = "none";
});
addEventListener("dragleave", (event) => {
  if (event.relatedTarget === null) form.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  form.classList.remove("dropping");
  if (!event.dataTransfer || !isUpload(event.dataTransfer)) return;
  const guid = guidOf(event.dataTransfer);
  const files = [...event.dataTransfer.files];
  // Text that is dropped into the prompt stays text, and a file must not replace the page.
  if (!guid && files.length === 0) return;
  event.preventDefault();
  if (isOpen()) void (guid ? addStored(guid) : addFiles(files));
});
addEventListener("dragend", () => form.classList.remove("dropping"));
addEventListener("paste", (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  // Programs copy texts with a picture of them.
  if (files.length === 0 || event.clipboardData?.getData("text/plain") || !isOpen()) return;
  event.preventDefault();
  void addFiles(files);
});

// "Edit from this" adds to what is there already, and keeps the place in the gallery.
addEventListener("click", (event) => {
  const link = event.target instanceof Element ? event.target.closest("#viewer a[data-edit]") : null;
  if (!(link instanceof HTMLElement) || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const viewer = /** @type {HTMLDialogElement} */ (document.querySelector("#viewer"));
  const prompt = /** @type {HTMLElement} */ (form.elements.namedItem("prompt"));
  viewer.addEventListener("close", () => prompt.focus(), { once: true });
  /** @type {HTMLElement | null} */ (viewer.querySelector("[data-nav=close]"))?.click();
  void addStored(link.dataset.edit ?? "");
});

// Those that the address names: the page has them as boxes, for browsers without a script.
for (const box of list?.querySelectorAll("input") ?? []) {
  const image = /** @type {HTMLImageElement} */ (box.nextElementSibling);
  const { address = "", size = "" } = box.dataset;
  sources.push({ guid: box.value, address, thumbnail: image.src, name: image.alt.slice(0, 100), size });
}
show();
