//! Conversation with a speech recogniser by jambonz's custom speech-to-text API: `start`, then linear audio in binary
//! messages, results as JSON, and `stop`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::error::Category;

use crate::format::AgentFormat;
use crate::limits::{RESULT_BYTES, RESULT_CHARS, SHOWN_CHARS};
use crate::problem::MessageProblem;

/// Factor from a confidence between 0 and 1 to parts per million.
const PARTS: f64 = 1e6;

/// Options of a speech recognition, sent in `start`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecognitionOptions {
    /// Language tag (BCP 47) of the speech.
    pub language: String,
    /// Words and phrases that the caller is likely to use.
    pub hints: Vec<String>,
    /// Name of the recogniser's model; `None` for its default.
    pub model: Option<String>,
    /// Whether the enhanced variant of the model is requested.
    pub enhanced: bool,
    /// Whether profanities are masked in the text.
    pub profanity_filter: bool,
}

/// Result of a recogniser. `Debug` hides the text.
#[derive(Clone, PartialEq, Eq)]
pub struct Transcript {
    /// Text that was recognised.
    pub text: String,
    /// Whether the text will not change any more.
    pub is_final: bool,
    /// Confidence in parts per million, if stated.
    pub confidence_ppm: Option<u32>,
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Transcript { text, is_final, confidence_ppm } = self;
        write!(f, "({} characters, final: {is_final}, confidence: {confidence_ppm:?})", text.chars().count())
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecognitionStart<'a> {
    r#type: &'a str,
    language: &'a str,
    format: &'a str,
    encoding: &'a str,
    interim_results: bool,
    sample_rate_hz: u32,
    options: StartOptions<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartOptions<'a> {
    hints: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<&'a str>,
    enhanced: bool,
    profanity_filter: bool,
    call_sid: &'a str,
}

/// Text of the last message to a recogniser.
pub(crate) const STOP: &[u8] = br#"{"type":"stop"}"#;

impl RecognitionOptions {
    /// Appends `start`, the first message to a recogniser.
    pub(crate) fn start(&self, out: &mut Vec<u8>, format: AgentFormat, call_sid: &str) {
        let start = RecognitionStart {
            r#type: "start",
            language: &self.language,
            format: "raw",
            encoding: "LINEAR16",
            interim_results: true,
            sample_rate_hz: format.sample_rate(),
            options: StartOptions {
                hints: &self.hints,
                model: self.model.as_deref(),
                enhanced: self.enhanced,
                profanity_filter: self.profanity_filter,
                call_sid,
            },
        };
        // Serializing strings and numbers into memory cannot fail.
        let _ = serde_json::to_writer(out, &start);
    }
}

#[derive(Deserialize)]
struct RecogniserMessage {
    r#type: Option<String>,
    #[serde(default)]
    is_final: Option<bool>,
    #[serde(default)]
    alternatives: Option<Vec<Alternative>>,
    #[serde(default)]
    error: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    transcript: Option<String>,
    #[serde(default)]
    confidence: Option<f64>,
}

/// Parses a message of a recogniser; `None` for a message without a result. The first of several alternatives is used,
/// as at jambonz.
///
/// # Errors
///
/// Returns an error if the message is too large, no JSON object with a `type`, or reports a failure of the
/// recogniser.
pub(crate) fn parse(text: &str) -> Result<Option<Transcript>, MessageProblem> {
    if text.len() > RESULT_BYTES {
        return Err(MessageProblem::TooLarge { bytes: text.len() });
    }
    if !text.trim_start().starts_with('{') && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
        return Err(MessageProblem::NotAnObject);
    }
    let message: RecogniserMessage = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        match error.classify() {
            Category::Data => MessageProblem::WrongType { line, column },
            Category::Syntax | Category::Eof | Category::Io => MessageProblem::BadJson { line, column },
        }
    })?;
    match message.r#type.as_deref() {
        None => Err(MessageProblem::MissingType),
        Some("transcription") => {
            let Some(first) = message.alternatives.into_iter().flatten().next() else { return Ok(None) };
            let text: String = first.transcript.unwrap_or_default().chars().take(RESULT_CHARS).collect();
            let confidence_ppm = first.confidence.filter(|confidence| confidence.is_finite()).map(parts);
            Ok(Some(Transcript { text, is_final: message.is_final.unwrap_or_default(), confidence_ppm }))
        }
        Some("error") => {
            let text = match message.error {
                Some(serde_json::Value::String(text)) => text,
                Some(other) => other.to_string(),
                None => "no reason given".to_owned(),
            };
            Err(MessageProblem::RecogniserFailed(text.chars().take(SHOWN_CHARS).collect()))
        }
        // A later version of the protocol may have more types.
        Some(_) => Ok(None),
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to a million")]
fn parts(confidence: f64) -> u32 {
    (confidence.clamp(0.0, 1.0) * PARTS).round() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn result(text: &str, is_final: bool, confidence_ppm: Option<u32>) -> Result<Option<Transcript>, MessageProblem> {
        Ok(Some(Transcript { text: text.to_owned(), is_final, confidence_ppm }))
    }

    #[test]
    fn the_start_is_jambonzs() {
        let request = RecognitionOptions {
            language: "en-US".to_owned(),
            hints: vec!["sales".to_owned(), "\"support\"".to_owned()],
            model: Some("phone_call".to_owned()),
            enhanced: true,
            profanity_filter: true,
        };
        let mut out = Vec::new();
        request.start(&mut out, AgentFormat::L16Rate8000, "CA1");
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"type\":\"start\",\"language\":\"en-US\",\"format\":\"raw\",\"encoding\":\"LINEAR16\",\
             \"interimResults\":true,\"sampleRateHz\":8000,\"options\":{\"hints\":[\"sales\",\"\\\"support\\\"\"],\
             \"model\":\"phone_call\",\"enhanced\":true,\"profanityFilter\":true,\"callSid\":\"CA1\"}}"
        );
    }

    #[test]
    fn results() {
        for (text, expected) in [
            // As jambonz's own examples send them.
            (
                r#"{"type":"transcription","is_final":true,"alternatives":[{"confidence":0.925,"transcript":"yes"}],"channel":1,"language":"en-US"}"#,
                result("yes", true, Some(925_000)),
            ),
            (
                r#"{"type":"transcription","is_final":false,"alternatives":[{"transcript":"ye"}]}"#,
                result("ye", false, None),
            ),
            (
                r#"{"type":"transcription","alternatives":[{"transcript":"a","confidence":7},{"transcript":"b"}],"channel":null}"#,
                result("a", false, Some(1_000_000)),
            ),
            (
                r#"{"type":"transcription","is_final":true,"alternatives":[{"confidence":null}]}"#,
                result("", true, None),
            ),
            (r#"{"type":"transcription","is_final":true,"alternatives":[]}"#, Ok(None)),
            (r#"{"type":"transcription"}"#, Ok(None)),
            (r#"{"type":"metadata","is_final":true}"#, Ok(None)),
            (r#"{"type":"error","error":"no model"}"#, Err(MessageProblem::RecogniserFailed("no model".to_owned()))),
            (
                r#"{"type":"error","error":{"code":1}}"#,
                Err(MessageProblem::RecogniserFailed(r#"{"code":1}"#.to_owned())),
            ),
            (r#"{"type":"error"}"#, Err(MessageProblem::RecogniserFailed("no reason given".to_owned()))),
            (r#"{"is_final":true}"#, Err(MessageProblem::MissingType)),
            ("[]", Err(MessageProblem::NotAnObject)),
            ("{", Err(MessageProblem::BadJson { line: 1, column: 1 })),
            (r#"{"type":"transcription","is_final":1}"#, Err(MessageProblem::WrongType { line: 1, column: 36 })),
        ] {
            assert_eq!(parse(text), expected, "{text}");
        }
        let long =
            format!(r#"{{"type":"transcription","alternatives":[{{"transcript":"{}"}}]}}"#, "x".repeat(RESULT_BYTES));
        assert!(matches!(parse(&long), Err(MessageProblem::TooLarge { .. })));
    }

    #[test]
    fn debug_hides_what_was_said() {
        let shown = format!("{:?}", Transcript { text: "hunter2".to_owned(), is_final: true, confidence_ppm: None });
        assert_eq!(shown, "(7 characters, final: true, confidence: None)");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,100}", confidence in any::<f64>()) {
            let _ = parse(&text);
            let quoted = serde_json::to_string(&text).unwrap();
            let json = format!(r#"{{"type":"transcription","alternatives":[{{"transcript":{quoted}}}]}}"#);
            prop_assert_eq!(parse(&json).unwrap().unwrap().text, text);
            prop_assert!(parts(confidence) <= 1_000_000);
        }
    }
}
