//! The quality series of a call: read from the counters of its ends by the call's own timer, so that no packet waits for it.

use std::time::Instant;

use trunkgate_media::{AgentQueue, EndCounters};
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_story::series::{Kept, Label, Reading, Totals, Way};

use crate::call::legs::leg::{Leg, LegState};
use crate::call::{Call, State};

fn counters(leg: &Leg) -> impl Iterator<Item = &EndCounters> {
    let ends = leg.ends.iter().map(|end| end.counters.as_ref());
    ends.chain(leg.agent.iter().map(|side| side.counters.as_ref()))
}

fn queue(leg: &Leg) -> Option<&AgentQueue> {
    leg.agent.as_ref()?.queue.as_deref()
}

fn totals(leg: &Leg) -> Totals {
    let earlier = &leg.earlier;
    let far_lost = earlier.far.as_ref().map_or(0, |far| far.lost);
    let (received, lost, sent) = (earlier.rx_packets, earlier.lost, earlier.tx_packets);
    let mut all = Totals { received, lost, sent, far_lost, far_reports: 0 };
    for counters in counters(leg) {
        all.received += counters.rx_packets.get();
        all.lost += counters.lost.get();
        all.sent += counters.tx_packets.get().saturating_sub(counters.symptoms.refused.get());
        // What an agent's socket did not take is lost to it, and no report is needed to know.
        all.far_lost += counters.far_lost.get() + counters.frames_dropped.get();
        all.far_reports += counters.far_reports.get();
    }
    all
}

/// Returns a leg as its counters read now.
fn reading(leg: &Leg) -> Reading {
    let largest = |of: fn(&EndCounters) -> u64| {
        u32::try_from(counters(leg).map(of).max().unwrap_or_default()).unwrap_or(u32::MAX)
    };
    let network = || Way::Network {
        jitter_us: largest(|counters| counters.jitter_us.get()),
        far_jitter_us: largest(|counters| counters.far_jitter_us.get()),
        rtt_us: largest(|counters| counters.rtt_us.get()),
        reported: false,
    };
    let way = queue(leg).map_or_else(network, Way::of_agent);
    Reading { totals: totals(leg), way, is_over: leg.state == LegState::Ended }
}

impl Call {
    /// The call is answered, or goes on after a restart of the edge: its series begins.
    pub(crate) fn begin_series(&mut self, now: Instant, edge: &mut Edge) {
        self.story.series.begin(now, edge.date(now), self.legs.iter().map(reading));
        self.arm(now, edge, Timer::Quality, self.story.series.interval());
    }

    /// An interval is over.
    pub(crate) fn sample_quality(&mut self, now: Instant, edge: &mut Edge) {
        self.deadlines.remove(Timer::Quality);
        if self.state != State::Ended {
            self.capture_reports(now, edge);
            let next = self.story.series.take(now, self.legs.iter().map(reading));
            self.legs.iter().filter_map(queue).for_each(AgentQueue::forget);
            self.arm(now, edge, Timer::Quality, next);
            self.look_for_flaws(now, edge);
            self.watch_hold(now, edge);
        }
    }

    /// Its series up to now; `None` before the answer.
    pub(crate) fn quality(&self, now: Instant) -> Option<Kept> {
        let legs = self.legs.with_ids().map(|(at, leg)| Label {
            sid: leg.sid.clone(),
            party: self.legs.name_of(at),
            codec: leg.codec.clone(),
            is_agent: leg.agent.is_some(),
            listens: leg.listens(),
        });
        self.story.series.kept(now, self.legs.sid(), self.legs.iter().map(reading), legs)
    }
}
