//! Non-INVITE server transaction: RFC 3261 §17.2.2 (Figure 8).

use crate::event::Reason;
use crate::timer::T1_64;
use crate::transaction::{Class, Send, ServerEvent, Step};

/// State of a non-INVITE server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// No response sent.
    Trying,
    /// Provisional response sent.
    Proceeding,
    /// Final response sent; it is repeated for each retransmitted request.
    Completed,
    /// Transaction ended.
    Terminated,
}

/// State machine of a non-INVITE server transaction.
#[derive(Debug)]
pub(crate) struct Server {
    state: State,
    reliable: bool,
}

impl Server {
    /// Starts the transaction after its request has arrived.
    pub(crate) fn start(reliable: bool) -> Server {
        Server { state: State::Trying, reliable }
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> State {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ServerEvent) -> Step {
        use ServerEvent::{Request, Send as Answer, Timer};
        match (self.state, event) {
            (State::Trying | State::Proceeding, Answer(Class::Provisional)) => {
                self.state = State::Proceeding;
                Step::IDLE.send(Send::Message)
            }
            (State::Trying | State::Proceeding, Answer(Class::Success | Class::Failure)) => {
                // Timer J is zero for reliable transports.
                self.state = if self.reliable { State::Terminated } else { State::Completed };
                let step = Step::END.send(Send::Message);
                if self.reliable { step } else { step.timeout(Reason::TimerJ, T1_64) }
            }
            (State::Proceeding | State::Completed, Request) => Step::IDLE.send(Send::Message),
            (State::Completed, Timer(Reason::TimerJ)) => {
                self.state = State::Terminated;
                Step::END
            }
            _ => Step::IDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::{Slot, Tell};
    use ServerEvent::{Ack, Request, Send as Answer, Timer};

    #[test]
    fn rfc3261_figure_8_every_row() {
        use State::{Completed, Proceeding, Terminated, Trying};
        let (provisional, success, failure) =
            (Answer(Class::Provisional), Answer(Class::Success), Answer(Class::Failure));
        let j = Slot::Arm(Reason::TimerJ, T1_64);
        let (keep, clear) = (Slot::Keep, Slot::Clear);
        let rows = [
            (Trying, false, Request, Trying, Send::Nothing, keep, keep),
            (Trying, false, provisional, Proceeding, Send::Message, keep, keep),
            (Trying, false, success, Completed, Send::Message, clear, j),
            (Trying, true, failure, Terminated, Send::Message, clear, clear),
            (Proceeding, false, Request, Proceeding, Send::Message, keep, keep),
            (Proceeding, false, provisional, Proceeding, Send::Message, keep, keep),
            (Proceeding, false, failure, Completed, Send::Message, clear, j),
            (Completed, false, Request, Completed, Send::Message, keep, keep),
            (Completed, false, success, Completed, Send::Nothing, keep, keep),
            (Completed, false, Ack, Completed, Send::Nothing, keep, keep),
            (Completed, false, Timer(Reason::TimerJ), Terminated, Send::Nothing, clear, clear),
            (Terminated, false, Request, Terminated, Send::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, retransmit, timeout) in rows {
            let mut machine = Server { state, reliable };
            let step = machine.step(event);
            let expected = Step { send, tell: Tell::Nothing, retransmit, timeout };
            assert_eq!((machine.state(), step), (next, expected), "{state:?} × {event:?}");
        }
    }
}
