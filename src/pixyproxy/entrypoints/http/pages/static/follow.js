/** A picture that is being made, followed by the events that the service streams. */

import { problemError, root, send } from "./api.js";

/** A browser has six connections to a service without HTTP/2; the others are for everything else. */
const MOST = 3;
let streams = 0;

/** Return whether one more picture can be followed. */
export function canFollow() {
  return streams < MOST;
}

/** Wait until the next look at a picture. @param {number} ms */
export function wait(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * Have a picture made, and yield its events: `image` with the details, `early_view`, and `queued` with its place.
 * @param {Record<string, any>} body @param {string} key
 */
export async function* follow(body, key) {
  streams += 1;
  try {
    const headers = { Accept: "text/event-stream", "Content-Type": "application/json", "Idempotency-Key": key };
    const response = await send(`${root}image`, { method: "POST", headers, body: JSON.stringify(body) });
    for await (const block of blocks(/** @type {ReadableStream<BufferSource>} */ (response.body))) {
      const event = parse(block);
      if (event.name === "error") throw problemError(event.data, event.data.status);
      yield event;
    }
  } finally {
    streams -= 1;
  }
}

/** @param {ReadableStream<BufferSource>} stream */
async function* blocks(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const parts = (rest + value).split("\n\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  } finally {
    // Whoever stops reading hangs up; the picture is made all the same.
    reader.cancel().catch(() => {});
  }
}

/** @param {string} block @returns {{name: string, data: any}} */
function parse(block) {
  const place = /^: queued (\d+)(?:, about (\d+) s)?/.exec(block);
  if (place) return { name: "queued", data: { position: Number(place[1]), eta_s: place[2] ? Number(place[2]) : null } };
  const fields = block.split("\n").map((line) => line.split(/: (.*)/s));
  const event = Object.fromEntries(fields);
  return { name: event.event ?? "", data: event.data ? JSON.parse(event.data) : null };
}
