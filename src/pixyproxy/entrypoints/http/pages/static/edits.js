/** Edits with files: what `POST /image` does not take goes to OpenAI's API as a form, once for all pictures of a click. */

import { root, send } from "./api.js";

/** Several pictures that are made from files by one call, under one key: the files are sent once. */
export class Batch {
  /** @type {Promise<{guid: string}[]> | null} */
  #answer = null;

  /** @param {Record<string, any>} body @param {import("./sources.js").Upload} upload @param {number} count @param {string} key */
  constructor(body, upload, count, key) {
    this.body = body;
    this.upload = upload;
    this.count = count;
    this.key = key;
  }

  /**
   * Have the pictures begun, all by whoever asks first, and return one of them.
   * @param {number} place
   */
  async begin(place) {
    this.#answer ??= beginEdit(this);
    try {
      return (await this.#answer)[place];
    } catch (error) {
      // Sent again by whoever tries again first.
      this.#answer = null;
      throw error;
    }
  }
}

/** @param {Batch} batch @returns {Promise<{guid: string}[]>} */
async function beginEdit({ body, upload, count, key }) {
  const data = new FormData();
  for (const [name, value] of Object.entries(body)) {
    // The sources are in the upload.
    if (name === "edit_of" || name === "edit_sizes") continue;
    for (const text of [value].flat()) data.append(name, asTyped(text));
  }
  if (count > 1) data.append("n", String(count));
  for (const image of upload.images) data.append("image[]", image);
  if (upload.mask) data.append("mask", upload.mask, "mask.png");
  const headers = { "Idempotency-Key": key, Prefer: "respond-async" };
  const response = await send(`${root}v1/images/edits`, { method: "POST", body: data, headers });
  return (await response.json()).data;
}

/** Return a text as a part of a form, which would end its lines with CRLF if it were a string. @param {string} text */
function asTyped(text) {
  return new Blob([text], { type: "text/plain;charset=utf-8" });
}

/** What the service has not taken yet: a browser keeps no files, so that whoever leaves loses it. @type {Set<object>} */
const unsent = new Set();

/** @param {BeforeUnloadEvent} event */
function warn(event) {
  event.preventDefault();
}

/**
 * Have the browser warn those who leave before something is sent, or no longer. A page without the listener can be kept
 * for the way back.
 * @param {object} what @param {boolean} isUnsent
 */
export function warnOfLeaving(what, isUnsent) {
  if (isUnsent) unsent.add(what);
  else unsent.delete(what);
  if (unsent.size > 0) addEventListener("beforeunload", warn);
  else removeEventListener("beforeunload", warn);
}
