//! Redirect from outside (API): replaces the current document by another one.

use std::time::Duration;

use super::input::QueueOutcome;
use super::step::{Note, Step};
use super::{After, Dialling, Program, Role, Source, State, joining};
use crate::document::{self, Document, Kind, Loop, Method, Play, PlaySource, Redirect, Verb, Warnings};
use crate::location::Location;
use crate::problem::{Error, Position};

impl Program {
    /// Returns a step that cannot be carried out yet to the front of the queue.
    pub fn put_back(&mut self, step: Step) {
        self.steps.put_back(step);
    }

    /// Replaces the current document by another one. Returns false, without a change, if the program has ended or
    /// serves a called party.
    ///
    /// A connected party or stream is disconnected first; a transfer in progress is completed first. No action is
    /// requested for either. `fallback` replaces the fallback of the program.
    ///
    /// # Errors
    /// Returns an error, without a change, if the text is not a document.
    pub fn redirect(
        &mut self,
        now: Duration,
        source: Source,
        fallback: Option<(Location, Method)>,
    ) -> Result<bool, Error> {
        let is_over = match &self.state {
            State::Over => true,
            State::Dialling(Dialling { abandoned, .. }) | State::Referring { abandoned, .. } => *abandoned,
            State::Queued(queued) => queued.abandoned,
            State::Ready
            | State::Fetching { .. }
            | State::Playing(_)
            | State::Pausing { .. }
            | State::Gathering(_)
            | State::Recording(_)
            | State::Streaming { .. } => false,
        };
        if is_over || self.settings.role != Role::Caller {
            return Ok(false);
        }
        let document = document_at(&source)?;
        self.steps.trace(0, "Response", Note::Result("another document was requested".to_owned()));
        let none = |after: After| After { action: None, ..after };
        self.state = match std::mem::replace(&mut self.state, State::Ready) {
            State::Over => State::Over,
            State::Ready | State::Fetching { .. } | State::Pausing { .. } => State::Ready,
            State::Playing(sound) => {
                self.steps.push(Step::StopPlaying { id: sound.id });
                State::Ready
            }
            State::Gathering(mut gathering) => {
                gathering.stop(&mut self.steps);
                State::Ready
            }
            State::Recording(recording) => {
                recording.abandon(&mut self.steps);
                State::Ready
            }
            State::Dialling(dialling) => {
                self.steps.push(Step::EndDial { id: dialling.id });
                State::Dialling(Dialling { after: none(dialling.after), waits: None, ..dialling })
            }
            // The action is notified of the redirect.
            State::Queued(mut queued) => {
                queued.stop(&mut self.steps);
                self.steps.push(Step::LeaveQueue { id: queued.id, why: QueueOutcome::Redirected });
                State::Queued(queued)
            }
            State::Streaming { id, after } => {
                self.steps.push(Step::EndStream { id });
                State::Streaming { id, after: none(after) }
            }
            State::Referring { id, after, abandoned } => State::Referring { id, after: none(after), abandoned },
        };
        let location = if let Source::Message(message) = &source { message.location() } else { Location::Inline };
        (self.location, self.in_fallback, self.then) = (location, false, None);
        self.settings.fallback = fallback.or(self.settings.fallback.take());
        self.warn(document.warnings);
        self.verbs = document.verbs.into();
        self.run(now);
        Ok(true)
    }
}

/// Returns the document equivalent to a source.
fn document_at(source: &Source) -> Result<Document, Error> {
    Ok(match source {
        Source::Text(text) => document::parse(text)?,
        Source::Fetch { location, method } => {
            let redirect = Redirect { url: location.to_string(), method: *method };
            document_of(Kind::Redirect(redirect))
        }
        Source::Digits(digits) => {
            let play = Play { source: PlaySource::Digits(digits.clone()), repeat: Loop::Times(1) };
            document_of(Kind::Play(play))
        }
        Source::Conference(name) => document_of(Kind::Dial(joining(name))),
        Source::Message(message) => Document { verbs: message.verbs(), warnings: Warnings::default() },
    })
}

/// Returns a document with one verb.
fn document_of(kind: Kind) -> Document {
    Document { verbs: vec![Verb { position: Position::START, kind }], warnings: Warnings::default() }
}
