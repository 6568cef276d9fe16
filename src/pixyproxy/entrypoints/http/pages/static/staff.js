/** What a script adds to the pages of the staff: a table from a file, and copies of what is shown once. */

const file = document.querySelector("#file");
const table = document.querySelector("#import textarea");
if (file instanceof HTMLElement && table instanceof HTMLTextAreaElement) {
  file.hidden = false;
  const input = /** @type {HTMLInputElement} */ (file.querySelector("input"));
  input.addEventListener("change", async () => {
    const chosen = input.files?.[0];
    if (chosen) table.value = decode(await chosen.arrayBuffer());
  });
}

for (const button of document.querySelectorAll("[data-copy], [data-copy-table]")) {
  if (!(button instanceof HTMLButtonElement) || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copy ?? tableText());
    button.textContent = "Copied";
  });
}

// The row whose form was sent stays open.
document.getElementById(location.hash.slice(1))?.querySelector("details")?.setAttribute("open", "");

/** Return a text in UTF-8, or as spreadsheets of Windows save it. @param {ArrayBuffer} bytes */
function decode(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder("windows-1252").decode(bytes);
  }
}

/** Return the table as lines with tabs, as spreadsheets take it. */
function tableText() {
  const rows = [...document.querySelectorAll("table tr")];
  return rows.map((row) => [...row.children].map((cell) => cell.textContent).join("\t")).join("\n");
}
