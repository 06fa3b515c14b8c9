// OpenAI's agents SDK, unmodified: RealtimeSession over TwilioRealtimeTransportLayer, as its documentation has it for a
// Twilio stream. Only the model is ours: a WebSocket that answers the caller's first words with four seconds of voice at
// once, tells that the caller speaks when it does, and prints where the SDK cuts what the model has said.
"use strict";

const { parseArgs } = require("node:util");
const { WebSocketServer } = require("ws");
const { RealtimeAgent, RealtimeSession } = require("@openai/agents/realtime");
const { TwilioRealtimeTransportLayer } = require("@openai/agents-extensions");

const { values: flags } = parseArgs({
  options: { port: { type: "string", default: "0" }, "swallow-marks": { type: "boolean", default: false } },
});
const say = (text) => console.log(text);
const BYTES_PER_MS = 8;
const DELTA_MS = 40;
const ANSWER_MS = 4000;
// Of the caller's audio: voice that makes a turn, silence that ends one.
const TURN_MS = 500;
const PAUSE_MS = 300;

// The model's side.
function model(socket) {
  let events = 0;
  let voiced = 0;
  let quiet = 0;
  let answered = false;
  let interrupted = false;
  const send = (event) => socket.send(JSON.stringify({ event_id: `event_${++events}`, ...event }));
  const answer = () => {
    const ids = { response_id: "resp_1", item_id: "item_1", output_index: 0, content_index: 0 };
    send({ type: "response.created", response: { id: "resp_1", object: "realtime.response", status: "in_progress" } });
    const delta = Buffer.alloc(DELTA_MS * BYTES_PER_MS, 0x20).toString("base64");
    for (let ms = 0; ms < ANSWER_MS; ms += DELTA_MS) send({ type: "response.output_audio.delta", delta, ...ids });
  };
  const hear = (audio) => {
    const ms = audio.length / BYTES_PER_MS;
    const isVoice = audio.some((byte) => (byte | 0x80) !== 0xff);
    if (isVoice) {
      voiced += ms;
      if (answered && !interrupted && quiet >= PAUSE_MS) {
        interrupted = true;
        send({ type: "input_audio_buffer.speech_started", item_id: "item_2", audio_start_ms: 0 });
      }
      quiet = 0;
    } else {
      quiet += ms;
    }
    if (!answered && voiced >= TURN_MS && quiet >= PAUSE_MS) {
      answered = true;
      answer();
    }
  };
  send({ type: "session.created", session: {} });
  socket.on("message", (text) => {
    const event = JSON.parse(text);
    switch (event.type) {
      case "session.update":
        send({ type: "session.updated", session: event.session });
        break;
      case "input_audio_buffer.append":
        hear(Buffer.from(event.audio, "base64"));
        break;
      case "conversation.item.truncate":
        say(`truncated ${event.item_id} at ${event.audio_end_ms}`);
        break;
      case "response.cancel":
        send({ type: "response.done", response: { id: "resp_1", object: "realtime.response", status: "cancelled" } });
        break;
    }
  });
}

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
