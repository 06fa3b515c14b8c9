//! Conference: a noun of Dial.

use serde::{Deserialize, Serialize};

use super::fields::{Fields, Method};
use super::record::{self, RecordingNoun};
use crate::limits::{CONFERENCE_CHARS, CONFERENCE_PARTIES};
use crate::problem::code;

/// Events of `statusCallbackEvent`.
const EVENTS: [&str; 9] = ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"];

/// The conference that a Dial leads to, with the settings of the party that joins it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conference {
    /// Name, or the SID of one that goes on.
    pub name: String,
    /// Whether the party is not heard.
    pub muted: bool,
    /// Whether the others hear a beep when it enters, and when it leaves.
    pub beeps: (bool, bool),
    /// Whether the conference may start with it.
    pub starts: bool,
    /// Whether the conference ends when it leaves.
    pub ends: bool,
    /// Label of the party.
    pub label: Option<String>,
    /// SID of the call that it coaches.
    pub coach: Option<String>,
    /// What it hears before the start, as written; empty: nothing; `None`: the edge's music.
    pub wait: Option<String>,
    /// Method of that request.
    pub wait_method: Method,
    /// Most parties of the conference; `None`: as many as may be.
    pub most: Option<u32>,
    /// Receiver of the conference's events, as written.
    pub status: Option<String>,
    /// Method of those requests.
    pub status_method: Method,
    /// Events to report: words with spaces between them.
    pub events: String,
    /// Recording of the conference from its start.
    #[serde(default)]
    pub record: Option<Box<RecordingNoun>>,
}

impl Conference {
    /// Creates one with the defaults of every attribute.
    pub fn named(name: &str) -> Conference {
        Conference {
            name: name.to_owned(),
            muted: false,
            beeps: (true, true),
            starts: true,
            ends: false,
            label: None,
            coach: None,
            wait: None,
            wait_method: Method::Post,
            most: None,
            status: None,
            status_method: Method::Post,
            events: String::new(),
            record: None,
        }
    }
}

/// Reads a Conference; `None` of one without a name.
pub(super) fn conference(mut fields: Fields<'_>) -> Option<Conference> {
    let name = fields.element.text();
    let (position, chars) = (fields.element.position, name.chars().count());
    if chars == 0 || chars > CONFERENCE_CHARS || name.chars().any(char::is_control) {
        let message = format!("<Conference> needs a name of 1 to {CONFERENCE_CHARS} characters; it is skipped");
        fields.warnings.add(code::DIAL_NUMBER, position, message);
        return None;
    }
    let beeps =
        [("true", (true, true)), ("false", (false, false)), ("onEnter", (true, false)), ("onExit", (false, true))];
    Some(Conference {
        name,
        muted: fields.flag("muted", 13230),
        beeps: fields.choice("beep", 13235, &beeps, (true, true)),
        starts: fields.flag_or("startConferenceOnEnter", 13232, true),
        ends: fields.flag("endConferenceOnExit", 13231),
        label: label(&mut fields),
        coach: fields.text("coach"),
        // An empty value asks for silence.
        wait: fields.raw("waitUrl").map(|url| url.trim().to_owned()),
        wait_method: fields.method("waitMethod", 13234),
        most: most(&mut fields),
        status: fields.text("statusCallback"),
        status_method: fields.method("statusCallbackMethod", code::SCHEMA),
        events: events(&mut fields),
        record: record::of_conference(&mut fields),
    })
}

fn label(fields: &mut Fields<'_>) -> Option<String> {
    let label = fields.text("participantLabel")?;
    if label.chars().count() <= CONFERENCE_CHARS {
        return Some(label);
    }
    fields.invalid("participantLabel", code::SCHEMA, "is too long: the party has no label");
    None
}

fn most(fields: &mut Fields<'_>) -> Option<u32> {
    let most = fields.number("maxParticipants", code::SCHEMA, CONFERENCE_PARTIES)?;
    if most == 0 {
        fields.invalid("maxParticipants", code::SCHEMA, "is raised to 1");
    }
    Some(most.max(1))
}

/// Words with white space between, as in TwiML; commas are taken too.
fn events(fields: &mut Fields<'_>) -> String {
    let Some(words) = fields.text("statusCallbackEvent") else { return String::new() };
    let mut known = Vec::new();
    for word in words.split(|sign: char| sign.is_whitespace() || sign == ',').filter(|word| !word.is_empty()) {
        match EVENTS.iter().find(|event| **event == word) {
            Some(event) => known.push(*event),
            None => fields.invalid("statusCallbackEvent", code::SCHEMA, "names an unknown event"),
        }
    }
    known.join(" ")
}
