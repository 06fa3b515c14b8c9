//! Checks of addresses that belong to the edge itself: URLs that lead back to it, and a public address that is never
//! used.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ipnet::IpNet;
use trunkgate_route::{Peer, Transport};
use url::Url;

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SpannedRoute, SpannedTrunk};
use super::preset;
use super::schema::private_networks;
use trunkgate_system::agent_url::address;

/// Reports agents with a URL that leads to a listener of the edge. Host names are not resolved here.
pub(super) fn agents(draft: &ConfigDraft, findings: &mut Findings) {
    for placed in &draft.agents {
        let Some(span) = placed.url.clone() else { continue };
        let Some(to) = Url::parse(&placed.agent.url).ok().and_then(|url| target(&url)) else { continue };
        if let Some(whose) = bound(draft, to, placed.agent.is_raw()) {
            let message = format!("`url` resolves to {to}, which is {whose}: the edge itself");
            findings.error(code::BAD_URL, span, message, "use the agent's port, or move the edge to another port");
        }
    }
}

/// Reports webhooks of applications that lead to a listener of the edge, which is never allowed.
pub(super) fn apps(draft: &ConfigDraft, findings: &mut Findings) {
    for (key, url, span) in draft.apps.iter().flat_map(|placed| &placed.webhooks) {
        let Some(to) = Url::parse(url).ok().and_then(|url| target(&url)) else { continue };
        if let Some(whose) = bound(draft, to, false) {
            let message = format!("`{key}` can never be reached: {to} is {whose}, the edge itself");
            let help = "use the port of your application, or move the edge to another port";
            findings.error(code::BAD_WEBHOOK, span.clone(), message, help);
        }
    }
}

/// Reports a recogniser that leads to a listener of the edge.
pub(super) fn recogniser(draft: &ConfigDraft, findings: &mut Findings) {
    let (Some(spec), Some(span)) = (&draft.recognition, draft.spans.key("recognition", "url").cloned()) else { return };
    let Some(to) = Url::parse(&spec.url).ok().and_then(|url| target(&url)) else { return };
    if let Some(whose) = bound(draft, to, false) {
        let message = format!("`url` resolves to {to}, which is {whose}: the edge itself");
        findings.error(code::BAD_URL, span, message, "use the recogniser's port, or move the edge to another port");
    }
}

/// Reports `local_networks` that contain every trunk, including a public one: `public_address` is then never used.
/// Trunks with unresolved names or registered phones may be elsewhere and prevent the report.
pub(super) fn public_address(draft: &ConfigDraft, findings: &mut Findings) {
    let local = &draft.edge.local_networks;
    let written =
        draft.edge.public_address.iter().chain(draft.listen.iter().flat_map(|one| &one.listen.public_address));
    // An address in `local_networks` is reported elsewhere.
    let mut moot = written.filter(|address| !local.iter().any(|network| network.contains(*address)));
    let Some(span) = draft.spans.key("edge", "local_networks").cloned().filter(|_| moot.next().is_some()) else {
        return;
    };
    let mut outside = None;
    for placed in &draft.trunks {
        let Some(networks) = networks(placed) else { return };
        if networks.is_empty() || networks.iter().any(|one| !local.iter().any(|network| network.contains(one))) {
            return;
        }
        let is_public = |network: &&IpNet| !private_networks().any(|private| private.contains(*network));
        outside = outside.or(networks.iter().find(is_public).map(|network| (placed.trunk.name.clone(), *network)));
    }
    let Some((trunk, network)) = outside else { return };
    let shown =
        if network.prefix_len() == network.max_prefix_len() { network.addr().to_string() } else { network.to_string() };
    let message =
        format!("`local_networks` contains every trunk, including {trunk} at {shown}: `public_address` is never used");
    let help = "list only the networks that reach this machine without NAT";
    findings.warning(code::SHOWN_TO_NOBODY, Some(span), message, help);
}

/// Warns of a remote UDP trunk, given by single addresses or by a carrier preset, without configured media gateways:
/// media to other addresses is withheld until the ACK proves them. A trunk given by whole networks has its media there,
/// too.
pub(super) fn media_networks(placed: &SpannedTrunk, draft: &ConfigDraft, findings: &mut Findings) {
    let trunk = &placed.trunk;
    let calls =
        |route: &SpannedRoute| route.route.from.is_empty() || route.route.from.iter().any(|f| **f == *trunk.name);
    let by_udp = trunk.peers.is_empty() || trunk.peers.iter().any(|peer| peer.destination.transport == Transport::Udp);
    if trunk.siprec.is_some()
        || placed.keys.of("media_from").is_some()
        || trunk.require_auth.is_some()
        || !by_udp
        || !draft.routes.iter().any(calls)
    {
        return;
    }
    let is_host = |network: &IpNet| network.prefix_len() == network.max_prefix_len();
    let is_public = |network: &IpNet| !private_networks().any(|private| private.contains(network));
    let public = match trunk.accept_from.as_slice() {
        [] if placed.preset.as_ref().is_some_and(|(name, _)| preset::is_carrier(name)) => {
            let hosts = trunk.peers.iter().map(|peer| &*peer.destination.host);
            let outside = |host: &&str| host.parse::<IpAddr>().map_or(true, |ip| is_public(&ip.into()));
            hosts.into_iter().find(outside).map(str::to_owned)
        }
        networks if networks.iter().all(is_host) => {
            networks.iter().find(|network| is_public(network)).map(|network| network.addr().to_string())
        }
        _ => None,
    };
    let Some(public) = public else { return };
    let message = format!("the trunk {} calls from {public}, and its media may come from elsewhere", trunk.name);
    let help = "media_from = [\"…\"], the networks of its media gateways; [] if it has none";
    findings.warning(code::NO_MEDIA_NETWORK, Some(placed.name.clone()), message, help);
}

/// Returns the networks of a trunk; `None` if the file does not determine them.
fn networks(placed: &SpannedTrunk) -> Option<Vec<IpNet>> {
    let trunk = &placed.trunk;
    let is_known = !placed.is_partial && !trunk.accept_register && trunk.register.is_none();
    let peer = |peer: &Peer| peer.destination.host.parse::<IpAddr>().ok().map(IpNet::from);
    let peers: Option<Vec<IpNet>> = trunk.peers.iter().map(peer).collect();
    peers.filter(|_| is_known).map(|peers| [peers.as_slice(), &trunk.accept_from].concat())
}

fn target(url: &Url) -> Option<SocketAddr> {
    let ip = match url.host_str() {
        Some(name) if name.eq_ignore_ascii_case("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => address(url)?.to_canonical(),
    };
    Some(SocketAddr::new(ip, url.port_or_known_default()?))
}

fn bound(draft: &ConfigDraft, to: SocketAddr, is_raw: bool) -> Option<&'static str> {
    let is_at = |own: SocketAddr| {
        let any = own.ip().is_unspecified() && to.ip().is_loopback();
        own.port() == to.port() && (own.ip().to_canonical() == to.ip() || any)
    };
    if !is_raw && is_at(draft.http.address) {
        return Some("[http] `address`");
    }
    let fits = |transport: Transport| (transport == Transport::Udp) == is_raw;
    let listens = draft.listen.iter().any(|placed| fits(placed.listen.transport) && is_at(placed.listen.address));
    listens.then_some("a listener for SIP")
}
