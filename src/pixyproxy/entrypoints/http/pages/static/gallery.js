/** The gallery: search while typing, older pictures below, and the same place again after going back. */

import { page } from "./api.js";
import { forgetSections, watchSection } from "./sections.js";
import { toast } from "./toast.js";
import { watchTiles } from "./viewer.js";

const PAUSE_MS = 350;
const EMPTY_PAGES = 20;
const ENDLESS = "pixyproxy.endless";
const KEPT = "pixyproxy.place";

const results = /** @type {HTMLElement} */ (document.querySelector("#results"));
const search = /** @type {HTMLFormElement} */ (document.querySelector("#search"));
const status = /** @type {HTMLElement} */ (document.querySelector("#status"));
/** Addresses of the pages that were added below the first. @type {string[]} */
let added = [];
/** The pages that are being loaded. @type {Promise<boolean> | null} */
let loading = null;
let searching = new AbortController();
document.body.dataset.title = document.title;
watchTiles(loadMore);
watchFirst();

/** @param {string} text */
function say(text) {
  status.textContent = text;
}

function nextLink() {
  return /** @type {HTMLAnchorElement | null} */ (document.querySelector("#next"));
}

/** Add the next page of pictures; return whether there was one. */
function loadMore() {
  loading ??= addPages().finally(() => {
    loading = null;
  });
  return loading;
}

async function addPages() {
  // A page may be empty and the search go on.
  for (let tries = 0; tries < EMPTY_PAGES; tries++) {
    const link = nextLink();
    if (!link) return false;
    link.setAttribute("aria-busy", "true");
    try {
      if (await addPage(link.href)) return true;
    } catch (error) {
      link.removeAttribute("aria-busy");
      toast(error instanceof Error ? error.message : String(error), { label: "Try again", act: loadMore, isProblem: true });
      return false;
    }
  }
  return false;
}

/** @param {string} address */
async function addPage(address) {
  const found = await page(address);
  const section = found.querySelector("#results > .page");
  const more = results.querySelector(".more");
  const blank = results.querySelector(".blank");
  if (section) {
    blank?.remove();
    more?.before(section);
    watchSection(section);
    added.push(address);
    say(`${section.children.length} more pictures`);
  }
  const next = found.querySelector("#next");
  if (next) nextLink()?.replaceWith(next);
  else nextLink()?.remove();
  return section !== null;
}

results.addEventListener("click", (event) => {
  const link = /** @type {Element} */ (event.target).closest("#next");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  void loadMore().then((was) => {
    // Keyboards go on at the first picture that is new.
    if (was) /** @type {HTMLElement | null} */ (results.querySelector(".page:last-of-type a"))?.focus({ preventScroll: true });
  });
});

/** Show the results of the words in the search box. */
async function find() {
  const fields = [...new FormData(search)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(/** @type {[string, string][]} */ (fields)).toString();
  const address = search.action + (query && `?${query}`);
  searching.abort();
  searching = new AbortController();
  const { signal } = searching;
  results.setAttribute("aria-busy", "true");
  try {
    take(await page(address, signal));
    history.replaceState(history.state, "", address);
  } catch (error) {
    if (signal.aborted) return;
    const found = /** @type {any} */ (error).status === 422;
    blank(found ? "This search cannot be done" : "Nothing can be shown now", error instanceof Error ? error.message : "");
  } finally {
    if (!signal.aborted) results.removeAttribute("aria-busy");
  }
}

/** @param {Document} found */
function take(found) {
  forgetSections();
  for (const id of ["heading", "results", "chips", "filters"]) {
    const fresh = found.querySelector(`#${id}`);
    if (fresh) document.querySelector(`#${id}`)?.replaceChildren(...fresh.childNodes);
  }
  document.title = document.body.dataset.title = found.title;
  watchFirst();
  added = [];
  const count = results.querySelectorAll(".tile").length;
  say(count === 0 ? "No picture matches" : `${count} pictures${nextLink() ? ", and more below" : ""}`);
}

function watchFirst() {
  const first = results.querySelector(".page");
  if (first) watchSection(first);
}

/** @param {string} title @param {string} text */
function blank(title, text) {
  const box = document.createElement("div");
  box.className = "blank";
  box.role = "alert";
  const heading = document.createElement("h2");
  heading.textContent = title;
  const words = document.createElement("p");
  words.textContent = text;
  const again = document.createElement("button");
  again.textContent = "Try again";
  again.addEventListener("click", () => void find());
  box.append(heading, words, again);
  results.replaceChildren(box);
}

let pause = 0;
search.addEventListener("input", () => {
  clearTimeout(pause);
  pause = setTimeout(find, PAUSE_MS);
});
search.addEventListener("submit", (event) => {
  event.preventDefault();
  clearTimeout(pause);
  void find();
});
addEventListener("offline", () => {
  toast("You are offline. Pictures that are shown stay.", { isProblem: true });
});
addEventListener("online", () => {
  toast("You are online again.");
  if (results.querySelector(".blank button")) void find();
});

// Endless scrolling, for those who choose it.
const endless = /** @type {HTMLElement} */ (document.querySelector("#endless"));
const box = /** @type {HTMLInputElement} */ (endless.querySelector("input"));
endless.hidden = nextLink() === null;
box.checked = localStorage.getItem(ENDLESS) === "1";
box.addEventListener("change", () => {
  localStorage.setItem(ENDLESS, box.checked ? "1" : "0");
  void fill();
});
// The same place after going back, where the browser does not keep the page itself.
addEventListener("pagehide", () => {
  if (history.state?.viewer) return;
  sessionStorage.setItem(KEPT, JSON.stringify({ address: location.href, added, y: scrollY }));
});
const navigation = /** @type {PerformanceNavigationTiming | undefined} */ (performance.getEntriesByType("navigation")[0]);
const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "null");
if (kept?.address === location.href && navigation?.type !== "navigate" && kept.added.length > 0) {
  history.scrollRestoration = "manual";
  loading = restore();
  await loading;
  loading = null;
  scrollTo(0, kept.y);
  history.scrollRestoration = "auto";
}

async function restore() {
  for (const address of kept.added) {
    await addPage(address).catch(() => false);
  }
  return true;
}

let isNear = false;
let fills = false;
new IntersectionObserver((entries) => {
  isNear = entries.at(-1)?.isIntersecting ?? false;
  void fill();
}, { rootMargin: "1200px" }).observe(endless);

/** Add pages until the end is out of reach; whoever keeps scrolling to the end never leaves it. */
async function fill() {
  if (fills) return;
  fills = true;
  while (isNear && box.checked && (await loadMore())) {
    // The observer is called after the next frame.
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
  }
  fills = false;
}
