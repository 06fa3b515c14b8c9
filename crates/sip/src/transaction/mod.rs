//! The four transaction state machines of RFC 3261 §17 with RFC 6026. Each is a pure function of state and event that
//! returns a [`TransactionStep`], which [`SipEndpoint`](crate::SipEndpoint) executes; the machines know no messages,
//! clocks or tables.

pub(crate) mod client;
pub(crate) mod client_invite;
pub(crate) mod key;
pub(crate) mod server;
pub(crate) mod server_invite;

use std::time::{Duration, Instant};

use crate::event::TimerReason;
use crate::timer::{TimerQueue, TimerToken};

/// Class of a status code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StatusClass {
    /// Status 1xx.
    Provisional,
    /// Status 2xx.
    Success,
    /// Status 300 to 699.
    Failure,
}

impl StatusClass {
    /// Returns the class of a status code.
    pub(crate) const fn from_code(code: u16) -> StatusClass {
        match code {
            0..=199 => StatusClass::Provisional,
            200..=299 => StatusClass::Success,
            _ => StatusClass::Failure,
        }
    }
}

/// Event of a client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientEvent {
    /// A response of this class was received.
    Response(StatusClass),
    /// A timer of this kind expired.
    Timer(TimerReason),
    /// The request could not be sent (RFC 3261 §17.1.4).
    TransportFailed,
}

/// Event of a server transaction. Transport errors are not events: RFC 6026 §7.1 leaves the state of an INVITE
/// transaction unchanged, and other transactions end by their last timer anyway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerEvent {
    /// A retransmission of the request was received.
    Request,
    /// An ACK for the final response was received.
    Ack,
    /// The layer above sends a response of this class.
    Send(StatusClass),
    /// A timer of this kind expired.
    Timer(TimerReason),
}

/// Message that a step sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepMessage {
    /// The step sends no message.
    Nothing,
    /// Request of a client transaction; last response of a server transaction.
    Message,
    /// ACK to a non-2xx final response (RFC 3261 §17.1.1.3).
    Ack,
}

/// Event that a step reports to the transaction user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StepReport {
    /// The step reports no event.
    Nothing,
    /// Received message: the response of a client transaction, the ACK of a server transaction.
    Message,
    /// Expiry of Timer B, F or H, or of the wait after a CANCEL.
    TimedOut,
    /// The request could not be sent.
    TransportFailed,
}

/// Change of one of the two timers of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimerChange {
    /// Leave the timer unchanged.
    Keep,
    /// Cancel the timer.
    Clear,
    /// Restart the timer with this reason and duration.
    Arm(TimerReason, Duration),
}

/// Actions that result from one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransactionStep {
    pub(crate) send: StepMessage,
    pub(crate) tell: StepReport,
    /// Change of Timer A, E or G, or of the repetition of a provisional response.
    pub(crate) retransmit: TimerChange,
    /// Change of any other timer; a transaction never runs two of them at once.
    pub(crate) timeout: TimerChange,
}

impl TransactionStep {
    /// No action: the event is absorbed.
    pub(crate) const IDLE: TransactionStep = TransactionStep {
        send: StepMessage::Nothing,
        tell: StepReport::Nothing,
        retransmit: TimerChange::Keep,
        timeout: TimerChange::Keep,
    };
    /// End of the transaction: both timers are cancelled.
    pub(crate) const END: TransactionStep = TransactionStep {
        send: StepMessage::Nothing,
        tell: StepReport::Nothing,
        retransmit: TimerChange::Clear,
        timeout: TimerChange::Clear,
    };

    const fn send(self, send: StepMessage) -> TransactionStep {
        TransactionStep { send, ..self }
    }

    const fn with_report(self, tell: StepReport) -> TransactionStep {
        TransactionStep { tell, ..self }
    }

    const fn retransmit(self, retransmit: TimerChange) -> TransactionStep {
        TransactionStep { retransmit, ..self }
    }

    const fn timeout(self, reason: TimerReason, after: Duration) -> TransactionStep {
        TransactionStep { timeout: TimerChange::Arm(reason, after), ..self }
    }
}

/// The two timers of a transaction, running or not.
#[derive(Debug, Default)]
pub(crate) struct TimerSlots {
    retransmit: Option<TimerToken>,
    timeout: Option<TimerToken>,
}

impl TimerSlots {
    /// Applies the timer changes of a step.
    pub(crate) fn apply<K: Copy>(&mut self, timers: &mut TimerQueue<K>, now: Instant, owner: K, step: TransactionStep) {
        set(&mut self.retransmit, step.retransmit, timers, now, owner);
        set(&mut self.timeout, step.timeout, timers, now, owner);
    }

    /// Cancels both timers.
    pub(crate) fn clear<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        self.stop_retransmission(timers);
        if let Some(token) = self.timeout.take() {
            timers.cancel(token);
        }
    }

    /// Cancels Timer A, E or G.
    pub(crate) fn stop_retransmission<K: Copy>(&mut self, timers: &mut TimerQueue<K>) {
        if let Some(token) = self.retransmit.take() {
            timers.cancel(token);
        }
    }
}

fn set<K: Copy>(token: &mut Option<TimerToken>, slot: TimerChange, timers: &mut TimerQueue<K>, now: Instant, owner: K) {
    if slot == TimerChange::Keep {
        return;
    }
    if let Some(old) = token.take() {
        timers.cancel(old);
    }
    if let TimerChange::Arm(reason, after) = slot {
        *token = Some(timers.arm(now + after, reason, owner));
    }
}
