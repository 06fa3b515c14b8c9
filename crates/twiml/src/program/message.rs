//! Voicemail message: greeting, tone and recording.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::{Kind, Loop, Method, Play, PlaySource, Record, RecordingNoun, ReportedStates, Tracks, Verb};
use crate::location::Location;
use crate::problem::Position;

/// Digit that ends a message.
const KEY: &str = "#";

/// Voicemail message to be recorded. It ends by silence, `#`, its maximum length, or the end of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceMessage {
    /// Sound played before the tone.
    pub greeting: Option<Location>,
    /// Silence that ends the message.
    pub silence: Duration,
    /// Maximum length.
    pub max_length: Duration,
}

impl VoiceMessage {
    /// Returns the location of the greeting, to which the verbs refer.
    pub(super) fn location(&self) -> Location {
        self.greeting.clone().unwrap_or(Location::Inline)
    }

    /// Returns the equivalent verbs. The Record requests no action.
    pub(super) fn verbs(&self) -> Vec<Verb> {
        let greeting = self.greeting.as_ref().map(|_| {
            let source = PlaySource::File(String::new());
            Kind::Play(Play { source, repeat: Loop::Times(1) })
        });
        let recording = RecordingNoun {
            dual: false,
            track: Tracks::Inbound,
            trim: true,
            status: None,
            status_method: Method::Post,
            events: ReportedStates::default(),
        };
        let record = Record {
            action: None,
            method: Method::Post,
            timeout: self.silence,
            max_length: self.max_length,
            finish_on_key: KEY.to_owned(),
            play_beep: true,
            transcription: None,
            recording,
        };
        let kinds = greeting.into_iter().chain([Kind::Record(Box::new(record))]);
        kinds.map(|kind| Verb { position: Position::START, kind }).collect()
    }
}
