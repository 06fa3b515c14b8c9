//! INVITE server transaction: RFC 3261 §17.2.1 (Figure 7) with the Accepted state of RFC 6026 §7.1.

use std::time::Duration;

use crate::event::TimerReason;
use crate::timer::{MINUTE, T1, T1_64, T2, T4};
use crate::transaction::{ServerEvent, StatusClass, StepMessage, StepReport, TimerChange, TransactionStep};

/// State of an INVITE server transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ServerInviteState {
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
    state: ServerInviteState,
    reliable: bool,
    interval: Duration,
}

impl ServerInvite {
    /// Starts the transaction after its INVITE has arrived.
    pub(crate) fn start(reliable: bool) -> ServerInvite {
        ServerInvite { state: ServerInviteState::Proceeding, reliable, interval: T1 }
    }

    /// Returns the current state.
    pub(crate) fn state(&self) -> ServerInviteState {
        self.state
    }

    /// Handles one event.
    pub(crate) fn step(&mut self, event: ServerEvent) -> TransactionStep {
        use ServerEvent::{Ack, Request, Send as Answer, Timer};
        match (self.state, event) {
            (ServerInviteState::Proceeding, Request) => TransactionStep::IDLE.send(StepMessage::Message),
            (ServerInviteState::Proceeding, Answer(StatusClass::Provisional) | Timer(TimerReason::Repeat1xx)) => {
                TransactionStep::IDLE
                    .send(StepMessage::Message)
                    .retransmit(TimerChange::Arm(TimerReason::Repeat1xx, MINUTE))
            }
            (ServerInviteState::Proceeding, Answer(StatusClass::Success)) => {
                self.state = ServerInviteState::Accepted;
                TransactionStep::END.send(StepMessage::Message).timeout(TimerReason::TimerL, T1_64)
            }
            (ServerInviteState::Proceeding, Answer(StatusClass::Failure)) => {
                self.state = ServerInviteState::Completed;
                let step = TransactionStep::END.send(StepMessage::Message).timeout(TimerReason::TimerH, T1_64);
                if self.reliable { step } else { step.retransmit(TimerChange::Arm(TimerReason::TimerG, T1)) }
            }
            (ServerInviteState::Completed, Request) => TransactionStep::IDLE.send(StepMessage::Message),
            (ServerInviteState::Completed, Timer(TimerReason::TimerG)) => {
                self.interval = (self.interval * 2).min(T2);
                TransactionStep::IDLE
                    .send(StepMessage::Message)
                    .retransmit(TimerChange::Arm(TimerReason::TimerG, self.interval))
            }
            (ServerInviteState::Completed, Timer(TimerReason::TimerH)) => self.end(StepReport::TimedOut),
            // Timer I is zero for reliable transports.
            (ServerInviteState::Completed, Ack) if self.reliable => self.end(StepReport::Nothing),
            (ServerInviteState::Completed, Ack) => {
                self.state = ServerInviteState::Confirmed;
                TransactionStep::END.timeout(TimerReason::TimerI, T4)
            }
            (ServerInviteState::Confirmed, Timer(TimerReason::TimerI)) => self.end(StepReport::Nothing),
            (ServerInviteState::Accepted, Ack) => TransactionStep::IDLE.with_report(StepReport::Message),
            (ServerInviteState::Accepted, Answer(StatusClass::Success)) => {
                TransactionStep::IDLE.send(StepMessage::Message)
            }
            (ServerInviteState::Accepted, Timer(TimerReason::TimerL)) => self.end(StepReport::Nothing),
            _ => TransactionStep::IDLE,
        }
    }

    fn end(&mut self, tell: StepReport) -> TransactionStep {
        self.state = ServerInviteState::Terminated;
        TransactionStep::END.with_report(tell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ServerEvent::{Ack, Request, Send as Answer, Timer};

    #[test]
    fn rfc3261_figure_7_and_rfc6026_figure_7_every_row() {
        use ServerInviteState::{Accepted, Completed, Confirmed, Proceeding, Terminated};
        use StepMessage as Out;
        use StepReport as Up;
        use TimerReason as On;
        let (provisional, success, failure) =
            (Answer(StatusClass::Provisional), Answer(StatusClass::Success), Answer(StatusClass::Failure));
        let g = |after| TimerChange::Arm(On::TimerG, after);
        let h = TimerChange::Arm(On::TimerH, T1_64);
        let i = TimerChange::Arm(On::TimerI, T4);
        let l = TimerChange::Arm(On::TimerL, T1_64);
        let again = TimerChange::Arm(On::Repeat1xx, MINUTE);
        let (keep, clear) = (TimerChange::Keep, TimerChange::Clear);
        let rows = [
            (Proceeding, false, Request, Proceeding, Out::Message, Up::Nothing, keep, keep),
            (Proceeding, false, provisional, Proceeding, Out::Message, Up::Nothing, again, keep),
            (Proceeding, true, Timer(On::Repeat1xx), Proceeding, Out::Message, Up::Nothing, again, keep),
            (Proceeding, false, success, Accepted, Out::Message, Up::Nothing, clear, l),
            (Proceeding, true, success, Accepted, Out::Message, Up::Nothing, clear, l),
            (Proceeding, false, failure, Completed, Out::Message, Up::Nothing, g(T1), h),
            (Proceeding, true, failure, Completed, Out::Message, Up::Nothing, clear, h),
            (Proceeding, false, Ack, Proceeding, Out::Nothing, Up::Nothing, keep, keep),
            (Completed, false, Request, Completed, Out::Message, Up::Nothing, keep, keep),
            (Completed, false, Timer(On::TimerG), Completed, Out::Message, Up::Nothing, g(T1 * 2), keep),
            (Completed, false, Timer(On::TimerH), Terminated, Out::Nothing, Up::TimedOut, clear, clear),
            (Completed, false, Ack, Confirmed, Out::Nothing, Up::Nothing, clear, i),
            (Completed, true, Ack, Terminated, Out::Nothing, Up::Nothing, clear, clear),
            (Completed, false, success, Completed, Out::Nothing, Up::Nothing, keep, keep),
            (Confirmed, false, Ack, Confirmed, Out::Nothing, Up::Nothing, keep, keep),
            (Confirmed, false, Request, Confirmed, Out::Nothing, Up::Nothing, keep, keep),
            (Confirmed, false, Timer(On::TimerI), Terminated, Out::Nothing, Up::Nothing, clear, clear),
            (Accepted, false, Request, Accepted, Out::Nothing, Up::Nothing, keep, keep),
            (Accepted, false, Ack, Accepted, Out::Nothing, Up::Message, keep, keep),
            (Accepted, false, success, Accepted, Out::Message, Up::Nothing, keep, keep),
            (Accepted, false, failure, Accepted, Out::Nothing, Up::Nothing, keep, keep),
            (Accepted, false, Timer(On::TimerL), Terminated, Out::Nothing, Up::Nothing, clear, clear),
            (Terminated, false, Request, Terminated, Out::Nothing, Up::Nothing, keep, keep),
        ];
        for (state, reliable, event, next, send, tell, retransmit, timeout) in rows {
            let mut machine = ServerInvite { state, reliable, interval: T1 };
            let step = machine.step(event);
            assert_eq!(
                (machine.state(), step),
                (next, TransactionStep { send, tell, retransmit, timeout }),
                "{state:?} × {event:?}"
            );
        }
    }

    #[test]
    fn rfc3261_17_2_1_timer_g_doubles_to_t2() {
        let mut machine = ServerInvite::start(false);
        machine.step(Answer(StatusClass::Failure));
        let waits: Vec<_> = (0..5)
            .map(|_| {
                let step = machine.step(Timer(TimerReason::TimerG));
                let TimerChange::Arm(TimerReason::TimerG, after) = step.retransmit else { panic!("{step:?}") };
                after.as_millis()
            })
            .collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 4_000, 4_000]);
    }
}
