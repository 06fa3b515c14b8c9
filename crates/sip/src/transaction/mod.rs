//! The four transaction machines of RFC 3261 §17 with RFC 6026: each a pure function of state and event that returns a
//! [`Step`]. What a step says is carried out by [`Endpoint`](crate::Endpoint); no machine knows a message, a clock or a table.

pub(crate) mod client;
pub(crate) mod client_invite;
pub(crate) mod key;
pub(crate) mod server;
pub(crate) mod server_invite;

use std::time::{Duration, Instant};

use crate::event::Reason;
use crate::timer::{TimerQueue, Token};

/// What a status code means to a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// 1xx
    Provisional,
    /// 2xx
    Success,
    /// 300 to 699
    Failure,
}

impl Class {
    /// The class of a status code.
    pub(crate) const fn of(code: u16) -> Class {
        match code {
            0..=199 => Class::Provisional,
            200..=299 => Class::Success,
            _ => Class::Failure,
        }
    }
}

/// What happens to a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientEvent {
    /// A response came.
    Response(Class),
    /// A timer fired.
    Timer(Reason),
    /// The request could not be sent (RFC 3261 §17.1.4).
    TransportFailed,
}

/// What happens to a server transaction. A transport error is no event here: RFC 6026 §7.1 leaves an INVITE's state
/// as it is, and of other requests the last timer ends the transaction all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// The request came again.
    Request,
    /// An ACK came.
    Ack,
    /// The layer above answers.
    Send(Class),
    /// A timer fired.
    Timer(Reason),
}

/// What is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Send {
    /// Nothing.
    Nothing,
    /// A client's request; a server's last response.
    Message,
    /// The ACK to a non-2xx final (RFC 3261 §17.1.1.3).
    Ack,
}

/// What the transaction's user is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    /// Nothing.
    Nothing,
    /// What has come: a client's response, a server's ACK.
    Message,
    /// Timer B, F, H, or the wait after a CANCEL.
    TimedOut,
    /// The request could not be sent.
    TransportFailed,
}

/// What becomes of one of a transaction's two timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Slot {
    /// It stays as it is.
    Keep,
    /// It is taken back.
    Clear,
    /// It is set, in place of what was there.
    Arm(Reason, Duration),
}

/// The outcome of one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) send: Send,
    pub(crate) tell: Tell,
    /// Timers A, E, G, and the repetition of a provisional answer.
    pub(crate) retransmit: Slot,
    /// All others: a transaction never waits for two of them at once.
    pub(crate) timeout: Slot,
}

impl Step {
    /// Nothing to do: the event is absorbed.
    pub(crate) const IDLE: Step =
        Step { send: Send::Nothing, tell: Tell::Nothing, retransmit: Slot::Keep, timeout: Slot::Keep };
    /// The transaction is over: no timer is left.
    pub(crate) const END: Step =
        Step { send: Send::Nothing, tell: Tell::Nothing, retransmit: Slot::Clear, timeout: Slot::Clear };

    const fn send(self, send: Send) -> Step {
        Step { send, ..self }
    }

    const fn tell(self, tell: Tell) -> Step {
        Step { tell, ..self }
    }

    const fn retransmit(self, retransmit: Slot) -> Step {
        Step { retransmit, ..self }
    }

    const fn timeout(self, reason: Reason, after: Duration) -> Step {
        Step { timeout: Slot::Arm(reason, after), ..self }
    }
}

/// The two timers of a transaction, armed or not.
#[derive(Debug, Default)]
pub(crate) struct Slots {
    retransmit: Option<Token>,
    timeout: Option<Token>,
}

impl Slots {
    /// Does what a step says about timers.
    pub(crate) fn apply<K: Copy>(&mut self, timers: &mut TimerQueue<K>, now: Instant, owner: K, step: Step) {
        set(&mut self.retransmit, step.retransmit, timers, now, owner);
        set(&mut self.timeout, step.timeout, timers, now, owner);
    }

    /// Takes both back.
    pub(crate) fn clear<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        self.stop_retransmission(timers);
        if let Some(token) = self.timeout.take() {
            timers.cancel(token);
        }
    }

    /// Takes timer A, E or G back.
    pub(crate) fn stop_retransmission<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        if let Some(token) = self.retransmit.take() {
            timers.cancel(token);
        }
    }
}

fn set<K: Copy>(token: &mut Option<Token>, slot: Slot, timers: &mut TimerQueue<K>, now: Instant, owner: K) {
    if slot == Slot::Keep {
        return;
    }
    if let Some(old) = token.take() {
        timers.cancel(old);
    }
    if let Slot::Arm(reason, after) = slot {
        *token = Some(timers.arm(now + after, reason, owner));
    }
}
