//! Notes of a call for its verdict, beyond its legs and its reason.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::Kind;
use trunkgate_route::SmsRule;
use trunkgate_story::change::Change;
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::series::Series;
use trunkgate_story::view::PassedOverView;

use crate::call::legs::headers::Brought;
use crate::call::shared::flaws::Flaws;
use crate::call::shared::logged::Logged;

/// What a call's legs and its reason do not say.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// What shows why it ended, or may end, for a reason that does not say all.
    pub(crate) proof: Option<(ReasonSlug, Box<str>)>,
    /// What its applications did in it.
    pub(crate) app: Option<Box<AppStory>>,
    /// Whether it was refused before anything was tried, and is kept apart from others.
    pub(crate) is_turned_down: bool,
    /// Targets that failed before they had a leg.
    pub(crate) passed_over: Vec<PassedOver>,
    /// Targets that only phones make and that were passed over since none is registered.
    pub(crate) without_phone: Vec<Arc<str>>,
    /// The last target that failed for its codecs, or was not let out to: its reason, and what is wrong.
    pub(crate) fault: Option<(ReasonSlug, Box<Diagnosis>)>,
    /// Trunks that know of faults in this call, and of which.
    pub(crate) counted: Vec<(Arc<str>, Kind)>,
    /// What it sounds like over time, from the answer on.
    pub(crate) series: Series,
    /// Who hung up, and the headers of that BYE.
    pub(crate) farewell: Option<Box<(LegId, Brought)>>,
    /// Whether neither side of a call that has ended was heard, in a call too short for the worker's word.
    pub(crate) both_silent: bool,
    /// Whether a text message follows if no party answers.
    pub(crate) sms: Option<Arc<SmsRule>>,
    /// Targets and peers given up so far.
    pub(crate) failovers: u32,
    /// Why the last candidate failed, and the change that is reported once another one is tried.
    pub(crate) failed_over: Option<Box<(ReasonSlug, Change)>>,
}

/// Notes of an answered call in plain data. It does not carry findings, flaws, the quality over time, and what applications did.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StorySnapshot {
    failovers: u32,
}

impl Story {
    /// Writes the notes down.
    pub(crate) fn snapshot(&self) -> StorySnapshot {
        let Story {
            failovers,
            proof: _,
            app: _,
            is_turned_down: _,
            passed_over: _,
            without_phone: _,
            fault: _,
            counted: _,
            series: _,
            farewell: _,
            both_silent: _,
            sms: _,
            failed_over: _,
        } = self;
        StorySnapshot { failovers: *failovers }
    }

    /// Makes the notes again.
    pub(crate) fn restore(snapshot: StorySnapshot) -> Story {
        let StorySnapshot { failovers } = snapshot;
        Story { failovers, ..Story::default() }
    }

    /// Returns the targets that were passed over, each once, with the last reason.
    pub(crate) fn passed_over(&self) -> Vec<PassedOverView> {
        let mut all: Vec<PassedOverView> = Vec::new();
        for PassedOver { name, reason, .. } in self.passed_over.iter().filter(|one| !one.name.is_empty()) {
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
pub(crate) struct PassedOver {
    pub(crate) name: Box<str>,
    pub(crate) reason: ReasonSlug,
    /// Legs that there were by then.
    pub(crate) legs: usize,
    /// Of an agent that is skipped, why it failed last, and what would help.
    pub(crate) failure: Option<Box<(String, String)>>,
}

/// What the applications of a call did in it.
#[derive(Debug, Default)]
pub(crate) struct AppStory {
    /// The one that has or had the call last.
    pub(crate) name: Option<Arc<str>>,
    /// The mailbox that has or had the call last.
    pub(crate) mailbox: Option<Arc<str>>,
    /// The conference that the caller is or was in last.
    pub(crate) conference: Option<Box<trunkgate_story::view::ConferenceView>>,
    /// The one that answered the call.
    pub(crate) answered: Option<Box<str>>,
    /// The error that ended its part in the call, with its line; the code and our own words alone are in `proof`.
    pub(crate) failed: Option<Box<str>>,
    /// Errors that did not end its part in the call.
    pub(crate) flaws: Flaws,
    /// Its errors in the log.
    pub(crate) logged: Logged,
}
