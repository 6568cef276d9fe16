/** The page of API keys: buttons that copy, and no second key by a reload. */

import { copy } from "./clipboard.js";

for (const button of document.querySelectorAll("button[data-copy]")) {
  if (!(button instanceof HTMLElement)) continue;
  button.hidden = false;
  button.addEventListener("click", () => {
    const source = document.getElementById(button.dataset.copy ?? "");
    const isKey = source instanceof HTMLInputElement;
    void copy((isKey ? source.value : source?.textContent) ?? "", isKey ? "The key is copied." : "The lines are copied.");
    button.focus();
  });
}

// To load the page again would send the form again.
if (document.querySelector("#secret")) history.replaceState(null, "", location.href);
