//! Names of peers that DNS no longer knows, or that no DNS server answers for, while the previous addresses are still
//! used.

use std::sync::{Mutex, PoisonError};

use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, DestinationServer};

/// Number of consecutive unanswered lookups that counts as an outage of DNS.
const UNANSWERED: u32 = 2;

/// Name of a peer with the servers of an earlier lookup, because later lookups failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleName {
    /// Destination with the name.
    pub destination: Destination,
    /// Servers of the last successful lookup.
    pub servers: Vec<DestinationServer>,
    /// True if DNS reports that the name has no address; false if no DNS server answered.
    pub is_gone: bool,
}

/// Hosts without any address, with the failure of their lookup.
type UnresolvedHosts = Vec<(String, NameFault)>;

/// Stale names, and names that have never been resolved.
#[derive(Debug, Default)]
pub struct StaleNames(Mutex<(Vec<StaleName>, UnresolvedHosts)>);

impl StaleNames {
    /// Replaces the names; `unanswered` are hosts without any address, with the failure of their lookup.
    pub(crate) fn set(&self, names: Vec<StaleName>, unanswered: UnresolvedHosts) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (names, unanswered);
    }

    /// Returns the stale names, sorted by host.
    pub fn all(&self) -> Vec<StaleName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Returns the hosts without any address, with the failure of their lookup.
    pub fn unanswered(&self) -> UnresolvedHosts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Failed lookups of a name since the last success.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct LookupFailures {
    /// True if the last answer was that the name has no address.
    is_gone: bool,
    unanswered: u32,
    /// Failure of the last lookup.
    fault: Option<NameFault>,
}

impl LookupFailures {
    /// Records a failed lookup.
    pub(crate) fn note(&mut self, fault: NameFault) {
        let is_answered = fault == NameFault::NotFound;
        self.fault = Some(fault);
        self.unanswered = if is_answered { 0 } else { self.unanswered.saturating_add(1) };
        self.is_gone = is_answered || (self.is_gone && self.unanswered < UNANSWERED);
    }

    /// Returns the reason why the name has no address. A negative answer takes precedence until DNS has failed to
    /// answer several times in a row.
    pub(crate) fn fault(self) -> NameFault {
        if self.is_gone { NameFault::NotFound } else { self.fault.unwrap_or(NameFault::NotFound) }
    }

    /// Returns the name if it is stale: its servers are of an earlier lookup, and DNS has since answered that there are
    /// none, or has not answered several times.
    pub(crate) fn stale(self, destination: &Destination, servers: &[DestinationServer]) -> Option<StaleName> {
        let is_stale = !servers.is_empty() && (self.is_gone || self.unanswered >= UNANSWERED);
        is_stale.then(|| StaleName {
            destination: destination.clone(),
            servers: servers.to_vec(),
            is_gone: self.is_gone,
        })
    }
}

#[cfg(test)]
mod tests {
    use trunkgate_route::Transport;

    use super::*;

    #[test]
    fn one_answer_without_an_address_is_enough_and_silence_has_to_last() {
        let destination =
            Destination { host: "pbx.test".into(), port: None, transport: Transport::Udp, is_fixed: false };
        let addresses = vec!["192.0.2.1".parse().unwrap()];
        let servers =
            [DestinationServer { transport: Transport::Udp, port: 5060, tier: 0, priority: 0, weight: 0, addresses }];
        let mut missed = LookupFailures::default();
        assert_eq!(missed.stale(&destination, &servers), None);
        missed.note(NameFault::Unanswered);
        assert_eq!(missed.stale(&destination, &servers), None);
        assert_eq!(missed.fault(), NameFault::Unanswered);
        missed.note(NameFault::Unanswered);
        assert_eq!(missed.stale(&destination, &servers).map(|name| name.is_gone), Some(false));
        missed.note(NameFault::NotFound);
        assert_eq!(missed.stale(&destination, &servers).map(|name| name.is_gone), Some(true));
        assert_eq!(missed.stale(&destination, &[]), None, "its trunk is down, which is another problem");
        missed.note(NameFault::Unanswered);
        assert_eq!(
            missed.stale(&destination, &servers).map(|name| name.is_gone),
            Some(true),
            "one silence says nothing"
        );
        missed.note(NameFault::Unanswered);
        assert_eq!(missed.stale(&destination, &servers).map(|name| name.is_gone), Some(false));
    }
}
