//! Failed inbound TLS handshakes: the count of the last hour and the latest one. Handshakes in which the edge's
//! certificate was rejected are also counted by listener, until the certificate changes; those of a trunk's address are
//! counted until one of them succeeds.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;
use trunkgate_call::last_hour::LastHour;

use trunkgate_system::certificates::CertificateRejection;
use trunkgate_system::connector::TlsFault;

/// Failed inbound TLS handshakes of all listeners.
#[derive(Debug, Default)]
pub struct TlsFaults(Mutex<FaultGroups>);

#[derive(Debug, Default)]
struct FaultGroups {
    /// All failed handshakes.
    all: FaultGroup,
    /// Failed handshakes of unknown sources that did not reject the edge's certificate.
    theirs: FaultGroup,
    /// Failed handshakes of trunks' addresses that did not reject the edge's certificate, by trunk.
    of_trunks: BTreeMap<Arc<str>, FaultGroup>,
    /// Handshakes in which the edge's certificate was rejected, by certificate.
    ours: BTreeMap<ListenerCertificate, FaultGroup>,
}

/// Certificate of the edge as used by a listener.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ListenerCertificate {
    /// Name of the listener.
    pub(crate) listener: String,
    /// Number that identifies the version of the certificate.
    pub(crate) certificate: u64,
}

#[derive(Debug, Default)]
struct FaultGroup {
    count: LastHour<1>,
    /// True if a trunk's address was among the sources.
    is_known: bool,
    last: Option<LastTlsFault>,
}

#[derive(Debug, Clone)]
struct LastTlsFault {
    at: Instant,
    listener: String,
    remote: IpAddr,
    why: String,
    rejected: Option<CertificateRejection>,
}

/// Failed handshakes in the form in which `status` shows them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TlsFaultsView {
    /// Number of failed handshakes in the last hour.
    pub handshakes: u64,
    /// Name of the listener of the last failed handshake.
    pub listener: String,
    /// Source address of the last failed handshake.
    pub last: IpAddr,
    /// Cause of the last failure.
    pub why: String,
    /// Time since the last failure, in seconds.
    pub seconds_ago: u64,
    /// True if a trunk's address was among the sources.
    #[serde(skip)]
    pub is_known: bool,
    /// Reason of the rejection if peers rejected the edge's certificate; otherwise `None`.
    #[serde(skip)]
    pub(crate) rejected: Option<CertificateRejection>,
}

impl FaultGroup {
    fn note(&mut self, last: LastTlsFault, is_known: bool) {
        self.count.count(last.at, [true]);
        self.is_known |= is_known;
        self.last = Some(last);
    }

    fn view(&self, now: Instant) -> Option<TlsFaultsView> {
        let [handshakes] = self.count.sums(now);
        let last = self.last.clone().filter(|_| handshakes > 0)?;
        Some(TlsFaultsView {
            handshakes,
            listener: last.listener,
            last: last.remote,
            why: last.why,
            seconds_ago: now.saturating_duration_since(last.at).as_secs(),
            is_known: self.is_known,
            rejected: last.rejected,
        })
    }
}

impl TlsFaults {
    fn lock(&self) -> MutexGuard<'_, FaultGroups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records a failed handshake; the trunk is the one of the remote address, if any.
    pub(super) fn note(
        &self,
        at: Instant,
        shown: ListenerCertificate,
        (remote, trunk): (IpAddr, Option<Arc<str>>),
        fault: &TlsFault,
    ) {
        let is_known = trunk.is_some();
        let (why, rejected) = (fault.what.clone(), fault.rejected);
        let last = LastTlsFault { at, listener: shown.listener.clone(), remote: remote.to_canonical(), why, rejected };
        let mut inner = self.lock();
        inner.all.note(last.clone(), is_known);
        let group = match (rejected, trunk) {
            (Some(_), _) => {
                inner.ours.retain(|_, group| group.view(at).is_some());
                inner.ours.entry(shown).or_default()
            }
            (None, Some(trunk)) => {
                inner.of_trunks.retain(|_, group| group.view(at).is_some());
                inner.of_trunks.entry(trunk).or_default()
            }
            (None, None) => &mut inner.theirs,
        };
        group.note(last, is_known);
    }

    /// Removes the failures of a trunk after a successful handshake from its address.
    pub(super) fn went_well(&self, trunk: &str) {
        self.lock().of_trunks.remove(trunk);
    }

    /// Returns all failed handshakes of the last hour; `None` if there were none.
    pub fn view(&self, now: Instant) -> Option<TlsFaultsView> {
        self.lock().all.view(now)
    }

    /// Returns the failed handshakes of unknown sources in the last hour that did not reject the edge's certificate;
    /// `None` if there were none.
    pub fn theirs(&self, now: Instant) -> Option<TlsFaultsView> {
        self.lock().theirs.view(now)
    }

    /// Returns the failed handshakes of trunks' addresses in the last hour by trunk, without trunks that have succeeded
    /// since.
    pub fn of_trunks(&self, now: Instant) -> Vec<(Arc<str>, TlsFaultsView)> {
        let inner = self.lock();
        inner.of_trunks.iter().filter_map(|(trunk, group)| Some((Arc::clone(trunk), group.view(now)?))).collect()
    }

    /// Returns the handshakes of the last hour in which peers rejected a certificate of the edge that is still in use,
    /// by certificate.
    pub(crate) fn ours(&self, now: Instant, is_shown: impl Fn(&ListenerCertificate) -> bool) -> Vec<TlsFaultsView> {
        let inner = self.lock();
        inner.ours.iter().filter(|(shown, _)| is_shown(shown)).filter_map(|(_, group)| group.view(now)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fault(why: &str, rejected: Option<CertificateRejection>) -> TlsFault {
        TlsFault { rejected, ..TlsFault::new(why) }
    }

    fn shown(certificate: u64) -> ListenerCertificate {
        ListenerCertificate { listener: "secure".to_owned(), certificate }
    }

    #[test]
    fn failures_are_shown_for_an_hour_with_the_latest() {
        let (faults, start) = (TlsFaults::default(), Instant::now());
        assert_eq!(faults.view(start), None);
        for n in 0..3 {
            let at = start + Duration::from_secs(n);
            let from = (IpAddr::from([192, 0, 2, 1]), Some("pbx".into()));
            faults.note(at, shown(1), from, &fault(&format!("why {n}"), None));
        }
        let view = faults.view(start + Duration::from_secs(10)).unwrap();
        assert_eq!((view.handshakes, view.why.as_str(), view.seconds_ago), (3, "why 2", 8));
        let [(trunk, of_trunk)] = &faults.of_trunks(start + Duration::from_secs(10))[..] else { panic!("{faults:?}") };
        assert_eq!((&**trunk, of_trunk.handshakes, faults.theirs(start)), ("pbx", 3, None));
        faults.went_well("pbx");
        assert!(faults.of_trunks(start + Duration::from_secs(10)).is_empty());
        assert_eq!(faults.view(start + Duration::from_secs(3_800)), None);
    }

    #[test]
    fn a_rejected_certificate_is_no_fault_of_others_until_it_is_replaced() {
        let (faults, now) = (TlsFaults::default(), Instant::now());
        let from = |n: u8, known: bool| (IpAddr::from([192, 0, 2, n]), known.then(|| "pbx".into()));
        let expired = fault("it has expired", Some(CertificateRejection::Expired));
        faults.note(now, shown(1), from(1, true), &expired);
        faults.note(now, shown(1), from(2, false), &fault("no common version", None));
        let ours = |certificate: u64| faults.ours(now, |seen| *seen == shown(certificate));
        let [seen] = &ours(1)[..] else { panic!("{faults:?}") };
        assert_eq!((seen.handshakes, seen.last, seen.is_known), (1, from(1, true).0, true));
        assert_eq!(seen.rejected, Some(CertificateRejection::Expired));
        let theirs = faults.theirs(now).map(|view| (view.handshakes, view.why));
        assert_eq!(theirs, Some((1, "no common version".to_owned())));
        assert_eq!(faults.view(now).map(|view| view.handshakes), Some(2));
        // The certificate was replaced, and a handshake started before fails afterwards.
        faults.note(now, shown(1), from(1, true), &expired);
        assert_eq!((ours(2).len(), faults.view(now).map(|view| view.handshakes)), (0, Some(3)));
    }
}
