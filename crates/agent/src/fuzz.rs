//! Bodies of the fuzz targets, kept here so that they are compiled with the code that they drive.

use std::time::{Duration, Instant};

use crate::playout::PlayoutQueue;
use crate::stream::{Stream, StreamInput, StreamOutput, StreamSettings};

/// Feeds any text to an open socket and performs its requests, until all audio is played and the stream is closed.
pub fn agent_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = crate::incoming::parse(&text);
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let start = Instant::now();
    let settings = StreamSettings { stream_sid: "MZ1".to_owned(), extras: true, ..StreamSettings::default() };
    let format = settings.format;
    let mut stream = Stream::new(start, settings);
    let mut playout = PlayoutQueue::new(format);
    stream.handle_input(start, StreamInput::Opened);
    for line in text.split('\n').chain([&*text]) {
        stream.handle_input(start, StreamInput::Text(line));
        drain(start, &mut stream, &mut playout);
    }
    while playout.next_frame().is_some() || !playout.is_empty() {
        drain(start, &mut stream, &mut playout);
    }
    stream.handle_input(start, StreamInput::Stop);
    drain(start, &mut stream, &mut playout);
    let mut last = None;
    while let Some((due, _)) = stream.poll_timeout() {
        while let Some(transmit) = stream.poll_transmit() {
            last = Some(transmit);
        }
        assert!(due <= start + Duration::from_secs(60));
        stream.handle_timeout(due);
        drain(start, &mut stream, &mut playout);
    }
    assert_eq!(last, Some(crate::outbox::SocketMessage::Close(crate::outbox::NORMAL_CLOSE)));
}

/// Feeds any text to a recogniser's socket: each line is a result, is ignored, or ends the stream.
pub fn recogniser_text(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    #[expect(clippy::disallowed_methods, reason = "a fuzz target begins somewhere in time")]
    let now = Instant::now();
    let settings = StreamSettings { talks: false, recognition: Some(Box::default()), ..StreamSettings::default() };
    let mut playout = PlayoutQueue::new(settings.format);
    let mut stream = Stream::new(now, settings);
    stream.handle_input(now, StreamInput::Opened);
    for line in text.split('\n').chain([&*text]) {
        let is_open = stream.is_open();
        stream.handle_input(now, StreamInput::Text(line));
        if !is_open {
            assert!(stream.poll_output().is_none(), "nothing more comes");
        }
        drain(now, &mut stream, &mut playout);
    }
    assert!(playout.is_empty());
}

fn drain(now: Instant, stream: &mut Stream, playout: &mut PlayoutQueue) {
    while let Some(output) = stream.poll_output() {
        match output {
            StreamOutput::Play(audio) => playout.push(audio),
            StreamOutput::Mark(name) => playout.mark(name),
            StreamOutput::Clear => {
                let cleared = playout.clear();
                return_marks(now, stream, playout);
                stream.handle_input(now, StreamInput::Cleared { played_ms: cleared.played_ms });
            }
            StreamOutput::Problem(problem) => {
                assert!(!problem.slug().is_empty() && problem.to_string().len() < 1000);
            }
            StreamOutput::Request(_)
            | StreamOutput::Recognised(_)
            | StreamOutput::FallsBehind
            | StreamOutput::Lost(_)
            | StreamOutput::Ended
            | StreamOutput::Closed => {}
        }
    }
    return_marks(now, stream, playout);
}

fn return_marks(now: Instant, stream: &mut Stream, playout: &mut PlayoutQueue) {
    while let Some(mark) = playout.poll_mark() {
        stream.handle_input(now, StreamInput::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    const EVENTS: [&str; 8] = ["media", "mark", "clear", "transfer", "hangup", "dtmf", "start", "\\u006dark"];

    proptest! {
        #[test]
        fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            super::agent_text(&bytes);
            super::recogniser_text(&bytes);
        }

        #[test]
        fn anything_like_a_result(
            kind in "transcription|error|start|",
            inner in "\\PC{0,20}|\"|\\\\|\\{\\}|null|0.5|true",
            key in "is_final|alternatives|error|type",
            quote in any::<bool>(),
            cut in any::<prop::sample::Index>(),
        ) {
            let value = if quote { format!("\"{inner}\"") } else { inner };
            let text = format!(
                "{{\"type\":\"{kind}\",\"alternatives\":[{{\"transcript\":{value},\"confidence\":{value}}}],\"{key}\":{value}}}\n[]"
            );
            super::recogniser_text(text.as_bytes());
            super::recogniser_text(&text.as_bytes()[..cut.index(text.len() + 1)]);
        }

        #[test]
        fn anything_like_a_message(
            event in proptest::sample::select(&EVENTS[..]),
            inner in "\\PC{0,20}|[A-Za-z0-9+/=]{0,900}|\"|\\\\|\\{\\}|null",
            key in "payload|name|target|consult|digits|x",
            quote in any::<bool>(),
            sid in "MZ1|MZ2|",
            cut in any::<prop::sample::Index>(),
        ) {
            let value = if quote { format!("\"{inner}\"") } else { inner };
            let text = format!(
                "{{\"event\":\"{event}\",\"streamSid\":\"{sid}\",\"media\":{{\"{key}\":{value}}},\"mark\":{{\"{key}\":{value}}},\"{key}\":{value}}}"
            );
            super::agent_text(text.as_bytes());
            super::agent_text(&text.as_bytes()[..cut.index(text.len() + 1)]);
        }
    }
}
