//! Queue of received messages by priority: messages of existing calls first, then new calls, OPTIONS and REGISTER last.
//! Only this module decides that a new call cannot be served in time and is rejected.

use std::collections::hash_map::DefaultHasher;
use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{Hash as _, Hasher as _};
use std::time::Instant;

use self::lines::TrunkQueues;
use trunkgate_resources::limits::{
    INVITE_WAIT, INVITES_ALWAYS_SERVED, ONGOING_BEFORE_REFUSAL, OVERLOAD_AFTER, OVERLOAD_INVITES, OVERLOAD_OVER,
    TURNED_AWAY, TURNED_AWAY_REMEMBERED, WAITING_BYTES, WAITING_INVITES, WAITING_MESSAGE_OVERHEAD_BYTES,
    WAITING_ONGOING_MESSAGES, WAITING_OTHERS,
};
use trunkgate_sip::{Flow, Method, SipMessage, SipPartyId};

mod lines;

#[cfg(test)]
mod tests;

/// Capacity that an empty queue keeps.
const ROOM_KEPT: usize = 64;

/// Reason why a message is not served; label of `sip_dropped_total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// OPTIONS, REGISTER or another request outside of calls that is late while the edge is overloaded.
    Overloaded,
    /// The queue has no room for the message, or for an older one that it displaces.
    QueueFull,
    /// Retransmission of an INVITE that is still queued.
    Repeated,
}

impl DropReason {
    /// Returns the metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            DropReason::Overloaded => "overloaded",
            DropReason::QueueFull => "queue_full",
            DropReason::Repeated => "repeated",
        }
    }
}

/// Next step of the signalling loop.
#[derive(Debug)]
pub enum IntakeStep<N> {
    /// Serve a message that is not rejected.
    Message(Flow, SipMessage),
    /// Reject an INVITE that cannot be served in time, with 503.
    TurnAway(Flow, SipMessage),
    /// Handle an event of a connection, after its messages.
    News(N),
    /// Count a waiting message that was dropped.
    Dropped(DropReason),
}

/// Relation of a message to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MessageClass {
    /// The message belongs to an existing call, or ends one.
    Ongoing,
    /// The message begins a call.
    Invite,
    /// The message concerns no call.
    Other,
}

impl MessageClass {
    fn of(message: &SipMessage) -> MessageClass {
        let method = message.method();
        let ends = matches!(method, Method::Ack | Method::Cancel | Method::Bye);
        if !message.is_request() || ends || message.to().and_then(|to| to.tag()).is_some_and(|tag| !tag.is_empty()) {
            return MessageClass::Ongoing;
        }
        if method == Method::Invite { MessageClass::Invite } else { MessageClass::Other }
    }
}

/// A message in a queue.
#[derive(Debug)]
struct QueuedMessage {
    flow: Flow,
    message: SipMessage,
    came: Instant,
    /// Key shared by an INVITE, its retransmissions, its ACK and its CANCEL.
    key: u64,
}

impl QueuedMessage {
    fn bytes(&self) -> usize {
        self.message.as_bytes().len() + WAITING_MESSAGE_OVERHEAD_BYTES
    }
}

/// Entry of the queue for existing calls.
#[derive(Debug)]
enum OngoingEntry<N> {
    Message(QueuedMessage),
    News(N),
}

/// All waiting messages. `N` is an event of a connection, which must not overtake its messages.
#[derive(Debug)]
pub struct SipIntake<N> {
    ongoing: VecDeque<OngoingEntry<N>>,
    /// INVITEs that begin calls, each followed by its CANCEL.
    invites: TrunkQueues,
    others: VecDeque<QueuedMessage>,
    /// Keys of the queued INVITEs, each with its trunk.
    keys: HashMap<u64, SipPartyId>,
    bytes: usize,
    /// Number of messages displaced by others and not counted yet.
    pushed_out: usize,
    turned_away: RejectedInvites,
    late_since: Option<Instant>,
    overloaded_until: Option<Instant>,
    /// Messages of `ongoing` served since an INVITE was last rejected.
    run: u32,
}

impl<N> Default for SipIntake<N> {
    fn default() -> SipIntake<N> {
        SipIntake {
            ongoing: VecDeque::new(),
            invites: TrunkQueues::default(),
            others: VecDeque::new(),
            keys: HashMap::new(),
            bytes: 0,
            pushed_out: 0,
            turned_away: RejectedInvites::default(),
            late_since: None,
            overloaded_until: None,
            run: 0,
        }
    }
}

impl<N> SipIntake<N> {
    /// Queues a message of the party `origin` that arrived at `came`, by the network's clock.
    ///
    /// # Errors
    /// The message is not queued: there is no room, or it repeats a queued INVITE. `QueueFull` is also returned if the
    /// message has displaced the oldest request outside of calls.
    pub fn offer(
        &mut self,
        now: Instant,
        came: Instant,
        origin: SipPartyId,
        flow: Flow,
        message: SipMessage,
    ) -> Result<(), DropReason> {
        let class = MessageClass::of(&message);
        self.enter(now, came, origin, (flow, message), class)
    }

    /// Queues a message that is served before new calls and never rejected.
    ///
    /// # Errors
    /// The queue has no room: [`DropReason::QueueFull`].
    pub fn offer_first(
        &mut self,
        now: Instant,
        came: Instant,
        flow: Flow,
        message: SipMessage,
    ) -> Result<(), DropReason> {
        self.enter(now, came, SipPartyId(0), (flow, message), MessageClass::Ongoing)
    }

    fn enter(
        &mut self,
        now: Instant,
        came: Instant,
        origin: SipPartyId,
        (flow, message): (Flow, SipMessage),
        class: MessageClass,
    ) -> Result<(), DropReason> {
        let key = if class == MessageClass::Invite || self.has_keys() { key_of(&flow, &message) } else { 0 };
        let is_request = message.is_request();
        let method = message.method();
        let waiting = QueuedMessage { flow, message, came, key };
        let limit = if class == MessageClass::Ongoing { WAITING_BYTES } else { WAITING_BYTES / 2 };
        let is_repeated = class == MessageClass::Invite && self.keys.contains_key(&key);
        while self.bytes + waiting.bytes() > limit
            || class == MessageClass::Invite && !is_repeated && self.invites.len >= WAITING_INVITES
        {
            let is_invite = class == MessageClass::Invite && !is_repeated;
            let pushed_out = if is_invite { self.invites.push_out(origin, waiting.bytes()) } else { None };
            let Some(pushed_out) = pushed_out else { return Err(DropReason::QueueFull) };
            self.bytes -= pushed_out.bytes();
            self.pushed_out += 1;
            if pushed_out.message.method() == Method::Invite {
                self.keys.remove(&pushed_out.key);
            }
        }
        match class {
            // No state is kept of a rejected INVITE, so its ACK is dropped.
            MessageClass::Ongoing if is_request && method == Method::Ack && self.turned_away.has(now, key) => {
                return Ok(());
            }
            MessageClass::Ongoing
                if is_request
                    && method == Method::Cancel
                    && let Some(origin) = self.keys.get(&key).copied() =>
            {
                self.invites.push(origin, waiting.counted(&mut self.bytes));
            }
            MessageClass::Ongoing if self.ongoing.len() >= WAITING_ONGOING_MESSAGES => {
                return Err(DropReason::QueueFull);
            }
            MessageClass::Ongoing => self.ongoing.push_back(OngoingEntry::Message(waiting.counted(&mut self.bytes))),
            MessageClass::Invite if is_repeated => return Err(DropReason::Repeated),
            MessageClass::Invite => {
                self.keys.insert(key, origin);
                self.invites.push(origin, waiting.counted(&mut self.bytes));
            }
            MessageClass::Other => {
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

    /// Queues an event of a connection. Check [`Self::has_room`] before: events are never dropped.
    pub fn tell(&mut self, news: N) {
        self.ongoing.push_back(OngoingEntry::News(news));
    }

    /// Returns whether more messages may be read; otherwise messages of existing calls would be lost.
    pub fn has_room(&self) -> bool {
        self.ongoing.len() < WAITING_ONGOING_MESSAGES && self.bytes < WAITING_BYTES
    }

    /// Returns the number of waiting messages.
    pub fn len(&self) -> usize {
        self.ongoing.len() + self.invites.len + self.others.len() + self.pushed_out
    }

    /// Returns whether no message waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns whether new calls that cannot be served in time are rejected.
    pub fn is_overloaded(&self) -> bool {
        self.overloaded_until.is_some()
    }

    /// Returns the time at which an overload ends if no message is late until then; `None` without an overload.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.overloaded_until
    }

    /// Updates the overload state: begins an overload if INVITEs are late, ends it if none was late for a while.
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

    /// Returns the next step of the signalling loop; `None` if no message waits.
    pub fn next(&mut self, now: Instant) -> Option<IntakeStep<N>> {
        self.judge(now);
        if self.pushed_out > 0 {
            self.pushed_out -= 1;
            return Some(IntakeStep::Dropped(DropReason::QueueFull));
        }
        let late = self.is_overloaded() && self.is_behind(now, self.invites.first().map(|first| first.came));
        if (self.run < ONGOING_BEFORE_REFUSAL || !late)
            && let Some(ongoing) = pop(&mut self.ongoing)
        {
            self.run = self.run.saturating_add(1);
            return Some(match ongoing {
                OngoingEntry::Message(waiting) => self.served(waiting),
                OngoingEntry::News(news) => IntakeStep::News(news),
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
            return Some(IntakeStep::TurnAway(first.flow, first.message));
        }
        let other = pop(&mut self.others)?;
        if self.is_overloaded() && is_late(now, other.came) {
            self.bytes -= other.bytes();
            return Some(IntakeStep::Dropped(DropReason::Overloaded));
        }
        Some(self.served(other))
    }

    /// Returns whether an INVITE with this arrival time is late and more than [`INVITES_ALWAYS_SERVED`] wait.
    fn is_behind(&self, now: Instant, came: Option<Instant>) -> bool {
        self.invites.len > INVITES_ALWAYS_SERVED && came.is_some_and(|came| is_late(now, came))
    }

    fn served(&mut self, waiting: QueuedMessage) -> IntakeStep<N> {
        self.bytes -= waiting.bytes();
        IntakeStep::Message(waiting.flow, waiting.message)
    }

    fn has_keys(&self) -> bool {
        !self.keys.is_empty() || !self.turned_away.keys.is_empty()
    }
}

impl QueuedMessage {
    fn counted(self, bytes: &mut usize) -> QueuedMessage {
        *bytes += self.bytes();
        self
    }
}

/// INVITEs rejected recently.
#[derive(Debug, Default)]
struct RejectedInvites {
    keys: HashSet<u64>,
    in_order: VecDeque<(Instant, u64)>,
}

impl RejectedInvites {
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

/// Removes and returns the first entry; a queue that has become empty releases most of its memory.
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

/// Returns the key shared by an INVITE, its retransmissions, its CANCEL and the ACK to its refusal (RFC 3261 §9.1,
/// §17.1.1.3).
fn key_of(flow: &Flow, message: &SipMessage) -> u64 {
    let mut hasher = DefaultHasher::new();
    flow.remote.ip().hash(&mut hasher);
    message.via().and_then(|via| via.branch).hash(&mut hasher);
    message.call_id().hash(&mut hasher);
    message.from_tag().hash(&mut hasher);
    message.cseq().map(|cseq| cseq.number).hash(&mut hasher);
    hasher.finish()
}
