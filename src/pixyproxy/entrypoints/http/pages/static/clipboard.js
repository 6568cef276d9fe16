/** The clipboard. */

import { toast } from "./toast.js";

/**
 * Copy a text and say so.
 * @param {string} text @param {string} done
 */
export async function copy(text, done) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // On http to other hosts there is no clipboard.
    const field = document.createElement("textarea");
    field.value = text;
    (document.querySelector("dialog:modal") ?? document.body).append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  toast(done);
}
