//! Queues of calls: callers that wait for a party, parties that have dialled a queue, and who is connected with whom.
//!
//! The caller that has waited longest is the next one, and of those that dial a queue the first. The two are connected in front of a
//! mixer with two seats, as parties of a conference are. What follows from a change waits here until it is taken: commands to the
//! mixers, and news of calls.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{ConferenceId, NodeCommand, NodeEvent, SeatId};
use trunkgate_route::WebhookMethod;

use crate::app::AppPlace;
use crate::key::CallKey;
use crate::limits::{QUEUE_NAME_CHARS, QUEUE_REJOIN, QUEUE_SIZE, QUEUE_SIZE_MOST, QUEUES};

/// The first number that the mixers know a connection or a seat by: those of conferences are below it.
const FIRST: u64 = 1 << 63;

/// A document for a queued caller before it is connected.
pub type Prelude = (AppPlace, WebhookMethod);

/// A queue; never used for another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct QueueId(u64);

/// A caller and the party that has taken it; never used for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct PairId(u64);

/// Place in line: the time since when it counts, and a number where two came at once.
type Rank = (Instant, u64);

/// Why a call is not in a queue, or a queue is not made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRefusal {
    /// The queue has as many callers as it has room for.
    Full,
    /// The edge has as many queues as may be.
    TooMany,
    /// The name is empty, too long, or has control characters.
    BadName,
    /// Another queue has the name.
    NameTaken,
    /// There is no such queue.
    Unknown,
    /// The queue has callers.
    NotEmpty,
    /// The call is in a queue already.
    AlreadyIn,
}

impl QueueRefusal {
    /// Returns the cause in words.
    pub fn words(self) -> &'static str {
        match self {
            QueueRefusal::Full => "the queue is full",
            QueueRefusal::TooMany => "the edge has as many queues as may be",
            QueueRefusal::BadName => "the name of the queue is empty or too long",
            QueueRefusal::NameTaken => "another queue has the name",
            QueueRefusal::Unknown => "there is no such queue",
            QueueRefusal::NotEmpty => "the queue has callers",
            QueueRefusal::AlreadyIn => "the call is in a queue already",
        }
    }
}

/// A call that enters a queue or dials one.
#[derive(Debug, Clone)]
pub struct Entering {
    /// Its key.
    pub key: CallKey,
    /// Its SID.
    pub call_sid: String,
    /// The date.
    pub date: SystemTime,
    /// Time for which it was there before a restart.
    pub waited: Duration,
    /// SID of the call that it was connected with before a restart.
    pub with: Option<String>,
}

/// News of a queue for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueNews {
    /// The caller is to hear this before it is connected; [`Queues::ready`] is to follow.
    Taken(Prelude),
    /// The caller waits again: the party that had taken it is gone.
    WaitsAgain,
    /// The party that has dialled the queue waits again: its caller is gone.
    DialsAgain,
    /// The call is connected with another one.
    Connected {
        /// The connection's number at the mixers.
        conference: ConferenceId,
        /// The call's.
        seat: SeatId,
        /// SID of the other call.
        with: String,
    },
    /// The call is connected no longer: the other one has left.
    Parted,
    /// The queue that the call has dialled is deleted.
    Deleted,
}

/// What follows from a change.
#[derive(Debug)]
pub enum QueueDue {
    /// A command to the mixers.
    Node(NodeCommand),
    /// News of a call.
    Call(CallKey, QueueNews),
}

/// A call's place, as its application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// SID of the queue.
    pub sid: String,
    /// Its name.
    pub name: String,
    /// Time in it so far, or until the caller was taken.
    pub waited: Duration,
    /// Place in line, from 1; `None` once it is taken.
    pub position: Option<usize>,
    /// Mean time for which those have waited that wait.
    pub average: Duration,
    /// Callers that wait.
    pub size: usize,
    /// Callers that it has room for.
    pub most: u32,
    /// SID of the call that has taken it.
    pub by: Option<String>,
    /// Whether it is connected.
    pub is_connected: bool,
}

/// A queue as requests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// What a restart keeps of it.
    pub kept: KeptQueue,
    /// Mean time for which those have waited that wait.
    pub average: Duration,
    /// Longest time for which one has waited that waits.
    pub longest: Duration,
    /// Callers in their order.
    pub members: Vec<QueuedCall>,
    /// Parties that have dialled it and wait.
    pub diallers: usize,
}

/// A queued caller as requests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedCall {
    /// SID of its call.
    pub call_sid: String,
    /// When it came.
    pub date: SystemTime,
    /// Time since then.
    pub waited: Duration,
    /// Place in line, from 1.
    pub position: usize,
}

/// What a restart keeps of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptQueue {
    /// Its SID.
    pub sid: String,
    /// Its name.
    pub name: String,
    /// Callers that it has room for.
    pub most: u32,
    /// When it was made.
    pub created: SystemTime,
    /// When it was changed last.
    pub updated: SystemTime,
    /// Whether a request has made or changed it; another one makes room for new ones while it is empty.
    pub is_requested: bool,
}

/// One queue.
#[derive(Debug)]
struct Queue {
    kept: KeptQueue,
    waiting: BTreeMap<Rank, Waiter>,
    diallers: BTreeMap<u64, Dialler>,
    /// Callers that are taken and not connected yet.
    taken: usize,
    /// When it was used last.
    used: Instant,
}

/// A call that the one with a place is to be connected with again, and until when it waits for that alone.
#[derive(Debug, Clone)]
struct Rejoining {
    with: String,
    until: Instant,
}

/// A caller.
#[derive(Debug, Clone)]
struct Waiter {
    key: CallKey,
    call_sid: String,
    date: SystemTime,
    rejoins: Option<Rejoining>,
}

/// A party that has dialled a queue.
#[derive(Debug, Clone)]
struct Dialler {
    key: CallKey,
    call_sid: String,
    prelude: Option<Prelude>,
    rejoins: Option<Rejoining>,
}

/// A caller, and the party that has taken it.
#[derive(Debug)]
struct Pair {
    queue: QueueId,
    /// SID and name of the queue, which may be deleted.
    named: (String, String),
    rank: Rank,
    waiter: Waiter,
    number: u64,
    dialler: Dialler,
    taken: Instant,
    is_connected: bool,
}

/// Where a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Waits(QueueId, Rank),
    Dials(QueueId, u64),
    Taken(PairId),
    Takes(PairId),
}

/// All queues.
#[derive(Debug, Default)]
pub struct Queues {
    queues: BTreeMap<QueueId, Queue>,
    names: HashMap<String, QueueId>,
    places: BTreeMap<CallKey, Place>,
    pairs: BTreeMap<PairId, Pair>,
    next: u64,
    due: VecDeque<QueueDue>,
}

impl Queues {
    /// Returns the number of queues.
    pub fn len(&self) -> usize {
        self.queues.len()
    }
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }
    /// Returns the calls that have a place, for the invariants.
    pub fn calls(&self) -> impl Iterator<Item = CallKey> {
        self.places.keys().copied()
    }

    /// Puts a call into the queue of a name, which is made where there is none; `sid` makes its SID.
    ///
    /// # Errors
    /// Why it is not taken in.
    pub fn enqueue(
        &mut self,
        now: Instant,
        (name, most): (&str, Option<u32>),
        sid: impl FnOnce() -> String,
        entering: Entering,
    ) -> Result<(), QueueRefusal> {
        let Entering { key, call_sid, date, waited, with } = entering;
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
        // Those that a restart brings back have their places.
        if waited.is_zero() && queue.waiting.len() >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Err(QueueRefusal::Full);
        }
        let rank = (now.checked_sub(waited).unwrap_or(now), number);
        let date = date.checked_sub(waited).unwrap_or(date);
        queue.waiting.insert(rank, Waiter { key, call_sid, date, rejoins: rejoining(now, with) });
        queue.used = now;
        self.places.insert(key, Place::Waits(id, rank));
        self.settle(now, id);
        Ok(())
    }

    /// Has a call wait for the first caller of a queue.
    ///
    /// # Errors
    /// There is no such queue, or the call is in one.
    pub fn dial(
        &mut self,
        now: Instant,
        name: &str,
        prelude: Option<Prelude>,
        entering: Entering,
    ) -> Result<(), QueueRefusal> {
        let Entering { key, call_sid, with, .. } = entering;
        if self.places.contains_key(&key) {
            return Err(QueueRefusal::AlreadyIn);
        }
        let id = *self.names.get(name.trim()).ok_or(QueueRefusal::Unknown)?;
        let number = self.number();
        let queue = self.queues.get_mut(&id).ok_or(QueueRefusal::Unknown)?;
        queue.diallers.insert(number, Dialler { key, call_sid, prelude, rejoins: rejoining(now, with) });
        queue.used = now;
        self.places.insert(key, Place::Dials(id, number));
        self.settle(now, id);
        Ok(())
    }

    /// Whether a call waits in a queue, or for a caller of one.
    pub fn is_waiting(&self, key: CallKey) -> bool {
        matches!(self.places.get(&key), Some(Place::Waits(..) | Place::Dials(..)))
    }

    /// Notes that a caller has heard the document of the party that has taken it: the two are connected.
    pub fn ready(&mut self, key: CallKey) {
        if let Some(Place::Taken(id)) = self.places.get(&key) {
            self.connect(*id);
        }
    }

    /// Lets a call leave its queue, or the call that it is connected with.
    pub fn leave(&mut self, now: Instant, key: CallKey) {
        match self.places.remove(&key) {
            Some(Place::Waits(id, rank)) => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.waiting.remove(&rank);
                    queue.used = now;
                }
            }
            Some(Place::Dials(id, number)) => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.diallers.remove(&number);
                    queue.used = now;
                }
            }
            Some(Place::Taken(id)) => self.part(now, id, true),
            Some(Place::Takes(id)) => self.part(now, id, false),
            None => {}
        }
    }

    /// Takes news of the mixers: a call that has no place there is connected no longer.
    pub fn take(&mut self, now: Instant, event: NodeEvent) {
        let (NodeEvent::Refused(SeatId(seat)) | NodeEvent::Gone(SeatId(seat))) = event else { return };
        let Some(number) = seat.checked_sub(FIRST) else { return };
        let Some(pair) = self.pairs.get(&PairId(number / 2)).filter(|pair| pair.is_connected) else { return };
        let keys = [pair.waiter.key, pair.dialler.key];
        self.leave(now, keys[0]);
        self.due.push_back(QueueDue::Call(keys[0], QueueNews::Parted));
    }

    /// Returns when [`Queues::handle_timeout`] is to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let of_queue = |queue: &Queue| {
            let waiters = queue.waiting.values().filter_map(|waiter| waiter.rejoins.as_ref());
            let diallers = queue.diallers.values().filter_map(|dialler| dialler.rejoins.as_ref());
            waiters.chain(diallers).map(|rejoining| rejoining.until).min()
        };
        self.queues.values().filter_map(of_queue).min()
    }

    /// Lets calls that wait for one which has not come back since a restart be as others.
    pub fn handle_timeout(&mut self, now: Instant) {
        let is_over = |rejoins: &mut Rejoining| rejoins.until <= now;
        let mut changed = Vec::new();
        for (id, queue) in &mut self.queues {
            let waiters = queue.waiting.values_mut().map(|waiter| &mut waiter.rejoins);
            let diallers = queue.diallers.values_mut().map(|dialler| &mut dialler.rejoins);
            if waiters.chain(diallers).filter_map(|rejoins| rejoins.take_if(is_over)).count() > 0 {
                changed.push(*id);
            }
        }
        changed.into_iter().for_each(|id| self.settle(now, id));
    }

    /// Takes the next of what follows from changes.
    pub fn poll(&mut self) -> Option<QueueDue> {
        self.due.pop_front()
    }

    /// Returns a call's place.
    pub fn standing(&self, now: Instant, key: CallKey) -> Option<Standing> {
        let (id, rank) = match *self.places.get(&key)? {
            Place::Waits(id, rank) => (id, rank),
            Place::Dials(..) => return None,
            Place::Taken(pair) | Place::Takes(pair) => {
                let pair = self.pairs.get(&pair)?;
                let queue = self.queues.get(&pair.queue);
                return Some(Standing {
                    sid: pair.named.0.clone(),
                    name: pair.named.1.clone(),
                    waited: pair.taken.saturating_duration_since(pair.rank.0),
                    position: None,
                    average: queue.map(|queue| queue.average(now)).unwrap_or_default(),
                    size: queue.map(|queue| queue.waiting.len()).unwrap_or_default(),
                    most: queue.map(|queue| queue.kept.most).unwrap_or_default(),
                    by: Some(pair.dialler.call_sid.clone()),
                    is_connected: pair.is_connected,
                });
            }
        };
        let queue = self.queues.get(&id)?;
        Some(Standing {
            sid: queue.kept.sid.clone(),
            name: queue.kept.name.clone(),
            waited: now.saturating_duration_since(rank.0),
            position: Some(queue.waiting.range(..=rank).count()),
            average: queue.average(now),
            size: queue.waiting.len(),
            most: queue.kept.most,
            by: None,
            is_connected: false,
        })
    }

    /// Returns the SID of the call that a call is connected with.
    pub fn connected_with(&self, key: CallKey) -> Option<&str> {
        let (id, is_waiter) = match self.places.get(&key)? {
            Place::Taken(id) => (id, true),
            Place::Takes(id) => (id, false),
            Place::Waits(..) | Place::Dials(..) => return None,
        };
        let pair = self.pairs.get(id).filter(|pair| pair.is_connected)?;
        Some(if is_waiter { &pair.dialler.call_sid } else { &pair.waiter.call_sid })
    }

    /// Makes a queue, as requested.
    ///
    /// # Errors
    /// Why there is none.
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

    /// Changes a queue. Callers that are in it stay.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change(
        &mut self,
        sid: &str,
        (name, most): (Option<&str>, Option<u32>),
        date: SystemTime,
    ) -> Result<(), QueueRefusal> {
        let id = self.find(sid).ok_or(QueueRefusal::Unknown)?;
        let name = name.map(judged).transpose()?;
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

    /// Deletes a queue without callers. Parties that have dialled it learn of it.
    ///
    /// # Errors
    /// Why it is still there.
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

    /// Returns the queue of a SID.
    pub fn report(&self, now: Instant, sid: &str) -> Option<QueueReport> {
        Some(self.queues.get(&self.find(sid)?)?.report(now))
    }

    /// Returns what a restart keeps of the queues.
    pub fn kept(&self) -> Vec<KeptQueue> {
        self.queues.values().map(|queue| queue.kept.clone()).collect()
    }

    /// Makes queues again after a restart.
    pub fn restore(&mut self, now: Instant, kept: impl IntoIterator<Item = KeptQueue>) {
        for kept in kept {
            if self.queues.len() < QUEUES && judged(&kept.name).is_ok() && !self.names.contains_key(&kept.name) {
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
        let name = judged(name)?;
        if self.queues.len() >= QUEUES {
            // The one that was used last longest ago, of those that documents have made.
            let is_unused = |queue: &Queue| {
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
        self.queues.insert(id, Queue { kept, waiting, diallers, taken: 0, used: now });
        id
    }

    fn forget(&mut self, id: QueueId) {
        let Some(queue) = self.queues.remove(&id) else { return };
        self.names.remove(&queue.kept.name);
        for dialler in queue.diallers.into_values() {
            self.places.remove(&dialler.key);
            self.due.push_back(QueueDue::Call(dialler.key, QueueNews::Deleted));
        }
    }

    /// Gives callers of a queue to those that have dialled it.
    fn settle(&mut self, now: Instant, id: QueueId) {
        while let Some((rank, number)) = self.queues.get(&id).and_then(Queue::next_two) {
            let Some(queue) = self.queues.get_mut(&id) else { return };
            let (Some(waiter), Some(dialler)) = (queue.waiting.remove(&rank), queue.diallers.remove(&number)) else {
                return;
            };
            queue.taken += 1;
            let named = (queue.kept.sid.clone(), queue.kept.name.clone());
            let pair = PairId(self.number());
            self.places.insert(waiter.key, Place::Taken(pair));
            self.places.insert(dialler.key, Place::Takes(pair));
            let is_back = waiter.rejoins.is_some();
            let news = dialler.prelude.clone().filter(|_| !is_back);
            let key = waiter.key;
            let pair_of = Pair { queue: id, named, rank, waiter, number, dialler, taken: now, is_connected: false };
            self.pairs.insert(pair, pair_of);
            match news {
                Some(prelude) => self.due.push_back(QueueDue::Call(key, QueueNews::Taken(prelude))),
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
        self.due
            .extend(all.map(|(key, seat, with)| QueueDue::Call(key, QueueNews::Connected { conference, seat, with })));
    }

    /// Parts a pair that one has left: the caller, or the party that has taken it.
    fn part(&mut self, now: Instant, id: PairId, by_waiter: bool) {
        let Some(pair) = self.pairs.remove(&id) else { return };
        let stays = if by_waiter { pair.dialler.key } else { pair.waiter.key };
        if pair.is_connected {
            self.due.extend(seats(id).map(|seat| QueueDue::Node(NodeCommand::Leave { seat })));
            self.places.remove(&stays);
            self.due.push_back(QueueDue::Call(stays, QueueNews::Parted));
            return;
        }
        let Some(queue) = self.queues.get_mut(&pair.queue) else { return };
        queue.taken = queue.taken.saturating_sub(1);
        queue.used = now;
        let (place, news) = if by_waiter {
            queue.diallers.insert(pair.number, Dialler { rejoins: None, ..pair.dialler });
            (Place::Dials(pair.queue, pair.number), QueueNews::DialsAgain)
        } else {
            queue.waiting.insert(pair.rank, Waiter { rejoins: None, ..pair.waiter });
            (Place::Waits(pair.queue, pair.rank), QueueNews::WaitsAgain)
        };
        self.places.insert(stays, place);
        self.due.push_back(QueueDue::Call(stays, news));
        self.settle(now, pair.queue);
    }
}

impl Queue {
    /// Returns a caller and a party that are to be connected: two that were so before a restart, or the first of both.
    fn next_two(&self) -> Option<(Rank, u64)> {
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
        let waited = |rank: &Rank| now.saturating_duration_since(rank.0);
        let member = |(at, (rank, waiter)): (usize, (&Rank, &Waiter))| QueuedCall {
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

/// Returns the seats of a pair: that of the caller, and that of the party that has taken it.
fn seats(id: PairId) -> [SeatId; 2] {
    [0, 1].map(|side| SeatId(FIRST + 2 * id.0 + side))
}

fn rejoining(now: Instant, with: Option<String>) -> Option<Rejoining> {
    with.map(|with| Rejoining { with, until: now + QUEUE_REJOIN })
}

/// Returns a name as a queue has it.
fn judged(name: &str) -> Result<String, QueueRefusal> {
    let name = name.trim();
    let is_one = (1..=QUEUE_NAME_CHARS).contains(&name.chars().count()) && !name.chars().any(char::is_control);
    is_one.then(|| name.to_owned()).ok_or(QueueRefusal::BadName)
}

#[cfg(test)]
mod tests;
