//! Open stream and its messages.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses its part; a test may unwrap")]

use std::time::Instant;

use trunkgate_agent::{AgentRequest, Input, Loss, Output, Problem, Settings, Stream, Transcript, Transmit};

pub(crate) const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
pub(crate) const CALL: &str = "CA0123456789abcdef0123456789abcdef";
pub(crate) const STREAM: &str = "MZ0123456789abcdef0123456789abcdef";

pub(crate) fn settings() -> Settings {
    Settings {
        account_sid: ACCOUNT.to_owned(),
        call_sid: CALL.to_owned(),
        stream_sid: STREAM.to_owned(),
        ..Settings::default()
    }
}

pub(crate) fn open(now: Instant, settings: Settings) -> Stream {
    let mut stream = Stream::new(now, settings);
    stream.handle_input(now, Input::Opened);
    stream
}

/// Returns all queued messages: texts unchanged, `<ping>` and `<close CODE>` for the rest.
pub(crate) fn texts(stream: &mut Stream) -> Vec<String> {
    std::iter::from_fn(|| stream.poll_transmit())
        .map(|transmit| match transmit {
            Transmit::Text(text) => String::from_utf8(text.to_vec()).unwrap(),
            Transmit::Binary(bytes) => format!("<{} bytes>", bytes.len()),
            Transmit::Ping => "<ping>".to_owned(),
            Transmit::Close(code) => format!("<close {code}>"),
        })
        .collect()
}

/// Owned copy of an output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    Play(Vec<u8>),
    Mark(String),
    Clear,
    Request(AgentRequest),
    Recognised(Transcript),
    Problem(Problem),
    FallsBehind,
    Lost(Loss),
    Ended,
    Closed,
}

/// Returns all pending outputs.
pub(crate) fn told(stream: &mut Stream) -> Vec<Told> {
    let mut told = Vec::new();
    while let Some(output) = stream.poll_output() {
        told.push(match output {
            Output::Play(audio) => Told::Play(audio.to_vec()),
            Output::Mark(name) => Told::Mark(name),
            Output::Clear => Told::Clear,
            Output::Request(request) => Told::Request(request),
            Output::Recognised(transcript) => Told::Recognised(transcript),
            Output::Problem(problem) => Told::Problem(problem),
            Output::FallsBehind => Told::FallsBehind,
            Output::Lost(loss) => Told::Lost(loss),
            Output::Ended => Told::Ended,
            Output::Closed => Told::Closed,
        });
    }
    told
}

/// Processes one text and returns the resulting outputs.
pub(crate) fn say(stream: &mut Stream, now: Instant, text: &str) -> Vec<Told> {
    stream.handle_input(now, Input::Text(text));
    told(stream)
}
