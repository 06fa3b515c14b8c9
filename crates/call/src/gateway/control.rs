//! Changes of one call that are asked for from outside of the core, over HTTP for the most part. They are plain data, so that they can be
//! logged and replayed as any other input.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::App;
use trunkgate_story::trace::TraceItem;
use trunkgate_twiml::Secret;

use crate::call::parts::detached::DetachRequest;
use crate::call::transfer::warm::TransferMode;
use crate::call::words::party::CallParty;
use crate::call::words::refused::Refused;
use crate::gateway::Gateway;

/// A change of one call.
#[derive(Debug, Clone)]
pub struct CallControl {
    /// SID of the call.
    pub sid: String,
    /// The change.
    pub action: CallAction,
}

/// The kinds of changes of a call.
#[derive(Debug, Clone)]
pub enum CallAction {
    /// Sends the caller of an agent to another target; of a call between two parties, connects one of them with a target in place of
    /// the other.
    Transfer {
        /// The party that stays.
        party: CallParty,
        /// The target, as in a route.
        target: String,
        /// The kind of transfer.
        mode: TransferMode,
    },
    /// Sends digits to a party.
    SendDigits {
        /// The party that hears them.
        party: CallParty,
        /// The digits, which may be a secret of the caller's.
        digits: Secret,
    },
    /// Puts parties on hold.
    Hold(Vec<CallParty>),
    /// Takes parties off hold that were put on hold by a request.
    Resume(Vec<CallParty>),
    /// Plays a sound to parties.
    Play {
        /// The parties that hear it.
        parties: Vec<CallParty>,
        /// Name of the sound.
        name: String,
        /// Samples, μ-law at 8 kHz.
        samples: Arc<[u8]>,
    },
    /// Continues the call with the document of an application.
    Redirect(Arc<App>),
    /// Continues the leg of one party with a document, as a call of its own.
    RedirectParty {
        /// SID of the party's leg.
        party: String,
        /// The document, and the rules of the new call.
        request: DetachRequest,
    },
    /// Ends the leg of one party.
    EndParty {
        /// SID of the party's leg.
        party: String,
    },
    /// Sends the callbacks of the call to another receiver: the status callback of this application.
    ReplaceCallback(Arc<App>),
    /// Ends the call so long after its answer.
    LimitTime(Duration),
    /// Adds an event that the shell knows of to the trace, also after the end of the call.
    Note(TraceItem),
    /// Adds a request over HTTP about the call to the trace, also after its end.
    NoteRequest(String),
}

impl CallControl {
    /// Returns the note of an event in the trace of a call.
    pub fn note(sid: impl Into<String>, item: TraceItem) -> CallControl {
        CallControl { sid: sid.into(), action: CallAction::Note(item) }
    }

    /// Changes the call. Drain [`Gateway::poll_output`] afterwards.
    ///
    /// # Errors
    /// The reason for which the call stays as it was.
    pub fn apply(self, gateway: &mut Gateway, now: Instant) -> Result<(), Refused> {
        let CallControl { sid, action } = self;
        match action {
            CallAction::Transfer { party, target, mode } => gateway.transfer(now, &sid, party, &target, mode),
            CallAction::SendDigits { party, digits } => gateway.press(now, &sid, party, digits.reveal()),
            CallAction::Hold(parties) => gateway.hold(now, &sid, &parties),
            CallAction::Resume(parties) => gateway.resume(now, &sid, &parties),
            CallAction::Play { parties, name, samples } => gateway.play(now, &sid, &parties, (&name, &samples)),
            CallAction::Redirect(app) => gateway.redirect(now, &sid, app),
            CallAction::RedirectParty { party, request } => gateway.redirect_party(now, &sid, &party, request),
            CallAction::EndParty { party } => gateway.end_party(now, &sid, &party),
            CallAction::ReplaceCallback(app) => gateway.replace_callback(now, &sid, &app),
            CallAction::LimitTime(limit) => gateway.limit_time(now, &sid, limit),
            CallAction::Note(item) => {
                gateway.note(now, &sid, item);
                Ok(())
            }
            CallAction::NoteRequest(text) => {
                gateway.note_request(now, &sid, text);
                Ok(())
            }
        }
    }
}
