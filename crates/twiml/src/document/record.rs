//! Record, and recordings of a Dial, a Conference or a Start.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::stream::TrackSelection;
use crate::limits::{RECORD_SECONDS, SECONDS};
use crate::problem::code;

/// Values of `trim`, including the boolean ones of an older version.
const TRIM: [(&str, bool); 4] = [("trim-silence", true), ("do-not-trim", false), ("true", true), ("false", false)];
/// Default of `finishOnKey`: any digit ends the recording.
const KEYS: &str = "1234567890*#";

/// Verb that records the caller's speech.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordVerb {
    /// URL requested at the end of the Record, as written; if empty, the URL of the document. `None`, which only the
    /// verbs of a voicemail message have, requests nothing.
    pub action: Option<String>,
    /// Method of the request to `action`.
    pub method: HttpMethod,
    /// Duration of silence that ends the recording.
    pub timeout: Duration,
    /// Maximum length of the recording.
    pub max_length: Duration,
    /// Digits that end the recording.
    pub finish_on_key: String,
    /// True if a tone is played before the recording.
    pub play_beep: bool,
    /// Transcription of the recording; `None` if not requested.
    pub transcription: Option<TranscriptionNoun>,
    /// Settings of the recorded file.
    pub recording: RecordingNoun,
}

/// Transcription of a recorded message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionNoun {
    /// URL that receives the transcription, as written; `None` if the transcription is not reported.
    pub status: Option<String>,
}

/// Settings of a recording, as written in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingNoun {
    /// True if each direction has its own channel.
    pub dual: bool,
    /// Directions that are recorded.
    pub track: TrackSelection,
    /// True if silence at the beginning and the end is removed.
    pub trim: bool,
    /// URL that receives recording states, as written; `None` if no states are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
    /// Recording states to report to the URL in `status`.
    pub events: ReportedStates,
}

/// Recording states that are reported to the callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedStates {
    /// True if the start of the recording is reported.
    pub in_progress: bool,
    /// True if the completed file is reported.
    pub completed: bool,
    /// True if a recording without audio is reported.
    pub absent: bool,
}

impl Default for ReportedStates {
    fn default() -> Self {
        ReportedStates { in_progress: false, completed: true, absent: false }
    }
}

/// Recording of the connection made by a Dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRecord {
    /// True if the recording starts when the party rings, false if it starts at the answer.
    pub from_ringing: bool,
    /// Settings of the recorded file.
    pub recording: RecordingNoun,
}

/// Start of a recording, from `record` of a Dial.
#[derive(Debug, Clone, Copy)]
enum RecordStart {
    Never,
    Answer { dual: bool },
    Ringing { dual: bool },
}

/// Reads the attributes of a Record.
pub(super) fn record(mut fields: ElementFields<'_>) -> RecordVerb {
    RecordVerb {
        action: Some(fields.text("action").unwrap_or_default()),
        method: fields.method("method", 13610),
        timeout: fields.seconds_from_one("timeout", 13611, 5, SECONDS),
        max_length: fields.seconds_from_one("maxLength", 13612, 3_600, RECORD_SECONDS),
        finish_on_key: finish_on_key(&mut fields),
        play_beep: fields.flag_or("playBeep", 13616, true),
        transcription: transcription(&mut fields),
        recording: noun(&mut fields, (false, TrackSelection::Inbound), true),
    }
}

/// Reads the transcription of a Record. A URL in `transcribeCallback` also requests a transcription.
fn transcription(fields: &mut ElementFields<'_>) -> Option<TranscriptionNoun> {
    let status = fields.text("transcribeCallback");
    let is_wanted = fields.flag_or("transcribe", code::SCHEMA, status.is_some());
    is_wanted.then_some(TranscriptionNoun { status })
}

/// Reads the attributes of a Recording within a Start.
pub(super) fn recording(mut fields: ElementFields<'_>) -> RecordingNoun {
    let dual = fields.choice("channels", code::SCHEMA, &[("dual", true), ("mono", false)], true);
    let track = track(&mut fields, "track");
    noun(&mut fields, (dual, track), true)
}

/// Reads the recording attributes of a Dial; returns `None` if they request no recording.
pub(super) fn of_dial(fields: &mut ElementFields<'_>) -> Option<Box<DialRecord>> {
    let known = [
        ("do-not-record", RecordStart::Never),
        ("false", RecordStart::Never),
        ("record-from-answer", RecordStart::Answer { dual: false }),
        ("true", RecordStart::Answer { dual: false }),
        ("record-from-ringing", RecordStart::Ringing { dual: false }),
        ("record-from-answer-dual", RecordStart::Answer { dual: true }),
        ("record-from-ringing-dual", RecordStart::Ringing { dual: true }),
    ];
    let (from_ringing, dual) = match fields.choice("record", code::SCHEMA, &known, RecordStart::Never) {
        RecordStart::Never => return None,
        RecordStart::Answer { dual } => (false, dual),
        RecordStart::Ringing { dual } => (true, dual),
    };
    let track = track(fields, "recordingTrack");
    Some(Box::new(DialRecord { from_ringing, recording: noun(fields, (dual, track), false) }))
}

/// Reads the recording attributes of a Conference; returns `None` if they request no recording.
pub(super) fn of_conference(fields: &mut ElementFields<'_>) -> Option<Box<RecordingNoun>> {
    let known = [("do-not-record", false), ("record-from-start", true), ("false", false), ("true", true)];
    let is_recorded = fields.choice("record", code::SCHEMA, &known, false);
    is_recorded.then(|| Box::new(noun(fields, (false, TrackSelection::Both), true)))
}

fn track(fields: &mut ElementFields<'_>, name: &'static str) -> TrackSelection {
    let known =
        [("inbound", TrackSelection::Inbound), ("outbound", TrackSelection::Outbound), ("both", TrackSelection::Both)];
    fields.choice(name, code::SCHEMA, &known, TrackSelection::Both)
}

/// Reads the common attributes of recordings; `trim` is the default for the removal of silence.
fn noun(fields: &mut ElementFields<'_>, (dual, track): (bool, TrackSelection), trim: bool) -> RecordingNoun {
    RecordingNoun {
        dual,
        track,
        trim: fields.choice("trim", code::SCHEMA, &TRIM, trim),
        status: fields.text("recordingStatusCallback"),
        status_method: fields.method("recordingStatusCallbackMethod", code::SCHEMA),
        events: events(fields),
    }
}

/// Reads event names separated by white space, as in TwiML; commas are accepted too.
fn events(fields: &mut ElementFields<'_>) -> ReportedStates {
    const NAME: &str = "recordingStatusCallbackEvent";
    let Some(words) = fields.text(NAME) else { return ReportedStates::default() };
    let mut events = ReportedStates { completed: false, ..ReportedStates::default() };
    for word in words.split(|sign: char| sign.is_whitespace() || sign == ',').filter(|word| !word.is_empty()) {
        match word {
            "in-progress" => events.in_progress = true,
            "completed" => events.completed = true,
            "absent" => events.absent = true,
            _ => fields.invalid(NAME, code::SCHEMA, "names an unknown event"),
        }
    }
    events
}

fn finish_on_key(fields: &mut ElementFields<'_>) -> String {
    let Some(keys) = fields.raw("finishOnKey").map(str::trim) else { return KEYS.to_owned() };
    if keys.chars().all(|key| KEYS.contains(key)) {
        return keys.to_owned();
    }
    fields.invalid("finishOnKey", 13613, "is not made of 0-9, # and *; every key ends it");
    KEYS.to_owned()
}
