//! INVITE with Replaces (RFC 3891): a peer of a trunk replaces another leg of that trunk.

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;

use crate::bench::agents::{agent, agent_table, hang_up, to_agent};
use crate::bench::*;
use trunkgate_call::GatewayInput;
use trunkgate_media::{AgentEvent, MediaCommand, MediaEvent};
use trunkgate_route::{
    HoldMode, NumberingPlan, Pattern, ReferMode, ReinviteMode, Route, RoutingTable, TableDefinition, Trunk,
};

fn with(change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(change);
    let (numbers, routes) = (NumberingPlan::new("US").unwrap(), vec![route(vec![to_trunk("pbx")])]);
    Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes })))
}

/// Returns another phone of a trunk, which has not called yet.
fn newcomer(peer: &str) -> Dialing {
    Dialing { peer: peer.into(), number: "+14155550199".into(), call: 9, cseq: 1, to_tag: String::new() }
}

/// Returns the callee's dialog from the callee's point of view.
fn callee_dialog(callee: &Dialed) -> String {
    let invite = &callee.invite;
    format!("{};to-tag={};from-tag={}", invite.header("Call-ID"), invite.tag("From"), callee.tag)
}

/// Returns the caller's dialog from the caller's point of view.
fn caller_dialog(caller: &Dialing) -> String {
    format!("call-{0}@secret.example;to-tag={1};from-tag=a{0}", caller.call, caller.to_tag)
}

fn replaces(dialog: &str) -> String {
    format!("Replaces: {dialog}\r\n")
}

/// Sends the newcomer's INVITE, and returns the re-INVITE to the remote party.
fn asked(bench: &mut Bench, new: &Dialing, offer: &str, dialog: &str, far: &str) -> Sent {
    bench.receive(&new.peer, new.request("INVITE", offer, &replaces(dialog)));
    bench.expect(&new.peer, "SIP/2.0 100");
    let asked = bench.expect(far, "INVITE");
    bench.nothing();
    asked
}

/// Answers the newcomer, which acknowledges; the replaced leg gets BYE.
fn answered(bench: &mut Bench, new: &mut Dialing, old: impl Fn(&Sent) -> String, old_peer: &str) -> Sent {
    let (ok, bye) = (bench.expect(&new.peer, "SIP/2.0 200"), bench.expect(old_peer, "BYE"));
    new.to_tag = ok.tag("To");
    bench.receive(&new.peer, new.request("ACK", "", ""));
    bench.receive(old_peer, old(&bye));
    bench.nothing();
    ok
}

/// Hangs up the caller's call with the newcomer.
fn caller_hangs_up(mut bench: Bench, caller: &mut Dialing, new: &Dialing) {
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, new.respond(&bye, 200, ""));
    bench.finish();
}

fn phone(port: u16) -> String {
    sdp("10.0.0.20", port, 1, "0 8 101", "sendrecv")
}

fn far_answer(version: u64) -> String {
    sdp("198.51.100.7", 40_000, version, "0 101", "sendrecv")
}

fn busy_trunks(bench: &Bench) -> Vec<(String, u64)> {
    let trunks = bench.gateway.status(bench.now).trunks.into_iter();
    trunks.map(|trunk| (trunk.name.clone(), trunk.calls)).filter(|(_, calls)| *calls > 0).collect()
}

#[test]
fn rfc3891_3_another_phone_replaces_the_callee() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    let before = (busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use);
    bench.take_media();
    let mut new = newcomer(PBX);
    let change = asked(&mut bench, &new, &phone(30_020), &callee_dialog(&callee), CARRIER);
    assert!(!change.text.contains("10.0.0.20") && !change.text.contains("Replaces"), "{}", change.text);
    bench.receive(CARRIER, caller.respond(&change, 200, &far_answer(2)));
    bench.expect(CARRIER, "ACK");
    let ok = answered(&mut bench, &mut new, |bye| callee.respond(bye, 200, ""), PBX);
    assert!(ok.header("Supported").contains("replaces") && ok.body().contains("RTP/AVP 0 101"), "{}", ok.text);
    assert_ne!(ok.port(), callee.invite.port(), "ports of its own");
    let media = bench.take_media();
    assert_eq!(media.iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count(), 2, "{media:?}");
    assert_eq!((busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use), before);
    let call = &bench.gateway.calls(bench.now)[0];
    let legs: Vec<_> = call.legs.iter().map(|leg| (&*leg.trunk, leg.state, leg.reason)).collect();
    let gone = ("pbx", "ended", Some("transferred"));
    assert_eq!(legs, [("carrier", "answered", None), gone, ("pbx", "answered", None)]);
    let trace =
        serde_json::to_string(&bench.gateway.trace("last").or(bench.gateway.trace(&call.sid)).unwrap()).unwrap();
    assert!(trace.contains("pbx replaced pbx"), "{trace}");
    // Both are sides of the call: a hold is relayed from one to the other.
    new.cseq += 1;
    bench.receive(PBX, new.request("INVITE", &sdp("10.0.0.20", 30_020, 2, "0 101", "sendonly"), ""));
    bench.expect(PBX, "SIP/2.0 100");
    let hold = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 3, "0 101", "recvonly")));
    bench.expect(CARRIER, "ACK");
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(PBX, new.request("ACK", "", ""));
    caller_hangs_up(bench, &mut caller, &new);
}

#[test]
fn the_callers_place_is_taken_as_well_and_the_call_outlives_a_restart() {
    let mut bench = with(|_| {});
    let (caller, callee) = bench.answered();
    let mut new = newcomer(CARRIER);
    let offer = sdp("198.51.100.7", 40_020, 1, "0 101", "sendrecv");
    let change = asked(&mut bench, &new, &offer, &caller_dialog(&caller), PBX);
    bench.receive(PBX, callee.respond(&change, 200, &answer()));
    bench.expect(PBX, "ACK");
    answered(&mut bench, &mut new, |bye| caller.respond(bye, 200, ""), CARRIER);
    let numbers = NumberingPlan::new("US").unwrap();
    bench.restart(Arc::new(RoutingTable::new(TableDefinition {
        numbers,
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![],
    })));
    bench.receive(PBX, callee.request("BYE", 1, ""));
    bench.expect(PBX, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    assert_eq!(bye.header("Call-ID"), "call-9@secret.example");
    bench.receive(CARRIER, new.respond(&bye, 200, ""));
    bench.pass(std::time::Duration::from_secs(80));
    assert_eq!(bench.gateway.live_calls(), 0);
}

#[test]
fn a_far_side_that_is_sent_no_changes_keeps_its_session() {
    let mut bench = with(|trunk| {
        if &*trunk.name == "carrier" {
            trunk.reinvite = ReinviteMode::Local;
        }
    });
    let (mut caller, callee) = bench.answered();
    let before = (busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use);
    let g729 = Dialing { call: 10, ..newcomer(PBX) };
    let offer = sdp("10.0.0.20", 30_020, 1, "18", "sendrecv");
    bench.receive(PBX, g729.request("INVITE", &offer, &replaces(&callee_dialog(&callee))));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 488");
    bench.receive(PBX, g729.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let mut new = newcomer(PBX);
    bench.receive(PBX, new.request("INVITE", &phone(30_020), &replaces(&callee_dialog(&callee))));
    bench.expect(PBX, "SIP/2.0 100");
    let ok = answered(&mut bench, &mut new, |bye| callee.respond(bye, 200, ""), PBX);
    assert!(ok.body().contains("RTP/AVP 0 101"), "{}", ok.text);
    assert_eq!((busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use), before);
    assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    caller_hangs_up(bench, &mut caller, &new);
}

#[test]
fn an_invite_without_an_offer_gets_what_the_far_side_has_agreed_on() {
    for mode in [HoldMode::Relay, HoldMode::Local] {
        let mut bench = with(|trunk| trunk.hold = mode);
        let (mut caller, callee) = bench.answered();
        bench.receive(PBX, callee.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
        bench.expect(PBX, "SIP/2.0 100");
        if mode == HoldMode::Relay {
            let hold = bench.expect(CARRIER, "INVITE");
            bench.receive(CARRIER, caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly")));
            bench.expect(CARRIER, "ACK");
        }
        bench.expect(PBX, "SIP/2.0 200");
        bench.receive(PBX, callee.request("ACK", 1, ""));
        let mut new = newcomer(PBX);
        bench.receive(PBX, new.request("INVITE", "", &replaces(&callee_dialog(&callee))));
        bench.expect(PBX, "SIP/2.0 100");
        let ok = bench.expect(PBX, "SIP/2.0 200");
        assert!(ok.body().contains("RTP/AVP 0 8 107 101") && ok.body().contains("a=sendrecv"), "{}", ok.text);
        new.to_tag = ok.tag("To");
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, callee.respond(&bye, 200, ""));
        bench.nothing();
        bench.take_media();
        bench.receive(PBX, new.request("ACK", &phone(30_020), ""));
        let media = bench.take_media();
        let to_it = |command: &&MediaCommand| matches!(command, MediaCommand::SetRemote { remote, .. } if remote.rtp.is_some_and(|rtp| rtp.port() == 30_020));
        assert_eq!(media.iter().filter(to_it).count(), 1, "{media:?}");
        if mode == HoldMode::Relay {
            let resumed = bench.expect(CARRIER, "INVITE");
            assert!(resumed.body().contains("a=sendrecv"), "{}", resumed.text);
            bench.receive(CARRIER, caller.respond(&resumed, 200, &far_answer(3)));
            bench.expect(CARRIER, "ACK");
        }
        bench.nothing();
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
        caller_hangs_up(bench, &mut caller, &new);
    }
}

#[test]
fn where_the_far_side_does_not_take_it_the_call_stays_as_it_was() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    let before = (busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use);
    for (call, answer) in [(9, 488), (10, 200), (11, 0)] {
        let new = Dialing { call, ..newcomer(PBX) };
        let change = asked(&mut bench, &new, &phone(30_020), &callee_dialog(&callee), CARRIER);
        let version = u64::from(call);
        match answer {
            488 => {
                bench.receive(CARRIER, caller.respond(&change, 488, ""));
                bench.expect(CARRIER, "ACK");
                bench.expect(PBX, "SIP/2.0 488");
            }
            // The answer is unusable or too late: the remote party is restored.
            code => {
                let formats = if code == 200 { "18" } else { "0 101" };
                if code == 0 {
                    bench.receive(PBX, new.request("CANCEL", "", ""));
                    bench.expect(PBX, "SIP/2.0 200");
                    bench.expect(PBX, "SIP/2.0 487");
                    bench.receive(PBX, new.request("ACK", "", ""));
                }
                bench.receive(
                    CARRIER,
                    caller.respond(&change, 200, &sdp("198.51.100.7", 40_000, version, formats, "sendrecv")),
                );
                bench.expect(CARRIER, "ACK");
                let again = bench.expect(CARRIER, "INVITE");
                bench.receive(CARRIER, caller.respond(&again, 200, &far_answer(version + 10)));
                bench.expect(CARRIER, "ACK");
                if code == 200 {
                    bench.expect(PBX, "SIP/2.0 488");
                }
            }
        }
        if answer != 0 {
            bench.receive(PBX, new.request("ACK", "", ""));
        }
        bench.nothing();
        assert_eq!((busy_trunks(&bench), bench.gateway.status(bench.now).ports_in_use), before, "{answer}");
        assert_eq!(bench.gateway.calls(bench.now)[0].state, "answered");
    }
    bench.bye(&mut caller, &callee);
    bench.finish();
}

#[test]
fn whoever_hangs_up_meanwhile_ends_the_call_for_the_newcomer_too() {
    for by_far_side in [true, false] {
        let mut bench = with(|_| {});
        let (mut caller, callee) = bench.answered();
        let new = newcomer(PBX);
        let change = asked(&mut bench, &new, &phone(30_020), &callee_dialog(&callee), CARRIER);
        if by_far_side {
            caller.cseq += 1;
            bench.receive(CARRIER, caller.request("BYE", "", ""));
            bench.expect(CARRIER, "SIP/2.0 200");
            bench.expect(PBX, "SIP/2.0 487");
            let bye = bench.expect(PBX, "BYE");
            bench.receive(PBX, callee.respond(&bye, 200, ""));
        } else {
            bench.receive(PBX, callee.request("BYE", 1, ""));
            bench.expect(PBX, "SIP/2.0 200");
            bench.expect(PBX, "SIP/2.0 487");
            bench.receive(CARRIER, caller.respond(&change, 488, ""));
            bench.sent.retain(|sent| !sent.first_line().starts_with("ACK"));
            let bye = bench.expect(CARRIER, "BYE");
            bench.receive(CARRIER, caller.respond(&bye, 200, ""));
        }
        bench.receive(PBX, new.request("ACK", "", ""));
        bench.finish();
    }
}

#[test]
fn rfc3891_3_who_names_nothing_that_it_may_replace_is_refused() {
    let mut bench = with(|_| {});
    let (mut caller, callee) = bench.answered();
    let dialog = callee_dialog(&callee);
    let (call_id, tags) = dialog.split_once(';').unwrap();
    let swapped =
        |dialog: &str| dialog.replace("to-tag=", "\0").replace("from-tag=", "to-tag=").replace('\0', "from-tag=");
    let mut call = 20;
    let mut refused = |bench: &mut Bench, peer: &str, headers: &str, code: u16| {
        call += 1;
        let new = Dialing { call, ..newcomer(peer) };
        bench.receive(
            peer,
            new.request("INVITE", &sdp(peer.split(':').next().unwrap(), 30_020, 1, "0", "sendrecv"), headers),
        );
        bench.expect(peer, "SIP/2.0 100");
        assert_eq!(bench.next(peer).code(), code, "{headers}");
        bench.receive(peer, new.request("ACK", "", ""));
        bench.nothing();
    };
    for (peer, headers, code) in [
        (PBX, replaces(&format!("other;{tags}")), 481),
        (PBX, replaces(&format!("{call_id};to-tag=x;from-tag=callee")), 481),
        (PBX, replaces(&format!("{dialog};early-only")), 486),
        // Swapped tags name no dialog.
        (PBX, replaces(&swapped(&dialog)), 481),
        (CARRIER, replaces(&swapped(&caller_dialog(&caller))), 481),
        (PBX, replaces(call_id), 400),
        (PBX, format!("{0}{0}", replaces(&dialog)), 400),
        (PBX, format!("{}Join: {dialog}\r\n", replaces(&dialog)), 400),
        // Another trunk's dialog is not found, even by its correct name.
        (BACKUP, replaces(&dialog), 481),
        (CARRIER, replaces(&dialog), 481),
        (BACKUP, replaces(&caller_dialog(&caller)), 481),
    ] {
        refused(&mut bench, peer, &headers, code);
    }
    // A session change is in progress.
    caller.cseq += 1;
    bench.receive(CARRIER, caller.request("INVITE", &sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    let change = bench.expect(PBX, "INVITE");
    refused(&mut bench, PBX, &replaces(&dialog), 491);
    bench.receive(PBX, callee.respond(&change, 200, &answer()));
    bench.expect(PBX, "ACK");
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.receive(CARRIER, caller.request("ACK", "", ""));
    bench.bye(&mut caller, &callee);
    refused(&mut bench, PBX, &replaces(&dialog), 603);
    refused(&mut bench, BACKUP, &replaces(&dialog), 481);
    // A dialog that rings.
    let ringing = bench.invite(CARRIER, "+14155550100", &offer());
    bench.expect(CARRIER, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(180, ""));
    bench.expect(CARRIER, "SIP/2.0 180");
    refused(&mut bench, PBX, &replaces(&callee_dialog(&callee)), 481);
    bench.receive(CARRIER, ringing.request("CANCEL", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    bench.expect(CARRIER, "SIP/2.0 487");
    bench.receive(CARRIER, ringing.request("ACK", "", ""));
    let cancel = bench.expect(PBX, "CANCEL");
    bench.receive(PBX, callee.respond(&cancel, 200, ""));
    bench.receive(PBX, callee.answer(487, ""));
    bench.expect(PBX, "ACK");
    bench.finish();
}

#[test]
fn rfc3891_6_2_the_option_tag_stands_where_it_is_true() {
    for mode in [ReferMode::Local, ReferMode::Relay, ReferMode::Refuse] {
        let mut bench = with(|trunk| trunk.refer = mode);
        let (mut caller, callee) = bench.answered();
        let may = mode != ReferMode::Refuse;
        assert_eq!(callee.invite.header("Supported").contains("replaces"), may);
        assert_eq!(callee.invite.header("Allow").contains("REFER"), may);
        assert!(callee.invite.header("Allow").contains("NOTIFY"));
        let dialog = callee_dialog(&callee);
        for (call, required, code) in [(9, "", 100), (10, "Require: replaces\r\n", if may { 100 } else { 420 })] {
            let new = Dialing { call, ..newcomer(PBX) };
            let headers = format!("{required}{}", replaces(&dialog));
            bench.receive(PBX, new.request("INVITE", &phone(30_020), &headers));
            assert_eq!(bench.next(PBX).code(), code, "{mode:?} {required}");
            if may {
                let change = bench.expect(CARRIER, "INVITE");
                bench.receive(CARRIER, caller.respond(&change, 488, ""));
                bench.expect(CARRIER, "ACK");
                bench.expect(PBX, "SIP/2.0 488");
            } else if code == 100 {
                bench.expect(PBX, "SIP/2.0 403");
            }
            bench.receive(PBX, new.request("ACK", "", ""));
            bench.nothing();
        }
        bench.bye(&mut caller, &callee);
        bench.finish();
    }
}

#[test]
fn the_far_side_of_a_relayed_transfer_names_the_dialog_as_it_knows_it() {
    // Both remote parties are behind the carrier: one of them calls with the names of the other's dialog.
    let mut bench = with(|trunk| trunk.refer = ReferMode::Relay);
    let (caller, callee) = bench.answered();
    let (mut other, by) = bench.answered();
    let mut new = newcomer(CARRIER);
    let from_afar = format!("call-1@secret.example;to-tag=a1;from-tag={}", caller.to_tag);
    // The phone transfers the other party to it, and the REFER is relayed.
    let named = callee_dialog(&callee).replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    let refer_to = format!("Refer-To: <sip:+14155550100@203.0.113.10?Replaces={named}>\r\n");
    let refer = by.request("REFER", 1, "");
    bench.receive(PBX, refer.replace("Content-Length:", &format!("{refer_to}Content-Length:")));
    let refer = bench.expect(CARRIER, "REFER");
    let passed = from_afar.replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    assert!(refer.header("Refer-To").contains(&passed), "{}", refer.text);
    bench.receive(CARRIER, other.respond(&refer, 202, ""));
    bench.expect(PBX, "SIP/2.0 202");
    bench.bye(&mut other, &by);
    let offer = sdp("198.51.100.7", 40_020, 1, "0 101", "sendrecv");
    // The newcomer replaces the transferring phone in the call of the named dialog.
    let change = asked(&mut bench, &new, &offer, &from_afar, CARRIER);
    assert_eq!(change.header("Call-ID"), "call-1@secret.example");
    bench.receive(CARRIER, caller.respond(&change, 200, &far_answer(2)));
    bench.expect(CARRIER, "ACK");
    answered(&mut bench, &mut new, |bye| callee.respond(bye, 200, ""), PBX);
    assert_eq!(busy_trunks(&bench), [("carrier".to_owned(), 2)]);
    new.cseq += 1;
    bench.receive(CARRIER, new.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn the_two_calls_of_a_relayed_transfer_may_be_of_different_trunks() {
    let mut bench = with(|trunk| trunk.refer = ReferMode::Relay);
    // The phone is connected with the backup and with the carrier, and connects the carrier with the backup.
    let mut caller = bench.invite(BACKUP, "+14155550100", &sdp("10.0.0.30", 40_000, 1, "0 101", "sendrecv"));
    bench.expect(BACKUP, "SIP/2.0 100");
    let callee = Dialed::new(PBX, bench.expect(PBX, "INVITE"));
    bench.receive(PBX, callee.answer(200, &answer()));
    bench.expect(PBX, "ACK");
    caller.to_tag = bench.expect(BACKUP, "SIP/2.0 200").tag("To");
    bench.receive(BACKUP, caller.request("ACK", "", ""));
    let (mut other, by) = bench.answered();
    let named = callee_dialog(&callee).replace('@', "%40").replace(';', "%3B").replace('=', "%3D");
    let refer_to = format!("Refer-To: <sip:+14155550100@203.0.113.10?Replaces={named}>\r\n");
    let refer = by.request("REFER", 1, "");
    bench.receive(PBX, refer.replace("Content-Length:", &format!("{refer_to}Content-Length:")));
    let refer = bench.expect(CARRIER, "REFER");
    bench.receive(CARRIER, other.respond(&refer, 202, ""));
    bench.expect(PBX, "SIP/2.0 202");
    let from_afar = format!("call-1@secret.example;to-tag=a1;from-tag={}", caller.to_tag);
    let offer = sdp("198.51.100.7", 40_020, 1, "0 101", "sendrecv");
    // Only the party that got the name may use it.
    let thief = newcomer(PBX);
    bench.receive(PBX, thief.request("INVITE", &phone(30_020), &replaces(&from_afar)));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 481");
    bench.receive(PBX, thief.request("ACK", "", "").replace("-ACK-", "-INVITE-"));
    let mut new = Dialing { call: 10, ..newcomer(CARRIER) };
    let change = asked(&mut bench, &new, &offer, &from_afar, BACKUP);
    bench.receive(BACKUP, caller.respond(&change, 200, &sdp("10.0.0.30", 40_000, 2, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    answered(&mut bench, &mut new, |bye| callee.respond(bye, 200, ""), PBX);
    bench.bye(&mut other, &by);
    assert_eq!(busy_trunks(&bench), [("carrier".to_owned(), 1), ("backup".to_owned(), 1)]);
    new.cseq += 1;
    bench.receive(CARRIER, new.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn an_agent_is_no_far_side_for_a_newcomer() {
    let mut bench = Bench::with(agent_table(vec![agent("desk")], route(vec![to_agent("desk")])));
    let (mut caller, _, _) = bench.talking();
    let new = newcomer(CARRIER);
    bench.receive(CARRIER, new.request("INVITE", &offer(), &replaces(&caller_dialog(&caller))));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 403");
    bench.receive(CARRIER, new.request("ACK", "", ""));
    hang_up(&mut bench, &mut caller);
    bench.finish();
}

#[test]
fn an_agent_is_no_side_of_a_join() {
    for mode in [ReferMode::Local, ReferMode::Relay] {
        let to = |prefix: &str, target| Route { to: vec![Pattern::parse(prefix).unwrap()], ..route(vec![target]) };
        let routes = vec![to("+1415*", to_trunk("pbx")), to("+1212*", to_agent("desk"))];
        let mut trunks = usual_trunks();
        trunks.iter_mut().for_each(|trunk| trunk.refer = mode);
        let numbers = NumberingPlan::new("US").unwrap();
        let definition = TableDefinition { numbers, trunks, agents: vec![agent("desk")], routes };
        let mut bench = Bench::with(Arc::new(RoutingTable::new(definition)));
        let (mut first, callee) = bench.answered();
        // Its other call is with an agent.
        let mut second = bench.invite(CARRIER, "+12125550100", &offer());
        bench.expect(CARRIER, "SIP/2.0 100");
        bench.expect(CARRIER, "SIP/2.0 180");
        let mut asked = bench.media.iter().rev();
        let (id, end) = asked
            .find_map(|(id, command)| match command {
                MediaCommand::AddAgent { end, .. } => Some((*id, *end)),
                _ => None,
            })
            .unwrap();
        bench.input(GatewayInput::Media { id, event: MediaEvent::Agent { end, event: AgentEvent::Open } });
        second.to_tag = bench.expect(CARRIER, "SIP/2.0 200").tag("To");
        bench.receive(CARRIER, second.request("ACK", "", ""));
        let dialog = format!("call-{0}%40secret.example%3Bto-tag%3D{1}%3Bfrom-tag%3Da{0}", second.call, second.to_tag);
        let other = format!("call-{0}%40secret.example%3Bto-tag%3D{1}%3Bfrom-tag%3Da{0}", first.call, first.to_tag);
        // Neither in the call with the PBX, nor in the one with the agent.
        for (by, named) in [(&mut first, &dialog), (&mut second, &other)] {
            by.cseq += 1;
            let target = format!("Refer-To: <sip:+12125550100@203.0.113.10?Replaces={named}>\r\n");
            bench.receive(CARRIER, by.request("REFER", "", &target));
            bench.expect(CARRIER, "SIP/2.0 403");
            bench.nothing();
        }
        bench.bye(&mut first, &callee);
        hang_up(&mut bench, &mut second);
        bench.finish();
    }
}
