//! INVITE client transaction: RFC 3261 §17.1.1 (Figure 5) with the Accepted state of RFC 6026 §7.2.

use std::time::Duration;

use crate::event::TimerReason;
use crate::timer::{T1, T1_64, TIMER_D};
use crate::transaction::{ClientEvent, StatusClass, StepMessage, StepReport, TimerChange, TransactionStep};

/// State of an INVITE client transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClientInviteState {
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
    state: ClientInviteState,
    reliable: bool,
    interval: Duration,
}

impl ClientInvite {
    /// Starts the transaction by sending the INVITE.
    pub(crate) fn start(reliable: bool) -> (ClientInvite, TransactionStep) {
        let machine = ClientInvite { state: ClientInviteState::Calling, reliable, interval: T1 };
        let step = TransactionStep::IDLE.send(StepMessage::Message).timeout(TimerReason::TimerB, T1_64);
        let step = if reliable { step } else { step.retransmit(TimerChange::Arm(TimerReason::TimerA, T1)) };
        (machine, step)
    }

    pub(crate) fn state(&self) -> ClientInviteState {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ClientEvent) -> TransactionStep {
        use ClientEvent::{Response, Timer, TransportFailed};
        match (self.state, event) {
            (ClientInviteState::Calling, Timer(TimerReason::TimerA)) => {
                self.interval *= 2;
                TransactionStep::IDLE
                    .send(StepMessage::Message)
                    .retransmit(TimerChange::Arm(TimerReason::TimerA, self.interval))
            }
            (ClientInviteState::Calling, Timer(TimerReason::TimerB)) => self.end(StepReport::TimedOut),
            (ClientInviteState::Calling, TransportFailed) => self.end(StepReport::TransportFailed),
            // Figure 5 has no transport error here, since nothing is being sent; but after the loss of a stream no
            // final response can arrive.
            (ClientInviteState::Proceeding, TransportFailed) if self.reliable => self.end(StepReport::TransportFailed),
            (ClientInviteState::Calling | ClientInviteState::Proceeding, Response(StatusClass::Provisional)) => {
                let first = self.state == ClientInviteState::Calling;
                self.state = ClientInviteState::Proceeding;
                if first {
                    TransactionStep::END.with_report(StepReport::Message)
                } else {
                    TransactionStep::IDLE.with_report(StepReport::Message)
                }
            }
            (ClientInviteState::Calling | ClientInviteState::Proceeding, Response(StatusClass::Success)) => {
                self.state = ClientInviteState::Accepted;
                TransactionStep::END.with_report(StepReport::Message).timeout(TimerReason::TimerM, T1_64)
            }
            (ClientInviteState::Calling | ClientInviteState::Proceeding, Response(StatusClass::Failure)) => {
                // Timer D is zero for reliable transports.
                self.state = if self.reliable { ClientInviteState::Terminated } else { ClientInviteState::Completed };
                let step = TransactionStep::END.send(StepMessage::Ack).with_report(StepReport::Message);
                if self.reliable { step } else { step.timeout(TimerReason::TimerD, TIMER_D) }
            }
            (ClientInviteState::Proceeding, Timer(TimerReason::CancelWait)) => self.end(StepReport::TimedOut),
            (ClientInviteState::Completed, Response(StatusClass::Failure)) => {
                TransactionStep::IDLE.send(StepMessage::Ack)
            }
            (ClientInviteState::Completed, TransportFailed) => self.end(StepReport::TransportFailed),
            (ClientInviteState::Completed, Timer(TimerReason::TimerD)) => self.end(StepReport::Nothing),
            (ClientInviteState::Accepted, Response(StatusClass::Success)) => {
                TransactionStep::IDLE.with_report(StepReport::Message)
            }
            (ClientInviteState::Accepted, Timer(TimerReason::TimerM)) => self.end(StepReport::Nothing),
            _ => TransactionStep::IDLE,
        }
    }

    fn end(&mut self, tell: StepReport) -> TransactionStep {
        self.state = ClientInviteState::Terminated;
        TransactionStep::END.with_report(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientEvent::{Response, Timer, TransportFailed};

    const PROVISIONAL: ClientEvent = Response(StatusClass::Provisional);
    const SUCCESS: ClientEvent = Response(StatusClass::Success);
    const FAILURE: ClientEvent = Response(StatusClass::Failure);

    #[test]
    fn rfc3261_17_1_1_start() {
        let (machine, step) = ClientInvite::start(false);
        assert_eq!(machine.state(), ClientInviteState::Calling);
        assert_eq!(step.send, StepMessage::Message);
        assert_eq!(step.retransmit, TimerChange::Arm(TimerReason::TimerA, T1));
        assert_eq!(step.timeout, TimerChange::Arm(TimerReason::TimerB, T1_64));
        let (_, step) = ClientInvite::start(true);
        assert_eq!(step.retransmit, TimerChange::Keep, "timer A is for unreliable transports");
    }

    #[test]
    fn rfc3261_figure_5_and_rfc6026_figure_5_every_row() {
        use ClientInviteState::{Accepted, Calling, Completed, Proceeding, Terminated};
        use StepMessage as Out;
        use StepReport as Up;
        use TimerReason as On;
        let a = TimerChange::Arm(On::TimerA, T1 * 2);
        let d = TimerChange::Arm(On::TimerD, TIMER_D);
        let m = TimerChange::Arm(On::TimerM, T1_64);
        let (keep, clear) = (TimerChange::Keep, TimerChange::Clear);
        let rows = [
            (Calling, false, Timer(On::TimerA), Calling, Out::Message, Up::Nothing, a, keep),
            (Calling, false, Timer(On::TimerB), Terminated, Out::Nothing, Up::TimedOut, clear, clear),
            (Calling, false, TransportFailed, Terminated, Out::Nothing, Up::TransportFailed, clear, clear),
            (Calling, false, PROVISIONAL, Proceeding, Out::Nothing, Up::Message, clear, clear),
            (Calling, false, SUCCESS, Accepted, Out::Nothing, Up::Message, clear, m),
            (Calling, false, FAILURE, Completed, Out::Ack, Up::Message, clear, d),
            (Calling, true, FAILURE, Terminated, Out::Ack, Up::Message, clear, clear),
            (Proceeding, false, PROVISIONAL, Proceeding, Out::Nothing, Up::Message, keep, keep),
            (Proceeding, false, SUCCESS, Accepted, Out::Nothing, Up::Message, clear, m),
            (Proceeding, true, SUCCESS, Accepted, Out::Nothing, Up::Message, clear, m),
            (Proceeding, false, FAILURE, Completed, Out::Ack, Up::Message, clear, d),
            (Proceeding, true, FAILURE, Terminated, Out::Ack, Up::Message, clear, clear),
            (Proceeding, false, Timer(On::CancelWait), Terminated, Out::Nothing, Up::TimedOut, clear, clear),
            (Proceeding, false, TransportFailed, Proceeding, Out::Nothing, Up::Nothing, keep, keep),
            (Proceeding, true, TransportFailed, Terminated, Out::Nothing, Up::TransportFailed, clear, clear),
            (Proceeding, false, Timer(On::TimerA), Proceeding, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, FAILURE, Completed, Out::Ack, Up::Nothing, keep, keep),
            (Completed, false, PROVISIONAL, Completed, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, SUCCESS, Completed, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, TransportFailed, Terminated, Out::Nothing, Up::TransportFailed, clear, clear),
            (Completed, false, Timer(On::TimerD), Terminated, Out::Nothing, Up::Nothing, clear, clear),
            (Accepted, false, SUCCESS, Accepted, Out::Nothing, Up::Message, keep, keep),
            (Accepted, false, PROVISIONAL, Accepted, Out::Nothing, Up::Nothing, keep, keep),
            (Accepted, false, FAILURE, Accepted, Out::Nothing, Up::Nothing, keep, keep),
            (Accepted, false, Timer(On::TimerM), Terminated, Out::Nothing, Up::Nothing, clear, clear),
            (Terminated, false, SUCCESS, Terminated, Out::Nothing, Up::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = ClientInvite { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, TransactionStep { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_1_1_2_timer_a_doubles_without_a_ceiling() {
        let (mut machine, _) = ClientInvite::start(false);
        let waits: Vec<_> = (0..6)
            .map(|_| {
                let step = machine.step(Timer(TimerReason::TimerA));
                let TimerChange::Arm(TimerReason::TimerA, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000]);
    }
}
