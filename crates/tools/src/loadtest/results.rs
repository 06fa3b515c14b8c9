//! Results of a load test: counts, distributions, and limits of the generator itself.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::assertion::{Metric, MetricStatistic};
use super::figures::ValueDistribution;
use super::line::CallRole;
use super::pace;
use super::voice::DirectionResult;

/// Maximum number of distinct failure reasons that are counted.
const REASONS: usize = 32;
/// Name under which the calls of further reasons are counted.
const OTHERS: &str = "other reasons";
/// Limit for the 99th percentile of the generator's own sending delay in milliseconds; above it the measurements are
/// not valid for the edge.
const LATENESS_MS: f64 = 20.0;

/// Numbers of packets in one or both directions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PacketCounts {
    pub(super) sent: u64,
    pub(super) lost: u64,
    pub(super) late: u64,
    pub(super) duplicates: u64,
    pub(super) reordered: u64,
    pub(super) harmed: u64,
}

/// Results of a running or ended load test.
#[derive(Debug)]
pub(super) struct LoadTestResults {
    pub(super) attempted: u64,
    pub(super) answered: u64,
    /// Answered calls that ended before the test's caller hung up.
    pub(super) dropped: u64,
    /// Highest number of calls active at the same time.
    pub(super) held: usize,
    /// Failed calls by reason.
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) setup: ValueDistribution,
    pub(super) post_dial: ValueDistribution,
    pub(super) delay: ValueDistribution,
    pub(super) jitter: ValueDistribution,
    pub(super) mos: ValueDistribution,
    packets: [PacketCounts; 2],
    /// Packets that no phone of the test sent.
    pub(super) foreign: u64,
    /// Calls from other addresses than the edge's, left unanswered.
    pub(super) strangers: u64,
    pub(super) sent_again: u64,
    pub(super) came_again: u64,
    /// Delay between the due and the actual sending time of the generator's packets.
    pub(super) lateness: ValueDistribution,
    /// Packets that the system did not send, then packets that it dropped before they were read.
    pub(super) unsent: u64,
    pub(super) unread: u64,
    /// Calls that were not placed or taken because all audio sockets were in use.
    pub(super) crowded: u64,
    /// Longest delay of a call relative to the pace, caused by the generator.
    pub(super) latest_call: Duration,
    /// Time in which calls were placed.
    pub(super) lasted: Duration,
    /// Whether the user stopped the test early.
    pub(super) is_cut: bool,
}

impl LoadTestResults {
    /// Creates empty results.
    pub(super) fn new() -> Result<LoadTestResults, String> {
        Ok(LoadTestResults {
            attempted: 0,
            answered: 0,
            dropped: 0,
            held: 0,
            failures: BTreeMap::new(),
            setup: ValueDistribution::new()?,
            post_dial: ValueDistribution::new()?,
            delay: ValueDistribution::new()?,
            jitter: ValueDistribution::new()?,
            mos: ValueDistribution::new()?,
            packets: [PacketCounts::default(); 2],
            foreign: 0,
            sent_again: 0,
            came_again: 0,
            strangers: 0,
            lateness: ValueDistribution::new()?,
            unsent: 0,
            unread: 0,
            crowded: 0,
            latest_call: Duration::ZERO,
            lasted: Duration::ZERO,
            is_cut: false,
        })
    }

    /// Counts a failed call by its reason.
    pub(super) fn fail(&mut self, reason: String) {
        let is_known = self.failures.len() < REASONS || self.failures.contains_key(&reason);
        *self.failures.entry(if is_known { reason } else { OTHERS.to_owned() }).or_default() += 1;
    }

    /// Returns the number of failed calls.
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Adds the result for the audio that one side of an ended call has sent.
    pub(super) fn judge(&mut self, side: CallRole, carried: &DirectionResult) {
        if let Some(packets) = self.packets.get_mut(side as usize) {
            packets.add(carried);
        }
        if let Some(jitter) = carried.jitter_ms {
            self.jitter.add(jitter);
        }
        if let Some(mos) = carried.mos {
            self.mos.add(mos);
        }
    }

    /// Returns the counts of packets sent by one side.
    pub(super) fn said_by(&self, side: CallRole) -> PacketCounts {
        self.packets.get(side as usize).copied().unwrap_or_default()
    }

    /// Returns the counts of packets in both directions.
    pub(super) fn packets(&self) -> PacketCounts {
        let [a, b] = self.packets;
        PacketCounts {
            sent: a.sent + b.sent,
            lost: a.lost + b.lost,
            late: a.late + b.late,
            duplicates: a.duplicates + b.duplicates,
            reordered: a.reordered + b.reordered,
            harmed: a.harmed + b.harmed,
        }
    }

    /// Returns the number of calls placed per second.
    pub(super) fn rate(&self) -> f64 {
        self.attempted as f64 / self.lasted.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Returns the value of a metric; `None` without measurements.
    pub(super) fn value(&self, metric: Metric, stat: MetricStatistic) -> Option<f64> {
        let packets = self.packets();
        let share = |part: u64, whole: u64| (whole > 0).then(|| part as f64 / whole as f64);
        match metric {
            Metric::Setup => self.setup.get(stat),
            Metric::PostDial => self.post_dial.get(stat),
            Metric::Delay => self.delay.get(stat),
            Metric::Jitter => self.jitter.get(stat),
            Metric::Mos => self.mos.get(stat),
            Metric::Loss => share(packets.lost, packets.sent),
            Metric::Late => share(packets.late, packets.sent),
            Metric::Harmed => share(packets.harmed, packets.sent),
            Metric::Answered => share(self.answered, self.attempted),
            Metric::Failed => Some(self.failed() as f64),
            Metric::Dropped => Some(self.dropped as f64),
            Metric::Duplicates => Some(packets.duplicates as f64),
            Metric::Reordered => Some(packets.reordered as f64),
            Metric::Foreign => Some(self.foreign as f64),
            Metric::Retransmissions => Some((self.sent_again + self.came_again) as f64),
            Metric::Held => Some(self.held as f64),
            // This metric is measured only with a scenario.
            Metric::Audible => None,
        }
    }

    /// Returns the reasons why the measurements are not valid for the edge; empty if they are.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let lateness = self.lateness.get(MetricStatistic::Percentile(99.0)).unwrap_or_default();
        if lateness > LATENESS_MS {
            faults.push(format!("1 % of its packets were sent at least {lateness:.0} ms late"));
        }
        if self.latest_call > pace::LATE {
            faults.push(format!("calls were placed up to {} ms late", self.latest_call.as_millis()));
        }
        for (count, what) in [
            (self.unread, "received packets were dropped (receive buffer full)"),
            (self.unsent, "packets could not be sent"),
            (self.crowded, "calls found no free socket: earlier calls had not ended"),
        ] {
            if count > 0 {
                faults.push(format!("{count} {what}"));
            }
        }
        if self.attempted == 0 {
            faults.push("no call was placed".to_owned());
        }
        faults
    }

    /// Returns the results as JSON.
    pub(super) fn as_json(&self) -> Value {
        let generator = json!({
            "lateness_ms": self.lateness.as_json(),
            "latest_call_ms": self.latest_call.as_secs_f64() * 1000.0,
            "unread": self.unread,
            "unsent": self.unsent,
            "crowded": self.crowded,
        });
        json!({
            "seconds": self.lasted.as_secs_f64(),
            "cut_short": self.is_cut,
            "calls": {
                "attempted": self.attempted,
                "answered": self.answered,
                "failed": self.failed(),
                "failures": self.failures,
                "dropped": self.dropped,
                "held": self.held,
                "per_second": self.rate(),
            },
            "setup_ms": self.setup.as_json(),
            "post_dial_ms": self.post_dial.as_json(),
            "delay_ms": self.delay.as_json(),
            "jitter_ms": self.jitter.as_json(),
            "mos": self.mos.as_json(),
            "packets": {
                "callers": self.said_by(CallRole::Caller).as_json(),
                "callees": self.said_by(CallRole::Callee).as_json(),
                "foreign": self.foreign,
            },
            "strangers": self.strangers,
            "retransmissions": {"sent": self.sent_again, "received": self.came_again},
            "generator": generator,
        })
    }
}

impl PacketCounts {
    fn add(&mut self, carried: &DirectionResult) {
        self.sent += carried.sent;
        self.lost += carried.lost;
        self.late += carried.late;
        self.duplicates += carried.duplicates;
        self.reordered += carried.reordered;
        self.harmed += carried.harmed;
    }

    fn as_json(&self) -> Value {
        let PacketCounts { sent, lost, late, duplicates, reordered, harmed } = self;
        json!({"sent": sent, "lost": lost, "late": late, "duplicates": duplicates, "reordered": reordered, "harmed": harmed})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_has_no_value() {
        let mut results = LoadTestResults::new().unwrap();
        let p99 = MetricStatistic::Percentile(99.0);
        assert_eq!(results.value(Metric::Setup, p99), None);
        assert_eq!(results.value(Metric::Loss, MetricStatistic::Whole), None);
        assert_eq!(results.faults(), ["no call was placed"]);
        results.attempted = 4;
        results.answered = 3;
        results.fail("486 Busy Here".into());
        let carried =
            DirectionResult { sent: 100, received: 98, lost: 2, mos: Some(4.2), ..DirectionResult::default() };
        results.judge(CallRole::Caller, &carried);
        results.judge(CallRole::Callee, &DirectionResult { sent: 100, received: 100, ..DirectionResult::default() });
        assert_eq!(results.value(Metric::Answered, MetricStatistic::Whole), Some(0.75));
        assert_eq!(results.value(Metric::Loss, MetricStatistic::Whole), Some(0.01));
        assert_eq!((results.said_by(CallRole::Caller).lost, results.said_by(CallRole::Callee).lost), (2, 0));
        assert_eq!(results.faults(), Vec::<String>::new());
    }

    #[test]
    fn a_generator_that_is_too_slow_says_so() {
        let mut results = LoadTestResults::new().unwrap();
        results.attempted = 1;
        (0..98).for_each(|_| results.lateness.add(0.1));
        (0..2).for_each(|_| results.lateness.add(25.0));
        results.unread = 3;
        results.latest_call = Duration::from_millis(150);
        let faults = results.faults().join("; ");
        assert!(
            faults.contains("25 ms late") && faults.contains("150 ms late") && faults.contains("3 received packets")
        );
    }

    #[test]
    fn reasons_are_bounded() {
        let mut results = LoadTestResults::new().unwrap();
        (0..100).for_each(|n| results.fail(format!("reason {n}")));
        results.fail("reason 1".into());
        assert_eq!((results.failures.len(), results.failed()), (REASONS + 1, 101));
        assert_eq!((results.failures["reason 1"], results.failures[OTHERS]), (2, 100 - REASONS as u64));
    }
}
