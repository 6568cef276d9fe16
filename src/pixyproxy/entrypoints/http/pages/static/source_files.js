/** One's own files, and what is dropped, as pictures to edit. */

import { root } from "./api.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 50 * 1024 * 1024;
const GUID = /[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/;

/**
 * Return a file as a picture to edit; throw an error that says why it is none.
 * @param {File} file @returns {Promise<import("./sources.js").Source>}
 */
export async function readPicture(file) {
  const name = file.name.slice(0, 100);
  if (!TYPES.includes(file.type)) throw new Error(`${name} is left out: only PNG, JPEG and WebP can be edited.`);
  if (file.size > MOST_BYTES) throw new Error(`${name} is left out: a file may have 50 MiB.`);
  const bitmap = await createImageBitmap(file).catch(() => null);
  if (!bitmap) throw new Error(`${name} is left out: it cannot be read as a picture.`);
  const { width, height } = bitmap;
  const blob = await upright(file, bitmap);
  bitmap.close();
  const address = URL.createObjectURL(blob);
  return { file: blob, address, thumbnail: address, name, size: `${width}x${height}` };
}

/**
 * Return a picture whose pixels lie as they are shown. Cameras store them turned, and a mask has to have their size.
 * @param {File} file @param {ImageBitmap} bitmap
 */
async function upright(file, bitmap) {
  if (file.type !== "image/jpeg") return file;
  const raw = await createImageBitmap(file, { imageOrientation: "none" });
  const isTurned = raw.width !== bitmap.width;
  raw.close();
  if (!isTurned) return file;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  const turned = await new Promise((resolve) => canvas.toBlob(resolve, "image/jpeg", 0.95));
  return /** @type {Blob} */ (turned ?? file);
}

/** Return whether files or an address are dragged. @param {DataTransfer} transfer */
export function isUpload({ types }) {
  return types.includes("Files") || types.includes("text/uri-list");
}

/** Return the GUID of a stored picture whose address is dropped, null for all else. @param {DataTransfer} transfer */
export function guidOf(transfer) {
  const address = transfer.getData("text/uri-list").split(/\r?\n/).find((line) => line && !line.startsWith("#")) ?? "";
  const own = ["view/", "image/"].some((path) => address.startsWith(new URL(root + path, location.href).href));
  return own ? (GUID.exec(address)?.[0] ?? null) : null;
}
