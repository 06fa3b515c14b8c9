//! Numbers and times of a call that the edge has made to a party, as the API shows them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trunkgate_media::detection::Verdict;
use trunkgate_story::view::DialledView;
use trunkgate_story::wall::{of_unix_ms, rfc3339, unix_ms};

use crate::call::legs::leg::LegState;

/// A call to a party. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Dialled {
    /// Number that the party is shown.
    from: Box<str>,
    /// Number or URI by which it is called, as it is shown.
    to: Box<str>,
    started_ms: u64,
    answered_ms: Option<u64>,
    ended_ms: Option<u64>,
    /// Who has answered, where that was asked for and is known.
    verdict: Option<Verdict>,
    /// Whether the party has left for a call of its own, with the SID of this one.
    has_own_call: bool,
}

impl Dialled {
    /// Makes one that begins now.
    pub(crate) fn new(now: SystemTime, from: &str, to: &str) -> Dialled {
        let started_ms = unix_ms(now);
        let (from, to) = (from.into(), to.into());
        Dialled { from, to, started_ms, answered_ms: None, ended_ms: None, verdict: None, has_own_call: false }
    }

    /// Returns the number or URI by which the party is called.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// Returns when it began and when it was answered.
    pub(crate) fn times(&self) -> (SystemTime, Option<SystemTime>) {
        (of_unix_ms(self.started_ms), self.answered_ms.map(of_unix_ms))
    }

    /// Notes that the party has left for a call of its own.
    pub(crate) fn detach(&mut self) {
        self.has_own_call = true;
    }

    /// Whether the party has left for a call of its own.
    pub(crate) fn has_own_call(&self) -> bool {
        self.has_own_call
    }

    /// Notes who has answered.
    pub(crate) fn judged(&mut self, verdict: Verdict) {
        self.verdict = Some(verdict);
    }

    /// Returns who has answered, where that is known.
    pub(crate) fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Whether the time at which its leg came to this state is not known yet.
    pub(crate) fn lacks_time_of(&self, state: LegState) -> bool {
        match state {
            LegState::Trying | LegState::Ringing | LegState::Early => false,
            LegState::Answered => self.answered_ms.is_none(),
            LegState::Canceling | LegState::Closing | LegState::Ended => self.ended_ms.is_none(),
        }
    }

    /// Notes the time at which its leg came to this state.
    pub(crate) fn reach(&mut self, state: LegState, now: SystemTime) {
        if self.lacks_time_of(state) {
            let time = if state == LegState::Answered { &mut self.answered_ms } else { &mut self.ended_ms };
            *time = Some(unix_ms(now));
        }
    }

    /// Returns it as it is shown.
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
        let mut dialled = Dialled::new(at(0), "+1", "+2");
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
