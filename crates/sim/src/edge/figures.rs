//! Audio statistics that workers write and the gateway reads directly. A tape records their values before each input.

use std::net::SocketAddr;
use std::sync::Arc;

use trunkgate_media::MediaCommand;
use trunkgate_media::counters::{
    AgentQueue, Counter, DropReason, EndCounters, LegTurns, LossRuns, QueueGauge, TurnTiming,
};

/// Statistics shared by the gateway and the worker of a media end.
#[derive(Debug)]
pub(super) struct SharedFigures {
    counters: Arc<EndCounters>,
    queue: Option<Arc<AgentQueue>>,
    turns: Option<Arc<LegTurns>>,
    /// Values that the tape recorded last.
    taped: Option<Box<StatisticsValues>>,
}

/// Values of the shared statistics at one time.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatisticsValues {
    gauges: Vec<u64>,
    lost_in_a_row: LossRuns,
    dropped: [u64; DropReason::COUNT],
    stranger: Option<SocketAddr>,
    /// Audio queued for an agent and for its caller: current and maximum amount of each.
    waiting: [(u64, u64); 2],
    turns: Vec<TurnTiming>,
}

impl SharedFigures {
    /// Returns the statistics of the media end that a command adds; `None` for other commands.
    pub(super) fn of(command: &MediaCommand) -> Option<SharedFigures> {
        if let MediaCommand::AddEnd { spec, .. } = command {
            return Some(SharedFigures { counters: Arc::clone(&spec.counters), queue: None, turns: None, taped: None });
        }
        let MediaCommand::AddAgent { spec, .. } = command else { return None };
        let (counters, queue) = (Arc::clone(&spec.counters), Some(Arc::clone(&spec.queue)));
        Some(SharedFigures { counters, queue, turns: spec.turns.clone(), taped: None })
    }

    fn gauges(&self) -> Vec<&Counter> {
        let EndCounters { scores, symptoms, .. } = &*self.counters;
        let end = &self.counters;
        let mut all = vec![
            &end.rx_packets,
            &end.rx_bytes,
            &end.tx_packets,
            &end.tx_bytes,
            &end.lost,
            &end.jitter_us,
            &end.rtt_us,
            &end.far_reports,
            &end.far_lost,
            &end.far_jitter_us,
            &end.latched,
            &end.rtcp_packets,
            &end.frames_dropped,
        ];
        all.extend([&scores.count, &scores.sum, &scores.lowest]);
        all.extend([&symptoms.silent, &symptoms.sounded, &symptoms.odd_payload, &symptoms.unreachable]);
        all.extend([&symptoms.refused, &symptoms.unread, &symptoms.echoed]);
        all.extend(self.queue.iter().flat_map(|queue| [&queue.foreign, &queue.invalid]));
        all
    }

    fn waiting(&self) -> Option<[&QueueGauge; 2]> {
        self.queue.as_ref().map(|queue| [&queue.unheard, &queue.unsent])
    }

    /// Returns the values if they have changed since the last call, and stores them for the next one. Returns `None` if
    /// they have not changed, or only the tape still holds the statistics.
    pub(super) fn changed(&mut self) -> Option<StatisticsValues> {
        if Arc::strong_count(&self.counters) == 1 {
            return None;
        }
        let values = StatisticsValues {
            gauges: self.gauges().into_iter().map(Counter::get).collect(),
            lost_in_a_row: self.counters.lost_in_a_row.get(),
            dropped: DropReason::ALL.map(|reason| self.counters.dropped.drop_count(reason)),
            stranger: self.counters.symptoms.stranger.get().copied(),
            waiting: self.waiting().map_or([(0, 0); 2], |all| all.map(|waiting| (waiting.now(), waiting.most()))),
            turns: self.turns.iter().flat_map(|turns| turns.kept()).collect(),
        };
        if self.taped.as_deref() == Some(&values) {
            return None;
        }
        self.taped = Some(Box::new(values.clone()));
        Some(values)
    }

    /// Sets the statistics to these values, as a worker would.
    pub(super) fn set(&self, values: &StatisticsValues) {
        self.gauges().into_iter().zip(&values.gauges).for_each(|(gauge, value)| gauge.set(*value));
        self.counters.lost_in_a_row.set(&values.lost_in_a_row);
        for (reason, value) in DropReason::ALL.into_iter().zip(values.dropped) {
            let more = value.saturating_sub(self.counters.dropped.drop_count(reason));
            self.counters.dropped.add(reason, u32::try_from(more).unwrap_or(u32::MAX));
        }
        if let Some(stranger) = values.stranger {
            let _ = self.counters.symptoms.stranger.set(stranger);
        }
        for (waiting, (now, most)) in self.waiting().into_iter().flatten().zip(values.waiting) {
            waiting.set(most);
            waiting.set(now);
        }
        if let Some(turns) = &self.turns {
            let known = turns.count() as usize;
            values.turns.iter().skip(known).for_each(|turn| turns.record_turn(*turn));
        }
    }
}
