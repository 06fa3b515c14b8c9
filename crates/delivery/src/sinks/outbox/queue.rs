//! Queue of the outbox: order and times of waiting rows. The rows of one line are sent one after the other. Hosts take
//! turns, each with a limited number of concurrent attempts: few until the host has responded once, and fewer after an
//! attempt without a response. Within a host its receivers take turns, first attempts separately from retries. If the
//! queue is full, a new row displaces one of the greatest share ([`Shares`]).

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shares::{Path, Shares, path};
use super::{Head, Pace, Refusal, Row};
use trunkgate_system::limits::{OUTBOX_HELD_BYTES, OUTBOX_HELD_MOST_BYTES};
use trunkgate_system::turns::{HostTurn, HostTurns};

/// Id of a row in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

impl Id {
    /// Creates an id for a test.
    #[cfg(test)]
    pub(super) const fn new(number: u64) -> Id {
        Id(number)
    }
}

/// Row to be added to the queue, with its times.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) head: Head,
    pub(super) expires: Instant,
    /// Time of the first attempt; `None` if it is due at once.
    pub(super) rests: Option<Instant>,
    /// Row with its body; `None` if the body is only in the store.
    pub(super) whole: Option<Arc<Row>>,
}

/// Row that waits or has an attempt in progress.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) key: Arc<str>,
    line: Arc<str>,
    host: Arc<str>,
    /// Share and place of the row, which take turns within the host.
    receiver: Arc<str>,
    /// Party, host and port of the row in the shares of the queue.
    share: Path,
    bytes: usize,
    expires: Instant,
    place: Place,
    /// Time of the first attempt; `None` if it is due at once.
    rests: Option<Instant>,
    /// Number of attempts, including the current one.
    pub(super) attempts: u32,
    pub(super) is_stored: bool,
    /// Row with its body; `None` if the body is only in the store.
    pub(super) whole: Option<Arc<Row>>,
}

/// State of a row in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind other rows of its line.
    Behind,
    /// Ready to be sent, with its turn at the host.
    Ready(HostTurn),
    /// Not sent before this time, at which the next attempt is due.
    Resting(Instant),
    UnderWay,
}

impl Waiting {
    /// Returns the party for which the row is sent.
    pub(super) fn share(&self) -> &Arc<str> {
        &self.share[0]
    }

    /// Returns the time until the row's next attempt; `None` if the row does not rest.
    pub(super) fn rests_for(&self, now: Instant) -> Option<Duration> {
        match self.place {
            Place::Resting(at) => Some(at.saturating_duration_since(now)),
            Place::Behind | Place::Ready(_) | Place::UnderWay => None,
        }
    }
}

#[derive(Debug, Default)]
struct Host {
    /// Rows that rest because their last attempt got no response.
    unheard: BTreeSet<Id>,
    waiting: usize,
    /// Whether the last attempt got a response; `None` before the end of the first attempt.
    answers: Option<bool>,
}

impl Host {
    /// Returns the maximum number of concurrent attempts to this host.
    fn most(&self, pace: &Pace) -> usize {
        match self.answers {
            None => pace.of_unknown,
            Some(true) => pace.of_host,
            Some(false) => pace.of_failing,
        }
    }
}

/// Queue of rows that wait or have an attempt in progress.
#[derive(Debug)]
pub(super) struct Queue {
    pace: Pace,
    rows: HashMap<Id, Waiting>,
    keys: HashMap<Arc<str>, Id>,
    lines: HashMap<Arc<str>, VecDeque<Id>>,
    hosts: HashMap<Arc<str>, Host>,
    /// First rows of their lines that are ready to be sent. A line has the rows with one order of delivery.
    turns: HostTurns<Id>,
    /// First rows of their lines that wait for the time of their next attempt.
    resting: BTreeSet<(Instant, Id)>,
    /// Rows without an attempt in progress, by share.
    shares: Shares,
    bytes: usize,
    /// Total size of the rows with a body in memory, in bytes.
    held: usize,
    last: u64,
}

/// Result of adding a row to the queue.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// Id of the row; `None` if the queue is full.
    pub(super) id: Option<Id>,
    /// Rows of greater shares that were displaced.
    pub(super) dropped: Vec<Waiting>,
}

/// State of a row after a failed attempt.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Rests,
    GivenUp,
}

impl Queue {
    pub(super) fn new(pace: Pace) -> Queue {
        Queue {
            pace,
            rows: HashMap::new(),
            keys: HashMap::new(),
            lines: HashMap::new(),
            hosts: HashMap::new(),
            turns: HostTurns::new(pace.at_once),
            resting: BTreeSet::new(),
            shares: Shares::default(),
            bytes: 0,
            held: 0,
            last: 0,
        }
    }

    /// Adds a row at the end of its line. While the queue is full, the newest row of the greatest share is displaced;
    /// if that would be the new row, it is not added.
    pub(super) fn add(&mut self, coming: Coming) -> Added {
        let mut added = Added::default();
        let share = path(&coming.head.share.as_str().into(), &coming.head.host);
        while self.is_full(&coming) {
            let surplus = self.shares.surplus(&share, coming.head.bytes).filter(|id| self.makes_room(*id, &coming));
            let Some(waiting) = surplus.and_then(|id| self.remove(id)) else { return added };
            added.dropped.push(waiting);
        }
        added.id = Some(self.enter(coming, share));
        added
    }

    fn is_full(&self, coming: &Coming) -> bool {
        self.rows.len() >= self.pace.rows
            || self.bytes + coming.head.bytes > self.pace.bytes
            || self.has_no_memory(coming)
    }

    /// Returns whether a row with a body exceeds the memory limit for bodies.
    fn has_no_memory(&self, coming: &Coming) -> bool {
        coming.whole.is_some() && self.held + coming.head.bytes > OUTBOX_HELD_MOST_BYTES
    }

    /// Returns whether removing the row `id` would make room for `coming`.
    fn makes_room(&self, id: Id, coming: &Coming) -> bool {
        let is_held = self.rows.get(&id).is_some_and(|waiting| waiting.whole.is_some());
        is_held || !self.has_no_memory(coming)
    }

    fn enter(&mut self, coming: Coming, share: Path) -> Id {
        let Coming { head: Head { key, line, host, place, share: party, attempts, bytes, .. }, expires, rests, whole } =
            coming;
        let receiver = format!("{party} {place}").into();
        self.last += 1;
        let (id, key, host): (_, Arc<str>, Arc<str>) = (Id(self.last), key.into(), host.into());
        let line = if *line == *key { Arc::clone(&key) } else { line.into() };
        self.keys.insert(Arc::clone(&key), id);
        self.bytes += bytes;
        self.held += if whole.is_some() { bytes } else { 0 };
        self.shares.put(&share, id, bytes);
        self.hosts.entry(Arc::clone(&host)).or_default().waiting += 1;
        let of_line = self.lines.entry(Arc::clone(&line)).or_default();
        of_line.push_back(id);
        let is_first = of_line.len() == 1;
        let is_stored = whole.is_none();
        let waiting = Waiting {
            key,
            line,
            host,
            receiver,
            share,
            bytes,
            expires,
            place: Place::Behind,
            rests,
            attempts,
            is_stored,
            whole,
        };
        self.rows.insert(id, waiting);
        if is_first {
            self.begin_line(id);
        }
        id
    }

    /// Returns the number of rows in the queue.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Returns the number of rows that are not in the store.
    pub(super) fn unstored(&self) -> usize {
        self.rows.values().filter(|waiting| !waiting.is_stored).count()
    }

    /// Returns whether the queue has a row with this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// Advances the first attempt of a row to `at` if that is earlier. Rows after a failed attempt are not changed.
    pub(super) fn hasten(&mut self, key: &str, at: Instant) {
        let Some((id, waiting)) = self.keys.get(key).and_then(|id| Some((*id, self.rows.get_mut(id)?))) else { return };
        if waiting.attempts > 0 || waiting.rests.is_none_or(|rests| rests <= at) {
            return;
        }
        waiting.rests = Some(at);
        if matches!(waiting.place, Place::Resting(_)) {
            self.rest(id, at);
        }
    }

    /// Makes a row rest until a time.
    fn rest(&mut self, id: Id, at: Instant) {
        self.leave_place(id);
        if let Some(waiting) = self.rows.get_mut(&id) {
            waiting.place = Place::Resting(at);
            self.resting.insert((at, id));
        }
    }

    /// Changes the limits; rows beyond the new limits stay in the queue.
    pub(super) fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Makes all resting rows ready, and forgets their failed attempts.
    pub(super) fn end_pauses(&mut self) {
        while let Some((_, id)) = self.resting.first().copied() {
            if let Some(waiting) = self.rows.get_mut(&id) {
                waiting.attempts = 0;
            }
            self.make_ready(id);
        }
    }

    /// Makes the row that is first in its line ready, or lets it rest until its first attempt is due.
    fn begin_line(&mut self, id: Id) {
        match self.rows.get(&id).and_then(|waiting| waiting.rests) {
            Some(at) => self.rest(id, at),
            None => self.make_ready(id),
        }
    }

    pub(super) fn get(&self, id: Id) -> Option<&Waiting> {
        self.rows.get(&id)
    }

    /// Marks a row as stored.
    pub(super) fn stored(&mut self, id: Id) {
        if let Some(waiting) = self.rows.get_mut(&id) {
            waiting.is_stored = true;
            self.relieve(id);
        }
    }

    /// Drops the body of a stored row from memory if the bodies in memory exceed [`OUTBOX_HELD_BYTES`].
    fn relieve(&mut self, id: Id) {
        let Some(waiting) = self.rows.get_mut(&id) else { return };
        if waiting.is_stored && self.held > OUTBOX_HELD_BYTES && waiting.whole.take().is_some() {
            self.held -= waiting.bytes;
        }
    }

    /// Returns the next row to be sent and marks its attempt as in progress; `None` if no row may be sent now.
    pub(super) fn next(&mut self, now: Instant) -> Option<Id> {
        while let Some((_, id)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.make_ready(id);
        }
        let id = self.turns.next_turn()?;
        if let Some(waiting) = self.rows.get_mut(&id) {
            waiting.attempts = waiting.attempts.saturating_add(1);
            waiting.place = Place::UnderWay;
            self.shares.take(&waiting.share, id, waiting.bytes);
        }
        Some(id)
    }

    /// Returns the time at which the first resting row becomes ready.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// Removes a row after a successful attempt.
    pub(super) fn delivered(&mut self, id: Id) -> Option<Waiting> {
        self.came_back(id, true);
        self.remove(id)
    }

    /// Decides on the next attempt of a row after a failed one; `random` varies the pause.
    pub(super) fn failed(&mut self, now: Instant, id: Id, refusal: &Refusal, random: u32) -> Fate {
        let Refusal { is_heard, is_final, later, latest, .. } = *refusal;
        self.came_back(id, is_heard);
        let Some(waiting) = self.rows.get_mut(&id) else { return Fate::GivenUp };
        if is_final || now >= waiting.expires {
            return Fate::GivenUp;
        }
        let pause = self.pace.pauses.pause(waiting.attempts, random).max(later).min(latest);
        let at = (now + pause).min(waiting.expires);
        waiting.place = Place::Resting(at);
        self.resting.insert((at, id));
        if let Some(host) = self.hosts.get_mut(&waiting.host).filter(|_| !is_heard) {
            host.unheard.insert(id);
        }
        self.shares.put(&waiting.share, id, waiting.bytes);
        self.shares.heard(&waiting.share, is_heard);
        self.relieve(id);
        Fate::Rests
    }

    /// Removes a row; the next row of its line then becomes ready or rests.
    pub(super) fn remove(&mut self, id: Id) -> Option<Waiting> {
        self.leave_place(id);
        let waiting = self.rows.remove(&id)?;
        self.shares.take(&waiting.share, id, waiting.bytes);
        self.keys.remove(&waiting.key);
        self.bytes -= waiting.bytes;
        self.held -= if waiting.whole.is_some() { waiting.bytes } else { 0 };
        let next = self.lines.get_mut(&waiting.line).and_then(|line| {
            match (line.front(), line.back()) {
                (Some(first), _) if *first == id => _ = line.pop_front(),
                (_, Some(last)) if *last == id => _ = line.pop_back(),
                _ => line.retain(|other| *other != id),
            }
            line.front().copied()
        });
        if let Some(host) = self.hosts.get_mut(&waiting.host) {
            host.waiting -= 1;
            if host.waiting == 0 {
                self.hosts.remove(&waiting.host);
            }
        }
        match next {
            // Unless the removed row was the first one, the first row already has its state.
            Some(next) if self.rows.get(&next).is_some_and(|next| next.place == Place::Behind) => {
                self.begin_line(next);
            }
            Some(_) => {}
            None => drop(self.lines.remove(&waiting.line)),
        }
        Some(waiting)
    }

    /// Removes a row from the set of ready or of resting rows, whichever contains it.
    fn leave_place(&mut self, id: Id) {
        let Some(waiting) = self.rows.get_mut(&id) else { return };
        match waiting.place {
            Place::Ready(turn) => self.turns.take_back(&waiting.host, turn),
            Place::Resting(at) => {
                self.resting.remove(&(at, id));
                if let Some(host) = self.hosts.get_mut(&waiting.host) {
                    host.unheard.remove(&id);
                }
            }
            Place::Behind | Place::UnderWay => {}
        }
    }

    fn make_ready(&mut self, id: Id) {
        self.leave_place(id);
        let Some(waiting) = self.rows.get_mut(&id) else { return };
        let most = self.hosts.get(&waiting.host).map_or(self.pace.of_unknown, |host| host.most(&self.pace));
        let receiver = (Arc::clone(&waiting.receiver), waiting.attempts > 0);
        waiting.place = Place::Ready(self.turns.put(&waiting.host, most, &receiver, id));
    }

    /// Records the end of an attempt. If a host responds after a failure, its rows that rest for lack of a response
    /// become ready.
    fn came_back(&mut self, id: Id, is_heard: bool) {
        let Some(waiting) = self.rows.get(&id) else { return };
        let name = Arc::clone(&waiting.host);
        self.shares.heard(&waiting.share, is_heard);
        let Some(host) = self.hosts.get_mut(&name) else { return };
        let recovers = host.answers.replace(is_heard) == Some(false) && is_heard;
        let most = host.most(&self.pace);
        if recovers {
            let woken = std::mem::take(&mut host.unheard);
            woken.into_iter().for_each(|id| self.make_ready(id));
        }
        self.turns.over(&name, most);
    }
}

#[cfg(test)]
mod tests;
