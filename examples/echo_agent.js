#!/usr/bin/env node
// An agent that echoes the caller's audio, over Twilio's Media Streams protocol.
//
//     npm install ws && node echo_agent.js --port 8765
//
// In trunkgate.toml:  [agent.echo]  url = "ws://127.0.0.1:8765/media"  and in a route  connect = ["agent:echo"]
"use strict";

const { parseArgs } = require("node:util");
const { WebSocketServer } = require("ws");

const FRAMES_PER_MARK = 50; // one second

const { values: flags } = parseArgs({
  options: { host: { type: "string", default: "127.0.0.1" }, port: { type: "string", default: "8765" } },
});
// Audio does not compress well; Twilio and Trunkgate do not negotiate compression.
const server = new WebSocketServer({ host: flags.host, port: Number(flags.port), perMessageDeflate: false });

server.on("listening", () => console.log(`listening on ${flags.host}:${server.address().port}`));

server.on("connection", (socket, request) => {
  console.log(`connection from ${request.socket.remoteAddress}, path ${request.url}`);
  let stream = null;
  let frames = 0;
  const say = (event, fields) => socket.send(JSON.stringify({ event, streamSid: stream, ...fields }));

  socket.on("message", (text) => {
    const message = JSON.parse(text);
    switch (message.event) {
      case "media":
        if (message.media.track !== "inbound") break;
        say("media", { media: { payload: message.media.payload } });
        frames += 1;
        // A mark comes back once all audio before it has been played to the caller.
        if (frames % FRAMES_PER_MARK === 0) say("mark", { mark: { name: `second ${frames / FRAMES_PER_MARK}` } });
        break;
      case "start": {
        const { streamSid, callSid, mediaFormat, customParameters } = message.start;
        stream = streamSid;
        console.log(`start: call ${callSid},`, mediaFormat, customParameters);
        break;
      }
      case "mark":
        console.log(`mark: ${message.mark.name} has been heard`);
        break;
      default:
        // connected, dtmf, stop
        console.log(`${message.event}:`, message[message.event] ?? "");
    }
  });
  socket.on("close", (code) => console.log(`closed with ${code} after ${frames} frames`));
  socket.on("error", (error) => console.log(`error: ${error.message}`));
});
