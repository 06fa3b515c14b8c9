//! Voicemail message: greeting, tone and recording.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::{
    HttpMethod, LoopCount, PlaySource, PlayVerb, RecordVerb, RecordingNoun, ReportedStates, TrackSelection, Verb,
    VerbKind,
};
use crate::location::DocumentLocation;
use crate::problem::DocumentPosition;

/// Digit that ends a message.
const KEY: &str = "#";

/// Voicemail message to be recorded. It ends by silence, `#`, its maximum length, or the end of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceMessage {
    /// Sound played before the tone; `None` for no greeting.
    pub greeting: Option<DocumentLocation>,
    /// Duration of silence that ends the message.
    pub silence: Duration,
    /// Maximum length of the caller's message.
    pub max_length: Duration,
}

impl VoiceMessage {
    /// Returns the location of the greeting, which the Play verb references.
    pub(super) fn location(&self) -> DocumentLocation {
        self.greeting.clone().unwrap_or(DocumentLocation::Inline)
    }

    /// Returns the verbs that play the greeting and record the message. The Record requests no action.
    pub(super) fn verbs(&self) -> Vec<Verb> {
        let greeting = self.greeting.as_ref().map(|_| {
            let source = PlaySource::File(String::new());
            VerbKind::Play(PlayVerb { source, repeat: LoopCount::Times(1) })
        });
        let recording = RecordingNoun {
            dual: false,
            track: TrackSelection::Inbound,
            trim: true,
            status: None,
            status_method: HttpMethod::Post,
            events: ReportedStates::default(),
        };
        let record = RecordVerb {
            action: None,
            method: HttpMethod::Post,
            timeout: self.silence,
            max_length: self.max_length,
            finish_on_key: KEY.to_owned(),
            play_beep: true,
            transcription: None,
            recording,
        };
        let kinds = greeting.into_iter().chain([VerbKind::Record(Box::new(record))]);
        kinds.map(|kind| Verb { position: DocumentPosition::START, kind }).collect()
    }
}
