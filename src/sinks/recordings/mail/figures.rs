//! Figures of e-mails, and what `status` says of them.

use std::sync::{Mutex, MutexGuard, PoisonError};

use trunkgate_media::counters::Counter;

use super::table::{Letter, Waiting};
use crate::system::problem::{Harm, Problem};
use crate::system::text::number;

/// Figures of all e-mails since the start.
#[derive(Debug, Default)]
pub(crate) struct MailFigures {
    /// E-mails that wait for the server.
    pub(crate) waiting: Counter,
    /// E-mails that the server has taken.
    pub(crate) sent: Counter,
    /// E-mails that were given up.
    pub(crate) failed: Counter,
    /// Attempts that are repeated.
    pub(crate) retried: Counter,
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default)]
struct Trouble {
    /// Server and reason while attempts fail.
    server: Option<String>,
    /// Number of e-mails that were given up lately, and the last of them.
    given_up: Option<(u64, Letter)>,
}

impl MailFigures {
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what the store has.
    pub(super) fn seen(&self, waiting: &Waiting) {
        self.waiting.set(waiting.all);
        let mut trouble = self.trouble();
        trouble.given_up = waiting.last_failed.clone().map(|last| (waiting.failed, last));
        if waiting.all == 0 {
            trouble.server = None;
        }
    }

    /// Notes that an attempt has failed and is repeated.
    pub(super) fn refused(&self, what: String) {
        self.retried.add(1);
        let mut trouble = self.trouble();
        if trouble.server.is_none() {
            tracing::warn!(reason = "mail_failed", "voicemail is not sent by e-mail: {what}");
        }
        trouble.server = Some(what);
    }

    /// Notes that the server has taken an e-mail, or has refused one alone.
    pub(super) fn answered(&self) {
        if self.trouble().server.take().is_some() {
            tracing::info!("the mail server takes e-mail again");
        }
    }

    /// Returns each thing that is wrong.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let trouble = self.trouble();
        let mut problems = Vec::new();
        if let Some(what) = &trouble.server {
            let waiting = number(usize::try_from(self.waiting.get()).unwrap_or(usize::MAX), "e-mail");
            let problem = Problem::new(Harm::Records, "voicemail is not sent by e-mail");
            problems.push(problem.shown_by(format!("{what}; {waiting} waiting")).fixed_by("check [mail]"));
        }
        if let Some((failed, Letter { mailbox, error, .. })) = &trouble.given_up {
            let messages = number(usize::try_from(*failed).unwrap_or(usize::MAX), "voicemail message");
            let problem =
                Problem::new(Harm::Records, format!("{messages} not sent by e-mail")).about("e-mail was given up");
            let evidence = format!("mailbox {mailbox}: {}", error.as_deref().unwrap_or_default());
            let fix = format!(
                "check `notify` of [voicemail.{mailbox}]; the messages are kept: `trunkgate recordings --voicemail {mailbox}`"
            );
            problems.push(problem.shown_by(evidence).fixed_by(fix));
        }
        problems
    }
}
