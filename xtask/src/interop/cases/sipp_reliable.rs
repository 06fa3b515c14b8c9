//! Reliable provisional responses with SIPp on both sides, each side with and without them; also a caller without an
//! offer.

use std::time::Duration;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::scenario::Scenario;
use crate::interop::sipp::{Callee, Calls, DESK, PBX};

/// Scenario of a callee that sends its SDP in a reliable 183, and none in the 200.
pub(super) fn reliable_callee(hops: u32) -> Scenario {
    Scenario::callee(hops, &["Supported: .*100rel", "m=audio"])
        .answer_call("183 Session Progress", "Require: 100rel\nRSeq: 4711\n", "sendrecv")
        .expect("PRACK", &["RAck: 4711 1 INVITE"])
        .answer("200 OK", "", "")
        .answer_call("200 OK", "", "")
        .expect("ACK", &[])
        .expect_bye(&[])
}

/// Scenario of a caller without an offer that requires reliable responses: the offer arrives in such a response, and
/// the PRACK has the answer.
pub(super) fn late_caller() -> Scenario {
    Scenario::caller()
        .ask("INVITE", "Require: 100rel\n", "")
        .expect_reliable(183, &["Require: 100rel", "m=audio [0-9]+ RTP/AVP 0"], "sendrecv")
        .expect_answer(200, &["CSeq: 1 INVITE"])
        .ack("")
        .hang_up()
}

/// Scenario of a caller with an offer that requires reliable responses.
fn insisting_caller() -> Scenario {
    Scenario::caller()
        .ask("INVITE", "Require: 100rel\n", "sendrecv")
        .expect_reliable(180, &["Require: 100rel"], "")
        .expect_answer(200, &["CSeq: 1 INVITE", "m=audio [0-9]+ RTP/AVP 0"])
        .ack("")
        .hang_up()
}

/// Makes calls with each combination of scenarios.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(&format!(
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
to = ["+1213*"]
connect = ["trunk:desk"]
[[route]]
from = ["carrier"]
connect = ["trunk:pbx"]
"#
    ))?;
    // Broken: the callee expects another RAck.
    let mut text = reliable_callee(1).text();
    if setting.sabotage {
        text = text.replace("RSeq: 4711", "RSeq: 4712");
    }
    let reliable = Callee::start_with(PBX, 5060, &text)?;
    let plain = Scenario::callee(1, &["m=audio"])
        .answer("180 Ringing", "", "")
        .pause(300)
        .answer_call("200 OK", "", "sendrecv")
        .expect("ACK", &[])
        .expect_bye(&[]);
    let plain = Callee::start_with(DESK, 5060, &plain.text())?;
    let count = setting.calls(40, 10);
    let calls = |number| Calls { number, ..Calls::new(count, 10, Duration::from_millis(300)) };
    let with = |scenario: Scenario, number| Calls { scenario: Some(scenario.text().into()), ..calls(number) };
    with(late_caller(), "+14155550100").all_succeed(&mut edge)?;
    calls("+14155550100").all_succeed(&mut edge)?;
    reliable.has_had(2 * count)?;
    with(insisting_caller(), "+12135550100").all_succeed(&mut edge)?;
    plain.has_had(count)?;
    edge.no_dialog_is_left()?;
    Ok(format!(
        "{count} calls each: reliable on both sides with a late offer, on the callee's side, on the caller's side; 0 failed"
    ))
}
