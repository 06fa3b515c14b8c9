//! Keys of `[agent.NAME]`, of the tables in it, and of `[speech]`.

use super::{FILE, FOLDER, Key, Kind, MUST, NONE, NUMBER, TEXT, is, keys, told};

/// `[agent.NAME]`
pub(in crate::config) const AGENT: &[Key] = keys! {
    "url": Kind::Url, MUST, "its WebSocket; `rtp://host:port` for a listener that gets plain RTP";
    "ca": FILE, told("the system's"), "PEM: whom its certificate must come from";
    "auth_token": Kind::Secret, NONE, "signs the handshake (X-Twilio-Signature)";
    "parameters": Kind::Map(&TEXT), is("{}"), "`customParameters`, with {caller}, {called}, {route}, {trunk} and {header:X-Name} filled in";
    "format": Kind::Word(&["mulaw/8000", "l16/8000", "l16/16000", "l16/24000"]), is(r#""mulaw/8000""#), "the audio on the socket, both ways";
    "extras": Kind::Boolean, is("false"), "our own fields and events besides Twilio's";
    "clear_fade": Kind::Duration, is(r#""0s""#), "what a `clear` cuts off fades out in so long; 20 ms at most";
    "connect_timeout": Kind::Duration, is(r#""10s""#), "until the socket is open, else the next target";
    "first_audio_timeout": Kind::Duration, is(r#""0s""#), "from then until it first speaks, else the next target";
    "answer": Kind::Word(&["on_connect", "early", "at_once"]), is(r#""on_connect""#), "when the caller is answered";
    "retry": Kind::Integer(0, 10), is("0"), "new streams to it before the next target";
    "on_close": Kind::Word(&["hangup", "next"]), is(r#""hangup""#), "what becomes of the caller when it closes with code 1000";
    "ping": Kind::Duration, is(r#""2s""#), "between two pings";
    "max_call": Kind::Duration, is(r#""0s""#), "how long it may have the caller";
    "max_sessions": Kind::Integer(0, 100_000), is("0"), "callers that it has at once; 0: any number";
    "queue": Kind::Table(QUEUE), NONE, "callers that wait while it has that many";
    "goodbye": FILE, NONE, "heard before BYE when no target is left, or `max_call` is over";
    "allow_callers": Kind::Many(&NUMBER), is("[]"), "all others get 486; none written: anybody";
    "hold": Kind::Table(HOLD), is(r#"{ strategy = "none" }"#), "what the caller hears while nobody has it";
};

/// An agent's `queue`.
pub(in crate::config) const QUEUE: &[Key] = keys! {
    "size": Kind::Integer(1, 1_000), is("20"), "how many wait";
    "wait": Kind::Duration, is(r#""2m""#), "for how long each";
};

/// An agent's `hold`.
pub(in crate::config) const HOLD: &[Key] = keys! {
    "strategy": Kind::Word(&["none", "text", "audio", "music", "audio_then_music", "text_then_music"]), MUST, "what is heard, and in which order";
    "text": TEXT, NONE, "said by `[speech]`";
    "voice": TEXT, told("that of `[speech]`"), "by whom";
    "audio": FILE, NONE, "heard once";
    "music": FILE, NONE, "heard again and again";
};

/// `[speech]`
pub(in crate::config) const SPEECH: &[Key] = keys! {
    "command": Kind::List(&TEXT), NONE, "a program and its arguments, with {voice} and {text}: writes an audio file to its output";
    "url": Kind::Url, NONE, "instead of a program, an endpoint that takes what OpenAI's `/audio/speech` takes";
    "token": Kind::Secret, NONE, "its key";
    "model": TEXT, is(r#""tts-1""#).beside("url"), "what it is asked for";
    "format": Kind::Word(&["wav", "mp3", "opus", "pcm"]), is(r#""wav""#).beside("url"), "what it answers with";
    "cache": FOLDER, NONE, "where texts that were said are kept";
};
