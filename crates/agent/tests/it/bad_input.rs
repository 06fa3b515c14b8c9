//! Invalid messages of an agent: each is reported, none ends the stream, and the next message is processed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may unwrap")]
#![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

use std::time::Instant;

use crate::support::{STREAM, Told, open, say, settings, texts, told};
use trunkgate_agent::limits::{
    DIGITS, MARK_NAME_BYTES, MARKS_WAITING, OUTBOX_CONTROL_MESSAGES, STOP_TIMEOUT, TARGET_BYTES, TEXT_BESIDE_BYTES,
    TEXT_BYTES,
};
use trunkgate_agent::{MessageProblem, PlayoutQueue, Stream, StreamInput, StreamLoss, StreamSettings, parse};

/// Invalid messages, with the stable names of their problems.
const TABLE: [(&str, &str); 55] = [
    ("", "bad_json"),
    ("   ", "bad_json"),
    ("hello", "bad_json"),
    ("{", "bad_json"),
    (r#"{"event":"media","media":{"payload":"AAAA"#, "bad_json"),
    (r#"{"event":"clear"}x"#, "bad_json"),
    (r#"{"event":"clear"}{"event":"clear"}"#, "bad_json"),
    (r#"{"event":"clear",}"#, "bad_json"),
    (r#"{'event':'clear'}"#, "bad_json"),
    (r#"{"event":"\ud800"}"#, "bad_json"),
    ("{\"event\":\"a\nb\"}", "bad_json"),
    ("\u{feff}{\"event\":\"clear\"}", "bad_json"),
    ("null", "not_an_object"),
    ("5", "not_an_object"),
    (r#""clear""#, "not_an_object"),
    ("[]", "not_an_object"),
    (r#"["clear"]"#, "not_an_object"),
    (r#"["clear",null,null,null,null,null]"#, "not_an_object"),
    ("{}", "missing_event"),
    (r#"{"event":null}"#, "missing_event"),
    (r#"{"Event":"clear"}"#, "missing_event"),
    (r#"{"event":5}"#, "wrong_type"),
    (r#"{"event":{"media":1}}"#, "wrong_type"),
    (r#"{"event":"clear","event":"clear"}"#, "wrong_type"),
    (r#"{"event":"clear","streamSid":7}"#, "wrong_type"),
    (r#"{"event":"media","media":"AAAA"}"#, "wrong_type"),
    (r#"{"event":"media","media":["AAAA"]}"#, "wrong_type"),
    (r#"{"event":"media","media":{"payload":12}}"#, "wrong_type"),
    (r#"{"event":"media","media":{"payload":["AAAA"]}}"#, "wrong_type"),
    (r#"{"event":"mark","mark":"a"}"#, "wrong_type"),
    (r#"{"event":"mark","mark":{"name":1}}"#, "wrong_type"),
    (r#"{"event":"dtmf","digits":123}"#, "wrong_type"),
    (r#"{"event":"transfer","target":{"trunk":"pbx"}}"#, "wrong_type"),
    (r#"{"event":"transfer","target":"trunk:pbx","consult":"true"}"#, "wrong_type"),
    (r#"{"event":"transfer","target":"trunk:pbx","consult":1}"#, "wrong_type"),
    (r#"{"event":"media"}"#, "missing_payload"),
    (r#"{"event":"media","media":null}"#, "missing_payload"),
    (r#"{"event":"media","media":{}}"#, "missing_payload"),
    (r#"{"event":"media","payload":"AAAA"}"#, "missing_payload"),
    (r#"{"event":"media","media":{"payload":"*"}}"#, "bad_base64"),
    (r#"{"event":"media","media":{"payload":"AAAAA"}}"#, "bad_base64"),
    (r#"{"event":"media","media":{"payload":"data:audio/wav;base64,AAAA"}}"#, "bad_base64"),
    (r#"{"event":"mark"}"#, "missing_mark_name"),
    (r#"{"event":"mark","mark":{}}"#, "missing_mark_name"),
    (r#"{"event":"mark","mark":{"name":null}}"#, "missing_mark_name"),
    (r#"{"event":"transfer"}"#, "missing_target"),
    (r#"{"event":"transfer","target":""}"#, "missing_target"),
    (r#"{"event":"transfer","consult":true}"#, "missing_target"),
    (r#"{"event":"transfer","target":"trunk:a","warm":{"wait":99}}"#, "bad_warm"),
    (r#"{"event":"transfer","target":"trunk:a","warm":true}"#, "wrong_type"),
    (r#"{"event":"dtmf"}"#, "missing_digits"),
    (r#"{"event":"dtmf","digits":"12x"}"#, "bad_digits"),
    (r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#, "unknown_event"),
    (r#"{"event":"Clear"}"#, "unknown_event"),
    (r#"{"event":"clear","streamSid":"MZ1"}"#, "foreign_stream"),
];

#[test]
fn each_is_named_and_the_next_message_counts() {
    let now = Instant::now();
    for (text, slug) in TABLE {
        let mut stream = open(now, settings());
        let outputs = say(&mut stream, now, text);
        let [Told::Problem(problem)] = &outputs[..] else { panic!("{text}: {outputs:?}") };
        assert_eq!(problem.slug(), slug, "{text}: {problem}");
        assert!(problem.to_string().len() < 200, "{text}");
        assert_eq!(say(&mut stream, now, r#"{"event":"clear"}"#), [Told::Clear], "after {text}");
        assert_eq!((stream.counts().messages, stream.counts().problems), (2, 1));
        let invalid = ["bad_json", "not_an_object", "wrong_type", "missing_event", "missing_payload", "bad_base64"];
        assert_eq!(stream.counts().invalid == 1, invalid.contains(&slug), "{text}");
        assert!(stream.is_open());
    }
}

#[test]
fn half_a_message_at_any_point() {
    let text = format!(r#"{{"event":"mark","streamSid":"{STREAM}","mark":{{"name":"aé\u00e9"}}}}"#);
    assert!(parse(&text).is_ok());
    for (cut, _) in text.char_indices() {
        assert_eq!(parse(&text[..cut]).unwrap_err().slug(), "bad_json", "{}", &text[..cut]);
    }
}

#[test]
fn sizes_at_their_limits() {
    let media = |bytes: usize| {
        let frame = r#"{"event":"media","media":{"payload":""}}"#.len();
        format!(r#"{{"event":"media","media":{{"payload":"{}"}}}}"#, "A".repeat(bytes - frame))
    };
    assert!(parse(&media(TEXT_BYTES)).is_ok());
    assert_eq!(parse(&media(TEXT_BYTES + 1)), Err(MessageProblem::TooLarge { bytes: TEXT_BYTES + 1 }));
    let mark = |bytes| format!(r#"{{"event":"mark","mark":{{"name":"{}"}}}}"#, "m".repeat(bytes));
    assert!(parse(&mark(MARK_NAME_BYTES)).is_ok());
    assert_eq!(parse(&mark(MARK_NAME_BYTES + 1)).unwrap_err().slug(), "mark_name_too_long");
    let transfer = |bytes| format!(r#"{{"event":"transfer","target":"{}"}}"#, "t".repeat(bytes));
    assert!(parse(&transfer(TARGET_BYTES)).is_ok());
    assert_eq!(parse(&transfer(TARGET_BYTES + 1)).unwrap_err().slug(), "target_too_long");
    let dtmf = |count| format!(r#"{{"event":"dtmf","digits":"{}"}}"#, "1".repeat(count));
    assert!(parse(&dtmf(DIGITS)).is_ok());
    assert_eq!(parse(&dtmf(DIGITS + 1)).unwrap_err().slug(), "bad_digits");
}

#[test]
fn deep_nesting_is_passed_over_or_refused() {
    let nested = |depth| format!(r#"{{"event":"clear","x":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    assert!(parse(&nested(100)).is_ok());
    // The parser does not overflow the stack; serde's result is irrelevant.
    let _ = parse(&nested(30_000));
    assert_eq!(parse(&nested(1_000_000)).unwrap_err().slug(), "message_too_large");
}

/// A long text is accepted only if its length is due to one string.
#[test]
fn a_long_text_of_many_parts_is_not_read() {
    let beside = |many: usize, payload: usize| {
        let (many, payload) = ("1,".repeat(many / 2), "A".repeat(payload));
        format!(r#"{{"x":[{many}1],"media":{{"payload":"{payload}"}},"event":"media","y":[{many}1]}}"#)
    };
    let frame = beside(0, 0).len();
    for payload in [0, 2_000_000] {
        assert!(parse(&beside((TEXT_BESIDE_BYTES - frame) / 4 * 2, payload)).is_ok(), "{payload}");
    }
    assert_eq!(parse(&beside(TEXT_BESIDE_BYTES / 2 + 2, 2_000_000)).unwrap_err().slug(), "message_too_large");
    assert_eq!(parse(&beside(TEXT_BESIDE_BYTES / 2 + 2, 0)).unwrap_err().slug(), "message_too_large");
    assert_eq!(parse(&"[".repeat(1 << 20)).unwrap_err().slug(), "message_too_large");
    assert_eq!(parse(&format!("\"{}", "a".repeat(1 << 20))).unwrap_err().slug(), "message_too_large");
}

#[test]
fn binary_messages_are_told() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    stream.handle_input(now, StreamInput::Binary(160));
    assert_eq!(told(&mut stream), [Told::Problem(MessageProblem::Binary { bytes: 160 })]);
}

#[test]
fn an_agent_that_only_listens_is_not_obeyed() {
    let now = Instant::now();
    let mut stream = open(now, StreamSettings { talks: false, ..settings() });
    for (text, event) in [
        (r#"{"event":"media","media":{"payload":"AAAA"}}"#, "media"),
        (r#"{"event":"mark","mark":{"name":"a"}}"#, "mark"),
        (r#"{"event":"clear"}"#, "clear"),
        (r#"{"event":"transfer","target":"trunk:pbx"}"#, "transfer"),
        (r#"{"event":"hangup"}"#, "hangup"),
        (r#"{"event":"dtmf","digits":"1"}"#, "dtmf"),
    ] {
        assert_eq!(say(&mut stream, now, text), [Told::Problem(MessageProblem::ListenerSpoke(event))]);
    }
}

/// Each problem is reported; limiting the reports is left to the layer above, which has to count them.
#[test]
fn each_of_a_flood_of_bad_messages_is_told() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    for n in 1..=1000 {
        assert!(matches!(say(&mut stream, now, "{")[..], [Told::Problem(MessageProblem::BadJson { .. })]));
        assert_eq!(stream.counts().problems, n);
    }
}

/// If an agent sends requests without reading the responses, its socket is no longer read; if it is read nevertheless,
/// the agent is lost.
#[test]
fn unread_answers_are_bounded() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    let mut answered = 0;
    while stream.wants_more() {
        stream.handle_input(now, StreamInput::MarkPlayed { name: "m", played_ms: 0 });
        answered += 1;
    }
    assert!(answered < OUTBOX_CONTROL_MESSAGES);
    for _ in 0..OUTBOX_CONTROL_MESSAGES {
        stream.handle_input(now, StreamInput::MarkPlayed { name: "m", played_ms: 0 });
    }
    assert_eq!(told(&mut stream), [Told::Lost(StreamLoss::Unread)]);
    stream.handle_timeout(now + STOP_TIMEOUT);
    let rest = texts(&mut stream);
    assert!(rest.len() == 2 && rest[0].starts_with(r#"{"event":"stop""#) && rest[1] == "<close 1000>", "{rest:?}");
}

/// One `clear` returns the maximum number of waiting marks, and the agent is not lost by that.
#[test]
fn a_clear_of_all_marks_is_no_loss() {
    let now = Instant::now();
    let mut stream = open(now, settings());
    texts(&mut stream);
    let mut playout = PlayoutQueue::new(settings().format);
    playout.push(&[1; 160]);
    while playout.wants_more() {
        playout.mark("m".into());
    }
    playout.clear();
    while let Some(mark) = playout.poll_mark() {
        stream.handle_input(now, StreamInput::MarkPlayed { name: &mark.name, played_ms: mark.played_ms });
    }
    assert_eq!(told(&mut stream), []);
    assert!(stream.is_open() && !stream.wants_more());
    assert_eq!(texts(&mut stream).len(), MARKS_WAITING);
    assert!(stream.wants_more());
}

#[test]
fn nothing_counts_after_the_end() {
    let now = Instant::now();
    let mut stream = Stream::new(now, settings());
    stream.handle_input(now, StreamInput::Text(r#"{"event":"clear"}"#));
    assert_eq!(told(&mut stream), []);
    stream.handle_input(now, StreamInput::Opened);
    stream.handle_input(now, StreamInput::Stop);
    stream.handle_input(now, StreamInput::Text(r#"{"event":"clear"}"#));
    stream.handle_input(now, StreamInput::Binary(1));
    stream.handle_input(now, StreamInput::Dtmf('1'));
    stream.handle_input(now, StreamInput::Stop);
    assert_eq!(told(&mut stream), []);
    let sent = texts(&mut stream);
    assert_eq!(sent.len(), 3);
    assert_eq!(sent.iter().filter(|text| text.contains(r#""event":"stop""#)).count(), 1);
}
