//! Attended transfer (RFC 5589 §7): one side of two calls joins the remote parties of both, by a REFER whose Refer-To
//! names the other call's dialog (Replaces, RFC 3891).

#![allow(clippy::unwrap_used, clippy::panic, clippy::wildcard_enum_match_arm)] // only tests stand here

use std::sync::Arc;
use std::time::Duration;

use crate::bench::*;
use trunkgate_call::{GatewayInput, OperatorCommand};
use trunkgate_media::{MediaCommand, MediaEvent};
use trunkgate_route::{
    HoldMode, NumberingPlan, Pattern, ReferMode, ReinviteMode, Route, RoutingTable, Srtp, TableDefinition, Trunk,
};

const TARGET: &str = "+12125550100";

/// Returns a bench that routes `+1415…` to the PBX and `+1212…` to the backup.
fn with(change: impl Fn(&mut Trunk)) -> Bench {
    let mut trunks = usual_trunks();
    trunks.iter_mut().for_each(change);
    let to =
        |prefix: &str, trunk: &str| Route { to: vec![Pattern::parse(prefix).unwrap()], ..route(vec![to_trunk(trunk)]) };
    let routes = vec![
        Route { name: Arc::from("in"), ..to("+1415*", "pbx") },
        Route { name: Arc::from("on"), ..to("+1212*", "backup") },
    ];
    let numbers = NumberingPlan::new("US").unwrap();
    Bench::with(Arc::new(RoutingTable::new(TableDefinition { numbers, trunks, agents: vec![], routes })))
}

/// A phone of the PBX with two calls: one from the carrier, and one to the backup.
struct Phone {
    /// Remote party of the phone's first call.
    caller: Dialing,
    /// Side of the phone in the first call.
    first: Dialed,
    /// Side of the phone in the second call.
    second: Dialing,
    /// Remote party of the phone's second call.
    far: Dialed,
}

fn far_answer(version: u64, formats: &str, direction: &str) -> String {
    sdp("10.0.0.30", 32_000, version, formats, direction)
}

impl Phone {
    fn new(bench: &mut Bench) -> Phone {
        let (caller, first) = bench.answered();
        let mut second = bench.invite(PBX, TARGET, &sdp("10.0.0.20", 30_010, 1, "0 8 101", "sendrecv"));
        bench.expect(PBX, "SIP/2.0 100");
        let far = Dialed { tag: "far".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
        bench.receive(BACKUP, far.answer(200, &far_answer(1, "0 101", "sendrecv")));
        bench.expect(BACKUP, "ACK");
        second.to_tag = bench.expect(PBX, "SIP/2.0 200").tag("To");
        bench.receive(PBX, second.request("ACK", "", ""));
        bench.nothing();
        bench.take_media();
        Phone { caller, first, second, far }
    }

    /// Returns the dialog of the phone's second call for a Refer-To.
    fn second_dialog(&self) -> String {
        format!("call-{0}%40secret.example%3Bto-tag%3D{1}%3Bfrom-tag%3Da{0}", self.second.call, self.second.to_tag)
    }

    /// Returns the dialog of its first call for a Refer-To.
    fn first_dialog(&self) -> String {
        let invite = &self.first.invite;
        let call_id = invite.header("Call-ID").replace('@', "%40");
        format!("{call_id}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", invite.tag("From"), self.first.tag)
    }

    /// Returns the REFER of the phone in the first call.
    fn refers(&self, cseq: u32, replaces: &str, headers: &str) -> String {
        with_headers(&self.first.request("REFER", cseq, ""), &format!("{}{headers}", refer_to(replaces)))
    }

    /// Answers the next NOTIFY of the first call, and returns its status line.
    fn news(&self, bench: &mut Bench) -> String {
        let notify = bench.expect(PBX, "NOTIFY");
        assert_eq!(notify.header("Call-ID"), self.first.invite.header("Call-ID"));
        bench.receive(PBX, self.first.respond(&notify, 200, ""));
        notify.body().trim_end().to_owned()
    }

    /// Sends a REFER in the first call that is accepted, and returns the re-INVITE to the backup.
    fn asks(&self, bench: &mut Bench) -> Sent {
        bench.receive(PBX, self.refers(1, &self.second_dialog(), ""));
        bench.expect(PBX, "SIP/2.0 202");
        assert_eq!(self.news(bench), "SIP/2.0 100 Trying");
        let asked = bench.expect(BACKUP, "INVITE");
        assert_eq!(asked.tag("To"), "far", "in its dialog");
        bench.nothing();
        asked
    }

    /// Accepts the re-INVITE for the backup: both calls of the phone end, it is notified, and hangs up the first one
    /// itself.
    fn joined(&self, bench: &mut Bench, asked: &Sent, answer: &str) {
        bench.receive(BACKUP, self.far.respond(asked, 200, answer));
        bench.expect(BACKUP, "ACK");
        assert_eq!(self.news(bench), "SIP/2.0 200 OK");
        let bye = bench.expect(PBX, "BYE");
        assert_eq!(bye.header("Call-ID"), format!("call-{}@secret.example", self.second.call));
        bench.receive(PBX, self.second.respond(&bye, 200, ""));
    }

    fn hangs_up_first(&self, bench: &mut Bench, cseq: u32) {
        bench.receive(PBX, self.first.request("BYE", cseq, ""));
        bench.expect(PBX, "SIP/2.0 200");
        bench.nothing();
    }

    /// Checks that both calls continue, and ends them.
    fn ends_both(&mut self, bench: &mut Bench) {
        bench.nothing();
        assert_eq!(bench.gateway.live_calls(), 2);
        bench.bye(&mut self.caller, &self.first);
        bench.bye(&mut self.second, &self.far);
        bench.finish();
    }
}

fn with_headers(request: &str, headers: &str) -> String {
    request.replace("Content-Length:", &format!("{headers}Content-Length:"))
}

fn refer_to(replaces: &str) -> String {
    format!("Refer-To: <sip:{TARGET}@{LOCAL}?Replaces={replaces}>\r\n")
}

#[test]
fn rfc5589_7_remote_parties_of_both_calls_are_joined() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let before = bench.gateway.status(bench.now).ports_in_use;
    let asked = phone.asks(&mut bench);
    // The backup gets the caller's codecs, and other ports of ours.
    assert!(asked.body().contains("AVP 0 8 107 101") && asked.body().contains("c=IN IP4 10.0.0.5"), "{}", asked.text);
    assert_ne!(asked.port(), phone.far.invite.port());
    assert!(!asked.text.contains("198.51.100.7") && !asked.text.contains("10.0.0.20"), "{}", asked.text);
    phone.joined(&mut bench, &asked, &far_answer(2, "0 101", "sendrecv"));
    let media = bench.take_media();
    let wired = media.iter().filter(|command| matches!(command, MediaCommand::Wire { .. })).count();
    assert_eq!(wired, 2, "{media:?}");
    phone.hangs_up_first(&mut bench, 2);
    assert_eq!((bench.gateway.live_calls(), bench.gateway.status(bench.now).ports_in_use), (1, before / 2));
    let joined = bench.gateway.calls(bench.now).into_iter().find(|call| call.state == "answered").unwrap();
    let live: Vec<&str> = joined.legs.iter().filter(|leg| leg.state == "answered").map(|leg| &*leg.trunk).collect();
    assert_eq!(live, ["carrier", "backup"]);
    let other = &bench.reports[0].call;
    let ended: Vec<_> = other.legs.iter().map(|leg| (&*leg.trunk, leg.reason, leg.ended_by)).collect();
    assert_eq!(other.reason, Some("transferred"));
    let edge = Some("edge");
    assert_eq!(ended, [("pbx", Some("transferred"), edge), ("backup", Some("transferred"), edge)]);
    for (sid, told) in
        [(&joined.sid, "pbx joins the other side with backup of its call"), (&other.sid, "pbx joins backup")]
    {
        let trace = serde_json::to_string(&bench.gateway.trace(sid).unwrap()).unwrap();
        assert!(trace.contains(told), "{trace}");
    }
    // A session change by one party is relayed to the other.
    bench.receive(BACKUP, phone.far.request("INVITE", 1, &far_answer(3, "0 101", "sendonly")));
    bench.expect(BACKUP, "SIP/2.0 100");
    let hold = bench.expect(CARRIER, "INVITE");
    bench.receive(CARRIER, phone.caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly")));
    bench.expect(CARRIER, "ACK");
    bench.expect(BACKUP, "SIP/2.0 200");
    bench.receive(BACKUP, phone.far.request("ACK", 1, ""));
    bench.bye(&mut phone.caller, &phone.far);
    bench.finish();
    assert_eq!(bench.reports[1].call.reason, Some("caller_hung_up"));
}

#[test]
fn a_refer_in_the_second_call_that_names_the_first_joins_them_too() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    phone.second.cseq += 1;
    let refer = phone.second.request("REFER", "", &refer_to(&phone.first_dialog()));
    bench.receive(PBX, refer);
    bench.expect(PBX, "SIP/2.0 202");
    let trying = bench.expect(PBX, "NOTIFY");
    bench.receive(PBX, phone.second.respond(&trying, 200, ""));
    let asked = bench.expect(CARRIER, "INVITE");
    bench.nothing();
    bench.receive(CARRIER, phone.caller.respond(&asked, 200, &sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv")));
    bench.expect(CARRIER, "ACK");
    let done = bench.expect(PBX, "NOTIFY");
    assert_eq!(done.body(), "SIP/2.0 200 OK\r\n");
    bench.receive(PBX, phone.second.respond(&done, 200, ""));
    let bye = bench.expect(PBX, "BYE");
    assert_eq!(bye.header("Call-ID"), phone.first.invite.header("Call-ID"));
    bench.receive(PBX, phone.first.respond(&bye, 200, ""));
    // A notified phone that does not hang up gets BYE.
    bench.pass(Duration::from_secs(5));
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, phone.second.respond(&bye, 200, ""));
    // The remote party of the second call hangs up, and the caller gets BYE.
    bench.receive(BACKUP, phone.far.request("BYE", 1, ""));
    bench.expect(BACKUP, "SIP/2.0 200");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, phone.caller.respond(&bye, 200, ""));
    bench.finish();
}

#[test]
fn a_side_on_hold_of_either_kind_talks_again() {
    for mode in [HoldMode::Relay, HoldMode::Local] {
        let mut bench = with(|trunk| trunk.hold = mode);
        let mut phone = Phone::new(&mut bench);
        bench.receive(PBX, phone.first.request("INVITE", 1, &sdp("10.0.0.20", 30_000, 2, "0 101", "sendonly")));
        bench.expect(PBX, "SIP/2.0 100");
        if mode == HoldMode::Relay {
            let hold = bench.expect(CARRIER, "INVITE");
            bench.receive(
                CARRIER,
                phone.caller.respond(&hold, 200, &sdp("198.51.100.7", 40_000, 2, "0 101", "recvonly")),
            );
            bench.expect(CARRIER, "ACK");
        }
        bench.expect(PBX, "SIP/2.0 200");
        bench.receive(PBX, phone.first.request("ACK", 1, ""));
        bench.take_media();
        bench.receive(PBX, phone.refers(2, &phone.second_dialog(), ""));
        bench.expect(PBX, "SIP/2.0 202");
        assert_eq!(phone.news(&mut bench), "SIP/2.0 100 Trying");
        let asked = bench.expect(BACKUP, "INVITE");
        assert!(asked.body().contains("a=sendrecv"), "{}", asked.text);
        phone.joined(&mut bench, &asked, &far_answer(2, "0 101", "sendrecv"));
        let media = bench.take_media();
        let stopped = media.iter().filter(|command| matches!(command, MediaCommand::RemoveEnd { .. })).count();
        if mode == HoldMode::Relay {
            let resumed = bench.expect(CARRIER, "INVITE");
            assert!(resumed.body().contains("a=sendrecv"), "{}", resumed.text);
            bench.receive(
                CARRIER,
                phone.caller.respond(&resumed, 200, &sdp("198.51.100.7", 40_000, 3, "0 101", "sendrecv")),
            );
            bench.expect(CARRIER, "ACK");
        } else {
            assert!(stopped >= 2, "the music too: {media:?}");
        }
        let states: Vec<_> = bench.gateway.calls(bench.now).iter().map(|call| call.state).collect();
        assert!(states.contains(&"answered"), "{states:?}");
        phone.hangs_up_first(&mut bench, 3);
        bench.bye(&mut phone.caller, &phone.far);
        bench.finish();
    }
}

#[test]
fn far_sides_with_other_codecs_are_converted_and_each_leg_keeps_its_own_protection() {
    let mut bench = with(|trunk| match &*trunk.name {
        "carrier" => trunk.codecs = vec!["PCMU".into()],
        "backup" => {
            trunk.codecs = vec!["PCMA".into()];
            trunk.srtp = Srtp::Required;
        }
        _ => {}
    });
    let (caller, first) = bench.answered();
    let mut second = bench.invite(PBX, TARGET, &sdp("10.0.0.20", 30_010, 1, "0 8 101", "sendrecv"));
    bench.expect(PBX, "SIP/2.0 100");
    let far = Dialed { tag: "far".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    let secure = |version| {
        let line = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj\r\n";
        far_answer(version, "8 101", "sendrecv").replace("RTP/AVP", "RTP/SAVP") + line
    };
    // The tag of the crypto suite is that of the offer.
    let tag = far.invite.body().lines().find(|line| line.contains("AES_CM_128_HMAC_SHA1_80")).unwrap().to_owned();
    let tag = tag.trim_start_matches("a=crypto:").split(' ').next().unwrap().to_owned();
    let secure = |version| secure(version).replace("a=crypto:1 ", &format!("a=crypto:{tag} "));
    bench.receive(BACKUP, far.answer(200, &secure(1)));
    bench.expect(BACKUP, "ACK");
    second.to_tag = bench.expect(PBX, "SIP/2.0 200").tag("To");
    bench.receive(PBX, second.request("ACK", "", ""));
    let mut phone = Phone { caller, first, second, far };
    let asked = phone.asks(&mut bench);
    assert!(asked.body().contains("RTP/SAVP 8 101"), "{}", asked.text);
    let keys = |sent: &Sent| -> Vec<String> {
        sent.body().lines().filter(|line| line.starts_with("a=crypto")).map(str::to_owned).collect()
    };
    let (before, now) = (keys(&phone.far.invite), keys(&asked));
    assert!(!now.is_empty() && now.iter().all(|line| !before.contains(line)), "new keys for other packets: {now:?}");
    bench.take_media();
    phone.joined(&mut bench, &asked, &secure(2));
    let media = bench.take_media();
    let converted =
        |command: &&MediaCommand| matches!(command, MediaCommand::Wire { wire, .. } if wire.transcode.is_some());
    assert_eq!(media.iter().filter(converted).count(), 2, "{media:?}");
    let secured =
        |command: &&MediaCommand| matches!(command, MediaCommand::SetRemote { remote, .. } if remote.srtp.is_some());
    assert_eq!(media.iter().filter(secured).count(), 1, "{media:?}");
    phone.hangs_up_first(&mut bench, 2);
    bench.bye(&mut phone.caller, &phone.far);
    bench.finish();
}

/// Returns a bench with a backup that gets no re-INVITE.
fn with_local_backup(change: impl Fn(&mut Trunk)) -> Bench {
    with(|trunk| {
        change(trunk);
        if &*trunk.name == "backup" {
            trunk.reinvite = ReinviteMode::Local;
        }
    })
}

#[test]
fn a_far_side_that_is_sent_no_changes_stays_and_the_other_one_is_asked_to_come() {
    for code in [200, 488] {
        let mut bench = with_local_backup(|_| {});
        let mut phone = Phone::new(&mut bench);
        bench.receive(PBX, phone.refers(1, &phone.second_dialog(), ""));
        bench.expect(PBX, "SIP/2.0 202");
        assert_eq!(phone.news(&mut bench), "SIP/2.0 100 Trying");
        let asked = bench.expect(CARRIER, "INVITE");
        bench.nothing();
        let sdp = if code == 200 { sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv") } else { String::new() };
        bench.receive(CARRIER, phone.caller.respond(&asked, code, &sdp));
        bench.expect(CARRIER, "ACK");
        if code == 488 {
            assert_eq!(phone.news(&mut bench), "SIP/2.0 488 Not Acceptable Here");
            phone.ends_both(&mut bench);
            continue;
        }
        // The first call of the phone is over, and the phone is notified there.
        assert_eq!(phone.news(&mut bench), "SIP/2.0 200 OK");
        let bye = bench.expect(PBX, "BYE");
        assert_eq!(bye.header("Call-ID"), phone.first.invite.header("Call-ID"));
        bench.receive(PBX, phone.first.respond(&bye, 200, ""));
        phone.second.cseq += 1;
        bench.receive(PBX, phone.second.request("BYE", "", ""));
        bench.expect(PBX, "SIP/2.0 200");
        bench.nothing();
        let joined = bench.gateway.calls(bench.now).into_iter().find(|call| call.state == "answered").unwrap();
        let live: Vec<&str> = joined.legs.iter().filter(|leg| leg.state == "answered").map(|leg| &*leg.trunk).collect();
        assert_eq!(live, ["backup", "carrier"]);
        bench.bye(&mut phone.caller, &phone.far);
        bench.finish();
    }
}

#[test]
fn two_far_sides_that_are_sent_no_changes_are_not_joined() {
    let mut bench = with_local_backup(|trunk| {
        if &*trunk.name == "carrier" {
            trunk.reinvite = ReinviteMode::Local;
        }
    });
    let mut phone = Phone::new(&mut bench);
    bench.receive(PBX, phone.refers(1, &phone.second_dialog(), ""));
    let refused = bench.expect(PBX, "SIP/2.0 488");
    assert!(refused.header("Warning").contains("sent no re-INVITE"), "{}", refused.text);
    bench.nothing();
    phone.ends_both(&mut bench);
}

#[test]
fn where_the_other_side_does_not_take_it_all_stays_as_it_was_and_the_phone_is_told() {
    for (code, told) in [(488, "SIP/2.0 488 Not Acceptable Here"), (491, "SIP/2.0 491 Request Pending")] {
        let mut bench = with(|_| {});
        let mut phone = Phone::new(&mut bench);
        let before = bench.gateway.status(bench.now).ports_in_use;
        let asked = phone.asks(&mut bench);
        bench.receive(BACKUP, phone.far.respond(&asked, code, ""));
        bench.expect(BACKUP, "ACK");
        assert_eq!(phone.news(&mut bench), told);
        let media = bench.take_media();
        let changes = |command: &&MediaCommand| {
            matches!(command, MediaCommand::Wire { .. } | MediaCommand::Unwire { .. } | MediaCommand::SetRemote { .. })
        };
        assert_eq!(media.iter().filter(changes).count(), 0, "{media:?}");
        assert_eq!(bench.gateway.status(bench.now).ports_in_use, before);
        // A later REFER may succeed.
        bench.receive(PBX, phone.refers(2, &phone.second_dialog(), "Refer-Sub: false\r\n"));
        assert_eq!(bench.expect(PBX, "SIP/2.0 202").header("Refer-Sub"), "false");
        let asked = bench.expect(BACKUP, "INVITE");
        bench.receive(BACKUP, phone.far.respond(&asked, 488, ""));
        bench.expect(BACKUP, "ACK");
        phone.ends_both(&mut bench);
    }
}

#[test]
fn an_answer_that_cannot_be_used_puts_the_other_side_back() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    bench.receive(BACKUP, phone.far.respond(&asked, 200, &far_answer(2, "18", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    assert_eq!(phone.news(&mut bench), "SIP/2.0 488 Not Acceptable Here");
    let again = bench.expect(BACKUP, "INVITE");
    assert_eq!(again.port(), phone.far.invite.port(), "{}", again.text);
    bench.receive(BACKUP, phone.far.respond(&again, 200, &far_answer(3, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    phone.ends_both(&mut bench);
}

#[test]
fn ports_that_are_somebody_elses_fail_the_join_alone() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    let added = bench.media.iter().find_map(|(id, command)| match command {
        MediaCommand::AddEnd { end, .. } => Some((*id, *end)),
        _ => None,
    });
    let (id, end) = added.unwrap();
    bench.input(GatewayInput::Media { id, event: MediaEvent::BindFailed { end, error: "in use".into() } });
    bench.receive(BACKUP, phone.far.respond(&asked, 200, &far_answer(2, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    assert_eq!(phone.news(&mut bench), "SIP/2.0 500 Server Internal Error");
    let again = bench.expect(BACKUP, "INVITE");
    bench.receive(BACKUP, phone.far.respond(&again, 200, &far_answer(3, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    phone.ends_both(&mut bench);
}

#[test]
fn a_lost_dialog_ends_its_own_call_and_no_other() {
    for code in [Some(481), None] {
        let mut bench = with(|_| {});
        let mut phone = Phone::new(&mut bench);
        let asked = phone.asks(&mut bench);
        match code {
            Some(code) => {
                bench.receive(BACKUP, phone.far.respond(&asked, code, ""));
                bench.expect(BACKUP, "ACK");
            }
            None => bench.pass(Duration::from_secs(32)),
        }
        bench.sent.retain(|sent| !sent.first_line().starts_with("INVITE"));
        let told =
            if code.is_some() { "SIP/2.0 481 Call/Transaction Does Not Exist" } else { "SIP/2.0 408 Request Timeout" };
        assert_eq!(phone.news(&mut bench), told);
        let bye = bench.expect(PBX, "BYE");
        bench.receive(PBX, phone.second.respond(&bye, 200, ""));
        let bye = bench.expect(BACKUP, "BYE");
        bench.receive(BACKUP, phone.far.respond(&bye, 481, ""));
        assert_eq!(bench.gateway.live_calls(), 1);
        bench.bye(&mut phone.caller, &phone.first);
        bench.finish();
    }
}

#[test]
fn whoever_hangs_up_meanwhile() {
    // The phone hangs up both of its calls: the join continues.
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    bench.receive(PBX, phone.first.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    phone.second.cseq += 1;
    bench.receive(PBX, phone.second.request("BYE", "", ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.nothing();
    assert_eq!(bench.gateway.live_calls(), 2);
    bench.receive(BACKUP, phone.far.respond(&asked, 200, &far_answer(2, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.nothing();
    assert_eq!(bench.gateway.live_calls(), 1);
    bench.bye(&mut phone.caller, &phone.far);
    bench.finish();

    // The party that is to join hangs up: the other call continues.
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    phone.asks(&mut bench);
    bench.receive(BACKUP, phone.far.request("BYE", 1, ""));
    bench.expect(BACKUP, "SIP/2.0 200");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, phone.second.respond(&bye, 200, ""));
    assert_eq!(phone.news(&mut bench), "SIP/2.0 487 Request Terminated");
    bench.nothing();
    bench.bye(&mut phone.caller, &phone.first);
    bench.finish();

    // The party that waits for the join hangs up: the other party is restored.
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    phone.caller.cseq += 1;
    bench.receive(CARRIER, phone.caller.request("BYE", "", ""));
    bench.expect(CARRIER, "SIP/2.0 200");
    assert_eq!(phone.news(&mut bench), "SIP/2.0 487 Request Terminated");
    let bye = bench.expect(PBX, "BYE");
    bench.receive(PBX, phone.first.respond(&bye, 200, ""));
    bench.receive(BACKUP, phone.far.respond(&asked, 200, &far_answer(2, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    let again = bench.expect(BACKUP, "INVITE");
    assert_eq!(again.port(), phone.far.invite.port());
    bench.receive(BACKUP, phone.far.respond(&again, 200, &far_answer(3, "0 101", "sendrecv")));
    bench.expect(BACKUP, "ACK");
    bench.nothing();
    bench.bye(&mut phone.second, &phone.far);
    bench.finish();
}

#[test]
fn where_there_is_no_join_calls_that_were_hung_up_meanwhile_end_and_count_once() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let (mut others, mut callees) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let (other, callee) = bench.answered();
        others.push(other);
        callees.push(callee);
    }
    let asked = phone.asks(&mut bench);
    bench.receive(PBX, phone.first.request("BYE", 2, ""));
    bench.expect(PBX, "SIP/2.0 200");
    phone.second.cseq += 1;
    bench.receive(PBX, phone.second.request("BYE", "", ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.receive(BACKUP, phone.far.respond(&asked, 488, ""));
    bench.expect(BACKUP, "ACK");
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, phone.caller.respond(&bye, 200, ""));
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, phone.far.respond(&bye, 200, ""));
    assert_eq!(bench.gateway.metrics().calls_active.get("pbx"), Some(&2));
    others.iter_mut().zip(&callees).for_each(|(other, callee)| bench.bye(other, callee));
    bench.finish();
}

#[test]
fn nothing_changes_in_either_call_while_it_is_under_way() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    bench.receive(PBX, phone.refers(2, &phone.second_dialog(), ""));
    bench.expect(PBX, "SIP/2.0 491");
    phone.caller.cseq += 1;
    bench.receive(CARRIER, phone.caller.request("INVITE", &sdp("198.51.100.7", 40_002, 2, "0 101", "sendrecv"), ""));
    bench.expect(CARRIER, "SIP/2.0 100");
    bench.expect(CARRIER, "SIP/2.0 491");
    bench.receive(CARRIER, phone.caller.request("ACK", "", ""));
    phone.second.cseq += 1;
    bench.receive(PBX, phone.second.request("INVITE", &sdp("10.0.0.20", 30_010, 2, "0 101", "sendonly"), ""));
    bench.expect(PBX, "SIP/2.0 100");
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, phone.second.request("ACK", "", ""));
    phone.joined(&mut bench, &asked, &far_answer(2, "0 101", "sendrecv"));
    phone.hangs_up_first(&mut bench, 3);
    bench.bye(&mut phone.caller, &phone.far);
    bench.finish();
}

#[test]
fn an_operator_ends_either_call_and_a_restart_keeps_what_is_joined() {
    let mut bench = with(|_| {});
    let phone = Phone::new(&mut bench);
    let asked = phone.asks(&mut bench);
    phone.joined(&mut bench, &asked, &far_answer(2, "0 101", "sendrecv"));
    phone.hangs_up_first(&mut bench, 2);
    let sid = bench.gateway.calls(bench.now).into_iter().find(|call| call.state == "answered").unwrap().sid;
    let numbers = NumberingPlan::new("US").unwrap();
    bench.restart(Arc::new(RoutingTable::new(TableDefinition {
        numbers,
        trunks: usual_trunks(),
        agents: vec![],
        routes: vec![],
    })));
    bench.control(OperatorCommand::Hangup { sid });
    let bye = bench.expect(CARRIER, "BYE");
    bench.receive(CARRIER, phone.caller.respond(&bye, 200, ""));
    let bye = bench.expect(BACKUP, "BYE");
    bench.receive(BACKUP, phone.far.respond(&bye, 200, ""));
    bench.pass(Duration::from_secs(80));
    assert_eq!(bench.gateway.live_calls(), 0);
}

#[test]
fn who_may_not_or_names_what_cannot_be_joined_is_refused() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    let own = phone.first_dialog();
    let early_only = format!("{}%3Bearly-only", phone.second_dialog());
    // A dialog of the edge with another trunk.
    let of_far = phone.far.invite.header("Call-ID").replace('@', "%40");
    let anothers = format!("{of_far}%3Bto-tag%3D{}%3Bfrom-tag%3D{}", phone.far.tag, phone.far.invite.tag("From"));
    let refused = [
        (1, own.as_str(), 603),
        (2, "1%3Bto-tag%3D2", 400),
        (3, "", 400),
        (4, early_only.as_str(), 486),
        (5, anothers.as_str(), 403),
    ];
    for (cseq, replaces, code) in refused {
        bench.receive(PBX, phone.refers(cseq, replaces, ""));
        assert_eq!(bench.next(PBX).code(), code, "{replaces}");
        bench.nothing();
    }
    // The dialog of a call that is over.
    let over = phone.second_dialog();
    bench.bye(&mut phone.second, &phone.far);
    bench.receive(PBX, phone.refers(6, &over, ""));
    bench.expect(PBX, "SIP/2.0 603");
    // A dialog that rings.
    let mut ringing = bench.invite(PBX, TARGET, &sdp("10.0.0.20", 30_010, 1, "0 101", "sendrecv"));
    bench.expect(PBX, "SIP/2.0 100");
    let far = Dialed { tag: "far".into(), ..Dialed::new(BACKUP, bench.expect(BACKUP, "INVITE")) };
    bench.receive(BACKUP, far.answer(180, ""));
    ringing.to_tag = bench.expect(PBX, "SIP/2.0 180").tag("To");
    phone.second = ringing.clone();
    bench.receive(PBX, phone.refers(7, &phone.second_dialog(), ""));
    bench.expect(PBX, "SIP/2.0 491");
    bench.receive(PBX, ringing.request("CANCEL", "", ""));
    bench.expect(PBX, "SIP/2.0 200");
    bench.expect(PBX, "SIP/2.0 487");
    bench.receive(PBX, Dialing { ..ringing }.request("ACK", "", ""));
    let cancel = bench.expect(BACKUP, "CANCEL");
    bench.receive(BACKUP, far.respond(&cancel, 200, ""));
    bench.receive(BACKUP, far.answer(487, ""));
    bench.expect(BACKUP, "ACK");
    bench.bye(&mut phone.caller, &phone.first);
    bench.finish();
    // A trunk with refused REFERs.
    let mut bench = with(|trunk| trunk.refer = ReferMode::Refuse);
    let mut phone = Phone::new(&mut bench);
    bench.receive(PBX, phone.refers(1, &phone.second_dialog(), ""));
    bench.expect(PBX, "SIP/2.0 403");
    phone.ends_both(&mut bench);
}

#[test]
fn rfc5589_7_a_dialog_that_is_none_here_is_for_the_target_to_find() {
    let mut bench = with(|_| {});
    let mut phone = Phone::new(&mut bench);
    bench.receive(PBX, phone.refers(1, "x%40pbx%3Bto-tag%3D2%3Bfrom-tag%3D3%3Bearly-only", ""));
    bench.expect(PBX, "SIP/2.0 202");
    assert_eq!(phone.news(&mut bench), "SIP/2.0 100 Trying");
    let invite = bench.expect(BACKUP, "INVITE sip:+12125550100@10.0.0.30");
    assert_eq!(invite.header("Replaces"), "x@pbx;to-tag=2;from-tag=3;early-only");
    let target = Dialed { tag: "target".into(), ..Dialed::new(BACKUP, invite) };
    bench.receive(BACKUP, target.answer(481, ""));
    bench.expect(BACKUP, "ACK");
    assert_eq!(phone.news(&mut bench), "SIP/2.0 481 Call/Transaction Does Not Exist");
    // A target that cannot be called otherwise cannot be called this way either.
    bench.receive(
        PBX,
        with_headers(
            &phone.first.request("REFER", 2, ""),
            "Refer-To: <sip:bob@x?Replaces=x%3Bto-tag%3D2%3Bfrom-tag%3D3>\r\n",
        ),
    );
    bench.expect(PBX, "SIP/2.0 404");
    phone.ends_both(&mut bench);
}

#[test]
fn a_number_that_cannot_be_called_is_refused_where_replaces_names_no_dialog_here() {
    for mode in [ReferMode::Local, ReferMode::Relay] {
        let mut bench = with(|trunk| trunk.refer = mode);
        let mut phone = Phone::new(&mut bench);
        for (cseq, user) in [(1, "+1x@"), (2, "+18095550123456789@"), (3, "")] {
            let refer_to = format!("Refer-To: <sip:{user}pbx?Replaces=x%3Bto-tag%3D2%3Bfrom-tag%3D3>\r\n");
            bench.receive(PBX, with_headers(&phone.first.request("REFER", cseq, ""), &refer_to));
            bench.expect(PBX, "SIP/2.0 484");
            bench.nothing();
        }
        // If Replaces names a dialog of the edge, that identifies the target.
        let refer_to = format!("Refer-To: <sip:pbx?Replaces={}>\r\n", phone.second_dialog());
        bench.receive(PBX, with_headers(&phone.first.request("REFER", 4, ""), &refer_to));
        match mode {
            ReferMode::Relay => {
                let refer = bench.expect(CARRIER, "REFER");
                bench.receive(CARRIER, phone.caller.respond(&refer, 603, ""));
                bench.expect(PBX, "SIP/2.0 603");
            }
            _ => {
                bench.expect(PBX, "SIP/2.0 202");
                assert_eq!(phone.news(&mut bench), "SIP/2.0 100 Trying");
                let asked = bench.expect(BACKUP, "INVITE");
                bench.receive(BACKUP, phone.far.respond(&asked, 488, ""));
                bench.expect(BACKUP, "ACK");
                assert_eq!(phone.news(&mut bench), "SIP/2.0 488 Not Acceptable Here");
            }
        }
        phone.ends_both(&mut bench);
    }
}

#[test]
fn a_refer_that_goes_on_names_the_dialog_as_its_far_side_knows_it() {
    let mut bench = with(|trunk| trunk.refer = ReferMode::Relay);
    let mut phone = Phone::new(&mut bench);
    let far = &phone.far;
    let known = format!("{}%3Bto-tag%3Dfar%3Bfrom-tag%3D{}", far.invite.header("Call-ID"), far.invite.tag("From"));
    let (ours, other) = (phone.second_dialog(), "x%40pbx%3Bto-tag%3D2%3Bfrom-tag%3D3");
    for (cseq, named, passed) in [(1, ours.as_str(), known.as_str()), (2, other, other)] {
        bench.receive(PBX, phone.refers(cseq, named, ""));
        let refer = bench.expect(CARRIER, "REFER");
        assert_eq!(refer.header("Refer-To"), format!("<sip:{TARGET}@{PUBLIC}:5060?Replaces={passed}>"));
        bench.receive(CARRIER, phone.caller.respond(&refer, 603, ""));
        bench.expect(PBX, "SIP/2.0 603");
    }
    // A call that is over has no other side.
    bench.bye(&mut phone.second, &phone.far);
    bench.receive(PBX, phone.refers(3, &ours, ""));
    bench.expect(PBX, "SIP/2.0 603");
    bench.bye(&mut phone.caller, &phone.first);
    bench.finish();
}
