/** One's own files, and what is dropped, as pictures to edit. */

import { root } from "./api.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
const MOST_BYTES = 50 * 1024 * 1024;
/** Of a picture that is encoded anew. */
const QUALITY = 0.95;
/** The begin of EXIF data in a JPEG, WebP or PNG, up to the header of four bytes that tells their byte order. */
const EXIF = /(?:Exif\0\0|EXIF[^]{4}|eXIf)(II|MM)(?:\*\0|\0\*)/g;
const TIFF_HEADER = 4;
const ORIENTATION = 0x0112;
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
 * Return a picture whose pixels lie as they are shown. Cameras store them turned or mirrored, and a mask that is painted
 * on what is shown has to lie on the same pixels. Throw an error if the browser cannot draw it.
 * @param {File} file @param {ImageBitmap} bitmap @returns {Promise<Blob>}
 */
async function upright(file, bitmap) {
  if (!isTurned(await file.arrayBuffer())) return file;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d")?.drawImage(bitmap, 0, 0);
  /** @type {Blob | null} */
  const turned = await new Promise((resolve) => canvas.toBlob(resolve, file.type, QUALITY));
  if (!turned) throw new Error(`${file.name.slice(0, 100)} is left out: it cannot be turned upright.`);
  return turned;
}

/**
 * Return whether the EXIF data of a picture may turn it. Its pixels do not tell: Chromium draws a turned JPEG the same
 * with the `imageOrientation` "none".
 * @param {ArrayBuffer} buffer
 */
function isTurned(buffer) {
  // One character a byte.
  const text = new TextDecoder("latin1").decode(buffer);
  return [...text.matchAll(EXIF)].some((found) => {
    const data = new DataView(buffer, found.index + found[0].length - TIFF_HEADER);
    const isLittle = found[1] === "II";
    try {
      const start = data.getUint32(TIFF_HEADER, isLittle) + 2;
      const count = data.getUint16(start - 2, isLittle);
      const tags = Array.from({ length: count }, (_, index) => start + 12 * index);
      const tag = tags.find((place) => data.getUint16(place, isLittle) === ORIENTATION);
      return tag !== undefined && data.getUint16(tag + 8, isLittle) !== 1;
    } catch {
      // It is broken: what is shown is right in any case.
      return true;
    }
  });
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
