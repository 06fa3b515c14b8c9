// A double of OpenAI's realtime API: TLS, WebSocket, and the model of the other cases.
"use strict";

const { readFileSync } = require("node:fs");
const { createServer } = require("node:https");
const { parseArgs } = require("node:util");
const { WebSocketServer } = require("ws");
const { model } = require("./openai_model.cjs");

const { values: flags } = parseArgs({
  options: Object.fromEntries(["port", "address", "certificate", "key"].map((name) => [name, { type: "string" }])),
});
const server = createServer({ cert: readFileSync(flags.certificate), key: readFileSync(flags.key) });
new WebSocketServer({ server, perMessageDeflate: false }).on("connection", (socket, request) => {
  console.log(`asked ${request.headers.host}${request.url} ${request.headers.authorization}`);
  model(socket);
});
server.listen(Number(flags.port), flags.address, () => {
  const { address, port } = server.address();
  console.log(`listening on ${address}:${port}`);
});
