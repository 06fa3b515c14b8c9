//! Counters of e-mails, and their problems in `status`.

use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkgate_media::counters::Counter;

use super::table::{Failed, Waiting};
use crate::sinks::recordings::under_way::Attempts;
use trunkgate_system::limits::MAIL_SECONDS;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::text::number;

/// Counters of all e-mails since the start.
#[derive(Debug, Default)]
pub struct MailFigures {
    /// E-mails waiting for the server.
    pub waiting: Counter,
    /// E-mails accepted by the server.
    pub sent: Counter,
    /// E-mails given up.
    pub failed: Counter,
    /// Retried attempts.
    pub retried: Counter,
    /// State of the attempts.
    pub(super) attempts: Attempts,
    /// Number of recently given-up e-mails, and the last of them.
    given_up: Mutex<Option<(u64, Failed)>>,
}

/// Returns the fix for a response of the server, or for a missing response.
fn fix_of(what: &str) -> &'static str {
    let known = [
        (
            "cannot be reached",
            "check `server` of [mail], that it runs, and the firewall: `trunkgate doctor`, line mail",
        ),
        ("TLS:", "check `server` and `ca` of [mail], and the server's certificate"),
        ("user and password", "correct the user in `server` and `password` of [mail]"),
        ("AUTH", "take user and `password` out of [mail], or use a server that takes them"),
        ("STARTTLS", "use a server with STARTTLS, or smtps:// in `server` of [mail]"),
        ("the sender", "use a `from` of [mail] that the server accepts"),
        ("the recipient", "the server takes it later, or ask its operator; check `notify` of the mailbox"),
        ("has no [mail]", "add [mail]"),
    ];
    known
        .into_iter()
        .find(|(words, _)| what.contains(words))
        .map_or("check [mail], and the log of the server", |(_, fix)| fix)
}

impl MailFigures {
    fn given_up(&self) -> MutexGuard<'_, Option<(u64, Failed)>> {
        self.given_up.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Updates the counters from the store.
    pub(super) fn seen(&self, waiting: &Waiting) {
        self.waiting.set(waiting.all);
        *self.given_up() = waiting.last_failed.clone().map(|last| (waiting.failed, last));
        if waiting.all == 0 {
            self.attempts.answered();
        }
    }

    /// Records a failed attempt that will be retried.
    pub(super) fn refused(&self, what: String) {
        self.retried.add(1);
        if self.attempts.refused(what.clone()) {
            tracing::warn!(reason = "mail_failed", "voicemail is not sent by e-mail: {what}");
        }
    }

    /// Records that the server accepted an e-mail, or rejected only this one.
    pub(super) fn answered(&self) {
        if self.attempts.answered() {
            tracing::info!("the mail server takes e-mail again");
        }
    }

    /// Returns all current problems.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let waiting = number(usize::try_from(self.waiting.get()).unwrap_or(usize::MAX), "e-mail");
        let silent = |seconds| {
            let fix =
                format!("check the mail server of [mail]; an attempt is given up after {MAIL_SECONDS} s and repeated");
            (format!("the mail server has not finished an attempt for {seconds} s"), fix)
        };
        let problem = Problem::of(ProblemKind::Record(RecordProblem::MailNotSent));
        let refused =
            self.attempts.problem(problem, &format!("{waiting} waiting"), |what| fix_of(what).to_owned(), silent);
        let mut problems: Vec<Problem> = refused.into_iter().collect();
        if let Some((failed, Failed { mailbox, error, .. })) = &*self.given_up() {
            let problem = Problem::of(ProblemKind::Record(RecordProblem::MailGivenUp { messages: *failed }));
            let evidence = format!("mailbox {mailbox}: {}", error.as_deref().unwrap_or_default());
            let fix = format!(
                "check `notify` of [voicemail.{mailbox}]; the messages are kept: `trunkgate recordings --voicemail {mailbox}`"
            );
            problems.push(problem.shown_by(evidence).fixed_by(fix));
        }
        problems
    }
}
