//! Session timers with SIPp on both sides, in real time: refreshes by both sides, 422 in both directions, and a caller
//! that stops refreshing.

use std::time::Duration;

use anyhow::{Context as _, anyhow};

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{Callee, Calls, DESK, PBX};

/// IP address of a third callee.
const OFFICE: &str = "127.0.0.6";
/// Number of calls of each kind, all at once.
const CALLS: u32 = 5;
const BY_CALLER: &str = "Supported: timer\nSession-Expires: 90;refresher=uac\n";

/// Scenario of a caller with a first interval that is too short, which refreshes by UPDATE and by re-INVITE.
fn refreshing_caller() -> Scenario {
    let granted = ["Session-Expires: 90;refresher=uac", "Require: timer"];
    Scenario::caller()
        .ask("INVITE", "Supported: timer\nSession-Expires: 60;refresher=uac\n", "sendrecv")
        .expect_answer(422, &["Min-SE: 90"])
        .ack_refusal()
        .ask_again(BY_CALLER, "sendrecv")
        .expect_answer(200, &granted)
        .ack("")
        .pause(20_000)
        .ask("UPDATE", BY_CALLER, "")
        .expect_answer(200, &granted)
        .pause(15_000)
        .ask("INVITE", BY_CALLER, "sendrecv")
        .expect_answer(200, &granted)
        .ack("")
        .pause(18_000)
        .ask("BYE", "", "")
        .expect_answer(200, &["BYE"])
}

/// Scenario of the callee for [`refreshing_caller`], which the edge refreshes independently by UPDATE at half its
/// interval.
fn refreshed_by_update() -> Scenario {
    let session = "Require: timer\nSession-Expires: 90;refresher=uac\n";
    Scenario::callee(1, &["Supported: .*timer", "Session-Expires: 90", "Min-SE: 90"])
        .answer("200 OK", session, "sendrecv")
        .expect("ACK", &[])
        .expect("UPDATE", &["Session-Expires: 90;refresher=uac", "Content-Length: 0"])
        .answer("200 OK", session, "")
        .expect_bye(&[])
}

/// Scenario of a callee that requires longer sessions, and that the edge refreshes by re-INVITE because UPDATE is not
/// allowed.
fn refreshed_by_re_invite() -> Scenario {
    let session = "Require: timer\nSession-Expires: 100;refresher=uac\n";
    Scenario::callee(1, &["Session-Expires: 90"])
        .allowing("Allow: INVITE, ACK, BYE, CANCEL")
        .answer("422 Session Interval Too Small", "Min-SE: 100\n", "")
        .expect("ACK", &[])
        .expect("INVITE", &["CSeq: 2 INVITE", "Session-Expires: 100", "Min-SE: 100"])
        .answer("200 OK", session, "sendrecv")
        .expect("ACK", &[])
        .expect("INVITE", &["Session-Expires: 100;refresher=uac", "m=audio"])
        .answer("200 OK", session, "sendrecv")
        .expect("ACK", &[])
        .expect_bye(&[])
}

/// Scenario of a caller that should refresh and does not.
fn silent_caller() -> Scenario {
    Scenario::caller()
        .ask("INVITE", BY_CALLER, "sendrecv")
        .expect_answer(200, &["Session-Expires: 90;refresher=uac"])
        .ack("")
        .expect_bye(&["Reason: .*session_expired"])
}

/// Scenario of the callee for [`silent_caller`], which refreshes its own session and gets the BYE nevertheless.
fn refreshing_callee() -> Scenario {
    let session = "Supported: timer\nSession-Expires: 90;refresher=uac\n";
    Scenario::callee(1, &["Session-Expires: 90"])
        .answer("200 OK", "Require: timer\nSession-Expires: 90;refresher=uas\n", "sendrecv")
        .expect("ACK", &[])
        .pause(20_000)
        .ask("UPDATE", session, "")
        .expect_answer(200, &["Session-Expires: 90;refresher=uac"])
        .pause(20_000)
        .ask("INVITE", session, "sendrecv")
        .expect_answer(200, &["Session-Expires: 90;refresher=uac"])
        .ack("")
        .expect_bye(&["Reason: .*session_expired"])
}

/// Makes calls of all three kinds at once.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the edge requests no timers.
    let expires = if setting.sabotage { "0s" } else { "90s" };
    let trunk = |name, address| {
        format!(
            "[trunk.{name}]\noptions_interval = \"0s\"\npeers = [\"sip:{address}:5060\"]\nsession_expires = \"{expires}\"\n"
        )
    };
    let route =
        |to: &str, name| format!("[[route]]\nfrom = [\"carrier\"]\nto = [\"{to}\"]\nconnect = [\"trunk:{name}\"]\n");
    let mut edge = Edge::start(&format!(
        "[trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"127.0.0.2/32\"]\n{}{}{}{}{}{}",
        trunk("pbx", PBX),
        trunk("desk", DESK),
        trunk("office", OFFICE),
        route("+1212*", "pbx"),
        route("+1213*", "desk"),
        route("+1415*", "office"),
    ))?;
    let pbx = Callee::start_with(PBX, 5060, &refreshed_by_update().text())?;
    let desk = Callee::start_with(DESK, 5060, &refreshed_by_re_invite().text())?;
    let office = Callee::start_with(OFFICE, 5060, &refreshing_callee().text())?;
    let length = Duration::from_secs(55);
    let calls = |number, port, scenario: Option<Scenario>| Calls {
        number,
        port,
        scenario: scenario.map(|scenario| scenario.text().into()),
        ..Calls::new(CALLS, CALLS, length)
    };
    std::thread::scope(|scope| -> anyhow::Result<()> {
        let all = [
            calls("+12125550100", 5070, Some(refreshing_caller())),
            calls("+12135550100", 5071, None),
            calls("+14155550100", 5072, Some(silent_caller())),
        ]
        .map(|calls| {
            let edge = &edge;
            (calls.number, scope.spawn(move || calls.all(&calls.run(edge.udp)?, || edge.log_tail())))
        });
        for (number, run) in all {
            run.join().map_err(|_| anyhow!("a caller panicked"))?.with_context(|| format!("calls to {number}"))?;
        }
        Ok(())
    })?;
    edge.assert_alive()?;
    for callee in [pbx, desk, office] {
        callee.has_had(CALLS)?;
    }
    edge.no_dialog_is_left()?;
    Ok(format!(
        "{CALLS} calls of each kind: refreshed by UPDATE, by re-INVITE, by caller and callee, ended without a refresh; 0 failed"
    ))
}
