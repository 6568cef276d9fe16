// One picture with Vercel's AI SDK: a JSON document on standard input says which, another on standard output what came of
// it.
//
// {"baseURL", "apiKey", "prompt", "maxRetries", "timeoutMs"?}: the last is the time that Node's fetch waits for a header.

import { text } from "node:stream/consumers";
import { createOpenAI } from "@ai-sdk/openai";
import { generateImage } from "ai";

const { baseURL, apiKey, prompt, maxRetries, timeoutMs } = JSON.parse(await text(process.stdin));
if (timeoutMs) {
  await fetch("data:,"); // Node makes its dispatcher at the first use.
  const dispatcher = Symbol.for("undici.globalDispatcher.1");
  globalThis[dispatcher] = new globalThis[dispatcher].constructor({ headersTimeout: timeoutMs });
}
try {
  const { image } = await generateImage({
    model: createOpenAI({ baseURL, apiKey }).image("gpt-image-2"),
    prompt,
    maxRetries,
  });
  console.log(JSON.stringify({ picture: image.base64 }));
} catch (error) {
  console.log(JSON.stringify({ error: `${error.name}: ${error.message}` }));
}
