//! Stream of a recogniser: `start` and audio are sent, results are received, and it ends in each possible way.

#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::time::{Duration, Instant};

use trunkgate_agent::limits::{OUTBOX_MEDIA_FRAMES, RESULTS_PER_SECOND};
use trunkgate_agent::{
    AgentFormat, MessageProblem, RecognitionOptions, SocketMessage, Stream, StreamInput, StreamLoss, StreamOutput,
    StreamSettings, TrackName,
};

const YES: &str = r#"{"type":"transcription","is_final":true,"alternatives":[{"transcript":"yes","confidence":0.5}]}"#;

fn stream(now: Instant) -> Stream {
    let recognition = RecognitionOptions { language: "de-DE".to_owned(), ..RecognitionOptions::default() };
    Stream::new(
        now,
        StreamSettings {
            call_sid: "CA1".to_owned(),
            talks: false,
            format: AgentFormat::L16Rate8000,
            recognition: Some(Box::new(recognition)),
            connect_timeout: Duration::from_secs(2),
            ..StreamSettings::default()
        },
    )
}

fn frame(stream: &mut Stream, now: Instant, fill: u8) {
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[fill; 320] });
}

fn sent(stream: &mut Stream) -> Vec<SocketMessage> {
    std::iter::from_fn(|| stream.poll_transmit()).collect()
}

fn outputs(stream: &mut Stream) -> Vec<String> {
    std::iter::from_fn(|| stream.poll_output().map(|output| format!("{output:?}"))).collect()
}

#[test]
fn audio_of_the_time_before_the_socket_is_open_follows_the_start() {
    let now = Instant::now();
    let mut stream = stream(now);
    frame(&mut stream, now, 1);
    frame(&mut stream, now, 2);
    stream.handle_input(now, StreamInput::Opened);
    frame(&mut stream, now, 3);
    let all = sent(&mut stream);
    let SocketMessage::Text(start) = &all[0] else { panic!("{all:?}") };
    let start: serde_json::Value = serde_json::from_slice(start).unwrap();
    assert_eq!((&start["type"], &start["language"]), (&"start".into(), &"de-DE".into()));
    assert_eq!((&start["sampleRateHz"], &start["options"]["callSid"]), (&8000.into(), &"CA1".into()));
    let audio: Vec<SocketMessage> = (1..4).map(|fill| SocketMessage::Binary(vec![fill; 320].into())).collect();
    assert_eq!(all[1..], audio);
}

#[test]
fn at_most_two_seconds_wait_for_the_socket() {
    let now = Instant::now();
    let mut stream = stream(now);
    (0..150).for_each(|fill| frame(&mut stream, now, fill));
    stream.handle_input(now, StreamInput::Opened);
    let all = sent(&mut stream);
    assert_eq!(all.len(), 1 + OUTBOX_MEDIA_FRAMES);
    assert!(matches!(&all[0], SocketMessage::Text(_)), "the start is never dropped");
    assert_eq!(all[1], SocketMessage::Binary(vec![50; 320].into()), "the oldest audio is");
}

#[test]
fn results_are_told_and_stop_ends_it() {
    let now = Instant::now();
    let mut stream = stream(now);
    stream.handle_input(now, StreamInput::Opened);
    sent(&mut stream);
    stream.handle_input(now, StreamInput::Text(YES));
    let Some(StreamOutput::Recognised(transcript)) = stream.poll_output() else { panic!() };
    assert_eq!(
        (transcript.text.as_str(), transcript.is_final, transcript.confidence_ppm),
        ("yes", true, Some(500_000))
    );
    stream.handle_input(now, StreamInput::Text(r#"{"type":"metadata"}"#));
    assert_eq!(outputs(&mut stream), [""; 0]);
    stream.handle_input(now, StreamInput::Stop);
    assert_eq!(sent(&mut stream), [SocketMessage::Text(br#"{"type":"stop"}"#[..].into())]);
    stream.handle_input(now, StreamInput::Text(YES));
    stream.handle_input(now, StreamInput::Closed(Some(1000)));
    assert_eq!(outputs(&mut stream), ["Closed"]);
}

#[test]
fn what_cannot_be_used_is_the_end() {
    for (input, problem) in [
        (StreamInput::Text("{"), "BadJson { line: 1, column: 1 }"),
        (StreamInput::Text(r#"{"partial":"yes"}"#), "MissingType"),
        (StreamInput::Text(r#"{"type":"error","error":"no model"}"#), "RecogniserFailed(\"no model\")"),
        (StreamInput::Binary(5), "Binary { bytes: 5 }"),
    ] {
        let now = Instant::now();
        let mut stream = stream(now);
        stream.handle_input(now, StreamInput::Opened);
        stream.handle_input(now, input);
        assert_eq!(outputs(&mut stream), [format!("Problem({problem})"), "Lost(ProtocolError)".to_owned()]);
        stream.handle_input(now, StreamInput::Text(YES));
        assert_eq!(outputs(&mut stream), [""; 0], "it is heard no more");
    }
}

#[test]
fn too_many_results_are_the_end() {
    let now = Instant::now();
    let mut stream = stream(now);
    stream.handle_input(now, StreamInput::Opened);
    for _ in 0..RESULTS_PER_SECOND {
        stream.handle_input(now, StreamInput::Text(YES));
    }
    let later = now + Duration::from_secs(1);
    stream.handle_input(later, StreamInput::Text(YES));
    assert_eq!(outputs(&mut stream).len(), RESULTS_PER_SECOND as usize + 1);
    for _ in 0..RESULTS_PER_SECOND {
        stream.handle_input(later, StreamInput::Text(YES));
    }
    let all = outputs(&mut stream);
    assert_eq!(all[all.len() - 2..], ["Problem(TooManyResults)", "Lost(ProtocolError)"]);
    assert_eq!(MessageProblem::TooManyResults.slug(), "too_many_results");
}

#[test]
fn a_socket_that_does_not_open_or_leaves_is_lost() {
    let now = Instant::now();
    let mut never = stream(now);
    never.handle_timeout(now + Duration::from_secs(2));
    assert_eq!(never.poll_output(), Some(StreamOutput::Lost(StreamLoss::ConnectTimeout)));
    for (code, expected) in [(Some(1000), "Ended"), (Some(1011), "Lost(Closed(Some(1011)))")] {
        let mut open = stream(now);
        open.handle_input(now, StreamInput::Opened);
        open.handle_input(now, StreamInput::Closed(code));
        assert_eq!(outputs(&mut open), [expected, "Closed"]);
    }
}
