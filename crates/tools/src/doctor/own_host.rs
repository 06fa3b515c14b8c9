//! Host names of the edge that trunks are shown (`contact_host`): their DNS addresses and certificates.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use trunkgate_call::Addressing;
use trunkgate_route::locate::LocatedServers;
use trunkgate_route::{Destination, Transport, Trunk};

use super::peers::{judge_end, of_name};
use crate::findings::Finding;
use trunkgate_config::{Config, ListenSettings};
use trunkgate_runtime::transport::{CertificateOwner, TlsSettings};
use trunkgate_system::certificates::{CertificatePair, carries, dns_names};

/// Returns the trunks with a `contact_host`, each with that name.
pub(super) fn named(config: &Config) -> impl Iterator<Item = (&Trunk, &str)> {
    config.trunks.iter().filter_map(|trunk| Some((trunk, trunk.own_hosts.contact.as_deref()?)))
}

/// Returns the destination for a DNS lookup of a name's addresses, without NAPTR and SRV.
pub(super) fn destination(host: &str) -> Destination {
    Destination { host: host.to_owned(), port: Some(5061), transport: Transport::Tls, is_fixed: true }
}

/// Checks the DNS result for a trunk's `contact_host`.
pub(super) fn judge_name(config: &Config, trunk: &Trunk, host: &str, located: &LocatedServers) -> Finding {
    let whose = whose(trunk);
    if located.fault().is_some() {
        return of_name(&whose, &format!("`contact_host` of [trunk.{}]", trunk.name), host, located);
    }
    let found: Vec<IpAddr> = located.servers.iter().flat_map(|server| server.addresses.iter().copied()).collect();
    judge_addresses(&whose, host, &found, &public_addresses(config, trunk), |ip| UdpSocket::bind((ip, 0)).is_ok())
}

/// Checks that the addresses of a host name belong to the edge: to `public_address`, otherwise to this machine.
fn judge_addresses(
    whose: &str,
    host: &str,
    found: &[IpAddr],
    public: &[IpAddr],
    is_machine: impl Fn(IpAddr) -> bool,
) -> Finding {
    // A public address applies only to its address family.
    let is_ours = |ip: &IpAddr| {
        let has_public = public.iter().any(|public| public.is_ipv4() == ip.is_ipv4());
        if has_public { public.contains(ip) } else { is_machine(*ip) }
    };
    let text = format!("{whose}: {host} → {}", listed(found));
    let others: Vec<IpAddr> = found.iter().copied().filter(|ip| !is_ours(ip)).collect();
    let ours = listed(public);
    match (others.is_empty(), public.is_empty()) {
        (true, true) => Finding::ok("dns", format!("{text}, this machine")),
        (true, false) => Finding::ok("dns", format!("{text}, the public address")),
        (false, true) => {
            let text = format!("{text}: no address of this machine, and `public_address` is not set");
            let first = others.first().map(IpAddr::to_string).unwrap_or_default();
            let fix = format!(
                "set `public_address = \"{first}\"` in [edge] if that address is forwarded to this machine; otherwise correct the DNS \
                 record of {host}"
            );
            Finding::warn("dns", text, fix)
        }
        (false, false) => {
            let text = format!("{text}, but `public_address` is {ours}: calls of the trunk go elsewhere");
            let fix = format!("set the DNS record of {host} to {ours}, or correct `public_address`");
            Finding::fail("dns", text, fix)
        }
    }
}

fn listed(addresses: &[IpAddr]) -> String {
    addresses.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ")
}

fn whose(trunk: &Trunk) -> String {
    format!("contact_host of {}", trunk.name)
}

/// Returns the public addresses of the listeners that a trunk uses; without such a listener, those of `[edge]`.
fn public_addresses(config: &Config, trunk: &Trunk) -> Vec<IpAddr> {
    let families = [IpAddr::from(Ipv4Addr::UNSPECIFIED), Ipv6Addr::UNSPECIFIED.into()];
    let mut own: Vec<&[IpAddr]> = listeners(config, trunk).map(|listen| &listen.public_address[..]).collect();
    if own.is_empty() {
        own.push(&[]);
    }
    let shown = |own: &[IpAddr]| families.map(|family| Addressing::public_of(family, own, &config.edge.public_address));
    let mut all: Vec<IpAddr> = own.into_iter().flat_map(shown).flatten().collect();
    all.sort();
    all.dedup();
    all
}

/// Returns the listeners for calls from and to a trunk: the one of its `listen`, otherwise those with the transport of
/// a peer.
fn listeners<'a>(config: &'a Config, trunk: &'a Trunk) -> impl Iterator<Item = &'a ListenSettings> {
    let fits = move |listen: &&'a ListenSettings| match trunk.listen.as_deref() {
        Some(name) => listen.name == name,
        None => trunk.peers.iter().any(|peer| peer.destination.transport == listen.transport),
    };
    config.listen.iter().filter(fits)
}

/// Checks that each `contact_host` is a name of the listeners' certificates and of the one shown to the trunk.
pub(super) fn certificates(config: &Config, settings: &TlsSettings) -> Vec<Finding> {
    let pairs = settings.pairs();
    let of = |kind: &str, name: &str| -> Vec<&CertificatePair> {
        let is_it = |(owner, _): &&(CertificateOwner, &CertificatePair)| owner.kind == kind && owner.name == name;
        pairs.iter().filter(is_it).map(|(_, pair)| *pair).collect()
    };
    let mut findings = Vec::new();
    for (trunk, host) in named(config) {
        for listen in listeners(config, trunk) {
            let has_own = listen
                .tls
                .as_ref()
                .is_some_and(|tls| tls.own.as_ref().is_some_and(|(file, _)| !tls.is_issued || file.exists()));
            if has_own {
                let fix = format!(
                    "correct `contact_host` of [trunk.{}], or add a certificate for {host} to `certificates` of [[listen]] {}",
                    trunk.name, listen.name
                );
                let owner = format!("listener {}", listen.name);
                findings.extend(judge_pairs(&whose(trunk), host, &owner, &of("listener", &listen.name), &fix));
            }
        }
        let fix = format!("set a certificate for {host} in `tls` of [trunk.{}]", trunk.name);
        let owner = format!("trunk {}", trunk.name);
        findings.extend(judge_pairs(&whose(trunk), host, &owner, &of("trunk", &trunk.name), &fix));
    }
    findings
}

/// Checks the certificates of a listener or trunk. Returns `None` if none is usable, which is reported by a line of its
/// own.
fn judge_pairs(whose: &str, host: &str, owner: &str, pairs: &[&CertificatePair], fix: &str) -> Option<Finding> {
    let leaves = || pairs.iter().filter_map(|pair| Some((*pair, pair.key.cert.first()?)));
    let fitting =
        leaves().filter(|(_, leaf)| carries(leaf, host)).map(|(pair, _)| pair).max_by_key(|pair| pair.expires);
    if let Some(pair) = fitting {
        let end = judge_end(owner, pair.expires);
        return Some(Finding { text: format!("{whose}: {host} is a name of the {}", end.text), ..end });
    }
    let names: Vec<String> = leaves().flat_map(|(_, leaf)| dns_names(leaf)).collect();
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    let text = format!("{whose}: no certificate of {owner} is valid for {host}; its names: {names}");
    (!pairs.is_empty()).then(|| Finding::fail("tls", text, fix))
}

#[cfg(test)]
mod tests {
    use super::super::configured;
    use super::*;
    use crate::findings::Level;
    use trunkgate_system::certificates::pair_of;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn judged(found: &[&str], public: &[&str]) -> Finding {
        let all = |texts: &[&str]| texts.iter().map(|text| ip(text)).collect::<Vec<_>>();
        let is_machine = |address| [ip("10.0.0.5"), ip("2001:db8::5")].contains(&address);
        judge_addresses("contact_host of x", "sbc.example.com", &all(found), &all(public), is_machine)
    }

    #[test]
    fn a_name_leads_to_the_public_address_or_to_this_machine() {
        let rows: [(&[&str], &[&str], Level, &str); 6] = [
            (&["203.0.113.10"], &["203.0.113.10"], Level::Ok, "→ 203.0.113.10, the public address"),
            (&["203.0.113.10"], &["203.0.113.10", "2001:db8::1"], Level::Ok, "the public address"),
            (&["192.0.2.9"], &["203.0.113.10"], Level::Fail, "→ 192.0.2.9, but `public_address` is 203.0.113.10"),
            (&["203.0.113.10", "192.0.2.9"], &["203.0.113.10"], Level::Fail, "→ 203.0.113.10, 192.0.2.9, but"),
            (&["10.0.0.5"], &[], Level::Ok, "→ 10.0.0.5, this machine"),
            (&["192.0.2.9"], &[], Level::Warn, "no address of this machine, and `public_address` is not set"),
        ];
        for (found, public, level, says) in rows {
            let finding = judged(found, public);
            assert_eq!((finding.level, finding.name.as_str()), (level, "dns"), "{finding:?}");
            assert!(finding.text.starts_with("contact_host of x: sbc.example.com → "), "{finding:?}");
            assert!(finding.text.contains(says), "{finding:?}");
            assert_eq!(finding.fix.is_empty(), level == Level::Ok, "{finding:?}");
        }
        assert!(judged(&["192.0.2.9"], &[]).fix.starts_with("set `public_address = \"192.0.2.9\"` in [edge]"));
    }

    #[test]
    fn the_addresses_of_a_listener_come_before_those_of_the_edge() {
        let text = "[edge]\npublic_address = '203.0.113.10'\n\
                    [[listen]]\nname = 'u'\ntransport = 'udp'\naddress = '0.0.0.0:5060'\n\
                    [[listen]]\nname = 'w'\ntransport = 'udp'\naddress = '0.0.0.0:5070'\npublic_address = '203.0.113.20'\n\
                    [trunk.x]\npeers = ['sip:192.0.2.1']\nlisten = 'NAME'\ncontact_host = 'sbc.example.com'\n";
        for (listen, expected) in [("u", "203.0.113.10"), ("w", "203.0.113.20")] {
            let config = configured(&text.replace("NAME", listen));
            let (trunk, host) = named(&config).next().unwrap();
            assert_eq!((public_addresses(&config, trunk), host), (vec![ip(expected)], "sbc.example.com"));
        }
        // A trunk without `listen` may use both listeners, and be shown either address.
        let config = configured(&text.replace("listen = 'NAME'\n", ""));
        let (trunk, _) = named(&config).next().unwrap();
        assert_eq!(public_addresses(&config, trunk), [ip("203.0.113.10"), ip("203.0.113.20")]);
        let config =
            configured(&text.replace("peers = ['sip:192.0.2.1']\nlisten = 'NAME'", "accept_from = ['192.0.2.1/32']"));
        let (trunk, _) = named(&config).next().unwrap();
        assert_eq!(public_addresses(&config, trunk), [ip("203.0.113.10")]);
    }

    #[test]
    fn each_family_of_a_name_has_a_public_address_of_its_own() {
        let text = "[edge]\npublic_address = ['203.0.113.10', '2001:db8::1']\n\
                    [[listen]]\nname = 'u'\ntransport = 'udp'\naddress = '[::]:5060'\npublic_address = '2001:db8::2'\n\
                    [trunk.x]\npeers = ['sip:[2001:db8::9]']\ncontact_host = 'sbc.example.com'\n";
        let config = configured(text);
        let (trunk, _) = named(&config).next().unwrap();
        assert_eq!(public_addresses(&config, trunk), [ip("203.0.113.10"), ip("2001:db8::2")]);
        let rows: [(&[&str], &[&str], Level); 5] = [
            (&["203.0.113.10", "2001:db8::2"], &["203.0.113.10", "2001:db8::2"], Level::Ok),
            (&["203.0.113.10", "2001:db8::1"], &["203.0.113.10", "2001:db8::2"], Level::Fail),
            // The IPv6 address is the machine's own, because the public address is of the other family.
            (&["203.0.113.10", "2001:db8::5"], &["203.0.113.10"], Level::Ok),
            (&["203.0.113.10", "2001:db8::6"], &["203.0.113.10"], Level::Fail),
            (&["10.0.0.5"], &["2001:db8::2"], Level::Ok),
        ];
        for (found, public, level) in rows {
            assert_eq!(judged(found, public).level, level, "{found:?} {public:?}");
        }
    }

    fn pair(names: &[&str]) -> CertificatePair {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        pair_of(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes()).unwrap()
    }

    #[test]
    fn one_certificate_of_an_owner_is_for_the_name() {
        let (other, own, wide) = (pair(&["other.example.com"]), pair(&["sbc.example.com"]), pair(&["*.example.com"]));
        let judge = |pairs: &[&CertificatePair]| {
            judge_pairs("contact_host of x", "sbc.example.com", "listener s", pairs, "add one")
        };
        assert_eq!(judge(&[]), None);
        for pairs in [&[&own][..], &[&other, &own], &[&wide]] {
            let finding = judge(pairs).unwrap();
            let begins = "contact_host of x: sbc.example.com is a name of the certificate of listener s: until ";
            assert!(finding.level == Level::Ok && finding.text.starts_with(begins), "{finding:?}");
        }
        let finding = judge(&[&other]).unwrap();
        let text = "contact_host of x: no certificate of listener s is valid for sbc.example.com; its names: other.example.com";
        assert_eq!((finding.level, finding.text.as_str(), finding.fix.as_str()), (Level::Fail, text, "add one"));
    }
}
