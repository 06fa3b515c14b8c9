//! Resource leaks: two rounds of calls, then silence, after which nothing of them may remain.

use std::time::Duration;

use anyhow::bail;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{CARRIER_TO_PBX, Callee, Calls, PBX};

/// Metrics that must return to 0.
const GAUGES: [&str; 6] = [
    "trunkgate_sip_transactions_active",
    "trunkgate_sip_dialogs_active",
    "trunkgate_calls_active",
    "trunkgate_media_sessions",
    "trunkgate_media_ports_in_use",
    "trunkgate_packet_buffers_in_use",
];

/// Returns SIPp's built-in uac scenario with an RTP stream, cut before the pause and the BYE, so that calls stay.
fn without_bye() -> String {
    let scenario = include_str!("../../../../examples/sipp/uac_rtp.xml");
    let end = scenario.find("<pause/>").unwrap_or(scenario.len());
    format!("{}</scenario>\n", scenario.get(..end).unwrap_or_default())
}

/// Makes 1,000 calls twice.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let mut edge = Edge::start(CARRIER_TO_PBX)?;
    let _callee = Callee::start(PBX, 5060)?;
    let calls = Calls::new(setting.calls(1_000, 300), 50, Duration::from_secs(1));
    // A first, small round creates data that is needed only once.
    Calls::new(20, 20, Duration::from_secs(1)).run(edge.udp)?;
    let mut resident = Vec::new();
    let descriptors = edge.metric("process_open_fds")?;
    for _ in 0..2 {
        let counted = if setting.sabotage {
            Calls { scenario: Some(without_bye().into()), ..calls.clone() }.run(edge.udp)?
        } else {
            calls.run(edge.udp)?
        };
        if counted.failed > 0 && !setting.sabotage {
            bail!("{} calls failed\n{}", counted.failed, edge.log_tail());
        }
        edge.wait_until("every gauge is back at 0", Duration::from_secs(45), |edge| {
            for gauge in GAUGES {
                if edge.metric(gauge)? != 0.0 {
                    return Ok(false);
                }
            }
            Ok(true)
        })?;
        edge.assert_alive()?;
        resident.push(edge.resident_bytes()?);
        let now = edge.metric("process_open_fds")?;
        // The HTTP connection of this request may be counted or not.
        if (now - descriptors).abs() > 2.0 {
            bail!("{descriptors} descriptors before, {now} now");
        }
    }
    let growth = match resident.as_slice() {
        [first, second] => (second - first) / 1_048_576.0,
        _ => bail!("two rounds expected"),
    };
    if growth > 10.0 {
        bail!("memory grew by {growth:.1} MiB from the first round to the second");
    }
    Ok(format!("2 × {} calls: all gauges 0, {descriptors} descriptors as before, {growth:+.1} MiB", calls.calls))
}
