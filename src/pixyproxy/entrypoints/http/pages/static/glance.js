/** What the gallery has of a picture, until its page is there: whoever waits for the network sees it, and the way back. */

/** Return the thumbnail of a tile in the place of the picture, and the button that closes. @param {Element | null} tile */
export function glanceAt(tile) {
  const glance = document.createElement("div");
  glance.className = "glance";
  const stage = document.createElement("div");
  stage.className = "stage";
  const full = document.createElement("div");
  full.className = "full";
  const thumbnail = tile?.querySelector("img:not(.soft)");
  if (thumbnail instanceof HTMLImageElement) {
    // As large as the picture will be: the attributes are its own size.
    const image = new Image(Number(thumbnail.getAttribute("width")), Number(thumbnail.getAttribute("height")));
    image.src = thumbnail.currentSrc || thumbnail.src;
    image.alt = thumbnail.alt;
    full.append(image);
  }
  const close = document.createElement("button");
  close.type = "button";
  close.className = "nav close";
  close.dataset.nav = "close";
  close.ariaLabel = "Back to the pictures";
  close.textContent = "✕";
  stage.append(full, close);
  glance.append(stage);
  return glance;
}
