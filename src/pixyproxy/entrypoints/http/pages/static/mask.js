/** The mask editor: one paints over what of a picture an edit may change, by mouse, finger, pen or keyboard. */

import { Marks } from "./mask_marks.js";

/**
 * @typedef {import("./mask_marks.js").Point} Point
 * @typedef {import("./mask_marks.js").Mark} Mark
 * @typedef {import("./mask_marks.js").Stroke} Stroke
 * @typedef {import("./mask_marks.js").Mask} Mask
 */

const MARKUP = `
<header>
  <h2 id="mask-title">Mask</h2>
  <p id="mask-help">Paint over what may change; all else stays as it is.</p>
  <p id="mask-keys">Keys: arrows move the brush, with Shift finely; Space paints; [ and ] change its size.</p>
</header>
<div class="easel"><div class="sheet"><img alt=""><canvas tabindex="0" role="application" aria-label="Picture to paint on" aria-describedby="mask-help mask-keys"></canvas><span class="brush"></span></div></div>
<div class="tools">
  <div class="acts" role="group" aria-label="Brush">
    <button type="button" data-do="paint" aria-pressed="true">Paint</button>
    <button type="button" data-do="erase" aria-pressed="false">Erase</button>
    <label>Size <input type="range" min="1" max="100"></label>
  </div>
  <div class="acts" role="group" aria-label="Marks">
    <button type="button" data-do="undo">Undo</button>
    <button type="button" data-do="redo">Redo</button>
    <button type="button" data-do="invert">Invert</button>
    <button type="button" data-do="clear">Clear</button>
  </div>
  <p role="status"></p>
  <div class="acts">
    <button type="button" data-do="cancel">Cancel</button>
    <button type="button" class="go" data-do="use">Use the mask</button>
  </div>
</div>`;
const FIRST_SIZE = 20;

/**
 * Let a mask be painted over a picture, from earlier marks on; return null if that is cancelled.
 * @param {string} address @param {Mark[]} marks @returns {Promise<Mask | null>}
 */
export async function paintMask(address, marks) {
  await style();
  const dialog = document.createElement("dialog");
  dialog.className = "masking";
  dialog.setAttribute("aria-labelledby", "mask-title");
  dialog.innerHTML = MARKUP;
  const image = /** @type {HTMLImageElement} */ (dialog.querySelector("img"));
  image.src = address;
  await image.decode();
  document.body.append(dialog);
  const editor = new Editor(dialog, image, marks);
  const closed = new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
  dialog.showModal();
  editor.canvas.focus();
  await closed;
  dialog.remove();
  if (dialog.returnValue !== "use") return null;
  const blob = await editor.marks.blob();
  if (!blob) throw new Error("the browser has no memory for it.");
  return { blob, marks: editor.marks.done };
}

/** Load the editor's own style sheet once. */
function style() {
  const href = new URL("./mask.css", import.meta.url).href;
  if (document.querySelector(`link[href="${href}"]`)) return null;
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  return new Promise((resolve, reject) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", () => {
      link.remove();
      reject(new Error("the service cannot be reached."));
    });
    document.head.append(link);
  });
}

class Editor {
  /** @param {HTMLDialogElement} dialog @param {HTMLImageElement} image @param {Mark[]} marks */
  constructor(dialog, image, marks) {
    this.dialog = dialog;
    this.canvas = /** @type {HTMLCanvasElement} */ (dialog.querySelector("canvas"));
    this.brush = /** @type {HTMLElement} */ (dialog.querySelector(".brush"));
    this.slider = /** @type {HTMLInputElement} */ (dialog.querySelector("input"));
    this.status = /** @type {HTMLElement} */ (dialog.querySelector("[role=status]"));
    this.canvas.width = image.naturalWidth;
    this.canvas.height = image.naturalHeight;
    this.canvas.parentElement?.style.setProperty("--ratio", String(image.naturalWidth / image.naturalHeight));
    this.marks = new Marks(this.canvas, marks);
    /** The stroke that is being painted. @type {Stroke | null} */
    this.stroke = null;
    this.erases = false;
    /** @type {Point} */
    this.cursor = { x: image.naturalWidth / 2, y: image.naturalHeight / 2 };
    this.slider.value = String(FIRST_SIZE);
    this.say();
    this.showBrush();
    this.listen();
  }

  /** Pixels; the largest brush has half of the shorter side across. */
  get radius() {
    return Math.max(1, (Number(this.slider.value) / 400) * Math.min(this.canvas.width, this.canvas.height));
  }

  listen() {
    const { canvas, dialog } = this;
    dialog.addEventListener("click", (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button) this.act(button.dataset.do ?? "");
    });
    dialog.addEventListener("keydown", (event) => {
      const key = event.key.toLowerCase();
      if (!(event.ctrlKey || event.metaKey) || !["z", "y"].includes(key)) return;
      event.preventDefault();
      this.act(key === "y" || event.shiftKey ? "redo" : "undo");
    });
    this.slider.addEventListener("input", () => this.showBrush());
    canvas.addEventListener("pointerdown", (event) => {
      if (!event.isPrimary || event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor = this.pointOf(event);
      this.begin();
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.isPrimary) this.move(this.pointOf(event));
    });
    for (const type of ["pointerup", "pointercancel", "blur"]) canvas.addEventListener(type, () => this.end());
    canvas.addEventListener("keydown", (event) => this.press(event));
    canvas.addEventListener("keyup", (event) => {
      if (event.key === " ") this.end();
    });
  }

  /** @param {KeyboardEvent} event */
  press(event) {
    const step = event.shiftKey ? 1 : Math.max(1, this.radius / 2);
    const { x, y } = this.cursor;
    /** @type {Record<string, () => void>} */
    const keys = {
      ArrowLeft: () => this.move({ x: x - step, y }),
      ArrowRight: () => this.move({ x: x + step, y }),
      ArrowUp: () => this.move({ x, y: y - step }),
      ArrowDown: () => this.move({ x, y: y + step }),
      " ": () => event.repeat || this.begin(),
      "[": () => this.resize(-5),
      "]": () => this.resize(5),
    };
    if (!(event.key in keys) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    keys[event.key]();
  }

  /** @param {string} name */
  act(name) {
    if (name === "undo" || name === "redo") this.step(name);
    else if (name === "invert" || name === "clear") this.add({ kind: name });
    else if (name === "cancel") this.dialog.close();
    else if (name === "use") this.use();
    else this.choose(name === "erase");
  }

  /** @param {boolean} erases */
  choose(erases) {
    this.erases = erases;
    for (const name of ["paint", "erase"]) {
      const button = this.dialog.querySelector(`[data-do=${name}]`);
      button?.setAttribute("aria-pressed", String((name === "erase") === erases));
    }
  }

  /** @param {number} change */
  resize(change) {
    this.slider.value = String(Number(this.slider.value) + change);
    this.showBrush();
  }

  begin() {
    this.stroke = { kind: "stroke", erases: this.erases, radius: this.radius, points: [this.cursor] };
    this.marks.draw(this.stroke);
    this.showBrush();
  }

  /** @param {Point} point */
  move({ x, y }) {
    const last = this.cursor;
    this.cursor = { x: Math.min(this.canvas.width, Math.max(0, x)), y: Math.min(this.canvas.height, Math.max(0, y)) };
    if (this.stroke) {
      this.stroke.points.push(this.cursor);
      this.marks.draw({ ...this.stroke, points: [last, this.cursor] });
    }
    this.showBrush();
  }

  end() {
    if (!this.stroke) return;
    this.marks.keep(this.stroke);
    this.stroke = null;
    this.say();
  }

  /** @param {Mark} mark */
  add(mark) {
    this.end();
    this.marks.draw(mark);
    this.marks.keep(mark);
    this.say();
  }

  /** @param {"undo" | "redo"} name */
  step(name) {
    this.end();
    if (this.marks.step(name)) this.say();
    else this.status.textContent = `Nothing to ${name}.`;
  }

  /** Return the point of the picture under a pointer. @param {PointerEvent} event @returns {Point} */
  pointOf(event) {
    const box = this.canvas.getBoundingClientRect();
    return {
      x: ((event.clientX - box.left) * this.canvas.width) / box.width,
      y: ((event.clientY - box.top) * this.canvas.height) / box.height,
    };
  }

  showBrush() {
    // The page's policy forbids styles in HTML, not those that a script sets.
    const { style } = this.brush;
    style.left = `${(this.cursor.x / this.canvas.width) * 100}%`;
    style.top = `${(this.cursor.y / this.canvas.height) * 100}%`;
    style.width = `${((2 * this.radius) / this.canvas.width) * 100}%`;
  }

  /** Say how much is painted. */
  say() {
    const share = this.marks.share();
    const percent = share < 0.01 ? "Less than 1" : String(Math.round(share * 100));
    this.status.textContent = share === 0 ? "Nothing is painted." : `${percent} % of the picture may change.`;
  }

  use() {
    this.end();
    if (this.marks.share() > 0) {
      this.dialog.close("use");
      return;
    }
    this.status.textContent = "Nothing is painted: paint over what may change first.";
  }
}
