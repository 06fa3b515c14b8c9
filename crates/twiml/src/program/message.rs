//! The message of a mailbox: a greeting, a tone, and what the caller says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::{Kind, Loop, Method, Play, PlaySource, Record, RecordingNoun, ReportedStates, Tracks, Verb};
use crate::location::Location;
use crate::problem::Position;

/// Key that ends a message.
const KEY: &str = "#";

/// A message that a caller is to leave. It ends by silence, `#`, its longest time, or the end of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VoiceMessage {
    /// Sound before the tone.
    pub greeting: Option<Location>,
    /// Silence that ends it.
    pub silence: Duration,
    /// Longest time.
    pub max_length: Duration,
}

impl VoiceMessage {
    /// Returns the place that its verbs refer to: that of the greeting.
    pub(super) fn location(&self) -> Location {
        self.greeting.clone().unwrap_or(Location::Inline)
    }

    /// Returns its verbs. No request follows the Record.
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
