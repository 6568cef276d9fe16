/** "Vary": another picture like the one that is shown, with one click that is paid for once. */

import { CallError, newKey, send } from "./api.js";
import { toast } from "./toast.js";

/** Takes away the notice of what went wrong before. */
let dismiss = () => {};

/**
 * Have a picture varied, and go to the new one. The key is kept until its picture is shown: another click after a lost
 * answer, a reload or the way back joins what is being made.
 * @param {HTMLFormElement} form
 */
export async function vary(form) {
  if (form.ariaBusy) return;
  const place = `pixyproxy.vary.${new URL(form.action).pathname}`;
  const key = localStorage.getItem(place) ?? newKey();
  const forget = () => localStorage.removeItem(place);
  localStorage.setItem(place, key);
  form.ariaBusy = "true";
  dismiss();
  try {
    const headers = { Accept: "application/json" };
    const response = await send(form.action, { method: "POST", body: new URLSearchParams({ key }), headers });
    addEventListener("pagehide", forget, { once: true });
    location.assign(response.url);
  } catch (error) {
    const { status, message, isLost } = error instanceof CallError ? error : new CallError(String(error), 0);
    // The picture has changed since the key was used: this is another request.
    if (status === 422) forget();
    const retry = isLost || status >= 500 ? { label: "Try again", act: () => void vary(form) } : {};
    dismiss = toast(isLost ? message : `No picture is made: ${message}`, { ...retry, isProblem: true });
  } finally {
    form.ariaBusy = null;
  }
}
