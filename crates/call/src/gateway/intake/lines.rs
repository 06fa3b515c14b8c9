//! Where INVITEs wait: in a line for each trunk.

use std::collections::{BTreeSet, VecDeque};
use std::time::Instant;

use rustc_hash::FxHashMap;
use trunkgate_sip::Party;

use super::{Waiting, pop};

/// INVITEs by the trunk that they are of, which are served in turn: a flood of one trunk makes no other wait.
#[derive(Debug, Default)]
pub(super) struct Lines {
    pub(super) lines: FxHashMap<Party, Line>,
    /// Those that are not empty, the next one first.
    pub(super) turns: VecDeque<Party>,
    /// When the first message of each came.
    pub(super) fronts: BTreeSet<(Instant, Party)>,
    pub(super) len: usize,
}

/// The INVITEs of one trunk.
#[derive(Debug, Default)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Lines {
    pub(super) fn push(&mut self, origin: Party, waiting: Waiting) {
        let line = self.lines.entry(origin).or_default();
        if line.waiting.is_empty() {
            self.turns.push_back(origin);
            self.fronts.insert((waiting.came, origin));
        }
        line.bytes += waiting.bytes();
        line.waiting.push_back(waiting);
        self.len += 1;
    }

    /// The message that is next.
    pub(super) fn first(&self) -> Option<&Waiting> {
        self.lines.get(self.turns.front()?)?.waiting.front()
    }

    /// When the message came that has waited longest.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.fronts.first().map(|(came, _)| *came)
    }

    /// Takes the message that is next; its trunk is at the end of the turns then.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
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

    /// Takes the last message of the line with the most bytes, if these are more than those of `origin` with so many more.
    pub(super) fn push_out(&mut self, origin: Party, bytes: usize) -> Option<Waiting> {
        let own = self.lines.get(&origin).map_or(0, |line| line.bytes) + bytes;
        let (_, heaviest) = self.lines.iter_mut().max_by_key(|(party, line)| (line.bytes, **party))?;
        // The first of a line stays: its trunk has its turn.
        if heaviest.bytes <= own || heaviest.waiting.len() < 2 {
            return None;
        }
        let last = heaviest.waiting.pop_back()?;
        heaviest.bytes -= last.bytes();
        self.len -= 1;
        Some(last)
    }
}
