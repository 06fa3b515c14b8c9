//! Report on the certificate of `[tls] acme` for `status`: the failure of the last order, and the expiry of the current
//! certificate.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;

use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};
use trunkgate_system::problem::{Problem, Urgency};

/// Step at which an order failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FailedStep {
    /// The directory, or another URL of the authority, gave no usable response.
    Unanswered,
    /// The authority rejected a request.
    Refused,
    /// The authority rejected the order because of its rate limit.
    RateLimited,
    /// The authority could not fetch the challenge response for a host name from the edge.
    Challenge {
        /// Local address of the challenge listener.
        answered_at: SocketAddr,
    },
    /// The issued certificate does not match the order.
    Certificate,
    /// Other edges with the same data directory held its lock for too long.
    Locked,
    /// Files cannot be written to the data directory.
    Files {
        /// Folder of the files.
        folder: PathBuf,
    },
}

impl FailedStep {
    const fn words(&self) -> &'static str {
        match self {
            FailedStep::Unanswered => "no usable answer from the authority",
            FailedStep::Refused => "the authority refused the order",
            FailedStep::RateLimited => "rate limit of the authority",
            FailedStep::Challenge { .. } => "the challenge failed",
            FailedStep::Certificate => "the certificate is not the one ordered",
            FailedStep::Locked => "orders of other edges with this data directory took too long",
            FailedStep::Files { .. } => "it cannot be stored",
        }
    }

    fn fix(&self) -> String {
        match self {
            FailedStep::Unanswered => {
                "check that this machine reaches the address (name, firewall, `ca` of [tls] acme)".to_owned()
            }
            FailedStep::Refused => "correct [tls] acme as the error of the authority requires, then restart the edge".to_owned(),
            FailedStep::RateLimited => {
                "wait for the next order; use the staging directory of the authority for tests".to_owned()
            }
            FailedStep::Challenge { answered_at } => format!(
                "let port 80 of the host name lead to {answered_at} of this edge, for IPv4 and, with an AAAA record, for IPv6"
            ),
            FailedStep::Certificate => "ask the authority: the host names of [tls] acme were ordered".to_owned(),
            FailedStep::Locked => {
                "see why their orders take so long: `status` of each edge with this data directory; without one, end the process that \
                 holds the file"
                    .to_owned()
            }
            FailedStep::Files { folder } => {
                format!("make {} readable and writable for the user of the edge", folder.display())
            }
        }
    }
}

/// Failed order of a certificate, with the data for its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderFailure {
    pub(crate) step: FailedStep,
    /// Last requested URL: of the authority, or of the edge's challenge listener if the challenge failed. Empty if
    /// there was no request.
    pub(crate) asked: String,
    /// Description of the cause.
    pub(crate) cause: String,
    /// Retry-After of the authority.
    pub(crate) retry_after: Option<Duration>,
}

impl OrderFailure {
    /// Returns the cause of the failure, with the requested URL if there is one.
    pub(crate) fn evidence(&self) -> String {
        if self.asked.is_empty() { self.cause.clone() } else { format!("asked {}: {}", self.asked, self.cause) }
    }
}

/// Failed order with its host name, the expiry of the certificate in force and the time of the next order.
#[derive(Debug, Clone, PartialEq, Eq)]
struct FailedRenewal {
    domain: String,
    failure: OrderFailure,
    /// Expiry of the certificate in force; `None` if the listener uses a temporary one.
    valid_until: Option<Timestamp>,
    next_order: Timestamp,
}

/// State of the ACME certificate for `status`.
#[derive(Debug, Default)]
pub struct AcmeReport(Mutex<Option<FailedRenewal>>);

impl AcmeReport {
    /// Records a failed order for a certificate of this host name.
    pub(crate) fn note_failure(
        &self,
        domain: &str,
        failure: OrderFailure,
        valid_until: Option<Timestamp>,
        next_order: Timestamp,
    ) {
        *self.lock() = Some(FailedRenewal { domain: domain.to_owned(), failure, valid_until, next_order });
    }

    /// Records that a certificate was obtained, which removes the problem.
    pub(crate) fn note_success(&self) {
        *self.lock() = None;
    }

    /// Returns the problem if the last order failed; it is more harmful once the edge has no valid certificate, because
    /// peers then reject TLS.
    pub(crate) fn problem(&self, now: Timestamp) -> Option<Problem> {
        let FailedRenewal { domain, failure, valid_until, next_order } = self.lock().clone()?;
        let is_valid = valid_until.is_some_and(|end| end > now);
        let in_force = match valid_until {
            Some(end) if is_valid => format!("the current certificate is valid until {}", date(end)),
            Some(end) => format!("the current certificate expired on {}", date(end)),
            None => "the listener shows a temporary self-signed certificate".to_owned(),
        };
        let shown = format!("{}; {in_force}; next order at {}", failure.evidence(), date(next_order));
        let what = EdgeProblem::Acme { domain, step: failure.step.words(), is_valid };
        let problem = Problem::of(ProblemKind::Edge(what)).shown_by(shown).fixed_by(failure.step.fix());
        Some(if is_valid { problem } else { problem.urgent(Urgency::Unmet) })
    }

    fn lock(&self) -> MutexGuard<'_, Option<FailedRenewal>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn date(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use trunkgate_system::problem::Harm;

    fn failure(step: FailedStep) -> OrderFailure {
        let asked = "http://sbc.example.com/.well-known/acme-challenge/token".to_owned();
        OrderFailure { step, asked, cause: "connection refused".to_owned(), retry_after: None }
    }

    #[test]
    fn a_problem_has_the_address_that_was_asked_and_the_end_of_the_old_certificate() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let report = AcmeReport::default();
        assert_eq!(report.problem(at("2026-11-28T12:00:00Z")), None);
        let step = FailedStep::Challenge { answered_at: "0.0.0.0:80".parse().unwrap() };
        let (end, next) = (at("2026-12-20T08:30:00Z"), at("2026-11-28T12:05:00Z"));
        report.note_failure("sbc.example.com", failure(step), Some(end), next);
        let problem = report.problem(at("2026-11-28T12:00:00Z")).unwrap();
        assert_eq!(problem.harm, Harm::Configuration);
        assert_eq!(
            problem.to_string(),
            "ACME: no new certificate for sbc.example.com: the challenge failed: asked \
             http://sbc.example.com/.well-known/acme-challenge/token: connection refused; the current certificate is valid until \
             2026-12-20 08:30 UTC; next order at 2026-11-28 12:05 UTC; try: let port 80 of the host name lead to 0.0.0.0:80 of this \
             edge, for IPv4 and, with an AAAA record, for IPv6"
        );
        let late = report.problem(at("2026-12-21T00:00:00Z")).unwrap();
        assert_eq!(late.harm, Harm::Calls);
        assert!(late.evidence.unwrap().contains("the current certificate expired on 2026-12-20 08:30 UTC"));
        report.note_failure("sbc.example.com", failure(FailedStep::RateLimited), None, next);
        let first = report.problem(at("2026-11-28T12:00:00Z")).unwrap();
        assert!(first.evidence.unwrap().contains("a temporary self-signed certificate"));
        report.note_failure("sbc.example.com", failure(FailedStep::Locked), None, next);
        let waiting = report.problem(at("2026-11-28T12:00:00Z")).unwrap().to_string();
        assert!(
            waiting.contains("for sbc.example.com: orders of other edges with this data directory took too long"),
            "{waiting}"
        );
        assert!(!waiting.contains("readable and writable"), "{waiting}");
        report.note_success();
        assert_eq!(report.problem(at("2026-11-28T12:00:00Z")), None);
    }
}
