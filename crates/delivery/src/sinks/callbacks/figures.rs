//! Counters of callbacks by application, and their problems in `status`.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::webhooks::codes;
use trunkgate_system::limits::CALLBACK_FAILED_IN_ROW;
use trunkgate_system::problem::kind::{ProblemKind, Receiver, RecordProblem};
use trunkgate_system::problem::{Failure, Problem};

/// Counters of callbacks for each application, and the state of the store.
#[derive(Debug, Default)]
pub struct CallbackFigures {
    apps: Mutex<BTreeMap<Arc<str>, CallbackCounts>>,
    /// Failure of the store, if it does not accept callbacks.
    unstored: Mutex<Option<Failure>>,
}

/// Counters of one application's callbacks.
#[derive(Debug, Clone, Default)]
pub struct CallbackCounts {
    /// Number of callbacks waiting for delivery.
    pub waiting: u64,
    /// Number of delivered callbacks.
    pub delivered: u64,
    /// Attempts of a callback beyond its first.
    pub retried: u64,
    /// Callbacks given up after their last attempt.
    pub given_up: u64,
    /// Callbacks dropped because the queue was full.
    pub dropped: u64,
    /// Waiting callbacks with several failed attempts, which `status` reports.
    failing: u64,
    /// Number of consecutive failed attempts since the last delivery.
    in_row: u64,
    /// Last failed attempt of any callback.
    pub last: Option<LastFailure>,
}

/// Failed attempt to deliver a callback.
#[derive(Debug, Clone)]
pub struct LastFailure {
    /// Twilio's error code for the failure.
    pub code: u32,
    /// Reason of the failure, as a clause.
    pub what: String,
    /// SID of the call that the callback describes; empty if unknown.
    pub call: String,
    /// Time of the failure.
    pub at: Timestamp,
    /// Time of the next attempt; `None` after the last attempt.
    pub next: Option<Timestamp>,
}

impl CallbackFigures {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, CallbackCounts>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, app: &Arc<str>, count: impl FnOnce(&mut CallbackCounts)) {
        count(self.lock().entry(Arc::clone(app)).or_default());
    }

    /// Returns the counters of each application by its name.
    pub fn counts(&self) -> BTreeMap<Arc<str>, CallbackCounts> {
        self.lock().clone()
    }

    /// Counts a new callback that was dropped because the queue was full.
    pub(super) fn dropped(&self, app: &Arc<str>) {
        self.of(app, |counts| counts.dropped += 1);
    }

    /// Counts a waiting callback that was dropped in favour of others; `was_failing`: several of its attempts had
    /// failed.
    pub(super) fn made_way(&self, app: &Arc<str>, was_failing: bool) {
        self.of(app, |counts| {
            counts.waiting = counts.waiting.saturating_sub(1);
            counts.failing = counts.failing.saturating_sub(u64::from(was_failing));
            counts.dropped += 1;
        });
    }

    /// Counts a callback that enters the queue; `is_failing`: several attempts had failed before a restart.
    pub(super) fn added(&self, app: &Arc<str>, is_failing: bool) {
        self.of(app, |counts| {
            counts.waiting += 1;
            counts.failing += u64::from(is_failing);
        });
    }

    /// Counts an attempt beyond the first of a callback.
    pub(super) fn retried(&self, app: &Arc<str>) {
        self.of(app, |counts| counts.retried += 1);
    }

    /// Counts a failed attempt; `begins`: the callback has now failed several times and counts as failing.
    pub(super) fn failed(&self, app: &Arc<str>, last: LastFailure, begins: bool) {
        self.of(app, |counts| {
            counts.failing += u64::from(begins);
            counts.in_row += 1;
            counts.last = Some(last);
        });
    }

    /// Records the last failure of a callback that is given up.
    pub(super) fn gave_up(&self, app: &Arc<str>, last: LastFailure) {
        self.of(app, |counts| counts.last = Some(LastFailure { next: None, ..last }));
    }

    /// Counts a callback that has left the queue; `was_failing`: several of its attempts had failed.
    pub(super) fn over(&self, app: &Arc<str>, was_failing: bool, is_delivered: bool) {
        self.of(app, |counts| {
            counts.waiting = counts.waiting.saturating_sub(1);
            counts.failing = counts.failing.saturating_sub(u64::from(was_failing));
            if is_delivered {
                (counts.delivered, counts.in_row) = (counts.delivered + 1, 0);
            } else {
                counts.given_up += 1;
            }
        });
    }

    /// Records whether the store in `directory` accepted callbacks.
    pub(super) fn stored(&self, done: &io::Result<()>, directory: &Path) {
        let failure = done.as_ref().err().map(|error| Failure::of(error, directory));
        *self.unstored.lock().unwrap_or_else(PoisonError::into_inner) = failure;
    }

    /// Returns the problems with callbacks that `status` reports.
    pub fn problems(&self) -> Vec<Problem> {
        let unstored = self.unstored.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut problems: Vec<Problem> = unstored.map(|failure| not_stored(&failure)).into_iter().collect();
        for (app, counts) in &*self.lock() {
            let is_failing = counts.failing > 0 || counts.in_row >= CALLBACK_FAILED_IN_ROW;
            let last = counts.last.as_ref().filter(|_| is_failing && counts.waiting > 0);
            problems.extend(last.map(|last| failing(app, counts, last)));
            problems.extend(lost(app, counts));
        }
        problems
    }
}

fn not_stored(failure: &Failure) -> Problem {
    let shown = format!("{failure}; they are sent, but a restart would lose the waiting ones");
    Problem::of(ProblemKind::Record(RecordProblem::CallbacksNotStored)).shown_by(shown).caused_by(failure)
}

fn failing(app: &str, counts: &CallbackCounts, LastFailure { code, what, call, .. }: &LastFailure) -> Problem {
    let problem = Problem::of(ProblemKind::Record(RecordProblem::CallbacksNotDelivered { receiver: receiver(app) }));
    let shown = format!("error {code}: {what}; {} queued, each is retried for 24 hours", counts.waiting);
    problem.shown_by(shown).fixed_by(fix_of(app, *code, what, call)).traced_in(call)
}

/// Returns the receiver named `app`: an application, a mailbox, or the receiver of all recordings.
fn receiver(app: &str) -> Receiver {
    match app.strip_prefix(MAILBOX) {
        Some(mailbox) => Receiver::Voicemail(mailbox.to_owned()),
        None if app == RECORDINGS => Receiver::Recordings,
        None => Receiver::App(app.to_owned()),
    }
}

/// Returns the fix for an error code, with the configuration keys of the receiver.
fn fix_of(app: &str, code: u32, what: &str, call: &str) -> String {
    let key = match app.strip_prefix(MAILBOX) {
        Some(mailbox) => Some(format!("`notify` of [voicemail.{mailbox}]")),
        None if app == RECORDINGS => Some("`url` of [recording]".to_owned()),
        None => None,
    };
    let of_app = || format!("the URL of app {app}");
    let is_never =
        ["metadata address", "own listener", "not the address of one host"].iter().any(|why| what.contains(why));
    match key {
        _ if is_never && what.contains("redirected to ") => {
            let server = key.unwrap_or_else(of_app);
            format!("change the redirect sent by the server at {server}: the edge never calls its target")
        }
        _ if is_never => format!("correct {}: the edge never calls this address", key.unwrap_or_else(of_app)),
        Some(key) if code == NOT_REACHED => format!("check that the server of {key} runs, its port, and the firewall"),
        // The URL came with an API request, so no application of the file has it.
        _ if app.starts_with(API) => codes::fix(code, what, call).replace("[app.NAME]", "[api]"),
        Some(_) | None => codes::fix(code, what, call).replace("[app.NAME]", &format!("[app.{app}]")),
    }
}

/// Prefix of the names of receivers that belong to a mailbox.
const MAILBOX: &str = "voicemail:";
const RECORDINGS: &str = "recording";
/// Prefix of the names of receivers that an API request has set.
const API: &str = "api:";
/// Twilio's error code for a server that cannot be reached.
const NOT_REACHED: u32 = 11_205;

fn lost(app: &str, counts: &CallbackCounts) -> Option<Problem> {
    let all = counts.given_up + counts.dropped;
    let kind = RecordProblem::CallbacksLost { receiver: receiver(app), count: all };
    let shown = format!("{} given up, {} dropped because too many were queued", counts.given_up, counts.dropped);
    (all > 0).then(|| Problem::of(ProblemKind::Record(kind)).shown_by(shown))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_application_that_takes_none_is_a_problem_until_it_does() {
        let (figures, app) = (CallbackFigures::default(), Arc::from("ivr"));
        let last = || LastFailure {
            code: 11_205,
            what: "not reachable: refused".to_owned(),
            call: "CA1".to_owned(),
            at: Timestamp::UNIX_EPOCH,
            next: Some(Timestamp::UNIX_EPOCH),
        };
        figures.added(&app, false);
        figures.failed(&app, last(), false);
        assert!(figures.problems().is_empty(), "one attempt says little");
        figures.retried(&app);
        figures.failed(&app, last(), true);
        let problems = figures.problems();
        let told = problems[0].to_string();
        assert!(
            told.starts_with("app ivr: callbacks are not delivered: error 11205: not reachable: refused; 1 queued"),
            "{told}"
        );
        assert!(told.ends_with("trunkgate trace CA1"), "{told}");
        figures.over(&app, true, true);
        assert!(figures.problems().is_empty());
        // Many callbacks fail once each.
        (0..CALLBACK_FAILED_IN_ROW).for_each(|_| figures.added(&app, false));
        (0..CALLBACK_FAILED_IN_ROW).for_each(|_| figures.failed(&app, last(), false));
        assert_eq!(figures.problems().len(), 1);
        (0..CALLBACK_FAILED_IN_ROW).for_each(|_| figures.over(&app, false, true));
        assert!(figures.problems().is_empty());
        figures.added(&app, false);
        figures.gave_up(&app, last());
        figures.over(&app, false, false);
        figures.dropped(&app);
        let told = figures.problems()[0].to_string();
        assert_eq!(
            told,
            "app ivr: 2 callbacks lost since the start: 1 given up, 1 dropped because too many were queued"
        );
        let counts = figures.counts()["ivr"].clone();
        assert_eq!(counts.last.unwrap().next, None, "a callback that is given up is not tried again");
        assert_eq!(
            (counts.waiting, counts.delivered, counts.retried, counts.given_up, counts.dropped),
            (0, 11, 1, 1, 1)
        );
    }

    #[test]
    fn a_fix_names_keys_that_there_are_and_a_redirection_as_one() {
        let of = |app: &str, what: &str| fix_of(app, NOT_REACHED, what, "CA1");
        let metadata =
            "redirected to http://169.254.169.254/: 169.254.169.254 is a cloud metadata address (http://h/n)";
        assert_eq!(
            of("voicemail:front", metadata),
            "change the redirect sent by the server at `notify` of [voicemail.front]: the edge never calls its target"
        );
        let refused = "not reachable: refused (http://h/n)";
        assert!(of("recording", refused).starts_with("check that the server of `url` of [recording] runs"));
        assert!(of("ivr", refused).contains("`allow_private = true` in [app.ivr]"));
        assert!(of("api:recordings", refused).ends_with("`allow_private = true` in [api]"));
        assert!(
            of("ivr", "127.0.0.1 and this port are the edge's own listener").starts_with("correct the URL of app ivr")
        );
        assert_eq!(receiver("voicemail:front").to_string(), "voicemail front");
    }

    #[test]
    fn a_full_disk_is_a_problem_while_it_is_full() {
        let figures = CallbackFigures::default();
        figures.stored(&Err(io::ErrorKind::StorageFull.into()), Path::new("/data"));
        assert!(figures.problems()[0].to_string().ends_with("(`df -h /data`)"), "{:?}", figures.problems());
        figures.stored(&Ok(()), Path::new("/data"));
        assert!(figures.problems().is_empty());
    }
}
