//! Problems with e-mails about voicemail messages, from their counters.

use crate::sinks::recordings::sent::SentFigures;
use trunkgate_system::limits::MAIL_SECONDS;
use trunkgate_system::problem::Problem;
use trunkgate_system::problem::kind::{ProblemKind, RecordProblem};
use trunkgate_system::text::number;

/// Returns the fix for an error of the mail server, or for a missing response.
fn fix_of(what: &str) -> &'static str {
    let known = [
        (
            "cannot be reached",
            "check `server` of [mail], that it runs, and the firewall: `trunkgate doctor`, line mail",
        ),
        ("TLS:", "check `server` and `ca` of [mail], and the server's certificate"),
        ("user and password", "correct the user in `server` and `password` of [mail]"),
        ("AUTH", "remove user and `password` from [mail], or use a server that supports authentication"),
        ("STARTTLS", "use a server with STARTTLS, or smtps:// in `server` of [mail]"),
        ("the sender", "use a `from` of [mail] that the server accepts"),
        (
            "the recipient",
            "check `notify` of the mailbox; a temporary rejection is retried, otherwise ask the operator of the mail server",
        ),
        ("has no [mail]", "add [mail]"),
    ];
    known
        .into_iter()
        .find(|(words, _)| what.contains(words))
        .map_or("check [mail], and the log of the server", |(_, fix)| fix)
}

/// Returns the problems with e-mails that `status` reports.
pub(in crate::sinks::recordings) fn problems(figures: &SentFigures) -> Vec<Problem> {
    let waiting = number(usize::try_from(figures.waiting.get()).unwrap_or(usize::MAX), "e-mail");
    let silent = |seconds| {
        let fix =
            format!("check the mail server of [mail]; an attempt is given up after {MAIL_SECONDS} s and repeated");
        (format!("the mail server has not finished an attempt for {seconds} s"), fix)
    };
    let problem = Problem::of(ProblemKind::Record(RecordProblem::MailNotSent));
    let failing = figures.failing(problem, &format!("{waiting} waiting"), |what| fix_of(what).to_owned(), silent);
    let given_up = figures.given_up().map(|(failed, mailbox, error)| {
        let problem = Problem::of(ProblemKind::Record(RecordProblem::MailGivenUp { messages: failed }));
        let fix = format!(
            "check `notify` of [voicemail.{mailbox}]; the messages are kept: `trunkgate recordings --voicemail {mailbox}`"
        );
        problem.shown_by(format!("mailbox {mailbox}: {error}")).fixed_by(fix)
    });
    failing.into_iter().chain(given_up).collect()
}
