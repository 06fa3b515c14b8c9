//! Call queues: queued callers, parties that have dialled a queue (agents), and connections between the two.
//!
//! The caller that has waited longest is connected with the first party that has dialled the queue. Both are
//! connected by a mixer with two seats, as in a conference. Effects of a change are queued here until they are
//! polled: commands to the mixers, and events for calls.

mod spec;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use trunkgate_conference::{ConferenceId, NodeCommand, NodeEvent, ParticipantId};
use trunkgate_story::view::QueueTotals;

use crate::limits::{QUEUE_NAME_CHARS, QUEUE_REJOIN, QUEUE_SIZE, QUEUE_SIZE_MOST, QUEUES};
use crate::lookups::key::CallKey;

pub use spec::{
    KeptQueue, QueueEffect, QueueEntry, QueueEvent, QueuePosition, QueueRefusal, QueueReport, QueueWhisper, QueuedCall,
};

/// Lowest mixer id of connections and seats of queues; conferences use lower ids.
const FIRST: u64 = 1 << 63;

/// Id of a queue; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueueId(u64);

/// Id of a connection between a caller and the party that has taken it; never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PairId(u64);

/// Position in a queue: time of arrival, and a number that orders simultaneous arrivals.
type QueueRank = (Instant, u64);

/// A queue of callers and of parties that have dialled it.
#[derive(Debug)]
struct CallQueue {
    kept: KeptQueue,
    waiting: BTreeMap<QueueRank, Waiter>,
    diallers: BTreeMap<u64, Dialler>,
    /// Callers that are taken but not connected yet.
    taken: usize,
    /// Time of the last use.
    used: Instant,
}

/// A call with which another is to be reconnected after a restart, and the time until which it waits for that call
/// only.
#[derive(Debug, Clone)]
struct RejoinPartner {
    with: String,
    until: Instant,
}

/// A caller that waits in a queue.
#[derive(Debug, Clone)]
struct Waiter {
    key: CallKey,
    call_sid: String,
    date: SystemTime,
    rejoins: Option<RejoinPartner>,
}

/// A party that has dialled a queue.
#[derive(Debug, Clone)]
struct Dialler {
    key: CallKey,
    call_sid: String,
    prelude: Option<QueueWhisper>,
    rejoins: Option<RejoinPartner>,
}

/// A caller, and the party that has taken it.
#[derive(Debug)]
struct QueuePair {
    queue: QueueId,
    /// SID of the queue, which may be deleted meanwhile.
    sid: String,
    rank: QueueRank,
    waiter: Waiter,
    number: u64,
    dialler: Dialler,
    taken: Instant,
    is_connected: bool,
}

/// State of a call in the queues.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum QueueCallState {
    Waits(QueueId, QueueRank),
    Dials(QueueId, u64),
    Taken(PairId),
    Takes(PairId),
}

/// All call queues of the edge, with waiting callers, parties that have dialled a queue, and connected pairs.
#[derive(Debug, Default)]
pub struct Queues {
    queues: BTreeMap<QueueId, CallQueue>,
    names: HashMap<String, QueueId>,
    places: BTreeMap<CallKey, QueueCallState>,
    pairs: BTreeMap<PairId, QueuePair>,
    next: u64,
    due: VecDeque<QueueEffect>,
    /// Times until which calls wait for the calls with which they were connected before a restart, in order.
    rejoining: VecDeque<(Instant, QueueId)>,
}

impl Queues {
    /// Returns the number of queues.
    pub fn len(&self) -> usize {
        self.queues.len()
    }

    /// Returns whether there are no queues.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// Returns the calls in queues or connections, for invariant checks.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> {
        self.places.keys().copied()
    }

    /// Adds a call to the queue with a name, which is created if needed; `sid` creates its SID.
    ///
    /// # Errors
    /// The call is already in a queue, the queue is full, or a new queue cannot be created: invalid name, or too many
    /// queues.
    pub fn enqueue(
        &mut self,
        now: Instant,
        (name, most): (&str, Option<u32>),
        sid: impl FnOnce() -> String,
        entering: QueueEntry,
    ) -> Result<(), QueueRefusal> {
        let QueueEntry { key, call_sid, date, waited, with } = entering;
        if self.places.contains_key(&key) {
            return Err(QueueRefusal::AlreadyIn);
        }
        let id = match self.names.get(name.trim()) {
            Some(id) => *id,
            None => self.make(now, (name, most), sid(), (date, false))?,
        };
        let number = self.number();
        let Some(queue) = self.queues.get_mut(&id) else { return Err(QueueRefusal::Unknown) };
        let most = most.unwrap_or(queue.kept.most).min(queue.kept.most);
        // Calls restored after a restart keep their positions.
        if waited.is_zero() && queue.waiting.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(QueueRefusal::Full);
        }
        let rank = (now.checked_sub(waited).unwrap_or(now), number);
        let date = date.checked_sub(waited).unwrap_or(date);
        let rejoins = rejoining(&mut self.rejoining, (now, id), with);
        queue.waiting.insert(rank, Waiter { key, call_sid, date, rejoins });
        queue.used = now;
        self.places.insert(key, QueueCallState::Waits(id, rank));
        self.settle(now, id);
        Ok(())
    }

    /// Queues a call that waits for the first caller of a queue.
    ///
    /// # Errors
    /// The queue does not exist, or the call is already in one.
    pub fn dial(
        &mut self,
        now: Instant,
        name: &str,
        prelude: Option<QueueWhisper>,
        entering: QueueEntry,
    ) -> Result<(), QueueRefusal> {
        let QueueEntry { key, call_sid, with, .. } = entering;
        if self.places.contains_key(&key) {
            return Err(QueueRefusal::AlreadyIn);
        }
        let id = *self.names.get(name.trim()).ok_or(QueueRefusal::Unknown)?;
        let number = self.number();
        let queue = self.queues.get_mut(&id).ok_or(QueueRefusal::Unknown)?;
        let rejoins = rejoining(&mut self.rejoining, (now, id), with);
        queue.diallers.insert(number, Dialler { key, call_sid, prelude, rejoins });
        queue.used = now;
        self.places.insert(key, QueueCallState::Dials(id, number));
        self.settle(now, id);
        Ok(())
    }

    /// Returns whether a call waits in a queue, or for a caller of one.
    pub fn is_waiting(&self, key: CallKey) -> bool {
        matches!(self.places.get(&key), Some(QueueCallState::Waits(..) | QueueCallState::Dials(..)))
    }

    /// Connects a queued caller with the party that has taken it, now that it has heard the document for it.
    pub fn ready(&mut self, key: CallKey) {
        if let Some(QueueCallState::Taken(id)) = self.places.get(&key) {
            self.connect(*id);
        }
    }

    /// Removes a call from its queue or connection.
    pub fn leave(&mut self, now: Instant, key: CallKey) {
        match self.places.remove(&key) {
            Some(QueueCallState::Waits(id, rank)) => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.waiting.remove(&rank);
                    queue.used = now;
                }
            }
            Some(QueueCallState::Dials(id, number)) => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.diallers.remove(&number);
                    queue.used = now;
                }
            }
            Some(QueueCallState::Taken(id)) => self.disconnect_pair(now, id, true),
            Some(QueueCallState::Takes(id)) => self.disconnect_pair(now, id, false),
            None => {}
        }
    }

    /// Handles an event of the mixers: a call that has lost its seat is disconnected.
    pub fn take(&mut self, now: Instant, event: NodeEvent) {
        let (NodeEvent::Refused(ParticipantId(seat)) | NodeEvent::Gone(ParticipantId(seat))) = event else { return };
        let Some(number) = seat.checked_sub(FIRST) else { return };
        let Some(pair) = self.pairs.get(&PairId(number / 2)).filter(|pair| pair.is_connected) else { return };
        let keys = [pair.waiter.key, pair.dialler.key];
        self.leave(now, keys[0]);
        self.due.push_back(QueueEffect::Call(keys[0], QueueEvent::Parted));
    }

    /// Returns the time of the next [`Queues::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rejoining.front().map(|(until, _)| *until)
    }

    /// Ends the wait for calls that have not returned after a restart.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some((_, id)) = self.rejoining.pop_front_if(|(until, _)| *until <= now) {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            let waiters = queue.waiting.values_mut().map(|waiter| &mut waiter.rejoins);
            let diallers = queue.diallers.values_mut().map(|dialler| &mut dialler.rejoins);
            for rejoins in waiters.chain(diallers) {
                rejoins.take_if(|rejoins| rejoins.until <= now);
            }
            self.settle(now, id);
        }
    }

    /// Returns the next effect of a change.
    pub fn poll(&mut self) -> Option<QueueEffect> {
        self.due.pop_front()
    }

    /// Returns the position of a queued or taken caller, or of the party that has taken one; `None` for any other call.
    pub fn standing(&self, now: Instant, key: CallKey) -> Option<QueuePosition> {
        let (id, rank) = match *self.places.get(&key)? {
            QueueCallState::Waits(id, rank) => (id, rank),
            QueueCallState::Dials(..) => return None,
            QueueCallState::Taken(pair) | QueueCallState::Takes(pair) => {
                let pair = self.pairs.get(&pair)?;
                let queue = self.queues.get(&pair.queue);
                return Some(QueuePosition {
                    sid: pair.sid.clone(),
                    waited: pair.taken.saturating_duration_since(pair.rank.0),
                    position: None,
                    average: queue.map(|queue| queue.average(now)).unwrap_or_default(),
                    size: queue.map(|queue| queue.waiting.len()).unwrap_or_default(),
                    most: queue.map(|queue| queue.kept.most).unwrap_or_default(),
                    by: Some(pair.dialler.call_sid.clone()),
                });
            }
        };
        let queue = self.queues.get(&id)?;
        Some(QueuePosition {
            sid: queue.kept.sid.clone(),
            waited: now.saturating_duration_since(rank.0),
            position: Some(queue.waiting.range(..=rank).count()),
            average: queue.average(now),
            size: queue.waiting.len(),
            most: queue.kept.most,
            by: None,
        })
    }

    /// Returns the SID of the call with which a call is connected; `None` if it waits or is in no queue.
    pub fn connected_with(&self, key: CallKey) -> Option<&str> {
        let (id, is_waiter) = match self.places.get(&key)? {
            QueueCallState::Taken(id) => (id, true),
            QueueCallState::Takes(id) => (id, false),
            QueueCallState::Waits(..) | QueueCallState::Dials(..) => return None,
        };
        let pair = self.pairs.get(id).filter(|pair| pair.is_connected)?;
        Some(if is_waiter { &pair.dialler.call_sid } else { &pair.waiter.call_sid })
    }

    /// Creates a queue for an API request.
    ///
    /// # Errors
    /// Another queue has the name, the name is invalid, or the maximum number of queues is reached.
    pub fn create(
        &mut self,
        now: Instant,
        (name, most): (&str, Option<u32>),
        sid: String,
        date: SystemTime,
    ) -> Result<(), QueueRefusal> {
        if self.names.contains_key(name.trim()) {
            return Err(QueueRefusal::NameTaken);
        }
        self.make(now, (name, most), sid, (date, true)).map(|_| ())
    }

    /// Changes name and size of a queue. Its callers stay.
    ///
    /// # Errors
    /// No queue has the SID, the name is invalid, or another queue has the name.
    pub fn change(
        &mut self,
        sid: &str,
        (name, most): (Option<&str>, Option<u32>),
        date: SystemTime,
    ) -> Result<(), QueueRefusal> {
        let id = self.find(sid).ok_or(QueueRefusal::Unknown)?;
        let name = name.map(validated_name).transpose()?;
        if name.as_ref().is_some_and(|name| self.names.get(name).is_some_and(|other| *other != id)) {
            return Err(QueueRefusal::NameTaken);
        }
        let Some(queue) = self.queues.get_mut(&id) else { return Err(QueueRefusal::Unknown) };
        if let Some(name) = name {
            self.names.remove(&queue.kept.name);
            self.names.insert(name.clone(), id);
            queue.kept.name = name;
        }
        queue.kept.most = most.map_or(queue.kept.most, |most| most.clamp(1, QUEUE_SIZE_MOST));
        (queue.kept.updated, queue.kept.is_requested) = (date, true);
        Ok(())
    }

    /// Deletes a queue without callers. Parties that have dialled it are notified.
    ///
    /// # Errors
    /// No queue has the SID, or the queue has callers.
    pub fn delete(&mut self, sid: &str) -> Result<(), QueueRefusal> {
        let id = self.find(sid).ok_or(QueueRefusal::Unknown)?;
        let queue = self.queues.get(&id).filter(|queue| queue.waiting.is_empty() && queue.taken == 0);
        if queue.is_none() {
            return Err(QueueRefusal::NotEmpty);
        }
        self.forget(id);
        Ok(())
    }

    /// Returns all queues, the newest first.
    pub fn reports(&self, now: Instant) -> Vec<QueueReport> {
        self.queues.values().rev().map(|queue| queue.report(now)).collect()
    }

    /// Returns the queue with a SID.
    pub fn report(&self, now: Instant, sid: &str) -> Option<QueueReport> {
        Some(self.queues.get(&self.find(sid)?)?.report(now))
    }

    /// Returns the totals of all queues.
    pub fn totals(&self, now: Instant) -> QueueTotals {
        let first = self.queues.values().filter_map(|queue| queue.waiting.keys().next());
        let longest = first.map(|(since, _)| now.saturating_duration_since(*since)).max().unwrap_or_default();
        let waiting = self.queues.values().map(|queue| queue.waiting.len()).sum();
        QueueTotals { queues: self.queues.len(), waiting, longest_seconds: longest.as_secs() }
    }

    /// Returns name and number of callers of the `most` largest queues, and the number of callers in all others.
    pub fn largest(&self, most: usize) -> (Vec<(String, usize)>, usize) {
        let mut all: Vec<(&str, usize)> =
            self.queues.values().map(|queue| (queue.kept.name.as_str(), queue.waiting.len())).collect();
        all.sort_by(|one, other| other.1.cmp(&one.1).then(one.0.cmp(other.0)));
        let rest = all.split_off(most.min(all.len()));
        let others = rest.iter().map(|(_, size)| size).sum();
        (all.into_iter().map(|(name, size)| (name.to_owned(), size)).collect(), others)
    }

    /// Returns the queues in the form that survives a restart.
    pub fn kept(&self) -> Vec<KeptQueue> {
        self.queues.values().map(|queue| queue.kept.clone()).collect()
    }

    /// Restores queues after a restart.
    pub fn restore(&mut self, now: Instant, kept: impl IntoIterator<Item = KeptQueue>) {
        for kept in kept {
            if self.queues.len() < QUEUES && validated_name(&kept.name).is_ok() && !self.names.contains_key(&kept.name)
            {
                self.add(now, kept);
            }
        }
    }

    fn find(&self, sid: &str) -> Option<QueueId> {
        self.queues.iter().find(|(_, queue)| queue.kept.sid == sid).map(|(id, _)| *id)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn make(
        &mut self,
        now: Instant,
        (name, most): (&str, Option<u32>),
        sid: String,
        (date, is_requested): (SystemTime, bool),
    ) -> Result<QueueId, QueueRefusal> {
        let name = validated_name(name)?;
        if self.queues.len() >= QUEUES {
            // Replaced: the least recently used of the empty queues that documents have created.
            let is_unused = |queue: &CallQueue| {
                !queue.kept.is_requested && queue.waiting.is_empty() && queue.diallers.is_empty() && queue.taken == 0
            };
            let unused = self.queues.iter().filter(|(_, queue)| is_unused(queue));
            let oldest = unused.min_by_key(|(_, queue)| queue.used).map(|(id, _)| *id);
            self.forget(oldest.ok_or(QueueRefusal::TooMany)?);
        }
        let most = most.unwrap_or(QUEUE_SIZE).clamp(1, QUEUE_SIZE_MOST);
        Ok(self.add(now, KeptQueue { sid, name, most, created: date, updated: date, is_requested }))
    }

    fn add(&mut self, now: Instant, kept: KeptQueue) -> QueueId {
        let id = QueueId(self.number());
        self.names.insert(kept.name.clone(), id);
        let (waiting, diallers) = (BTreeMap::new(), BTreeMap::new());
        self.queues.insert(id, CallQueue { kept, waiting, diallers, taken: 0, used: now });
        id
    }

    fn forget(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(&id) else { return };
        self.names.remove(&queue.kept.name);
        for dialler in queue.diallers.into_values() {
            self.places.remove(&dialler.key);
            self.due.push_back(QueueEffect::Call(dialler.key, QueueEvent::Deleted));
        }
    }

    /// Pairs the first callers of a queue with the first parties that have dialled it, as long as there are both.
    fn settle(&mut self, now: Instant, id: QueueId) {
        while let Some((rank, number)) = self.queues.get(&id).and_then(CallQueue::next_two) {
            let Some(queue) = self.queues.get_mut(&id) else { return };
            let (Some(waiter), Some(dialler)) = (queue.waiting.remove(&rank), queue.diallers.remove(&number)) else {
                return;
            };
            queue.taken += 1;
            let sid = queue.kept.sid.clone();
            let pair = PairId(self.number());
            self.places.insert(waiter.key, QueueCallState::Taken(pair));
            self.places.insert(dialler.key, QueueCallState::Takes(pair));
            let is_back = waiter.rejoins.is_some();
            let news = dialler.prelude.clone().filter(|_| !is_back);
            let key = waiter.key;
            let pair_of = QueuePair { queue: id, sid, rank, waiter, number, dialler, taken: now, is_connected: false };
            self.pairs.insert(pair, pair_of);
            match news {
                Some(prelude) => self.due.push_back(QueueEffect::Call(key, QueueEvent::Taken(prelude))),
                None => self.connect(pair),
            }
        }
    }

    fn connect(&mut self, id: PairId) {
        let Some(pair) = self.pairs.get_mut(&id).filter(|pair| !pair.is_connected) else { return };
        pair.is_connected = true;
        if let Some(queue) = self.queues.get_mut(&pair.queue) {
            queue.taken = queue.taken.saturating_sub(1);
        }
        let conference = ConferenceId(FIRST + id.0);
        let [first, second] = seats(id);
        let (waiter, dialler) = (&pair.waiter, &pair.dialler);
        let all = [(waiter.key, first, dialler.call_sid.clone()), (dialler.key, second, waiter.call_sid.clone())];
        self.due.extend(
            all.map(|(key, seat, with)| QueueEffect::Call(key, QueueEvent::Connected { conference, seat, with })),
        );
    }

    /// Ends a pair because one of its calls has left: the caller if `by_waiter`, else the party that had taken it. If
    /// they were not connected yet, the remaining call waits again.
    fn disconnect_pair(&mut self, now: Instant, id: PairId, by_waiter: bool) {
        let Some(pair) = self.pairs.remove(&id) else { return };
        let stays = if by_waiter { pair.dialler.key } else { pair.waiter.key };
        if pair.is_connected {
            self.due.extend(seats(id).map(|seat| QueueEffect::Node(NodeCommand::Leave { seat })));
            self.places.remove(&stays);
            self.due.push_back(QueueEffect::Call(stays, QueueEvent::Parted));
            return;
        }
        let Some(queue) = self.queues.get_mut(&pair.queue) else { return };
        queue.taken = queue.taken.saturating_sub(1);
        queue.used = now;
        let (place, news) = if by_waiter {
            queue.diallers.insert(pair.number, Dialler { rejoins: None, ..pair.dialler });
            (QueueCallState::Dials(pair.queue, pair.number), QueueEvent::DialsAgain)
        } else {
            queue.waiting.insert(pair.rank, Waiter { rejoins: None, ..pair.waiter });
            (QueueCallState::Waits(pair.queue, pair.rank), QueueEvent::WaitsAgain)
        };
        self.places.insert(stays, place);
        self.due.push_back(QueueEffect::Call(stays, news));
        self.settle(now, pair.queue);
    }
}

impl CallQueue {
    /// Returns the next caller and party to connect: two that were connected before a restart, or the first of each.
    /// `None` if one of the two is missing.
    fn next_two(&self) -> Option<(QueueRank, u64)> {
        for (number, dialler) in &self.diallers {
            let Some(rejoins) = &dialler.rejoins else { continue };
            let is_its = |waiter: &Waiter| {
                waiter.call_sid == rejoins.with
                    && waiter.rejoins.as_ref().is_some_and(|its| its.with == dialler.call_sid)
            };
            if let Some((rank, _)) = self.waiting.iter().find(|(_, waiter)| is_its(waiter)) {
                return Some((*rank, *number));
            }
        }
        let (rank, _) = self.waiting.iter().find(|(_, waiter)| waiter.rejoins.is_none())?;
        let (number, _) = self.diallers.iter().find(|(_, dialler)| dialler.rejoins.is_none())?;
        Some((*rank, *number))
    }

    fn average(&self, now: Instant) -> Duration {
        let all: Duration = self.waiting.keys().map(|(since, _)| now.saturating_duration_since(*since)).sum();
        u32::try_from(self.waiting.len()).ok().and_then(|size| all.checked_div(size)).unwrap_or_default()
    }

    fn report(&self, now: Instant) -> QueueReport {
        let waited = |rank: &QueueRank| now.saturating_duration_since(rank.0);
        let member = |(at, (rank, waiter)): (usize, (&QueueRank, &Waiter))| QueuedCall {
            call_sid: waiter.call_sid.clone(),
            date: waiter.date,
            waited: waited(rank),
            position: at + 1,
        };
        QueueReport {
            kept: self.kept.clone(),
            average: self.average(now),
            longest: self.waiting.keys().next().map(waited).unwrap_or_default(),
            members: self.waiting.iter().enumerate().map(member).collect(),
            diallers: self.diallers.len(),
        }
    }
}

/// Returns the mixer seats of a pair: caller, then the party that has taken it.
fn seats(id: PairId) -> [ParticipantId; 2] {
    [0, 1].map(|side| ParticipantId(FIRST + 2 * id.0 + side))
}

fn rejoining(
    due: &mut VecDeque<(Instant, QueueId)>,
    (now, id): (Instant, QueueId),
    with: Option<String>,
) -> Option<RejoinPartner> {
    let (with, until) = (with?, now + QUEUE_REJOIN);
    due.push_back((until, id));
    Some(RejoinPartner { with, until })
}

/// Validates and trims the name of a queue.
///
/// # Errors
/// The trimmed name is empty or too long, or contains control characters.
fn validated_name(name: &str) -> Result<String, QueueRefusal> {
    let name = name.trim();
    let is_one = (1..=QUEUE_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_one.then(|| name.to_owned()).ok_or(QueueRefusal::BadName)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]
    #![expect(clippy::wildcard_enum_match_arm, reason = "tests look at some news alone")]

    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use trunkgate_route::WebhookMethod;

    use super::*;
    use crate::applications::question::AppPlace;

    const SUPPORT: &str = "support";

    fn at(start: Instant, seconds: u64) -> Instant {
        start + Duration::from_secs(seconds)
    }

    fn entering(key: u64) -> QueueEntry {
        let date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        QueueEntry { key: CallKey(key), call_sid: format!("CA{key}"), date, waited: Duration::ZERO, with: None }
    }

    /// Returns queues with the callers 1, 2 and so on in one queue, a second apart.
    fn queued(start: Instant, callers: u64) -> Queues {
        let mut queues = Queues::default();
        for key in 1..=callers {
            let sid = || "QU1".to_owned();
            queues.enqueue(at(start, key), (SUPPORT, None), sid, entering(key)).unwrap();
        }
        queues
    }

    fn prelude() -> Option<QueueWhisper> {
        Some((AppPlace::Url("https://app.example/before".to_owned()), WebhookMethod::Post))
    }

    /// Returns the events for calls since the last call; commands to the mixers as `None`.
    fn news(queues: &mut Queues) -> Vec<Option<(u64, QueueEvent)>> {
        let shown = |due| match due {
            QueueEffect::Call(key, news) => Some((key.0, news)),
            QueueEffect::Node(_) => None,
        };
        std::iter::from_fn(|| queues.poll()).map(shown).collect()
    }

    fn connected(news: &[Option<(u64, QueueEvent)>]) -> Vec<(u64, String)> {
        let with = |one: &Option<(u64, QueueEvent)>| match one {
            Some((key, QueueEvent::Connected { with, .. })) => Some((*key, with.clone())),
            Some(_) | None => None,
        };
        news.iter().filter_map(with).collect()
    }

    #[test]
    fn the_caller_that_has_waited_longest_is_the_next_one() {
        let start = Instant::now();
        let mut queues = queued(start, 3);
        let standing = queues.standing(at(start, 5), CallKey(2)).unwrap();
        assert_eq!((standing.position, standing.size, standing.most), (Some(2), 3, 1_000));
        assert_eq!((standing.waited, standing.average), (Duration::from_secs(3), Duration::from_secs(3)));
        for (party, caller) in [(11, 1), (12, 2)] {
            queues.dial(at(start, 6), SUPPORT, None, entering(party)).unwrap();
            let both = [(caller, format!("CA{party}")), (party, format!("CA{caller}"))];
            assert_eq!(connected(&news(&mut queues)), both);
        }
        let report = queues.report(at(start, 6), "QU1").unwrap();
        assert_eq!(report.members.iter().map(|member| member.call_sid.as_str()).collect::<Vec<_>>(), ["CA3"]);
        assert_eq!(report.longest, Duration::from_secs(3));
        assert_eq!(queues.connected_with(CallKey(12)), Some("CA2"));
        // Either party's departure ends the connection for both; the waiting time ends at the connection.
        assert_eq!(queues.standing(at(start, 60), CallKey(1)).unwrap().waited, Duration::from_secs(5));
        queues.leave(at(start, 60), CallKey(1));
        assert_eq!(news(&mut queues), [None, None, Some((11, QueueEvent::Parted))]);
        assert_eq!(queues.standing(at(start, 60), CallKey(11)), None);
    }

    #[test]
    fn a_party_that_dials_an_empty_queue_waits_for_the_next_caller() {
        let start = Instant::now();
        let mut queues = queued(start, 0);
        assert_eq!(queues.dial(start, SUPPORT, None, entering(11)), Err(QueueRefusal::Unknown));
        queues.create(start, (SUPPORT, None), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
        queues.dial(start, SUPPORT, None, entering(11)).unwrap();
        queues.dial(start, SUPPORT, None, entering(12)).unwrap();
        assert!(queues.is_waiting(CallKey(11)));
        assert_eq!(queues.reports(start)[0].diallers, 2);
        queues.enqueue(start, (SUPPORT, None), String::new, entering(1)).unwrap();
        assert_eq!(connected(&news(&mut queues)), [(1, "CA11".to_owned()), (11, "CA1".to_owned())]);
        // Deletion of a queue is reported to parties that have dialled it.
        queues.leave(start, CallKey(1));
        news(&mut queues);
        assert_eq!(queues.delete("QU1"), Ok(()));
        assert_eq!(news(&mut queues), [Some((12, QueueEvent::Deleted))]);
        assert!(queues.is_empty() && queues.calls().next().is_none());
    }

    #[test]
    fn a_caller_whose_party_is_gone_before_the_connection_keeps_its_place() {
        let start = Instant::now();
        let mut queues = queued(start, 2);
        queues.dial(at(start, 9), SUPPORT, prelude(), entering(11)).unwrap();
        assert_eq!(news(&mut queues), [Some((1, QueueEvent::Taken(prelude().unwrap())))]);
        let standing = queues.standing(at(start, 9), CallKey(1)).unwrap();
        assert_eq!((standing.position, standing.by.as_deref(), standing.size), (None, Some("CA11"), 1));
        assert_eq!(queues.delete("QU1"), Err(QueueRefusal::NotEmpty));
        queues.leave(at(start, 10), CallKey(11));
        assert_eq!(news(&mut queues), [Some((1, QueueEvent::WaitsAgain))]);
        assert_eq!(queues.standing(at(start, 11), CallKey(1)).unwrap().position, Some(1));
        assert_eq!(queues.standing(at(start, 11), CallKey(1)).unwrap().waited, Duration::from_secs(10));
        // The reverse: the party gets the next caller.
        queues.dial(at(start, 12), SUPPORT, prelude(), entering(12)).unwrap();
        news(&mut queues);
        queues.leave(at(start, 13), CallKey(1));
        let again = [Some((12, QueueEvent::DialsAgain)), Some((2, QueueEvent::Taken(prelude().unwrap())))];
        assert_eq!(news(&mut queues), again);
        queues.ready(CallKey(2));
        queues.ready(CallKey(2));
        assert_eq!(connected(&news(&mut queues)), [(2, "CA12".to_owned()), (12, "CA2".to_owned())]);
    }

    #[test]
    fn a_full_queue_takes_none_in() {
        let start = Instant::now();
        let mut queues = Queues::default();
        queues.enqueue(start, ("a", Some(2)), || "QU1".to_owned(), entering(1)).unwrap();
        assert_eq!(queues.enqueue(start, ("a", Some(1)), String::new, entering(2)), Err(QueueRefusal::Full));
        queues.enqueue(start, ("a", Some(99)), String::new, entering(2)).unwrap();
        assert_eq!(queues.enqueue(start, ("a", None), String::new, entering(3)), Err(QueueRefusal::Full));
        assert_eq!(queues.enqueue(start, ("b", None), String::new, entering(1)), Err(QueueRefusal::AlreadyIn));
        queues.change("QU1", (None, Some(3)), SystemTime::UNIX_EPOCH).unwrap();
        queues.enqueue(start, ("a", None), String::new, entering(3)).unwrap();
        // A queue that shrinks keeps its callers.
        queues.change("QU1", (Some("c"), Some(1)), SystemTime::UNIX_EPOCH).unwrap();
        assert_eq!(queues.report(start, "QU1").unwrap().members.len(), 3);
        assert_eq!(queues.enqueue(start, ("c", None), String::new, entering(4)), Err(QueueRefusal::Full));
    }

    #[test]
    fn names_are_bounded_and_each_is_of_one_queue() {
        let start = Instant::now();
        let mut queues = queued(start, 0);
        for name in ["", " ", "a\u{7}", &"é".repeat(65)] {
            let entered = queues.enqueue(start, (name, None), String::new, entering(1));
            assert_eq!(entered, Err(QueueRefusal::BadName), "{name:?}");
        }
        let made = |queues: &mut Queues, name: &str, sid: &str| {
            queues.create(start, (name, Some(9)), sid.to_owned(), SystemTime::UNIX_EPOCH)
        };
        assert_eq!(made(&mut queues, &"é".repeat(64), "QU1"), Ok(()));
        assert_eq!(made(&mut queues, "b", "QU2"), Ok(()));
        assert_eq!(made(&mut queues, " b ", "QU3"), Err(QueueRefusal::NameTaken));
        let taken = queues.change("QU1", (Some("b"), None), SystemTime::UNIX_EPOCH);
        assert_eq!(taken, Err(QueueRefusal::NameTaken));
        assert_eq!(queues.change("QU2", (Some("b"), None), SystemTime::UNIX_EPOCH), Ok(()));
        assert_eq!(queues.delete("QU9"), Err(QueueRefusal::Unknown));
    }

    #[test]
    fn a_new_queue_takes_the_place_of_an_unused_one_that_a_document_has_made() {
        let start = Instant::now();
        let mut queues = Queues::default();
        for number in 0..QUEUES {
            let sid = format!("QU{number}");
            let name = number.to_string();
            if number == 1 {
                queues.create(start, (&name, None), sid, SystemTime::UNIX_EPOCH).unwrap();
            } else {
                let key = u64::try_from(number).unwrap();
                queues.enqueue(at(start, key), (&name, None), || sid, entering(key)).unwrap();
            }
        }
        let another =
            |queues: &mut Queues| queues.enqueue(start, ("another", None), || "QUx".to_owned(), entering(9_999));
        assert_eq!(another(&mut queues), Err(QueueRefusal::TooMany));
        queues.leave(at(start, 9_001), CallKey(7));
        queues.leave(at(start, 9_000), CallKey(5));
        assert_eq!(another(&mut queues), Ok(()));
        assert_eq!((queues.len(), queues.report(start, "QU5")), (QUEUES, None));
        assert!(queues.report(start, "QU1").is_some() && queues.report(start, "QU7").is_some());
    }

    #[test]
    fn a_call_without_a_place_at_the_mixers_parts_both() {
        let start = Instant::now();
        let mut queues = queued(start, 1);
        queues.dial(start, SUPPORT, None, entering(11)).unwrap();
        let seat = news(&mut queues).into_iter().flatten().find_map(|(key, news)| match news {
            QueueEvent::Connected { seat, .. } if key == 11 => Some(seat),
            _ => None,
        });
        queues.take(start, NodeEvent::Refused(ParticipantId(3)));
        assert_eq!(news(&mut queues), []);
        queues.take(start, NodeEvent::Refused(seat.unwrap()));
        let parted = [None, None, Some((11, QueueEvent::Parted)), Some((1, QueueEvent::Parted))];
        assert_eq!(news(&mut queues), parted);
        assert!(queues.calls().next().is_none());
    }

    #[test]
    fn calls_that_were_connected_before_a_restart_are_again() {
        let start = Instant::now();
        let mut before = queued(start, 0);
        before.create(start, (SUPPORT, Some(7)), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
        let mut queues = Queues::default();
        queues.restore(start, before.kept());
        let back = |key, seconds, with: Option<&str>| QueueEntry {
            waited: Duration::from_secs(seconds),
            with: with.map(str::to_owned),
            ..entering(key)
        };
        queues.enqueue(start, (SUPPORT, None), String::new, back(2, 20, None)).unwrap();
        queues.enqueue(start, (SUPPORT, None), String::new, back(3, 30, Some("CA12"))).unwrap();
        queues.enqueue(start, (SUPPORT, None), String::new, back(4, 40, Some("CA13"))).unwrap();
        queues.enqueue(start, (SUPPORT, None), String::new, back(1, 25, None)).unwrap();
        queues.dial(start, SUPPORT, prelude(), back(12, 0, Some("CA3"))).unwrap();
        // Without the document, which the caller has already heard.
        assert_eq!(connected(&news(&mut queues)), [(3, "CA12".to_owned()), (12, "CA3".to_owned())]);
        queues.dial(start, SUPPORT, None, entering(14)).unwrap();
        assert_eq!(connected(&news(&mut queues)), [(1, "CA14".to_owned()), (14, "CA1".to_owned())]);
        // After a time, a call is treated like any other if its party has not returned.
        assert_eq!(queues.poll_timeout(), Some(start + QUEUE_REJOIN));
        queues.handle_timeout(start + QUEUE_REJOIN);
        assert_eq!(queues.poll_timeout(), None);
        queues.dial(start, SUPPORT, None, entering(15)).unwrap();
        assert_eq!(connected(&news(&mut queues)), [(4, "CA15".to_owned()), (15, "CA4".to_owned())]);
        assert_eq!(queues.report(start, "QU1").unwrap().kept.most, 7);
    }

    proptest! {
        /// Callers are taken in order of arrival, each is in one place at most, and the sizes are correct.
        #[test]
        fn the_order_is_that_of_arrival(steps in proptest::collection::vec((0_u8..5, 0_u64..12), 1..120)) {
            let start = Instant::now();
            let mut queues = Queues::default();
            queues.create(start, (SUPPORT, Some(6)), "QU1".to_owned(), SystemTime::UNIX_EPOCH).unwrap();
            let mut line: Vec<u64> = Vec::new();
            let mut taken: BTreeSet<u64> = BTreeSet::new();
            for (moment, (what, key)) in steps.into_iter().enumerate() {
                let now = at(start, u64::try_from(moment).unwrap());
                match what {
                    0 | 1 => {
                        let entered = queues.enqueue(now, (SUPPORT, None), String::new, entering(key));
                        if entered.is_ok() {
                            prop_assert!(!line.contains(&key));
                            line.push(key);
                        } else {
                            prop_assert!(line.len() >= 6 || line.contains(&key) || taken.contains(&key));
                        }
                    }
                    2 => {
                        let party = 100 + key;
                        let prelude = prelude().filter(|_| key % 2 == 0);
                        let _ = queues.dial(now, SUPPORT, prelude, entering(party));
                    }
                    3 => queues.leave(now, CallKey(key)),
                    _ => queues.leave(now, CallKey(100 + key)),
                }
                if what == 3 {
                    line.retain(|one| *one != key);
                    taken.remove(&key);
                }
                while let Some(due) = queues.poll() {
                    let QueueEffect::Call(key, news) = due else { continue };
                    match news {
                        QueueEvent::Taken(_) | QueueEvent::Connected { .. } if key.0 < 100 => {
                            prop_assert!(line.first() == Some(&key.0), "{} is taken before {line:?}", key.0);
                            line.remove(0);
                            taken.insert(key.0);
                        }
                        QueueEvent::WaitsAgain => {
                            taken.remove(&key.0);
                            line.push(key.0);
                            let since = |key: &u64| queues.standing(now, CallKey(*key)).map(|standing| standing.position);
                            line.sort_by_key(since);
                        }
                        QueueEvent::Parted if key.0 < 100 => {
                            taken.remove(&key.0);
                        }
                        _ => {}
                    }
                }
                let report = queues.report(now, "QU1").unwrap();
                let members: Vec<String> = report.members.iter().map(|member| member.call_sid.clone()).collect();
                let expected: Vec<String> = line.iter().map(|key| format!("CA{key}")).collect();
                prop_assert_eq!(members, expected);
                prop_assert!(report.members.windows(2).all(|two| two[0].waited >= two[1].waited));
                prop_assert!(line.is_empty() || report.diallers == 0, "a caller and a party wait for each other");
            }
        }
    }
}
