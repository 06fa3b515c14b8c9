//! Non-INVITE client transaction: RFC 3261 §17.1.2 (Figure 6).

use std::time::Duration;

use crate::event::TimerReason;
use crate::timer::{T1, T1_64, T2, T4};
use crate::transaction::{ClientEvent, StatusClass, StepMessage, StepReport, TimerChange, TransactionStep};

/// State of a non-INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientState {
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
pub(crate) struct ClientNonInvite {
    state: ClientState,
    reliable: bool,
    interval: Duration,
}

impl ClientNonInvite {
    /// Starts the transaction by sending the request.
    pub(crate) fn start(reliable: bool) -> (ClientNonInvite, TransactionStep) {
        let step = TransactionStep::IDLE.send(StepMessage::Message).timeout(TimerReason::TimerF, T1_64);
        let step = if reliable { step } else { step.retransmit(TimerChange::Arm(TimerReason::TimerE, T1)) };
        (ClientNonInvite { state: ClientState::Trying, reliable, interval: T1 }, step)
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> ClientState {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ClientEvent) -> TransactionStep {
        use ClientEvent::{Response, Timer, TransportFailed};
        match (self.state, event) {
            (ClientState::Trying, Timer(TimerReason::TimerE)) => {
                self.interval = (self.interval * 2).min(T2);
                TransactionStep::IDLE
                    .send(StepMessage::Message)
                    .retransmit(TimerChange::Arm(TimerReason::TimerE, self.interval))
            }
            (ClientState::Proceeding, Timer(TimerReason::TimerE)) => {
                TransactionStep::IDLE.send(StepMessage::Message).retransmit(TimerChange::Arm(TimerReason::TimerE, T2))
            }
            (ClientState::Trying | ClientState::Proceeding, Timer(TimerReason::TimerF)) => {
                self.end(StepReport::TimedOut)
            }
            (ClientState::Trying | ClientState::Proceeding, TransportFailed) => self.end(StepReport::TransportFailed),
            (ClientState::Trying | ClientState::Proceeding, Response(StatusClass::Provisional)) => {
                self.state = ClientState::Proceeding;
                TransactionStep::IDLE.with_report(StepReport::Message)
            }
            (ClientState::Trying | ClientState::Proceeding, Response(StatusClass::Success | StatusClass::Failure)) => {
                // Timer K is zero for reliable transports.
                self.state = if self.reliable { ClientState::Terminated } else { ClientState::Completed };
                let step = TransactionStep::END.with_report(StepReport::Message);
                if self.reliable { step } else { step.timeout(TimerReason::TimerK, T4) }
            }
            (ClientState::Completed, Timer(TimerReason::TimerK)) => self.end(StepReport::Nothing),
            _ => TransactionStep::IDLE,
        }
    }

    fn end(&mut self, tell: StepReport) -> TransactionStep {
        self.state = ClientState::Terminated;
        TransactionStep::END.with_report(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientEvent::{Response, Timer, TransportFailed};

    #[test]
    fn rfc3261_17_1_2_start() {
        let (machine, step) = ClientNonInvite::start(false);
        assert_eq!((machine.state(), step.send), (ClientState::Trying, StepMessage::Message));
        assert_eq!(step.retransmit, TimerChange::Arm(TimerReason::TimerE, T1));
        assert_eq!(step.timeout, TimerChange::Arm(TimerReason::TimerF, T1_64));
        assert_eq!(ClientNonInvite::start(true).1.retransmit, TimerChange::Keep);
    }

    #[test]
    fn rfc3261_figure_6_every_row() {
        use ClientState::{Completed, Proceeding, Terminated, Trying};
        use StepMessage as Out;
        use StepReport as Up;
        use TimerReason as On;
        let provisional = Response(StatusClass::Provisional);
        let e = |after| TimerChange::Arm(On::TimerE, after);
        let k = TimerChange::Arm(On::TimerK, T4);
        let (keep, clear) = (TimerChange::Keep, TimerChange::Clear);
        let rows = [
            (Trying, false, Timer(On::TimerE), Trying, Out::Message, Up::Nothing, e(T1 * 2), keep),
            (Trying, false, Timer(On::TimerF), Terminated, Out::Nothing, Up::TimedOut, clear, clear),
            (Trying, false, TransportFailed, Terminated, Out::Nothing, Up::TransportFailed, clear, clear),
            (Trying, false, provisional, Proceeding, Out::Nothing, Up::Message, keep, keep),
            (Trying, false, Response(StatusClass::Success), Completed, Out::Nothing, Up::Message, clear, k),
            (Trying, false, Response(StatusClass::Failure), Completed, Out::Nothing, Up::Message, clear, k),
            (Trying, true, Response(StatusClass::Success), Terminated, Out::Nothing, Up::Message, clear, clear),
            (Proceeding, false, Timer(On::TimerE), Proceeding, Out::Message, Up::Nothing, e(T2), keep),
            (Proceeding, false, Timer(On::TimerF), Terminated, Out::Nothing, Up::TimedOut, clear, clear),
            (Proceeding, false, TransportFailed, Terminated, Out::Nothing, Up::TransportFailed, clear, clear),
            (Proceeding, false, provisional, Proceeding, Out::Nothing, Up::Message, keep, keep),
            (Proceeding, false, Response(StatusClass::Failure), Completed, Out::Nothing, Up::Message, clear, k),
            (Proceeding, true, Response(StatusClass::Failure), Terminated, Out::Nothing, Up::Message, clear, clear),
            (Completed, false, Response(StatusClass::Success), Completed, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, TransportFailed, Completed, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, Timer(On::TimerK), Terminated, Out::Nothing, Up::Nothing, clear, clear),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = ClientNonInvite { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, TransactionStep { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_1_2_2_timer_e_doubles_to_t2() {
        let (mut machine, _) = ClientNonInvite::start(false);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                let step = machine.step(Timer(TimerReason::TimerE));
                let TimerChange::Arm(TimerReason::TimerE, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000, 4_000, 4_000]);
    }
}
