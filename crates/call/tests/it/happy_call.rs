//! A successful call: the messages of each side, and the state left afterwards.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::*;
use trunkgate_media::{MediaCommand, RemoteSpec};

#[test]
fn each_side_sees_only_us() {
    let mut bench = Bench::new();
    let mut caller = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    invite_is_ours(&invite);

    let callee = Dialed::new(PBX, invite.clone());
    bench.receive(PBX, callee.answer(180, ""));
    let ringing = bench.expect(CARRIER, "SIP/2.0 180");
    assert!(!ringing.tag("To").is_empty());
    assert_eq!(ringing.header("Contact"), "<sip:+14155550100@203.0.113.10:5060>");
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "ringing");

    bench.pass(Duration::from_secs(2));
    bench.receive(PBX, callee.answer(200, &answer()));
    let ack = bench.expect(PBX, "ACK sip:bob@10.0.0.20:5060");
    assert_eq!(ack.header("CSeq"), "1 ACK");
    let ok = bench.expect(CARRIER, "SIP/2.0 200 OK");
    assert_eq!(ok.tag("To"), ringing.tag("To"));
    answer_is_ours(&ok);
    assert_ne!(ok.port(), invite.port());
    caller.to_tag = ok.tag("To");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.nothing();

    bench.pass(Duration::from_secs(30));
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE sip:bob@10.0.0.20:5060");
    assert_eq!(bye.header("Reason"), "Q.850;cause=16;text=\"caller_hung_up\"");
    assert_eq!(bye.header("Max-Forwards"), "70");
    bench.receive(PBX, callee.respond(&bye, 200, ""));

    let sid = record_tells_it_all(&bench, invite.header("Call-ID"));
    bench.finish();
    assert_eq!(bench.gateway.call(bench.now, &sid).unwrap().state, "ended");
    let trace = bench.gateway.trace(&sid).unwrap();
    assert_eq!(trace.legs, ["carrier", "pbx"]);
    assert!(trace.verdict.starts_with("Answered by pbx, ended after 30.0 s"), "{}", trace.verdict);
}

fn invite_is_ours(invite: &Sent) {
    assert_eq!(invite.first_line(), "INVITE sip:+14155550100@10.0.0.20:5060 SIP/2.0");
    assert!(invite.header("Via").starts_with("SIP/2.0/UDP 10.0.0.5:5060;branch=z9hG4bK"));
    assert!(invite.header("From").starts_with("\"Alice\" <sip:+14155551234@10.0.0.5>;tag="));
    assert_eq!(invite.header("To"), "<sip:+14155550100@10.0.0.20:5060>");
    assert_eq!(invite.header("Contact"), "<sip:+14155551234@10.0.0.5:5060>");
    assert_eq!(invite.header("Max-Forwards"), "69");
    assert_eq!(invite.header("User-Agent"), "Trunkgate");
    assert_eq!(
        invite.header("Allow"),
        "INVITE, ACK, BYE, CANCEL, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE"
    );
    assert_eq!(invite.header("Content-Type"), "application/sdp");
    let mut names: Vec<&str> =
        invite.text.lines().skip(1).take_while(|l| !l.is_empty()).map(|l| l.split(':').next().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Allow",
            "CSeq",
            "Call-ID",
            "Contact",
            "Content-Length",
            "Content-Type",
            "From",
            "Max-Forwards",
            "Min-SE",
            "Session-Expires",
            "Supported",
            "To",
            "User-Agent",
            "Via",
            "X-Call-Hops"
        ]
    );
    for secret in ["198.51.100.7", "secret.example", "203.0.113.10", "alice"] {
        assert!(!invite.text.contains(secret), "{secret} in\n{}", invite.text);
    }
    assert!(invite.body().contains("c=IN IP4 10.0.0.5\r\n"), "{}", invite.body());
}

fn answer_is_ours(ok: &Sent) {
    assert_eq!(ok.header("Server"), "Trunkgate");
    assert_eq!(ok.header("Contact"), "<sip:+14155550100@203.0.113.10:5060>");
    assert!(ok.body().contains("c=IN IP4 203.0.113.10\r\n"), "{}", ok.body());
    assert!(ok.body().contains("RTP/AVP 0 101"), "{}", ok.body());
    for secret in ["10.0.0.20", "10.0.0.5", "bob", "callee"] {
        assert!(!ok.text.contains(secret), "{secret} in\n{}", ok.text);
    }
}

/// Checks the record, and returns the call's SID.
fn record_tells_it_all(bench: &Bench, call_id: &str) -> String {
    let record = &bench.reports[0];
    assert_eq!(bench.reports.len(), 1);
    assert_eq!((record.sip_code, record.q850_cause, record.failovers), (200, 16, 0));
    assert_eq!(record.post_dial_ms, Some(0));
    let call = &record.call;
    assert_eq!((call.outcome, call.reason, call.state), (Some("answered"), Some("caller_hung_up"), "ended"));
    assert_eq!((call.from.as_str(), call.to.as_str(), call.route.as_str()), ("+14155551234", "+14155550100", "main"));
    assert_eq!(call.started_at, "2027-01-15T08:00:00.000Z");
    assert_eq!(call.answered_at.as_deref(), Some("2027-01-15T08:00:02.000Z"));
    assert_eq!(call.ended_at.as_deref(), Some("2027-01-15T08:00:32.000Z"));
    assert_eq!(call.legs.len(), 2);
    assert_eq!(
        (call.legs[0].trunk.as_str(), call.legs[0].direction, call.legs[0].codec.as_str()),
        ("carrier", "inbound", "PCMU")
    );
    assert_eq!((call.legs[1].trunk.as_str(), call.legs[1].direction), ("pbx", "outbound"));
    assert_eq!(call.legs[1].sip_call_id, call_id);
    assert!(call.sid.starts_with("CA") && call.sid.len() == 34 && call.sid != call.legs[1].sid);
    assert!(bench.logs[0].contains("+1415****234 to +1415****100"), "{:?}", bench.logs);
    assert!(!bench.logs.iter().any(|line| line.contains("+14155551234") || line.contains("+14155550100")));
    call.sid.clone()
}

#[test]
fn media_is_bound_while_it_rings_and_wired_by_the_answer() {
    let mut bench = Bench::new();
    let caller = bench.invite(CARRIER, "+14155550100", &offer());
    let early = bench.take_media();
    let ports: Vec<u16> = early
        .iter()
        .filter_map(|c| match c {
            MediaCommand::AddEnd { spec, .. } => Some(spec.bind.port()),
            _ => None,
        })
        .collect();
    assert!(matches!(early[0], MediaCommand::Open { idle_timeout_ms: 60_000, .. }));
    assert_eq!((early.len(), ports.len()), (3, 2));
    bench.expect(CARRIER, "SIP/2.0 100");
    let invite = bench.expect(PBX, "INVITE");
    assert_eq!(invite.port(), ports[1]);
    bench.receive(
        PBX,
        Dialed::new(PBX, invite).answer(200, &sdp("10.0.0.99", 30_000, 1, "0 96", "sendrecv").replace("101", "96")),
    );
    bench.expect(PBX, "ACK");
    assert_eq!(bench.expect(CARRIER, "SIP/2.0 200").port(), ports[0]);
    let media = bench.take_media();
    let remotes: Vec<&RemoteSpec> = media
        .iter()
        .filter_map(|c| match c {
            MediaCommand::SetRemote { remote, .. } => Some(remote),
            _ => None,
        })
        .collect();
    assert_eq!(remotes[0].rtp, Some("198.51.100.7:40000".parse().unwrap()));
    assert_eq!(remotes[0].expected, [ip("198.51.100.7")]);
    assert_eq!(remotes[1].rtp, Some("10.0.0.99:30000".parse().unwrap()));
    assert_eq!(remotes[1].rtcp, Some("10.0.0.99:30001".parse().unwrap()));
    assert_eq!(remotes[1].expected, [ip("10.0.0.99"), ip("10.0.0.20")]);
    assert!(remotes.iter().all(|r| r.may_send && r.may_receive && r.watch_idle));
    let wires: Vec<_> = media
        .iter()
        .filter_map(|c| match c {
            MediaCommand::Wire { wire, .. } => Some(wire.payloads.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(wires.len(), 2);
    assert!(wires[0].contains(&(101, 96)) && wires[1].contains(&(96, 101)), "{wires:?}");
    drop(caller);
}

#[test]
fn the_callee_may_hang_up_too() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.answered();
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE sip:alice@198.51.100.7:5060");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    assert_eq!(bench.reports[0].call.reason, Some("callee_hung_up"));
    bench.finish();
}

#[test]
fn byes_may_cross() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, callee.request("BYE", 1, ""));
    let crossed = bench.next(PBX);
    assert!(matches!(crossed.code(), 200 | 481), "{}", crossed.text);
    bench.receive(PBX, callee.respond(&bye, 481, ""));
    assert_eq!(bench.reports.len(), 1);
    bench.finish();
}

#[test]
fn metrics_count_what_happened() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    let active = |bench: &Bench, trunk: &str| bench.gateway.metrics().calls_active.get(trunk).copied();
    assert_eq!((active(&bench, "carrier"), active(&bench, "pbx")), (Some(1), Some(1)));
    assert_eq!(bench.gateway.metrics().media_ports_in_use, 4);
    caller.cseq = 2;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    let bye = loop {
        let sent = bench.sent.pop_front().unwrap();
        if sent.first_line().starts_with("BYE") {
            break sent;
        }
    };
    bench.receive(PBX, callee.respond(&bye, 200, ""));
    let metrics = bench.gateway.metrics();
    let requests = |trunk: &str, method, direction| {
        metrics.sip.requests.get(&(trunk.into(), method, direction)).copied().unwrap_or_default()
    };
    assert_eq!(requests("carrier", "INVITE", "in"), 1);
    assert_eq!(requests("carrier", "ACK", "in"), 1);
    assert_eq!(requests("pbx", "INVITE", "out"), 1);
    assert_eq!(requests("pbx", "BYE", "out"), 1);
    assert_eq!(metrics.sip.responses.get(&("carrier".into(), "INVITE", 200, "out")), Some(&1));
    assert_eq!(metrics.sip.responses.get(&("pbx".into(), "INVITE", 200, "in")), Some(&1));
    assert_eq!(metrics.calls.get(&("carrier".into(), "main".into(), "answered")), Some(&1));
    assert_eq!(metrics.call_setup_seconds.counts.iter().sum::<u64>(), 1);
    assert_eq!(metrics.call_duration_seconds.counts.iter().sum::<u64>(), 1);
    assert_eq!(metrics.sip.transaction_seconds.counts.iter().sum::<u64>(), 2);
    assert_eq!(metrics.trunk_up.get("pbx"), Some(&true));
    assert_eq!((active(&bench, "carrier"), active(&bench, "pbx")), (Some(0), Some(0)));
    let status = bench.gateway.status(bench.now);
    let pbx = status.trunks.iter().find(|t| t.name == "pbx").unwrap();
    assert_eq!((pbx.state, pbx.answered_ratio, pbx.calls), ("up", Some(1.0), 0));
    bench.finish();
}

/// Returns the caller's and the callee's counters of the answered call.
fn counters(bench: &mut Bench) -> Vec<std::sync::Arc<trunkgate_media::EndCounters>> {
    let commands = bench.take_media().into_iter();
    let of = |command| if let MediaCommand::AddEnd { spec, .. } = command { Some(spec.counters) } else { None };
    commands.filter_map(of).collect()
}

#[test]
fn what_was_heard_of_each_side_is_counted_at_the_end() {
    let silent = [([50, 50], None), ([50, 0], Some("pbx")), ([0, 50], Some("carrier"))];
    for ((heard, verdict), seconds) in silent.into_iter().flat_map(|one| [(one, 0), (one, 4)]) {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        for (end, packets) in counters(&mut bench).iter().zip(heard) {
            end.rx_packets.set(packets);
            end.jitter_us.set(4_000);
        }
        bench.pass(Duration::from_secs(seconds));
        bench.bye(&mut caller, &callee);
        let metrics = bench.gateway.metrics();
        let jitter = &metrics.rtp_jitter_seconds;
        let sides = heard.iter().filter(|packets| **packets > 0).count();
        assert_eq!(jitter.counts.iter().sum::<u64>(), sides as u64);
        assert!((jitter.sum - 0.004 * sides as f64).abs() < 1e-9);
        let one_way: Vec<&str> = metrics.media_one_way.keys().map(|(trunk, _)| &**trunk).collect();
        let expected: Vec<&str> = verdict.filter(|_| seconds > 0).into_iter().collect();
        assert_eq!(one_way, expected, "a shorter call is too short for that");
        let sid = bench.reports[0].call.sid.clone();
        let story = bench.gateway.trace(&sid).unwrap().verdict;
        assert_eq!(story.contains("No media from"), verdict.is_some(), "{story}");
        assert!(verdict.is_none_or(|name| story.contains(&format!(" No media from {name}: no packets "))), "{story}");
        bench.finish();
    }
}
