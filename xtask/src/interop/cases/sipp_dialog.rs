//! SIPp on both sides of calls in which the caller speaks: what goes on to the callee, and what does not.

use std::time::Duration;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

const CALLER: &str = include_str!("../scenarios/uac_dialog.xml");
const CALLEE: &str = include_str!("../scenarios/uas_dialog.xml");

/// INFO, a re-INVITE without an offer and a hold by UPDATE in each call.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(CARRIER_TO_PBX)?;
    // Broken: the callee takes no INFO, and the caller must hear of that.
    let answer = if setting.sabotage { "415 Unsupported Media Type" } else { "200 OK" };
    let _callee = Callee::start_with(PBX, 5060, &CALLEE.replace("INFO_ANSWER", answer))?;
    let mut calls = Calls::new(setting.calls(100, 20), 10, Duration::from_millis(300));
    calls.scenario = Some(CALLER.into());
    let counted = calls.all_succeed(&mut edge)?;
    edge.no_dialog_is_left()?;
    Ok(format!(
        "{} calls with INFO, a re-INVITE without an offer and a hold by UPDATE, 0 failed, {} SIP retransmissions",
        counted.successful, counted.retransmissions
    ))
}
