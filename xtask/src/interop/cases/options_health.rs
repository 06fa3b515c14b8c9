//! Peer that dies silently, is skipped, and is used again once it is back.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::kamailio::{CONFIGURATION, Kamailio};
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Phone;
use crate::interop::sipp::{CARRIER, Callee, PBX};

const FIRST: &str = "127.0.0.5";
const SECOND: &str = "127.0.0.6";
/// Maximum set-up time of a call while the first peer is known to be dead.
const AT_ONCE: Duration = Duration::from_millis(500);

/// Calls by two Kamailios, of which the first is replaced by a socket that does not respond.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let start = |address: &str| Kamailio::start(&CONFIGURATION.replace(FIRST, address));
    let (first, _second) = (start(FIRST)?, start(SECOND)?);
    // Broken: the edge sends no probes.
    let interval = if setting.sabotage { "0s" } else { "1s" };
    let edge = Edge::start(&format!(
        r#"
[trunk.carrier]
options_interval = "0s"
accept_from = ["{CARRIER}/32"]
[trunk.upstream]
options_interval = "{interval}"
no_response_timeout = "1s"
peers = [{{ uri = "sip:{FIRST}:5080", priority = 1 }}, {{ uri = "sip:{SECOND}:5080", priority = 2 }}]
media_from = ["{PBX}/32"]
[[route]]
from = ["carrier"]
connect = ["trunk:upstream"]
"#
    ))?;
    let _callee = Callee::start(PBX, 5060)?;
    let up = |edge: &Edge, address: &str| {
        edge.labelled("trunkgate_peer_up", &format!("trunk=\"upstream\",peer=\"sip:{address}:5080\""))
    };
    edge.wait_until("both are up", Duration::from_secs(5), |edge| Ok(up(edge, FIRST)? + up(edge, SECOND)? == 2.0))?;
    call(&edge, FIRST).context("while both are up")?;

    drop(first);
    let silent = UdpSocket::bind((FIRST, 5080))?;
    let noticed = edge.wait_until("the first is down", Duration::from_secs(15), |edge| Ok(up(edge, FIRST)? == 0.0))?;
    let past_it = call(&edge, SECOND).context("while the first is down")?;
    if past_it > AT_ONCE {
        bail!("a call took {past_it:?} though the first peer was known to be dead");
    }

    drop(silent);
    let _first = start(FIRST)?;
    let back = edge.wait_until("the first is up again", Duration::from_secs(15), |edge| Ok(up(edge, FIRST)? == 1.0))?;
    call(&edge, FIRST).context("after it came back")?;
    Ok(format!(
        "down after {:.1} s of silence, a call past it in {} ms, used again {:.1} s after it was back",
        noticed.as_secs_f64(),
        past_it.as_millis(),
        back.as_secs_f64() + 2.0
    ))
}

/// Makes a call that must go to this peer only; returns its set-up time.
fn call(edge: &Edge, by: &str) -> anyhow::Result<Duration> {
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let records = edge.records()?.len();
    let began = Instant::now();
    let call = caller.call(edge.udp, "+14155550100")?;
    let took = began.elapsed();
    caller.bye(&call)?;
    edge.wait_until("the call has its record", Duration::from_secs(5), |edge| Ok(edge.records()?.len() > records))?;
    let records = edge.records()?;
    let legs = records.last().and_then(|record| record.get("legs")?.as_array().cloned()).context("no legs")?;
    let remotes: Vec<&str> = legs.iter().filter_map(|leg| leg.get("remote")?.as_str()).collect();
    match remotes.as_slice() {
        [_, one] if one.starts_with(by) => Ok(took),
        other => bail!("it went by {other:?} instead of {by}"),
    }
}
