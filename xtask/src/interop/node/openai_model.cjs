// The side of OpenAI's realtime model in cases: a WebSocket that answers the caller's words with four seconds of voice at once, reports when the
// caller interrupts them, and prints what it has heard and where the client cuts what it has said.
"use strict";

const say = (text) => console.log(text);
const BYTES_PER_MS = 8;
const DELTA_MS = 40;
const ANSWER_MS = 4000;
// Of the caller's audio: voice that makes a turn, silence that ends one.
const TURN_MS = 500;
const PAUSE_MS = 300;

// Speaks with one client.
function model(socket) {
  let events = 0;
  let voiced = 0;
  let quiet = 0;
  let answers = 0;
  let answered = false;
  let interrupted = false;
  const send = (event) => socket.send(JSON.stringify({ event_id: `event_${++events}`, ...event }));
  const answer = () => {
    answers += 1;
    const ids = { response_id: `resp_${answers}`, item_id: `item_${2 * answers - 1}`, output_index: 0, content_index: 0 };
    send({ type: "response.created", response: { id: ids.response_id, object: "realtime.response", status: "in_progress" } });
    const delta = Buffer.alloc(DELTA_MS * BYTES_PER_MS, 0x20).toString("base64");
    for (let ms = 0; ms < ANSWER_MS; ms += DELTA_MS) send({ type: "response.output_audio.delta", delta, ...ids });
  };
  const hear = (audio) => {
    const ms = audio.length / BYTES_PER_MS;
    const isVoice = audio.some((byte) => (byte | 0x80) !== 0xff);
    if (isVoice) {
      // The last answer is over: another turn.
      if (quiet >= ANSWER_MS) [voiced, answered, interrupted] = [0, false, false];
      voiced += ms;
      if (answered && !interrupted && quiet >= PAUSE_MS) {
        interrupted = true;
        send({ type: "input_audio_buffer.speech_started", item_id: `item_${2 * answers}`, audio_start_ms: 0 });
      }
      quiet = 0;
    } else {
      quiet += ms;
    }
    if (!answered && voiced >= TURN_MS && quiet >= PAUSE_MS) {
      answered = true;
      say(`heard ${voiced} ms`);
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
        send({ type: "response.done", response: { id: `resp_${answers}`, object: "realtime.response", status: "cancelled" } });
        break;
    }
  });
}

module.exports = { model };
