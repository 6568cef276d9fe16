/** The actions on one picture: copy, tags, visibility, delete with Undo. The same in the dialog and on its own page. */

import { call, page, root } from "./api.js";
import { copy } from "./clipboard.js";
import { toast } from "./toast.js";
import { vary } from "./vary.js";

const UNDO_MS = 10_000;

/** Deletions that can still be undone, by GUID. @type {Map<string, () => void>} */
const waiting = new Map();

/**
 * Make the controls of a shown picture work.
 * @param {HTMLElement} view @param {{onDelete: (guid: string) => void, onUndo: (guid: string) => void}} hooks
 */
export function enliven(view, hooks) {
  for (const control of view.querySelectorAll("[data-action][hidden], .drop[hidden]")) control.removeAttribute("hidden");
  for (const time of view.querySelectorAll("time")) {
    time.textContent = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }
  view.addEventListener("click", (event) => {
    const control = /** @type {HTMLElement} */ (event.target).closest("button[data-action]");
    if (!(control instanceof HTMLButtonElement)) return;
    event.preventDefault();
    void act(view, control, hooks);
  });
  view.addEventListener("submit", (event) => {
    const form = /** @type {HTMLFormElement} */ (event.target);
    if (!["add-tag", "vary"].includes(form.dataset.action ?? "")) return;
    event.preventDefault();
    if (form.dataset.action === "vary") return void vary(form);
    const tag = String(new FormData(form).get("tag") ?? "").replace(/^#/, "").trim();
    if (tag) void change(view, { tags: [...tagsOf(view), tag] }, hooks, ".add input");
  });
}

/** @param {HTMLElement} view @param {HTMLButtonElement} control @param {any} hooks */
async function act(view, control, hooks) {
  const guid = view.dataset.guid ?? "";
  switch (control.dataset.action) {
    case "copy-prompt":
      return copy(view.querySelector("[data-prompt]")?.textContent ?? "", "The prompt is copied.");
    case "copy-link":
      return copyLink(guid, "signed" in control.dataset);
    case "drop-tag":
      return change(view, { tags: tagsOf(view).filter((tag) => tag !== control.dataset.tag) }, hooks, ".add input");
    case "visibility":
      return change(view, { visibility: control.dataset.to }, hooks, "[data-action=visibility]");
    case "hide":
      return change(view, { hidden: control.value === "hide" }, hooks, "[data-action=hide]");
    case "cancel":
      return cancel(guid, control, hooks);
    case "delete":
      return deleteLater(guid, hooks);
  }
}

/**
 * Cancel a picture while it waits; the service decides whether it still does. One that was begun goes on.
 * @param {string} guid @param {HTMLButtonElement} control @param {any} hooks
 */
async function cancel(guid, control, hooks) {
  control.disabled = true;
  try {
    await call("DELETE", `image/${guid}?status=queued`);
    hooks.onDelete(guid);
    hooks.onDeleted?.(guid);
    toast("Cancelled. Nothing was paid.");
  } catch (error) {
    const { status, message } = /** @type {import("./api.js").CallError} */ (error);
    control.disabled = status === 409;
    const reason = status === 409 ? "It is being made already, and goes on." : `It is not cancelled: ${message}`;
    toast(reason, { isProblem: true });
  }
}

/** Between two looks; the first comes soon, for some pictures are made at once. */
const LOOK_MS = 2500;
const FIRST_LOOK_MS = 500;

/**
 * Look at a picture that is not ready from time to time: show its place in the queue, and call `renew` when its status
 * has changed.
 * @param {HTMLElement} view @param {string} address @param {() => void} renew
 */
export async function awaitPicture(view, address, renew) {
  const status = view.dataset.status ?? "";
  if (!["queued", "generating"].includes(status)) return;
  for (let pause = FIRST_LOOK_MS; ; pause = LOOK_MS) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (!view.isConnected) return;
    const fresh = await page(address).then((found) => /** @type {HTMLElement | null} */ (found.querySelector("main.view")), () => null);
    if (!fresh || !view.isConnected) continue;
    if (fresh.dataset.status !== status) return renew();
    const [before, now] = [view, fresh].map((element) => element.querySelector(".state span"));
    if (before && now && before.textContent !== now.textContent) before.textContent = now.textContent;
  }
}

/** @param {HTMLElement} view */
function tagsOf(view) {
  return [...view.querySelectorAll(".drop")].map((button) => /** @type {HTMLElement} */ (button).dataset.tag ?? "");
}

/**
 * Change the picture, and show it as the service has it then.
 * @param {HTMLElement} view @param {object} changes @param {any} hooks @param {string} focus
 */
async function change(view, changes, hooks, focus) {
  try {
    await call("PATCH", `image/${view.dataset.guid}`, changes);
    const fresh = (await page(location.href)).querySelector(".side");
    const side = view.querySelector(".side");
    if (fresh && side) side.replaceChildren(...fresh.childNodes);
    const again = view.cloneNode(false);
    if (again instanceof HTMLElement) {
      // Listeners stay behind with the element before.
      again.append(...view.childNodes);
      view.replaceWith(again);
      enliven(again, hooks);
      hooks.onShow?.(again);
      /** @type {HTMLElement | null} */ (again.querySelector(focus))?.focus();
    }
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { isProblem: true });
  }
}

/** @param {string} guid @param {boolean} isSigned */
async function copyLink(guid, isSigned) {
  if (!isSigned) return copy(new URL(`${root}view/${guid}`, location.href).href, "The link is copied.");
  try {
    const { url, until } = await call("POST", `view/${guid}/link`, {});
    const end = new Date(until).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
    return copy(url, `A link to this private picture is copied. Whoever has it can see the picture until ${end}.`);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { isProblem: true });
  }
}

/**
 * Hide a picture at once, and delete it when the time to undo is over, or the page is left.
 * @param {string} guid @param {any} hooks
 */
function deleteLater(guid, hooks) {
  const finish = () => {
    clearTimeout(timer);
    waiting.delete(guid);
    call("DELETE", `image/${guid}`).then(
      () => hooks.onDeleted?.(guid),
      (error) => {
        if (error.status === 404) return;
        hooks.onUndo(guid);
        toast(`It is not deleted: ${error.message}`, { isProblem: true });
      },
    );
  };
  const timer = setTimeout(finish, UNDO_MS);
  waiting.set(guid, finish);
  hooks.onDelete(guid);
  toast("The picture will be deleted in 10 seconds.", {
    label: "Undo",
    staysMs: UNDO_MS,
    act: () => {
      clearTimeout(timer);
      waiting.delete(guid);
      hooks.onUndo(guid);
    },
  });
  /** @type {HTMLElement | null} */ (document.querySelector(".toast:last-child button"))?.focus();
}

addEventListener("pagehide", () => {
  for (const finish of waiting.values()) finish();
});
