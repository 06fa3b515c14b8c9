//! The order and the times of callbacks that wait. Those of one line (about one resource, to one URL) leave one after the other; a line
//! waits for its own first callback alone. Hosts take turns, each with a bounded number under way, fewer where the last one gave no
//! answer.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::stored::Callback;
use crate::limits::{
    CALLBACK_ATTEMPTS_TOLD, CALLBACK_BYTES, CALLBACK_GIVE_UP_SECONDS, CALLBACK_HELD_BYTES, CALLBACK_HELD_MOST_BYTES,
    CALLBACK_PAUSE_MILLISECONDS, CALLBACK_PAUSE_MOST_SECONDS, CALLBACKS_AT_ONCE, CALLBACKS_AT_ONCE_OF_FAILING,
    CALLBACKS_AT_ONCE_OF_HOST, CALLBACKS_WAITING, CALLBACKS_WAITING_OF_HOST,
};
use crate::system::backoff::Backoff;

/// Pauses between attempts.
const PAUSES: Backoff =
    Backoff::new(Duration::from_millis(CALLBACK_PAUSE_MILLISECONDS), Duration::from_secs(CALLBACK_PAUSE_MOST_SECONDS));
/// A callback is given up after this time.
pub(super) const GIVE_UP: Duration = Duration::from_secs(CALLBACK_GIVE_UP_SECONDS);

/// Names a callback of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

/// A callback that comes to the queue.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) token: String,
    /// SID of the resource, and the URL.
    pub(super) line: String,
    /// Host and port of the URL.
    pub(super) host: String,
    pub(super) app: Arc<str>,
    pub(super) bytes: usize,
    pub(super) expires: Instant,
    /// `None`: the store has it.
    pub(super) whole: Option<Arc<Callback>>,
}

/// A callback that waits, or is under way.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) token: Arc<str>,
    line: Arc<str>,
    host: Arc<str>,
    pub(super) app: Arc<str>,
    bytes: usize,
    expires: Instant,
    /// Attempts so far, the one under way included.
    pub(super) attempts: u32,
    /// The last of them got no answer.
    is_unheard: bool,
    pub(super) is_stored: bool,
    /// `None`: only the store has it.
    pub(super) whole: Option<Arc<Callback>>,
}

impl Waiting {
    /// Whether so many attempts failed that `status` has a problem; `attempts`: those that failed.
    pub(super) fn is_failing(attempts: u32) -> bool {
        attempts >= CALLBACK_ATTEMPTS_TOLD
    }
}

#[derive(Debug, Default)]
struct Host {
    /// First callbacks of their lines that may be sent, in the order in which that became so.
    ready: VecDeque<Id>,
    under_way: usize,
    waiting: usize,
    /// The last attempt got no answer.
    is_failing: bool,
    has_turn: bool,
}

impl Host {
    fn has_room(&self) -> bool {
        let most = if self.is_failing { CALLBACKS_AT_ONCE_OF_FAILING } else { CALLBACKS_AT_ONCE_OF_HOST };
        !self.ready.is_empty() && self.under_way < most
    }
}

/// Callbacks that wait or are under way.
#[derive(Debug, Default)]
pub(super) struct Queue {
    callbacks: HashMap<Id, Waiting>,
    tokens: HashSet<Arc<str>>,
    lines: HashMap<Arc<str>, VecDeque<Id>>,
    hosts: HashMap<Arc<str>, Host>,
    /// Hosts that have callbacks to be sent and room for them, in turn.
    turns: VecDeque<Arc<str>>,
    /// First callbacks of their lines that rest after an attempt.
    resting: BTreeSet<(Instant, Id)>,
    under_way: usize,
    bytes: usize,
    /// Bytes of those that are in memory.
    held: usize,
    last: u64,
}

/// What becomes of a callback whose attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Rests,
    GivenUp,
}

impl Queue {
    /// Adds a callback behind those of its line; `None`: there is no room for it.
    pub(super) fn add(&mut self, coming: Coming) -> Option<Id> {
        let of_host = self.hosts.get(coming.host.as_str()).map_or(0, |host| host.waiting);
        let is_full = self.callbacks.len() >= CALLBACKS_WAITING
            || of_host >= CALLBACKS_WAITING_OF_HOST
            || self.bytes + coming.bytes > CALLBACK_BYTES
            || self.held + coming.bytes > CALLBACK_HELD_MOST_BYTES;
        (!is_full).then(|| self.enter(coming))
    }

    /// Adds a callback that the store has.
    pub(super) fn restore(&mut self, coming: Coming) -> Id {
        self.enter(coming)
    }

    fn enter(&mut self, coming: Coming) -> Id {
        let Coming { token, line, host, app, bytes, expires, whole } = coming;
        self.last += 1;
        let (id, line, host): (_, Arc<str>, Arc<str>) = (Id(self.last), line.into(), host.into());
        let token: Arc<str> = token.into();
        self.tokens.insert(Arc::clone(&token));
        self.bytes += bytes;
        self.held += if whole.is_some() { bytes } else { 0 };
        self.hosts.entry(Arc::clone(&host)).or_default().waiting += 1;
        let of_line = self.lines.entry(Arc::clone(&line)).or_default();
        of_line.push_back(id);
        let is_first = of_line.len() == 1;
        let is_stored = whole.is_none();
        let waiting =
            Waiting { token, line, host, app, bytes, expires, attempts: 0, is_unheard: false, is_stored, whole };
        self.callbacks.insert(id, waiting);
        if is_first {
            self.make_ready(id);
        }
        id
    }

    /// Returns how many there are.
    pub(super) fn len(&self) -> usize {
        self.callbacks.len()
    }

    /// Returns how many only memory has.
    pub(super) fn unstored(&self) -> usize {
        self.callbacks.values().filter(|waiting| !waiting.is_stored).count()
    }

    /// Whether the queue has a callback of this token.
    pub(super) fn has(&self, token: &str) -> bool {
        self.tokens.contains(token)
    }

    pub(super) fn get(&self, id: Id) -> Option<&Waiting> {
        self.callbacks.get(&id)
    }

    /// The store has a callback now.
    pub(super) fn stored(&mut self, id: Id) {
        if let Some(waiting) = self.callbacks.get_mut(&id) {
            waiting.is_stored = true;
            self.relieve(id);
        }
    }

    /// Leaves a callback to the store, where memory has much.
    fn relieve(&mut self, id: Id) {
        let Some(waiting) = self.callbacks.get_mut(&id) else { return };
        if waiting.is_stored && self.held > CALLBACK_HELD_BYTES && waiting.whole.take().is_some() {
            self.held -= waiting.bytes;
        }
    }

    /// Returns the next callback to be sent, which is under way from now on.
    pub(super) fn next(&mut self, now: Instant) -> Option<Id> {
        while let Some((at, id)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.resting.remove(&(at, id));
            self.make_ready(id);
        }
        if self.under_way >= CALLBACKS_AT_ONCE {
            return None;
        }
        while let Some(name) = self.turns.pop_front() {
            let Some(host) = self.hosts.get_mut(&name) else { continue };
            host.has_turn = false;
            let next = if host.has_room() { host.ready.pop_front() } else { None };
            let Some(id) = next else { continue };
            host.under_way += 1;
            self.under_way += 1;
            self.give_turn(&name);
            if let Some(waiting) = self.callbacks.get_mut(&id) {
                waiting.attempts = waiting.attempts.saturating_add(1);
            }
            return Some(id);
        }
        None
    }

    /// Returns when one that rests is to be sent.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.resting.first().map(|(at, _)| *at)
    }

    /// A receiver has taken a callback, which is under way.
    pub(super) fn delivered(&mut self, id: Id) -> Option<Waiting> {
        self.came_back(id, true);
        self.remove(id)
    }

    /// An attempt failed. `is_heard`: the receiver gave some answer; `is_final`: no attempt can succeed; `random`: any number.
    pub(super) fn failed(&mut self, now: Instant, id: Id, (is_heard, is_final): (bool, bool), random: u32) -> Fate {
        self.came_back(id, is_heard);
        let Some(waiting) = self.callbacks.get_mut(&id) else { return Fate::GivenUp };
        if is_final || now >= waiting.expires {
            return Fate::GivenUp;
        }
        waiting.is_unheard = !is_heard;
        let at = (now + PAUSES.pause(waiting.attempts, random)).min(waiting.expires);
        self.resting.insert((at, id));
        self.relieve(id);
        Fate::Rests
    }

    /// Takes a callback out of its line, whose next one may be sent.
    pub(super) fn remove(&mut self, id: Id) -> Option<Waiting> {
        let waiting = self.callbacks.remove(&id)?;
        self.tokens.remove(&waiting.token);
        self.bytes -= waiting.bytes;
        self.held -= if waiting.whole.is_some() { waiting.bytes } else { 0 };
        let next = self.lines.get_mut(&waiting.line).and_then(|line| {
            line.retain(|other| *other != id);
            line.front().copied()
        });
        if let Some(host) = self.hosts.get_mut(&waiting.host) {
            host.waiting -= 1;
            if host.waiting == 0 {
                self.hosts.remove(&waiting.host);
            }
        }
        match next {
            Some(next) => self.make_ready(next),
            None => drop(self.lines.remove(&waiting.line)),
        }
        Some(waiting)
    }

    fn make_ready(&mut self, id: Id) {
        let Some(name) = self.callbacks.get(&id).map(|waiting| Arc::clone(&waiting.host)) else { return };
        if let Some(host) = self.hosts.get_mut(&name) {
            host.ready.push_back(id);
            self.give_turn(&name);
        }
    }

    fn give_turn(&mut self, name: &Arc<str>) {
        if let Some(host) = self.hosts.get_mut(name).filter(|host| !host.has_turn && host.has_room()) {
            host.has_turn = true;
            self.turns.push_back(Arc::clone(name));
        }
    }

    /// An attempt is over. One that got an answer after others got none has those sent that rest for that reason.
    fn came_back(&mut self, id: Id, is_heard: bool) {
        let Some(name) = self.callbacks.get(&id).map(|waiting| Arc::clone(&waiting.host)) else { return };
        let Some(host) = self.hosts.get_mut(&name) else { return };
        host.under_way = host.under_way.saturating_sub(1);
        self.under_way = self.under_way.saturating_sub(1);
        let recovers = std::mem::replace(&mut host.is_failing, !is_heard) && is_heard;
        if recovers {
            let callbacks = &self.callbacks;
            let of_host = |id: &Id| callbacks.get(id).is_some_and(|one| one.is_unheard && one.host == name);
            let woken: Vec<(Instant, Id)> = self.resting.iter().filter(|(_, id)| of_host(id)).copied().collect();
            for one in woken {
                self.resting.remove(&one);
                self.make_ready(one.1);
            }
        }
        self.give_turn(&name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARD: (bool, bool) = (true, false);
    const UNHEARD: (bool, bool) = (false, false);

    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn now() -> Instant {
        Instant::now()
    }

    fn coming(now: Instant, line: &str, host: &str) -> Coming {
        Coming {
            token: format!("{line} {host}"),
            line: line.to_owned(),
            host: host.to_owned(),
            app: "ivr".into(),
            bytes: 1000,
            expires: now + GIVE_UP,
            whole: None,
        }
    }

    fn all(queue: &mut Queue, now: Instant) -> Vec<Id> {
        std::iter::from_fn(|| queue.next(now)).collect()
    }

    #[test]
    fn a_line_is_in_order_and_holds_up_no_other() {
        let (mut queue, now) = (Queue::default(), now());
        let [a, b, c] = ["CA1", "CA1", "CA2"].map(|line| queue.add(coming(now, line, "h:1")).unwrap());
        assert_eq!(all(&mut queue, now), [a, c], "the second of a line waits for the first");
        assert_eq!(queue.failed(now, a, HEARD, u32::MAX), Fate::Rests);
        queue.delivered(c).unwrap();
        assert!(queue.next(now).is_none());
        let later = queue.poll_timeout().unwrap();
        assert_eq!(later, now + Duration::from_secs(1));
        assert_eq!(all(&mut queue, later), [a]);
        assert_eq!(queue.delivered(a).unwrap().attempts, 2);
        assert_eq!(all(&mut queue, later), [b]);
        queue.delivered(b).unwrap();
        assert_eq!((queue.len(), queue.bytes, queue.under_way), (0, 0, 0));
        assert!(queue.hosts.is_empty() && queue.lines.is_empty() && queue.turns.is_empty() && queue.tokens.is_empty());
    }

    #[test]
    fn a_callback_is_given_up_after_24_hours_and_the_next_of_its_line_follows() {
        let (mut queue, began) = (Queue::default(), now());
        let first = queue.add(coming(began, "CA1", "h:1")).unwrap();
        let mut later = coming(began, "CA1", "h:1");
        later.expires += Duration::from_secs(600);
        let second = queue.add(later).unwrap();
        let (mut at, mut attempts) = (began, 0);
        loop {
            assert_eq!(queue.next(at), Some(first));
            attempts += 1;
            if queue.failed(at, first, UNHEARD, u32::MAX) == Fate::GivenUp {
                break;
            }
            let next = queue.poll_timeout().unwrap();
            assert!(next > at && next - at <= Duration::from_secs(CALLBACK_PAUSE_MOST_SECONDS));
            at = next;
        }
        assert_eq!(at, began + GIVE_UP, "the last attempt is made when its time is over");
        assert!((290..310).contains(&attempts), "{attempts}");
        queue.remove(first).unwrap();
        assert_eq!(queue.next(at), Some(second));
        assert_eq!(queue.failed(at, second, (true, true), 0), Fate::GivenUp, "a URL that is none");
    }

    #[test]
    fn a_dead_host_has_few_under_way_and_others_go_on() {
        let (mut queue, now) = (Queue::default(), now());
        for n in 0..CALLBACKS_AT_ONCE {
            queue.add(coming(now, &format!("CA{n}"), "dead:1")).unwrap();
        }
        let dead = all(&mut queue, now);
        assert_eq!(dead.len(), CALLBACKS_AT_ONCE_OF_HOST);
        let good = queue.add(coming(now, "CB", "good:1")).unwrap();
        assert_eq!(all(&mut queue, now), [good]);
        for id in &dead {
            queue.failed(now, *id, UNHEARD, u32::MAX);
        }
        assert_eq!(all(&mut queue, now).len(), CALLBACKS_AT_ONCE_OF_FAILING);
        assert_eq!(queue.resting.len(), dead.len());
    }

    #[test]
    fn a_host_that_answers_again_gets_what_rests_at_once() {
        let (mut queue, now) = (Queue::default(), now());
        let ids = ["CA1", "CA2", "CA3"].map(|line| queue.add(coming(now, line, "h:1")).unwrap());
        assert_eq!(all(&mut queue, now), ids);
        queue.failed(now, ids[1], HEARD, 0);
        queue.failed(now, ids[0], UNHEARD, 0);
        queue.failed(now, ids[2], UNHEARD, 0);
        let other = queue.add(coming(now, "CA4", "h:1")).unwrap();
        assert_eq!(all(&mut queue, now), [other]);
        queue.delivered(other).unwrap();
        assert_eq!(all(&mut queue, now), [ids[0], ids[2]], "what was answered keeps its pause");
    }

    #[test]
    fn there_is_room_for_so_many_and_no_host_has_it_all() {
        let (mut queue, now) = (Queue::default(), now());
        let mut add =
            |n: usize, host: &str| queue.add(Coming { bytes: 1, ..coming(now, &format!("CA{n}"), host) }).is_some();
        assert_eq!((0..CALLBACKS_WAITING_OF_HOST + 5).filter(|n| add(*n, "a:1")).count(), CALLBACKS_WAITING_OF_HOST);
        assert_eq!((0..CALLBACKS_WAITING).filter(|n| add(*n, "b:1")).count(), CALLBACKS_WAITING_OF_HOST);
        assert!(!add(0, "c:1"));
        let mut queue = Queue::default();
        assert!(queue.add(Coming { bytes: CALLBACK_BYTES + 1, ..coming(now, "CA1", "a:1") }).is_none());
    }
}
