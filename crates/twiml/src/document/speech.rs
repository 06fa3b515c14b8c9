//! Speech input of Gather.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use crate::limits::{HINT_CHARS, HINTS, LANGUAGE_CHARS, MODEL_CHARS, SECONDS};
use crate::problem::code;

/// Default language of speech input.
const LANGUAGE: &str = "en-US";
/// Default maximum length of speech, in seconds.
const LONGEST_SECONDS: u32 = 60;

/// Settings of the speech input of a Gather.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeechInput {
    /// True if digits are accepted too; the first input of either kind decides.
    pub with_digits: bool,
    /// Condition for the end of the speech.
    pub ends: SpeechEnd,
    /// Maximum length of the speech.
    pub longest: Duration,
    /// Language tag of the expected speech.
    pub language: String,
    /// Words and phrases that the caller is likely to use.
    pub hints: Vec<String>,
    /// Model of the recogniser; `None` for its default.
    pub model: Option<String>,
    /// True if the enhanced variant of the model is requested.
    pub enhanced: bool,
    /// True if profanities are masked.
    pub profanity_filter: bool,
    /// True if speech interrupts the prompts.
    pub barge_in: bool,
    /// URL that receives partial results, as written; `None` if partial results are not reported.
    pub partial_callback: Option<String>,
    /// Method of the requests to the URL in `partial_callback`.
    pub partial_method: HttpMethod,
}

/// Condition that ends the caller's speech.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SpeechEnd {
    /// The first final result of the recogniser ends the speech.
    Auto,
    /// A pause of this duration without a new word ends the speech.
    After(Duration),
}

/// Reads the speech attributes; `timeout` is that of the Gather.
pub(super) fn speech(fields: &mut ElementFields<'_>, with_digits: bool, timeout: Duration) -> SpeechInput {
    SpeechInput {
        with_digits,
        ends: ends(fields, timeout),
        longest: fields.seconds_from_one("maxSpeechTime", code::SCHEMA, LONGEST_SECONDS, SECONDS),
        language: language(fields, "language"),
        hints: hints(fields),
        model: model(fields),
        enhanced: fields.flag("enhanced", 13339),
        profanity_filter: fields.flag_or("profanityFilter", 13333, true),
        barge_in: fields.flag_or("bargeIn", 13332, true),
        partial_callback: fields.text("partialResultCallback"),
        partial_method: fields.method("partialResultCallbackMethod", 13329),
    }
}

/// Reads `speechTimeout`: `auto` or seconds; the default is `timeout`.
fn ends(fields: &mut ElementFields<'_>, timeout: Duration) -> SpeechEnd {
    // A pause of zero would end the speech after the first word.
    let default = SpeechEnd::After(timeout.max(Duration::from_secs(1)));
    match fields.text("speechTimeout") {
        None => default,
        Some(value) if value.eq_ignore_ascii_case("auto") => SpeechEnd::Auto,
        Some(_) => match fields.number("speechTimeout", 13327, SECONDS) {
            Some(0) => {
                fields.invalid("speechTimeout", 13327, "is neither auto nor at least 1; the default is used");
                default
            }
            Some(seconds) => SpeechEnd::After(Duration::from_secs(u64::from(seconds))),
            None => default,
        },
    }
}

/// Reads a language tag (RFC 5646); an attribute with other characters causes a warning and the default.
pub(super) fn language(fields: &mut ElementFields<'_>, name: &'static str) -> String {
    let Some(tag) = fields.text(name) else { return LANGUAGE.to_owned() };
    let is_tag = |tag: &str| tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if tag.len() > LANGUAGE_CHARS || !is_tag(&tag) {
        fields.invalid(name, 13331, "is not a language tag; en-US is used");
        return LANGUAGE.to_owned();
    }
    tag
}

/// Reads the name of a model; an invalid name causes a warning and is ignored.
pub(super) fn model(fields: &mut ElementFields<'_>) -> Option<String> {
    let model = fields.text("speechModel")?;
    let fits = model.len() <= MODEL_CHARS && !model.chars().any(char::is_control);
    if !fits {
        fields.invalid("speechModel", code::SCHEMA, "is not a valid model name: no model is requested");
    }
    fits.then_some(model)
}

/// Reads the phrases of `hints`, which commas separate.
pub(super) fn hints(fields: &mut ElementFields<'_>) -> Vec<String> {
    let written = fields.raw("hints").unwrap_or_default();
    let mut all = written.split(',').map(str::trim).filter(|hint| !hint.is_empty());
    let (mut hints, mut too_long) = (Vec::new(), false);
    for hint in all.by_ref() {
        if hint.chars().count() > HINT_CHARS {
            too_long = true;
            continue;
        }
        hints.push(hint.split_whitespace().collect::<Vec<_>>().join(" "));
        if hints.len() == HINTS {
            break;
        }
    }
    if too_long {
        let what = format!("has entries of more than {HINT_CHARS} characters, which are left out");
        fields.invalid("hints", 13330, &what);
    }
    if all.next().is_some() {
        fields.invalid("hints", 13330, &format!("has more than {HINTS} entries; the rest is left out"));
    }
    hints
}
