/** The line beside the button: what pictures will cost and what budgets leave, before the click. */

import { bodyOfForm, count, prompt } from "./form.js";
import { describe, leftOf, priceOf } from "./price.js";

const PAUSE_MS = 500;

const line = /** @type {HTMLOutputElement} */ (document.querySelector("#price"));
let pause = 0;
let asked = 0;

/** Show the price again, soon after the last change. */
export function priceLater() {
  clearTimeout(pause);
  pause = setTimeout(showPrice, PAUSE_MS);
}

/** Show the price of what the form asks for. */
export async function showPrice() {
  const number = ++asked;
  let said = { text: "", isRefused: false };
  let most = null;
  if (prompt.value.trim()) {
    try {
      const [body, wanted] = [bodyOfForm(), count()];
      const found = await priceOf(body, wanted);
      said = describe(found, wanted, body);
      most = found.usd_max;
      showLeft(found);
    } catch {
      // The reason is said when the picture is asked for.
    }
  }
  if (number !== asked) return;
  line.textContent = said.text;
  line.classList.toggle("over", said.isRefused);
  line.title = most === null || said.isRefused ? "" : `at most $${most}`;
}

/** Show in the header what the tightest budget leaves now. @param {import("./price.js").Price} price */
function showLeft(price) {
  const left = leftOf(price);
  const money = document.querySelector("#money");
  if (!left || !money) return;
  money.querySelector("rect")?.setAttribute("width", left.percent);
  /** @type {HTMLElement} */ (money.querySelector("span")).textContent = `${left.text} left`;
}
