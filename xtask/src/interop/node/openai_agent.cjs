// OpenAI's agents SDK, unmodified: RealtimeSession over TwilioRealtimeTransportLayer, as its documentation has it for a
// Twilio stream. Only the model is ours.
"use strict";

const { parseArgs } = require("node:util");
const { WebSocketServer } = require("ws");
const { RealtimeAgent, RealtimeSession } = require("@openai/agents/realtime");
const { TwilioRealtimeTransportLayer } = require("@openai/agents-extensions");
const { model } = require("./openai_model.cjs");

const { values: flags } = parseArgs({
  options: { port: { type: "string", default: "0" }, "swallow-marks": { type: "boolean", default: false } },
});
const say = (text) => console.log(text);
const models = new WebSocketServer({ host: "127.0.0.1", port: 0 }, () => {
  const url = `ws://127.0.0.1:${models.address().port}`;
  const agents = new WebSocketServer({ host: "127.0.0.1", port: Number(flags.port), perMessageDeflate: false });
  agents.on("listening", () => say(`listening on 127.0.0.1:${agents.address().port}`));
  agents.on("connection", (socket) => serve(socket, url));
});
models.on("connection", model);

async function serve(socket, url) {
  let marks = 0;
  // Counted, and for a broken run kept from the SDK.
  const emit = socket.emit.bind(socket);
  socket.emit = (name, data, ...rest) => {
    if (name === "message" && JSON.parse(data).event === "mark") {
      marks += 1;
      if (flags["swallow-marks"]) return true;
    }
    return emit(name, data, ...rest);
  };
  socket.on("close", (code) => say(`closed with ${code} after ${marks} marks`));
  const transport = new TwilioRealtimeTransportLayer({ twilioWebSocket: socket });
  const agent = new RealtimeAgent({ name: "receptionist", instructions: "Be brief." });
  const session = new RealtimeSession(agent, { transport, tracingDisabled: true });
  session.on("error", (error) => say(`error: ${JSON.stringify(error)}`));
  session.on("audio_interrupted", () => say("interrupted"));
  transport.on("*", (event) => {
    if (event.type === "twilio_message" && event.message.event === "start") {
      say(`start: ${event.message.start.streamSid} ${JSON.stringify(event.message.start.mediaFormat)}`);
    }
  });
  await session.connect({ apiKey: "none", url });
  say("session connected");
}

process.on("unhandledRejection", (error) => say(`error: ${error?.stack ?? error}`));
