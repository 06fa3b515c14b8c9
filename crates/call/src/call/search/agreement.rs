//! Agreement among the peers of a trunk that it is congested (`congested_on`). A 503 concerns one server and leads to
//! the next one (RFC 3263 §4.3); the trunk is congested only if all its servers agree.

use std::collections::VecDeque;

use crate::call::search::attempt::Candidate;

/// Returns whether a status code concerns one server, unlike 429, which concerns the whole trunk.
pub(crate) const fn is_of_one_server(code: u16) -> bool {
    matches!(code, 408 | 500..=599)
}

/// Congestion of a trunk, which ends the attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TrunkCongestion {
    /// Shortest Retry-After of the responses, in seconds.
    pub(crate) retry_after: Option<u32>,
}

/// Collects the responses of a trunk's peers within one attempt.
#[derive(Debug, Default)]
pub(crate) struct PeerAgreement {
    /// Peers that have sent a code of `congested_on`.
    congested: Vec<String>,
    /// True once a peer has failed in another way.
    is_broken: bool,
    /// Shortest Retry-After among the responses, in seconds.
    retry_after: Option<u32>,
}

impl PeerAgreement {
    /// Records that a peer failed in another way; the trunk is then not congested.
    pub(crate) fn broken(&mut self) {
        self.is_broken = true;
    }

    /// Records a peer's response with a code of `congested_on`, and moves the candidates of other peers to the front.
    /// Returns the trunk's congestion once all peers agree.
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
        // If several peers agree, one response of each peer suffices.
        let agree = others.is_empty() && (asked.is_empty() || self.congested.len() > 1);
        *left = others.into_iter().chain(asked).collect();
        (agree && !self.is_broken).then_some(TrunkCongestion { retry_after: self.retry_after })
    }

    fn has(&self, peer: &str) -> bool {
        self.congested.iter().any(|known| known == peer)
    }
}
