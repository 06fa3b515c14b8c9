//! Helpers that open a stream and examine its messages.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]

use std::time::Instant;

use trunkgate_agent::{
    AgentRequest, MessageProblem, SocketMessage, Stream, StreamInput, StreamLoss, StreamOutput, StreamSettings,
    Transcript,
};

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const CALL: &str = "CA0123456789abcdef0123456789abcdef";
pub(crate) const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

pub(crate) fn settings() -> StreamSettings {
    StreamSettings {
        account_sid: ACCOUNT.to_owned(),
        call_sid: CALL.to_owned(),
        stream_sid: STREAM.to_owned(),
        ..StreamSettings::default()
    }
}

pub(crate) fn open(now: Instant, settings: StreamSettings) -> Stream {
    let mut stream = Stream::new(now, settings);
    stream.handle_input(now, StreamInput::Opened);
    stream
}

/// Removes and returns all queued messages: texts unchanged, others as `<ping>` and `<close CODE>`.
pub(crate) fn texts(stream: &mut Stream) -> Vec<String> {
    std::iter::from_fn(|| stream.poll_transmit())
        .map(|transmit| match transmit {
            SocketMessage::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            SocketMessage::Binary(bytes) => format!("<{} bytes>", bytes.len()),
            SocketMessage::Ping => "<ping>".to_owned(),
            SocketMessage::Close(code) => format!("<close {code}>"),
        })
        .collect()
}

/// Owned copy of a stream's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Play(Vec<u8>),
    Mark(String),
    Clear,
    Request(AgentRequest),
    Recognised(Transcript),
    Problem(MessageProblem),
    FallsBehind,
    Lost(StreamLoss),
    Ended,
    Closed,
}

/// Removes and returns all pending outputs.
pub(crate) fn told(stream: &mut Stream) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(output) = stream.poll_output() {
        told.push(match output {
            StreamOutput::Play(audio) => Told::Play(audio.to_vec()),
            StreamOutput::Mark(name) => Told::Mark(name),
            StreamOutput::Clear => Told::Clear,
            StreamOutput::Request(request) => Told::Request(request),
            StreamOutput::Recognised(transcript) => Told::Recognised(transcript),
            StreamOutput::Problem(problem) => Told::Problem(problem),
            StreamOutput::FallsBehind => Told::FallsBehind,
            StreamOutput::Lost(loss) => Told::Lost(loss),
            StreamOutput::Ended => Told::Ended,
            StreamOutput::Closed => Told::Closed,
        });
    }
    told
}

/// Processes one text and returns the resulting outputs.
pub(crate) fn say(stream: &mut Stream, now: Instant, text: &str) -> Vec<Told> {
    stream.handle_input(now, StreamInput::Text(text));
    told(stream)
}
