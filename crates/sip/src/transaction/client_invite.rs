//! INVITE client transaction: RFC 3261 §17.1.1 (Figure 5) with the Accepted state of RFC 6026 §7.2.

use std::time::Duration;

use crate::event::Reason;
use crate::timer::{T1, T1_64, TIMER_D};
use crate::transaction::{Class, ClientEvent, Send, Slot, Step, Tell};

/// State of an INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// INVITE sent, no response yet.
    Calling,
    /// Provisional response received.
    Proceeding,
    /// Non-2xx final response received and acknowledged.
    Completed,
    /// 2xx received; forks may send more (RFC 6026 §7.2).
    Accepted,
    /// Transaction ended.
    Terminated,
}

/// State machine of an INVITE client transaction.
#[derive(Debug)]
pub(crate) struct ClientInvite {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl ClientInvite {
    /// Starts the transaction by sending the INVITE.
    pub(crate) fn start(reliable: bool) -> (ClientInvite, Step) {
        let machine = ClientInvite { state: State::Calling, reliable, interval: T1 };
        let step = Step::IDLE.send(Send::Message).timeout(Reason::TimerB, T1_64);
        let step = if reliable { step } else { step.retransmit(Slot::Arm(Reason::TimerA, T1)) };
        (machine, step)
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ClientEvent) -> Step {
        use ClientEvent::{Response, Timer, TransportFailed};
        match (self.state, event) {
            (State::Calling, Timer(Reason::TimerA)) => {
                self.interval *= 2;
                Step::IDLE.send(Send::Message).retransmit(Slot::Arm(Reason::TimerA, self.interval))
            }
            (State::Calling, Timer(Reason::TimerB)) => self.end(Tell::TimedOut),
            (State::Calling, TransportFailed) => self.end(Tell::TransportFailed),
            // Figure 5 has no transport error here, since nothing is being sent; but after the loss of a stream no
            // final response can arrive.
            (State::Proceeding, TransportFailed) if self.reliable => self.end(Tell::TransportFailed),
            (State::Calling | State::Proceeding, Response(Class::Provisional)) => {
                let first = self.state == State::Calling;
                self.state = State::Proceeding;
                if first { Step::END.tell(Tell::Message) } else { Step::IDLE.tell(Tell::Message) }
            }
            (State::Calling | State::Proceeding, Response(Class::Success)) => {
                self.state = State::Accepted;
                Step::END.tell(Tell::Message).timeout(Reason::TimerM, T1_64)
            }
            (State::Calling | State::Proceeding, Response(Class::Failure)) => {
                // Timer D is zero for reliable transports.
                self.state = if self.reliable { State::Terminated } else { State::Completed };
                let step = Step::END.send(Send::Ack).tell(Tell::Message);
                if self.reliable { step } else { step.timeout(Reason::TimerD, TIMER_D) }
            }
            (State::Proceeding, Timer(Reason::CancelWait)) => self.end(Tell::TimedOut),
            (State::Completed, Response(Class::Failure)) => Step::IDLE.send(Send::Ack),
            (State::Completed, TransportFailed) => self.end(Tell::TransportFailed),
            (State::Completed, Timer(Reason::TimerD)) => self.end(Tell::Nothing),
            (State::Accepted, Response(Class::Success)) => Step::IDLE.tell(Tell::Message),
            (State::Accepted, Timer(Reason::TimerM)) => self.end(Tell::Nothing),
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
    use ClientEvent::{Response, Timer, TransportFailed};

    const PROVISIONAL: ClientEvent = Response(Class::Provisional);
    const SUCCESS: ClientEvent = Response(Class::Success);
    const FAILURE: ClientEvent = Response(Class::Failure);

    #[test]
    fn rfc3261_17_1_1_start() {
        let (machine, step) = ClientInvite::start(false);
        assert_eq!(machine.state(), State::Calling);
        assert_eq!(step.send, Send::Message);
        assert_eq!(step.retransmit, Slot::Arm(Reason::TimerA, T1));
        assert_eq!(step.timeout, Slot::Arm(Reason::TimerB, T1_64));
        let (_, step) = ClientInvite::start(true);
        assert_eq!(step.retransmit, Slot::Keep, "timer A is for unreliable transports");
    }

    #[test]
    fn rfc3261_figure_5_and_rfc6026_figure_5_every_row() {
        use State::{Accepted, Calling, Completed, Proceeding, Terminated};
        let a = Slot::Arm(Reason::TimerA, T1 * 2);
        let d = Slot::Arm(Reason::TimerD, TIMER_D);
        let m = Slot::Arm(Reason::TimerM, T1_64);
        let (keep, clear) = (Slot::Keep, Slot::Clear);
        let rows = [
            (Calling, false, Timer(Reason::TimerA), Calling, Send::Message, Tell::Nothing, a, keep),
            (Calling, false, Timer(Reason::TimerB), Terminated, Send::Nothing, Tell::TimedOut, clear, clear),
            (Calling, false, TransportFailed, Terminated, Send::Nothing, Tell::TransportFailed, clear, clear),
            (Calling, false, PROVISIONAL, Proceeding, Send::Nothing, Tell::Message, clear, clear),
            (Calling, false, SUCCESS, Accepted, Send::Nothing, Tell::Message, clear, m),
            (Calling, false, FAILURE, Completed, Send::Ack, Tell::Message, clear, d),
            (Calling, true, FAILURE, Terminated, Send::Ack, Tell::Message, clear, clear),
            (Proceeding, false, PROVISIONAL, Proceeding, Send::Nothing, Tell::Message, keep, keep),
            (Proceeding, false, SUCCESS, Accepted, Send::Nothing, Tell::Message, clear, m),
            (Proceeding, true, SUCCESS, Accepted, Send::Nothing, Tell::Message, clear, m),
            (Proceeding, false, FAILURE, Completed, Send::Ack, Tell::Message, clear, d),
            (Proceeding, true, FAILURE, Terminated, Send::Ack, Tell::Message, clear, clear),
            (Proceeding, false, Timer(Reason::CancelWait), Terminated, Send::Nothing, Tell::TimedOut, clear, clear),
            (Proceeding, false, TransportFailed, Proceeding, Send::Nothing, Tell::Nothing, keep, keep),
            (Proceeding, true, TransportFailed, Terminated, Send::Nothing, Tell::TransportFailed, clear, clear),
            (Proceeding, false, Timer(Reason::TimerA), Proceeding, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, FAILURE, Completed, Send::Ack, Tell::Nothing, keep, keep),
            (Completed, false, PROVISIONAL, Completed, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, SUCCESS, Completed, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, TransportFailed, Terminated, Send::Nothing, Tell::TransportFailed, clear, clear),
            (Completed, false, Timer(Reason::TimerD), Terminated, Send::Nothing, Tell::Nothing, clear, clear),
            (Accepted, false, SUCCESS, Accepted, Send::Nothing, Tell::Message, keep, keep),
            (Accepted, false, PROVISIONAL, Accepted, Send::Nothing, Tell::Nothing, keep, keep),
            (Accepted, false, FAILURE, Accepted, Send::Nothing, Tell::Nothing, keep, keep),
            (Accepted, false, Timer(Reason::TimerM), Terminated, Send::Nothing, Tell::Nothing, clear, clear),
            (Terminated, false, SUCCESS, Terminated, Send::Nothing, Tell::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = ClientInvite { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, Step { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_1_1_2_timer_a_doubles_without_a_ceiling() {
        let (mut machine, _) = ClientInvite::start(false);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                let step = machine.step(Timer(Reason::TimerA));
                let Slot::Arm(Reason::TimerA, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000]);
    }
}
