//! What is gathered of a call that OpenTelemetry is sent.

use std::time::{Instant, SystemTime};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::Output;
use trunkgate_resources::sampled::Gathered;
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::{LegTimes, SampledCall};

use crate::call::Call;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::story::verdict::head;

/// Notes in `times` what has happened to a leg by now.
fn see(times: &mut LegTimes, at_us: u64, leg: &Leg) {
    match leg.state {
        LegState::Ringing | LegState::Early => {
            times.rang_us.get_or_insert(at_us);
        }
        LegState::Answered => {
            times.answered_us.get_or_insert(at_us);
        }
        LegState::Trying | LegState::Canceling | LegState::Closing | LegState::Ended => {}
    }
    if let Some(end) = leg.shown_end() {
        times.ended_us.get_or_insert(at_us);
        times.failed = end.failed;
    }
    times.listens = leg.listens();
}

impl Call {
    /// Notes what has happened to its legs by now.
    pub(crate) fn note_legs(&self, now: Instant, edge: &mut Edge) {
        let Some(gathered) = edge.sampled.get_mut(&self.key).filter(|gathered| gathered.over.is_none()) else { return };
        let at_us = self.since_began(now);
        gathered.legs.resize(self.legs.len(), LegTimes { began_us: at_us, ..LegTimes::default() });
        for (times, leg) in gathered.legs.iter_mut().zip(&self.legs) {
            see(times, at_us, leg);
        }
    }

    /// Tells of its record; kept besides, until nothing of the call is waited for.
    pub(crate) fn report(&self, now: Instant, edge: &mut Edge, record: CallRecord) {
        self.note_legs(now, edge);
        if let Some(gathered) = edge.sampled.get_mut(&self.key) {
            let at_us = self.since_began(now);
            for times in &mut gathered.legs {
                times.ended_us.get_or_insert(at_us);
            }
            gathered.over = Some(Box::new((record.clone(), at_us)));
        }
        edge.outputs.push_back(Output::Report(Box::new(record)));
    }

    /// Tells of it, where that is wanted; before its trace is put aside.
    pub(crate) fn tell_sampled(&self, edge: &mut Edge) {
        let Some(Gathered { legs, over: Some(over) }) = edge.sampled.remove(&self.key) else { return };
        let Some(trace) = edge.traces.get(&self.key).map(|trace| trace.view(head(self), false)) else { return };
        let (record, ended_us) = *over;
        let since = |at: SystemTime| micros(at.duration_since(self.times.started).unwrap_or_default());
        let answered_us = self.times.answered.map(since);
        let told = SampledCall { record, began: self.times.started, answered_us, ended_us, legs, trace };
        edge.outputs.push_back(Output::Sampled(Box::new(told)));
    }

    fn since_began(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.times.began))
    }
}

fn micros(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
