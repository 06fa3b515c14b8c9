//! Turn latencies of agents for display: median and 95th percentile, and for a leg the share of each hop.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkgate_media::{AgentTurns, LegTurns, TurnTiming};

/// Turn latencies of an agent: time from the end of the caller's speech to the agent's first audio, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnView {
    /// Number of turns.
    pub turns: u64,
    /// Median time from the end of the caller's speech to the agent's first audio, in milliseconds.
    pub p50: u64,
    /// 95th percentile of the times from the end of the caller's speech to the agent's first audio, in milliseconds.
    pub p95: u64,
}

/// Turn latencies of one leg, with the median of each hop.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct LegTurnView {
    /// Latencies of whole turns.
    #[serde(flatten)]
    pub all: TurnView,
    /// Latencies by hop.
    pub hops: HopsView,
}

/// Median latency of each hop, in milliseconds; `null` if unknown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct HopsView {
    /// Time that the first audio of the answer waited at the edge.
    pub edge: Option<f64>,
    /// Round-trip time of a ping to the agent.
    pub network: Option<f64>,
    /// Rest of the turn latency: the time that the agent itself took.
    pub agent: Option<f64>,
}

impl TurnView {
    /// Returns the latencies of an agent since the start; `None` before the first turn.
    pub fn of_agent(turns: &AgentTurns) -> Option<TurnView> {
        let [p50, p95] = [0.5, 0.95].map(|share| turns.quantile(share).map(whole_ms));
        Some(TurnView { turns: turns.count(), p50: p50?, p95: p95? })
    }
}

impl LegTurnView {
    /// Returns the latencies of a leg; `None` before the first turn.
    pub fn of(turns: &LegTurns) -> Option<LegTurnView> {
        let kept: Vec<TurnTiming> = turns.kept().collect();
        let mut times: Vec<Duration> = kept.iter().map(|turn| turn.whole).collect();
        times.sort_unstable();
        let [p50, p95] = [0.5, 0.95].map(|share| nearest(&times, share).map(whole_ms));
        let all = TurnView { turns: turns.count().into(), p50: p50?, p95: p95? };
        let median = |hop: &dyn Fn(&TurnTiming) -> Option<Duration>| {
            let mut times: Vec<Duration> = kept.iter().filter_map(hop).collect();
            times.sort_unstable();
            nearest(&times, 0.5).map(|time| (time.as_secs_f64() * 1e4).round() / 10.0)
        };
        let hops = HopsView {
            edge: median(&|turn| turn.edge),
            network: median(&|turn| turn.network),
            agent: median(&TurnTiming::agent),
        };
        Some(LegTurnView { all, hops })
    }
}

/// Formats the latencies as a sentence:
/// `12 turns, p50 812 ms, p95 1320 ms; median by hop: edge 11 ms, network 3.4 ms, agent 797 ms`.
impl std::fmt::Display for LegTurnView {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let TurnView { turns, p50, p95 } = self.all;
        write!(f, "{turns} turn{}, p50 {p50} ms, p95 {p95} ms", if turns == 1 { "" } else { "s" })?;
        let HopsView { edge, network, agent } = self.hops;
        let known = [("edge", edge), ("network", network), ("agent", agent)];
        let known = known.into_iter().filter_map(|(name, ms)| Some(format!("{name} {} ms", ms?)));
        let known: Vec<String> = known.collect();
        if known.is_empty() { Ok(()) } else { write!(f, "; median by hop: {}", known.join(", ")) }
    }
}

/// Returns the quantile `share` (0 to 1) of sorted times, by nearest rank; `None` for an empty list.
fn nearest(times: &[Duration], share: f64) -> Option<Duration> {
    let rank = (share * times.len() as f64).ceil() as usize;
    times.get(rank.max(1) - 1).copied()
}

fn whole_ms(time: Duration) -> u64 {
    (time.as_secs_f64() * 1000.0).round() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(whole: u64, edge: Option<u64>, network_us: Option<u64>) -> TurnTiming {
        let ms = Duration::from_millis;
        TurnTiming { whole: ms(whole), edge: edge.map(ms), network: network_us.map(Duration::from_micros) }
    }

    #[test]
    fn a_leg_shows_its_median_its_slowest_and_its_hops() {
        let turns = LegTurns::default();
        assert_eq!(LegTurnView::of(&turns), None);
        for n in 1..=20 {
            turns.record_turn(turn(n * 100, Some(n), Some(3_400)));
        }
        let view = LegTurnView::of(&turns).unwrap();
        assert_eq!(view.all, TurnView { turns: 20, p50: 1000, p95: 1900 });
        assert_eq!(view.hops, HopsView { edge: Some(10.0), network: Some(3.4), agent: Some(986.6) });
        assert_eq!(
            view.to_string(),
            "20 turns, p50 1000 ms, p95 1900 ms; median by hop: edge 10 ms, network 3.4 ms, agent 986.6 ms"
        );
        let value = serde_json::to_value(view).unwrap();
        let expected = serde_json::json!({"turns": 20, "p50": 1000, "p95": 1900,
            "hops": {"edge": 10.0, "network": 3.4, "agent": 986.6}});
        assert_eq!(value, expected);
        assert_eq!(serde_json::from_value::<LegTurnView>(value).unwrap(), view);
    }

    #[test]
    fn a_hop_that_is_not_known_is_absent() {
        let turns = LegTurns::default();
        turns.record_turn(turn(700, None, Some(2_000)));
        let view = LegTurnView::of(&turns).unwrap();
        assert_eq!(view.hops, HopsView { edge: None, network: Some(2.0), agent: None });
        assert_eq!(view.to_string(), "1 turn, p50 700 ms, p95 700 ms; median by hop: network 2 ms");
        let turns = LegTurns::default();
        turns.record_turn(turn(700, None, None));
        assert_eq!(LegTurnView::of(&turns).unwrap().to_string(), "1 turn, p50 700 ms, p95 700 ms");
    }

    #[test]
    fn an_agent_shows_all_of_its_calls() {
        let agent = std::sync::Arc::<AgentTurns>::default();
        assert_eq!(TurnView::of_agent(&agent), None);
        let calls = [LegTurns::new(agent.clone()), LegTurns::new(agent.clone())];
        for (call, whole) in calls.iter().zip([400, 1600]) {
            call.record_turn(turn(whole, None, None));
        }
        let view = TurnView::of_agent(&agent).unwrap();
        assert_eq!(view.turns, 2);
        assert!((350..=400).contains(&view.p50) && (1500..=1600).contains(&view.p95), "{view:?}");
    }
}
