//! Notes of a call for its verdict, beyond its legs and its reason.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::FaultKind;
use trunkgate_route::SmsRule;
use trunkgate_story::change::EdgeEvent;
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::series::QualitySeries;
use trunkgate_story::view::PassedOverView;

use crate::call::legs::headers::RelayedHeaders;
use crate::call::shared::flaws::AppErrors;
use crate::call::shared::logged::LoggedErrors;

/// Notes that a call's legs and its reason do not contain.
#[derive(Debug, Default)]
pub(crate) struct CallNotes {
    /// Evidence for the end of the call, with the reason to which it belongs.
    pub(crate) proof: Option<(ReasonSlug, Box<str>)>,
    /// Activity of the call's applications.
    pub(crate) app: Option<Box<AppStory>>,
    /// Whether the call was refused before any target was tried, and is kept apart from other ended calls.
    pub(crate) is_turned_down: bool,
    /// Targets that failed before they had a leg.
    pub(crate) passed_over: Vec<PassedOverTarget>,
    /// Trunks with phones only that were passed over, because no phone is registered.
    pub(crate) without_phone: Vec<Arc<str>>,
    /// Reason and diagnosis of the last target that failed because of its codecs, or because its INVITE could not be
    /// sent.
    pub(crate) fault: Option<(ReasonSlug, Box<Diagnosis>)>,
    /// Faults already counted for a trunk in this call.
    pub(crate) counted: Vec<(Arc<str>, FaultKind)>,
    /// Quality over time, from the answer on.
    pub(crate) series: QualitySeries,
    /// Leg that hung up, and the headers of its BYE.
    pub(crate) bye_headers: Option<Box<(LegId, RelayedHeaders)>>,
    /// Whether no audio came from either side of a call that was too short for the worker's report.
    pub(crate) both_silent: bool,
    /// Rule for a text message if no party answers.
    pub(crate) sms: Option<Arc<SmsRule>>,
    /// Number of targets and peers given up so far.
    pub(crate) failovers: u32,
    /// Reason of the last candidate's failure, and the event to publish once another candidate is tried.
    pub(crate) failed_over: Option<Box<(ReasonSlug, EdgeEvent)>>,
}

/// Notes of an answered call as plain data. Findings, application errors, the quality over time, and the activity of
/// applications are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallNotesSnapshot {
    failovers: u32,
}

impl CallNotes {
    /// Returns the notes in plain data.
    pub(crate) fn snapshot(&self) -> CallNotesSnapshot {
        let CallNotes {
            failovers,
            proof: _,
            app: _,
            is_turned_down: _,
            passed_over: _,
            without_phone: _,
            fault: _,
            counted: _,
            series: _,
            bye_headers: _,
            both_silent: _,
            sms: _,
            failed_over: _,
        } = self;
        CallNotesSnapshot { failovers: *failovers }
    }

    /// Restores the notes.
    pub(crate) fn restore(snapshot: CallNotesSnapshot) -> CallNotes {
        let CallNotesSnapshot { failovers } = snapshot;
        CallNotes { failovers, ..CallNotes::default() }
    }

    /// Returns the targets that were passed over, each once, with its last reason.
    pub(crate) fn passed_over(&self) -> Vec<PassedOverView> {
        let mut all: Vec<PassedOverView> = Vec::new();
        for PassedOverTarget { name, reason, .. } in self.passed_over.iter().filter(|one| !one.name.is_empty()) {
            let reason = reason.as_str();
            match all.iter_mut().find(|one| *one.target == **name) {
                Some(one) => one.reason = reason,
                None => all.push(PassedOverView { target: name.to_string(), reason }),
            }
        }
        all
    }
}

/// A target that failed before it had a leg.
#[derive(Debug)]
pub(crate) struct PassedOverTarget {
    pub(crate) name: Box<str>,
    pub(crate) reason: ReasonSlug,
    /// Number of legs when the target failed.
    pub(crate) legs: usize,
    /// Last failure of a skipped agent, and its fix.
    pub(crate) failure: Option<Box<(String, String)>>,
}

/// Activity of a call's applications.
#[derive(Debug, Default)]
pub(crate) struct AppStory {
    /// Application that controls the call, or did last.
    pub(crate) name: Option<Arc<str>>,
    /// Mailbox that has the call, or had it last.
    pub(crate) mailbox: Option<Arc<str>>,
    /// Conference of the caller, or its last one.
    pub(crate) conference: Option<Box<trunkgate_story::view::ConferenceView>>,
    /// Application that answered the call.
    pub(crate) answered: Option<Box<str>>,
    /// Error that ended the application's control, with its line in the document; `proof` has only the code and the
    /// edge's own words.
    pub(crate) failed: Option<Box<str>>,
    /// Errors that did not end the application's control.
    pub(crate) flaws: AppErrors,
    /// Errors of the application that have been logged.
    pub(crate) logged: LoggedErrors,
}
