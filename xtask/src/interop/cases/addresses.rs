//! Calls through an edge without `public_address` on a machine with two interfaces, in network namespaces: one
//! interface towards the administrators, one towards a carrier behind a router. With each combination of listeners and
//! routes, callers hear the called side, and each side sees the edge's address on the carrier's interface.

use std::process::Command;

use anyhow::{Context as _, ensure};
use serde_json::Value;

use crate::commands;
use crate::interop::edge::{self, Edge};
use crate::interop::netns::{self, Namespace};
use crate::interop::{Setting, sound};

/// Addresses of the edge and of its neighbour, on the administrators' interface and on the carrier's.
const ADMIN: [&str; 2] = ["192.0.2.9/24", "192.0.2.1/24"];
const OUTSIDE: [&str; 2] = ["198.51.100.10/24", "198.51.100.7/24"];
/// Address of the edge on the carrier's interface.
const OURS: &str = "198.51.100.10";
/// Address of the carrier behind its router.
const CARRIER: &str = "203.0.113.5";
/// Minimum number of packets that a caller receives of a tone of two seconds.
const HEARD: u64 = 50;

/// Routing table of the edge's machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Routes {
    /// A route to the carrier's network, and no default route.
    CarrierAlone,
    /// A route to the carrier's network, and a default route over the administrators' interface.
    DefaultElsewhere,
    /// A default route over the administrators' interface, and a rule for packets with the source address of the
    /// carrier's interface.
    BySource,
}

/// Makes a call in each tested arrangement of listeners and routes.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = netns::missing() {
        return Ok(skipped);
    }
    let all = [
        (Routes::CarrierAlone, OURS),
        (Routes::CarrierAlone, "0.0.0.0"),
        (Routes::DefaultElsewhere, OURS),
        (Routes::DefaultElsewhere, "0.0.0.0"),
        (Routes::BySource, OURS),
    ];
    for (routes, listen) in all {
        call(routes, listen, setting.sabotage).with_context(|| format!("{routes:?}, listener on {listen}"))?;
    }
    let count = all.len();
    Ok(format!("{count} arrangements: callers hear the called side, and both sides are shown {OURS}"))
}

/// Makes a call from the carrier through the edge back to the carrier, which plays a tone.
fn call(routes: Routes, listen: &str, sabotage: bool) -> anyhow::Result<()> {
    let (here, admin, carrier) =
        (Namespace::new("two-edge")?, Namespace::new("two-admin")?, Namespace::new("two-carrier")?);
    lay(routes, [&here, &admin, &carrier])?;
    let files: [(&str, &[u8]); 1] = [("tone.wav", &sound::wav(8_000, 1, 2, |t| sound::tone(440, t)))];
    let callee = format!(
        "{}[trunk.edge]\naccept_from = [\"{OURS}/32\"]\n[[route]]\nconnect = [\"play:tone.wav\"]\n",
        listeners(CARRIER, 5_070, "20000-20999", "")
    );
    // Broken: the public address does not exist.
    let public = if sabotage { "[edge]\npublic_address = \"198.51.100.99\"\n" } else { "" };
    let config = format!(
        "{}[trunk.carrier]\npeers = [\"sip:{CARRIER}:5070\"]\naccept_from = [\"{CARRIER}/32\"]\n\
         [[route]]\nconnect = [\"trunk:carrier\"]\n",
        listeners(listen, 5_060, "21000-21999", public)
    );
    let binary = std::path::absolute(edge::binary())?;
    let _callee = carrier.enter(|| Edge::start_in(Command::new(&binary), &callee, &files))?;
    let edge = here.enter(|| Edge::start_as(Command::new(&binary), &config))?;
    let uri = format!("sip:+14155550123@{OURS}");
    let mut caller = carrier.command(&binary.display().to_string());
    let told: Value =
        serde_json::from_str(&commands::output(caller.args(["call", &uri, "--duration", "2s", "--json"]))?)?;
    let heard = told["rtp"]["rx_packets"].as_u64().unwrap_or_default();
    ensure!(heard >= HEARD, "the caller heard {heard} packets: {told:#}");
    let calls: Value = serde_json::from_str(&edge.get("/v1/calls")?)?;
    let legs = calls["calls"][0]["legs"].as_array().context("no call")?;
    ensure!(legs.len() == 2, "not one call of two legs: {calls:#}");
    for leg in legs {
        let ours = leg["media"]["ours"].as_str().unwrap_or_default();
        ensure!(ours.starts_with(&format!("{OURS}:")), "a side was shown {ours}: {leg:#}");
    }
    let trunks: Value = serde_json::from_str(&edge.get("/v1/trunks")?)?;
    let announced = &trunks["trunks"][0]["announced"];
    let expected = serde_json::json!([{"to": CARRIER, "sip": OURS, "media": OURS}]);
    ensure!(*announced == expected, "status says {announced}");
    Ok(())
}

/// Creates the links and routes between the edge, the administrators and the carrier.
fn lay(routes: Routes, [here, admin, carrier]: [&Namespace; 3]) -> anyhow::Result<()> {
    here.cable(ADMIN[0], admin, ADMIN[1], "admin")?;
    here.cable(OUTSIDE[0], carrier, OUTSIDE[1], "outside")?;
    let ip = |namespace: &Namespace, arguments: &str| {
        commands::output(namespace.command("ip").args(arguments.split(' ')))
            .map(drop)
            .with_context(|| arguments.to_owned())
    };
    ip(carrier, &format!("address add {CARRIER}/32 dev lo"))?;
    ip(carrier, &format!("route replace 198.51.100.0/24 dev outside-far src {CARRIER}"))?;
    if routes != Routes::BySource {
        ip(here, "route add 203.0.113.0/24 via 198.51.100.7")?;
    }
    if routes != Routes::CarrierAlone {
        ip(here, "route add default via 192.0.2.1")?;
    }
    if routes == Routes::BySource {
        ip(here, "route add default via 198.51.100.7 table 100")?;
        ip(here, &format!("rule add from {OURS} table 100"))?;
    }
    Ok(())
}

/// Returns the configuration sections of an edge with one listener.
fn listeners(sip: &str, port: u16, ports: &str, edge: &str) -> String {
    format!(
        "{edge}[[listen]]\ntransport = \"udp\"\naddress = \"{sip}:{port}\"\n[media]\nports = \"{ports}\"\n\
         [http]\naddress = \"127.0.0.1:8080\"\n"
    )
}
