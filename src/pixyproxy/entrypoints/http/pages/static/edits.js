/** Edits with files: what `POST /image` does not take goes to OpenAI's API as a form. */

import { root, send } from "./api.js";

/**
 * Have the service begin an edit, and return its GUID.
 * @param {Record<string, any>} body @param {import("./sources.js").Upload} upload @param {Record<string, string>} headers
 * @returns {Promise<{guid: string}>}
 */
export async function beginEdit(body, upload, headers) {
  const data = new FormData();
  for (const [name, value] of Object.entries(body)) {
    // The sources are in the upload.
    if (name === "edit_of" || name === "edit_sizes") continue;
    for (const text of [value].flat()) data.append(name, asTyped(text));
  }
  for (const image of upload.images) data.append("image[]", image);
  if (upload.mask) data.append("mask", upload.mask, "mask.png");
  const response = await send(`${root}v1/images/edits`, { method: "POST", body: data, headers });
  const { data: [made] } = await response.json();
  return made;
}

/** Return a text as a part of a form, which would end its lines with CRLF if it were a string. @param {string} text */
function asTyped(text) {
  return new Blob([text], { type: "text/plain;charset=utf-8" });
}
