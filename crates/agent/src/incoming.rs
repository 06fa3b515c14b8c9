//! Parser of an agent's messages. Strings are borrowed from the text if JSON allows; every error is a
//! [`MessageProblem`], never a panic.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::error::Category;
use serde_json::{Map, Value};

use crate::digits::is_digit;
use crate::limits::{DIGITS, MARK_NAME_BYTES, TARGET_BYTES, TEXT_BESIDE_BYTES, TEXT_BYTES};
use crate::problem::MessageProblem;
use crate::request::AgentRequest;
use crate::warm::WarmTransfer;

/// Agents send base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Parsed message, with the stream that it is addressed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamMessage<'a> {
    /// Value of `streamSid` in the message, if present.
    pub stream_sid: Option<Cow<'a, str>>,
    /// Content of the message, by its event.
    pub message: AgentMessage<'a>,
}

/// Message that an agent may send over the WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentMessage<'a> {
    /// Audio to be played to the caller.
    Media {
        /// Base64 payload as received.
        payload: Cow<'a, str>,
    },
    /// Mark to return when the audio before it has been played.
    Mark {
        /// Name of the mark.
        name: Cow<'a, str>,
    },
    /// Request to discard the queued audio.
    Clear,
    /// Request for an action on the call.
    Request(AgentRequest),
    /// Event that the protocol does not define, such as one of a later version.
    Unknown {
        /// Name of the event.
        event: Cow<'a, str>,
    },
}

impl AgentMessage<'_> {
    /// Returns the name of the event, such as `media`.
    pub const fn event(&self) -> &'static str {
        match self {
            AgentMessage::Media { .. } => "media",
            AgentMessage::Mark { .. } => "mark",
            AgentMessage::Clear => "clear",
            AgentMessage::Request(request) => request.event(),
            AgentMessage::Unknown { .. } => "unknown",
        }
    }
}

/// Parses one text message. Unknown fields are ignored, and an unknown event is not an error.
///
/// # Errors
///
/// Returns the reason why the message is ignored: too large, no JSON object, a field missing or of the wrong type, or
/// a value out of its limits.
pub fn parse(text: &str) -> Result<StreamMessage<'_>, MessageProblem> {
    if text.len() > TEXT_BYTES || !is_short_but_for_one_string(text) {
        return Err(MessageProblem::TooLarge { bytes: text.len() });
    }
    let envelope: MessageEnvelope<'_> = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            // Serde would accept an array of the fields in order.
            Category::Data if !text.trim_start().starts_with('{') => MessageProblem::NotAnObject,
            Category::Data => MessageProblem::WrongType { line, column },
            Category::Syntax | Category::Eof | Category::Io => MessageProblem::BadJson { line, column },
        }
    })?;
    if !text.trim_start().starts_with('{') {
        return Err(MessageProblem::NotAnObject);
    }
    let MessageEnvelope { event, stream_sid, media, mark, target, consult, warm, digits } = envelope;
    let message = match event.ok_or(MessageProblem::MissingEvent)?.0 {
        event if event == "media" => {
            let payload = media.and_then(|media| media.payload).ok_or(MessageProblem::MissingPayload)?.0;
            AgentMessage::Media { payload }
        }
        event if event == "mark" => {
            let name = mark.and_then(|mark| mark.name).ok_or(MessageProblem::MissingName)?.0;
            if name.len() > MARK_NAME_BYTES {
                return Err(MessageProblem::NameTooLong { bytes: name.len() });
            }
            AgentMessage::Mark { name }
        }
        event if event == "clear" => AgentMessage::Clear,
        event if event == "transfer" => {
            let target = target.filter(|target| !target.0.is_empty()).ok_or(MessageProblem::MissingTarget)?.0;
            if target.len() > TARGET_BYTES {
                return Err(MessageProblem::TargetTooLong { bytes: target.len() });
            }
            let warm = warm.map(|fields| WarmTransfer::read(&fields)).transpose().map_err(MessageProblem::BadWarm)?;
            let target = target.into_owned();
            AgentMessage::Request(match (warm, consult.unwrap_or_default()) {
                (Some(warm), _) => AgentRequest::WarmTransfer(target, Box::new(warm)),
                (None, true) => AgentRequest::Consult(target),
                (None, false) => AgentRequest::Transfer(target),
            })
        }
        event if event == "hangup" => AgentMessage::Request(AgentRequest::Hangup),
        event if event == "dtmf" => {
            let digits = digits.filter(|digits| !digits.0.is_empty()).ok_or(MessageProblem::MissingDigits)?.0;
            if digits.len() > DIGITS || !digits.bytes().all(is_digit) {
                return Err(MessageProblem::BadDigits);
            }
            AgentMessage::Request(AgentRequest::Dtmf(digits.into_owned()))
        }
        event => AgentMessage::Unknown { event },
    };
    Ok(StreamMessage { stream_sid: stream_sid.map(|sid| sid.0), message })
}

/// Returns whether a text is short apart from one long string, such as a payload of audio. A long string is parsed
/// quickly; millions of other values are not.
fn is_short_but_for_one_string(text: &str) -> bool {
    if text.len() <= TEXT_BESIDE_BYTES {
        return true;
    }
    let bytes = text.as_bytes();
    let before = bytes.get(..TEXT_BESIDE_BYTES).unwrap_or_default();
    let Some(begin) = memchr::memrchr(b'"', before) else { return false };
    let long = bytes.get(begin + 1..).unwrap_or_default();
    let Some(len) = memchr::memchr(b'"', long) else { return false };
    text.len() - len <= TEXT_BESIDE_BYTES
}

/// Decodes a payload into `audio`, replacing its content; `audio` is empty after an error.
///
/// # Errors
///
/// Returns [`MessageProblem::BadBase64`] if the payload is not base64.
pub(crate) fn decode_audio(payload: &str, audio: &mut Vec<u8>) -> Result<(), MessageProblem> {
    audio.clear();
    BASE64.decode_vec(payload, audio).map_err(|_| {
        audio.clear();
        MessageProblem::BadBase64
    })
}

#[derive(Deserialize)]
struct MessageEnvelope<'a> {
    #[serde(borrow, default)]
    event: Option<JsonText<'a>>,
    #[serde(borrow, default, rename = "streamSid")]
    stream_sid: Option<JsonText<'a>>,
    #[serde(borrow, default)]
    media: Option<EventBody<'a>>,
    #[serde(borrow, default)]
    mark: Option<EventBody<'a>>,
    #[serde(borrow, default)]
    target: Option<JsonText<'a>>,
    #[serde(default)]
    consult: Option<bool>,
    #[serde(default)]
    warm: Option<Map<String, Value>>,
    #[serde(borrow, default)]
    digits: Option<JsonText<'a>>,
}

/// String, borrowed unless it has escapes (PHP writes base64's `/` as `\/`).
#[derive(Deserialize)]
struct JsonText<'a>(#[serde(borrow)] Cow<'a, str>);

/// Content of a `media` or `mark` message.
#[derive(Default)]
struct EventBody<'a> {
    payload: Option<JsonText<'a>>,
    name: Option<JsonText<'a>>,
}

/// Implemented by hand, because serde's derived code would accept an array as well.
impl<'de: 'a, 'a> Deserialize<'de> for EventBody<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<EventBody<'a>, D::Error> {
        struct BodyVisitor;
        impl<'de> Visitor<'de> for BodyVisitor {
            type Value = EventBody<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<EventBody<'de>, M::Error> {
                let mut body = EventBody::default();
                while let Some(JsonText(key)) = map.next_key()? {
                    match &*key {
                        "payload" => body.payload = map.next_value()?,
                        "name" => body.name = map.next_value()?,
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                        }
                    }
                }
                Ok(body)
            }
        }
        deserializer.deserialize_map(BodyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn payloads_are_borrowed() {
        let text = r#"{"event":"media","streamSid":"MZ1","media":{"payload":"AAAA"}}"#;
        let StreamMessage { stream_sid, message } = parse(text).unwrap();
        assert!(matches!(stream_sid, Some(Cow::Borrowed("MZ1"))));
        assert!(matches!(message, AgentMessage::Media { payload: Cow::Borrowed("AAAA") }));
    }

    #[test]
    fn escaped_slashes_are_base64() {
        let text = r#"{"event":"media","media":{"payload":"\/\/\/\/"}}"#;
        let AgentMessage::Media { payload } = parse(text).unwrap().message else { panic!() };
        let mut audio = vec![1];
        decode_audio(&payload, &mut audio).unwrap();
        assert_eq!(audio, [0xff; 3]);
    }

    #[test]
    fn base64_with_and_without_padding() {
        let mut audio = Vec::new();
        for (payload, expected) in [
            ("", &[][..]),
            ("/w==", &[0xff][..]),
            ("/w", &[0xff][..]),
            // Bits after the last byte, as some encoders leave them.
            ("/x", &[0xff][..]),
            ("//8=", &[0xff; 2][..]),
            ("//8", &[0xff; 2][..]),
        ] {
            decode_audio(payload, &mut audio).unwrap();
            assert_eq!(audio, expected, "{payload}");
        }
        for payload in ["!", "AAA-", "AA AA", "AAAA\n", "A", "====", "AA=A", "é"] {
            assert_eq!(decode_audio(payload, &mut audio), Err(MessageProblem::BadBase64), "{payload}");
            assert!(audio.is_empty());
        }
    }

    proptest! {
        #[test]
        fn mark_names_come_back_as_they_were_sent(name in any::<String>()) {
            let text = serde_json::json!({"event": "mark", "streamSid": "MZ1", "mark": {"name": name}}).to_string();
            let AgentMessage::Mark { name: read } = parse(&text).unwrap().message else { panic!("{text}") };
            prop_assert_eq!(read, name);
        }
    }
}
