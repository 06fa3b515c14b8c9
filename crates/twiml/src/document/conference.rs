//! Conference, a noun of Dial: the conference and the settings of the party that joins it.

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::record::{self, RecordingNoun};
use crate::limits::{CONFERENCE_CHARS, CONFERENCE_PARTIES};
use crate::problem::code;

/// Supported events of `statusCallbackEvent`.
const EVENTS: [&str; 9] = ["start", "end", "join", "leave", "mute", "hold", "modify", "speaker", "announcement"];

/// Conference of a Dial, with the settings of the joining party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceNoun {
    /// Name of the conference, or SID of an active one.
    pub name: String,
    /// True if the party joins muted.
    pub muted: bool,
    /// True if the others hear a beep when the party joins, and when it leaves.
    pub beeps: (bool, bool),
    /// True if the conference starts when the party joins (`startConferenceOnEnter`).
    pub starts: bool,
    /// True if the conference ends when the party leaves (`endConferenceOnExit`).
    pub ends: bool,
    /// Label of the party; `None` for no label.
    pub label: Option<String>,
    /// SID of the call that the party coaches; `None` if the party coaches none.
    pub coach: Option<String>,
    /// Audio for the party before the start, as written. An empty text selects silence, `None` the edge's music.
    pub wait: Option<String>,
    /// Method of the request for `wait`.
    pub wait_method: HttpMethod,
    /// Maximum number of parties; if `None`, the edge's limit applies.
    pub most: Option<u32>,
    /// URL that receives conference events, as written; `None` if no events are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
    /// Events to report, separated by spaces.
    pub events: String,
    /// Recording of the conference from its start; `None` for no recording.
    #[serde(default)]
    pub record: Option<Box<RecordingNoun>>,
}

impl ConferenceNoun {
    /// Returns a conference with the default of every attribute.
    pub fn named(name: &str) -> ConferenceNoun {
        ConferenceNoun {
            name: name.to_owned(),
            muted: false,
            beeps: (true, true),
            starts: true,
            ends: false,
            label: None,
            coach: None,
            wait: None,
            wait_method: HttpMethod::Post,
            most: None,
            status: None,
            status_method: HttpMethod::Post,
            events: String::new(),
            record: None,
        }
    }
}

/// Reads a Conference; returns `None`, with a warning, if its name is not valid.
pub(super) fn conference(mut fields: ElementFields<'_>) -> Option<ConferenceNoun> {
    let name = fields.element.text();
    let (position, chars) = (fields.element.position, name.chars().count());
    if chars == 0 || chars > CONFERENCE_CHARS || name.chars().any(char::is_control) {
        let message = format!("<Conference> needs a name of 1 to {CONFERENCE_CHARS} characters; it is skipped");
        fields.warnings.add(code::DIAL_NUMBER, position, message);
        return None;
    }
    let beeps =
        [("true", (true, true)), ("false", (false, false)), ("onEnter", (true, false)), ("onExit", (false, true))];
    Some(ConferenceNoun {
        name,
        muted: fields.flag("muted", 13230),
        beeps: fields.choice("beep", 13235, &beeps, (true, true)),
        starts: fields.flag_or("startConferenceOnEnter", 13232, true),
        ends: fields.flag("endConferenceOnExit", 13231),
        label: label(&mut fields),
        coach: fields.text("coach"),
        // An empty value requests silence.
        wait: fields.raw("waitUrl").map(|url| url.trim().to_owned()),
        wait_method: fields.method("waitMethod", 13234),
        most: most(&mut fields),
        status: fields.text("statusCallback"),
        status_method: fields.method("statusCallbackMethod", code::SCHEMA),
        events: events(&mut fields),
        record: record::of_conference(&mut fields),
    })
}

fn label(fields: &mut ElementFields<'_>) -> Option<String> {
    let label = fields.text("participantLabel")?;
    if label.chars().count() <= CONFERENCE_CHARS {
        return Some(label);
    }
    fields.invalid("participantLabel", code::SCHEMA, "is too long: the party has no label");
    None
}

fn most(fields: &mut ElementFields<'_>) -> Option<u32> {
    let most = fields.number("maxParticipants", code::SCHEMA, CONFERENCE_PARTIES)?;
    if most == 0 {
        fields.invalid("maxParticipants", code::SCHEMA, "is raised to 1");
    }
    Some(most.max(1))
}

/// Reads event names separated by white space, as in TwiML; commas are accepted too.
fn events(fields: &mut ElementFields<'_>) -> String {
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
