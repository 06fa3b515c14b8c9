//! Numbers and times of a call that the edge has made to a party, for the API.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trunkgate_media::detection::DetectionVerdict;
use trunkgate_story::view::DialledView;
use trunkgate_story::wall::{of_unix_ms, rfc3339, unix_ms};

use crate::call::legs::leg::LegState;

/// Call to a party. Times are in milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OutboundCall {
    /// Caller ID sent to the party.
    from: Box<str>,
    /// Called number or URI, as displayed.
    to: Box<str>,
    started_ms: u64,
    answered_ms: Option<u64>,
    ended_ms: Option<u64>,
    /// Result of answering-machine detection, if it was requested and is known.
    verdict: Option<DetectionVerdict>,
    /// True once the party has moved to a call of its own, which keeps this SID.
    has_own_call: bool,
}

impl OutboundCall {
    /// Creates a call that begins now.
    pub(crate) fn new(now: SystemTime, from: &str, to: &str) -> OutboundCall {
        let started_ms = unix_ms(now);
        let (from, to) = (from.into(), to.into());
        OutboundCall { from, to, started_ms, answered_ms: None, ended_ms: None, verdict: None, has_own_call: false }
    }

    /// Returns the called number or URI.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// Returns the times of start and answer.
    pub(crate) fn times(&self) -> (SystemTime, Option<SystemTime>) {
        (of_unix_ms(self.started_ms), self.answered_ms.map(of_unix_ms))
    }

    /// Records that the party has moved to a call of its own.
    pub(crate) fn detach(&mut self) {
        self.has_own_call = true;
    }

    /// Returns whether the party has moved to a call of its own.
    pub(crate) fn has_own_call(&self) -> bool {
        self.has_own_call
    }

    /// Stores the result of answering-machine detection.
    pub(crate) fn judged(&mut self, verdict: DetectionVerdict) {
        self.verdict = Some(verdict);
    }

    /// Returns the result of answering-machine detection, if known.
    pub(crate) fn verdict(&self) -> Option<DetectionVerdict> {
        self.verdict
    }

    /// Returns whether the time of this state is still missing.
    pub(crate) fn lacks_time_of(&self, state: LegState) -> bool {
        match state {
            LegState::Trying | LegState::Ringing | LegState::Early => false,
            LegState::Answered => self.answered_ms.is_none(),
            LegState::Canceling | LegState::Closing | LegState::Ended => self.ended_ms.is_none(),
        }
    }

    /// Stores the time of this state, unless it is already known.
    pub(crate) fn reach(&mut self, state: LegState, now: SystemTime) {
        if self.lacks_time_of(state) {
            let time = if state == LegState::Answered { &mut self.answered_ms } else { &mut self.ended_ms };
            *time = Some(unix_ms(now));
        }
    }

    /// Returns the call for display.
    pub(crate) fn view(&self) -> DialledView {
        let shown = |ms: u64| rfc3339(of_unix_ms(ms));
        DialledView {
            from: Some(self.from.to_string()),
            to: Some(self.to.to_string()),
            started_at: Some(shown(self.started_ms)),
            answered_at: self.answered_ms.map(shown),
            ended_at: self.ended_ms.map(shown),
            answered_by: self.verdict.map(|verdict| verdict.answered_by.name()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_noted_once() {
        let at = |second: u64| of_unix_ms(1_800_000_000_000 + second * 1000);
        let mut dialled = OutboundCall::new(at(0), "+1", "+2");
        for (state, second) in [
            (LegState::Ringing, 1),
            (LegState::Answered, 2),
            (LegState::Answered, 3),
            (LegState::Closing, 4),
            (LegState::Ended, 5),
        ] {
            dialled.reach(state, at(second));
        }
        let shown = [0, 2, 4].map(|second| Some(rfc3339(at(second))));
        let view = dialled.view();
        assert_eq!([view.started_at, view.answered_at, view.ended_at], shown);
        assert_eq!((view.from.as_deref(), view.to.as_deref()), (Some("+1"), Some("+2")));
    }
}
