//! Non-INVITE server transaction: RFC 3261 §17.2.2 (Figure 8).

use crate::event::TimerReason;
use crate::timer::T1_64;
use crate::transaction::{ServerEvent, StatusClass, StepMessage, TransactionStep};

/// State of a non-INVITE server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerState {
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
pub(crate) struct ServerNonInvite {
    state: ServerState,
    reliable: bool,
}

impl ServerNonInvite {
    /// Starts the transaction after its request has arrived.
    pub(crate) fn start(reliable: bool) -> ServerNonInvite {
        ServerNonInvite { state: ServerState::Trying, reliable }
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> ServerState {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ServerEvent) -> TransactionStep {
        use ServerEvent::{Request, Send as Answer, Timer};
        match (self.state, event) {
            (ServerState::Trying | ServerState::Proceeding, Answer(StatusClass::Provisional)) => {
                self.state = ServerState::Proceeding;
                TransactionStep::IDLE.send(StepMessage::Message)
            }
            (ServerState::Trying | ServerState::Proceeding, Answer(StatusClass::Success | StatusClass::Failure)) => {
                // Timer J is zero for reliable transports.
                self.state = if self.reliable { ServerState::Terminated } else { ServerState::Completed };
                let step = TransactionStep::END.send(StepMessage::Message);
                if self.reliable { step } else { step.timeout(TimerReason::TimerJ, T1_64) }
            }
            (ServerState::Proceeding | ServerState::Completed, Request) => {
                TransactionStep::IDLE.send(StepMessage::Message)
            }
            (ServerState::Completed, Timer(TimerReason::TimerJ)) => {
                self.state = ServerState::Terminated;
                TransactionStep::END
            }
            _ => TransactionStep::IDLE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transaction::{StepReport, TimerChange};
    use ServerEvent::{Ack, Request, Send as Answer, Timer};

    #[test]
    fn rfc3261_figure_8_every_row() {
        use ServerState::{Completed, Proceeding, Terminated, Trying};
        let (provisional, success, failure) =
            (Answer(StatusClass::Provisional), Answer(StatusClass::Success), Answer(StatusClass::Failure));
        let j = TimerChange::Arm(TimerReason::TimerJ, T1_64);
        let (keep, clear) = (TimerChange::Keep, TimerChange::Clear);
        let rows = [
            (Trying, false, Request, Trying, StepMessage::Nothing, keep, keep),
            (Trying, false, provisional, Proceeding, StepMessage::Message, keep, keep),
            (Trying, false, success, Completed, StepMessage::Message, clear, j),
            (Trying, true, failure, Terminated, StepMessage::Message, clear, clear),
            (Proceeding, false, Request, Proceeding, StepMessage::Message, keep, keep),
            (Proceeding, false, provisional, Proceeding, StepMessage::Message, keep, keep),
            (Proceeding, false, failure, Completed, StepMessage::Message, clear, j),
            (Completed, false, Request, Completed, StepMessage::Message, keep, keep),
            (Completed, false, success, Completed, StepMessage::Nothing, keep, keep),
            (Completed, false, Ack, Completed, StepMessage::Nothing, keep, keep),
            (Completed, false, Timer(TimerReason::TimerJ), Terminated, StepMessage::Nothing, clear, clear),
            (Terminated, false, Request, Terminated, StepMessage::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, retransmit, timeout) in rows {
            let mut machine = ServerNonInvite { state, reliable };
            let step = machine.step(event);
            let expected = TransactionStep { send, tell: StepReport::Nothing, retransmit, timeout };
            assert_eq!((machine.state(), step), (next, expected), "{state:?} × {event:?}");
        }
    }
}
