//! Sides without audio: trace, log, metric, verdict; and the quality figures in the record of a call.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::{hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_media::{DropReason, EndCounters, EndId, MediaCommand, MediaEvent, MediaId};

/// Returns the RTP ends that were added, the caller's first.
fn ends(bench: &Bench) -> Vec<(EndId, Arc<EndCounters>)> {
    let of = |command: &MediaCommand| match command {
        MediaCommand::AddEnd { end, spec } => Some((*end, spec.counters.clone())),
        _ => None,
    };
    bench.media.iter().filter_map(|(_, command)| of(command)).collect()
}

fn unheard(bench: &mut Bench, end: EndId, stranger: Option<&str>) {
    let stranger = stranger.map(|address| address.parse::<SocketAddr>().unwrap());
    bench.input(GatewayInput::Media { id: MediaId(0), event: MediaEvent::Unheard { end, stranger } });
}

fn counted(bench: &Bench) -> BTreeMap<(String, &'static str), u64> {
    let metrics = bench.gateway.metrics();
    metrics.media_one_way.iter().map(|((trunk, silent), count)| ((trunk.to_string(), *silent), *count)).collect()
}

fn verdict(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    bench.gateway.trace(&sid).unwrap().verdict
}

fn traced(bench: &Bench) -> String {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    serde_json::to_string(&bench.gateway.trace(&sid).unwrap().entries).unwrap()
}

#[test]
fn a_silent_side_is_told_with_what_was_announced_expected_and_seen() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let ends = ends(&bench);
    ends[0].1.rx_packets.set(250);
    ends[1].1.dropped.add(DropReason::UnexpectedSource, 251);
    unheard(&mut bench, ends[1].0, Some("203.0.113.66:4000"));
    let ours = callee.invite.body().lines().find_map(|line| line.strip_prefix("c=IN IP4 ")).unwrap();
    let told = format!("{ours}:{}", callee.invite.port());
    let story = &format!(
        "251 packets came from another address, the last from 203.0.113.66:4000 (announced 10.0.0.20:30000, expected from \
         10.0.0.20; our SDP says {told})"
    );
    assert!(traced(&bench).contains(&format!("no RTP for 5 s: {story}")), "{}", traced(&bench));
    assert!(bench.logs.iter().any(|line| line.contains("no media from pbx") && line.contains(story)));
    let advised = "Try: set `media_from = [\"203.0.113.66/32\"]` in [trunk.pbx] if these are its packets.";
    assert!(verdict(&bench).ends_with(&format!(" No media from pbx: {story}. {advised}")), "{}", verdict(&bench));
    // Reported again after a session change: still the same call.
    unheard(&mut bench, ends[1].0, None);
    assert_eq!(counted(&bench), BTreeMap::from([(("pbx".to_owned(), "callee"), 1)]));
    ends[1].1.rx_packets.set(10);
    assert!(verdict(&bench).contains("No media at first from pbx: "), "{}", verdict(&bench));
    bench.bye(&mut caller, &callee);
    assert_eq!(counted(&bench).values().sum::<u64>(), 1, "not counted again at the end");
    bench.finish();
}

#[test]
fn the_caller_may_be_the_silent_one_and_so_may_both() {
    let mut bench = Bench::new();
    bench.answered();
    let one = ends(&bench);
    one[1].1.rx_packets.set(250);
    unheard(&mut bench, one[0].0, None);
    assert_eq!(counted(&bench), BTreeMap::from([(("carrier".to_owned(), "caller"), 1)]));
    let told = verdict(&bench);
    assert!(told.contains("No media from carrier: no packets were received"), "{told}");
    assert!(told.contains("(announced 198.51.100.7:40000, expected from 198.51.100.7; "), "{told}");

    let mut bench = Bench::new();
    bench.answered();
    bench.pass(Duration::from_secs(5));
    let both = ends(&bench);
    unheard(&mut bench, both[0].0, None);
    unheard(&mut bench, both[1].0, None);
    assert_eq!(counted(&bench), BTreeMap::from([(("carrier".to_owned(), "both"), 1)]));
    let story = verdict(&bench);
    let sides = ["No audio from either side. Of carrier: no packets", " Of pbx: no packets"];
    assert!(sides.iter().all(|side| story.contains(side)), "{story}");
    assert!(!story.contains("No media from"), "said once: {story}");
    let status = bench.gateway.status(bench.now);
    let shared = |name: &str| {
        let trunk = status.trunks.iter().find(|trunk| trunk.name == name).unwrap();
        (
            trunk.unheard.as_ref().unwrap().both.clone(),
            status.silent.iter().find(|one| one.name == name).unwrap().both.clone(),
        )
    };
    let with = |name: &str| (vec![(name.to_owned(), 1)], vec![(name.to_owned(), 1)]);
    assert_eq!((shared("carrier"), shared("pbx")), (with("pbx"), with("carrier")), "each call is of both");
    assert_eq!(bench.logs.iter().filter(|line| line.contains("no media from either side")).count(), 1);
}

#[test]
fn a_side_that_stays_silent_for_one_cause_is_told_once() {
    let mut bench = Bench::new();
    bench.answered();
    let both = ends(&bench);
    both[0].1.rx_packets.set(250);
    both[1].1.tx_packets.set(250);
    both[1].1.symptoms.unreachable.add(250);
    unheard(&mut bench, both[1].0, None);
    // The side is checked again at the end of each interval.
    for _ in 0..3 {
        both[0].1.rx_packets.add(250);
        both[1].1.tx_packets.add(250);
        both[1].1.symptoms.unreachable.add(250);
        bench.pass(Duration::from_secs(5));
    }
    let (told, ladder) = (verdict(&bench), traced(&bench));
    assert_eq!(told.matches("returned as unreachable").count(), 1, "{told}");
    assert_eq!(told.matches("Try: ").count(), 1, "{told}");
    assert_eq!(ladder.matches("returned as unreachable").count(), 1, "{ladder}");
}

#[test]
fn a_caller_that_an_agent_does_not_hear_is_told() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, own, _) = bench.talking();
    unheard(&mut bench, own, None);
    assert_eq!(counted(&bench), BTreeMap::from([(("carrier".to_owned(), "caller"), 1)]));
    hang_up(&mut bench, &mut caller);
}

#[test]
fn a_stream_that_stops_in_mid_call_is_one_way_audio_from_then_on() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let both = ends(&bench);
    bench.pass(Duration::from_secs(17));
    both[0].1.rx_packets.set(850);
    both[1].1.rx_packets.set(600);
    let stop = |bench: &mut Bench| {
        let event = MediaEvent::Stopped { end: both[1].0, silent: Duration::from_secs(5) };
        bench.input(GatewayInput::Media { id: MediaId(0), event });
    };
    stop(&mut bench);
    let told =
        "No media from pbx since 12 s after the answer: no packets arrived for 5 s, after 600 packets (announced ";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    assert!(verdict(&bench).contains(" Try: check whether pbx is muted or on hold"), "{}", verdict(&bench));
    assert!(traced(&bench).contains(told) && bench.logs.iter().any(|line| line.contains(told)));
    assert_eq!(bench.gateway.calls(bench.now)[0].flags, ["one_way"]);
    assert_eq!(counted(&bench), BTreeMap::from([(("pbx".to_owned(), "callee"), 1)]));
    // The stream resumes, and stops once more: one call.
    both[1].1.rx_packets.set(900);
    bench.pass(Duration::from_secs(6));
    assert!(verdict(&bench).contains("No media from pbx from 12 s to 20 s after the answer: "), "{}", verdict(&bench));
    stop(&mut bench);
    assert_eq!(counted(&bench).values().sum::<u64>(), 1);
    bench.bye(&mut caller, &callee);
    let story = verdict(&bench);
    assert!(story.contains("No media from pbx since 18 s after the answer: "), "{story}");
    bench.finish();
}

#[test]
fn packet_loss_is_in_the_verdict_with_its_figures() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let both = ends(&bench);
    let heard = &both[0].1;
    heard.rx_packets.set(150);
    heard.lost.set(50);
    both[1].1.rx_packets.set(200);
    bench.pass(Duration::from_secs(4));
    bench.bye(&mut caller, &callee);
    let told =
        "25 % packet loss from carrier to this machine since the answer: 50 of 200 packets, MOS 2.3. Try: run `mtr -u ";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    assert_eq!(bench.reports[0].call.flags, ["loss"]);
    // The caller's trunk, once, in its metrics and in the status.
    let packets = &bench.gateway.metrics().rtp_of_trunks;
    let of = |trunk: &str| packets.get(trunk).map(|one| (one.received, one.lost));
    assert_eq!((of("carrier"), of("pbx")), (Some((150, 50)), Some((200, 0))));
    let status = bench.gateway.status(bench.now);
    let quality =
        |name: &str| status.trunks.iter().find(|trunk| trunk.name == name).and_then(|trunk| trunk.quality.clone());
    let (carrier, pbx) = (quality("carrier").unwrap(), quality("pbx"));
    assert_eq!((carrier.mos, carrier.calls, carrier.poor, carrier.is_poor), (2.32, 1, 1, true));
    assert!(pbx.is_none_or(|pbx| !pbx.is_poor));
    bench.finish();
}

#[test]
fn a_short_call_without_any_packet_says_so() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    bench.pass(Duration::from_secs(3));
    bench.bye(&mut caller, &callee);
    let told = " No audio from either side, carrier and pbx: 0 packets arrived in 3.0 s. Try: ";
    assert!(verdict(&bench).contains(told), "{}", verdict(&bench));
    bench.finish();
}

#[test]
fn news_of_a_call_that_is_over_or_of_no_end_change_nothing() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let ends = ends(&bench);
    unheard(&mut bench, EndId(77), None);
    bench.bye(&mut caller, &callee);
    unheard(&mut bench, ends[0].0, None);
    assert_eq!(counted(&bench), BTreeMap::new());
    bench.finish();
}

#[test]
fn scores_round_trip_and_what_the_far_end_hears_are_shown_and_recorded() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let ends = ends(&bench);
    let (heard, other) = (&ends[0].1, &ends[1].1);
    heard.rx_packets.set(950);
    heard.lost.set(50);
    heard.tx_packets.set(1000);
    heard.jitter_us.set(5000);
    heard.rtt_us.set(80_000);
    heard.far_reports.set(1);
    heard.far_lost.set(200);
    heard.far_jitter_us.set(12_000);
    for score in [4.2, 3.5, 3.9] {
        heard.scores.take(score);
    }
    // The other side is heard too briefly for a score of its own.
    other.rx_packets.set(100);
    let legs = bench.gateway.calls(bench.now).remove(0).legs;
    let rtp = &legs[0].rtp;
    assert_eq!((rtp.jitter_ms, rtp.rtt_ms), (5.0, Some(80.0)));
    // G.711, 5 % lost, 20 + 10 + 40 ms: R = 91.3 − 15.8 = 75.5, of which MOS is 3.84.
    assert_eq!(rtp.mos, Some(3.84));
    let far = rtp.far.as_ref().unwrap();
    assert_eq!((far.lost, far.jitter_ms), (200, 12.0));
    assert!(far.mos.unwrap() < 2.7 && far.mos.unwrap() > 2.4, "20 % lost: {far:?}");
    assert_eq!((legs[1].rtp.mos, legs[1].rtp.rtt_ms), (Some(4.4), None));
    assert!(legs[1].rtp.far.is_none());
    bench.bye(&mut caller, &callee);
    let record = &bench.reports[0];
    // (4.2 + 3.5 + 3.9 + 4.4) / 4
    assert_eq!((record.mos_min, record.mos_avg), (Some(3.5), Some(4.0)));
    let metrics = bench.gateway.metrics();
    assert_eq!(metrics.call_mos.counts.iter().sum::<u64>(), 2);
    assert!((metrics.call_mos.sum - (3.87 + 4.4)).abs() < 1e-9, "{}", metrics.call_mos.sum);
    assert_eq!(
        (metrics.rtp_round_trip_seconds.counts.iter().sum::<u64>(), metrics.rtp_round_trip_seconds.sum),
        (1, 0.08)
    );
    bench.finish();
}

#[test]
fn without_media_there_is_no_score() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    assert_eq!(bench.gateway.calls(bench.now)[0].legs[0].rtp.mos, None);
    bench.bye(&mut caller, &callee);
    assert_eq!((bench.reports[0].mos_min, bench.reports[0].mos_avg), (None, None));
    bench.finish();
}

#[test]
fn short_calls_without_a_packet_do_not_say_that_a_silent_trunk_is_heard_again() {
    let mut bench = Bench::new();
    let call = |bench: &mut Bench, packets: u64, is_unheard: bool| {
        let (mut caller, callee) = bench.answered();
        let all = ends(bench);
        let ends = &all[all.len() - 2..];
        ends.iter().for_each(|end| end.1.rx_packets.set(packets));
        if is_unheard {
            bench.pass(Duration::from_secs(5));
            ends[1].1.rx_packets.set(0);
            unheard(bench, ends[1].0, None);
        }
        bench.pass(Duration::from_secs(1));
        bench.bye(&mut caller, &callee);
        bench.pass(Duration::from_secs(40));
        let trunks = bench.gateway.status(bench.now).trunks;
        let unheard = trunks.into_iter().find(|trunk| trunk.name == "pbx").unwrap().unheard.unwrap();
        (unheard.calls, unheard.of, unheard.good_since)
    };
    assert_eq!(call(&mut bench, 250, true), (1, 1, 0));
    assert_eq!(call(&mut bench, 0, false), (1, 1, 0), "nothing came: that proves nothing");
    assert_eq!(call(&mut bench, 50, false), (1, 2, 1));
}

#[test]
fn digital_silence_is_a_problem_of_its_trunk_from_the_third_call_in_a_row_on() {
    let mut bench = Bench::new();
    let unheard = |bench: &Bench| {
        let trunks = bench.gateway.status(bench.now).trunks;
        let found = trunks.into_iter().find(|trunk| trunk.name == "pbx").unwrap().unheard;
        found.map(|found| (found.kind, found.calls, found.of, found.still, found.fix))
    };
    // Seconds of silence, and whether a sound follows.
    let call = |bench: &mut Bench, seconds: u64, sounds: bool| {
        let (mut caller, callee) = bench.answered();
        let all = ends(bench);
        let ends = &all[all.len() - 2..];
        ends[0].1.symptoms.sounded.set(1);
        for second in 1..=seconds {
            bench.pass(Duration::from_secs(1));
            ends.iter().for_each(|end| end.1.rx_packets.set(second * 50));
            ends[1].1.symptoms.silent.set(second * 50);
        }
        let live = bench.gateway.status(bench.now).silent;
        ends[1].1.symptoms.sounded.set(u64::from(sounds));
        bench.bye(&mut caller, &callee);
        let flags = bench.reports.last().unwrap().call.flags.clone();
        bench.pass(Duration::from_secs(40));
        (flags.contains(&"one_way"), live.iter().map(|one| (one.kind, one.calls)).collect::<Vec<_>>())
    };
    assert_eq!(call(&mut bench, 14, false), (true, vec![("silence", 1)]));
    assert!(call(&mut bench, 14, false).0);
    assert!(!call(&mut bench, 1, false).0, "too short to tell");
    assert_eq!(unheard(&bench), None, "a phone may be muted");
    assert!(call(&mut bench, 14, false).0);
    let (kind, calls, of, still, fix) = unheard(&bench).unwrap();
    assert_eq!((kind, calls, of, still), ("silence", 3, 3, true));
    assert!(fix.starts_with("check microphone, mute key and audio source at pbx"), "{fix}");
    for _ in 0..3 {
        assert!(!call(&mut bench, 14, true).0, "it spoke at last");
    }
    assert!(!unheard(&bench).unwrap().3, "it is heard again");
    assert_eq!(counted(&bench), BTreeMap::new(), "its packets came");
}
