/** The form by itself, after it was refused: with its options open, for the fault may be there. */

document.querySelector(".options")?.setAttribute("open", "");
