//! Requests within a dialog with SIPp on both sides: those that the edge passes on, and those that it answers itself.

use std::time::Duration;

use anyhow::Context as _;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

const CALLER: &str = include_str!("../scenarios/uac_dialog.xml");
const CALLEE: &str = include_str!("../scenarios/uas_dialog.xml");

/// Sends INFO, a re-INVITE without an offer and a hold by UPDATE in each call; then makes calls with one change each.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(CARRIER_TO_PBX)?;
    // Broken: the callee rejects INFO, which must reach the caller.
    let answer = if setting.sabotage { "415 Unsupported Media Type" } else { "200 OK" };
    let callee = Callee::start_with(PBX, 5060, &CALLEE.replace("INFO_ANSWER", answer))?;
    let mut calls = Calls::new(setting.calls(100, 20), 10, Duration::from_millis(300));
    calls.scenario = Some(CALLER.into());
    let counted = calls.all_succeed(&mut edge)?;
    drop(callee);
    let each = setting.calls(20, 5);
    for (what, caller, callee) in changes() {
        let callee = Callee::start_with(PBX, 5060, &callee.text())?;
        let scenario = Some(caller.text().into());
        let calls = Calls { scenario, ..Calls::new(each, 5, Duration::from_millis(300)) };
        calls.all_succeed(&mut edge).and_then(|_| callee.has_had(each)).context(what)?;
    }
    edge.no_dialog_is_left()?;
    Ok(format!(
        "{} calls with INFO, a re-INVITE without an offer and a hold by UPDATE, {each} of each other change, 0 failed, \
         {} SIP retransmissions",
        counted.successful, counted.retransmissions
    ))
}

/// Returns pairs of a caller's and a callee's scenario, with the name of the change that they test.
fn changes() -> [(&'static str, Scenario, Scenario); 4] {
    let late = Scenario::caller()
        .ask("INVITE", "", "")
        .expect_answer(180, &[])
        .expect_answer(200, &["m=audio [0-9]+ RTP/AVP 0"])
        .ack("sendrecv");
    let refused_caller = talking_caller()
        .ask("INVITE", "", "sendonly")
        .expect_answer(488, &[])
        .ack_refusal()
        .pause(100)
        .ask("INVITE", "", "sendonly")
        .expect_answer(200, &["a=recvonly"])
        .ack("");
    let refusing_callee = talking_callee()
        .expect("INVITE", &["a=sendonly"])
        .answer("488 Not Acceptable Here", "", "")
        .expect("ACK", &[])
        .expect("INVITE", &["a=sendonly"])
        .answer("200 OK", "", "recvonly")
        .expect("ACK", &[]);
    let held_caller =
        talking_caller().expect("INVITE", &["a=sendonly"]).answer("200 OK", "", "recvonly").expect("ACK", &[]);
    let late_callee =
        talking_callee().pause(200).ask("INVITE", "", "").expect_answer(200, &["m=audio"]).ack("sendonly");
    let left_caller =
        talking_caller().ask("INVITE", "", "sendonly").expect_answer(487, &[]).ack_refusal().expect_bye(&[]);
    let leaving_callee =
        talking_callee().expect("INVITE", &["a=sendonly"]).ask("BYE", "", "").expect_answer(200, &["BYE"]);
    [
        ("no offer in the INVITE, the answer in the ACK", late.hang_up(), talking_callee().expect_bye(&[])),
        ("a re-INVITE that is refused, and again", refused_caller.hang_up(), refusing_callee.expect_bye(&[])),
        ("a hold of the callee in the ACK of its re-INVITE", held_caller.hang_up(), late_callee.expect_bye(&[])),
        ("a callee that hangs up in the middle of a re-INVITE", left_caller, leaving_callee),
    ]
}

fn talking_caller() -> Scenario {
    Scenario::caller().ask("INVITE", "", "sendrecv").expect_answer(180, &[]).expect_answer(200, &["m=audio"]).ack("")
}

fn talking_callee() -> Scenario {
    Scenario::callee(1, &["m=audio"])
        .answer("180 Ringing", "", "")
        .pause(100)
        .answer_call("200 OK", "", "sendrecv")
        .expect("ACK", &[])
}
