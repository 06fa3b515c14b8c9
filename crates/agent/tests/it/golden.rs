//! Every message of the edge, byte for byte: one recorded conversation of each kind.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::time::{Duration, Instant};

use crate::support::{ACCOUNT, CALL, STREAM, Told, open, say, settings, texts};
use serde_json::Value;
use trunkgate_agent::limits::STOP_TIMEOUT;
use trunkgate_agent::{AgentFormat, SocketMessage, Stream, StreamInput, StreamSettings, TrackName, TrackSet};

const CONNECTED: &str = r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#;
const START: &str = concat!(
    r#"{"event":"start","sequenceNumber":"1","start":{"accountSid":"AC0123456789abcdef0123456789abcdef","#,
    r#""streamSid":"MZ0123456789abcdef0123456789abcdef","callSid":"CA0123456789abcdef0123456789abcdef","#,
    r#""tracks":["inbound"],"mediaFormat":{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1},"#,
    r#""customParameters":{}},"streamSid":"MZ0123456789abcdef0123456789abcdef"}"#
);

fn start_with(tracks: TrackSet, format: AgentFormat, parameters: &[(&str, &str)]) -> String {
    let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let mut stream = open(Instant::now(), StreamSettings { tracks, format, parameters, ..settings() });
    let [connected, start] = texts(&mut stream).try_into().unwrap();
    assert_eq!(connected, CONNECTED);
    start
}

#[test]
fn connected_then_start_and_nothing_between() {
    let now = Instant::now();
    let mut stream = Stream::new(now, settings());
    // Input before the socket is open is never sent.
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0; 160] });
    stream.handle_input(now, StreamInput::Dtmf('1'));
    assert_eq!(stream.poll_transmit(), None);
    stream.handle_input(now, StreamInput::Opened);
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0; 160] });
    let sent = texts(&mut stream);
    assert_eq!(sent[..2], [CONNECTED, START]);
    assert!(sent[2].starts_with(r#"{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1","#));
}

/// `start` names one track for an agent that talks, and the requested tracks for a fork
/// (docs/internals/evidence/voice-agents.md).
#[test]
fn tracks_of_start() {
    let tracks = |set| start_with(set, AgentFormat::Mulaw8000, &[]);
    assert_eq!(tracks(TrackSet::Inbound), START);
    assert_eq!(tracks(TrackSet::Outbound), START.replace(r#"["inbound"]"#, r#"["outbound"]"#));
    assert_eq!(tracks(TrackSet::Both), START.replace(r#"["inbound"]"#, r#"["inbound","outbound"]"#));
}

/// Parameters are inside `start`, in the order of the configuration (docs/internals/evidence/voice-agents.md).
#[test]
fn custom_parameters() {
    let start = start_with(
        TrackSet::Inbound,
        AgentFormat::Mulaw8000,
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
        [(AgentFormat::L16Rate8000, "8000"), (AgentFormat::L16Rate16000, "16000"), (AgentFormat::L16Rate24000, "24000")]
    {
        let media_format = format!(r#"{{"encoding":"audio/x-l16","sampleRate":{rate},"channels":1}}"#);
        let mulaw = r#"{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}"#;
        assert_eq!(format(wide), START.replace(mulaw, &media_format));
    }
}

/// Checks the single sequence over all messages, the frame number of each track, and the time in milliseconds
/// (docs/internals/evidence/voice-agents.md).
#[test]
fn a_conversation_of_each_message() {
    let now = Instant::now();
    let mut stream = open(now, StreamSettings { tracks: TrackSet::Both, ..settings() });
    assert_eq!(texts(&mut stream).len(), 2);
    // 0, 1, … 159: all groups of base64 differ.
    let audio: Vec<u8> = (0..160).collect();
    let payload = concat!(
        "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZHSElKS0xN",
        "Tk9QUVJTVFVWV1hZWltcXV5fYGFiY2RlZmdoaWprbG1ub3BxcnN0dXZ3eHl6e3x9fn+AgYKDhIWGh4iJiouMjY6PkJGSk5SVlpeYmZqb",
        "nJ2enw=="
    );
    assert_eq!(payload.len(), 216);
    let (inbound, outbound) = (TrackName::Inbound, TrackName::Outbound);
    for track in [inbound, outbound, inbound] {
        stream.handle_input(now, StreamInput::Frame { track, audio: &audio });
    }
    stream.handle_input(now, StreamInput::Dtmf('#'));
    stream.handle_input(now, StreamInput::MarkPlayed { name: "my label", played_ms: 1234 });
    stream.handle_input(now, StreamInput::Cleared { played_ms: 1234 });
    stream
        .handle_input(now, StreamInput::TransferFailed { target: "trunk:pbx", reason: "target_busy", code: Some(486) });
    stream.handle_input(now, StreamInput::TransferAccepted { target: "trunk:pbx" });
    stream.handle_input(now, StreamInput::Frame { track: outbound, audio: &audio });
    stream.handle_input(now, StreamInput::Stop);
    stream.handle_timeout(now + STOP_TIMEOUT);
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

/// Names of marks are escaped as JSON strings (docs/internals/evidence/voice-agents.md).
#[test]
fn mark_names_are_escaped() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let name = "quote \" back \\ slash / line \n bell \u{7} é 😀";
    stream.handle_input(now, StreamInput::MarkPlayed { name, played_ms: 0 });
    let expected = format!(
        r#"{{"event":"mark","sequenceNumber":"2","streamSid":"{STREAM}","mark":{{"name":"quote \" back \\ slash / line \n bell \u0007 é 😀"}}}}"#
    );
    assert_eq!(texts(&mut stream), [expected]);
}

#[test]
fn extras_only_where_asked_for() {
    let now = Instant::now();
    let mut stream = open(now, StreamSettings { extras: true, ..settings() });
    assert_eq!(texts(&mut stream), [CONNECTED, START]);
    stream.handle_input(now, StreamInput::MarkPlayed { name: "a", played_ms: 1240 });
    stream.handle_input(now, StreamInput::Cleared { played_ms: 1240 });
    let target = r#"sip:"bob"@10.0.0.5"#;
    stream.handle_input(now, StreamInput::TransferFailed { target, reason: "target_busy", code: Some(486) });
    stream.handle_input(now, StreamInput::TransferFailed { target: "agent:night", reason: "unreachable", code: None });
    stream.handle_input(now, StreamInput::TransferAccepted { target });
    let expected = [
        format!(
            r#"{{"event":"mark","sequenceNumber":"2","streamSid":"{STREAM}","mark":{{"name":"a","playedMs":"1240"}}}}"#
        ),
        format!(r#"{{"event":"cleared","sequenceNumber":"3","streamSid":"{STREAM}","cleared":{{"playedMs":"1240"}}}}"#),
        format!(
            r#"{{"event":"transferFailed","sequenceNumber":"4","streamSid":"{STREAM}","transferFailed":{{"target":"sip:\"bob\"@10.0.0.5","reason":"target_busy","code":"486"}}}}"#
        ),
        format!(
            r#"{{"event":"transferFailed","sequenceNumber":"5","streamSid":"{STREAM}","transferFailed":{{"target":"agent:night","reason":"unreachable"}}}}"#
        ),
        format!(
            r#"{{"event":"transferAccepted","sequenceNumber":"6","streamSid":"{STREAM}","transferAccepted":{{"target":"sip:\"bob\"@10.0.0.5","role":"coach"}}}}"#
        ),
    ];
    assert_eq!(texts(&mut stream), expected);
}

#[test]
fn every_key_of_a_telephone() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    for digit in "0123456789*#ABCD".chars().chain("e!é\"w,".chars()) {
        stream.handle_input(now, StreamInput::Dtmf(digit));
    }
    let sent = texts(&mut stream);
    assert_eq!(sent.len(), 16);
    for (text, digit) in sent.iter().zip("0123456789*#ABCD".chars()) {
        assert!(text.ends_with(&format!(r#""dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#)), "{text}");
    }
}

/// During an hour of both tracks, numbers grow without a jump, and timestamps are media time.
#[test]
fn an_hour_of_media() {
    let mut now = Instant::now();
    let mut stream = open(now, StreamSettings { tracks: TrackSet::Both, ping: Duration::ZERO, ..settings() });
    texts(&mut stream);
    for frame in 0..180_000_u64 {
        now += Duration::from_millis(20);
        for (place, track) in [(0, TrackName::Inbound), (1, TrackName::Outbound)] {
            stream.handle_input(now, StreamInput::Frame { track, audio: &[0xff; 160] });
            let Some(SocketMessage::Text(text)) = stream.poll_transmit() else { panic!("a frame is sent at once") };
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

/// Messages are sent from a reused buffer.
#[test]
fn media_is_written_into_a_reused_buffer() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let mut places = std::collections::BTreeSet::new();
    for _ in 0..10_000 {
        stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0xff; 160] });
        let Some(SocketMessage::Text(text)) = stream.poll_transmit() else { panic!("a frame is sent at once") };
        places.insert(text.as_ptr() as usize);
    }
    let span = places.last().unwrap() - places.first().unwrap();
    assert!(span < 4096, "{} places over {span} bytes", places.len());
}

/// Fields of each message in order, with their types: `s` a string, `c` a counter in a string, `n` a number, `l` a list
/// of strings.
const FIELDS: [(&str, &[(&str, char)]); 6] = [
    ("connected", &[("event", 's'), ("protocol", 's'), ("version", 's')]),
    (
        "start",
        &[
            ("event", 's'),
            ("sequenceNumber", 'c'),
            ("start.accountSid", 's'),
            ("start.streamSid", 's'),
            ("start.callSid", 's'),
            ("start.tracks", 'l'),
            ("start.mediaFormat.encoding", 's'),
            ("start.mediaFormat.sampleRate", 'n'),
            ("start.mediaFormat.channels", 'n'),
            ("start.customParameters.tenant", 's'),
            ("streamSid", 's'),
        ],
    ),
    (
        "media",
        &[
            ("event", 's'),
            ("sequenceNumber", 'c'),
            ("media.track", 's'),
            ("media.chunk", 'c'),
            ("media.timestamp", 'c'),
            ("media.payload", 's'),
            ("streamSid", 's'),
        ],
    ),
    ("dtmf", &[("event", 's'), ("streamSid", 's'), ("sequenceNumber", 'c'), ("dtmf.track", 's'), ("dtmf.digit", 's')]),
    ("mark", &[("event", 's'), ("sequenceNumber", 'c'), ("streamSid", 's'), ("mark.name", 's')]),
    (
        "stop",
        &[("event", 's'), ("sequenceNumber", 'c'), ("stop.accountSid", 's'), ("stop.callSid", 's'), ("streamSid", 's')],
    ),
];

/// Lists the leaves of an object in the order of the text.
fn leaves(text: &str) -> Vec<(String, Value)> {
    let value: Value = serde_json::from_str(text).unwrap();
    let mut found = Vec::new();
    walk("", &value, &mut found);
    // The map has lost the order, which is restored from the positions of the names in the text. A name that also
    // occurs inside an object is taken from its last position.
    let place = |path: &str| {
        let name = |name: &str| format!("\"{name}\":");
        match path.split_once('.') {
            None => text.rfind(&name(path)),
            Some(_) => path.split('.').try_fold(0, |from, part| Some(from + text[from..].find(&name(part))?)),
        }
    };
    found.sort_by_key(|(path, _)| place(path));
    found
}

fn walk(path: &str, value: &Value, found: &mut Vec<(String, Value)>) {
    match value.as_object() {
        Some(fields) => fields.iter().for_each(|(name, value)| walk(&format!("{path}.{name}"), value, found)),
        None => found.push((path[1..].to_owned(), value.clone())),
    }
}

#[test]
fn each_field_has_its_type_and_its_place() {
    let now = Instant::now();
    let parameters = vec![("tenant".to_owned(), "acme".to_owned())];
    let mut stream = open(now, StreamSettings { parameters, ..settings() });
    stream.handle_input(now, StreamInput::Frame { track: TrackName::Inbound, audio: &[0xff; 160] });
    stream.handle_input(now, StreamInput::Dtmf('1'));
    stream.handle_input(now, StreamInput::MarkPlayed { name: "m", played_ms: 20 });
    stream.handle_input(now, StreamInput::Stop);
    stream.handle_timeout(now + STOP_TIMEOUT);
    let sent = texts(&mut stream);
    assert_eq!(sent.len(), 7, "six messages and the close");
    for (text, (event, fields)) in sent.iter().zip(FIELDS) {
        let leaves = leaves(text);
        assert_eq!(leaves[0], ("event".to_owned(), Value::from(event)), "{text}");
        let names: Vec<&str> = leaves.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(names, fields.iter().map(|(path, _)| *path).collect::<Vec<_>>(), "{text}");
        for ((path, value), (_, kind)) in leaves.iter().zip(fields) {
            let counts = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let is_it = match kind {
                's' => value.is_string(),
                'c' => value.as_str().is_some_and(counts),
                'n' => value.is_u64(),
                _ => value.as_array().is_some_and(|list| list.iter().all(Value::is_string)),
            };
            assert!(is_it, "{path} of {text}");
        }
    }
}

/// Messages documented for servers are understood, and so are those that clients of such servers were seen to send.
#[test]
fn what_a_server_of_twilios_sends_is_understood() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let documented = [
        (
            format!(r#"{{"event":"media","streamSid":"{STREAM}","media":{{"payload":"f39/fw=="}}}}"#),
            Told::Play(vec![0x7f; 4]),
        ),
        (
            format!(r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"my label"}}}}"#),
            Told::Mark("my label".into()),
        ),
        (format!(r#"{{"event":"clear","streamSid":"{STREAM}"}}"#), Told::Clear),
    ];
    for (text, expected) in documented {
        assert_eq!(say(&mut stream, now, &text), [expected], "{text}");
    }
    // Without the stream's name, in another order, with more fields and spaces, as Python's `json.dumps` writes it.
    for text in [
        r#"{"media": {"payload": "f39/fw=="}, "event": "media"}"#.to_owned(),
        format!(
            r#"{{"event": "media", "streamSid": "{STREAM}", "sequenceNumber": "3", "media": {{"track": "outbound", "payload": "f39/fw=="}}}}"#
        ),
    ] {
        assert_eq!(say(&mut stream, now, &text), [Told::Play(vec![0x7f; 4])], "{text}");
    }
    // Two marks with the same name are distinct.
    let mark = format!(r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"a"}}}}"#);
    assert_eq!([say(&mut stream, now, &mark), say(&mut stream, now, &mark)].concat(), vec![Told::Mark("a".into()); 2]);
    // A mark without its object is ignored, and the stream continues.
    let told = say(&mut stream, now, &format!(r#"{{"event":"mark","streamSid":"{STREAM}"}}"#));
    assert!(matches!(&told[..], [Told::Problem(problem)] if problem.slug() == "missing_mark_name"), "{told:?}");
    assert!(stream.is_open());
}
