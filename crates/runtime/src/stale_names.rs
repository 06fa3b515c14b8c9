//! Names of peers that DNS does not know any more, or that no DNS server answers for, while what was found before is still used.

use std::sync::{Mutex, PoisonError};

use trunkgate_route::locate::NameFault;
use trunkgate_route::{Destination, Server};

/// Failed look-ups in a row from which on silence of DNS is no chance.
const UNANSWERED: u32 = 2;

/// A name whose servers are those of an earlier look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaleName {
    /// The name.
    pub destination: Destination,
    /// What was found last.
    pub servers: Vec<Server>,
    /// Whether DNS says that it has no address; else no DNS server answered.
    pub is_gone: bool,
}

/// Hosts without an address whose look-up failed, and why.
type Unanswered = Vec<(String, NameFault)>;

/// All of them, and those that were never found as their look-up failed.
#[derive(Debug, Default)]
pub struct StaleNames(Mutex<(Vec<StaleName>, Unanswered)>);

impl StaleNames {
    /// Replaces them; `unanswered`: hosts without an address whose look-up failed, and why.
    pub(crate) fn set(&self, names: Vec<StaleName>, unanswered: Unanswered) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (names, unanswered);
    }

    /// Returns them, sorted by host.
    pub fn all(&self) -> Vec<StaleName> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Returns hosts without an address whose look-up failed, and why.
    pub fn unanswered(&self) -> Unanswered {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1.clone()
    }
}

/// Look-ups of a name that failed since it was found last.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Missed {
    /// Whether the last answer was that it has no address.
    is_gone: bool,
    unanswered: u32,
    /// Of the last one.
    fault: Option<NameFault>,
}

impl Missed {
    /// Notes a look-up that found nothing.
    pub(crate) fn note(&mut self, fault: NameFault) {
        let is_answered = fault == NameFault::NotFound;
        self.fault = Some(fault);
        self.unanswered = if is_answered { 0 } else { self.unanswered.saturating_add(1) };
        self.is_gone = is_answered || (self.is_gone && self.unanswered < UNANSWERED);
    }

    /// Returns why the name has no address, as far as that is known: one silence after an answer says nothing.
    pub(crate) fn fault(self) -> NameFault {
        if self.is_gone { NameFault::NotFound } else { self.fault.unwrap_or(NameFault::NotFound) }
    }

    /// Returns the name where it is stale; one answer is enough, silence is not.
    pub(crate) fn stale(self, destination: &Destination, servers: &[Server]) -> Option<StaleName> {
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
        let servers = [Server { transport: Transport::Udp, port: 5060, tier: 0, priority: 0, weight: 0, addresses }];
        let mut missed = Missed::default();
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
