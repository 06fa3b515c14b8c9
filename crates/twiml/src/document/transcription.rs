//! Live transcription of a call: Start and Stop with Transcription.

use serde::{Deserialize, Serialize};

use super::fields::{ElementFields, HttpMethod};
use super::speech::{hints, language, model};
use super::stream::{TRACKS, TrackSelection};
use super::unknown;
use crate::compat::{self, VOICE};
use crate::limits::TRACK_LABEL_CHARS;
use crate::problem::code;

/// Live transcription of a call, as written in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveTranscript {
    /// Name by which a Stop verb refers to the transcription; `None` for no name.
    pub name: Option<String>,
    /// Audio directions that are transcribed.
    pub tracks: TrackSelection,
    /// Display names of the inbound and the outbound track.
    pub labels: [Option<String>; 2],
    /// URL that receives transcription events, as written; `None` if no events are reported.
    pub status: Option<String>,
    /// Method of the requests to the URL in `status`.
    pub status_method: HttpMethod,
    /// True if partial results are reported.
    pub partial: bool,
    /// Language tag of the expected speech.
    pub language: String,
    /// Words and phrases that are likely to be used.
    pub hints: Vec<String>,
    /// Model of the recogniser; `None` for its default.
    pub model: Option<String>,
    /// True if profanities are masked.
    pub profanity_filter: bool,
}

/// Reads the attributes of a Transcription within a Start.
pub(super) fn live_transcript(mut fields: ElementFields<'_>) -> LiveTranscript {
    for child in fields.element.elements() {
        if compat::entry(VOICE, fields.path(), &child.name).is_none() {
            unknown(child, fields.path(), fields.warnings);
        }
    }
    let tracks = fields.choice("track", code::SCHEMA, &TRACKS, TrackSelection::Both);
    let inbound = label(&mut fields, "inboundTrackLabel");
    let outbound = label(&mut fields, "outboundTrackLabel");
    LiveTranscript {
        name: fields.text("name"),
        tracks,
        labels: [inbound, outbound],
        status: fields.text("statusCallbackUrl"),
        status_method: fields.method("statusCallbackMethod", code::SCHEMA),
        partial: fields.flag("partialResults", code::SCHEMA),
        language: language(&mut fields, "languageCode"),
        hints: hints(&mut fields),
        model: model(&mut fields),
        profanity_filter: fields.flag_or("profanityFilter", code::SCHEMA, true),
    }
}

fn label(fields: &mut ElementFields<'_>, name: &'static str) -> Option<String> {
    let label = fields.text(name)?;
    let fits = label.chars().count() <= TRACK_LABEL_CHARS;
    if !fits {
        fields.invalid(name, code::SCHEMA, "is too long for a label; it is left out");
    }
    fits.then_some(label)
}
