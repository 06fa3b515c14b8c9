//! Quality of a call over time: one sample per interval for each leg and direction, bounded for any duration.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::limits::{QUALITY_INTERVAL_SECONDS, QUALITY_SAMPLES, RECENT_SERIES};
use trunkgate_call::view::{QualityView, SeriesView};
use trunkgate_media::{AgentQueue, EndCounters, MediaCommand};

const INTERVAL: Duration = Duration::from_secs(QUALITY_INTERVAL_SECONDS);

/// Returns the counters of the caller's end, and of the callee's.
fn counters(bench: &Bench) -> [Arc<EndCounters>; 2] {
    let all = ends(bench);
    [all[0].clone(), all[1].clone()]
}

/// Returns the counters of each end with ports, in order.
fn ends(bench: &Bench) -> Vec<Arc<EndCounters>> {
    let of = |command: &MediaCommand| match command {
        MediaCommand::AddEnd { spec, .. } => Some(spec.counters.clone()),
        _ => None,
    };
    bench.media.iter().filter_map(|(_, command)| of(command)).collect()
}

fn sid(bench: &Bench) -> String {
    bench.gateway.calls(bench.now)[0].sid.clone()
}

fn quality(bench: &Bench) -> QualityView {
    bench.gateway.quality(bench.now, &sid(bench)).unwrap()
}

fn series<'a>(quality: &'a QualityView, party: &str, direction: &str) -> &'a SeriesView {
    quality.series.iter().find(|series| (series.party.as_str(), series.direction) == (party, direction)).unwrap()
}

#[test]
fn each_interval_has_what_came_in_it() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let [near, far] = counters(&bench);
    // The second interval is bad, and the callee reports its reception only in that one.
    for (received, lost, reports) in [(250, 0, 0), (225, 25, 1), (250, 0, 1)] {
        near.rx_packets.add(received);
        near.lost.add(lost);
        near.jitter_us.set(2_000);
        far.tx_packets.add(received);
        far.far_reports.set(reports);
        far.far_lost.add(lost / 5);
        bench.pass(INTERVAL);
    }
    near.rx_packets.add(100);
    near.jitter_us.set(7_000);
    far.tx_packets.add(100);
    far.far_reports.add(1);
    far.far_jitter_us.set(3_000);
    far.rtt_us.set(40_000);
    bench.pass(Duration::from_secs(2));
    let live = quality(&bench);
    assert_eq!(live.interval_s, QUALITY_INTERVAL_SECONDS);
    let heard = series(&live, "carrier", "received");
    assert_eq!((heard.leg.as_str(), heard.codec.as_str()), (live.sid.as_str(), "PCMU"));
    let figures: Vec<(u32, Option<u32>, f64)> = heard.samples.iter().map(|s| (s.packets, s.lost, s.seconds)).collect();
    assert_eq!(figures, [(250, Some(0), 5.0), (225, Some(25), 5.0), (250, Some(0), 5.0), (100, Some(0), 2.0)]);
    let mos: Vec<f64> = heard.samples.iter().map(|sample| sample.mos.unwrap()).collect();
    assert!(mos[1] < mos[0] - 0.5 && mos[0] == mos[2] && heard.samples[0].jitter_ms == Some(2.0), "{mos:?}");
    let begin = |at: usize| heard.samples[at].at.clone();
    assert!(begin(0) < begin(1) && begin(1)[17..] != begin(0)[17..], "{} {}", begin(0), begin(1));
    let told: Vec<Option<u32>> = series(&live, "pbx", "sent").samples.iter().map(|sample| sample.lost).collect();
    assert_eq!(told[..3], [None, Some(5), None], "an interval without a report says nothing");
    assert!(series(&live, "pbx", "sent").samples[0].mos.is_none());
    bench.bye(&mut caller, &callee);
    let ended = quality(&bench);
    let last = series(&ended, "carrier", "received").samples.last().unwrap().clone();
    assert_eq!((last.packets, last.lost), (100, Some(0)), "kept when the call has ended");
    assert_eq!(last.jitter_ms, Some(7.0));
    let last = series(&ended, "pbx", "sent").samples.last().unwrap().clone();
    assert_eq!((last.packets, last.lost, last.jitter_ms, last.rtt_ms), (100, Some(0), Some(3.0), Some(40.0)));
    bench.finish();
}

#[test]
fn a_long_call_has_longer_intervals_and_loses_no_time() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let [near, far] = counters(&bench);
    let intervals = QUALITY_SAMPLES * 5;
    for _ in 0..intervals {
        near.rx_packets.add(250);
        far.tx_packets.add(250);
        bench.pass(INTERVAL);
    }
    let quality = quality(&bench);
    assert_eq!(quality.interval_s, QUALITY_INTERVAL_SECONDS * 8, "doubled after 1, 2 and 4 times the first length");
    for series in &quality.series {
        assert!(series.samples.len() <= QUALITY_SAMPLES, "{}", series.samples.len());
        let seconds: f64 = series.samples.iter().map(|sample| sample.seconds).sum();
        assert!((seconds - (intervals as f64) * 5.0).abs() < 1.0, "{seconds}");
        let passed = matches!((series.party.as_str(), series.direction), ("carrier", "received") | ("pbx", "sent"));
        let packets = if passed { 250 * intervals as u64 } else { 0 };
        assert_eq!(series.samples.iter().map(|s| u64::from(s.packets)).sum::<u64>(), packets);
    }
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_unanswered_call_has_none_and_ended_ones_are_forgotten_at_the_limit() {
    let mut bench = Bench::new();
    bench.invite("198.51.100.7:5060", "+14155550100", &offer());
    let sid = sid(&bench);
    assert!(bench.gateway.quality(bench.now, &sid).is_none() && bench.gateway.quality(bench.now, "CA0").is_none());

    let mut bench = Bench::new();
    let mut first = None;
    for _ in 0..=RECENT_SERIES {
        let (mut caller, callee) = bench.answered();
        first.get_or_insert_with(|| bench.gateway.calls(bench.now)[0].sid.clone());
        for end in counters(&bench) {
            end.rx_packets.add(1);
        }
        bench.pass(Duration::from_secs(1));
        bench.bye(&mut caller, &callee);
        bench.take_media();
    }
    assert!(bench.gateway.quality(bench.now, &first.unwrap()).is_none());
    assert!(bench.gateway.quality(bench.now, &bench.gateway.calls(bench.now)[0].sid).is_some());
}

/// Makes a call with an agent; returns the caller, and the counters of the agent's worker.
fn talking(bench: &mut Bench) -> (Dialing, Arc<EndCounters>, Arc<AgentQueue>) {
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let (end, counters, queue) = bench
        .media
        .iter()
        .find_map(|(_, command)| match command {
            MediaCommand::AddAgent { end, spec } => Some((*end, spec.counters.clone(), spec.queue.clone())),
            _ => None,
        })
        .unwrap();
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 180");
    bench.open(end);
    let caller = Dialing { to_tag: bench.expect(CARRIER, "SIP/2.0 200").tag("To"), ..caller };
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    (caller, counters, queue)
}

fn waited(quality: &QualityView, direction: &str) -> Vec<(Option<u32>, Option<u32>)> {
    series(quality, "desk", direction).samples.iter().map(|sample| (sample.queue_ms, sample.queue_max_ms)).collect()
}

#[test]
fn an_agents_queue_is_told_as_it_stands_and_at_its_longest() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, counters, queue) = talking(&mut bench);
    ends(&bench)[0].rx_packets.add(250);
    // Twelve seconds at once for the caller; for a while the agent's socket accepts no audio from the caller.
    queue.unheard.set(12_000);
    counters.tx_packets.add(250);
    for (unheard, unsent, dropped) in [(7_000, 0, 0), (2_000, 100, 50), (0, 3, 0), (0, 0, 0)] {
        queue.unheard.set(unheard);
        queue.unsent.set(unsent);
        counters.tx_packets.add(250);
        counters.frames_dropped.add(dropped);
        bench.pass(INTERVAL);
    }
    // Queries do not change the figures.
    queue.unheard.set(900);
    queue.unheard.set(60);
    bench.pass(Duration::from_secs(1));
    for _ in 0..2 {
        let live = quality(&bench);
        let most = |pairs: &[(u32, u32)]| pairs.iter().map(|(now, most)| (Some(*now), Some(*most))).collect::<Vec<_>>();
        let said = most(&[(7_000, 12_000), (2_000, 7_000), (0, 2_000), (0, 0), (60, 900)]);
        assert_eq!(waited(&live, "received"), said);
        let sent = most(&[(0, 0), (2_000, 2_000), (60, 2_000), (0, 60), (0, 0)]);
        assert_eq!(waited(&live, "sent"), sent);
        let lost: Vec<Option<u32>> = series(&live, "desk", "sent").samples.iter().map(|sample| sample.lost).collect();
        assert_eq!(lost, [0, 50, 0, 0, 0].map(Some), "what its socket did not take is lost to it");
        let others = series(&live, "carrier", "received").samples.iter();
        assert!(others.into_iter().all(|sample| sample.queue_ms.is_none() && sample.queue_max_ms.is_none()));
    }
    hang_up(&mut bench, &mut caller);
    assert_eq!(waited(&quality(&bench), "received").len(), 5, "kept when the call has ended");
    bench.finish();
}

#[test]
fn the_longest_queue_stays_where_intervals_become_longer() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, counters, queue) = talking(&mut bench);
    for n in 0..QUALITY_SAMPLES as u64 {
        counters.rx_packets.add(250);
        queue.unheard.set(1_000 + n);
        queue.unheard.set(n);
        bench.pass(INTERVAL);
    }
    let said = waited(&quality(&bench), "received");
    assert_eq!(said.len(), QUALITY_SAMPLES / 2);
    assert_eq!((said[0], said[1]), ((Some(1), Some(1_001)), (Some(3), Some(1_003))));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
