//! Audio verbs: Say, Play, Pause.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::ElementFields;
use super::ssml;
use crate::limits::{SAY_CHARS, SECONDS};
use crate::problem::code;
use crate::secret::SensitiveText;

/// Number of times that a text or sound is played (`loop`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LoopCount {
    /// The sound is played this many times.
    Times(u32),
    /// The sound is repeated until the caller hangs up.
    Forever,
}

/// Verb that speaks a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SayVerb {
    /// Text without tags, white space collapsed.
    pub text: String,
    /// Text with its SSML tags, without the enclosing `<speak>`; `None` if there are no tags.
    pub ssml: Option<String>,
    /// Voice as named by the application.
    pub voice: Option<String>,
    /// Language tag of the text, as the application wrote it.
    pub language: Option<String>,
    /// Number of times that the text is spoken.
    pub repeat: LoopCount,
}

/// Source of the audio of a Play verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlaySource {
    /// Sound file, as referenced by the document.
    File(String),
    /// DTMF digits; `w` is a pause of 0.5 s, `W` of 1 s.
    Digits(SensitiveText),
}

/// Verb that plays a sound file or digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlayVerb {
    /// Sound file or digits to play.
    pub source: PlaySource,
    /// Number of times that the audio is played.
    pub repeat: LoopCount,
}

/// Verb that waits in silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PauseVerb {
    /// Duration of the pause.
    pub length: Duration,
}

fn repeat(fields: &mut ElementFields<'_>, code: u16) -> LoopCount {
    match fields.number("loop", code, u32::MAX).unwrap_or(1) {
        0 => LoopCount::Forever,
        times => LoopCount::Times(times),
    }
}

/// Reads a Say; `None` if there is no text.
pub(super) fn say(mut fields: ElementFields<'_>) -> Option<SayVerb> {
    let voice = fields.text("voice");
    let language = fields.text("language");
    let repeat = repeat(&mut fields, 13510);
    let position = fields.element.position;
    let mut speech = ssml::read(fields.element, fields.warnings);
    if speech.text.is_empty() {
        fields.warnings.add(code::SAY_EMPTY, position, "<Say> without text is skipped");
        return None;
    }
    if let Some((end, _)) = speech.text.char_indices().nth(SAY_CHARS) {
        let message = format!("<Say> has more than {SAY_CHARS} characters; the rest is not spoken");
        fields.warnings.add(code::SAY_LONG, position, message);
        speech.text.truncate(end);
        // A text with tags cannot be truncated.
        speech.ssml = None;
    }
    Some(SayVerb { text: speech.text, ssml: speech.ssml, voice, language, repeat })
}

/// Reads a Play; `None` if it has neither a sound nor digits.
pub(super) fn play(mut fields: ElementFields<'_>) -> Option<PlayVerb> {
    let repeat = repeat(&mut fields, 13410);
    let url = fields.element.text();
    let position = fields.element.position;
    if let Some(digits) = fields.text("digits") {
        if !is_digits(&digits) {
            let message = "<Play digits> may have 0-9, A-D, #, *, w and W only; it is skipped";
            fields.warnings.add(code::PLAY_DIGITS, position, message);
            return None;
        }
        if !url.is_empty() {
            fields.warnings.add(code::SCHEMA, position, "<Play> with digits does not play its URL");
        }
        return Some(PlayVerb { source: PlaySource::Digits(SensitiveText::new(digits)), repeat });
    }
    if url.is_empty() {
        fields.warnings.add(code::BAD_URL, position, "<Play> without a URL is skipped");
        return None;
    }
    Some(PlayVerb { source: PlaySource::File(url), repeat })
}

/// Reads a Pause.
pub(super) fn pause(mut fields: ElementFields<'_>) -> PauseVerb {
    PauseVerb { length: fields.seconds("length", 13910, 1, SECONDS) }
}

/// Returns whether a text consists of DTMF digits and pauses allowed in `<Play>` or `sendDigits`.
pub fn is_digits(text: &str) -> bool {
    text.len() <= 256 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'D' | b'#' | b'*' | b'w' | b'W'))
}
