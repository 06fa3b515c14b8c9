//! Call to a first target that does not respond.

use std::net::UdpSocket;
use std::time::Duration;

use anyhow::bail;

use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::sipp::{Callee, Calls, PBX};

const SILENT: &str = "127.0.0.4:5060";

/// Makes calls by a route to a trunk that never reads its socket, followed by another one.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let _silent = UdpSocket::bind(SILENT)?;
    let second = if setting.sabotage { "" } else { r#", "trunk:pbx""# };
    let mut edge = Edge::start(&format!(
        r#"
[trunk.carrier]
accept_from = ["127.0.0.2/32"]
[trunk.silent]
options_interval = "0s"
peers = ["sip:{SILENT}"]
no_response_timeout = "1s"
[trunk.pbx]
options_interval = "0s"
peers = ["sip:127.0.0.3:5060"]
[[route]]
from = ["carrier"]
connect = ["trunk:silent"{second}]
"#
    ))?;
    let _callee = Callee::start(PBX, 5060)?;
    let calls = Calls::new(setting.calls(40, 20), 20, Duration::from_secs(1));
    calls.all_succeed(&mut edge)?;
    let delays: Vec<u64> = edge
        .records()?
        .iter()
        .filter_map(|record| record.get("post_dial_ms").and_then(serde_json::Value::as_u64))
        .collect();
    let (Some(least), Some(most)) = (delays.iter().min(), delays.iter().max()) else {
        bail!("no call record tells post_dial_ms");
    };
    if *least < 1_000 || *most > 1_500 {
        bail!("ringing came after {least} to {most} ms; 1,000 to 1,500 expected");
    }
    Ok(format!(
        "{} calls went on to the second trunk, ringing after {least} to {most} ms (1,000 configured)",
        delays.len()
    ))
}
