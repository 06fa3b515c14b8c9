//! Several SIPp callees for one call: one that redirects, and two that ring at once.

use std::time::Duration;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{Callee, Calls, DESK, PBX};

/// Starts an edge with a carrier, two trunks with a SIPp each, and a route to the targets of `connect`.
fn edge(connect: &str) -> anyhow::Result<Edge> {
    Edge::start(&format!(
        r#"
[trunk.carrier]
options_interval = "0s"
accept_from = ["127.0.0.2/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
[trunk.desk]
options_interval = "0s"
peers = ["sip:{DESK}:5060"]
[[route]]
from = ["carrier"]
connect = [{connect}]
"#
    ))
}

/// Scenario of a callee that checks the INVITE, answers after ringing, and gets the BYE.
fn answering(fits: &[&str]) -> Scenario {
    Scenario::callee(1, fits)
        .answer("180 Ringing", "", "")
        .pause(300)
        .answer_call("200 OK", "", "sendrecv")
        .expect("ACK", &[])
        .expect_bye(&[])
}

/// Tests a 302 to the peer of another trunk.
pub(crate) fn redirect(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = edge("\"trunk:pbx\"")?;
    // Broken: the redirection is to an address without a trunk.
    let host = if setting.sabotage { "127.0.0.9" } else { DESK };
    let contact = format!("Contact: <sip:+14155550177@{host}:5060>\n");
    let moved = Scenario::callee(1, &[]).answer("302 Moved Temporarily", &contact, "").expect("ACK", &[]);
    let moved = Callee::start_with(PBX, 5060, &moved.text())?;
    let there = format!("^INVITE sip:\\+14155550177@{DESK}:5060 SIP/2.0");
    let desk = Callee::start_with(DESK, 5060, &answering(&[&there]).text())?;
    let calls = Calls::new(setting.calls(40, 10), 10, Duration::from_millis(300));
    let counted = calls.all_succeed(&mut edge)?;
    moved.has_had(calls.calls)?;
    desk.has_had(calls.calls)?;
    edge.no_dialog_is_left()?;
    Ok(format!("{} calls sent on by 302 to another trunk's peer, 0 failed", counted.successful))
}

/// Tests two targets that ring at once: one answers, and the other gets CANCEL with "answered elsewhere".
pub(crate) fn ring_all(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the targets ring one after the other.
    let both = "\"trunk:desk\", \"trunk:pbx\"";
    let mut edge = edge(&if setting.sabotage { both.to_owned() } else { format!("{{ ring_all = [{both}] }}") })?;
    let withdrawn = Scenario::callee(1, &[])
        .answer("180 Ringing", "", "")
        .expect("CANCEL", &["Reason: SIP;cause=200;text=\"Call completed elsewhere\""])
        .answer("200 OK", "", "")
        .answer_call("487 Request Terminated", "", "")
        .expect("ACK", &[]);
    let withdrawn = Callee::start_with(PBX, 5060, &withdrawn.text())?;
    let desk = Callee::start_with(DESK, 5060, &answering(&[]).text())?;
    let calls = Calls::new(setting.calls(40, 10), 10, Duration::from_millis(300));
    let counted = calls.all_succeed(&mut edge)?;
    withdrawn.has_had(calls.calls)?;
    desk.has_had(calls.calls)?;
    edge.no_dialog_is_left()?;
    Ok(format!("{} calls rang at two, one answered, the other was cancelled, 0 failed", counted.successful))
}
