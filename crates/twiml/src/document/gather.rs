//! Gather: DTMF and speech input of the caller.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::DocumentWarnings;
use super::audio::{PauseVerb, PlayVerb, SayVerb, pause, play, say};
use super::fields::{ElementFields, HttpMethod};
use super::speech::{SpeechInput, speech};
use super::verb::VerbKind;
use crate::compat::{self, VOICE};
use crate::limits::{DIGITS, SECONDS};
use crate::problem::{DocumentPosition, code};
use crate::xml::XmlElement;

/// Verb that collects digits or speech of the caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatherVerb {
    /// URL that receives the input, as written; if `None`, the URL of the document receives it.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// Maximum time without input, from the end of the prompts or the last digit.
    pub timeout: Duration,
    /// Digit that ends the input; `None` if no digit does.
    pub finish_on_key: Option<char>,
    /// Number of digits that ends the input; `None` for no such number.
    pub num_digits: Option<u32>,
    /// True if `action` is requested even without input.
    pub action_on_empty_result: bool,
    /// Prompts to play during the input, in order.
    pub prompts: Vec<Prompt>,
    /// Speech input; `None` if only digits are collected.
    #[serde(default)]
    pub speech: Option<Box<SpeechInput>>,
}

/// Verb nested in a Gather, played during the input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prompt {
    /// Position of the prompt's element in the document.
    pub position: DocumentPosition,
    /// Kind of the prompt, with its attributes.
    pub kind: PromptKind,
}

/// Kind of a verb nested in a Gather.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PromptKind {
    /// Speaks a text.
    Say(SayVerb),
    /// Plays a sound file or digits.
    Play(PlayVerb),
    /// Waits in silence.
    Pause(PauseVerb),
}

impl PromptKind {
    /// Returns the name of the verb's element.
    pub fn name(&self) -> &'static str {
        match self {
            PromptKind::Say(_) => "Say",
            PromptKind::Play(_) => "Play",
            PromptKind::Pause(_) => "Pause",
        }
    }
}

/// Kinds of input that `input` requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GatherInput {
    Dtmf,
    Speech,
    Both,
}

/// Reads the attributes and prompts of a Gather.
pub(super) fn gather(mut fields: ElementFields<'_>) -> VerbKind {
    let wanted = fields.choice(
        "input",
        code::GATHER_INPUT,
        &[
            ("dtmf", GatherInput::Dtmf),
            ("speech", GatherInput::Speech),
            ("dtmf speech", GatherInput::Both),
            ("speech dtmf", GatherInput::Both),
        ],
        GatherInput::Dtmf,
    );
    let timeout = fields.seconds("timeout", 13313, 5, SECONDS);
    let speech =
        (wanted != GatherInput::Dtmf).then(|| Box::new(speech(&mut fields, wanted == GatherInput::Both, timeout)));
    let gather = GatherVerb {
        action: fields.text("action"),
        method: fields.method("method", 13312),
        timeout,
        finish_on_key: finish_on_key(&mut fields),
        num_digits: num_digits(&mut fields),
        action_on_empty_result: fields.flag("actionOnEmptyResult", 13338),
        prompts: prompts(fields.element, fields.path(), fields.warnings),
        speech,
    };
    VerbKind::Gather(Box::new(gather))
}

/// Returns the digit that ends the input; `None` for an empty value.
fn finish_on_key(fields: &mut ElementFields<'_>) -> Option<char> {
    let value = fields.raw("finishOnKey").unwrap_or("#").trim();
    let mut signs = value.chars();
    match (signs.next(), signs.next()) {
        (None, _) => None,
        (Some(key @ ('0'..='9' | '#' | '*')), None) => Some(key),
        (Some(_), more) => {
            let code = if more.is_some() { 13311 } else { 13310 };
            fields.invalid("finishOnKey", code, "is not one of 0-9, # and *; # is used");
            Some('#')
        }
    }
}

fn num_digits(fields: &mut ElementFields<'_>) -> Option<u32> {
    let most = u32::try_from(DIGITS).unwrap_or(u32::MAX);
    let number = fields.number("numDigits", 13314, most)?;
    if number == 0 {
        fields.invalid("numDigits", 13314, "is not at least 1; the default is used");
        return None;
    }
    Some(number)
}

fn prompts(element: &XmlElement, path: &'static str, warnings: &mut DocumentWarnings) -> Vec<Prompt> {
    let mut prompts = Vec::new();
    for child in element.elements() {
        // Nested prompts use the table entries of the top-level verbs with these names.
        let entry = compat::entry(VOICE, "", &child.name);
        let kind = match entry.map(|entry| (entry, entry.path)) {
            Some((entry, "Say")) => say(ElementFields::open(entry, child, warnings)).map(PromptKind::Say),
            Some((entry, "Play")) => play(ElementFields::open(entry, child, warnings)).map(PromptKind::Play),
            Some((entry, "Pause")) => Some(PromptKind::Pause(pause(ElementFields::open(entry, child, warnings)))),
            Some(_) | None => {
                not_nested(child, path, child.position, warnings);
                None
            }
        };
        prompts.extend(kind.map(|kind| Prompt { position: child.position, kind }));
    }
    if !element.text().is_empty() {
        warnings.add(code::SCHEMA, element.position, "text directly in <Gather> is skipped; put it in <Say>");
    }
    prompts
}

fn not_nested(child: &XmlElement, path: &str, position: DocumentPosition, warnings: &mut DocumentWarnings) {
    let shown: String = child.name.chars().take(40).collect();
    let message = format!("<{shown}> is not allowed in <{path}> and is skipped; Say, Play and Pause can");
    warnings.add(code::GATHER_NESTED, position, message);
}
