#!/usr/bin/env node
// An agent that takes turns: it waits until the caller has finished, plays the same audio back, and stops when interrupted.
//
//     npm install ws && node parrot_agent.js --port 8765
//
// It contains only the protocol side of a bot: replace `answer` with a model.
// In trunkgate.toml:  [agent.parrot]  url = "ws://127.0.0.1:8765/media"  and in a route  connect = ["agent:parrot"]
// To try it without a phone:  trunkgate agent test ws://127.0.0.1:8765/media
"use strict";

const { parseArgs } = require("node:util");
const { WebSocketServer } = require("ws");

const FRAME = 160; // bytes of μ-law in 20 ms
const PAUSE = 25; // frames of silence that end a turn: half a second
const LONGEST = 120; // frames kept of one turn; of longer speech, the newest
const QUIET = 400; // levels below this are silence; maximum 32124
const PIECE = 20 * FRAME; // bytes of an answer between two marks: 400 ms

// How loud a sample of μ-law is (ITU-T G.711).
const LEVELS = Array.from({ length: 256 }, (_, byte) => {
  const code = ~byte & 0xff;
  return ((((code & 0x0f) << 3) + 0x84) << ((code >> 4) & 7)) - 0x84;
});

const { values: flags } = parseArgs({
  options: { host: { type: "string", default: "127.0.0.1" }, port: { type: "string", default: "8765" } },
});
// Audio does not compress well; Twilio and Trunkgate do not negotiate compression.
const server = new WebSocketServer({ host: flags.host, port: Number(flags.port), perMessageDeflate: false });

server.on("listening", () => console.log(`listening on ${flags.host}:${server.address().port}`));

server.on("connection", (socket) => {
  let stream = null;
  let turn = []; // what the caller has said, frame by frame
  let silence = 0;
  const unheard = new Set(); // marks that have not come back: the caller still hears us
  const say = (event, fields) => socket.send(JSON.stringify({ event, streamSid: stream, ...fields }));

  // All at once: the edge plays it in time. Each mark comes back when what is before it has been heard.
  const answer = (said) => {
    console.log(`answer: ${said.length / 8} ms`);
    for (let at = 0; at < said.length; at += PIECE) {
      say("media", { media: { payload: said.subarray(at, at + PIECE).toString("base64") } });
      const name = `${at / PIECE}`;
      unheard.add(name);
      say("mark", { mark: { name } });
    }
  };

  const hear = (frame) => {
    const isVoice = frame.reduce((sum, code) => sum + LEVELS[code], 0) > QUIET * frame.length;
    silence = isVoice ? 0 : silence + 1;
    if (isVoice && unheard.size > 0) {
      // Interrupted. The marks of what was not heard come back at once: they no longer count.
      console.log(`interrupted, ${unheard.size} pieces unheard`);
      unheard.clear();
      say("clear");
    }
    if (isVoice || turn.length > 0) turn = [...turn, frame].slice(-LONGEST - PAUSE);
    if (turn.length > 0 && silence >= PAUSE) {
      const said = Buffer.concat(turn.slice(0, -PAUSE));
      turn = [];
      answer(said);
    }
  };

  socket.on("message", (text) => {
    const message = JSON.parse(text);
    switch (message.event) {
      case "start":
        stream = message.start.streamSid;
        console.log(`start: call ${message.start.callSid}`);
        break;
      case "media":
        hear(Buffer.from(message.media.payload, "base64"));
        break;
      case "mark":
        unheard.delete(message.mark.name);
        break;
    }
  });
  socket.on("close", (code) => console.log(`closed with ${code}`));
});
