//! Non-INVITE client transaction: RFC 3261 §17.1.2 (Figure 6).

use std::time::Duration;

use crate::event::Reason;
use crate::timer::{T1, T1_64, T2, T4};
use crate::transaction::{Class, ClientEvent, Send, Slot, Step, Tell};

/// State of a non-INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Request sent, no response yet.
    Trying,
    /// Provisional response received.
    Proceeding,
    /// Final response received; retransmissions are absorbed.
    Completed,
    /// Transaction ended.
    Terminated,
}

/// State machine of a non-INVITE client transaction.
#[derive(Debug)]
pub(crate) struct Client {
    state: State,
    reliable: bool,
    interval: Duration,
}

impl Client {
    /// Starts the transaction by sending the request.
    pub(crate) fn start(reliable: bool) -> (Client, Step) {
        let step = Step::IDLE.send(Send::Message).timeout(Reason::TimerF, T1_64);
        let step = if reliable { step } else { step.retransmit(Slot::Arm(Reason::TimerE, T1)) };
        (Client { state: State::Trying, reliable, interval: T1 }, step)
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ClientEvent) -> Step {
        use ClientEvent::{Response, Timer, TransportFailed};
        match (self.state, event) {
            (State::Trying, Timer(Reason::TimerE)) => {
                self.interval = (self.interval * 2).min(T2);
                Step::IDLE.send(Send::Message).retransmit(Slot::Arm(Reason::TimerE, self.interval))
            }
            (State::Proceeding, Timer(Reason::TimerE)) => {
                Step::IDLE.send(Send::Message).retransmit(Slot::Arm(Reason::TimerE, T2))
            }
            (State::Trying | State::Proceeding, Timer(Reason::TimerF)) => self.end(Tell::TimedOut),
            (State::Trying | State::Proceeding, TransportFailed) => self.end(Tell::TransportFailed),
            (State::Trying | State::Proceeding, Response(Class::Provisional)) => {
                self.state = State::Proceeding;
                Step::IDLE.tell(Tell::Message)
            }
            (State::Trying | State::Proceeding, Response(Class::Success | Class::Failure)) => {
                // Timer K is zero for reliable transports.
                self.state = if self.reliable { State::Terminated } else { State::Completed };
                let step = Step::END.tell(Tell::Message);
                if self.reliable { step } else { step.timeout(Reason::TimerK, T4) }
            }
            (State::Completed, Timer(Reason::TimerK)) => self.end(Tell::Nothing),
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

    #[test]
    fn rfc3261_17_1_2_start() {
        let (machine, step) = Client::start(false);
        assert_eq!((machine.state(), step.send), (State::Trying, Send::Message));
        assert_eq!(step.retransmit, Slot::Arm(Reason::TimerE, T1));
        assert_eq!(step.timeout, Slot::Arm(Reason::TimerF, T1_64));
        assert_eq!(Client::start(true).1.retransmit, Slot::Keep);
    }

    #[test]
    fn rfc3261_figure_6_every_row() {
        use State::{Completed, Proceeding, Terminated, Trying};
        let provisional = Response(Class::Provisional);
        let e = |after| Slot::Arm(Reason::TimerE, after);
        let k = Slot::Arm(Reason::TimerK, T4);
        let (keep, clear) = (Slot::Keep, Slot::Clear);
        let rows = [
            (Trying, false, Timer(Reason::TimerE), Trying, Send::Message, Tell::Nothing, e(T1 * 2), keep),
            (Trying, false, Timer(Reason::TimerF), Terminated, Send::Nothing, Tell::TimedOut, clear, clear),
            (Trying, false, TransportFailed, Terminated, Send::Nothing, Tell::TransportFailed, clear, clear),
            (Trying, false, provisional, Proceeding, Send::Nothing, Tell::Message, keep, keep),
            (Trying, false, Response(Class::Success), Completed, Send::Nothing, Tell::Message, clear, k),
            (Trying, false, Response(Class::Failure), Completed, Send::Nothing, Tell::Message, clear, k),
            (Trying, true, Response(Class::Success), Terminated, Send::Nothing, Tell::Message, clear, clear),
            (Proceeding, false, Timer(Reason::TimerE), Proceeding, Send::Message, Tell::Nothing, e(T2), keep),
            (Proceeding, false, Timer(Reason::TimerF), Terminated, Send::Nothing, Tell::TimedOut, clear, clear),
            (Proceeding, false, TransportFailed, Terminated, Send::Nothing, Tell::TransportFailed, clear, clear),
            (Proceeding, false, provisional, Proceeding, Send::Nothing, Tell::Message, keep, keep),
            (Proceeding, false, Response(Class::Failure), Completed, Send::Nothing, Tell::Message, clear, k),
            (Proceeding, true, Response(Class::Failure), Terminated, Send::Nothing, Tell::Message, clear, clear),
            (Completed, false, Response(Class::Success), Completed, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, TransportFailed, Completed, Send::Nothing, Tell::Nothing, keep, keep),
            (Completed, false, Timer(Reason::TimerK), Terminated, Send::Nothing, Tell::Nothing, clear, clear),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = Client { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, Step { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_1_2_2_timer_e_doubles_to_t2() {
        let (mut machine, _) = Client::start(false);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                let step = machine.step(Timer(Reason::TimerE));
                let Slot::Arm(Reason::TimerE, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
    }
}
