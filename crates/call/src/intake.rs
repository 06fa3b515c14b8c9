//! Messages that have come and wait for their turn: what keeps calls going first, new calls after it, OPTIONS and
//! REGISTER last. A new call that cannot be served in time is turned away, and whether that is so is decided here alone.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::time::Instant;

use trunkgate_sip::{Flow, Message, Method, Party};

use crate::limits::{
    INVITE_WAIT, INVITES_ALWAYS_SERVED, ONGOING_BEFORE_REFUSAL, OVERLOAD_AFTER, OVERLOAD_INVITES, OVERLOAD_OVER,
    TURNED_AWAY, TURNED_AWAY_REMEMBERED, WAITING_BYTES, WAITING_INVITES, WAITING_MESSAGE_OVERHEAD_BYTES,
    WAITING_ONGOING_MESSAGES, WAITING_OTHERS,
};

/// A queue that is empty keeps room for so many.
const ROOM_KEPT: usize = 64;

/// Why a message is not served: labels of `sip_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// OPTIONS, REGISTER or the like, late while the edge is overloaded.
    Overloaded,
    /// No room to wait.
    QueueFull,
    /// A repetition of an INVITE that waits.
    Repeated,
}

impl DropReason {
    /// The label.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::Overloaded => "overloaded",
            DropReason::QueueFull => "queue_full",
            DropReason::Repeated => "repeated",
        }
    }
}

/// What is to be done next.
#[derive(Debug)]
pub enum Next<N> {
    /// A message is served.
    Message(Flow, Message),
    /// An INVITE is turned away.
    TurnAway(Flow, Message),
    /// News of a connection, behind its messages.
    News(N),
    /// A message that waited for nothing.
    Dropped(DropReason),
}

/// What a message is to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// It keeps one going, or ends it.
    Ongoing,
    /// It begins one.
    Invite,
    /// It is about none.
    Other,
}

impl Class {
    fn of(message: &Message) -> Class {
        let method = message.method();
        let ends = matches!(method, Method::Ack | Method::Cancel | Method::Bye);
        if !message.is_request() || ends || message.to().and_then(|to| to.tag()).is_some_and(|tag| !tag.is_empty()) {
            return Class::Ongoing;
        }
        if method == Method::Invite { Class::Invite } else { Class::Other }
    }
}

/// A message in a queue.
#[derive(Debug)]
struct Waiting {
    flow: Flow,
    message: Message,
    came: Instant,
    /// What its repetitions, its ACK and its CANCEL have in common with it.
    key: u64,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.message.as_bytes().len() + WAITING_MESSAGE_OVERHEAD_BYTES
    }
}

/// What keeps calls going.
#[derive(Debug)]
enum Ongoing<N> {
    Message(Waiting),
    News(N),
}

/// INVITEs by the trunk that they are of, which are served in turn: a flood of one trunk makes no other wait.
#[derive(Debug, Default)]
struct Lines {
    lines: HashMap<Party, Line>,
    /// Those that are not empty, the next one first.
    turns: VecDeque<Party>,
    /// When the first message of each came.
    fronts: BTreeSet<(Instant, Party)>,
    len: usize,
}

/// The INVITEs of one trunk.
#[derive(Debug, Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
}

impl Lines {
    fn push(&mut self, origin: Party, waiting: Waiting) {
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
    fn first(&self) -> Option<&Waiting> {
        self.lines.get(self.turns.front()?)?.waiting.front()
    }

    /// When the message came that has waited longest.
    fn oldest(&self) -> Option<Instant> {
        self.fronts.first().map(|(came, _)| *came)
    }

    /// Takes the message that is next; its trunk is at the end of the turns then.
    fn pop(&mut self) -> Option<Waiting> {
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
    fn push_out(&mut self, origin: Party, bytes: usize) -> Option<Waiting> {
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

/// All that wait. `N` is news of connections, which must not overtake their messages.
#[derive(Debug)]
pub struct Intake<N> {
    ongoing: VecDeque<Ongoing<N>>,
    /// INVITEs that begin calls, each followed by its CANCEL.
    invites: Lines,
    others: VecDeque<Waiting>,
    /// The keys of `invites`, each with its line.
    keys: HashMap<u64, Party>,
    bytes: usize,
    /// Messages that were dropped for others, and are still to be counted.
    pushed_out: usize,
    turned_away: TurnedAway,
    late_since: Option<Instant>,
    overloaded_until: Option<Instant>,
    /// Messages of `ongoing` since an INVITE was turned away.
    run: u32,
}

impl<N> Default for Intake<N> {
    fn default() -> Intake<N> {
        Intake {
            ongoing: VecDeque::new(),
            invites: Lines::default(),
            others: VecDeque::new(),
            keys: HashMap::new(),
            bytes: 0,
            pushed_out: 0,
            turned_away: TurnedAway::default(),
            late_since: None,
            overloaded_until: None,
            run: 0,
        }
    }
}

impl<N> Intake<N> {
    /// Takes a message of `origin` that came at `came`, by the network's clock.
    ///
    /// # Errors
    /// Why it does not wait.
    pub fn offer(
        &mut self,
        now: Instant,
        came: Instant,
        origin: Party,
        flow: Flow,
        message: Message,
    ) -> Result<(), DropReason> {
        let class = Class::of(&message);
        self.enter(now, came, origin, (flow, message), class)
    }

    /// The same for one that is served before new calls, and never turned away.
    ///
    /// # Errors
    /// Why it does not wait.
    pub fn offer_first(&mut self, now: Instant, came: Instant, flow: Flow, message: Message) -> Result<(), DropReason> {
        self.enter(now, came, Party(0), (flow, message), Class::Ongoing)
    }

    fn enter(
        &mut self,
        now: Instant,
        came: Instant,
        origin: Party,
        (flow, message): (Flow, Message),
        class: Class,
    ) -> Result<(), DropReason> {
        let key = if class == Class::Invite || self.has_keys() { key_of(&flow, &message) } else { 0 };
        let is_request = message.is_request();
        let method = message.method();
        let waiting = Waiting { flow, message, came, key };
        let limit = if class == Class::Ongoing { WAITING_BYTES } else { WAITING_BYTES / 2 };
        let is_repeated = class == Class::Invite && self.keys.contains_key(&key);
        while self.bytes + waiting.bytes() > limit
            || class == Class::Invite && !is_repeated && self.invites.len >= WAITING_INVITES
        {
            let is_invite = class == Class::Invite && !is_repeated;
            let pushed_out = if is_invite { self.invites.push_out(origin, waiting.bytes()) } else { None };
            let Some(pushed_out) = pushed_out else { return Err(DropReason::QueueFull) };
            self.bytes -= pushed_out.bytes();
            self.pushed_out += 1;
            if pushed_out.message.method() == Method::Invite {
                self.keys.remove(&pushed_out.key);
            }
        }
        match class {
            // Nothing is kept of what was turned away, and so nobody waits for its ACK.
            Class::Ongoing if is_request && method == Method::Ack && self.turned_away.has(now, key) => return Ok(()),
            Class::Ongoing
                if is_request
                    && method == Method::Cancel
                    && let Some(origin) = self.keys.get(&key).copied() =>
            {
                self.invites.push(origin, waiting.counted(&mut self.bytes));
            }
            Class::Ongoing if self.ongoing.len() >= WAITING_ONGOING_MESSAGES => return Err(DropReason::QueueFull),
            Class::Ongoing => self.ongoing.push_back(Ongoing::Message(waiting.counted(&mut self.bytes))),
            Class::Invite if is_repeated => return Err(DropReason::Repeated),
            Class::Invite => {
                self.keys.insert(key, origin);
                self.invites.push(origin, waiting.counted(&mut self.bytes));
            }
            Class::Other => {
                let oldest = if self.others.len() >= WAITING_OTHERS { self.others.pop_front() } else { None };
                self.others.push_back(waiting.counted(&mut self.bytes));
                if let Some(oldest) = oldest {
                    self.bytes -= oldest.bytes();
                    return Err(DropReason::QueueFull);
                }
            }
        }
        Ok(())
    }

    /// Takes news of a connection. Ask [`Self::has_room`] before: news is never dropped.
    pub fn tell(&mut self, news: N) {
        self.ongoing.push_back(Ongoing::News(news));
    }

    /// Whether more may be read: else what keeps calls going would be lost.
    pub fn has_room(&self) -> bool {
        self.ongoing.len() < WAITING_ONGOING_MESSAGES && self.bytes < WAITING_BYTES
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.ongoing.len() + self.invites.len + self.others.len() + self.pushed_out
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether new calls are turned away that cannot be served in time.
    pub fn is_overloaded(&self) -> bool {
        self.overloaded_until.is_some()
    }

    /// When an overload will be over, if nothing is late until then.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.overloaded_until
    }

    /// Looks whether an overload has begun or is over.
    pub fn judge(&mut self, now: Instant) {
        if !self.is_behind(now, self.invites.oldest()) {
            self.late_since = None;
            self.overloaded_until = self.overloaded_until.filter(|until| now < *until);
            return;
        }
        let since = *self.late_since.get_or_insert(now);
        let lasts = now.saturating_duration_since(since) >= OVERLOAD_AFTER;
        if lasts || self.invites.len > OVERLOAD_INVITES || self.overloaded_until.is_some_and(|until| now < until) {
            self.overloaded_until = now.checked_add(OVERLOAD_OVER);
        }
    }

    /// What is to be done next; `None` when nothing waits.
    pub fn next(&mut self, now: Instant) -> Option<Next<N>> {
        self.judge(now);
        if self.pushed_out > 0 {
            self.pushed_out -= 1;
            return Some(Next::Dropped(DropReason::QueueFull));
        }
        let late = self.is_overloaded() && self.is_behind(now, self.invites.first().map(|first| first.came));
        if (self.run < ONGOING_BEFORE_REFUSAL || !late)
            && let Some(ongoing) = pop(&mut self.ongoing)
        {
            self.run = self.run.saturating_add(1);
            return Some(match ongoing {
                Ongoing::Message(waiting) => self.served(waiting),
                Ongoing::News(news) => Next::News(news),
            });
        }
        self.run = 0;
        if let Some(first) = self.invites.pop() {
            let begins = first.message.method() == Method::Invite;
            if begins {
                self.keys.remove(&first.key);
            }
            let again = begins && self.turned_away.has(now, first.key);
            if !again && (!late || !begins) {
                return Some(self.served(first));
            }
            if !again {
                self.turned_away.enter(now, first.key);
            }
            self.bytes -= first.bytes();
            return Some(Next::TurnAway(first.flow, first.message));
        }
        let other = pop(&mut self.others)?;
        if self.is_overloaded() && is_late(now, other.came) {
            self.bytes -= other.bytes();
            return Some(Next::Dropped(DropReason::Overloaded));
        }
        Some(self.served(other))
    }

    /// Whether an INVITE that came then is late, and not one of a few.
    fn is_behind(&self, now: Instant, came: Option<Instant>) -> bool {
        self.invites.len > INVITES_ALWAYS_SERVED && came.is_some_and(|came| is_late(now, came))
    }

    fn served(&mut self, waiting: Waiting) -> Next<N> {
        self.bytes -= waiting.bytes();
        Next::Message(waiting.flow, waiting.message)
    }

    fn has_keys(&self) -> bool {
        !self.keys.is_empty() || !self.turned_away.keys.is_empty()
    }
}

impl Waiting {
    fn counted(self, bytes: &mut usize) -> Waiting {
        *bytes += self.bytes();
        self
    }
}

/// Which INVITEs were turned away lately.
#[derive(Debug, Default)]
struct TurnedAway {
    keys: HashSet<u64>,
    in_order: VecDeque<(Instant, u64)>,
}

impl TurnedAway {
    fn has(&mut self, now: Instant, key: u64) -> bool {
        while let Some((at, _)) = self.in_order.front()
            && now.saturating_duration_since(*at) > TURNED_AWAY_REMEMBERED
        {
            self.forget_oldest();
        }
        self.keys.contains(&key)
    }

    fn enter(&mut self, now: Instant, key: u64) {
        if self.in_order.len() >= TURNED_AWAY {
            self.forget_oldest();
        }
        self.keys.insert(key);
        self.in_order.push_back((now, key));
    }

    fn forget_oldest(&mut self) {
        if let Some((_, key)) = pop(&mut self.in_order) {
            self.keys.remove(&key);
        }
        if self.in_order.is_empty() {
            self.keys.shrink_to(ROOM_KEPT);
        }
    }
}

/// Takes the first one; a queue that has become empty gives its room back.
fn pop<T>(queue: &mut VecDeque<T>) -> Option<T> {
    let first = queue.pop_front();
    if queue.is_empty() && queue.capacity() > 2 * ROOM_KEPT {
        queue.shrink_to(ROOM_KEPT);
    }
    first
}

fn is_late(now: Instant, came: Instant) -> bool {
    now.saturating_duration_since(came) > INVITE_WAIT
}

/// What an INVITE, its repetitions, its CANCEL and the ACK to its refusal share (RFC 3261 §9.1, §17.1.1.3).
fn key_of(flow: &Flow, message: &Message) -> u64 {
    let mut hasher = DefaultHasher::new();
    flow.remote.ip().hash(&mut hasher);
    message.via().and_then(|via| via.branch).hash(&mut hasher);
    message.call_id().hash(&mut hasher);
    message.from_tag().hash(&mut hasher);
    message.cseq().map(|cseq| cseq.number).hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use trunkgate_sip::{ListenerId, Transport};

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[allow(clippy::disallowed_methods)] // any instant will do
    fn start() -> Instant {
        Instant::now() + Duration::from_secs(1_000)
    }

    fn flow(host: u8) -> Flow {
        let remote = ([198, 51, 100, host], 5060).into();
        Flow { transport: Transport::Udp, listener: ListenerId(0), remote, connection: None }
    }

    /// `INVITE 1`: a request of branch 1; `INVITE+ 1`: in a dialog; `200 1`: an answer.
    fn message(text: &str) -> Message {
        let (what, branch) = text.split_once(' ').unwrap();
        let (method, tag) = what.strip_suffix('+').map_or((what, ""), |method| (method, ";tag=us"));
        let (line, method) = match what.parse::<u16>() {
            Ok(code) => (format!("SIP/2.0 {code} x"), "INVITE"),
            Err(_) => (format!("{method} sip:b@192.0.2.1 SIP/2.0"), method),
        };
        let text = format!(
            "{line}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK{branch}\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>{tag}\r\n\
             Call-ID: {branch}\r\nCSeq: 1 {method}\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn shown(next: Next<&str>) -> String {
        let line = |message: Message| {
            let what = message.code().map_or_else(|| message.method().as_str().into(), |code| code.to_string());
            format!("{what} {}", String::from_utf8_lossy(message.call_id().unwrap()))
        };
        match next {
            Next::Message(_, message) => line(message),
            Next::TurnAway(_, message) => format!("503 to {}", line(message)),
            Next::News(news) => news.into(),
            Next::Dropped(reason) => reason.as_str().into(),
        }
    }

    struct Bench {
        now: Instant,
        intake: Intake<&'static str>,
    }

    impl Bench {
        fn new() -> Bench {
            Bench { now: start(), intake: Intake::default() }
        }
        /// A message that has been in the system's queue for so long.
        fn offer(&mut self, ago: Duration, text: &str) -> Result<(), DropReason> {
            self.intake.offer(self.now, self.now - ago, Party(1), flow(7), message(text))
        }
        fn next(&mut self) -> String {
            self.intake.next(self.now).map_or_else(|| "nothing".into(), shown)
        }
        fn all(&mut self) -> Vec<String> {
            std::iter::from_fn(|| self.intake.next(self.now).map(shown)).collect()
        }
        /// So many INVITEs that came so long ago.
        fn pile(&mut self, ago: Duration, names: std::ops::Range<u32>) {
            for n in names {
                self.offer(ago, &format!("INVITE {n}")).unwrap();
            }
        }
    }

    #[test]
    fn what_keeps_calls_going_is_first_and_options_are_last() {
        for (came, served) in [
            (&["OPTIONS 1", "INVITE 2", "BYE+ 3"][..], &["BYE 3", "INVITE 2", "OPTIONS 1"][..]),
            (&["REGISTER 1", "INVITE 2", "200 3"], &["200 3", "INVITE 2", "REGISTER 1"]),
            (&["INVITE 1", "INVITE+ 2", "INVITE 3"], &["INVITE 2", "INVITE 1", "INVITE 3"]),
            (&["INVITE 1", "ACK+ 2", "CANCEL 3", "INFO+ 4"], &["ACK 2", "CANCEL 3", "INFO 4", "INVITE 1"]),
            (&["OPTIONS 1", "OPTIONS+ 2"], &["OPTIONS 2", "OPTIONS 1"]),
            // Nobody cancels what has not begun.
            (&["INVITE 1", "INVITE 2", "CANCEL 1"], &["INVITE 1", "INVITE 2", "CANCEL 1"]),
        ] {
            let mut bench = Bench::new();
            came.iter().for_each(|text| bench.offer(Duration::ZERO, text).unwrap());
            assert_eq!(bench.all(), served, "{came:?}");
            assert_eq!(bench.intake.bytes, 0);
        }
    }

    #[test]
    fn news_of_a_connection_stays_behind_its_messages() {
        let mut bench = Bench::new();
        bench.offer(Duration::ZERO, "BYE+ 1").unwrap();
        bench.intake.tell("closed");
        bench.offer(Duration::ZERO, "BYE+ 2").unwrap();
        assert_eq!(bench.all(), ["BYE 1", "closed", "BYE 2"]);
    }

    #[test]
    fn a_hiccup_turns_nobody_away() {
        // The whole process stood still for two seconds, and a few calls came meanwhile.
        let mut bench = Bench::new();
        bench.pile(2_000 * MS, 0..64);
        assert_eq!(bench.next(), "INVITE 0");
        bench.now += 99 * MS;
        assert!(bench.all().iter().all(|served| !served.contains("503")));
        assert!(!bench.intake.is_overloaded());
    }

    #[test]
    fn late_for_long_is_an_overload() {
        let mut bench = Bench::new();
        bench.pile(26 * MS, 0..12);
        assert_eq!(bench.next(), "INVITE 0");
        bench.now += 100 * MS;
        assert_eq!(bench.next(), "503 to INVITE 1");
        assert!(bench.intake.is_overloaded());
        assert_eq!([bench.next(), bench.next()], ["503 to INVITE 2", "503 to INVITE 3"]);
        // Eight are left, and to serve those costs less.
        bench.offer(Duration::ZERO, "OPTIONS 1").unwrap();
        assert!(bench.all().iter().all(|served| !served.contains("503")));
        // Who is in time is served however many there are.
        bench.pile(25 * MS, 20..40);
        assert_eq!(bench.next(), "INVITE 20");
    }

    #[test]
    fn a_call_that_takes_long_to_begin_turns_few_behind_it_away_never() {
        let mut bench = Bench::new();
        bench.pile(26 * MS, 0..9);
        while bench.next() != "nothing" {
            bench.now += 400 * MS;
        }
        assert!(!bench.intake.is_overloaded());
    }

    #[test]
    fn many_that_are_late_are_an_overload_at_once() {
        let mut bench = Bench::new();
        let many = u32::try_from(OVERLOAD_INVITES).unwrap() + 1;
        bench.pile(26 * MS, 0..many);
        assert_eq!(bench.next(), "503 to INVITE 0");
        // It is over a second after the last that was late.
        bench.all();
        let over = bench.intake.poll_timeout().unwrap();
        assert_eq!(over, bench.now + OVERLOAD_OVER);
        bench.intake.judge(over - MS);
        assert!(bench.intake.is_overloaded());
        bench.intake.judge(over);
        assert!(!bench.intake.is_overloaded() && bench.intake.poll_timeout().is_none());
    }

    #[test]
    fn options_that_are_late_in_an_overload_are_dropped() {
        let mut bench = Bench::new();
        bench.offer(26 * MS, "OPTIONS 1").unwrap();
        assert_eq!(bench.next(), "OPTIONS 1", "late, but there is no overload");
        bench.pile(26 * MS, 0..65);
        bench.offer(26 * MS, "OPTIONS 2").unwrap();
        bench.offer(Duration::ZERO, "OPTIONS 3").unwrap();
        let all = bench.all();
        assert_eq!(all[..57], (0..57).map(|n| format!("503 to INVITE {n}")).collect::<Vec<_>>());
        assert_eq!(all[65..], [DropReason::Overloaded.as_str(), "OPTIONS 3"]);
    }

    #[test]
    fn whoever_is_turned_away_hears_of_it_among_whatever_else_there_is() {
        let mut bench = Bench::new();
        bench.pile(26 * MS, 0..65);
        for n in 0..9 {
            bench.offer(Duration::ZERO, &format!("BYE+ b{n}")).unwrap();
        }
        let refusals = |served: Vec<String>| served.iter().filter(|text| text.contains("503")).count();
        let first: Vec<String> = (0..10).map(|_| bench.next()).collect();
        assert_eq!(refusals(first), 2, "every fifth");
    }

    #[test]
    fn a_repetition_of_what_waits_takes_no_place() {
        let mut bench = Bench::new();
        bench.offer(Duration::ZERO, "INVITE 1").unwrap();
        assert_eq!(bench.offer(Duration::ZERO, "INVITE 1"), Err(DropReason::Repeated));
        bench.intake.offer(bench.now, bench.now, Party(2), flow(8), message("INVITE 1")).unwrap();
        assert_eq!(bench.all().len(), 2, "another far end's is another's");
        bench.offer(Duration::ZERO, "INVITE 1").unwrap();
        assert_eq!(bench.all(), ["INVITE 1"], "what has been served is for its transaction");
    }

    #[test]
    fn whoever_was_turned_away_gets_no_other_answer() {
        let mut bench = Bench::new();
        bench.pile(26 * MS, 0..65);
        bench.all();
        bench.offer(Duration::ZERO, "INVITE 3").unwrap();
        assert_eq!(bench.all(), ["503 to INVITE 3"], "in time, but its 503 got lost");
        bench.offer(Duration::ZERO, "ACK+ 3").unwrap();
        assert_eq!(bench.all(), [""; 0], "nobody waits for it");
        bench.offer(Duration::ZERO, "CANCEL 3").unwrap();
        assert_eq!(bench.all(), ["CANCEL 3"], "481");
        bench.now += TURNED_AWAY_REMEMBERED + MS;
        bench.offer(Duration::ZERO, "INVITE 3").unwrap();
        assert_eq!(bench.all(), ["INVITE 3"]);
        assert_eq!((bench.intake.turned_away.keys.len(), bench.intake.turned_away.in_order.len()), (0, 0));
    }

    #[test]
    fn every_queue_is_bounded() {
        let mut bench = Bench::new();
        let fill = |bench: &mut Bench, what: &str, room: usize| {
            let full = (0..room + 1).map(|n| bench.offer(26 * MS, &format!("{what} {n}"))).filter(Result::is_err);
            assert_eq!(full.collect::<Vec<_>>(), [Err(DropReason::QueueFull)], "{what}");
        };
        fill(&mut bench, "OPTIONS", WAITING_OTHERS);
        fill(&mut bench, "INVITE", WAITING_INVITES);
        assert!(bench.intake.has_room());
        fill(&mut bench, "BYE+", WAITING_ONGOING_MESSAGES);
        assert!(!bench.intake.has_room());
        bench.all();
        assert_eq!((bench.intake.bytes, bench.intake.keys.len()), (0, 0));
        let invites = &bench.intake.invites;
        assert!(invites.lines.is_empty() && invites.fronts.is_empty() && invites.len == 0);
        let rooms = [bench.intake.ongoing.capacity(), invites.turns.capacity(), bench.intake.others.capacity()];
        assert!(rooms.iter().all(|room| *room <= 2 * ROOM_KEPT), "given back: {rooms:?}");
        // Few large ones are many.
        let large = |n: usize| format!("{n}{}", "x".repeat(25_000));
        let took = |bench: &mut Bench, what: &str| {
            let bench_takes = (0..1_000).take_while(|n| bench.offer(26 * MS, &format!("{what} {}", large(*n))).is_ok());
            bench_takes.count()
        };
        let (invites, byes) = (took(&mut bench, "INVITE"), took(&mut bench, "BYE+"));
        assert!(bench.intake.bytes <= WAITING_BYTES && invites > 50 && byes >= invites, "{invites} {byes}");
    }

    #[test]
    fn a_flood_of_one_trunk_turns_no_call_of_another_away() {
        let mut bench = Bench::new();
        bench.pile(26 * MS, 0..65);
        let good = |bench: &mut Bench, ago: Duration, text: &str| {
            bench.intake.offer(bench.now, bench.now - ago, Party(2), flow(8), message(text)).unwrap();
        };
        good(&mut bench, MS, "INVITE good1");
        good(&mut bench, Duration::ZERO, "CANCEL good1");
        good(&mut bench, Duration::ZERO, "INVITE good2");
        let first: Vec<String> = (0..7).map(|_| bench.next()).collect();
        let expected = [
            "503 to INVITE 0",
            "INVITE good1",
            "503 to INVITE 1",
            "CANCEL good1",
            "503 to INVITE 2",
            "INVITE good2",
            "503 to INVITE 3",
        ];
        assert_eq!(first, expected);
        // The longest wait is what an overload is judged by, whose turn it is does not matter.
        good(&mut bench, Duration::ZERO, "INVITE good3");
        bench.intake.judge(bench.now);
        assert!(bench.intake.is_overloaded());
    }

    #[test]
    fn a_flood_of_one_trunk_leaves_room_to_wait_for_others() {
        let mut bench = Bench::new();
        let many = u32::try_from(WAITING_INVITES).unwrap();
        bench.pile(Duration::ZERO, 0..many);
        assert_eq!(bench.offer(Duration::ZERO, "INVITE more"), Err(DropReason::QueueFull));
        let offer = |bench: &mut Bench, party, text: &str| {
            bench.intake.offer(bench.now, bench.now, Party(party), flow(8), message(text))
        };
        assert_eq!(offer(&mut bench, 2, "INVITE good"), Ok(()));
        assert_eq!((bench.intake.invites.len, bench.next().as_str()), (WAITING_INVITES, "queue_full"));
        assert_eq!([bench.next(), bench.next()], ["INVITE 0", "INVITE good"]);
        // What was pushed out is no repetition of what waits when it comes again.
        assert_eq!(bench.offer(Duration::ZERO, &format!("INVITE {}", many - 1)), Ok(()));
        bench.all();
        // Few large ones are many.
        let large = |n: usize| format!("INVITE {n}{}", "x".repeat(25_000));
        let filled = (0..1_000).take_while(|n| bench.offer(Duration::ZERO, &large(*n)).is_ok()).count();
        assert_eq!(offer(&mut bench, 2, &large(2_000)), Ok(()));
        assert!(filled > 50 && bench.intake.bytes <= WAITING_BYTES / 2);
        assert_eq!(bench.next(), "queue_full");
        bench.all();
        assert_eq!((bench.intake.bytes, bench.intake.keys.len(), bench.intake.is_empty()), (0, 0, true));
    }

    #[test]
    fn those_turned_away_are_remembered_up_to_a_limit() {
        let mut turned_away = TurnedAway::default();
        let now = start();
        (0..=TURNED_AWAY as u64).for_each(|key| turned_away.enter(now, key));
        assert!(!turned_away.has(now, 0) && turned_away.has(now, 1));
        assert_eq!(turned_away.keys.len(), TURNED_AWAY);
    }
}
