//! Checks of this machine: free ports, resource limits, and the public address.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use nix::sys::resource::{Resource, getrlimit};

use super::{Report, container, disks};
use crate::announced::{self, TrunkAddresses};
use crate::client::EdgePresence;
use crate::findings::Finding;
use trunkgate_config::Config;
use trunkgate_runtime::transport;
use trunkgate_system::interfaces;
use trunkgate_system::limits;

/// Name of the finding about the public address.
const LINE: &str = "public address";
/// Sockets per call: RTP and RTCP on both sides.
const FILES_PER_CALL: u64 = 4;
/// Open files in addition to those of calls: SIP connections, agents, HTTP, the log.
const OTHER_FILES: u64 = 8_192;

/// Runs the checks of this machine, and reports each finding as soon as it is known.
pub(super) fn examine(config: &Config, report: &Report, presence: &EdgePresence) -> Vec<Finding> {
    let mut all = Vec::new();
    if report.wants("ports") {
        all.extend(report.take(vec![sockets(config, presence)]));
    }
    all.extend(report.take(vec![
        media_ports(config),
        ephemeral_range(config, number_pair("/proc/sys/net/ipv4/ip_local_port_range")),
        open_files(config, getrlimit(Resource::RLIMIT_NOFILE).map(|(_, hard)| hard).ok()),
        udp_buffers(number_pair("/proc/sys/net/core/rmem_max").map(|(bytes, _)| bytes)),
        disks::examine(config),
    ]));
    all.extend(report.take(container::judge(config, &container::Facts::read()).into_iter().collect()));
    all
}

/// Checks that the sockets of listeners and HTTP can be bound, unless an edge runs with this file.
fn sockets(config: &Config, presence: &EdgePresence) -> Finding {
    let bound = transport::bind(&config.listen)
        .map(drop)
        .and_then(|()| transport::bind_http(&config.http).map(drop))
        .and_then(|()| transport::bind_api(&config.api).map(drop))
        .and_then(|()| transport::bind_challenge(config.acme.as_ref()).map(drop));
    let all: Vec<String> =
        config.listen.iter().map(|listen| format!("{} {}", listen.transport.as_str(), listen.address)).collect();
    match bound {
        Ok(()) => Finding::ok("ports", format!("{}, http {} can be bound", all.join(", "), config.http.address)),
        Err(error) if error.error.kind() == io::ErrorKind::AddrInUse => {
            let text = format!("{}: {}", error.what, error.error);
            match presence {
                EdgePresence::Edge => Finding::ok("ports", "in use by a running edge: see `trunkgate status`"),
                EdgePresence::Silent(why) => {
                    let (why, fix) = why.split_once("; try: ").unwrap_or((why, "`ss -lntup` shows the program"));
                    Finding::fail("ports", format!("{text}; {why}"), fix)
                }
                EdgePresence::Absent => {
                    let text = format!("{text}; no edge answers at http {}", config.http.address);
                    Finding::fail("ports", text, "`ss -lntup` shows the program that uses it")
                }
                EdgePresence::Other => {
                    let text =
                        format!("{text}; http {} answers, but not as a Trunkgate edge does", config.http.address);
                    Finding::fail("ports", text, "`ss -lntup` shows the program that uses it")
                }
            }
        }
        Err(error) => Finding::fail("ports", format!("{}: {}", error.what, error.error), "trunkgate help TG0201"),
    }
}

/// Checks the first, a middle and the last media port pair on each address.
fn media_ports(config: &Config) -> Finding {
    let (first, last) = config.media.ports;
    let mut taken = Vec::new();
    for ip in &config.media.address {
        for port in [first, first.midpoint(last), last] {
            if let Err(error) = UdpSocket::bind((*ip, port)) {
                // A machine without IPv6 sends no IPv6 media.
                let absent = error.kind() == io::ErrorKind::AddrNotAvailable || error.raw_os_error() == Some(97);
                if !(ip.is_ipv6() && ip.is_unspecified() && absent) {
                    taken.push(format!("{}: {error}", SocketAddr::new(*ip, port)));
                }
            }
        }
    }
    match taken.is_empty() {
        true => Finding::ok("media ports", format!("udp {first}-{last}")),
        false => Finding::warn("media ports", taken.join(", "), "use another range in [media] ports"),
    }
}

fn ephemeral_range(config: &Config, range: Option<(u64, u64)>) -> Finding {
    let (first, last) = (u64::from(config.media.ports.0), u64::from(config.media.ports.1));
    match range {
        Some((low, high)) if first <= high && low <= last => {
            let text =
                format!("{low}-{high} overlaps with the media ports {first}-{last}: other programs may use them");
            let fix = format!("sysctl -w net.ipv4.ip_local_port_range=\"{} 60999\"", (last + 1).max(32_768));
            Finding::warn("ephemeral range", text, fix)
        }
        Some((low, high)) => Finding::ok("ephemeral range", format!("{low}-{high}, separate from the media ports")),
        None => Finding::ok("ephemeral range", "unknown"),
    }
}

/// Returns whether any remote party is outside the local networks. `peers` are the resolved addresses of the peers.
pub(super) fn leads_out(config: &Config, peers: &[IpAddr]) -> bool {
    let is_local = |ip: IpAddr| is_local(config, ip);
    peers.iter().any(|ip| !is_local(*ip))
        || config.trunks.iter().flat_map(|trunk| &trunk.accept_from).any(|network| !is_local(network.addr()))
}

pub(super) fn is_local(config: &Config, ip: IpAddr) -> bool {
    config.edge.local_networks.iter().any(|network| network.contains(&ip))
}

/// Returns every `public_address` of the file.
pub(super) fn written_addresses(config: &Config) -> Vec<IpAddr> {
    config.edge.public_address.iter().chain(config.listen.iter().flat_map(|one| &one.public_address)).copied().collect()
}

/// Checks that remote parties outside the local networks are shown a reachable address. `announced`: the addresses
/// shown to each trunk; `own`: this machine's address towards destinations outside.
pub(super) fn public_address(
    config: &Config,
    leads_out: bool,
    own: Option<IpAddr>,
    announced: &[TrunkAddresses],
) -> Finding {
    if let Some((trunk, peer)) = announced::unrouted(announced).next() {
        let text = format!("no address to announce to {trunk}: this machine has no route to {peer}, calls there fail");
        let fix = format!("add a route to {peer} (`ip route get {peer}`), or correct the address in [trunk.{trunk}]");
        return Finding::fail(LINE, text, fix);
    }
    let written = written_addresses(config);
    if !written.is_empty() {
        let is_elsewhere = written.iter().any(|ip| !interfaces::has(*ip));
        let elsewhere = if is_elsewhere { "; not an address of this machine: NAT must forward it" } else { "" };
        let written: Vec<String> = written.iter().map(IpAddr::to_string).collect();
        let text = format!(
            "{}, as configured, for external peers; none reports the address it sees{elsewhere}",
            written.join(", ")
        );
        return Finding::ok(LINE, text);
    }
    let all = announced.iter().flat_map(|trunk| &trunk.announced);
    let outside = all.filter(|one| !is_local(config, one.to)).find_map(|one| one.media);
    match outside.or(own) {
        Some(own) if leads_out && is_local(config, own) => Finding::warn(
            LINE,
            format!("external peers would get {own}, which they cannot reach"),
            "set [edge] public_address to the address that they see",
        ),
        Some(_) | None if announced.iter().any(|trunk| !trunk.announced.is_empty()) => {
            Finding::ok(LINE, format!("{}, this machine's", announced::in_words(announced).join("; ")))
        }
        Some(own) => Finding::ok(LINE, format!("{own}, this machine's")),
        None => Finding::warn(LINE, "no IPv4 route", "add a default route, or set [edge] public_address"),
    }
}

fn open_files(config: &Config, hard: Option<u64>) -> Finding {
    let wanted = u64::from(config.limits.calls) * FILES_PER_CALL + OTHER_FILES;
    match hard {
        Some(hard) if hard < wanted => Finding::warn(
            "open files",
            format!("limit {hard}: {} calls and their connections may need {wanted}", config.limits.calls),
            format!("set LimitNOFILE={wanted} in the systemd unit, or lower [limits] calls"),
        ),
        Some(hard) => Finding::ok("open files", format!("{hard} at most")),
        None => Finding::warn(
            "open files",
            "the limit cannot be read",
            "`ulimit -Hn` shows it; set LimitNOFILE in the systemd unit",
        ),
    }
}

fn udp_buffers(most: Option<u64>) -> Finding {
    let wanted = limits::UDP_BUFFER_BYTES as u64;
    match most {
        Some(bytes) if bytes < wanted => Finding::warn(
            "udp buffers",
            format!("rmem_max is {} KiB: bursts of SIP may be lost", bytes >> 10),
            format!("sysctl -w net.core.rmem_max={wanted}"),
        ),
        Some(bytes) => Finding::ok("udp buffers", format!("rmem_max {} KiB", bytes >> 10)),
        None => Finding::ok("udp buffers", "unknown"),
    }
}

/// Reads the first one or two numbers from a file of the kernel.
fn number_pair(path: &str) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(path).ok()?;
    let mut numbers = text.split_whitespace().map_while(|word| word.parse().ok());
    let first = numbers.next()?;
    Some((first, numbers.next().unwrap_or(first)))
}

#[cfg(test)]
mod tests {
    use trunkgate_call::AnnouncedAddresses;

    use super::super::configured;
    use super::*;
    use crate::findings::Level;

    #[test]
    fn limits_of_the_machine_are_judged() {
        let config = configured("[limits]\ncalls = 100\n[media]\nports = '16384-32767'\n");
        assert_eq!(open_files(&config, Some(1_024)).level, Level::Warn);
        assert_eq!(open_files(&config, Some(1 << 20)).level, Level::Ok);
        assert_eq!(udp_buffers(Some(212_992)).fix, "sysctl -w net.core.rmem_max=4194304");
        assert_eq!(udp_buffers(Some(8 << 20)).level, Level::Ok);
        let overlap = ephemeral_range(&config, Some((16_384, 60_999)));
        assert_eq!(overlap.fix, "sysctl -w net.ipv4.ip_local_port_range=\"32768 60999\"");
        assert_eq!(ephemeral_range(&config, Some((32_768, 60_999))).level, Level::Ok);
    }

    #[test]
    fn a_port_that_is_taken_fails() {
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let text = format!("[[listen]]\naddress = '{address}'\n[http]\naddress = '127.0.0.1:1'\n");
        let found = sockets(&configured(&text), &EdgePresence::Other);
        assert!(found.level == Level::Fail && found.text.ends_with("not as a Trunkgate edge does"), "{found:?}");
        let found = sockets(&configured(&text), &EdgePresence::Absent);
        assert!(found.level == Level::Fail && found.text.ends_with("no edge answers at http 127.0.0.1:1"), "{found:?}");
        assert_eq!(sockets(&configured(&text), &EdgePresence::Edge).level, Level::Ok);
        let hung = EdgePresence::Silent("it does not answer: PID 7 has the port; try: kill -CONT 7".to_owned());
        let found = sockets(&configured(&text), &hung);
        assert!(found.text.ends_with("PID 7 has the port") && found.fix == "kill -CONT 7", "{found:?}");
        drop(taken);
        let free = configured(&text.replace("127.0.0.1:1'", "127.0.0.1:0'"));
        assert_eq!(sockets(&free, &EdgePresence::Other).level, Level::Ok);
    }

    #[test]
    fn the_address_that_is_written_is_taken_and_a_local_one_is_not_for_outside() {
        let written = configured("[edge]\npublic_address = '203.0.113.10'\n");
        let inside: Option<IpAddr> = Some("10.0.0.2".parse().unwrap());
        let text = public_address(&written, true, inside, &[]).text;
        assert!(text.starts_with("203.0.113.10, as configured, for external peers; none reports"), "{text}");
        assert!(text.ends_with("not an address of this machine: NAT must forward it"), "{text}");
        let own = configured("[edge]\npublic_address = '127.0.0.1'\n");
        assert!(!public_address(&own, true, inside, &[]).text.contains("NAT"));
        let config = configured("[trunk.x]\npeers = ['sip:sbc.example']\n");
        for (peer, own, level) in [
            ("198.51.100.7", "10.0.0.2", Level::Warn),
            ("10.0.0.9", "10.0.0.2", Level::Ok),
            ("198.51.100.7", "203.0.113.5", Level::Ok),
        ] {
            let leads_out = leads_out(&config, &[peer.parse().unwrap()]);
            let found = public_address(&config, leads_out, Some(own.parse().unwrap()), &[]);
            assert_eq!(found.level, level, "{peer} {own}: {found:?}");
        }
        assert_eq!(public_address(&config, false, None, &[]).level, Level::Warn);
        let announced = |sip: &str, to: &str| {
            let sip = sip.parse().ok();
            let announced = vec![AnnouncedAddresses { to: to.parse().unwrap(), sip, media: sip }];
            [TrunkAddresses { name: "carrier".to_owned(), announced }]
        };
        // The route to the peer decides, not the default route's address.
        let found = public_address(&config, true, inside, &announced("203.0.113.9", "198.51.100.7"));
        assert_eq!((found.level, found.text.as_str()), (Level::Ok, "203.0.113.9 to carrier, this machine's"));
        let found = public_address(&config, true, None, &announced("10.0.0.3", "198.51.100.7"));
        assert!(found.level == Level::Warn && found.text.starts_with("external peers would get 10.0.0.3"), "{found:?}");
        let found = public_address(&config, true, inside, &announced("", "198.51.100.7"));
        assert_eq!(found.level, Level::Fail);
        assert!(found.text.contains("no route to 198.51.100.7") && found.fix.starts_with("add a route"), "{found:?}");
    }
}
