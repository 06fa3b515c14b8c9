//! Every message that the edge sends, byte for byte: a recorded conversation of each kind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

mod support;

use std::time::{Duration, Instant};

use support::{ACCOUNT, CALL, STREAM, open, settings, texts};
use trunkgate_agent::{Format, Input, Settings, Stream, TrackName, TrackSet, Transmit};

const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const START: &str = concat!(
    r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC0123456789abcdef0123456789abcdef","#,
    r#""streamSid":"MZ0123456789abcdef0123456789abcdef","callSid":"CA0123456789abcdef0123456789abcdef","#,
    r#""tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
    r#""customParameters":{}},"streamSid":"MZ0123456789abcdef0123456789abcdef"}"#
);

fn start_with(tracks: TrackSet, format: Format, parameters: &[(&str, &str)]) -> String {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut stream = open(Instant::now(), Settings { tracks, format, parameters, ..settings() });
    let [connected, start] = texts(&mut stream).try_into().unwrap();
    assert_eq!(connected, CONNECTED);
    start
}

#[test]
fn connected_then_start_and_nothing_between() {
    let now = Instant::now();
    let mut stream = Stream::new(now, settings());
    // What comes before the socket is open is not sent late either.
    stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &[0; 160] });
    stream.handle_input(now, Input::Dtmf('1'));
    assert_eq!(stream.poll_transmit(), None);
    stream.handle_input(now, Input::Opened);
    stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &[0; 160] });
    let sent = texts(&mut stream);
    assert_eq!(sent[..2], [CONNECTED, START]);
    assert!(sent[2].starts_with(r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","#));
}

/// rivals.md §6 case 1: a talking agent gets one track, a fork what it asked for.
#[test]
fn tracks_of_start() {
    let tracks = |set| start_with(set, Format::Mulaw8000, &[]);
    assert_eq!(tracks(TrackSet::Inbound), START);
    assert_eq!(tracks(TrackSet::Outbound), START.replace(r#"["inbound"]"#, r#"["outbound"]"#));
    assert_eq!(tracks(TrackSet::Both), START.replace(r#"["inbound"]"#, r#"["inbound","outbound"]"#));
}

/// rivals.md §6 case 2: inside `start`, in the order of the configuration, nothing else.
#[test]
fn custom_parameters() {
    let start = start_with(
        TrackSet::Inbound,
        Format::Mulaw8000,
        &[("tenant", "acme"), ("caller", "+14155551234"), ("odd \"name\"", "tab\tback\\slash/é")],
    );
    let expected = START.replace(
        r#""customParameters":{}"#,
        concat!(
            r#""customParameters":{"tenant":"acme","caller":"+14155551234","#,
            r#""odd \"name\"":"tab\tback\\slash/é"}"#
        ),
    );
    assert_eq!(start, expected);
}

#[test]
fn media_format() {
    let format = |format| start_with(TrackSet::Inbound, format, &[]);
    for (wide, rate) in
        [(Format::L16Rate8000, "8000"), (Format::L16Rate16000, "16000"), (Format::L16Rate24000, "24000")]
    {
        let media_format = format!(r#"{{"encoding":"audio/x-l16","sampleRate":{rate},"channels":1}}"#);
        let mulaw = r#"{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}"#;
        assert_eq!(format(wide), START.replace(mulaw, &media_format));
    }
}

/// rivals.md §6 case 3: one sequence over all messages, a chunk number for each track, time in milliseconds.
#[test]
fn a_conversation_of_each_message() {
    let now = Instant::now();
    let mut stream = open(now, Settings { tracks: TrackSet::Both, ..settings() });
    assert_eq!(texts(&mut stream).len(), 2);
    // 0, 1, … 159: no two groups of base64 are alike.
    let audio: Vec<u8> = (0..160).collect();
    let payload = concat!(
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xN",
        "Tk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqb",
        "nJ2enw=="
    );
    assert_eq!(payload.len(), 216);
    let (inbound, outbound) = (TrackName::Inbound, TrackName::Outbound);
    for track in [inbound, outbound, inbound] {
        stream.handle_input(now, Input::Frame { track, audio: &audio });
    }
    stream.handle_input(now, Input::Dtmf('#'));
    stream.handle_input(now, Input::MarkPlayed { name: "my label", played_ms: 1234 });
    stream.handle_input(now, Input::Cleared { played_ms: 1234 });
    stream.handle_input(now, Input::Frame { track: outbound, audio: &audio });
    stream.handle_input(now, Input::Stop);
    let sid = STREAM;
    let media = |sequence: u32, track: &str, chunk: u32, timestamp: u32| {
        format!(
            concat!(
                r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"{}","chunk":"{}","timestamp":"{}","#,
                r#""payload":"{}"}},"streamSid":"{}"}}"#
            ),
            sequence, track, chunk, timestamp, payload, sid
        )
    };
    let expected = [
        media(2, "inbound", 1, 0),
        media(3, "outbound", 1, 0),
        media(4, "inbound", 2, 20),
        format!(
            r##"{{"event":"dtmf","streamSid":"{sid}","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"#"}}}}"##
        ),
        format!(r#"{{"event":"mark","sequenceNumber":"6","streamSid":"{sid}","mark":{{"name":"my label"}}}}"#),
        media(7, "outbound", 2, 20),
        format!(
            r#"{{"event":"stop","sequenceNumber":"8","stop":{{"accountSid":"{ACCOUNT}","callSid":"{CALL}"}},"streamSid":"{sid}"}}"#
        ),
        "<close 1000>".to_owned(),
    ];
    assert_eq!(texts(&mut stream), expected);
}

/// rivals.md §6 case 4.
#[test]
fn mark_names_are_escaped() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let name = "quote \" back \\ slash / line \n bell \u{7} é 😀";
    stream.handle_input(now, Input::MarkPlayed { name, played_ms: 0 });
    let expected = format!(
        r#"{{"event":"mark","sequenceNumber":"2","streamSid":"{STREAM}","mark":{{"name":"quote \" back \\ slash / line \n bell \u0007 é 😀"}}}}"#
    );
    assert_eq!(texts(&mut stream), [expected]);
}

#[test]
fn extras_only_where_asked_for() {
    let now = Instant::now();
    let mut stream = open(now, Settings { extras: true, ..settings() });
    assert_eq!(texts(&mut stream), [CONNECTED, START]);
    stream.handle_input(now, Input::MarkPlayed { name: "a", played_ms: 1240 });
    stream.handle_input(now, Input::Cleared { played_ms: 1240 });
    let expected = [
        format!(
            r#"{{"event":"mark","sequenceNumber":"2","streamSid":"{STREAM}","mark":{{"name":"a","playedMs":"1240"}}}}"#
        ),
        format!(r#"{{"event":"cleared","sequenceNumber":"3","streamSid":"{STREAM}","cleared":{{"playedMs":"1240"}}}}"#),
    ];
    assert_eq!(texts(&mut stream), expected);
}

#[test]
fn every_key_of_a_telephone() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    for digit in "0123456789*#ABCD".chars().chain("e!é\"w,".chars()) {
        stream.handle_input(now, Input::Dtmf(digit));
    }
    let sent = texts(&mut stream);
    assert_eq!(sent.len(), 16);
    for (text, digit) in sent.iter().zip("0123456789*#ABCD".chars()) {
        assert!(text.ends_with(&format!(r#""dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#)), "{text}");
    }
}

/// An hour of both tracks: numbers grow without a jump, time is the media's.
#[test]
fn an_hour_of_media() {
    let mut now = Instant::now();
    let mut stream = open(now, Settings { tracks: TrackSet::Both, ping: Duration::ZERO, ..settings() });
    texts(&mut stream);
    for frame in 0..180_000_u64 {
        now += Duration::from_millis(20);
        for (place, track) in [(0, TrackName::Inbound), (1, TrackName::Outbound)] {
            stream.handle_input(now, Input::Frame { track, audio: &[0xff; 160] });
            let Some(Transmit::Text(text)) = stream.poll_transmit() else { panic!("a frame is sent at once") };
            let head = format!(
                r#"{{"event":"media","sequenceNumber":"{}","media":{{"track":"{}","chunk":"{}","timestamp":"{}","#,
                2 + frame * 2 + place,
                track.name(),
                frame + 1,
                frame * 20
            );
            assert!(text.starts_with(head.as_bytes()));
        }
    }
    assert_eq!(stream.counts().frames, 360_000);
}

/// What is written in goes out from a buffer that is used again.
#[test]
fn media_is_written_into_a_reused_buffer() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        stream.handle_input(now, Input::Frame { track: TrackName::Inbound, audio: &[0xff; 160] });
        let Some(Transmit::Text(text)) = stream.poll_transmit() else { panic!("a frame is sent at once") };
        places.insert(text.as_ptr() as usize);
    }
    let span = places.last().unwrap() - places.first().unwrap();
    assert!(span < 4096, "{} places over {span} bytes", places.len());
}
