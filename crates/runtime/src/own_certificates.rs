//! Problems of the edge's own certificates: expiry, and rejection by peers.

use std::path::PathBuf;

use jiff::Timestamp;

use crate::transport::{CertificateOwner, TlsFaultsView};
use trunkgate_system::limits;
use trunkgate_system::problem::kind::{EdgeProblem, ProblemKind};
use trunkgate_system::problem::{Problem, Urgency};
use trunkgate_system::text::number;

/// Name of a listener's certificate in metrics and messages.
pub(crate) const LISTENER: &str = "listener";

/// Part of a suggested fix: when a replaced certificate file takes effect.
const SOON: &str = "it is read again within seconds";

/// Certificate of the edge that has expired or is about to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExpiringCertificate {
    /// Owner of the certificate.
    pub(crate) owner: CertificateOwner,
    /// Path of the file; `None` for the listener's temporary self-signed certificate.
    file: Option<PathBuf>,
    /// True if ACME writes the file.
    is_issued: bool,
    expires: Timestamp,
    days: i64,
}

impl ExpiringCertificate {
    /// Returns a certificate that expires soon; `None` if it is valid for longer.
    pub(crate) fn of(owner: CertificateOwner, expires: Timestamp, now: Timestamp) -> Option<ExpiringCertificate> {
        let days = expires.duration_since(now).as_hours().div_euclid(24);
        (days < limits::CERTIFICATE_WARNING_DAYS).then_some(ExpiringCertificate {
            owner,
            file: None,
            is_issued: false,
            expires,
            days,
        })
    }

    /// Sets the path of the file.
    pub(crate) fn in_file(self, file: Option<PathBuf>) -> ExpiringCertificate {
        ExpiringCertificate { file, ..self }
    }

    /// Sets whether ACME writes the file.
    pub(crate) fn renewed_by_acme(self, is_issued: bool) -> ExpiringCertificate {
        ExpiringCertificate { is_issued, ..self }
    }

    pub(crate) fn has_expired(&self) -> bool {
        self.days < 0
    }

    /// Returns the kind of the problem about this certificate, with the owner and the expiry date.
    pub(crate) fn kind(&self) -> ProblemKind {
        let CertificateOwner { kind, name, .. } = &self.owner;
        ProblemKind::Edge(EdgeProblem::CertificateEnds {
            owner: kind,
            name: name.clone(),
            at: self.expires.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            file: self.file.as_ref().map(|file| file.display().to_string()),
            has_expired: self.has_expired(),
        })
    }

    /// Returns the problem about this certificate; `rejected` describes handshakes in which peers rejected it.
    pub(crate) fn problem(&self, rejected: Option<TlsFaultsView>) -> Problem {
        let left = match self.days {
            ..0 => "remote parties that verify it refuse TLS".to_owned(),
            0 => "less than a day left".to_owned(),
            days => format!("{} left", number(usize::try_from(days).unwrap_or_default(), "day")),
        };
        let is_met = rejected.is_some();
        let shown = match rejected {
            Some(seen) => format!("{left}; {}", latest(&seen)),
            None if self.has_expired() => format!("{left}; no handshake has failed for it in the last hour"),
            None => left,
        };
        let fix = match self.is_issued {
            true => {
                "fix what prevents ACME from getting a new one: `trunkgate status` lists the cause as a problem of its own".to_owned()
            }
            false => replace(self.file.as_ref()),
        };
        let problem = Problem::of(self.kind()).shown_by(shown).fixed_by(fix);
        if self.has_expired() && !is_met { problem.urgent(Urgency::Unmet) } else { problem }
    }
}

/// Returns the problem of a listener with a current certificate that peers reject.
pub(crate) fn rejected_certificate(file: Option<PathBuf>, seen: &TlsFaultsView) -> Problem {
    let what = EdgeProblem::CertificateRejected {
        listener: seen.listener.clone(),
        file: file.map(|file| file.display().to_string()),
        // Without a trunk's machine among them it may be a scanner.
        is_of_trunk: seen.is_known,
    };
    let fix = seen.rejected.map_or("replace the certificate", |rejected| rejected.fix());
    Problem::of(ProblemKind::Edge(what)).shown_by(latest(seen)).fixed_by(format!("{fix}; {SOON}"))
}

fn replace(file: Option<&PathBuf>) -> String {
    match file {
        Some(file) => format!("renew it and replace {}; {SOON}", file.display()),
        None => "restart the edge: it makes a new one".to_owned(),
    }
}

fn latest(seen: &TlsFaultsView) -> String {
    let TlsFaultsView { handshakes, last, why, seconds_ago, .. } = seen;
    let handshakes = number(usize::try_from(*handshakes).unwrap_or(usize::MAX), "failed handshake");
    format!("{handshakes} in the last hour, the latest from {last} {seconds_ago} s ago: {why}")
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use trunkgate_system::certificates::CertificateRejection;
    use trunkgate_system::problem::Harm;

    fn seen(is_known: bool) -> TlsFaultsView {
        TlsFaultsView {
            handshakes: 3,
            listener: "secure".to_owned(),
            last: IpAddr::from([192, 0, 2, 1]),
            why: "the remote party rejected our certificate".to_owned(),
            seconds_ago: 4,
            is_known,
            rejected: Some(CertificateRejection::Issuer),
        }
    }

    #[test]
    fn an_end_is_told_with_its_file_and_what_comes_of_it() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        let ending = |at: &str| {
            let ending = ExpiringCertificate::of(
                CertificateOwner { kind: LISTENER, name: "secure".to_owned(), at: 0 },
                at.parse().unwrap(),
                now,
            )?;
            Some(ending.in_file(Some("/etc/edge.pem".into())))
        };
        let expired = ending("2026-03-01T08:30:00Z").unwrap().problem(Some(seen(true)));
        assert_eq!(expired.harm, Harm::Calls);
        assert_eq!(
            expired.to_string(),
            "certificate of listener secure expired on 2026-03-01 08:30 UTC (/etc/edge.pem): remote parties that verify it refuse TLS; \
             3 failed handshakes in the last hour, the latest from 192.0.2.1 4 s ago: the remote party rejected our certificate; \
             try: renew it and replace /etc/edge.pem; it is read again within seconds"
        );
        let soon = ending("2026-03-03T13:00:00Z").unwrap().problem(None);
        assert_eq!((soon.harm, soon.evidence.as_deref()), (Harm::Configuration, Some("1 day left")));
        assert!(soon.headline.starts_with("certificate of listener secure expires on "), "{soon:?}");
        let today = ending("2026-03-02T20:00:00Z").unwrap().problem(None);
        assert_eq!(today.evidence.as_deref(), Some("less than a day left"));
        assert_eq!(ending("2027-03-03T13:00:00Z"), None);
        let issued = ending("2026-03-01T08:30:00Z").unwrap().renewed_by_acme(true).problem(None);
        assert!(issued.fix.unwrap().starts_with("fix what prevents ACME from getting a new one"));
    }

    #[test]
    fn a_rejected_certificate_harms_calls_where_a_trunk_rejects_it() {
        let problem = rejected_certificate(Some("/etc/edge.pem".into()), &seen(true));
        assert_eq!(problem.harm, Harm::Calls);
        assert_eq!(problem.headline, "TLS to listener secure fails: our certificate is rejected (/etc/edge.pem)");
        assert!(problem.fix.unwrap().contains("CA that the peer trusts"));
        assert_eq!(rejected_certificate(None, &seen(false)).harm, Harm::Configuration);
    }
}
