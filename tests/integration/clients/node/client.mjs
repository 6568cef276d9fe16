// One use of OpenAI's client: a JSON document on standard input says which, another on standard output what came of it.
//
// {"client": {…}, "call": one of `calls` below, "params": {…}, "options": {…}, "leave": true?, "load": true?}
//
// `leave` has the client go after the first event of a stream. Pictures to edit are given by the paths of their files,
// which are read while they are sent, so that the client cannot send them again; `load` has them read before.

import { File } from "node:buffer";
import { createReadStream, readFileSync } from "node:fs";
import { basename } from "node:path";
import { text } from "node:stream/consumers";
import OpenAI from "openai";

// Node 18 has it here only.
globalThis.File ??= File;

const asked = JSON.parse(await text(process.stdin));
const client = new OpenAI(asked.client);
const { call, params, options } = asked;

const open = (path) => (asked.load ? new File([readFileSync(path)], basename(path)) : createReadStream(path));
if (call === "edit") {
  params.image = Array.isArray(params.image) ? params.image.map(open) : open(params.image);
  if (params.mask) params.mask = open(params.mask);
}

const calls = {
  generate: () => client.images.generate(params, options),
  edit: () => client.images.edit(params, options),
  "edit-stored": () => client.post("/images/edits", { body: params, ...options }),
  models: () => client.models.list(options),
  model: () => client.models.retrieve(params.id, options),
};

const told = { events: [] };
try {
  const { data, response } = await calls[call]().withResponse();
  told.headers = Object.fromEntries(response.headers);
  if (params.stream) {
    for await (const event of data) {
      told.events.push(event);
      if (asked.leave) break;
    }
  } else {
    told.answer = data;
    told.requestId = data._request_id;
  }
} catch (error) {
  if (!(error instanceof OpenAI.APIError)) throw error;
  told.error = {
    name: error.constructor.name,
    message: error.message,
    status: error.status,
    code: error.code,
    type: error.type,
    body: error.error,
    requestId: error.requestID,
    headers: Object.fromEntries(error.headers ?? []),
  };
}
console.log(JSON.stringify(told));
