//! Whether the peers of a trunk agree that it has too many calls (`congested_on`). A 503 is the word of one server, and leads to the
//! next one (RFC 3263 §4.3); only the servers together speak for their trunk.

use std::collections::VecDeque;

use crate::call::search::attempt::Candidate;

/// Whether a code is about the server that sends it, and not about the whole trunk as 429 is.
pub(crate) const fn is_of_one_server(code: u16) -> bool {
    matches!(code, 408 | 500..=599)
}

/// The end of an attempt at a trunk that has too many calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrunkCongestion {
    /// Seconds of its Retry-After.
    pub(crate) retry_after: Option<u32>,
}

/// Collects the answers of a trunk's peers within one attempt.
#[derive(Debug, Default)]
pub(crate) struct PeerAgreement {
    /// Peers that have answered with a code of `congested_on`.
    congested: Vec<String>,
    /// Whether another one has failed otherwise.
    is_broken: bool,
    /// The shortest Retry-After among the answers.
    retry_after: Option<u32>,
}

impl PeerAgreement {
    /// Notes that a peer failed otherwise: the trunk's other peers are tried, and it is not congested.
    pub(crate) fn broken(&mut self) {
        self.is_broken = true;
    }

    /// Notes that a peer answered with a code of `congested_on`, and orders the candidates that are left: those of peers that have
    /// not answered so come first. Returns the trunk's congestion once all peers agree.
    pub(crate) fn add(
        &mut self,
        peer: &str,
        retry_after: Option<u32>,
        left: &mut VecDeque<Candidate>,
    ) -> Option<TrunkCongestion> {
        if !self.has(peer) {
            self.congested.push(peer.to_owned());
        }
        self.retry_after = self.retry_after.into_iter().chain(retry_after).min();
        let (asked, others): (VecDeque<Candidate>, VecDeque<Candidate>) =
            std::mem::take(left).into_iter().partition(|candidate| self.has(&candidate.peer));
        // One address speaks for its peer where several peers say the same.
        let agree = others.is_empty() && (asked.is_empty() || self.congested.len() > 1);
        *left = others.into_iter().chain(asked).collect();
        (agree && !self.is_broken).then_some(TrunkCongestion { retry_after: self.retry_after })
    }

    fn has(&self, peer: &str) -> bool {
        self.congested.iter().any(|known| known == peer)
    }
}
