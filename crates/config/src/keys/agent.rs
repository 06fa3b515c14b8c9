//! Keys of `[agent.NAME]`, of the tables in it, and of `[speech]`.

use std::time::Duration;

use trunkgate_call::limits::{AGENT_SESSIONS_MOST, RETRY_MOST};
use trunkgate_route::{Agent, AnswerTime, OnClose};

use super::{ConfigKey, FILE, FOLDER, FieldSetter, MUST, NONE, NUMBER, TEXT, ValueKind, is, keyed, keys, read, told};
use crate::agents;

keyed! {
    /// Keys of `[agent.NAME]`.
    AGENT, PUT_AGENT: Agent;
    "url": ValueKind::Url, MUST, "WebSocket URL of the agent; `rtp://host:port` for a listener that receives plain RTP";
    "ca": FILE
        => read!(agents::certificates, |agent, pem| agent.ca = Some(pem)), told("system roots"), "CA bundle (PEM) to verify the agent's certificate";
    "auth_token": ValueKind::Secret
        => FieldSetter::Secret(|agent, secret| agent.auth_token = Some(secret.reveal().to_owned())), NONE, "secret that signs the WebSocket handshake (`X-Twilio-Signature`)";
    "parameters": ValueKind::Map(&TEXT)
        => read!(agents::parameters, |agent, parameters| agent.parameters = parameters), is("{}"), "`customParameters` of the `start` message; {caller}, {called}, {route}, {trunk} and {header:X-Name} are replaced";
    "format": ValueKind::Word(&["mulaw/8000", "l16/8000", "l16/16000", "l16/24000"])
        => FieldSetter::Word(|agent, word| agent.format = word), is(r#""mulaw/8000""#), "audio format on the WebSocket, both directions";
    "extras": ValueKind::Boolean
        => FieldSetter::Boolean(|agent, is_so| agent.extras = is_so), is("false"), "sends Trunkgate's own fields and events in addition to Twilio's";
    "clear_fade": ValueKind::Duration
        => read!(agents::clear_fade, |agent, time| agent.clear_fade = time), is(r#""0s""#), "fade-out of audio interrupted by `clear`; maximum 20 ms";
    "connect_timeout": ValueKind::Duration
        => FieldSetter::Duration(|agent, time| agent.connect_timeout = time), is(r#""10s""#), "maximum time to open the WebSocket before failing over to the next target";
    "first_audio_timeout": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(1), "an agent that takes longer before its first audio counts as failed"), |agent, time| agent.first_audio_timeout = time), is(r#""0s""#), "maximum time from the open WebSocket to the agent's first audio before failing over to the next target; 0: no limit";
    "answer": ValueKind::Word(&["on_connect", "early", "at_once"])
        => FieldSetter::Word(|agent, word| agent.answer = match word { "early" => AnswerTime::Early, "at_once" => AnswerTime::AtOnce, _ => AnswerTime::OnConnect }), is(r#""on_connect""#), "time at which the caller is answered: once the agent is connected, as early media before the answer, or immediately";
    "retry": ValueKind::Integer(0, RETRY_MOST)
        => FieldSetter::Integer(|agent, most| agent.retry = most), is("0"), "number of reconnection attempts before failing over to the next target";
    "on_close": ValueKind::Word(&["hangup", "next"])
        => FieldSetter::Word(|agent, word| agent.on_close = if word == "next" { OnClose::Next } else { OnClose::Hangup }), is(r#""hangup""#), "action when the agent closes with code 1000: end the call, or try the next target";
    "ping": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_millis(500), "short intervals add load without detecting failures sooner"), |agent, time| agent.ping = time), is(r#""2s""#), "interval between WebSocket pings";
    "probe": ValueKind::Duration
        => FieldSetter::DurationFrom((Duration::from_secs(5), "each probe is a connection that the agent has to accept"), |agent, time| agent.probe = time), is(r#""0s""#), "interval between probes (signed handshake and close); after two failures callers who have another target skip the agent; 0: no probes";
    "max_call": ValueKind::Duration
        => FieldSetter::Duration(|agent, time| agent.max_call = time), is(r#""0s""#), "maximum duration of the agent's part of a call; 0: no limit";
    "max_sessions": ValueKind::Integer(0, AGENT_SESSIONS_MOST)
        => FieldSetter::Integer(|agent, most| agent.max_sessions = most), is("0"), "maximum number of concurrent sessions; 0: no limit";
    "queue": ValueKind::Table(QUEUE), NONE, "queue for callers beyond `max_sessions`";
    "goodbye": FILE, NONE, "audio file played before BYE if no target is left or `max_call` has passed";
    "allow_callers": ValueKind::Many(&NUMBER)
        => read!(agents::callers, |agent, callers| agent.allow_callers = callers), is("[]"), "callers that the agent accepts; others are rejected with 486; empty: all callers";
    "hold": ValueKind::Table(HOLD), is(r#"{ strategy = "none" }"#), "audio played to the caller while no target is connected";
    "transfer_to": ValueKind::Many(&TEXT), is(r#"["trunk:*", "agent:*"]"#), "targets to which the agent may transfer its caller";
}

/// Keys of `queue` of an agent.
pub(crate) const QUEUE: &[ConfigKey] = keys! {
    "size": ValueKind::Integer(1, 1_000), is("20"), "maximum number of waiting callers";
    "wait": ValueKind::Duration, is(r#""2m""#), "maximum waiting time of each caller";
};

/// Keys of `hold` of an agent.
pub(crate) const HOLD: &[ConfigKey] = keys! {
    "strategy": ValueKind::Word(&["none", "text", "audio", "music", "audio_then_music", "text_then_music"]), MUST, "kind of audio, and its order";
    "text": TEXT, NONE, "text spoken by `[speech]`";
    "voice": TEXT, told("that of `[speech]`"), "voice passed to `[speech]`";
    "audio": FILE, NONE, "audio file played once";
    "music": FILE, NONE, "audio file played in a loop";
};

/// Keys of `[speech]`.
pub(crate) const SPEECH: &[ConfigKey] = keys! {
    "command": ValueKind::Command, NONE, "text-to-speech program and its arguments, with {voice} and {text}; writes an audio file to stdout";
    "url": ValueKind::Url, NONE, "text-to-speech endpoint compatible with OpenAI's `/audio/speech`, instead of a program";
    "token": ValueKind::Secret, NONE, "API key of the endpoint";
    "model": TEXT, is(r#""tts-1""#).beside("url"), "model requested from the endpoint";
    "format": ValueKind::Word(&["wav", "mp3", "opus", "pcm"]), is(r#""wav""#).beside("url"), "audio format of the response";
    "installed": ValueKind::Boolean, is("true"), "without `command` and `url`: whether an installed espeak-ng speaks";
    "cache": FOLDER, NONE, "directory in which generated audio is cached";
    "voices": ValueKind::Map(&TEXT), is("{}"), "voices of the program or endpoint, by the names and languages that apps use";
};
