//! Queues of INVITEs, one for each trunk.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use rustc_hash::FxHashMap;
use trunkgate_sip::SipPartyId;

use super::{QueuedMessage, pop};

/// Queued INVITEs by trunk, served in turn, so that a flood of one trunk delays no other trunk.
#[derive(Debug, Default)]
pub(super) struct TrunkQueues {
    pub(super) lines: FxHashMap<SipPartyId, TrunkQueue>,
    /// Trunks with waiting INVITEs, the next one first.
    pub(super) turns: VecDeque<SipPartyId>,
    /// Arrival time of the first message of each trunk.
    pub(super) fronts: BTreeSet<(Instant, SipPartyId)>,
    pub(super) len: usize,
}

/// The waiting INVITEs of one trunk.
#[derive(Debug, Default)]
pub(super) struct TrunkQueue {
    waiting: VecDeque<QueuedMessage>,
    bytes: usize,
}

impl TrunkQueues {
    pub(super) fn push(&mut self, origin: SipPartyId, waiting: QueuedMessage) {
        let line = self.lines.entry(origin).or_default();
        if line.waiting.is_empty() {
            self.turns.push_back(origin);
            self.fronts.insert((waiting.came, origin));
        }
        line.bytes += waiting.bytes();
        line.waiting.push_back(waiting);
        self.len += 1;
    }

    /// Returns the message that is served next; `None` if no message waits.
    pub(super) fn first(&self) -> Option<&QueuedMessage> {
        self.lines.get(self.turns.front()?)?.waiting.front()
    }

    /// Returns the arrival time of the message that has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.fronts.first().map(|(came, _)| *came)
    }

    /// Removes and returns the next message, and moves its trunk to the end of the turns.
    pub(super) fn pop(&mut self) -> Option<QueuedMessage> {
        let origin = pop(&mut self.turns)?;
        let line = self.lines.get_mut(&origin)?;
        let first = pop(&mut line.waiting)?;
        self.fronts.remove(&(first.came, origin));
        line.bytes -= first.bytes();
        self.len -= 1;
        match line.waiting.front() {
            Some(next) => {
                self.fronts.insert((next.came, origin));
                self.turns.push_back(origin);
            }
            None => drop(self.lines.remove(&origin)),
        }
        Some(first)
    }

    /// Removes the last message of the trunk with the most queued bytes, if they exceed those of `origin` plus `bytes`.
    /// Returns that message.
    pub(super) fn push_out(&mut self, origin: SipPartyId, bytes: usize) -> Option<QueuedMessage> {
        let own = self.lines.get(&origin).map_or(0, |line| line.bytes) + bytes;
        let (_, heaviest) = self.lines.iter_mut().max_by_key(|(party, line)| (line.bytes, **party))?;
        // The first message of a trunk is kept, so that each trunk has its turn.
        if heaviest.bytes <= own || heaviest.waiting.len() < 2 {
            return None;
        }
        let last = heaviest.waiting.pop_back()?;
        heaviest.bytes -= last.bytes();
        self.len -= 1;
        Some(last)
    }
}
