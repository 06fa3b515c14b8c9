//! The order and the times of callbacks that wait. Those of one line (about one resource, to one URL) leave one after the other; a line
//! waits for its own first callback alone. Hosts take turns, each with a bounded number under way: few until it has answered once, and
//! fewer where the last attempt got no answer; within a host the URLs of applications do, first attempts apart from repetitions. What there is no room for is taken from the greatest share ([`Shares`]).

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shares::{Path, Shares, path};
use super::stored::Callback;
use trunkgate_system::backoff::Backoff;
use trunkgate_system::limits::{
    CALLBACK_ATTEMPTS_TOLD, CALLBACK_BYTES, CALLBACK_GIVE_UP_SECONDS, CALLBACK_HELD_BYTES, CALLBACK_HELD_MOST_BYTES,
    CALLBACK_PAUSE_MILLISECONDS, CALLBACK_PAUSE_MOST_SECONDS, CALLBACKS_AT_ONCE, CALLBACKS_AT_ONCE_OF_FAILING,
    CALLBACKS_AT_ONCE_OF_HOST, CALLBACKS_AT_ONCE_OF_UNKNOWN, CALLBACKS_WAITING,
};
use trunkgate_system::turns::{Turn, Turns};

/// Pauses between attempts.
const PAUSES: Backoff =
    Backoff::new(Duration::from_millis(CALLBACK_PAUSE_MILLISECONDS), Duration::from_secs(CALLBACK_PAUSE_MOST_SECONDS));
/// A callback is given up after this time.
pub(super) const GIVE_UP: Duration = Duration::from_secs(CALLBACK_GIVE_UP_SECONDS);

/// Names a callback of the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Id(u64);

impl Id {
    /// Makes one for a test.
    #[cfg(test)]
    pub(super) const fn new(number: u64) -> Id {
        Id(number)
    }
}

/// A callback that comes to the queue.
#[derive(Debug)]
pub(super) struct Coming {
    pub(super) token: String,
    /// SID of the resource, and the URL.
    pub(super) line: String,
    /// Host and port of the URL.
    pub(super) host: String,
    /// The URL without its query.
    pub(super) place: String,
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
    /// Its application, and the URL without its query.
    receiver: Arc<str>,
    /// Its application, host and port.
    share: Path,
    bytes: usize,
    expires: Instant,
    place: Place,
    /// Attempts so far, the one under way included.
    pub(super) attempts: u32,
    pub(super) is_stored: bool,
    /// `None`: only the store has it.
    pub(super) whole: Option<Arc<Callback>>,
}

/// Place of a callback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Behind others of its line.
    Behind,
    /// Among those that may be sent to its host, at this turn.
    Ready(Turn),
    /// Until the next attempt.
    Resting(Instant),
    UnderWay,
}

impl Waiting {
    /// Returns its application.
    pub(super) fn app(&self) -> &Arc<str> {
        &self.share[0]
    }

    /// Returns the time until its next attempt, where one has failed.
    pub(super) fn rests_for(&self, now: Instant) -> Option<Duration> {
        match self.place {
            Place::Resting(at) => Some(at.saturating_duration_since(now)),
            Place::Behind | Place::Ready(_) | Place::UnderWay => None,
        }
    }

    /// Whether so many attempts failed that `status` has a problem; `attempts`: those that failed.
    pub(super) fn is_failing(attempts: u32) -> bool {
        attempts >= CALLBACK_ATTEMPTS_TOLD
    }
}

#[derive(Debug, Default)]
struct Host {
    /// Those that rest since their last attempt got no answer.
    unheard: BTreeSet<Id>,
    waiting: usize,
    /// Whether the last attempt got an answer; `None`: there was none yet.
    answers: Option<bool>,
}

impl Host {
    /// Returns how many may be under way.
    fn most(&self) -> usize {
        match self.answers {
            None => CALLBACKS_AT_ONCE_OF_UNKNOWN,
            Some(true) => CALLBACKS_AT_ONCE_OF_HOST,
            Some(false) => CALLBACKS_AT_ONCE_OF_FAILING,
        }
    }
}

/// Callbacks that wait or are under way.
#[derive(Debug)]
pub(super) struct Queue {
    callbacks: HashMap<Id, Waiting>,
    tokens: HashSet<Arc<str>>,
    lines: HashMap<Arc<str>, VecDeque<Id>>,
    hosts: HashMap<Arc<str>, Host>,
    /// First callbacks of their lines that may be sent.
    turns: Turns<Id>,
    /// First callbacks of their lines that rest after an attempt.
    resting: BTreeSet<(Instant, Id)>,
    /// Those that are not under way.
    shares: Shares,
    bytes: usize,
    /// Bytes of those that are in memory.
    held: usize,
    last: u64,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue {
            callbacks: HashMap::new(),
            tokens: HashSet::new(),
            lines: HashMap::new(),
            hosts: HashMap::new(),
            turns: Turns::new(CALLBACKS_AT_ONCE),
            resting: BTreeSet::new(),
            shares: Shares::default(),
            bytes: 0,
            held: 0,
            last: 0,
        }
    }
}

/// What came of adding a callback.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// `None`: there is no room for it.
    pub(super) id: Option<Id>,
    /// Callbacks of greater shares that made way.
    pub(super) dropped: Vec<Waiting>,
}

/// What becomes of a callback whose attempt failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Rests,
    GivenUp,
}

impl Queue {
    /// Adds a callback behind those of its line. Where there is no room for it, the newest of the greatest share makes way.
    pub(super) fn add(&mut self, coming: Coming) -> Added {
        let mut added = Added::default();
        let share = path(&coming.app, &coming.host);
        while self.is_full(&coming) {
            let surplus = self.shares.surplus(&share, coming.bytes).filter(|id| self.makes_room(*id, &coming));
            let Some(waiting) = surplus.and_then(|id| self.remove(id)) else { return added };
            added.dropped.push(waiting);
        }
        added.id = Some(self.enter(coming, share));
        added
    }

    fn is_full(&self, coming: &Coming) -> bool {
        self.callbacks.len() >= CALLBACKS_WAITING
            || self.bytes + coming.bytes > CALLBACK_BYTES
            || self.has_no_memory(coming)
    }

    /// Whether a callback that the store does not have yet finds no place in memory.
    fn has_no_memory(&self, coming: &Coming) -> bool {
        coming.whole.is_some() && self.held + coming.bytes > CALLBACK_HELD_MOST_BYTES
    }

    /// Whether there is more room for another callback without this one.
    fn makes_room(&self, id: Id, coming: &Coming) -> bool {
        let is_held = self.callbacks.get(&id).is_some_and(|waiting| waiting.whole.is_some());
        is_held || !self.has_no_memory(coming)
    }

    fn enter(&mut self, coming: Coming, share: Path) -> Id {
        let Coming { token, line, host, place, app, bytes, expires, whole } = coming;
        let receiver = format!("{app} {place}").into();
        self.last += 1;
        let (id, line, host): (_, Arc<str>, Arc<str>) = (Id(self.last), line.into(), host.into());
        let token: Arc<str> = token.into();
        self.tokens.insert(Arc::clone(&token));
        self.bytes += bytes;
        self.held += if whole.is_some() { bytes } else { 0 };
        self.shares.put(&share, id, bytes);
        self.hosts.entry(Arc::clone(&host)).or_default().waiting += 1;
        let of_line = self.lines.entry(Arc::clone(&line)).or_default();
        of_line.push_back(id);
        let is_first = of_line.len() == 1;
        let is_stored = whole.is_none();
        let waiting = Waiting {
            token,
            line,
            host,
            receiver,
            share,
            bytes,
            expires,
            place: Place::Behind,
            attempts: 0,
            is_stored,
            whole,
        };
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
        while let Some((_, id)) = self.resting.first().copied().filter(|(at, _)| *at <= now) {
            self.make_ready(id);
        }
        let id = self.turns.next_turn()?;
        if let Some(waiting) = self.callbacks.get_mut(&id) {
            waiting.attempts = waiting.attempts.saturating_add(1);
            waiting.place = Place::UnderWay;
            self.shares.take(&waiting.share, id, waiting.bytes);
        }
        Some(id)
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
        let at = (now + PAUSES.pause(waiting.attempts, random)).min(waiting.expires);
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

    /// Takes a callback out of its line, whose next one may be sent.
    pub(super) fn remove(&mut self, id: Id) -> Option<Waiting> {
        self.leave_place(id);
        let waiting = self.callbacks.remove(&id)?;
        self.shares.take(&waiting.share, id, waiting.bytes);
        self.tokens.remove(&waiting.token);
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
            // The first may be ready, resting or under way already.
            Some(next) if self.callbacks.get(&next).is_some_and(|next| next.place == Place::Behind) => {
                self.make_ready(next);
            }
            Some(_) => {}
            None => drop(self.lines.remove(&waiting.line)),
        }
        Some(waiting)
    }

    /// Takes a callback out of those that are ready or rest.
    fn leave_place(&mut self, id: Id) {
        let Some(waiting) = self.callbacks.get_mut(&id) else { return };
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
        let Some(waiting) = self.callbacks.get_mut(&id) else { return };
        let most = self.hosts.get(&waiting.host).map_or(CALLBACKS_AT_ONCE_OF_UNKNOWN, Host::most);
        let receiver = (Arc::clone(&waiting.receiver), waiting.attempts > 0);
        waiting.place = Place::Ready(self.turns.put(&waiting.host, most, &receiver, id));
    }

    /// An attempt is over. One that got an answer after others got none has those sent that rest for that reason.
    fn came_back(&mut self, id: Id, is_heard: bool) {
        let Some(waiting) = self.callbacks.get(&id) else { return };
        let name = Arc::clone(&waiting.host);
        self.shares.heard(&waiting.share, is_heard);
        let Some(host) = self.hosts.get_mut(&name) else { return };
        let recovers = host.answers.replace(is_heard) == Some(false) && is_heard;
        let most = host.most();
        if recovers {
            let woken = std::mem::take(&mut host.unheard);
            woken.into_iter().for_each(|id| self.make_ready(id));
        }
        self.turns.over(&name, most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEARD: (bool, bool) = (true, false);
    const UNHEARD: (bool, bool) = (false, false);

    fn now() -> Instant {
        Instant::now()
    }

    fn coming(now: Instant, line: &str, host: &str) -> Coming {
        Coming {
            token: format!("{line} {host}"),
            line: line.to_owned(),
            host: host.to_owned(),
            place: format!("http://{host}/"),
            app: "ivr".into(),
            bytes: 1000,
            expires: now + GIVE_UP,
            whole: None,
        }
    }

    fn add(queue: &mut Queue, coming: Coming) -> Id {
        queue.add(coming).id.unwrap()
    }

    fn all(queue: &mut Queue, now: Instant) -> Vec<Id> {
        std::iter::from_fn(|| queue.next(now)).collect()
    }

    #[test]
    fn a_line_is_in_order_and_holds_up_no_other() {
        let (mut queue, now) = (Queue::default(), now());
        let [a, b, c] = ["CA1", "CA1", "CA2"].map(|line| add(&mut queue, coming(now, line, "h:1")));
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
        assert_eq!((queue.len(), queue.bytes), (0, 0));
        assert!(queue.hosts.is_empty() && queue.lines.is_empty() && queue.turns.is_empty() && queue.tokens.is_empty());
    }

    #[test]
    fn a_callback_is_given_up_after_24_hours_and_the_next_of_its_line_follows() {
        let (mut queue, began) = (Queue::default(), now());
        let first = add(&mut queue, coming(began, "CA1", "h:1"));
        let mut later = coming(began, "CA1", "h:1");
        later.expires += Duration::from_secs(600);
        let second = add(&mut queue, later);
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
            add(&mut queue, coming(now, &format!("CA{n}"), "dead:1"));
        }
        let dead = all(&mut queue, now);
        assert_eq!(dead.len(), CALLBACKS_AT_ONCE_OF_UNKNOWN);
        let good = add(&mut queue, coming(now, "CB", "good:1"));
        assert_eq!(all(&mut queue, now), [good]);
        for id in &dead {
            queue.failed(now, *id, UNHEARD, u32::MAX);
        }
        let next = all(&mut queue, now);
        assert_eq!(next.len(), CALLBACKS_AT_ONCE_OF_FAILING);
        assert_eq!(queue.resting.len(), dead.len());
        queue.delivered(next[0]).unwrap();
        assert_eq!(all(&mut queue, now).len(), CALLBACKS_AT_ONCE_OF_HOST - 1, "it has answered");
    }

    #[test]
    fn a_url_that_hangs_lets_others_of_its_host_have_their_turns() {
        let (mut queue, now) = (Queue::default(), now());
        for n in 0..100 {
            add(&mut queue, coming(now, &format!("RE{n}"), "h:1"));
        }
        let hung = all(&mut queue, now);
        hung.iter().for_each(|id| _ = queue.failed(now, *id, UNHEARD, u32::MAX));
        let hung = all(&mut queue, now);
        assert_eq!(hung.len(), CALLBACKS_AT_ONCE_OF_FAILING);
        let notify = Coming { app: "voicemail:desk".into(), ..coming(now, "RE", "h:1") };
        let other = Coming { place: "http://h:1/ok".to_owned(), ..coming(now, "REok", "h:1") };
        let (notify, other) = (add(&mut queue, notify), add(&mut queue, other));
        queue.failed(now, hung[0], UNHEARD, u32::MAX);
        assert_eq!(all(&mut queue, now), [notify], "another application");
        queue.failed(now, hung[1], UNHEARD, u32::MAX);
        assert_eq!(all(&mut queue, now), [other], "another URL");
    }

    #[test]
    fn a_host_that_answers_again_gets_what_rests_at_once() {
        let (mut queue, now) = (Queue::default(), now());
        let ids = ["CA1", "CA2", "CA3"].map(|line| add(&mut queue, coming(now, line, "h:1")));
        assert_eq!(all(&mut queue, now), ids);
        queue.failed(now, ids[1], HEARD, 0);
        queue.failed(now, ids[0], UNHEARD, 0);
        queue.failed(now, ids[2], UNHEARD, 0);
        let other = add(&mut queue, coming(now, "CA4", "h:1"));
        assert_eq!(all(&mut queue, now), [other]);
        queue.delivered(other).unwrap();
        assert_eq!(all(&mut queue, now), [ids[0], ids[2]], "what was answered keeps its pause");
    }

    #[test]
    fn no_receiver_takes_the_room_of_another() {
        let (mut queue, now) = (Queue::default(), now());
        // Two ports of one host, and another host.
        for n in 0..CALLBACKS_WAITING {
            let host = ["dead:1", "dead:2", "gone:1"][n % 3];
            let waits = Coming { bytes: 1, ..coming(now, &format!("CA{n}"), host) };
            assert!(queue.add(waits).dropped.is_empty());
        }
        for id in all(&mut queue, now) {
            queue.failed(now, id, UNHEARD, u32::MAX);
        }
        let good = |n: usize| coming(now, &format!("CB{n}"), "good:1");
        let mut dropped = Vec::new();
        for n in 0..1000 {
            let added = queue.add(good(n));
            assert!(added.id.is_some(), "{n}");
            dropped.extend(added.dropped);
        }
        assert_eq!((queue.len(), dropped.len()), (CALLBACKS_WAITING, 1000));
        assert!(dropped.iter().all(|one| one.host.starts_with("dead:")), "one host, whatever the port");
        let newest = format!("CA{}", CALLBACKS_WAITING - 1);
        assert_eq!(*dropped[0].line, *newest, "the newest goes, and what was tried first stays");
        assert!(queue.add(coming(now, "CA", "dead:1")).id.is_none(), "its own share is the greatest");
        assert!(queue.add(coming(now, "CA", "dead:3")).id.is_some(), "another port has fewer");
        assert!(all(&mut queue, now).iter().any(|id| &*queue.get(*id).unwrap().host == "good:1"));
        let ids: Vec<Id> = queue.callbacks.keys().copied().collect();
        ids.into_iter().for_each(|id| drop(queue.remove(id)));
        assert!(queue.shares.is_empty() && queue.resting.is_empty() && queue.hosts.is_empty() && queue.bytes == 0);
    }

    #[test]
    fn an_application_with_many_hosts_takes_the_room_of_none_with_few() {
        let (mut queue, now) = (Queue::default(), now());
        for n in 0..CALLBACKS_WAITING {
            let waits = Coming { bytes: 1, app: "many".into(), ..coming(now, "CA", &format!("{n}.example:1")) };
            assert!(queue.add(waits).id.is_some());
        }
        for n in 0..10 {
            let added = queue.add(coming(now, &format!("CB{n}"), "good:1"));
            assert!(added.id.is_some() && &**added.dropped[0].app() == "many", "{n}");
        }
    }

    #[test]
    fn what_makes_way_is_not_sent_and_its_line_goes_on() {
        let (mut queue, now) = (Queue::default(), now());
        let ids = ["CA1", "CA1", "CA1", "CA2"].map(|line| add(&mut queue, coming(now, line, "h:1")));
        queue.remove(ids[2]).unwrap();
        queue.remove(ids[3]).unwrap();
        assert_eq!(all(&mut queue, now), [ids[0]]);
        queue.failed(now, ids[0], UNHEARD, u32::MAX);
        queue.remove(ids[0]).unwrap();
        assert_eq!((all(&mut queue, now), queue.poll_timeout()), (vec![ids[1]], None));
    }

    #[test]
    fn bytes_and_memory_are_bounded() {
        let (mut queue, now) = (Queue::default(), now());
        assert!(queue.add(Coming { bytes: CALLBACK_BYTES + 1, ..coming(now, "CA1", "a:1") }).id.is_none());
        add(&mut queue, Coming { bytes: CALLBACK_BYTES / 2, ..coming(now, "CA1", "a:1") });
        add(&mut queue, Coming { bytes: CALLBACK_BYTES / 2, ..coming(now, "CA2", "a:1") });
        let added = queue.add(coming(now, "CB1", "b:1"));
        assert!(added.id.is_some() && added.dropped.len() == 1);
        assert!(queue.bytes <= CALLBACK_BYTES);
    }
}
