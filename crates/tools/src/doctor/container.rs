//! Containers: detects a network namespace behind a bridge. There each published media port costs memory and a rule or
//! a process (docker-proxy), and packets lose their source address.

use std::net::Ipv4Addr;
use std::path::Path;

use crate::findings::Finding;
use trunkgate_config::Config;

/// Number of media ports above which a bridge is unsuitable: publishing 500 ports took 600 MB of memory.
const BRIDGED_PORTS: u32 = 200;

/// Facts about the container and its network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether this is a container: `/.dockerenv`, `/run/.containerenv`, or the runtime's name in the control group
    /// exists.
    is_container: bool,
    /// Interfaces except loopback, each with whether its other end is in another namespace, as for a veth pair.
    interfaces: Vec<(String, bool)>,
    /// Interface and gateway of the default route.
    route: Option<(String, Ipv4Addr)>,
}

impl Facts {
    /// Reads the facts about this machine; facts that cannot be read stay empty.
    pub(super) fn read() -> Facts {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let marked = ["/.dockerenv", "/run/.containerenv"].iter().any(|path| Path::new(path).exists());
        let of_interface = |name: &str, what: &str| text(&format!("/sys/class/net/{name}/{what}"));
        let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| name != "lo");
        let is_paired = |name: &str| {
            let (index, peer) = (of_interface(name, "ifindex"), of_interface(name, "iflink"));
            !index.is_empty() && index != peer
        };
        Facts {
            is_container: marked || is_container_group(&text("/proc/1/cgroup")),
            interfaces: names.map(|name| (name.clone(), is_paired(&name))).collect(),
            route: default_route(&text("/proc/net/route")),
        }
    }

    /// Returns the gateway of the container's bridge; `None` outside of a bridged container.
    fn bridge(&self) -> Option<Ipv4Addr> {
        let [(name, true)] = self.interfaces.as_slice() else { return None };
        let (by, gateway) = self.route.as_ref()?;
        (by == name && gateway.is_private()).then_some(*gateway)
    }
}

/// Returns whether the control groups of the first process (`/proc/1/cgroup`) are those of a container.
fn is_container_group(groups: &str) -> bool {
    ["docker", "containerd", "kubepods", "libpod", "/lxc/"].iter().any(|runtime| groups.contains(runtime))
}

/// Parses interface and gateway of the default route from the kernel's table (`/proc/net/route`): hexadecimal, in host
/// byte order.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace();
        let (name, to, gateway) = (words.next()?, words.next()?, words.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| to == "00000000" && *gateway != 0)?;
        Some((name.to_owned(), Ipv4Addr::from(gateway.to_ne_bytes())))
    })
}

/// Returns the finding about a container; `None` on any other machine.
pub(super) fn judge(config: &Config, facts: &Facts) -> Option<Finding> {
    if !facts.is_container {
        return None;
    }
    let Some(gateway) = facts.bridge() else {
        return Some(Finding::ok("container", "its network is not a bridge"));
    };
    let (first, last) = config.media.ports;
    let ports = u32::from(last).saturating_sub(u32::from(first)) + 1;
    if ports <= BRIDGED_PORTS {
        return Some(Finding::ok("container", format!("behind a bridge ({gateway}), {ports} media ports to publish")));
    }
    let text = format!(
        "behind a bridge ({gateway}) with {ports} media ports: publishing each takes memory and minutes, and source addresses \
         are rewritten"
    );
    let few = u32::from(first) + BRIDGED_PORTS - 1;
    let calls = BRIDGED_PORTS / 4;
    let fix = format!(
        "use the host network (`docker run --network host`, `network_mode: host`, `hostNetwork: true`); for a test set \
         [media] ports = \"{first}-{few}\", for {calls} calls"
    );
    Some(Finding::warn("container", text, fix))
}

#[cfg(test)]
mod tests {
    use super::super::configured;
    use super::*;
    use crate::findings::Level;

    const ROUTES: &str = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";

    fn bridged() -> Facts {
        let route = Some(("eth0".to_owned(), Ipv4Addr::new(172, 17, 0, 1)));
        Facts { is_container: true, interfaces: vec![("eth0".to_owned(), true)], route }
    }

    #[test]
    fn a_bridge_with_many_media_ports_is_warned_of() {
        let many = configured("[media]\nports = '16384-32767'\n");
        let found = judge(&many, &bridged()).unwrap();
        assert_eq!(found.level, Level::Warn, "{found:?}");
        assert!(found.text.starts_with("behind a bridge (172.17.0.1) with 16384 media ports"), "{found:?}");
        assert!(found.fix.contains("--network host") && found.fix.contains("ports = \"16384-16583\", for 50 calls"));
        let few = configured("[media]\nports = '16384-16583'\n[limits]\ncalls = 50\n");
        assert_eq!(judge(&few, &bridged()).unwrap().level, Level::Ok);
    }

    #[test]
    fn other_networks_are_no_bridge() {
        let config = configured("");
        let level = |facts: &Facts| judge(&config, facts).map(|found| found.level);
        assert_eq!(level(&Facts { is_container: false, ..bridged() }), None, "a veth, and no container");
        let on_host = vec![("eth0".to_owned(), false), ("docker0".to_owned(), false)];
        for other in [
            Facts { interfaces: on_host, ..bridged() },
            Facts { interfaces: vec![("eth0".to_owned(), false)], ..bridged() },
            Facts { route: Some(("eth0".to_owned(), Ipv4Addr::new(203, 0, 113, 1))), ..bridged() },
            Facts { route: None, ..bridged() },
        ] {
            assert_eq!(level(&other), Some(Level::Ok), "{other:?}");
        }
    }

    #[test]
    fn the_kernel_s_tables_are_read() {
        let gateway = format!("{:08X}", u32::from_ne_bytes([172, 17, 0, 1]));
        let lines = format!("{ROUTES}eth0\t000011AC\t00000000\t0001\t0\neth0\t00000000\t{gateway}\t0003\t0\n");
        assert_eq!(default_route(&lines), Some(("eth0".to_owned(), Ipv4Addr::new(172, 17, 0, 1))));
        for none in ["", ROUTES, "x", &format!("{ROUTES}eth0\t00000000\tzz\neth0\n")] {
            assert_eq!(default_route(none), None, "{none}");
        }
        assert!(is_container_group("12:pids:/docker/5f\n") && is_container_group("0::/kubepods.slice/x\n"));
        assert!(!is_container_group("0::/init.scope\n"));
        // On this machine there may be a finding or none, but no panic.
        let _ = judge(&configured(""), &Facts::read());
    }
}
