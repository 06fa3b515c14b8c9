//! Media to an unproven address of the remote party: none after our 2xx, and a limited amount before it, until an ACK,
//! PRACK, UPDATE or response to our request proves the address. RTP proves nothing: its source can be forged as easily.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::time::Duration;

use crate::bench::agents::{agent, agent_table, to_agent};
use crate::bench::credentials::{credentials, shown_inviting};
use crate::bench::early::SUPPORTED;
use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_media::{EndId, MediaCommand, MediaEvent, MediaId, RemoteSpec};
use trunkgate_route::{Agent, AnswerTime, HoldAudio, HoldMode, Trunk};

/// Address of a host that takes no part.
const VICTIM: &str = "203.0.113.200";
/// End of the caller, and of the callee.
const NEAR: EndId = EndId(0);
const FAR: EndId = EndId(1);
const SECOND: Duration = Duration::from_secs(1);

/// Returns an offer with the victim's address.
fn forged() -> String {
    sdp(VICTIM, 40_000, 1, "0 8 101", "sendrecv")
}

fn carrier_with(change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    change(&mut trunks[0]);
    Bench::with(table(trunks, vec![route(vec![to_trunk("pbx"), to_trunk("backup")])]))
}

/// Returns the last remote address that the worker got for an end.
fn remote(bench: &Bench, media: u64, end: EndId) -> Option<RemoteSpec> {
    bench.media.iter().rev().find_map(|(id, command)| match command {
        MediaCommand::SetRemote { end: of, remote } if (*id, *of) == (MediaId(media), end) => Some(remote.clone()),
        _ => None,
    })
}

fn withheld(bench: &Bench, end: EndId) -> bool {
    remote(bench, 0, end).unwrap().withheld
}

/// Returns the media lines in the trace of the newest call.
fn said(bench: &Bench) -> Vec<String> {
    let sid = bench.gateway.calls(bench.now)[0].sid.clone();
    let trace = serde_json::to_value(bench.gateway.trace(&sid).unwrap()).unwrap();
    let entries = trace["entries"].as_array().unwrap().iter();
    let media = entries.filter(|entry| entry["kind"] == "media").map(|entry| entry["text"].as_str().unwrap());
    media.filter(|text| text.contains("withheld") || text.contains("proven")).map(str::to_owned).collect()
}

/// Makes a call from the carrier to the PBX, which has sent early media.
fn early(bench: &mut Bench, extra: &str) -> (Dialing, Dialed, Sent) {
    let (mut caller, callee) = bench.calling(&forged(), extra);
    bench.receive(PBX, callee.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    caller.to_tag = progress.tag("To");
    (caller, callee, progress)
}

/// Makes an answered call without its ACK.
fn unacknowledged(bench: &mut Bench, body: &str) -> (Dialing, Dialed) {
    let (mut caller, callee) = bench.calling(body, "");
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    (caller, callee)
}

#[test]
fn a_forged_invite_to_an_agent_has_nothing_sent_to_its_victim() {
    for answers in [AnswerTime::OnConnect, AnswerTime::Early, AnswerTime::AtOnce] {
        let hold = Some(HoldAudio { first: None, music: Some(vec![0x30; 500].into()) });
        let desk = Agent { answer: answers, hold, ..agent("desk") };
        let mut bench = Bench::with(agent_table(vec![desk], route(vec![to_agent("desk")])));
        bench.invite(CARRIER, "+14155550100", &forged());
        let (agent, _) = bench.asked().remove(0);
        bench.pass(SECOND);
        bench.open(agent);
        assert!(bench.sent.iter().any(|sent| sent.code() == 200));
        let sent_to = |bench: &Bench| remote(bench, 0, NEAR).unwrap();
        assert!(sent_to(&bench).withheld, "{answers:?}");
        assert_eq!(sent_to(&bench).rtp, Some(format!("{VICTIM}:40000").parse().unwrap()));
        // No ACK comes: media is withheld to the end.
        bench.media.clear();
        bench.pass(33 * SECOND);
        assert!(
            bench.media.iter().all(|(_, command)| !matches!(command, MediaCommand::SetRemote { .. })),
            "{answers:?}"
        );
        assert_eq!(bench.reports[0].call.reason, Some("ack_timeout"), "{answers:?}");
    }
}

/// Facts of a trunk or of a call that prove an address at once.
#[test]
fn what_proves_an_address_from_the_start() {
    type Row = (&'static str, fn(&mut Trunk), &'static str, bool);
    let rows: [Row; 7] = [
        ("nothing", |_| {}, VICTIM, true),
        ("the signalling's own address", |_| {}, "198.51.100.7", false),
        ("another peer of the trunk", |t| t.peers.extend(trunk("x", &["203.0.113.200:5060"]).peers), VICTIM, false),
        ("a network of accept_from", |t| t.accept_from.extend(networks()), VICTIM, false),
        ("a network of media_from", |t| t.media_from = vec!["203.0.113.192/26".parse().unwrap()], VICTIM, false),
        (
            "a network of media_from that it is not in",
            |t| t.media_from = vec!["192.0.2.0/24".parse().unwrap()],
            VICTIM,
            true,
        ),
        ("no address: hold", |_| {}, "0.0.0.0", false),
    ];
    for (what, change, ip, expected) in rows {
        let mut bench = carrier_with(change);
        let (mut caller, callee) = unacknowledged(&mut bench, &sdp(ip, 40_000, 1, "0 8 101", "sendrecv"));
        assert_eq!(withheld(&bench, NEAR), expected, "{what}");
        assert!(!withheld(&bench, FAR), "{what}: the callee's answer repeats our branch");
        let told = bench.media.len();
        bench.receive(CARRIER, caller.request("ACK", "", ""));
        assert!(!withheld(&bench, NEAR), "{what}");
        assert_eq!(bench.media.len(), told + usize::from(expected), "{what}");
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

fn networks() -> [ipnet::IpNet; 2] {
    ["198.51.100.7/32", "203.0.113.192/26"].map(|network| network.parse().unwrap())
}

#[test]
fn rtcp_at_an_address_of_its_own_must_be_proven_too() {
    let mut bench = Bench::new();
    let body = format!("{}a=rtcp:40001 IN IP4 {VICTIM}\r\n", offer());
    unacknowledged(&mut bench, &body);
    assert!(withheld(&bench, NEAR));
}

#[test]
fn a_connection_and_credentials_prove_all_addresses() {
    let mut bench = Bench::new();
    let caller = Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: "".into() };
    let bytes = caller.request("INVITE", &forged(), "").replace("SIP/2.0/UDP", "SIP/2.0/TCP").into();
    bench.input(GatewayInput::Received { flow: tcp(CARRIER, 7), bytes });
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    assert!(!withheld(&bench, NEAR));

    let mut bench = carrier_with(|trunk| trunk.require_auth = Some(credentials("right")));
    let mut caller = bench.invite(CARRIER, "+14155550100", &forged());
    let refused = bench.expect(CARRIER, "SIP/2.0 401");
    caller.cseq += 1;
    bench.receive(
        CARRIER,
        caller.request("INVITE", &forged(), &shown_inviting("right", &format!("sip:+14155550100@{PUBLIC}"), &refused)),
    );
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn the_trace_says_what_is_withheld_and_since_when_not() {
    let mut bench = Bench::new();
    let (caller, _) = unacknowledged(&mut bench, &forged());
    let waits = format!("media to {VICTIM}:40000 withheld until the ACK: address not proven");
    assert_eq!(said(&bench), std::slice::from_ref(&waits));
    // Retransmissions of the 200 change nothing.
    bench.pass(2 * SECOND);
    bench.sent.clear();
    assert!(withheld(&bench, NEAR));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert_eq!(said(&bench), [waits, format!("media to {VICTIM}:40000 is no longer withheld: its ACK has come")]);
}

#[test]
fn early_media_is_heard_for_fifteen_seconds_and_nothing_after_our_2xx() {
    let mut bench = Bench::new();
    let (caller, callee, _) = early(&mut bench, "");
    assert!(!withheld(&bench, NEAR));
    bench.pass(15 * SECOND - Duration::from_millis(1));
    assert!(!withheld(&bench, NEAR));
    bench.pass(Duration::from_millis(1));
    assert!(withheld(&bench, NEAR));
    assert_eq!(
        said(&bench),
        [
            format!(
                "early media to {VICTIM}:40000 for 15 s at most: address not proven (1 of 5 unproven early-media calls of trunk carrier)"
            ),
            format!(
                "early media to {VICTIM}:40000 withheld: address not proven after 15 s; write the network of {VICTIM} in `media_from` of [trunk.carrier]"
            ),
        ]
    );
    // Another description of the callee's early media does not restart the time.
    bench.receive(PBX, callee.answer(183, &sdp("10.0.0.20", 30_002, 2, "0 101", "sendrecv")));
    assert!(withheld(&bench, NEAR));
    bench.receive(PBX, callee.answer(200, &sdp("10.0.0.20", 30_002, 2, "0 101", "sendrecv")));
    assert!(withheld(&bench, NEAR));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR));

    let mut bench = Bench::new();
    let (caller, callee, _) = early(&mut bench, "");
    assert!(!withheld(&bench, NEAR));
    bench.receive(PBX, callee.answer(200, ""));
    assert!(withheld(&bench, NEAR), "heard before the 2xx, and not after it");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn so_many_calls_of_a_trunk_hear_early_media_at_addresses_that_are_not_proven() {
    for most in [0, 1, 5] {
        let mut bench = carrier_with(|trunk| trunk.unproven_early_media = most);
        let mut calls = Vec::new();
        for n in 0..u64::from(most) {
            calls.push(early(&mut bench, ""));
            assert!(!remote(&bench, n, NEAR).unwrap().withheld, "{n} of {most}");
        }
        let refused = early(&mut bench, "");
        let n = u64::from(most);
        assert!(remote(&bench, n, NEAR).unwrap().withheld);
        let why = format!("({most} of {most} unproven early-media calls of trunk carrier)");
        assert_eq!(said(&bench), [format!("early media to {VICTIM}:40000 withheld: address not proven {why}")]);
        // A call counts even after its time: otherwise the flood would only be slower.
        bench.pass(16 * SECOND);
        early(&mut bench, "");
        assert!(remote(&bench, n + 1, NEAR).unwrap().withheld);
        // A call with a proven address needs no grant.
        bench.sent.clear();
        let (_, callee) = bench.calling(&offer(), "");
        bench.receive(PBX, callee.answer(183, &answer()));
        let last = bench.media.iter().map(|(id, _)| id.0).max().unwrap();
        assert!(!remote(&bench, last, NEAR).unwrap().withheld);
        drop(refused);
    }
}

/// Returns whether the next call of the carrier gets early media at the victim's address.
fn next_is_heard(bench: &mut Bench) -> (Dialing, bool) {
    bench.sent.clear();
    let (caller, ..) = early(bench, "");
    let last = bench.media.iter().map(|(id, _)| id.0).max().unwrap();
    (caller, !remote(bench, last, NEAR).unwrap().withheld)
}

#[test]
fn a_call_that_ends_without_proof_keeps_its_place_for_a_minute() {
    let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 2);
    // INVITE and CANCEL, repeated: two calls in a minute get early media.
    let mut heard = 0;
    for _ in 0..30 {
        let (caller, is_heard) = next_is_heard(&mut bench);
        heard += u32::from(is_heard);
        bench.receive(CARRIER, Dialing { to_tag: String::new(), ..caller }.request("CANCEL", "", ""));
        bench.pass(SECOND);
    }
    assert_eq!(heard, 2);
    bench.pass(30 * SECOND);
    let (first, is_heard) = next_is_heard(&mut bench);
    assert!(is_heard, "a minute after the first one");
    // The call keeps its grant for sixteen more seconds, after which its time is over.
    bench.pass(16 * SECOND);
    assert!(next_is_heard(&mut bench).1 && !next_is_heard(&mut bench).1);
    bench.receive(CARRIER, Dialing { to_tag: String::new(), ..first }.request("CANCEL", "", ""));
    bench.pass(44 * SECOND - Duration::from_millis(1));
    assert!(!next_is_heard(&mut bench).1);
    bench.pass(Duration::from_millis(1));
    assert!(next_is_heard(&mut bench).1);
}

#[test]
fn the_place_of_a_call_that_is_proven_is_free_at_once() {
    let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 1);
    let (caller, callee, _) = early(&mut bench, "");
    bench.receive(PBX, callee.answer(200, &answer()));
    assert!(!next_is_heard(&mut bench).1);
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(next_is_heard(&mut bench).1);
}

#[test]
fn rtp_of_the_announced_address_proves_nothing() {
    let source = format!("{VICTIM}:40000").parse().unwrap();
    let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 1);
    let (caller, callee, _) = early(&mut bench, "");
    bench.news(MediaEvent::Latched { end: NEAR, source });
    assert!(!withheld(&bench, NEAR));
    bench.pass(15 * SECOND);
    assert!(withheld(&bench, NEAR), "its time is over");
    bench.news(MediaEvent::Latched { end: NEAR, source });
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.news(MediaEvent::Latched { end: NEAR, source });
    assert!(withheld(&bench, NEAR));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn a_phone_behind_nat_needs_no_place() {
    let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 1);
    let private = sdp("10.9.9.9", 40_000, 1, "0 8 101", "sendrecv");
    let (mut caller, callee) = bench.calling(&private, "");
    // The announced address stays withheld; the worker sends to the source of the RTP.
    bench.news(MediaEvent::Latched { end: NEAR, source: "198.51.100.7:61000".parse().unwrap() });
    bench.receive(PBX, callee.answer(183, &answer()));
    caller.to_tag = bench.expect(CARRIER, "SIP/2.0 183").tag("To");
    assert!(withheld(&bench, NEAR));
    assert!(next_is_heard(&mut bench).1);
    bench.input(GatewayInput::Media {
        id: MediaId(0),
        event: MediaEvent::Latched { end: NEAR, source: "10.9.9.9:40000".parse().unwrap() },
    });
    assert!(remote(&bench, 0, NEAR).unwrap().withheld);
    bench.receive(CARRIER, caller.request("CANCEL", "", ""));
}

#[test]
fn rtp_of_a_proven_source_gives_no_new_time() {
    let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 1);
    early(&mut bench, "");
    // Forged packets from the trunk's address and the victim's, in turn.
    for _ in 0..4 {
        assert!(!withheld(&bench, NEAR));
        bench.pass(2 * SECOND);
        bench.news(MediaEvent::Latched { end: NEAR, source: "198.51.100.7:61000".parse().unwrap() });
        assert!(withheld(&bench, NEAR));
        bench.news(MediaEvent::Latched { end: NEAR, source: format!("{VICTIM}:40000").parse().unwrap() });
    }
    bench.pass(7 * SECOND);
    assert!(withheld(&bench, NEAR), "15 s in all");
    bench.news(MediaEvent::Latched { end: NEAR, source: "198.51.100.7:61000".parse().unwrap() });
    bench.news(MediaEvent::Latched { end: NEAR, source: format!("{VICTIM}:40000").parse().unwrap() });
    assert!(withheld(&bench, NEAR));
    assert!(!next_is_heard(&mut bench).1, "its place is taken");
}

#[test]
fn prack_and_update_clear_early_media_for_good() {
    for by in ["PRACK", "UPDATE"] {
        let mut bench = carrier_with(|trunk| trunk.unproven_early_media = 0);
        let (mut caller, callee, progress) = early(&mut bench, if by == "PRACK" { SUPPORTED } else { "" });
        assert!(withheld(&bench, NEAR), "{by}");
        match by {
            "PRACK" => bench.prack(&mut caller, &progress, ""),
            _ => {
                caller.cseq += 1;
                bench.receive(CARRIER, caller.request("UPDATE", "", ""));
            }
        }
        bench.sent.clear();
        assert!(!withheld(&bench, NEAR), "{by}");
        bench.pass(16 * SECOND);
        bench.receive(PBX, callee.answer(200, ""));
        assert!(!withheld(&bench, NEAR), "{by}");
    }
}

#[test]
fn an_answer_in_an_ack_or_a_prack_is_its_own_proof() {
    let mut bench = Bench::new();
    let (caller, callee) = bench.calling("", "");
    bench.receive(PBX, callee.answer(200, &answer()));
    let to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
    assert_eq!(remote(&bench, 0, NEAR), None);
    bench.receive(CARRIER, Dialing { to_tag, ..caller }.request("ACK", &forged(), ""));
    assert!(!withheld(&bench, NEAR));

    let mut bench = Bench::new();
    let (mut caller, callee) = bench.calling("", SUPPORTED);
    bench.receive(PBX, callee.answer(183, &answer()));
    let progress = bench.expect(CARRIER, "SIP/2.0 183");
    bench.prack(&mut caller, &progress, &forged());
    assert!(!withheld(&bench, NEAR));
}

/// Returns the offer of a side with a new media address.
fn moved(version: u64, formats: &str, direction: &str) -> String {
    sdp(VICTIM, 40_000, version, formats, direction)
}

#[test]
fn a_re_invite_that_moves_media_is_proven_by_its_own_ack() {
    for from_caller in [true, false] {
        let mut bench = Bench::new();
        let (mut caller, callee) = bench.answered();
        let (from, to, end) = if from_caller { (CARRIER, PBX, NEAR) } else { (PBX, CARRIER, FAR) };
        let body = moved(2, "0 101", "sendrecv");
        caller.cseq += 1;
        let request = |method: &str, body: &str| match from_caller {
            true => caller.request(method, body, ""),
            false => callee.request(method, 5, body),
        };
        bench.receive(from, request("INVITE", &body));
        bench.expect(from, "SIP/2.0 100");
        let asked = bench.expect(to, "INVITE");
        let answered = match from_caller {
            true => callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendrecv")),
            false => caller.respond(&asked, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "sendrecv")),
        };
        bench.receive(to, answered);
        bench.expect(from, "SIP/2.0 200");
        assert!(withheld(&bench, end), "{from}");
        assert!(
            !withheld(&bench, if from_caller { FAR } else { NEAR }),
            "{from}: the other side's answer is its proof"
        );
        // A retransmission of the ACK to the first INVITE proves nothing.
        if from_caller {
            bench.receive(CARRIER, Dialing { cseq: 1, ..caller.clone() }.request("ACK", "", ""));
            assert!(withheld(&bench, end));
        }
        bench.receive(from, request("ACK", ""));
        assert!(!withheld(&bench, end), "{from}");
        // A proven address stays proven: a port changes, and nothing is withheld.
        bench.media.clear();
        bench.sent.clear();
        caller.cseq += 1;
        let again = moved(3, "0 101", "sendrecv").replace("40000", "40002");
        let again = match from_caller {
            true => caller.request("INVITE", &again, ""),
            false => callee.request("INVITE", 6, &again),
        };
        bench.receive(from, again);
        let asked = bench.expect(to, "INVITE");
        let answered = match from_caller {
            true => callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")),
            false => caller.respond(&asked, 200, &sdp("198.51.100.7", 40_000, 3, "0 101", "sendrecv")),
        };
        bench.receive(to, answered);
        assert_eq!(remote(&bench, 0, end).unwrap().rtp, Some(format!("{VICTIM}:40002").parse().unwrap()));
        assert!(!withheld(&bench, end), "{from}");
    }
}

#[test]
fn a_re_invite_that_the_edge_answers_itself_is_no_other() {
    // A local hold, and a caller that is connected with an agent.
    let mut bench = carrier_with(|trunk| trunk.hold = HoldMode::Local);
    let (mut caller, _) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved(2, "0 8 101", "sendonly"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    assert!(withheld(&bench, NEAR));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR));

    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, ..) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved(2, "0 8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 200");
    assert!(withheld(&bench, NEAR));
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn an_update_that_moves_media_repeats_our_tag_and_is_its_own_proof() {
    let mut bench = Bench::with_agents(vec![to_agent("desk")]);
    let (mut caller, ..) = bench.talking();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("UPDATE", &moved(2, "0 8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(remote(&bench, 0, NEAR).unwrap().rtp, Some(format!("{VICTIM}:40000").parse().unwrap()));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn an_answer_to_a_re_invite_of_ours_is_its_own_proof_after_one_that_was_refused() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    // The caller's own re-INVITE is refused by the callee.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved(2, "0 8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 488, ""));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 488");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    assert!(!withheld(&bench, NEAR), "nothing has changed");
    bench.media.clear();
    // The callee requests a session change, and the caller's answer has a new address.
    bench.receive(PBX, callee.request("INVITE", 9, &sdp("10.0.0.20", 30_002, 2, "0 101", "sendrecv")));
    bench.expect(PBX, "SIP/2.0 100");
    let asked = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&asked, 200, &moved(3, "0 101", "sendrecv")));
    assert_eq!(remote(&bench, 0, NEAR).unwrap().rtp, Some(format!("{VICTIM}:40000").parse().unwrap()));
    assert!(!withheld(&bench, NEAR));
}

#[test]
fn an_invite_that_replaces_a_leg_is_withheld_until_its_ack() {
    let mut bench = Bench::new();
    let (_, callee) = bench.answered();
    let invite = &callee.invite;
    let dialog = format!("{};to-tag={};from-tag={}", invite.header("Call-ID"), invite.tag("From"), callee.tag);
    let mut new = Dialing { peer: PBX.into(), number: "+14155550199".into(), call: 9, cseq: 1, to_tag: String::new() };
    let body = moved(1, "0 101", "sendrecv");
    bench.receive(PBX, new.request("INVITE", &body, &format!("Replaces: {dialog}\r\n")));
    bench.expect(PBX, "SIP/2.0 100");
    let asked = bench.expect(CARRIER, "INVITE");
    let answered = sdp("198.51.100.7", 40_000, 2, "0 101", "sendrecv");
    let caller = Dialing { peer: CARRIER.into(), number: "+14155550100".into(), call: 1, cseq: 1, to_tag: "".into() };
    bench.receive(CARRIER, caller.respond(&asked, 200, &answered));
    new.to_tag = bench.expect(PBX, "SIP/2.0 200").tag("To");
    let end = bench.media.iter().rev().find_map(|(_, command)| match command {
        MediaCommand::SetRemote { end, remote } if remote.rtp.is_some_and(|rtp| rtp.ip() == ip(VICTIM)) => Some(*end),
        _ => None,
    });
    let end = end.unwrap();
    assert!(withheld(&bench, end));
    bench.receive(PBX, new.request("ACK", "", ""));
    assert!(!withheld(&bench, end));
}

#[test]
fn a_restart_does_not_wait_for_an_ack_that_is_recognised_no_more() {
    let mut bench = Bench::new();
    let (mut caller, callee) = bench.answered();
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &moved(2, "0 8 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendrecv")));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert!(withheld(&bench, NEAR));
    bench.restart(table(usual_trunks(), vec![route(vec![to_trunk("pbx")])]));
    assert!(!withheld(&bench, NEAR));
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp(VICTIM, 41_000, 3, "0 8 101", "sendrecv"), ""));
    let asked = bench.expect(PBX, "INVITE");
    bench.receive(PBX, callee.respond(&asked, 200, &sdp("10.0.0.20", 30_000, 3, "0 101", "sendrecv")));
    assert!(!withheld(&bench, NEAR), "the same address");
}
