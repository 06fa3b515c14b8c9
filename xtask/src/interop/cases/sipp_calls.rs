//! Calls with SIPp on both sides.

use std::time::Duration;

use anyhow::bail;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Limit that the calls of a case exceed, as its sabotage.
const LIMIT: &str = "[limits]\ncalls_per_second = 5\n";

fn configuration(setting: &Setting) -> String {
    format!("{}{CARRIER_TO_PBX}", if setting.sabotage { LIMIT } else { "" })
}

/// Makes 200 calls at 20 per second; the callee echoes their RTP.
pub(crate) fn rtp(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(&configuration(setting))?;
    let _callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(setting.calls(200, 60), 20, Duration::from_secs(3));
    calls.rtp = true;
    let counted = calls.all_succeed(&mut edge)?;
    edge.wait_until("all sessions are closed", Duration::from_secs(10), |edge| {
        Ok(edge.metric("trunkgate_media_sessions")? == 0.0)
    })?;
    let heard = edge.labelled("trunkgate_rtp_packets_total", "direction=\"in\"")?;
    let sent = edge.labelled("trunkgate_rtp_packets_total", "direction=\"out\"")?;
    let dropped = edge.metric("trunkgate_rtp_dropped_total")?;
    // A call of 3 s has 150 packets each way; the pacing of SIPp is coarse.
    let expected = f64::from(calls.calls) * 250.0;
    if heard < expected || (heard - sent).abs() > dropped || dropped > f64::from(calls.calls) * 4.0 {
        bail!("packets in {heard}, out {sent}, dropped {dropped}; at least {expected} expected");
    }
    let lost = edge.metric("trunkgate_rtp_lost_total")?;
    if lost > 0.0 {
        bail!("{lost} packets missing in what the edge received");
    }
    Ok(format!(
        "{} calls, 0 failed, {} SIP retransmissions; {heard} packets in, {sent} out, {dropped} after a call's end, 0 lost",
        counted.successful, counted.retransmissions
    ))
}

/// Makes calls that arrive over TCP and are sent on over UDP.
pub(crate) fn tcp(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(&configuration(setting))?;
    let _callee = Callee::start(PBX, 5060)?;
    let mut calls = Calls::new(setting.calls(100, 40), 20, Duration::from_secs(1));
    calls.transport = "t1";
    let Some(tcp) = edge.tcp else { bail!("no tcp listener") };
    let counted = calls.run(tcp)?;
    edge.assert_alive()?;
    calls.all(&counted, || edge.log_tail())?;
    Ok(format!("{} calls, 0 failed", counted.successful))
}
