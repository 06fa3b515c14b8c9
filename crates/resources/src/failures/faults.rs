//! Faults in answered calls of a trunk by kind: their number, the most recent one, and good calls since.

use std::time::Instant;

use trunkgate_story::diagnosis::{Diagnosis, FaultCause};
use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{AffectedCalls, FaultView};

use crate::limits::HEARD_AGAIN;

/// Kind of a fault that is kept per trunk; silent sides are kept elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// No common codec, or unsupported payload.
    Codecs,
    /// Packets that this machine refuses to send.
    Unsent,
    /// High packet loss.
    Loss,
    /// Media stops in mid-call while the other side sends. Not a cause on its own: a stream may pause legitimately.
    Stopped,
}

impl FaultKind {
    /// Kinds that show within ten seconds after the answer.
    pub const EARLY: [FaultKind; 2] = [FaultKind::Codecs, FaultKind::Unsent];
    /// Kinds that may begin at any time; only an ended call is known to be free of them.
    pub const LATE: [FaultKind; 2] = [FaultKind::Loss, FaultKind::Stopped];

    /// Returns the kind under which a cause is counted; `None` for causes of silent sides and others, which are not
    /// counted here.
    pub const fn of(cause: FaultCause) -> Option<FaultKind> {
        match cause {
            FaultCause::Codecs | FaultCause::Payload => Some(FaultKind::Codecs),
            FaultCause::Unsent => Some(FaultKind::Unsent),
            FaultCause::Loss => Some(FaultKind::Loss),
            FaultCause::OnHold
            | FaultCause::Srtp
            | FaultCause::UnexpectedSource
            | FaultCause::NotRtp
            | FaultCause::Unreachable
            | FaultCause::NoPhone
            | FaultCause::NoName
            | FaultCause::PrivateAddress
            | FaultCause::OurAddress(_)
            | FaultCause::Echoed
            | FaultCause::Nothing
            | FaultCause::Silence
            | FaultCause::Ceased
            | FaultCause::Unread
            | FaultCause::AgentSilent => None,
        }
    }
}

/// A fault found in a call.
#[derive(Debug, Clone, Copy)]
pub struct CallFault<'a> {
    /// Kind of the fault.
    pub kind: FaultKind,
    /// Cause and fix in plain text.
    pub what: &'a Diagnosis,
}

/// Faults of one trunk.
#[derive(Debug, Default)]
pub(crate) struct TrunkFaults {
    by_kind: [FaultHistory; 4],
}

/// Faults of one kind.
#[derive(Debug, Default)]
struct FaultHistory {
    /// Calls with the fault, and those that lost their target because of it.
    calls: LastHour<2>,
    last: Option<LastFault>,
}

/// Most recent fault of one [`FaultKind`].
#[derive(Debug)]
struct LastFault {
    found: Diagnosis,
    /// SID of the call.
    sid: String,
    at: Instant,
    /// Calls without the fault that were answered after it.
    good: u64,
}

impl TrunkFaults {
    /// Notes a fault in a call. `refused` is true if the call lost its target because of the fault.
    pub(crate) fn note(&mut self, now: Instant, sid: &str, CallFault { kind, what }: CallFault<'_>, refused: bool) {
        if let Some(faults) = self.by_kind.get_mut(kind as usize) {
            faults.calls.count(now, [true, refused]);
            faults.last = Some(LastFault { found: what.clone(), sid: sid.to_owned(), at: now, good: 0 });
        }
    }

    /// Notes that the most recent fault of a kind continues or recurs in its call, which voids good calls in between.
    pub(crate) fn renew(&mut self, now: Instant, sid: &str, CallFault { kind, what }: CallFault<'_>) {
        let last = self.by_kind.get_mut(kind as usize).and_then(|faults| faults.last.as_mut());
        if let Some(last) = last.filter(|last| last.sid == sid) {
            *last = LastFault { found: what.clone(), sid: sid.to_owned(), at: now, good: 0 };
        }
    }

    /// Notes a call without a fault of this kind, answered at `answered`. It does not count if it was answered before
    /// the most recent fault, because concurrent calls may show the same fault later.
    pub(crate) fn note_good(&mut self, kind: FaultKind, answered: Instant) {
        let last = self.by_kind.get_mut(kind as usize).and_then(|faults| faults.last.as_mut());
        if let Some(last) = last.filter(|last| answered >= last.at) {
            last.good = last.good.saturating_add(1);
        }
    }

    /// Treats all faults as solved, until the next one.
    pub(crate) fn withdraw(&mut self) {
        for last in self.by_kind.iter_mut().filter_map(|faults| faults.last.as_mut()) {
            last.good = last.good.saturating_add(HEARD_AGAIN);
        }
    }

    /// Returns the faults of a kind in the last hour. `answered` is the number of sides of answered calls within the
    /// hour, and within the last five minutes. `None` without such faults.
    pub(crate) fn view(&self, now: Instant, kind: FaultKind, answered: (u64, u64)) -> Option<FaultView> {
        let faults = self.by_kind.get(kind as usize)?;
        let [calls, refused] = faults.calls.sums(now);
        let last = faults.last.as_ref().filter(|_| calls > 0)?;
        let of = (answered.0 + refused).max(calls);
        let [recent_calls, recent_refused] = faults.calls.recent(now);
        let recent = AffectedCalls { calls: recent_calls, of: (answered.1 + recent_refused).max(recent_calls) };
        Some(FaultView { recent, at: Some(last.at), ..fault_view((calls, of, last.good), &last.found, &last.sid) })
    }
}

/// Returns the view of a fault from three numbers: calls with the fault, all calls, and good calls since the last
/// fault.
pub(crate) fn fault_view((calls, of, good_since): (u64, u64, u64), found: &Diagnosis, sid: &str) -> FaultView {
    let (cause, fix) = (found.text.clone(), found.fix.clone());
    FaultView {
        calls,
        of,
        recent: AffectedCalls::default(),
        kind: found.cause.slug(),
        cause,
        fix,
        last_sid: sid.to_owned(),
        still: good_since < HEARD_AGAIN,
        good_since,
        kinds: Vec::new(),
        at: None,
        both: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn calls_that_were_up_at_the_same_time_do_not_withdraw_a_fault() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let what = Diagnosis { cause: FaultCause::Ceased, text: "nothing came".into(), fix: "look".into() };
        let mut faults = TrunkFaults::default();
        for (n, seconds) in [11, 11, 12, 12].into_iter().enumerate() {
            faults.note(at(seconds), &format!("CA{n}"), CallFault { kind: FaultKind::Stopped, what: &what }, false);
        }
        let view = |faults: &TrunkFaults| {
            let view = faults.view(at(60), FaultKind::Stopped, (4, 4)).unwrap();
            (view.calls, view.of, view.still, view.good_since)
        };
        (0..9).for_each(|_| faults.note_good(FaultKind::Stopped, at(3)));
        assert_eq!(view(&faults), (4, 4, true, 0));
        faults.note_good(FaultKind::Loss, at(20));
        (0..2).for_each(|_| faults.note_good(FaultKind::Stopped, at(20)));
        assert_eq!(view(&faults), (4, 4, true, 2));
        faults.note_good(FaultKind::Stopped, at(20));
        assert_eq!(view(&faults), (4, 4, false, 3));
    }
}
