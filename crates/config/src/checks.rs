//! Checks across tables: unknown names, conflicting sockets, unreachable routes, unattainable limits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use trunkgate_route::{
    NumberingPlan, Pattern, Peer, Route, RouteIndex, SiprecSettings, Srtp, TargetSpec, Transport, Trunk,
};

use super::code;
use super::diagnostic::Findings;
use super::draft::{ConfigDraft, SourceSpan, SpannedListen, SpannedRoute, SpannedTrunk};
use super::nearest;
use super::number_form::{national_beginning, number_form};
use super::parts::parts;
use super::pieces::pieces;
use super::schema::{PORTS_PER_CALL, calls_that_fit};
use super::types::{ListenSettings, ProxyMode};
use super::{
    acme, apps, emergency, hold, mail, messages, numbers, own, recording, secrets, sms, tls, transcription, voicemail,
};

/// Checks a configuration; `ephemeral` is the kernel's range of ephemeral ports.
pub(super) fn judge(draft: &ConfigDraft, ephemeral: Option<(u16, u16)>, findings: &mut Findings) {
    listeners(draft, findings);
    http(draft, findings);
    api_tls(draft, findings);
    acme::judge(draft, |address| taken_by(draft, address), findings);
    secrets::judge(draft, findings);
    media_ports(draft, ephemeral, findings);
    for (at, trunk) in draft.trunks.iter().enumerate() {
        trunk_alone(trunk, draft, findings);
        keys_in_clear(trunk, draft, findings);
        oversize(trunk, draft, findings);
        own::media_networks(trunk, draft, findings);
        denied(trunk, &draft.edge.numbers, findings);
        trunk_among(trunk, draft.trunks.get(..at).unwrap_or_default(), draft, findings);
    }
    draft.groups.judge(findings);
    let index = RouteIndex::new(draft.routes.iter().map(|placed| &placed.route));
    let mut names = HashMap::new();
    for (at, route) in draft.routes.iter().enumerate() {
        route_names(route, draft, findings);
        parts(route, draft, findings);
        if route.file.is_none() {
            pieces(route, findings);
        }
        route_numbers(route, &draft.edge.numbers, findings);
        if names.insert(route.route.name.clone(), at).is_some() {
            let message = format!("two routes named {}", route.route.name);
            findings.error(code::DUPLICATE, route.name.clone(), message, "another name");
        }
        route_among((at, route), &draft.routes, &index, findings);
    }
    emergency::judge(draft, findings);
    hold::judge(draft, findings);
    sms::judge(draft, findings);
    messages::judge(draft, findings);
    own::agents(draft, findings);
    apps::judge(draft, findings);
    numbers::judge(draft, findings);
    recording::judge(draft, findings);
    transcription::judge(draft, findings);
    voicemail::judge(draft, findings);
    indications(draft, findings);
    mail::judge(draft, findings);
    route_names(&draft.api.route(), draft, findings);
    for (target, span) in draft.clients.iter().flat_map(|client| &client.targets) {
        target_names(target, span, draft, findings);
    }
    // Numbers with an `app` are checked as routes.
    for placed in draft.numbers.iter().filter(|placed| placed.number.app.is_none()) {
        route_names(&placed.route(), draft, findings);
    }
    transfers(draft, findings);
    own::public_address(draft, findings);
    if draft.trunk_names().next().is_none() {
        findings.warning(code::NO_CALLS, None, "no [trunk.NAME]: every request is dropped", "add a trunk and a route");
    } else if draft.routes.is_empty() && !draft.places_calls() {
        findings.warning(code::NO_CALLS, None, "no [[route]]: every call is answered 404", "add a [[route]]");
    }
}

/// Returns whether the transport uses TCP ports (TCP and TLS share them).
fn is_stream(transport: Transport) -> bool {
    transport != Transport::Udp
}

/// Returns whether two sockets of the same protocol cannot be bound together.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    let any = |address: SocketAddr| address.ip().is_unspecified();
    one.port() != 0
        && one.port() == other.port()
        && (one.ip() == other.ip() || (one.is_ipv4() == other.is_ipv4() && (any(one) || any(other))))
}

fn listeners(draft: &ConfigDraft, findings: &mut Findings) {
    let has_ports = !draft.spans.key("media", "ports").is_some_and(|span| findings.has_error_at(span));
    for (at, SpannedListen { listen, address, name }) in draft.listen.iter().enumerate() {
        let before = draft.listen.get(..at).unwrap_or_default();
        let Some(address) = address.clone() else { continue };
        if before.iter().any(|other| other.listen.name == listen.name) {
            let span = name.clone().unwrap_or(address.clone());
            findings.error(code::DUPLICATE, span, format!("two listeners named {}", listen.name), "another name");
        }
        let collides = |other: &&SpannedListen| {
            is_stream(other.listen.transport) == is_stream(listen.transport)
                && collide(other.listen.address, listen.address)
        };
        if let Some(other) = before.iter().find(collides) {
            let message = format!("{} is already used by listener {}", listen.address, other.listen.name);
            findings.error(code::SAME_SOCKET, address.clone(), message, "use another address or port");
        }
        let (first, last) = draft.media.ports;
        let port = listen.address.port();
        let shares_address = |media: &IpAddr| collide(SocketAddr::new(*media, port), listen.address);
        if has_ports
            && listen.transport == Transport::Udp
            && (first..=last).contains(&port)
            && draft.media.address.iter().any(shares_address)
        {
            let message = format!("{} is inside the media ports {first}-{last}", listen.address);
            findings.error(code::SAME_SOCKET, address, message, "use a port outside [media] ports");
        }
    }
}

/// Returns whether a listening address may be reachable from the internet.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !(v4.is_loopback() || v4.is_private() || v4.is_link_local()),
        IpAddr::V6(v6) => !(v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()),
    }
}

/// Reports a public URL without a token: behind a reverse proxy, remote requests look like local ones.
fn proxied_api(draft: &ConfigDraft, findings: &mut Findings) {
    if let Some(span) = draft.spans.key("http", "public_url").cloned()
        && draft.spans.key("http", "token").is_none()
    {
        let message = "`public_url` without `token`: behind a reverse proxy every client looks like a local one";
        let help = "add token = { env = \"TRUNKGATE_TOKEN\" }";
        findings.error(code::TOKEN_REQUIRED, span, message, help);
    }
}

fn http(draft: &ConfigDraft, findings: &mut Findings) {
    proxied_api(draft, findings);
    let Some(span) = draft.spans.key("http", "address").cloned() else { return };
    let address = draft.http.address;
    if !address.ip().to_canonical().is_loopback() && draft.spans.key("http", "token").is_none() {
        let help = "add token = { env = \"TRUNKGATE_TOKEN\" }, or listen on 127.0.0.1";
        findings.error(code::TOKEN_REQUIRED, span.clone(), format!("{address} is not loopback and has no token"), help);
    }
    let has_proxy = draft.http.public_url.as_ref().is_some_and(|url| url.starts_with("https:"));
    if draft.spans.key("http", "token").is_some()
        && draft.http.tls.is_none()
        && !has_proxy
        && is_public(address.ip().to_canonical())
    {
        let help = "add `tls` to [http], set `public_url` to the https:// URL of a reverse proxy, or listen on a private address";
        let message = format!("{address} is reached without TLS: the token can be read in transit");
        findings.warning(code::TOKEN_IN_CLEAR, Some(span.clone()), message, help);
    }
    if let Some(proxy) = draft.spans.key("api", "proxy").cloned().filter(|_| draft.http.tls.is_none())
        && draft.api.api.proxy != ProxyMode::Off
        && !address.ip().to_canonical().is_loopback()
    {
        let message =
            format!("`proxy` with {address} without TLS: Proxy-Authorization of its clients can be read in transit");
        findings.warning(code::TOKEN_IN_CLEAR, Some(proxy), message, "add `tls` to [http], or listen on 127.0.0.1");
    }
    if let Some(other) = listener_at(draft, address) {
        let message = format!("{address} is already used by {other}");
        findings.error(code::SAME_SOCKET, span, message, "use another address or port");
    }
}

/// Returns the description of the listener that uses an address of TCP connections.
fn listener_at(draft: &ConfigDraft, address: SocketAddr) -> Option<String> {
    let collides = |other: &&SpannedListen| is_stream(other.listen.transport) && collide(other.listen.address, address);
    draft.listen.iter().find(collides).map(|other| format!("the listener {}", other.listen.name))
}

/// Returns the description of a SIP listener, or of the HTTP API, that uses an address of TCP connections.
fn server_at(draft: &ConfigDraft, address: SocketAddr) -> Option<String> {
    let http = || collide(draft.http.address, address).then(|| "[http] address".to_owned());
    listener_at(draft, address).or_else(http)
}

/// Reports an address of `[api] tls` that another listener uses.
fn api_tls(draft: &ConfigDraft, findings: &mut Findings) {
    let Some((address, span)) = draft.api.api.tls.zip(draft.spans.key("api", "tls").cloned()) else { return };
    if let Some(other) = server_at(draft, address) {
        let message = format!("{address} is already used by {other}");
        findings.error(code::SAME_SOCKET, span, message, "use another address or port");
    }
}

/// Returns the description of another listener that uses an address of HTTP connections.
fn taken_by(draft: &ConfigDraft, address: SocketAddr) -> Option<String> {
    let api = || draft.api.api.tls.filter(|api| collide(*api, address)).map(|_| "[api] tls".to_owned());
    server_at(draft, address).or_else(api)
}

fn media_ports(draft: &ConfigDraft, ephemeral: Option<(u16, u16)>, findings: &mut Findings) {
    let (first, last) = draft.media.ports;
    let fit = calls_that_fit(draft.media.ports);
    if let Some(span) = draft.spans.key("limits", "calls").cloned()
        && draft.limits.calls > fit
    {
        let message = format!("{} calls need more than the media ports {first}-{last}", draft.limits.calls);
        let help = format!("lower `calls` to {fit}, or widen `[media] ports`: a call uses {PORTS_PER_CALL} ports");
        findings.error(code::TOO_FEW_PORTS, span, message, help);
    }
    if let Some((low, high)) = ephemeral
        && first <= high
        && low <= last
    {
        let message = format!("the media ports {first}-{last} overlap with the kernel's ephemeral ports {low}-{high}");
        let help = match low.checked_sub(1) {
            Some(below) if below > first => format!("end the range at {below}, or move net.ipv4.ip_local_port_range"),
            _ => "choose another range, or move net.ipv4.ip_local_port_range".to_owned(),
        };
        findings.warning(code::EPHEMERAL, draft.spans.key("media", "ports").cloned(), message, help);
    }
}

fn trunk_alone(placed: &SpannedTrunk, draft: &ConfigDraft, findings: &mut Findings) {
    let trunk = &placed.trunk;
    tls_alone(placed, draft, findings);
    let by_certificate = !trunk.certificate_names.is_empty();
    if trunk.peers.is_empty() && trunk.accept_from.is_empty() && !by_certificate && !placed.is_partial {
        let message = format!("trunk {} has neither `peers` nor `accept_from`", trunk.name);
        let help = match trunk.require_auth {
            Some(_) => "add peers = [\"sip:HOST\"], or accept_register = true",
            None => "add peers = [\"sip:HOST\"]",
        };
        findings.error(code::NOBODY, placed.name.clone(), message, help);
    }
    for (network, span) in trunk.accept_from.iter().zip(&placed.accept_from) {
        if network.prefix_len() == 0 {
            let message = format!("{network} accepts every source address as trunk {}", trunk.name);
            findings.warning(code::OPEN_TO_ALL, Some(span.clone()), message, "list the networks of the trunk");
        }
    }
    if draft.listen_is_partial {
        return;
    }
    let listeners: Vec<&SpannedListen> = match (&trunk.listen, placed.keys.of("listen")) {
        (Some(name), Some(span)) => {
            let found: Vec<_> = draft.listen.iter().filter(|other| other.listen.name == *name).collect();
            if found.is_empty() {
                let known = draft.listen.iter().map(|other| other.listen.name.as_str());
                let help = suggestion(name, known, "listeners");
                findings.error(code::NO_SUCH_LISTENER, span.clone(), format!("unknown listener: {name}"), help);
                return;
            }
            found
        }
        _ => draft.listen.iter().collect(),
    };
    let mut told = false;
    for (peer, span) in trunk.peers.iter().zip(&placed.peers) {
        let speaks = |placed: &&&SpannedListen| {
            let address = placed.listen.address;
            // A listener's sockets are of one address family; a name may resolve to both.
            let family = peer.addresses().next().is_none_or(|ip| address.is_ipv6() != ip.to_canonical().is_ipv4());
            placed.listen.transport == peer.destination.transport && family
        };
        let unvouched = |placed: &&SpannedListen| placed.listen.tls.as_ref().is_some_and(|tls| tls.own.is_none());
        if peer.destination.transport == Transport::Tls && listeners.iter().any(unvouched) && !told {
            told = true;
            let message = format!("trunk {}: no listener accepts its calls over TLS", trunk.name);
            let help = "add a [[listen]] with transport = \"tls\" and a certificate that the peer trusts";
            findings.warning(code::NO_CERTIFICATE, Some(span.clone()), message, help);
        }
        if !listeners.iter().any(|placed| speaks(&placed)) {
            let (family, any) = match peer.addresses().next() {
                Some(ip) if ip.to_canonical().is_ipv6() => ("IPv6 ", "[::]"),
                Some(_) => ("IPv4 ", "0.0.0.0"),
                None => ("", "0.0.0.0"),
            };
            let port = peer.destination.transport.default_port();
            let transport = peer.destination.transport.as_str();
            let message = match &trunk.listen {
                Some(name) => format!("listener {name} does not support {family}{transport}, required by {}", peer.uri),
                None => format!("no listener supports {family}{transport}, required by {}", peer.uri),
            };
            let help = format!("add a [[listen]] with transport = \"{transport}\" and address = \"{any}:{port}\"");
            findings.error(code::NO_SUCH_LISTENER, span.clone(), message, help);
            continue;
        }
        to_itself(peer, span, draft, findings);
        on_loopback(peer, span, listeners.iter().filter(|placed| speaks(placed)).copied(), findings);
    }
}

/// Reports a remote peer if all listeners of its transport are bound to loopback. Host names are skipped, because their
/// addresses are known only after resolution.
fn on_loopback<'a>(
    peer: &Peer,
    span: &SourceSpan,
    mut listeners: impl Iterator<Item = &'a SpannedListen>,
    findings: &mut Findings,
) {
    let Some(ip) = peer.addresses().next().filter(|ip| !ip.to_canonical().is_loopback()) else { return };
    if listeners.all(|placed| placed.listen.address.ip().to_canonical().is_loopback()) {
        let any = if ip.is_ipv4() { "0.0.0.0" } else { "[::]" };
        let transport = peer.destination.transport;
        let message = format!("{} cannot be reached: each {} listener is on loopback", peer.uri, transport.as_str());
        let help = format!("let a [[listen]] have address = \"{any}:{}\"", transport.default_port());
        findings.warning(code::LOOPBACK_ONLY, Some(span.clone()), message, help);
    }
}

/// Reports a peer address that is the address of one of the edge's own listeners.
fn to_itself(peer: &Peer, span: &SourceSpan, draft: &ConfigDraft, findings: &mut Findings) {
    let Some(server) = peer.destination.literal() else { return };
    let is_at = |listen: &ListenSettings, to: SocketAddr| {
        let own = listen.address;
        let reaches = own.ip() == to.ip() || own.ip().is_unspecified() && to.ip().to_canonical().is_loopback();
        // A TLS listener without a certificate accepts no connections.
        let accepts = listen.tls.as_ref().is_none_or(|tls| tls.own.is_some());
        listen.transport == server.transport && own.port() == to.port() && reaches && accepts
    };
    let mut listeners = draft.listen.iter().map(|placed| &placed.listen);
    if let Some(own) = listeners.find(|listen| server.sockets().any(|to| is_at(listen, to))) {
        let message = format!("{} is the edge itself: listener {}", peer.uri, own.name);
        let help = "enter the address of the remote party; on this machine, one of the two needs another port";
        findings.warning(code::OWN_LISTENER, Some(span.clone()), message, help);
    }
}

/// Warns if SRTP keys would be sent unencrypted: over a peer without TLS or, without peers, a listener without TLS.
fn keys_in_clear(placed: &SpannedTrunk, draft: &ConfigDraft, findings: &mut Findings) {
    let trunk = &placed.trunk;
    let (Some(span), false) = (placed.keys.of("srtp"), trunk.srtp == Srtp::Off) else { return };
    let open = match trunk.peers.iter().find(|peer| peer.destination.transport != Transport::Tls) {
        Some(peer) => Some(peer.uri.clone()),
        // Peers that could not be read may use TLS.
        None if trunk.peers.is_empty() && !draft.listen_is_partial && (trunk.accept_register || !placed.is_partial) => {
            let mine = |placed: &&SpannedListen| trunk.listen.as_ref().is_none_or(|name| *name == placed.listen.name);
            let open = draft.listen.iter().filter(mine).find(|placed| placed.listen.transport != Transport::Tls);
            open.map(|placed| format!("the listener {}", placed.listen.name))
        }
        None => None,
    };
    if let Some(open) = open {
        let message = format!("trunk {}: SRTP keys are sent unencrypted over {open}", trunk.name);
        let secure = draft.listen.iter().find(|placed| placed.listen.transport == Transport::Tls);
        let help = match secure.filter(|_| trunk.peers.is_empty()) {
            Some(placed) => format!("listen = \"{}\"", placed.listen.name),
            None => "use TLS: sip:HOST;transport=tls".to_owned(),
        };
        findings.warning(code::KEYS_IN_CLEAR, Some(span.clone()), message, help);
    }
}

/// Reports `oversize = "tcp"` if no TCP listener can send the large INVITEs.
fn oversize(placed: &SpannedTrunk, draft: &ConfigDraft, findings: &mut Findings) {
    let Some(span) = placed.keys.of("oversize").filter(|_| placed.trunk.oversize_by_tcp) else { return };
    let by_tcp = |one: &&SpannedListen| one.listen.transport == Transport::Tcp;
    let own = placed.trunk.listen.as_ref().and_then(|name| draft.listen.iter().find(|one| one.listen.name == *name));
    let help = match own {
        // A missing listener was reported elsewhere.
        None if placed.trunk.listen.is_some() || draft.listen_is_partial => return,
        None if draft.listen.iter().any(|one| by_tcp(&one)) => return,
        None => "add a [[listen]] with transport = \"tcp\"".to_owned(),
        Some(own) if by_tcp(&own) => return,
        Some(own) => {
            let (name, transport) = (&own.listen.name, own.listen.transport.as_str());
            let fix = match draft.listen.iter().find(by_tcp) {
                Some(other) => format!("set it to \"{}\"", other.listen.name),
                None => "add a [[listen]] with transport = \"tcp\", and name it there".to_owned(),
            };
            format!("`listen` names {name}, which has transport = \"{transport}\": {fix}")
        }
    };
    let message = format!("`oversize`: trunk {} has no TCP listener", placed.trunk.name);
    findings.error(code::NO_SUCH_LISTENER, span.clone(), message, help);
}

/// Reports `deny` patterns in a number form that the edge never compares.
fn denied(placed: &SpannedTrunk, numbers: &NumberingPlan, findings: &mut Findings) {
    for (pattern, span) in placed.trunk.deny.iter().zip(&placed.deny) {
        number_form("deny", pattern, span.clone(), numbers, findings);
        national_beginning("deny", pattern, span.clone(), numbers, findings);
    }
}

/// Reports `tls` of a trunk that cannot take effect.
fn tls_alone(placed: &SpannedTrunk, draft: &ConfigDraft, findings: &mut Findings) {
    let (Some(tls), Some(span)) = (&placed.tls, placed.keys.of("tls")) else { return };
    let trunk = &placed.trunk;
    let demanded = draft.listen.iter().any(|one| one.listen.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some()));
    let named = !trunk.certificate_names.is_empty();
    if named && !demanded && tls.ca.is_none() && trunk.peers.is_empty() {
        let message =
            format!("trunk {}: nothing identifies its calls: no CA verifies certificates with its `names`", trunk.name);
        findings.error(code::NOBODY, span.clone(), message, "add `ca` here, or `client_ca` to a TLS listener");
    } else if named && !demanded && tls.ca.is_none() && tls.any_client_usage && !draft.listen_is_partial {
        let message = format!(
            "trunk {}: `client_certificate_usage` has no effect: no CA verifies a client's certificate",
            trunk.name
        );
        findings.error(code::BAD_VALUE, span.clone(), message, "add `ca` here, or `client_ca` to a TLS listener");
    }
    // With peers, `names` may be meant for outbound connections only.
    let identifies = named && (tls.any_client_usage || trunk.peers.is_empty());
    if let Some(listener) = tls.ca.as_deref().filter(|_| identifies).and_then(|ca| tls::excluded_by(ca, draft)) {
        let message = format!(
            "trunk {}: no client is identified by its `names`: `client_ca` of listener {listener} accepts no certificate \
             that its `ca` verifies",
            trunk.name
        );
        let help =
            "append the certificates of `ca` to the file of `client_ca`, or add a TLS listener without `client_ca`";
        findings.warning(code::BAD_VALUE, Some(span.clone()), message, help);
    }
    let has_peer = trunk.peers.iter().any(|peer| peer.destination.transport == Transport::Tls);
    if !has_peer && !named && !placed.is_partial {
        let message = format!("trunk {}: `tls` has no effect: none of its peers uses TLS", trunk.name);
        findings.warning(code::BAD_VALUE, Some(span.clone()), message, "write the peer as sip:HOST;transport=tls");
    }
    if !draft.listen_is_partial && !draft.listen.iter().any(|one| one.listen.transport == Transport::Tls) && named {
        let message = format!(
            "trunk {}: no listener uses TLS, so no client can present a certificate with its `names`",
            trunk.name
        );
        findings.error(code::NO_SUCH_LISTENER, span.clone(), message, "add a [[listen]] with transport = \"tls\"");
    }
}

/// Reports a user name or address that the trunk shares with an earlier one.
fn trunk_among(placed: &SpannedTrunk, before: &[SpannedTrunk], draft: &ConfigDraft, findings: &mut Findings) {
    let registrant =
        |trunk: &Trunk| trunk.require_auth.clone().filter(|_| trunk.accept_register).map(|auth| auth.username);
    if let Some(user) = registrant(&placed.trunk)
        && let Some(other) = before.iter().find(|other| registrant(&other.trunk).as_ref() == Some(&user))
        && let Some(span) = placed.keys.of("require_auth")
    {
        let message = format!("user {user} already registers with trunk {}", other.trunk.name);
        findings.error(
            code::DUPLICATE,
            span.clone(),
            message,
            "use another `username`: it identifies the trunk of a phone",
        );
    }
    shadowed(placed, before, draft, findings);
}

/// Warns of addresses that belong to an earlier trunk, once per such trunk. Outbound-only peers do not matter, because
/// a response is matched by its transaction.
fn shadowed(placed: &SpannedTrunk, before: &[SpannedTrunk], draft: &ConfigDraft, findings: &mut Findings) {
    let trunk = &placed.trunk;
    let is_origin = draft.routes.iter().any(|route| route.route.from.iter().any(|name| **name == *trunk.name));
    let expects_calls = is_origin || trunk.require_auth.is_some() || !trunk.accept_from.is_empty();
    let mut taken: Vec<(&SpannedTrunk, &SourceSpan, Vec<String>)> = Vec::new();
    for (peer, span) in trunk.peers.iter().zip(&placed.peers).filter(|_| expects_calls) {
        let is_peer = |known: &Peer| {
            known.destination.host.eq_ignore_ascii_case(&peer.destination.host)
                && known.destination.port_or_default() == peer.destination.port_or_default()
        };
        if let Some(other) = before.iter().find(|other| other.trunk.peers.iter().any(is_peer)) {
            add(&mut taken, other, span, format!("{}:{}", peer.destination.host, peer.destination.port_or_default()));
        }
    }
    for (network, span) in trunk.accept_from.iter().zip(&placed.accept_from) {
        if let Some(other) = before.iter().find(|other| other.trunk.accept_from.contains(network)) {
            add(&mut taken, other, span, network.to_string());
        }
    }
    for (other, span, what) in taken {
        let belong = if what.len() == 1 { "belongs" } else { "belong" };
        findings.warning(
            code::SHADOWED,
            Some(span.clone()),
            format!("{} already {belong} to trunk {}", what.join(", "), other.trunk.name),
            "requests from there are attributed to the first trunk; calls to either trunk work",
        );
    }
}

/// Adds an address to those already used by another trunk.
fn add<'a>(
    taken: &mut Vec<(&'a SpannedTrunk, &'a SourceSpan, Vec<String>)>,
    other: &'a SpannedTrunk,
    span: &'a SourceSpan,
    what: String,
) {
    match taken.iter_mut().find(|(known, ..)| known.trunk.name == other.trunk.name) {
        Some((_, _, all)) if all.contains(&what) => {}
        Some((_, _, all)) => all.push(what),
        None => taken.push((other, span, vec![what])),
    }
}

/// Reports unknown names in a route.
pub(super) fn route_names(placed: &SpannedRoute, draft: &ConfigDraft, findings: &mut Findings) {
    for (name, span) in placed.route.from.iter().zip(&placed.from) {
        if draft.trunk(name).is_none() {
            let known = draft.trunk_names();
            let help = suggestion(name, known, "trunks");
            findings.error(code::NO_SUCH_TRUNK, span.clone(), format!("unknown trunk: {name}"), help);
        }
    }
    for (target, span) in placed.targets() {
        target_names(target, span, draft, findings);
    }
    for (name, span) in placed.route.fork.iter().zip(&placed.fork) {
        agent_named(name, None, span, draft, findings);
    }
    for (trunk, span) in placed.route.siprec.iter().zip(&placed.siprec) {
        let name = trunk.strip_prefix(SiprecSettings::PREFIX).unwrap_or(trunk);
        if draft.recorder_names().all(|known| known != name) {
            let help = suggestion(name, draft.recorder_names(), "recording servers");
            findings.error(code::NO_SUCH_TRUNK, span.clone(), format!("`siprec`: no [siprec.{name}]"), help);
        }
    }
    only_for_some(placed, draft, findings);
    let rejects = |target: &TargetSpec| matches!(target, TargetSpec::Reject(_));
    if let Some(at) = placed.route.connect.iter().position(rejects)
        && let Some(place) = placed.connect.get(at + 1)
    {
        findings.warning(
            code::UNREACHABLE,
            Some(place.span.clone()),
            "this target is never tried: it follows a reject:",
            "move reject: to the end",
        );
    }
}

/// Reports an unknown name in a target, or a name that cannot be called.
fn target_names(target: &TargetSpec, span: &SourceSpan, draft: &ConfigDraft, findings: &mut Findings) {
    match target {
        TargetSpec::Trunk { name, .. } => match draft.trunk(name) {
            None => {
                let known = draft.trunk_names();
                let help = draft.meant(name).unwrap_or_else(|| suggestion(name, known, "trunks"));
                findings.error(code::NO_SUCH_TRUNK, span.clone(), format!("unknown trunk: {name}"), help);
            }
            Some(found) if found.trunk.peers.is_empty() && !found.is_partial => {
                let message = format!("trunk {name} has no `peers` to call");
                findings.error(code::NO_PEERS, span.clone(), message, format!("add peers to [trunk.{name}]"));
            }
            Some(_) => {}
        },
        TargetSpec::Uri { uri, destination, .. } => {
            let transport = &destination.transport;
            if !draft.listen_is_partial && !draft.listen.iter().any(|placed| placed.listen.transport == *transport) {
                let message = format!("no listener supports {}, required by {uri}", transport.as_str());
                let help = format!("add a [[listen]] with transport = \"{}\"", transport.as_str());
                findings.error(code::NO_SUCH_LISTENER, span.clone(), message, help);
            }
        }
        TargetSpec::Agent(name) => {
            agent_named(name, draft.meant(name), span, draft, findings);
            if draft.agents.iter().any(|placed| *placed.agent.name == **name && placed.agent.is_raw()) {
                let message = format!("agent {name} receives plain RTP and cannot send audio");
                let help = "use it as a listener: `fork` of the route";
                findings.error(code::BAD_TARGET, span.clone(), message, help);
            }
        }
        TargetSpec::App(name) => {
            let known = draft.apps.iter().map(|placed| placed.app.name.as_ref());
            if known.clone().all(|app| app != name) {
                let help = draft.meant(name).unwrap_or_else(|| suggestion(name, known, "apps"));
                findings.error(code::NO_SUCH_APP, span.clone(), format!("unknown app: {name}"), help);
            }
        }
        TargetSpec::Voicemail(name) => {
            let known = draft.mailboxes.iter().map(|placed| placed.mailbox.name.as_ref());
            if known.clone().all(|mailbox| mailbox != name) {
                let help = draft.meant(name).unwrap_or_else(|| suggestion(name, known, "mailboxes"));
                findings.error(code::NO_SUCH_MAILBOX, span.clone(), format!("unknown voicemail: {name}"), help);
            }
        }
        TargetSpec::Play(_) | TargetSpec::Conference(_) | TargetSpec::Reject(_) | TargetSpec::RingAll(_) => {}
    }
}

/// Reports unknown names in `transfer_to` of an agent.
fn transfers(draft: &ConfigDraft, findings: &mut Findings) {
    for placed in &draft.agents {
        for (rule, span) in placed.agent.transfer_to.iter().flatten().zip(&placed.transfer_to) {
            let known = draft.trunk_names();
            if let Some(name) = rule.trunk().filter(|name| known.clone().all(|trunk| trunk != *name)) {
                let help = suggestion(name, known, "trunks");
                findings.error(code::NO_SUCH_TRUNK, span.clone(), format!("no trunk is named {name}"), help);
            }
            if let Some(name) = rule.agent() {
                agent_named(name, None, span, draft, findings);
            }
        }
    }
}

/// Reports unknown trunks and duplicate entries in `mwi` of a mailbox.
fn indications(draft: &ConfigDraft, findings: &mut Findings) {
    for placed in &draft.mailboxes {
        for (at, (party, span)) in placed.mailbox.mwi.iter().zip(&placed.mwi).enumerate() {
            let name = &party.trunk;
            if draft.trunk(name).is_none() {
                let help = suggestion(name, draft.trunk_names(), "trunks");
                findings.error(code::NO_SUCH_TRUNK, span.clone(), format!("unknown trunk: {name}"), help);
            }
            if placed.mailbox.mwi[..at].contains(party) {
                let message = format!("`mwi` of voicemail {} has an entry twice", placed.mailbox.name);
                findings.error(code::DUPLICATE, span.clone(), message, "list each entry once");
            }
        }
    }
}

/// Warns of targets after an agent with `allow_callers`, which other callers never reach.
fn only_for_some(placed: &SpannedRoute, draft: &ConfigDraft, findings: &mut Findings) {
    let is_choosy = |target: &TargetSpec| {
        let TargetSpec::Agent(name) = target else { return None };
        draft
            .agents
            .iter()
            .map(|placed| &placed.agent)
            .find(|agent| *agent.name == **name && !agent.allow_callers.is_empty())
    };
    let mut targets = placed.route.connect.iter().zip(&placed.connect);
    let Some((agent, place)) = targets.find_map(|(target, place)| Some((is_choosy(target)?, place))) else { return };
    if targets.next().is_none() {
        return;
    }
    let count = agent.allow_callers.len();
    let others = if count == 1 { "the one caller".to_owned() } else { format!("the {count} callers") };
    let message = format!("only {others} in `allow_callers` of {} get past it: all others get 486", agent.name);
    let help = "add a route for them with `caller`, or put the agent last";
    findings.warning(code::ONLY_FOR_SOME, Some(place.span.clone()), message, help);
}

/// Reports an unknown agent; `instead` is the suggested correction.
fn agent_named(name: &str, instead: Option<String>, span: &SourceSpan, draft: &ConfigDraft, findings: &mut Findings) {
    if !draft.agents.iter().any(|placed| *placed.agent.name == *name) {
        let known = draft.agents.iter().map(|placed| placed.agent.name.as_ref());
        let help = instead.unwrap_or_else(|| suggestion(name, known, "agents"));
        findings.error(code::NO_SUCH_AGENT, span.clone(), format!("unknown agent: {name}"), help);
    }
}

fn route_numbers(placed: &SpannedRoute, numbers: &NumberingPlan, findings: &mut Findings) {
    let to = placed.route.to.iter().zip(&placed.to).map(|(pattern, span)| ("to", pattern, span));
    let caller = placed.route.caller.iter().zip(&placed.caller).map(|(pattern, span)| ("caller", pattern, span));
    for (key, pattern, span) in to.chain(caller) {
        number_form(key, pattern, span.clone(), numbers, findings);
    }
}

/// Checks a route against the preceding ones.
fn route_among(
    (at, placed): (usize, &SpannedRoute),
    all: &[SpannedRoute],
    index: &RouteIndex,
    findings: &mut Findings,
) {
    if placed.is_partial {
        return;
    }
    let of = |position: u32| usize::try_from(position).ok().and_then(|position| all.get(position));
    let mut takes = |before: u32| {
        let other = of(before).filter(|other| !other.is_partial && other.file.is_none());
        other.is_some_and(|other| takes_all_of(&other.route, &placed.route))
    };
    let before = index.first_like(&placed.route, u32::try_from(at).unwrap_or(0), &mut takes);
    if let Some(other) = before.and_then(of) {
        let message = format!(
            "route {} is never reached: {} before it matches all its calls",
            placed.route.name, other.route.name
        );
        let help = format!("move it before {}, or remove it", other.route.name);
        findings.warning(code::UNREACHABLE, Some(placed.name.clone()), message, help);
    } else if placed.route.to.len() > 1 {
        patterns_among((at, placed), all, index, findings);
    }
}

/// Checks each number pattern of a route against the preceding routes.
fn patterns_among(
    (at, placed): (usize, &SpannedRoute),
    all: &[SpannedRoute],
    index: &RouteIndex,
    findings: &mut Findings,
) {
    let of = |position: u32| usize::try_from(position).ok().and_then(|position| all.get(position));
    let mut narrow = Route { connect: Vec::new(), fork: Vec::new(), ..placed.route.clone() };
    for (pattern, span) in placed.route.to.iter().zip(&placed.to) {
        narrow.to = vec![pattern.clone()];
        let mut takes = |before: u32| {
            let other = of(before).filter(|other| !other.is_partial && other.file.is_none());
            other.is_some_and(|other| takes_all_of(&other.route, &narrow))
        };
        let before = index.first_like(&narrow, u32::try_from(at).unwrap_or(0), &mut takes).and_then(of);
        if let Some(other) = before {
            let (name, before) = (&placed.route.name, &other.route.name);
            let message = format!("{pattern} never matches in route {name}: {before} before it matches these calls");
            let help = format!("remove it, or move {name} before {before}");
            findings.warning(code::UNREACHABLE, Some(span.clone()), message, help);
        }
    }
}

/// Returns whether `wide` certainly matches every call that `narrow` matches.
pub(super) fn takes_all_of(wide: &Route, narrow: &Route) -> bool {
    let from =
        wide.from.is_empty() || (!narrow.from.is_empty() && narrow.from.iter().all(|name| wide.from.contains(name)));
    let header = wide.header.is_empty() && wide.share >= 100;
    let when =
        wide.when.is_empty() || (!narrow.when.is_empty() && narrow.when.iter().all(|hours| wide.when.contains(hours)));
    from && header && when && covers(&wide.to, &narrow.to) && covers(&wide.caller, &narrow.caller)
}

fn covers(wide: &[Pattern], narrow: &[Pattern]) -> bool {
    let all = |pattern: &Pattern| matches!(pattern, Pattern::Prefix(text) if text.is_empty());
    wide.is_empty()
        || wide.iter().any(all)
        || (!narrow.is_empty() && narrow.iter().all(|pattern| wide.iter().any(|wide| wide.covers(pattern))))
}

fn suggestion<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    if let Some(near) = nearest(name, known.clone()) {
        return format!("did you mean \"{near}\"?");
    }
    let all: Vec<&str> = known.take(8).collect();
    if all.is_empty() { format!("the file has no {what}") } else { format!("the {what} are {}", all.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_collide_by_port_family_and_address() {
        for (one, other, expected) in [
            ("127.0.0.1:5060", "127.0.0.1:5060", true),
            ("0.0.0.0:5060", "127.0.0.1:5060", true),
            ("127.0.0.1:5060", "0.0.0.0:5060", true),
            ("127.0.0.1:5060", "127.0.0.2:5060", false),
            ("127.0.0.1:5060", "127.0.0.1:5061", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("[::]:5060", "0.0.0.0:5060", false),
            ("[::]:5060", "[::1]:5060", true),
        ] {
            assert_eq!(collide(one.parse().unwrap(), other.parse().unwrap()), expected, "{one} {other}");
        }
    }

    #[test]
    fn a_route_takes_all_of_another_only_where_that_is_sure() {
        let route = |from: &[&str], to: &[&str], caller: &[&str]| {
            let patterns = |texts: &[&str]| texts.iter().map(|text| Pattern::parse(text).unwrap()).collect();
            Route {
                from: from.iter().map(|name| name.to_string()).collect(),
                to: patterns(to),
                caller: patterns(caller),
                ..Route::named("r", Vec::new())
            }
        };
        let any = route(&[], &[], &[]);
        let carrier = route(&["carrier"], &[], &[]);
        let number = route(&["carrier"], &["+14155551234"], &[]);
        let friends = route(&["carrier"], &["+1*"], &["+1*"]);
        let star = route(&["carrier", "pbx"], &["*"], &[]);
        for (wide, narrow, expected) in [
            (&any, &carrier, true),
            (&carrier, &any, false),
            (&carrier, &number, true),
            (&number, &carrier, false),
            (&friends, &number, false),
            (&carrier, &friends, true),
            (&star, &carrier, true),
            (&carrier, &star, false),
        ] {
            assert_eq!(takes_all_of(wide, narrow), expected, "{wide:?} {narrow:?}");
        }
    }
}
