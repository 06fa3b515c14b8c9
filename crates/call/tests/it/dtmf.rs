//! DTMF digits between two sides with different methods: INFO on one side, telephone-events on the other.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // helpers of tests are not `#[test]` themselves

use std::time::Duration;

use crate::bench::agents::{Told, agent, hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::limits::KEYS_TO_TELL;
use trunkgate_media::limits::KEYS_WAITING;
use trunkgate_media::{
    AgentRequest, DigitFormat, DtmfConversion, EndId, MediaCommand, MediaEvent, PayloadCodec, WireSpec,
};
use trunkgate_route::{DtmfMode, NumberingPlan, RoutingTable, TableDefinition, Trunk};

fn parted_bench(carrier: DtmfMode, pbx: DtmfMode) -> Bench {
    let trunks =
        vec![Trunk { dtmf: carrier, ..trunk("carrier", &[CARRIER]) }, Trunk { dtmf: pbx, ..trunk("pbx", &[PBX]) }];
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx")])]))
}

fn described(ip: &str, port: u16, formats: &str) -> String {
    sdp(ip, port, 1, formats, "sendrecv")
}

/// Makes a call that its callee answers with these formats; returns both sides, the formats of both of our
/// descriptions, and its wires.
fn answered(bench: &mut Bench, formats: &str) -> (Dialing, Dialed, [String; 2], Vec<WireSpec>) {
    let mut caller = bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, "0 101"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    let callee = Dialed::new(PBX, invite.clone());
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, formats)));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let line = |sent: &Sent| {
        let line = sent.body().lines().find(|line| line.starts_with("m=audio")).unwrap();
        line.split_once("AVP ").unwrap().1.to_owned()
    };
    let told = [line(&invite), line(&ok)];
    let wires = bench.take_media().into_iter().filter_map(|command| match command {
        MediaCommand::Wire { wire, .. } => Some(wire),
        _ => None,
    });
    let wires = wires.collect();
    (caller, callee, told, wires)
}

fn info(request: &str, kind: &str, body: &str) -> String {
    let head = request.split("Content-Length:").next().unwrap().replace("Content-Type: application/sdp\r\n", "");
    format!("{head}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn presses(bench: &mut Bench, kind: &str, body: &str, caller: &mut Dialing) -> u16 {
    caller.cseq += 1;
    bench.receive(CARRIER, info(&caller.request("INFO", "", ""), kind, body));
    bench.next(CARRIER).code()
}

const RELAY: &str = "application/dtmf-relay";
const EVENT: DigitFormat = DigitFormat::Event { payload: 101, clock_hz: 8000 };

fn pressed(bench: &mut Bench) -> Vec<(EndId, DigitFormat, String, u16)> {
    let commands = bench.take_media().into_iter();
    commands
        .filter_map(|command| match command {
            MediaCommand::Press { end, press, digits, ms } => Some((end, press, digits, ms)),
            _ => None,
        })
        .collect()
}

#[test]
fn a_key_by_info_becomes_a_telephone_event() {
    let mut bench = parted_bench(DtmfMode::Info, DtmfMode::Rfc4733);
    let (mut caller, callee, told, wires) = answered(&mut bench, "0 101");
    assert_eq!(told, ["0 8 107 101 96", "0"]);
    let parted = |press| Some(Box::new(DtmfConversion { press, ..DtmfConversion::default() }));
    assert_eq!(wires[0].parted, parted(Some(EVENT)));
    assert_eq!(
        wires[1].parted,
        Some(Box::new(DtmfConversion { events: vec![(101, 8000)], ..DtmfConversion::default() }))
    );
    assert!(wires.iter().all(|wire| wire.payloads == [(0, 0)]), "{wires:?}");
    assert_eq!(presses(&mut bench, RELAY, "Signal=5\r\nDuration=160\r\n", &mut caller), 200);
    assert_eq!(presses(&mut bench, "application/dtmf", "#", &mut caller), 200);
    let expected = [("5", 160), ("#", 100)].map(|(key, ms)| (EndId(1), EVENT, key.to_owned(), ms));
    assert_eq!(pressed(&mut bench), expected);
    assert_eq!(presses(&mut bench, RELAY, "Signal=x\r\n", &mut caller), 400);
    bench.nothing();
    // Other content than a digit is relayed unchanged.
    caller.cseq += 1;
    bench.receive(CARRIER, info(&caller.request("INFO", "", ""), "text/plain", "5"));
    let passed = bench.expect(PBX, "INFO");
    assert_eq!(passed.body(), "5");
    bench.receive(PBX, callee.respond(&passed, 200, ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let trace = serde_json::to_string(&bench.gateway.trace(&bench.gateway.calls(bench.now)[0].sid)).unwrap();
    assert!(!trace.contains("Signal") && !format!("{:?}", bench.logs).contains("Signal"), "{trace}");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn more_keys_by_info_than_are_soon_pressed_are_refused_and_the_call_goes_on() {
    let mut bench = parted_bench(DtmfMode::Info, DtmfMode::Rfc4733);
    let (mut caller, callee, ..) = answered(&mut bench, "0 101");
    let key = "Signal=5\r\nDuration=2000\r\n";
    let taken = (0..9).take_while(|_| presses(&mut bench, RELAY, key, &mut caller) == 200).count();
    // The fifth digit would begin after 8.4 s, the sixth after 10.5 s.
    assert_eq!((taken, pressed(&mut bench).len()), (5, 5));
    caller.cseq += 1;
    bench.receive(CARRIER, info(&caller.request("INFO", "", ""), RELAY, key));
    let refused = bench.next(CARRIER);
    assert_eq!((refused.code(), refused.header("Retry-After")), (500, "1"));
    assert_eq!(pressed(&mut bench), []);
    bench.pass(Duration::from_secs(1));
    assert_eq!(presses(&mut bench, RELAY, key, &mut caller), 200);
    assert_eq!(pressed(&mut bench).len(), 1);
    // Even short digits are limited to the worker's queue.
    bench.pass(Duration::from_secs(30));
    let short = "Signal=5\r\nDuration=1\r\n";
    let taken = (0..200).take_while(|_| presses(&mut bench, RELAY, short, &mut caller) == 200).count();
    assert!((50..KEYS_WAITING).contains(&taken), "{taken}");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn telephone_events_become_infos_one_after_the_other() {
    let mut bench = parted_bench(DtmfMode::Rfc4733, DtmfMode::Info);
    let (mut caller, callee, told, wires) = answered(&mut bench, "0");
    assert_eq!(told, ["0 8 107", "0 101"]);
    assert_eq!(
        wires[0].parted,
        Some(Box::new(DtmfConversion { events: vec![(101, 8000)], ..DtmfConversion::default() }))
    );
    // The duration of one digit is unknown, and another has only its beginning.
    for (key, ms) in [('1', 120), ('#', 4000), ('2', 0), ('3', 20)] {
        bench.news(MediaEvent::Key { end: EndId(0), key, ms });
    }
    let (usual, short) = (Duration::from_millis(200), Duration::from_millis(140));
    for (body, code, pause) in [
        ("Signal=1\r\nDuration=120\r\n", 200, usual),
        ("Signal=#\r\nDuration=4000\r\n", 415, usual),
        ("Signal=2\r\nDuration=100\r\n", 200, usual),
        ("Signal=3\r\nDuration=40\r\n", 200, short),
    ] {
        let told = bench.expect(PBX, "INFO");
        assert_eq!((told.body(), told.header("Content-Type")), (body, RELAY));
        bench.nothing();
        bench.receive(PBX, callee.respond(&told, code, ""));
        // The pause lasts as long as the digit, plus 100 ms.
        bench.pass(pause - Duration::from_millis(1));
        bench.nothing();
        bench.pass(Duration::from_millis(1));
    }
    bench.nothing();
    // The edge waits for a slow response; by then the next digit has waited long enough.
    for key in ['4', '5'] {
        bench.news(MediaEvent::Key { end: EndId(0), key, ms: 100 });
    }
    let told = bench.expect(PBX, "INFO");
    bench.pass(Duration::from_millis(300));
    bench.nothing();
    bench.receive(PBX, callee.respond(&told, 200, ""));
    let told = bench.expect(PBX, "INFO");
    assert_eq!(told.body(), "Signal=5\r\nDuration=100\r\n");
    bench.receive(PBX, callee.respond(&told, 200, ""));
    assert!(bench.story().contains("pbx rejects DTMF by INFO (415)"), "{}", bench.story());
    // The callee sends a digit, by INFO as well.
    bench.receive(PBX, info(&callee.request("INFO", 1, ""), RELAY, "Signal=9\r\nDuration=80\r\n"));
    bench.expect(PBX, "SIP/2.0 200");
    assert_eq!(pressed(&mut bench), [(EndId(0), EVENT, "9".to_owned(), 80)]);
    // The caller's digits are in its media: an additional INFO would duplicate one.
    assert_eq!(presses(&mut bench, RELAY, "Signal=5\r\n", &mut caller), 415);
    assert!(!bench.story().contains("Signal"), "{}", bench.story());
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_far_end_that_lost_the_call_ends_it_and_the_call_s_end_ends_its_keys() {
    let mut bench = parted_bench(DtmfMode::Rfc4733, DtmfMode::Info);
    let (_, callee, ..) = answered(&mut bench, "0");
    bench.news(MediaEvent::Key { end: EndId(0), key: '1', ms: 100 });
    let told = bench.expect(PBX, "INFO");
    bench.receive(PBX, callee.respond(&told, 481, ""));
    bench.expect(CARRIER, "BYE");
    let mut bench = parted_bench(DtmfMode::Rfc4733, DtmfMode::Info);
    let (mut caller, callee, ..) = answered(&mut bench, "0");
    for _ in 0..KEYS_TO_TELL + 3 {
        bench.news(MediaEvent::Key { end: EndId(0), key: '1', ms: 100 });
    }
    assert!(bench.story().contains("1 DTMF digits dropped"), "{}", bench.story());
    bench.expect(PBX, "INFO");
    bench.bye(&mut caller, &callee);
    bench.news(MediaEvent::Key { end: EndId(0), key: '1', ms: 100 });
    bench.finish();
}

#[test]
fn a_digit_that_passes_is_a_row_of_the_trace_and_not_named() {
    let mut bench = parted_bench(DtmfMode::Rfc4733, DtmfMode::Rfc4733);
    let (mut caller, callee, _, wires) = answered(&mut bench, "0 101");
    assert_eq!((wires[0].keys, wires[1].keys), (Some(101), Some(101)));
    for key in ['4', '2'] {
        bench.news(MediaEvent::Key { end: EndId(0), key, ms: 0 });
    }
    bench.nothing();
    let story = bench.story();
    assert_eq!(story.matches("media 0: DTMF digit (masked) by telephone-event").count(), 2, "{story}");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn sides_of_the_same_way_are_left_alone() {
    for dtmf in [DtmfMode::Rfc4733, DtmfMode::Info, DtmfMode::Inband] {
        let mut bench = parted_bench(dtmf, dtmf);
        let (mut caller, callee, told, wires) = answered(&mut bench, "0 101");
        assert_eq!(told, ["0 8 107 101", "0 101"]);
        assert!(wires.iter().all(|wire| wire.parted.is_none() && wire.payloads.len() == 2), "{wires:?}");
        caller.cseq += 1;
        bench.receive(CARRIER, info(&caller.request("INFO", "", ""), RELAY, "Signal=5\r\n"));
        let passed = bench.expect(PBX, "INFO");
        bench.receive(PBX, callee.respond(&passed, 200, ""));
        bench.expect(CARRIER, "SIP/2.0 200");
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn a_re_invite_keeps_each_side_s_own() {
    let mut bench = parted_bench(DtmfMode::Info, DtmfMode::Rfc4733);
    let (mut caller, callee, ..) = answered(&mut bench, "0 101");
    caller.cseq += 1;
    let moved = sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv");
    bench.receive(CARRIER, caller.request("INVITE", &moved, ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let again = bench.expect(PBX, "INVITE");
    assert!(again.body().contains("RTP/AVP 0 8 107 101 96\r\n"), "{}", again.body());
    bench.receive(PBX, callee.respond(&again, 200, &described("10.0.0.20", 50_000, "0 101")));
    bench.expect(PBX, "ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0\r\n"), "{}", ok.body());
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.take_media();
    assert_eq!(presses(&mut bench, RELAY, "Signal=5\r\n", &mut caller), 200);
    assert_eq!(pressed(&mut bench), [(EndId(1), EVENT, "5".to_owned(), 100)]);
    // Another offer, from the other side.
    bench.receive(
        PBX,
        callee.request("INVITE", 2, &sdp("10.0.0.20", 50_002, 2, "0 96", "sendrecv").replace("101", "96")),
    );
    bench.expect(PBX, "SIP/2.0 100");
    let again = bench.expect(CARRIER, "INVITE");
    assert!(again.body().contains("RTP/AVP 0 8 107\r\n"), "{}", again.body());
    bench.receive(CARRIER, caller.respond(&again, 200, &described("198.51.100.7", 40_002, "0")));
    bench.expect(CARRIER, "ACK");
    let ok = bench.expect(PBX, "SIP/2.0 200");
    assert!(ok.body().contains("RTP/AVP 0 96\r\n"), "{}", ok.body());
    bench.receive(PBX, callee.request("ACK", 2, ""));
    bench.take_media();
    caller.cseq += 1;
    assert_eq!(presses(&mut bench, RELAY, "Signal=6\r\n", &mut caller), 200);
    let renumbered = DigitFormat::Event { payload: 96, clock_hz: 8000 };
    assert_eq!(pressed(&mut bench), [(EndId(1), renumbered, "6".to_owned(), 100)]);
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn an_agent_is_told_keys_by_info_and_presses_some() {
    let carrier = Trunk { dtmf: DtmfMode::Info, ..trunk("carrier", &[CARRIER]) };
    let table = RoutingTable::new(TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: vec![carrier, trunk("pbx", &[PBX])],
        agents: vec![agent("desk")],
        routes: vec![route(vec![to_agent("desk")])],
    });
    let mut bench = Bench::with(table.into());
    let (mut caller, _, desk) = bench.talking();
    bench.told();
    assert_eq!(presses(&mut bench, RELAY, "Signal=5\r\nDuration=160\r\n", &mut caller), 200);
    assert_eq!(bench.told(), [Told::Keys(desk, "5".into())]);
    assert_eq!(presses(&mut bench, "text/plain", "5", &mut caller), 415);
    bench.wish(desk, AgentRequest::Dtmf("1a".into()));
    assert_eq!(bench.told(), []);
    for body in ["Signal=1\r\nDuration=100\r\n", "Signal=A\r\nDuration=100\r\n"] {
        let told = bench.expect(CARRIER, "INFO");
        assert_eq!(told.body(), body);
        bench.receive(CARRIER, caller.respond(&told, 200, ""));
        bench.nothing();
        bench.pass(Duration::from_millis(200));
    }
    bench.nothing();
    assert!(bench.story().contains("sends 2 DTMF digits") && !bench.story().contains("Signal"), "{}", bench.story());
    bench.pass(Duration::from_secs(1));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn audio_whose_tones_are_keys_is_converted_and_nothing_else() {
    let mut bench = parted_bench(DtmfMode::Inband, DtmfMode::Rfc4733);
    let (mut caller, callee, told, wires) = answered(&mut bench, "0 101");
    assert_eq!(told, ["0 8 107 101 96", "0"]);
    let [there, back] = &wires[..] else { panic!("{wires:?}") };
    let transcode = there.transcode.as_ref().unwrap();
    assert_eq!((transcode.from.as_slice(), transcode.to), (&[(0, PayloadCodec::Pcmu)][..], (0, PayloadCodec::Pcmu)));
    assert_eq!(
        there.parted,
        Some(Box::new(DtmfConversion { tones: true, press: Some(EVENT), ..DtmfConversion::default() }))
    );
    let tone = DigitFormat::Tone { payload: 0, coding: PayloadCodec::Pcmu };
    assert_eq!((back.transcode.as_ref(), back.payloads.as_slice()), (None, &[(0, 0)][..]));
    let events = vec![(101, 8000)];
    assert_eq!(back.parted, Some(Box::new(DtmfConversion { events, press: Some(tone), ..DtmfConversion::default() })));
    assert_eq!(presses(&mut bench, RELAY, "Signal=5\r\n", &mut caller), 415);
    bench.bye(&mut caller, &callee);
    bench.finish();
    // Comfort noise stays in the transcoded stream.
    let mut bench = parted_bench(DtmfMode::Inband, DtmfMode::Info);
    bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, "0 13"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, "0 13")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    let listened = bench.take_media().into_iter().find_map(|command| match command {
        MediaCommand::Wire { wire, .. } if wire.transcode.is_some() => Some(wire),
        _ => None,
    });
    let wire = listened.unwrap();
    assert_eq!((wire.transcode.unwrap().noise, wire.payloads), (Some((13, Some(13))), vec![]));
    // A codec that the edge does not know passes through, with the tones in it.
    let mut bench = parted_bench(DtmfMode::Inband, DtmfMode::Info);
    bench.invite(CARRIER, "+14155550100", &described("198.51.100.7", 40_000, "18"));
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &described("10.0.0.20", 50_000, "18")));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    let wires = bench.take_media().into_iter().filter(|command| match command {
        MediaCommand::Wire { wire, .. } => wire.transcode.is_none() && wire.payloads == [(18, 18)],
        _ => false,
    });
    assert_eq!(wires.count(), 2);
}

#[test]
fn an_agent_s_keys_go_to_a_side_with_tones_as_such() {
    let carrier = Trunk { dtmf: DtmfMode::Inband, ..trunk("carrier", &[CARRIER]) };
    let table = RoutingTable::new(TableDefinition {
        numbers: NumberingPlan::new("US").unwrap(),
        trunks: vec![carrier],
        agents: vec![agent("desk")],
        routes: vec![route(vec![to_agent("desk")])],
    });
    let mut bench = Bench::with(table.into());
    let (mut caller, _, desk) = bench.talking();
    // The caller's side is wired again, with another codec.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_000, 2, "8", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    let hears = bench.take_media().into_iter().any(|command| match command {
        MediaCommand::Wire { to, wire, .. } => to == desk && wire.parted.is_some_and(|parted| parted.tones),
        _ => false,
    });
    assert!(hears);
    bench.wish(desk, AgentRequest::Dtmf("1#".into()));
    let tone = DigitFormat::Tone { payload: 8, coding: PayloadCodec::Pcma };
    assert_eq!(pressed(&mut bench), [(EndId(0), tone, "1#".to_owned(), 100)]);
    hang_up(&mut bench, &mut caller);
    bench.finish();
}
