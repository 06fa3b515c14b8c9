//! Recording sessions (SIPREC, RFC 7866): the edge as their client, against servers scripted line by line.
#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)]

use std::sync::Arc;
use std::time::Duration;

use crate::bench::agents::Told;
use crate::bench::*;
use trunkgate_call::view::SiprecView;
use trunkgate_call::{GatewayInput, RequestRefusal, SiprecChange, SiprecControl};
use trunkgate_media::agent::TrackName;
use trunkgate_media::{EndId, MediaCommand, PayloadCodec, RemoteSpec, TapSpec};
use trunkgate_route::{Pattern, Route, RoutingTable, SiprecSettings, Srtp, Trunk};

/// Addresses of the recording servers.
const SRS: &str = "10.0.0.40:5060";
const SRS2: &str = "10.0.0.41:5060";
/// Ends of the streams: the caller's and the PBX's are 0 and 1.
const STREAMS: [EndId; 2] = [EndId(2), EndId(3)];
const STREAMERS: [EndId; 2] = [EndId(4), EndId(5)];

fn vault(change: impl FnOnce(&mut Trunk)) -> Trunk {
    let codecs = ["PCMU", "PCMA"].map(str::to_owned).to_vec();
    let mut trunk = Trunk {
        siprec: Some(SiprecSettings::default()),
        codecs,
        udp_mtu: 65_535,
        ..trunk("siprec:vault", &[SRS, SRS2])
    };
    change(&mut trunk);
    trunk
}

fn bench(change: impl FnOnce(&mut Trunk)) -> Bench {
    Bench::with(recorded_table(change))
}

/// Returns a table with calls recorded by a group of servers, with this change of the group.
fn recorded_table(change: impl FnOnce(&mut Trunk)) -> Arc<RoutingTable> {
    let mut trunks = usual_trunks();
    trunks.push(vault(change));
    let route = Route { siprec: vec!["siprec:vault".into()], ..route(vec![to_trunk("pbx")]) };
    table(trunks, vec![route])
}

/// Makes a call from the carrier that the PBX has answered; returns the INVITE to a server.
fn answered(bench: &mut Bench) -> (Dialing, Dialed, Dialed) {
    let (caller, callee) = bench.connected("+14155550100", &offer(), &answer());
    let server = Dialed::new(SRS, bench.expect(SRS, "INVITE"));
    bench.nothing();
    (caller, callee, server)
}

/// Makes a call that the server records.
fn recorded(bench: &mut Bench) -> (Dialing, Dialed, Dialed) {
    let (caller, callee, server) = answered(bench);
    bench.take_media();
    bench.receive(SRS, server.answer(200, &taken("0", "recvonly", 1)));
    bench.expect(SRS, "ACK");
    bench.nothing();
    (caller, callee, server)
}

/// Returns the description of a server that accepts both streams.
fn taken(formats: &str, direction: &str, version: u32) -> String {
    let stream = |port: u16| format!("m=audio {port} RTP/AVP {formats}\r\na={direction}\r\n");
    format!(
        "v=0\r\no=srs 5 {version} IN IP4 10.0.0.40\r\ns=-\r\nc=IN IP4 10.0.0.40\r\nt=0 0\r\n{}{}",
        stream(7000),
        stream(7002)
    )
}

fn view(bench: &Bench) -> SiprecView {
    bench.gateway.calls(bench.now)[0].siprec.last().unwrap().clone()
}

fn change(bench: &mut Bench, change: SiprecChange) -> Result<SiprecView, RequestRefusal> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let changed = bench.change(SiprecControl { sid, name: "vault".to_owned(), change });
    bench.drain();
    changed
}

/// Returns the destinations of the streams, and whether they are sent.
fn aimed(bench: &mut Bench) -> Vec<(EndId, String, bool)> {
    let told = bench.take_media().into_iter().filter_map(|command| match command {
        MediaCommand::SetRemote { end, remote: RemoteSpec { rtp, may_receive, .. } } if STREAMS.contains(&end) => {
            Some((end, rtp.map(|rtp| rtp.to_string()).unwrap_or_default(), may_receive))
        }
        _ => None,
    });
    told.collect()
}

/// Returns the parts of a body.
fn parts(sent: &Sent) -> Vec<(Vec<String>, String)> {
    let boundary = sent.header("Content-Type").strip_prefix("multipart/mixed;boundary=").unwrap().to_owned();
    let body = sent.body().strip_suffix(&format!("\r\n--{boundary}--\r\n")).unwrap();
    let between = format!("\r\n--{boundary}\r\n");
    let each = body.strip_prefix(&format!("--{boundary}\r\n")).unwrap().split(&between);
    each.map(|part| {
        let (head, body) = part.split_once("\r\n\r\n").unwrap();
        (head.lines().map(str::to_owned).collect(), body.to_owned())
    })
    .collect()
}

#[test]
fn rfc7866_server_gets_streams_and_metadata() {
    let mut bench = bench(|_| {});
    let (_, _, server) = answered(&mut bench);
    let invite = &server.invite;
    assert_eq!(invite.first_line(), "INVITE sip:10.0.0.40:5060 SIP/2.0");
    assert_eq!(invite.header("Require"), "siprec");
    assert_eq!(invite.header("Contact"), "<sip:trunkgate@10.0.0.5:5060>;+sip.src");
    let parts = parts(invite);
    let heads: Vec<Vec<String>> = parts.iter().map(|(head, _)| head.clone()).collect();
    let metadata = ["Content-Type: application/rs-metadata+xml", "Content-Disposition: recording-session"];
    assert_eq!(heads, [vec!["Content-Type: application/sdp"], metadata.to_vec()]);
    let sdp = &parts[0].1;
    for (text, count) in [("m=audio ", 2), ("a=sendonly", 2), ("a=label:1\r\n", 1), ("a=label:2\r\n", 1), ("PCMU", 2)] {
        assert_eq!(sdp.matches(text).count(), count, "{text} in {sdp}");
    }
    let xml = &parts[1].1;
    for text in [
        "<datamode>complete</datamode>",
        "aor=\"sip:+14155551234@10.0.0.5\"><name>Alice</name>",
        "aor=\"sip:+14155550100@10.0.0.5\"",
        "<label>1</label>",
        "<start-time>2027-01-15T08:00:0",
    ] {
        assert!(xml.contains(text), "{text} in {xml}");
    }
    assert!(!invite.text.contains("secret.example") && !invite.text.contains("198.51.100.7"), "{}", invite.text);
}

#[test]
fn both_streams_run_until_the_call_ends_and_the_record_says_so() {
    let mut bench = bench(|_| {});
    let (mut caller, callee, server) = answered(&mut bench);
    assert_eq!(view(&bench).status, "connecting");
    bench.take_media();
    bench.receive(SRS, server.answer(200, &taken("8", "recvonly", 1)));
    bench.expect(SRS, "ACK");
    let told = bench.told();
    for (at, track) in [TrackName::Inbound, TrackName::Outbound].into_iter().enumerate() {
        assert!(told.contains(&Told::Stream(STREAMERS[at], track)), "{told:?}");
        let wired = told.iter().any(|told| {
            matches!(told, Told::Wire(from, to, wire) if (*from, *to) == (STREAMERS[at], STREAMS[at])
                && wire.coding == PayloadCodec::Pcma && wire.payloads[0].1 == 8)
        });
        assert!(wired, "{told:?}");
        assert!(told.contains(&Told::Tap(EndId(0), STREAMERS[at], TapSpec::both(0, PayloadCodec::Pcmu))), "{told:?}");
    }
    let SiprecView { name, status, server: at, sip_call_id, problem, .. } = view(&bench);
    assert_eq!((name.as_str(), status, at.as_deref()), ("vault", "in-progress", Some("sip:10.0.0.40:5060")));
    assert_eq!((sip_call_id.as_deref(), problem), (Some(server.invite.header("Call-ID")), None));
    assert!(bench.logs.iter().any(|line| line.contains("recorded by vault")), "{:?}", bench.logs);
    assert_eq!(bench.gateway.metrics().siprec.sessions.get("siprec:vault"), Some(&1));
    bench.bye(&mut caller, &callee);
    let bye = bench.expect(SRS, "BYE");
    assert!(bye.header("Reason").contains("caller_hung_up"));
    assert_eq!(bench.reports[0].call.siprec[0].status, "stopped");
    let legs: Vec<&str> = bench.reports[0].call.legs.iter().map(|leg| leg.kind).collect();
    assert_eq!(legs, ["sip", "sip", "siprec"]);
    bench.receive(SRS, server.respond(&bye, 200, ""));
    assert_eq!(bench.gateway.metrics().siprec.sessions.get("siprec:vault"), Some(&0));
    bench.finish();
}

#[test]
fn the_trace_has_what_was_said_with_the_server() {
    let mut bench = bench(|_| {});
    recorded(&mut bench);
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = bench.gateway.trace(&sid).unwrap();
    assert_eq!(trace.legs, ["carrier", "pbx", "siprec:vault"]);
    assert_eq!(trace.verdict, "Answered by pbx.");
    let story = bench.story();
    assert!(story.contains("recorded by vault at sip:10.0.0.40:5060"), "{story}");
}

/// Failure of the first server.
enum Fails {
    Refuses,
    IsSilent,
    RingsForEver,
    TakesOneStream,
    IsUnreachable,
}

#[test]
fn the_next_server_records_where_one_fails() {
    for fails in [Fails::Refuses, Fails::IsSilent, Fails::RingsForEver, Fails::TakesOneStream, Fails::IsUnreachable] {
        let mut bench = bench(|_| {});
        let (mut caller, callee, first) = answered(&mut bench);
        match fails {
            Fails::Refuses => {
                bench.receive(SRS, first.answer(488, ""));
                bench.expect(SRS, "ACK");
            }
            Fails::IsSilent => bench.pass(Duration::from_millis(4_100)),
            Fails::RingsForEver => {
                bench.receive(SRS, first.answer(180, ""));
                bench.pass(Duration::from_millis(10_100));
                let cancel = bench.expect(SRS, "CANCEL");
                bench.receive(SRS, first.respond(&cancel, 200, ""));
                bench.receive(SRS, first.answer(487, ""));
                bench.expect(SRS, "ACK");
            }
            Fails::TakesOneStream => {
                let one = taken("0", "recvonly", 1).replace("m=audio 7002", "m=audio 0");
                bench.receive(SRS, first.answer(200, &one));
                bench.expect(SRS, "ACK");
                let bye = bench.expect(SRS, "BYE");
                bench.receive(SRS, first.respond(&bye, 200, ""));
            }
            Fails::IsUnreachable => bench.input(GatewayInput::TransportFailed { flow: udp(SRS), why: None }),
        }
        bench.sent.retain(|sent| sent.to != SRS.parse().unwrap());
        let second = Dialed::new(SRS2, bench.expect(SRS2, "INVITE"));
        bench.nothing();
        bench.receive(SRS2, second.answer(200, &taken("0", "recvonly", 1)));
        bench.expect(SRS2, "ACK");
        assert_eq!((bench.state(), view(&bench).status.to_string().as_str()), ("answered", "in-progress"));
        assert_eq!(view(&bench).server.as_deref(), Some("sip:10.0.0.41:5060"));
        bench.bye(&mut caller, &callee);
        let bye = bench.expect(SRS2, "BYE");
        bench.receive(SRS2, second.respond(&bye, 200, ""));
        bench.finish();
    }
}

#[test]
fn a_call_goes_on_without_servers_unless_they_are_required() {
    for required in [false, true] {
        let mut bench = bench(|trunk| trunk.siprec = Some(SiprecSettings { required }));
        let (mut caller, callee, first) = answered(&mut bench);
        bench.receive(SRS, first.answer(503, ""));
        bench.expect(SRS, "ACK");
        let second = Dialed::new(SRS2, bench.expect(SRS2, "INVITE"));
        bench.receive(SRS2, second.answer(403, ""));
        bench.expect(SRS2, "ACK");
        let said = "not recorded by [siprec.vault]: sip:10.0.0.41:5060: 403";
        assert!(bench.logs.iter().any(|line| line.contains(said)), "{:?}", bench.logs);
        let results = &bench.gateway.metrics().siprec.results;
        assert_eq!(results.get(&("siprec:vault".into(), "failed")), Some(&1));
        if required {
            let bye = bench.expect(CARRIER, "BYE");
            assert!(bye.header("Reason").contains("recording_unavailable"));
            bench.receive(CARRIER, caller.respond(&bye, 200, ""));
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
        } else {
            bench.nothing();
            let SiprecView { status, server, problem, .. } = view(&bench);
            assert_eq!((status.to_string().as_str(), server), ("failed", None));
            assert!(problem.unwrap().contains("403"));
            bench.bye(&mut caller, &callee);
        }
        let reason = bench.reports[0].call.reason;
        assert_eq!(reason, Some(if required { "recording_unavailable" } else { "caller_hung_up" }));
        bench.finish();
    }
}

#[test]
fn a_call_that_has_to_be_recorded_is_refused_while_every_server_is_down() {
    for required in [false, true] {
        let mut bench = bench(|trunk| {
            trunk.siprec = Some(SiprecSettings { required });
            trunk.options_interval = Duration::from_secs(10);
        });
        bench.pass(Duration::from_secs(120));
        bench.sent.clear();
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        if !required {
            bench.expect(PBX, "INVITE");
            continue;
        }
        let refused = bench.expect(CARRIER, "SIP/2.0 503");
        assert!(refused.header("Reason").contains("recording_unavailable"), "{}", refused.text);
        let sid = bench.reports[0].call.sid.clone();
        let verdict = bench.gateway.trace(&sid).unwrap().verdict;
        assert!(verdict.contains("no server of [siprec.vault] answers"), "{verdict}");
    }
}

#[test]
fn calls_that_have_to_be_recorded_are_refused_once_the_servers_refused_three_and_taken_once_one_is_recorded() {
    let mut bench = bench(|trunk| trunk.siprec = Some(SiprecSettings { required: true }));
    let failed = |bench: &mut Bench| {
        let (caller, callee, first) = answered(bench);
        bench.receive(SRS, first.answer(488, ""));
        bench.expect(SRS, "ACK");
        let second = Dialed::new(SRS2, bench.expect(SRS2, "INVITE"));
        bench.receive(SRS2, second.answer(488, ""));
        bench.expect(SRS2, "ACK");
        let bye = bench.expect(CARRIER, "BYE");
        bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        let sid = bench.reports.last().unwrap().call.sid.clone();
        let verdict = bench.gateway.trace(&sid).unwrap().verdict;
        assert!(verdict.contains("`trunkgate status` shows the responses of the recording servers"), "{verdict}");
    };
    let group = |bench: &Bench| {
        let trunks = bench.gateway.status(bench.now).trunks;
        trunks.into_iter().find(|trunk| trunk.name == "siprec:vault").unwrap().unrecorded
    };
    let refused = |bench: &mut Bench| {
        bench.invite(CARRIER, "+14155550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        let refused = bench.expect(CARRIER, "SIP/2.0 503");
        assert!(refused.header("Reason").contains("recording_unavailable"), "{}", refused.text);
        bench.nothing();
    };
    assert_eq!(group(&bench), None);
    (0..3).for_each(|_| failed(&mut bench));
    let unrecorded = group(&bench).unwrap();
    assert_eq!((unrecorded.failed, unrecorded.of, unrecorded.still, unrecorded.refusing), (3, 3, true, true));
    assert!(unrecorded.cause.contains("488"), "{}", unrecorded.cause);
    assert_eq!(bench.gateway.metrics().siprec.failing.get("siprec:vault"), Some(&true));
    refused(&mut bench);
    let verdict = bench.gateway.trace(&bench.reports.last().unwrap().call.sid).unwrap().verdict;
    assert!(verdict.contains("accepted the last 3 calls: sip:10.0.0.41:5060: 488"), "{verdict}");
    bench.pass(Duration::from_secs(31));
    bench.sent.clear();
    // The trial fails, and calls are refused again.
    failed(&mut bench);
    refused(&mut bench);
    bench.pass(Duration::from_secs(31));
    bench.sent.clear();
    for _ in 0..3 {
        let (mut caller, callee, server) = recorded(&mut bench);
        bench.bye(&mut caller, &callee);
        let bye = bench.expect(SRS, "BYE");
        bench.receive(SRS, server.respond(&bye, 200, ""));
    }
    let unrecorded = group(&bench).unwrap();
    assert_eq!((unrecorded.of, unrecorded.still, unrecorded.refusing), (7, false, false));
    assert_eq!(bench.gateway.metrics().siprec.failing.get("siprec:vault"), Some(&false));
}

#[test]
fn the_servers_bye_ends_the_recording_and_nothing_else() {
    for required in [false, true] {
        let mut bench = bench(|trunk| trunk.siprec = Some(SiprecSettings { required }));
        let (mut caller, callee, server) = recorded(&mut bench);
        // BYE from an unknown source, and from the server's address with another tag.
        bench.receive("10.0.0.99:5060", server.request("BYE", 1, ""));
        bench.nothing();
        let forged = Dialed { tag: "forged".into(), ..server.clone() };
        bench.receive(SRS, forged.request("BYE", 1, ""));
        bench.expect(SRS, "SIP/2.0 481");
        assert_eq!(view(&bench).status, "in-progress");
        bench.receive(SRS, server.request("BYE", 2, ""));
        bench.expect(SRS, "SIP/2.0 200");
        assert_eq!(bench.gateway.metrics().siprec.sessions.get("siprec:vault"), Some(&0));
        if required {
            let bye = bench.expect(CARRIER, "BYE");
            assert!(bye.header("Reason").contains("recording_unavailable"));
            bench.receive(CARRIER, caller.respond(&bye, 200, ""));
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
        } else {
            assert_eq!((bench.state(), view(&bench).status.to_string().as_str()), ("answered", "stopped"));
            bench.nothing();
            bench.bye(&mut caller, &callee);
        }
        bench.finish();
    }
}

#[test]
fn a_server_may_hold_the_streams_and_change_their_codec() {
    let mut bench = bench(|_| {});
    let (.., server) = recorded(&mut bench);
    aimed(&mut bench);
    for (cseq, formats, direction, answered, payload) in
        [(1, "0", "inactive", "inactive", 0), (2, "8", "recvonly", "sendonly", 8), (3, "8", "recvonly", "sendonly", 8)]
    {
        bench.receive(SRS, server.request("INVITE", cseq, &taken(formats, direction, cseq + 1)));
        let ok = bench.sent.iter().position(|sent| sent.code() == 200).unwrap();
        let ok = bench.sent.remove(ok).unwrap();
        assert_eq!(ok.body().matches(&format!("a={answered}\r\n")).count(), 2, "{}", ok.text);
        assert_eq!(ok.body().matches("a=label:").count(), 2);
        assert!(ok.header("Contact").ends_with(";+sip.src"));
        bench.receive(SRS, server.request("ACK", cseq, ""));
        bench.sent.clear();
        let codec = if payload == 8 { "PCMA" } else { "PCMU" };
        assert_eq!(bench.gateway.calls(bench.now)[0].legs[2].codec, codec);
        let streams = aimed(&mut bench);
        let runs = answered == "sendonly";
        assert!(streams.iter().all(|(_, _, receives)| *receives == runs), "{streams:?}");
    }
    bench.receive(SRS, server.request("INVITE", 4, &taken("18", "recvonly", 5)));
    bench.sent.retain(|sent| sent.code() != 100);
    bench.expect(SRS, "SIP/2.0 488");
    assert_eq!(view(&bench).status, "in-progress");
}

#[test]
fn a_server_may_ask_us_to_offer() {
    let mut bench = bench(|_| {});
    let (.., server) = recorded(&mut bench);
    bench.take_media();
    bench.receive(SRS, server.request("INVITE", 1, ""));
    bench.sent.retain(|sent| sent.code() != 100);
    let ok = bench.expect(SRS, "SIP/2.0 200");
    assert_eq!(ok.body().matches("a=sendonly").count(), 2);
    bench.receive(SRS, server.request("ACK", 1, &taken("8", "recvonly", 2).replace("7000", "7010")));
    let streams = aimed(&mut bench);
    assert!(streams.contains(&(STREAMS[0], "10.0.0.40:7010".into(), true)), "{streams:?}");
    assert_eq!(bench.gateway.calls(bench.now)[0].legs[2].codec, "PCMA");
}

#[test]
fn a_pause_stops_the_streams_and_the_server_is_told() {
    let mut bench = bench(|_| {});
    let (mut caller, callee, server) = recorded(&mut bench);
    bench.take_media();
    bench.pass(Duration::from_secs(3));
    assert_eq!(change(&mut bench, SiprecChange::Pause).unwrap().status, "paused");
    let stopped = aimed(&mut bench);
    assert_eq!(stopped.len(), 2, "at once, with any response of the server");
    assert!(stopped.iter().all(|(_, _, runs)| !runs));
    let paused = bench.expect(SRS, "INVITE");
    let said = parts(&paused);
    assert_eq!(said[0].1.matches("a=inactive").count(), 2);
    assert_eq!(said[1].1.matches("<disassociate-time>").count(), 2);
    bench.receive(SRS, server.respond(&paused, 200, &taken("0", "inactive", 2)));
    bench.expect(SRS, "ACK");
    bench.nothing();
    assert_eq!(change(&mut bench, SiprecChange::Pause).unwrap().status, "paused");
    bench.nothing();

    assert_eq!(change(&mut bench, SiprecChange::Resume).unwrap().status, "in-progress");
    let resumed = bench.expect(SRS, "INVITE");
    let said = parts(&resumed);
    assert_eq!((said[0].1.matches("a=sendonly").count(), said[1].1.matches("disassociate").count()), (2, 0));
    // The server has a request of its own: ours is repeated.
    bench.receive(SRS, server.respond(&resumed, 491, ""));
    bench.expect(SRS, "ACK");
    bench.pass(Duration::from_secs(5));
    let resumed = bench.expect(SRS, "INVITE");
    // Without a response it was retransmitted.
    bench.sent.retain(|sent| !sent.first_line().starts_with("INVITE"));
    bench.receive(SRS, server.respond(&resumed, 200, &taken("0", "recvonly", 3)));
    bench.expect(SRS, "ACK");
    let runs = aimed(&mut bench);
    assert!(runs.iter().rev().take(2).all(|(_, _, runs)| *runs) && runs.len() >= 2, "{runs:?}");

    assert_eq!(change(&mut bench, SiprecChange::Stop).unwrap().status, "stopped");
    let bye = bench.expect(SRS, "BYE");
    bench.receive(SRS, server.respond(&bye, 200, ""));
    assert_eq!(change(&mut bench, SiprecChange::Resume), Err(RequestRefusal::RecordingEnded));
    assert_eq!(bench.state(), "answered");
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn a_session_and_its_pause_go_on_after_a_restart() {
    for is_paused in [false, true] {
        let mut bench = bench(|_| {});
        let (mut caller, callee, server) = recorded(&mut bench);
        if is_paused {
            change(&mut bench, SiprecChange::Pause).unwrap();
            let paused = bench.expect(SRS, "INVITE");
            bench.receive(SRS, server.respond(&paused, 200, &taken("0", "inactive", 2)));
        }
        let before = view(&bench);
        bench.restart(recorded_table(|_| {}));
        bench.nothing();
        assert_eq!(view(&bench), before);
        let told = bench.told();
        let streams = told.iter().filter(|told| matches!(told, Told::Stream(..))).count();
        let taps = told.iter().filter(|told| matches!(told, Told::Tap(..))).count();
        assert_eq!((streams, taps), (2, 2), "{told:?}");
        let asked = if is_paused { SiprecChange::Resume } else { SiprecChange::Pause };
        change(&mut bench, asked).unwrap();
        let changed = bench.expect(SRS, "INVITE");
        let direction = if is_paused { "recvonly" } else { "inactive" };
        bench.receive(SRS, server.respond(&changed, 200, &taken("0", direction, 3)));
        bench.expect(SRS, "ACK");
        bench.bye(&mut caller, &callee);
        let bye = bench.expect(SRS, "BYE");
        bench.receive(SRS, server.respond(&bye, 200, ""));
        bench.finish();
    }
}

/// A server that is still asked cannot be handed over.
#[test]
fn a_session_that_is_set_up_begins_again_after_a_restart() {
    let mut bench = bench(|_| {});
    let (_, _, server) = answered(&mut bench);
    bench.restart(recorded_table(|_| {}));
    let cancel = bench.expect(SRS, "CANCEL");
    assert_eq!(cancel.header("Via"), server.invite.header("Via"));
    bench.expect(SRS, "INVITE");
}

#[test]
fn a_server_that_is_lost_in_mid_call_is_replaced() {
    let mut bench = bench(|_| {});
    let (mut caller, callee, server) = recorded(&mut bench);
    change(&mut bench, SiprecChange::Pause).unwrap();
    let paused = bench.expect(SRS, "INVITE");
    bench.receive(SRS, server.respond(&paused, 481, ""));
    bench.expect(SRS, "ACK");
    bench.sent.retain(|sent| sent.to != SRS.parse().unwrap());
    let second = Dialed::new(SRS2, bench.expect(SRS2, "INVITE"));
    assert_eq!(parts(&second.invite)[0].1.matches("a=inactive").count(), 2, "it is paused still");
    bench.receive(SRS2, second.answer(200, &taken("0", "inactive", 1)));
    bench.expect(SRS2, "ACK");
    assert_eq!(view(&bench).status, "paused");
    let lost = bench.gateway.metrics().siprec.results.get(&("siprec:vault".into(), "lost")).copied();
    assert_eq!(lost, Some(1));
    bench.sent.clear();
    bench.bye(&mut caller, &callee);
    bench.sent.clear();
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.gateway.held_calls(), 0);
}

#[test]
fn a_session_that_no_server_refreshes_is_lost() {
    let mut bench = bench(|_| {});
    let (_, _, server) = answered(&mut bench);
    assert_eq!(server.invite.headers("Session-Expires"), ["1800"]);
    let timer = "Session-Expires: 90;refresher=uac\r\nRequire: timer\r\n";
    bench.receive(SRS, server.answer_as(200, &taken("0", "recvonly", 1), timer));
    bench.expect(SRS, "ACK");
    bench.pass(Duration::from_millis(45_100));
    let refresh = bench.next(SRS);
    assert!(refresh.first_line().starts_with("INVITE") && refresh.body().contains("recording:1"), "{}", refresh.text);
    bench.receive(
        SRS,
        server
            .respond(&refresh, 200, &taken("0", "recvonly", 1))
            .replace("Content-Type", &format!("{timer}Content-Type")),
    );
    bench.expect(SRS, "ACK");
    assert_eq!(view(&bench).status, "in-progress");
    bench.sent.clear();
    // No response to the next refresh.
    bench.pass(Duration::from_secs(46 + 33));
    bench.sent.retain(|sent| sent.to == SRS2.parse().unwrap());
    bench.expect(SRS2, "INVITE");
    assert_eq!(bench.state(), "answered");
}

#[test]
fn a_call_that_ends_while_a_server_is_asked_withdraws_its_invite() {
    let mut bench = bench(|_| {});
    let (mut caller, callee, server) = answered(&mut bench);
    bench.receive(SRS, server.answer(100, ""));
    bench.bye(&mut caller, &callee);
    let cancel = bench.expect(SRS, "CANCEL");
    bench.receive(SRS, server.respond(&cancel, 200, ""));
    // Its 200 has crossed our CANCEL.
    bench.receive(SRS, server.answer(200, &taken("0", "recvonly", 1)));
    bench.expect(SRS, "ACK");
    let bye = bench.expect(SRS, "BYE");
    bench.receive(SRS, server.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn an_invite_of_a_server_is_rejected_and_its_other_requests_change_nothing() {
    let mut bench = bench(|_| {});
    let (.., server) = recorded(&mut bench);
    bench.invite(SRS, "+14155550100", &offer());
    bench.sent.retain(|sent| sent.code() != 100);
    bench.expect(SRS, "SIP/2.0 403");
    for (cseq, method, code) in [(1, "INFO", 488), (2, "REFER", 603), (3, "OPTIONS", 200)] {
        let request = server.request(method, cseq, "");
        let request = match method {
            "REFER" => request.replace("Content-Length", "Refer-To: <sip:+14155550111@10.0.0.5>\r\nContent-Length"),
            _ => request,
        };
        bench.receive(SRS, request);
        let answer = bench.next(SRS);
        assert_eq!(answer.code(), code, "{method}: {}", answer.text);
    }
    assert_eq!((bench.state(), view(&bench).status.to_string().as_str()), ("answered", "in-progress"));
}

#[test]
fn streams_are_encrypted_where_the_group_says_so() {
    for (srtp, refused, secure) in [(Srtp::Required, false, true), (Srtp::Optional, true, false)] {
        let mut bench = bench(|trunk| trunk.srtp = srtp);
        let (_, _, mut server) = answered(&mut bench);
        let offered = parts(&server.invite)[0].1.clone();
        assert_eq!((offered.matches("RTP/SAVP ").count(), offered.contains("a=crypto:")), (2, true), "{offered}");
        if refused {
            bench.receive(SRS, server.answer(488, ""));
            bench.expect(SRS, "ACK");
            server = Dialed::new(SRS, bench.expect(SRS, "INVITE"));
            assert_eq!(parts(&server.invite)[0].1.matches("RTP/AVP ").count(), 2);
        }
        bench.take_media();
        let key = format!("a=crypto:1 AEAD_AES_128_GCM inline:{}\r\n", "A".repeat(38));
        let plain = taken("0", "recvonly", 1);
        let answer = match secure {
            true => plain.replace("RTP/AVP", "RTP/SAVP").replace("a=recvonly\r\n", &format!("a=recvonly\r\n{key}")),
            false => plain,
        };
        bench.receive(SRS, server.answer(200, &answer));
        bench.expect(SRS, "ACK");
        let keys: Vec<bool> = bench
            .take_media()
            .into_iter()
            .filter_map(|command| match command {
                MediaCommand::SetRemote { remote, .. } => Some(remote.srtp.is_some()),
                _ => None,
            })
            .collect();
        assert_eq!(keys, [secure, secure]);
        assert_eq!(view(&bench).status, "in-progress");
    }
    // Streams are not sent unencrypted if encryption is required.
    let mut bench = bench(|trunk| trunk.srtp = Srtp::Required);
    let (_, _, server) = answered(&mut bench);
    bench.receive(SRS, server.answer(200, &taken("0", "recvonly", 1)));
    bench.expect(SRS, "ACK");
    bench.expect(SRS, "BYE");
    bench.expect(SRS2, "INVITE");
}

/// Makes a recorded call that its callee may transfer to the backup.
fn transferable() -> (Bench, Dialing, Dialed, Dialed) {
    let to =
        |prefix: &str, trunk: &str| Route { to: vec![Pattern::parse(prefix).unwrap()], ..route(vec![to_trunk(trunk)]) };
    let mut trunks = usual_trunks();
    trunks.push(vault(|_| {}));
    let recorded_route = Route { siprec: vec!["siprec:vault".into()], ..to("+1415*", "pbx") };
    let mut bench = Bench::with(table(trunks, vec![recorded_route, to("+1212*", "backup")]));
    let (caller, callee, server) = recorded(&mut bench);
    (bench, caller, callee, server)
}

/// Sends a party's REFER to the backup, and returns the INVITE there; `notified` answers a NOTIFY.
fn referred(bench: &mut Bench, by: &str, request: &str, notified: impl Fn(&Sent) -> String) -> Dialed {
    let refer_to = format!("Refer-To: <sip:+12125550100@{LOCAL}>\r\nContent-Length:");
    bench.receive(by, request.replace("Content-Length:", &refer_to));
    bench.expect(by, "SIP/2.0 202");
    let notify = bench.expect(by, "NOTIFY");
    bench.receive(by, notified(&notify));
    Dialed { tag: "target".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) }
}

/// Returns the elements of a kind in the metadata of a request, with attributes and contents.
fn elements(sent: &Sent, name: &str) -> Vec<String> {
    let xml = parts(sent)[1].1.clone();
    let of_name = |line: &&str| line.starts_with(&format!("<{name} "));
    xml.lines().filter(of_name).map(str::to_owned).collect()
}

#[test]
fn rfc7866_a_transfer_is_told_to_the_server_once_it_is_done() {
    let (mut bench, mut caller, callee, server) = transferable();
    let before = elements(&server.invite, "participant");
    let target = referred(&mut bench, PBX, &callee.request("REFER", 1, ""), |told| callee.respond(told, 200, ""));
    bench.nothing();
    bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let done = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&done, 200, ""));
    let told = bench.expect(SRS, "INVITE");
    bench.nothing();
    assert_eq!(parts(&told)[0].1.matches("a=sendonly").count(), 2);
    let participants = elements(&told, "participant");
    assert_eq!(participants[..2], before[..], "the first two keep their names");
    assert!(participants[2].contains("aor=\"sip:+12125550100@10.0.0.5\""), "{participants:?}");
    for kind in ["participantsessionassoc", "participantstreamassoc"] {
        let ended: Vec<bool> = elements(&told, kind).iter().map(|one| one.contains("<disassociate-time>")).collect();
        assert_eq!(ended, [false, true, false], "{kind}");
    }
    let speaks = elements(&told, "participantstreamassoc");
    let stream = |at: usize| speaks[at].split("<send>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    assert_eq!((stream(1) == stream(2), stream(0) == stream(2)), (true, false));
    bench.receive(SRS, server.respond(&told, 200, &taken("0", "recvonly", 2)));
    bench.expect(SRS, "ACK");
    bench.receive(PBX, callee.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.nothing();
    bench.bye(&mut caller, &target);
    let bye = bench.expect(SRS, "BYE");
    bench.receive(SRS, server.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_transfer_by_the_caller_changes_whose_voice_is_in_which_stream() {
    let (mut bench, caller, callee, server) = transferable();
    let refer = caller.request("REFER", "", "");
    let target = referred(&mut bench, CARRIER, &refer, |told| caller.respond(told, 200, ""));
    bench.receive(BACKUP, target.answer(200, &sdp("10.0.0.30", 32_000, 1, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.sent.retain(|sent| sent.to == SRS.parse().unwrap());
    let told = bench.expect(SRS, "INVITE");
    let of_caller = elements(&server.invite, "participantstreamassoc")[0].clone();
    let sends = |one: &str| one.split("<send>").nth(1).unwrap().split('<').next().unwrap().to_owned();
    let speaks = elements(&told, "participantstreamassoc");
    let ended: Vec<bool> = speaks.iter().map(|one| one.contains("<disassociate-time>")).collect();
    assert_eq!(ended, [true, false, false], "the caller has left");
    let in_first: Vec<bool> = speaks.iter().map(|one| sends(one) == sends(&of_caller)).collect();
    assert_eq!(in_first, [true, true, false], "the callee is heard where the caller was");
    let _ = callee;
}

#[test]
fn a_transfer_that_fails_is_no_news_for_the_server() {
    let (mut bench, mut caller, callee, _) = transferable();
    let target = referred(&mut bench, PBX, &callee.request("REFER", 1, ""), |told| callee.respond(told, 200, ""));
    bench.receive(BACKUP, target.answer(486, ""));
    bench.expect(BACKUP, "ACK");
    let failed = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, callee.respond(&failed, 200, ""));
    bench.nothing();
    assert_eq!(bench.state(), "answered");
    bench.bye(&mut caller, &callee);
}

#[test]
fn rfc3261_18_1_1_a_long_invite_goes_to_a_server_by_tcp_and_by_udp_where_it_takes_none() {
    let via = |sent: &Sent| sent.header("Via").split(' ').next().unwrap().to_owned();
    let asked = || {
        let mut bench = bench(|trunk| trunk.oversize_by_tcp = true);
        let (.., server) = answered(&mut bench);
        assert!(server.invite.text.len() > 1_300, "{}", server.invite.text.len());
        assert_eq!(via(&server.invite), "SIP/2.0/TCP");
        (bench, server)
    };
    // The server accepts TCP, which is kept.
    let (mut bench, server) = asked();
    let flow = tcp(SRS, 5);
    bench.input(GatewayInput::Received { flow, bytes: server.answer(200, &taken("0", "recvonly", 1)).into() });
    assert_eq!(via(&bench.expect(SRS, "ACK")), "SIP/2.0/TCP");
    assert_eq!(
        (view(&bench).status.to_string().as_str(), bench.gateway.calls(bench.now)[0].legs[2].transport),
        ("in-progress", "tcp")
    );
    // TCP refused: UDP at once, to the same server. TCP silent: after a second.
    for refused in [true, false] {
        let (mut bench, _) = asked();
        if refused {
            bench.input(GatewayInput::Disconnected { flow, made_for: None, cause: None, was_up: false });
        } else {
            bench.pass(Duration::from_millis(900));
            bench.nothing();
            bench.pass(Duration::from_millis(200));
        }
        bench.sent.retain(|sent| via(sent) == "SIP/2.0/UDP");
        let server = Dialed::new(SRS, bench.expect(SRS, "INVITE"));
        bench.receive(SRS, server.answer(200, &taken("0", "recvonly", 1)));
        bench.expect(SRS, "ACK");
        assert_eq!(view(&bench).status, "in-progress");
        assert!(bench.story().contains("does not support TCP"), "{}", bench.story());
    }
    // Silent over both: the next server.
    let (mut bench, _) = asked();
    bench.pass(Duration::from_millis(5_300));
    bench.sent.retain(|sent| sent.to == SRS2.parse().unwrap());
    assert_eq!(via(&bench.expect(SRS2, "INVITE")), "SIP/2.0/TCP");
}

#[test]
fn no_route_and_no_transfer_leads_to_a_recording_server() {
    let mut trunks = usual_trunks();
    trunks.push(vault(|_| {}));
    let mut bench = Bench::with(table(trunks, vec![route(vec![to_trunk("siprec:vault"), to_trunk("pbx")])]));
    bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(PBX, "INVITE");
    bench.nothing();
}
