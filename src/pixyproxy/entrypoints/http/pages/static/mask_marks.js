/** The marks on a picture, drawn on a canvas above it: strokes of a brush, and the mask that they make. */

/**
 * A point of the picture in pixels; a mark on it; and a mask: a PNG of the picture's size, transparent where the edit
 * may change it, as OpenAI's API has it.
 * @typedef {{x: number, y: number}} Point
 * @typedef {{kind: "stroke", erases: boolean, radius: number, points: Point[]}} Stroke
 * @typedef {Stroke | {kind: "clear"} | {kind: "invert"}} Mark
 * @typedef {{blob: Blob, marks: Mark[]}} Mask
 */

const COLOUR = "#e6007e";
/** Sides of the small copy in which the painted share is measured. */
const SAMPLE = 64;

/** The marks, with undo and redo. */
export class Marks {
  /** @param {HTMLCanvasElement} canvas @param {Mark[]} marks */
  constructor(canvas, marks) {
    this.canvas = canvas;
    this.context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    this.done = [...marks];
    /** @type {Mark[]} */
    this.undone = [];
    this.redraw();
  }

  /** Keep a mark that is drawn already. @param {Mark} mark */
  keep(mark) {
    this.done.push(mark);
    this.undone = [];
  }

  /** Take back the last mark, or make it again; return whether there was one. @param {"undo" | "redo"} name */
  step(name) {
    const [from, to] = name === "undo" ? [this.done, this.undone] : [this.undone, this.done];
    const mark = from.pop();
    if (!mark) return false;
    to.push(mark);
    this.redraw();
    return true;
  }

  redraw() {
    this.context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    for (const mark of this.done) this.draw(mark);
  }

  /** @param {Mark} mark */
  draw(mark) {
    const { context, canvas } = this;
    context.fillStyle = context.strokeStyle = COLOUR;
    if (mark.kind === "clear") {
      context.clearRect(0, 0, canvas.width, canvas.height);
    } else if (mark.kind === "invert") {
      context.globalCompositeOperation = "xor";
      context.fillRect(0, 0, canvas.width, canvas.height);
    } else {
      context.globalCompositeOperation = mark.erases ? "destination-out" : "source-over";
      context.lineCap = context.lineJoin = "round";
      context.lineWidth = 2 * mark.radius;
      context.beginPath();
      const [{ x, y }, ...others] = mark.points;
      context.moveTo(x, y);
      // A line without a length would not be drawn.
      context.lineTo(x + 0.01, y);
      for (const point of others) context.lineTo(point.x, point.y);
      context.stroke();
    }
    context.globalCompositeOperation = "source-over";
  }

  /** Return the painted share, measured on a small copy. */
  share() {
    const small = document.createElement("canvas");
    small.width = small.height = SAMPLE;
    const context = /** @type {CanvasRenderingContext2D} */ (small.getContext("2d"));
    context.imageSmoothingQuality = "high";
    context.drawImage(this.canvas, 0, 0, SAMPLE, SAMPLE);
    const { data } = context.getImageData(0, 0, SAMPLE, SAMPLE);
    let sum = 0;
    for (let index = 3; index < data.length; index += 4) sum += data[index];
    return sum / (255 * SAMPLE * SAMPLE);
  }

  /** Return the mask: opaque where the picture stays, transparent where it is painted. @returns {Promise<Blob | null>} */
  blob() {
    const canvas = document.createElement("canvas");
    canvas.width = this.canvas.width;
    canvas.height = this.canvas.height;
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.globalCompositeOperation = "destination-out";
    context.drawImage(this.canvas, 0, 0);
    return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  }
}
