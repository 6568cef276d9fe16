/** Calls of this service, with errors in its own words. */

/** The path below which the service is published; it ends in a slash. */
export const root = new URL("..", import.meta.url).pathname;

/** Sent with every call: a 401 must not open the browser's password box over the page. */
const OWN = {
  "X-Requested-With": "pixyproxy",
  // Nothing is made or changed for somebody else who logged in since, in another tab.
  "Pixyproxy-User": encodeURIComponent(document.body.dataset.user ?? ""),
};

/** Return a random idempotency key; `crypto.randomUUID` exists on https and on this machine only. */
export function newKey() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** An answer that is an error, or none: `status` is 0 if nothing answers. */
export class CallError extends Error {
  /** @param {string} message @param {number} status @param {any} [problem] */
  constructor(message, status, problem = {}) {
    super(message);
    this.status = status;
    this.problem = problem;
    /** The slug of the problem; errors of OpenAI's API have their own. @type {string | undefined} */
    this.code = problem.code ?? problem.error?.code;
    /** True if the service itself said nothing: nothing answered, or a proxy before it did. */
    this.isLost = status === 0 || (status >= 500 && !this.code && !problem.error);
  }
}

/**
 * Send a request and return the response; throw CallError for an error.
 * @param {string} address @param {RequestInit} [options] @returns {Promise<Response>}
 */
export async function send(address, options = {}) {
  let response;
  try {
    response = await fetch(address, { ...options, headers: { ...OWN, ...options.headers } });
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    throw new CallError(navigator.onLine ? "The service cannot be reached." : "You are offline.", 0);
  }
  if (response.ok) return response;
  let problem = {};
  if ((response.headers.get("Content-Type") ?? "").includes("json")) problem = await response.json().catch(() => ({}));
  throw problemError(problem, response.status);
}

/** Return the error that a problem of the service describes. @param {any} problem @param {number} status */
export function problemError(problem, status) {
  return new CallError(describe(problem, status), status, problem);
}

/**
 * Send JSON and return the JSON of the response, null if it has none.
 * @param {string} method @param {string} path @param {object} [body] @param {Record<string, string>} [headers]
 */
export async function call(method, path, body, headers = {}) {
  const response = await send(root + path, {
    method,
    keepalive: method === "DELETE",
    headers: { Accept: "application/json", ...(body && { "Content-Type": "application/json" }), ...headers },
    body: body && JSON.stringify(body),
  });
  return response.status === 204 ? null : response.json();
}

/** Go to the login, which leads back to this page. */
export function toLogin() {
  const here = `/${location.pathname.slice(root.length)}${location.search}`;
  location.assign(`${root}login?next=${encodeURIComponent(here)}`);
}

/**
 * Return a page of this service as a document.
 * @param {string} address @param {AbortSignal} [signal]
 */
export async function page(address, signal) {
  const response = await send(address, { headers: { Accept: "text/html" }, signal });
  return new DOMParser().parseFromString(await response.text(), "text/html");
}

/** @param {any} problem @param {number} status */
function describe(problem, status) {
  if (status === 401) return `${problem.detail ?? problem.error?.message ?? "Your session has ended: log in again."} Nothing that you typed is lost.`;
  const faults = (problem.errors ?? []).map((/** @type {any} */ fault) => `${fault.loc.join(".")} ${fault.msg}`);
  const plain = status === 404 ? "It is not there any more." : `The service answered with ${status}.`;
  return faults.join("; ") || problem.detail || problem.error?.message || plain;
}
