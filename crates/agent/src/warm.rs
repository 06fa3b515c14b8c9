//! Settings of a warm transfer, from `warm` of an agent's `transfer` or of an HTTP request: the announcement to the
//! target and its acceptance.

use std::time::Duration;

use serde::de::{Deserialize, Deserializer, Error};
use serde_json::{Map, Value};

use crate::digits::is_digit;
use crate::limits::{WHISPER_BYTES, WHISPER_WAIT_SECONDS, WHISPER_WAIT_USUAL_SECONDS};
use crate::problem::shown;

/// Warm transfer: the caller hears music while the target is called and asked to accept the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarmTransfer {
    /// Announcement to the target before it is connected.
    pub whisper: Option<Whisper>,
    /// Digit by which the target accepts; `None` connects the target after the whisper.
    pub accept: Option<char>,
    /// Maximum time to wait for the digit `accept` after the whisper.
    pub wait: Duration,
    /// Whether answering machine detection is used; a machine is not connected.
    pub detection: bool,
    /// Whether the agent stays as the target's coach.
    pub coach: bool,
}

impl Default for WarmTransfer {
    fn default() -> Self {
        WarmTransfer {
            whisper: None,
            accept: None,
            wait: Duration::from_secs(WHISPER_WAIT_USUAL_SECONDS),
            detection: false,
            coach: false,
        }
    }
}

/// Announcement to a target before it is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whisper {
    /// Text to be spoken, with an optional voice.
    Text {
        /// Text to speak.
        text: String,
        /// Voice for the text; `None` for the default.
        voice: Option<String>,
    },
    /// Sound file below the configuration folder.
    File(String),
    /// URL of a sound file to play.
    Url(String),
}

impl WarmTransfer {
    /// Parses the fields of a request's `warm` object.
    ///
    /// # Errors
    ///
    /// Returns a description of the problem if a field is unknown, has the wrong type, or is out of its limits.
    pub fn read(fields: &Map<String, Value>) -> Result<WarmTransfer, String> {
        let mut warm = WarmTransfer::default();
        for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
            match (name.as_str(), value) {
                ("whisper", Value::Object(fields)) => warm.whisper = Some(Whisper::read(fields)?),
                ("accept", Value::String(digit)) => warm.accept = Some(digit_of(digit)?),
                ("wait", Value::Number(seconds)) => {
                    let seconds = seconds.as_u64().filter(|seconds| WHISPER_WAIT_SECONDS.contains(seconds));
                    let (from, to) = (WHISPER_WAIT_SECONDS.start(), WHISPER_WAIT_SECONDS.end());
                    let bad = || format!("`wait` is not a number of seconds from {from} to {to}");
                    warm.wait = Duration::from_secs(seconds.ok_or_else(bad)?);
                }
                ("detection", Value::Bool(wanted)) => warm.detection = *wanted,
                ("coach", Value::Bool(wanted)) => warm.coach = *wanted,
                ("whisper" | "accept" | "wait" | "detection" | "coach", _) => {
                    return Err(format!("`{name}` has another type"));
                }
                (name, _) => return Err(format!("{:?} is not a field of `warm`", shown(name))),
            }
        }
        Ok(warm)
    }
}

/// Deserializes the body of an HTTP request for a warm transfer.
impl<'de> Deserialize<'de> for WarmTransfer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WarmTransfer::read(&Map::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Whisper {
    fn read(fields: &Map<String, Value>) -> Result<Whisper, String> {
        let is_other = |name: &&str| !["text", "voice", "file", "url"].contains(name);
        if let Some(name) = fields.keys().map(String::as_str).find(is_other) {
            return Err(format!("{:?} is not a field of `whisper`", shown(name)));
        }
        let text = |name: &str| match fields.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) if !text.is_empty() && text.len() <= WHISPER_BYTES => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` of `whisper` is not a text of 1 to {WHISPER_BYTES} bytes")),
        };
        match (text("text")?, text("file")?, text("url")?, text("voice")?) {
            (Some(text), None, None, voice) => Ok(Whisper::Text { text, voice }),
            (None, Some(file), None, None) => Ok(Whisper::File(file)),
            (None, None, Some(url), None) if is_web(&url) => Ok(Whisper::Url(url)),
            (None, None, Some(_), None) => Err("`url` of `whisper` does not begin with https:// or http://".to_owned()),
            _ => Err("`whisper` needs one of `text` (optional: `voice`), `file` and `url`".to_owned()),
        }
    }
}

fn is_web(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

fn digit_of(text: &str) -> Result<char, String> {
    let mut digits = text.bytes().filter(|byte| is_digit(*byte));
    match (digits.next(), text.len()) {
        (Some(digit), 1) => Ok(char::from(digit)),
        _ => Err("`accept` is not a single digit: 0 to 9, *, #, A to D".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WarmTransfer, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_read() {
        assert_eq!(read("{}"), Ok(WarmTransfer::default()));
        let whole =
            r#"{"whisper":{"text":"Anna.","voice":"en-us"},"accept":"1","wait":20,"detection":true,"coach":true}"#;
        let whisper = Some(Whisper::Text { text: "Anna.".into(), voice: Some("en-us".into()) });
        let expected =
            WarmTransfer { whisper, accept: Some('1'), wait: Duration::from_secs(20), detection: true, coach: true };
        assert_eq!(read(whole), Ok(expected));
        let of = |whisper: &str| read(&format!(r#"{{"whisper":{whisper}}}"#)).unwrap().whisper.unwrap();
        assert_eq!(of(r#"{"file":"a.wav"}"#), Whisper::File("a.wav".into()));
        assert_eq!(of(r#"{"url":"https://a.test/a.wav"}"#), Whisper::Url("https://a.test/a.wav".into()));
        assert_eq!(read(r#"{"accept":null,"whisper":null}"#), Ok(WarmTransfer::default()));
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, what) in [
            (r#"{"accept":"12"}"#, "`accept` is not a single digit"),
            (r#"{"accept":"é"}"#, "`accept` is not a single digit"),
            (r#"{"accept":1}"#, "`accept` has another type"),
            (r#"{"wait":0}"#, "`wait` is not a number of seconds from 1 to 60"),
            (r#"{"wait":-1}"#, "`wait` is not"),
            (r#"{"coach":"yes"}"#, "`coach` has another type"),
            (r#"{"stay":"coach"}"#, "\"stay\" is not a field of `warm`"),
            (r#"{"whisper":"Anna."}"#, "`whisper` has another type"),
            (r#"{"whisper":{}}"#, "`whisper` needs one of"),
            (r#"{"whisper":{"text":"a","file":"b"}}"#, "`whisper` needs one of"),
            (r#"{"whisper":{"file":"a","voice":"b"}}"#, "`whisper` needs one of"),
            (r#"{"whisper":{"url":"file:///etc/passwd"}}"#, "does not begin with https://"),
            (r#"{"whisper":{"text":""}}"#, "is not a text of 1 to"),
            (r#"{"whisper":{"loop":"2"}}"#, "\"loop\" is not a field of `whisper`"),
            ("[]", "invalid type"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }
}
