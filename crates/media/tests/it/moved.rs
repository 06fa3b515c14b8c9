//! Move of an end to another session of its worker: streams, keys and counters continue.

use trunkgate_media::rtp::RtpHeader;
use trunkgate_media::{EndId, MediaCommand, MediaEvent, MediaId, Session, WireSpec};

use crate::support::*;

/// Id of the end in its new session.
const NAMED: EndId = EndId(0);

/// Moves end A of a session to a new session.
fn moved(bench: &mut Bench) -> Bench {
    let mut other = Bench::unconnected();
    other.session = Session::new(MediaId(2), 60_000);
    other.session.count_in(bench.worker.clone());
    other.now = bench.now;
    let end = bench.session.release_end(bench.now, A).unwrap();
    other.session.adopt_end(other.now, NAMED, *end);
    other
}

#[test]
fn its_packets_are_taken_by_the_new_session_and_nothing_reaches_it_from_the_old_one() {
    let mut bench = Bench::connected();
    for sequence in 1..=3 {
        bench.feed(A, false, A_RTP, &rtp(sequence)).unwrap();
        bench.feed(B, false, B_RTP, &rtp(sequence)).unwrap();
    }
    let counters = bench.session.counters(A).unwrap().clone();
    let mut other = moved(&mut bench);
    assert!(bench.session.release_end(bench.now, A).is_none(), "it has gone");
    assert_eq!(bench.feed(B, false, B_RTP, &rtp(4)), None, "its wire is cut");
    assert_eq!(bench.feed(A, false, A_RTP, &rtp(4)), None);
    // Latch and counters are unchanged; a packet of another source is still unexpected.
    other.feed(NAMED, false, A_RTP, &rtp(4));
    assert_eq!(counters.rx_packets.get(), 4);
    assert!(std::sync::Arc::ptr_eq(&counters, other.session.counters(NAMED).unwrap()));
    other.feed(NAMED, false, STRANGER, &rtp(5));
    assert_eq!(counters.rx_packets.get(), 4);
    bench.command(MediaCommand::Close);
    let closed = std::iter::from_fn(|| bench.session.poll_output())
        .filter(|event| matches!(event, MediaEvent::EndClosed { .. }));
    assert_eq!(closed.count(), 2, "B and C");
}

#[test]
fn the_stream_that_it_hears_goes_on_with_a_new_source_as_after_any_change_of_feeder() {
    let mut bench = Bench::connected();
    let (_, first) = bench.feed(B, false, B_RTP, &rtp(100)).unwrap();
    let mut other = moved(&mut bench);
    let player = EndId(1);
    other.command(MediaCommand::AddPlayer {
        end: player,
        sound: trunkgate_media::PlayerSound::Once(vec![0x55; 320].into()),
    });
    other.command(MediaCommand::Wire { from: player, to: NAMED, wire: WireSpec { payloads: vec![(0, 0)], ..wire() } });
    let heard: Vec<RtpHeader> = other.run(60).iter().map(Made::rtp).collect();
    let sequences: Vec<u16> = heard.iter().map(|rtp| rtp.sequence).collect();
    let first = RtpHeader::parse(&first).unwrap();
    assert_eq!(first.sequence, 100);
    assert_eq!(sequences, [101, 102, 103, 104]);
    assert!(heard.iter().all(|rtp| rtp.ssrc == first.ssrc), "one stream");
}
