//! INVITE server transaction: RFC 3261 §17.2.1 (Figure 7) with the Accepted state of RFC 6026 §7.1.

use std::time::Duration;

use crate::event::Reason;
use crate::timer::{MINUTE, T1, T1_64, T2, T4};
use crate::transaction::{Class, Send, ServerEvent, Slot, Step, Tell};

/// State of an INVITE server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No final response sent.
    Proceeding,
    /// Non-2xx final response sent; awaits the ACK.
    Completed,
    /// ACK received; retransmissions of it are absorbed.
    Confirmed,
    /// 2xx sent; retransmitted INVITEs are absorbed (RFC 6026 §7.1).
    Accepted,
    /// Transaction ended.
    Terminated,
}

/// State machine of an INVITE server transaction.
#[derive(Debug)]
pub(crate) struct ServerInvite {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl ServerInvite {
    /// Starts the transaction after its INVITE has arrived.
    pub(crate) fn start(reliable: bool) -> ServerInvite {
        ServerInvite { state: State::Proceeding, reliable, interval: T1 }
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ServerEvent) -> Step {
        use ServerEvent::{Ack, Request, Send as Answer, Timer};
        match (self.state, event) {
            (State::Proceeding, Request) => Step::IDLE.send(Send::Message),
            (State::Proceeding, Answer(Class::Provisional) | Timer(Reason::Repeat1xx)) => {
                Step::IDLE.send(Send::Message).retransmit(Slot::Arm(Reason::Repeat1xx, MINUTE))
            }
            (State::Proceeding, Answer(Class::Success)) => {
                self.state = State::Accepted;
                Step::END.send(Send::Message).timeout(Reason::TimerL, T1_64)
            }
            (State::Proceeding, Answer(Class::Failure)) => {
                self.state = State::Completed;
                let step = Step::END.send(Send::Message).timeout(Reason::TimerH, T1_64);
                if self.reliable { step } else { step.retransmit(Slot::Arm(Reason::TimerG, T1)) }
            }
            (State::Completed, Request) => Step::IDLE.send(Send::Message),
            (State::Completed, Timer(Reason::TimerG)) => {
                self.interval = (self.interval * 2).min(T2);
                Step::IDLE.send(Send::Message).retransmit(Slot::Arm(Reason::TimerG, self.interval))
            }
            (State::Completed, Timer(Reason::TimerH)) => self.end(Tell::TimedOut),
            // Timer I is zero for reliable transports.
            (State::Completed, Ack) if self.reliable => self.end(Tell::Nothing),
            (State::Completed, Ack) => {
                self.state = State::Confirmed;
                Step::END.timeout(Reason::TimerI, T4)
            }
            (State::Confirmed, Timer(Reason::TimerI)) => self.end(Tell::Nothing),
            (State::Accepted, Ack) => Step::IDLE.tell(Tell::Message),
            (State::Accepted, Answer(Class::Success)) => Step::IDLE.send(Send::Message),
            (State::Accepted, Timer(Reason::TimerL)) => self.end(Tell::Nothing),
            _ => Step::IDLE,
        }
    }

    fn end(&mut self, tell: Tell) -> Step {
        self.state = State::Terminated;
        Step::END.tell(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServerEvent::{Ack, Request, Send as Answer, Timer};

    #[test]
    fn rfc3261_figure_7_and_rfc6026_figure_7_every_row() {
        use State::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        let (provisional, success, failure) =
            (Answer(Class::Provisional), Answer(Class::Success), Answer(Class::Failure));
        let g = |after| Slot::Arm(Reason::TimerG, after);
        let h = Slot::Arm(Reason::TimerH, T1_64);
        let i = Slot::Arm(Reason::TimerI, T4);
        let l = Slot::Arm(Reason::TimerL, T1_64);
        let again = Slot::Arm(Reason::Repeat1xx, MINUTE);
        let (keep, clear) = (Slot::Keep, Slot::Clear);
        let rows = [
            (Proceeding, false, Request, Proceeding, Send::Message, Tell::Nothing, keep, keep),
            (Proceeding, false, provisional, Proceeding, Send::Message, Tell::Nothing, again, keep),
            (Proceeding, true, Timer(Reason::Repeat1xx), Proceeding, Send::Message, Tell::Nothing, again, keep),
            (Proceeding, false, success, Accepted, Send::Message, Tell::Nothing, clear, l),
            (Proceeding, true, success, Accepted, Send::Message, Tell::Nothing, clear, l),
            (Proceeding, false, failure, Completed, Send::Message, Tell::Nothing, g(T1), h),
            (Proceeding, true, failure, Completed, Send::Message, Tell::Nothing, clear, h),
            (Proceeding, false, Ack, Proceeding, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, Request, Completed, Send::Message, Tell::Nothing, keep, keep),
            (Completed, false, Timer(Reason::TimerG), Completed, Send::Message, Tell::Nothing, g(T1 * 2), keep),
            (Completed, false, Timer(Reason::TimerH), Terminated, Send::Nothing, Tell::TimedOut, clear, clear),
            (Completed, false, Ack, Confirmed, Send::Nothing, Tell::Nothing, clear, i),
            (Completed, true, Ack, Terminated, Send::Nothing, Tell::Nothing, clear, clear),
            (Completed, false, success, Completed, Send::Nothing, Tell::Nothing, keep, keep),
            (Confirmed, false, Ack, Confirmed, Send::Nothing, Tell::Nothing, keep, keep),
            (Confirmed, false, Request, Confirmed, Send::Nothing, Tell::Nothing, keep, keep),
            (Confirmed, false, Timer(Reason::TimerI), Terminated, Send::Nothing, Tell::Nothing, clear, clear),
            (Accepted, false, Request, Accepted, Send::Nothing, Tell::Nothing, keep, keep),
            (Accepted, false, Ack, Accepted, Send::Nothing, Tell::Message, keep, keep),
            (Accepted, false, success, Accepted, Send::Message, Tell::Nothing, keep, keep),
            (Accepted, false, failure, Accepted, Send::Nothing, Tell::Nothing, keep, keep),
            (Accepted, false, Timer(Reason::TimerL), Terminated, Send::Nothing, Tell::Nothing, clear, clear),
            (Terminated, false, Request, Terminated, Send::Nothing, Tell::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = ServerInvite { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, Step { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_2_1_timer_g_doubles_to_t2() {
        let mut machine = ServerInvite::start(false);
        machine.step(Answer(Class::Failure));
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let step = machine.step(Timer(Reason::TimerG));
                let Slot::Arm(Reason::TimerG, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000, 4_000]);
    }
}
