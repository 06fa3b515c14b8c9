//! Edge on loopback for a test without `--to`: two trunks, one route, default settings.

use std::net::SocketAddr;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::plan::{LoadTestPlan, OWN_NUMBER};
use trunkgate_boot::edge::RunningEdge;
use trunkgate_config as config;
use trunkgate_system::free_ports::free_ports;

/// Media ports of the edge for each call: RTP and RTCP on both sides.
const PORTS: usize = 4;
/// Calls per second that the edge accepts beyond the planned rate.
const SPARE_CPS: u64 = 20;

/// Starts an edge on loopback that routes calls from `callers` to `callees`.
pub(super) fn start(plan: &LoadTestPlan, callers: SocketAddr, callees: SocketAddr) -> anyhow::Result<RunningEdge> {
    let ports = u16::try_from(plan.sockets() * PORTS).ok().context("too many calls for one edge on loopback")?;
    let first = free_ports(ports)?;
    let cps = plan.interval.as_secs_f64().recip().ceil() as u64 + SPARE_CPS;
    let text = format!(
        "[edge]\nname = \"load\"\n\
         [[listen]]\ntransport = \"udp\"\naddress = \"127.0.0.1:0\"\n\
         [media]\naddress = [\"127.0.0.1\"]\nports = \"{first}-{}\"\n\
         [limits]\ncalls_per_second = {cps}\n\
         [http]\naddress = \"127.0.0.1:0\"\n\
         [trunk.callers]\npeers = [\"sip:{callers}\"]\noptions_interval = \"0s\"\n\
         [trunk.callees]\npeers = [\"sip:{callees}\"]\noptions_interval = \"0s\"\n\
         [[route]]\nname = \"load\"\nto = [\"{OWN_NUMBER}\"]\nconnect = [\"trunk:callees\"]\n",
        first + (ports - 1)
    );
    let file = Path::new("loadtest.toml");
    let (config, _) = config::parse(file, &text).map_err(|wrong| anyhow!("{}", config::render(file, &text, &wrong)))?;
    RunningEdge::start(config).map_err(|error| anyhow!("{error}"))
}
