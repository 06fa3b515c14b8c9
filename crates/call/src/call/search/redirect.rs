//! Redirections (RFC 3261 §8.1.3.4): handles the contacts of a target's 3xx. A contact is followed if it is a peer of a
//! trunk, under that trunk's rules, or a number at the edge itself, as a call from the redirecting trunk. All other
//! contacts are ignored, so that no remote party can make the edge call arbitrary addresses.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::REDIRECTS;
use trunkgate_route::locate::same_host;
use trunkgate_route::{CallTarget, Destination, Number, Peer, RoutePlan, RoutingTable, TargetSpec, Transport, Trunk};
use trunkgate_sip::{HeaderName, Scheme, SipMessage, Uri};
use trunkgate_story::numbers::shortened;
use trunkgate_story::reason::ReasonSlug;

use crate::call::search::controller::TargetResult;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::answer::TargetFailure;
use crate::call::words::target;

/// Redirections of one target.
#[derive(Debug, Default)]
pub(crate) struct TargetRedirects {
    /// Contacts still to be tried, in order.
    pub(crate) left: VecDeque<RedirectTarget>,
    /// Destinations that were tried or are queued.
    pub(crate) visited: RedirectHistory,
}

/// Destinations or numbers at the edge itself named by 3xx responses. Each is admitted once, and their number is
/// limited, so that loops between targets that forward to each other end.
#[derive(Debug, Default)]
pub(crate) struct RedirectHistory {
    known: Vec<String>,
    /// Number of destinations admitted from 3xx responses.
    taken: usize,
}

impl RedirectHistory {
    /// Records a destination that was called without a redirection.
    pub(crate) fn note(&mut self, name: String) {
        self.known.push(name);
    }

    /// Admits a destination named by a 3xx.
    ///
    /// # Errors
    /// The destination is already known, or exceeds the limit.
    pub(crate) fn admit(&mut self, name: String) -> Result<(), &'static str> {
        if self.known.contains(&name) {
            return Err("was tried, or will be");
        }
        if self.taken >= REDIRECTS {
            return Err("exceeds the limit");
        }
        self.known.push(name);
        self.taken += 1;
        Ok(())
    }
}

/// Destination of a 3xx.
#[derive(Debug)]
pub(crate) enum RedirectTarget {
    /// Peer of a trunk.
    Peer(Box<RedirectPeer>),
    /// Number at the edge itself, called from this trunk.
    Here(Arc<Trunk>, Number),
    /// Target of the route for a number at the edge itself, tried while other targets ring.
    Target(Box<CallTarget>),
}

/// Result of following a target's redirections.
#[derive(Debug)]
pub(crate) enum RedirectProgress {
    /// A destination is being tried.
    Under(CallEffect),
    /// The targets of a number at the edge itself come next.
    Planned,
    /// No destination is left; this is the result of the last one.
    Over(TargetResult),
}

/// Peer of a trunk named by a 3xx.
#[derive(Debug)]
pub(crate) struct RedirectPeer {
    /// Request-URI of the INVITE to the peer.
    pub(crate) uri: String,
    pub(crate) trunk: Arc<Trunk>,
    pub(crate) peer: Peer,
    /// User part of the Contact URI.
    pub(crate) number: String,
}

/// Returns the Contact URIs of a 3xx, in descending order of `q`.
pub(crate) fn contacts(response: &SipMessage) -> Vec<String> {
    let read = |contact: &trunkgate_sip::header::NameAddr<'_>| {
        let uri = std::str::from_utf8(contact.uri).ok()?.to_owned();
        Some((contact.param("q").map_or(1000, thousandths), uri))
    };
    let mut all: Vec<(u16, String)> = response.addresses(HeaderName::Contact).iter().filter_map(read).collect();
    all.sort_by_key(|(q, _)| std::cmp::Reverse(*q));
    // Some contacts may be unusable, so twice the limit is kept.
    all.into_iter().take(2 * REDIRECTS).map(|(_, uri)| uri).collect()
}

/// Parses a `qvalue` (RFC 3261 §25.1) in thousandths; 0 if invalid.
fn thousandths(value: &[u8]) -> u16 {
    let text = std::str::from_utf8(value).unwrap_or_default().trim();
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    match whole {
        "1" if part.bytes().all(|byte| byte == b'0') => 1000,
        "0" if digits(part) => format!("{part:0<3}").parse().unwrap_or_default(),
        _ => 0,
    }
}

/// Returns the trunk and the peer that a URI names. A peer with exactly the named port precedes another peer on the
/// same host, so that no trunk reaches another trunk under its own rules. Among several trunks, `own` comes first.
/// `None` if no trunk has such a peer.
pub(crate) fn place(uri: &str, own: Option<&Arc<Trunk>>, table: &RoutingTable) -> Option<RedirectPeer> {
    let TargetSpec::Uri { destination, .. } = target::target(uri, table.numbers())? else { return None };
    let number = Uri::parse(uri.as_bytes())?.user_unescaped();
    let trunks = || own.into_iter().chain(table.trunks());
    let find = |exact: bool| {
        let leads = |peer: &Peer| {
            let port = peer.destination.port_or_default();
            at(peer, uri, &destination).filter(|place| !exact || place.destination.port_or_default() == port)
        };
        trunks().find_map(|trunk| Some((trunk, trunk.peers.iter().find_map(leads)?)))
    };
    let (trunk, peer) = find(true).or_else(|| find(false))?;
    Some(RedirectPeer { uri: uri.to_owned(), trunk: trunk.clone(), peer, number })
}

/// Returns a peer as addressed by a URI with the peer's host: over the peer's transport, to the port in the URI or else
/// the peer's own port. `None` if the URI names another host or transport.
fn at(peer: &Peer, uri: &str, destination: &Destination) -> Option<Peer> {
    let own = &peer.destination;
    let address = destination.host.parse::<IpAddr>().ok();
    let is_same = |known: IpAddr, address: IpAddr| known.to_canonical() == address.to_canonical();
    let is_address = address.is_some_and(|address| peer.addresses().any(|known| is_same(known, address)));
    if !is_address && !same_host(&own.host, &destination.host) {
        return None;
    }
    let says_how = destination.is_fixed || destination.port.is_some() || destination.transport == Transport::Tls;
    match (says_how, is_address) {
        (true, _) => (destination.transport == own.transport).then(|| Peer::to(uri.to_owned(), destination.clone())),
        (false, false) => Some(peer.clone()),
        (false, true) => Some(Peer::to(uri.to_owned(), Destination { host: destination.host.clone(), ..own.clone() })),
    }
}

/// Returns whether a host is the edge: one of its addresses, or the host name in the Contact sent to a trunk.
fn is_own_host(edge: &Edge, host: &str) -> bool {
    let is_name = |trunk: &Arc<Trunk>| trunk.own_hosts.contact.as_deref().is_some_and(|name| same_host(name, host));
    let is_ours = |ip: IpAddr| edge.addressing().is_ours(ip.to_canonical());
    host.parse::<IpAddr>().map_or_else(|_| edge.table().trunks().iter().any(is_name), is_ours)
}

/// Returns whether a destination is a listener of the edge itself, which would make each call begin another one.
pub(crate) fn is_here(edge: &Edge, destination: &Destination) -> bool {
    is_own_host(edge, &destination.host) && edge.addressing().listens_on(destination.port_or_default())
}

/// Returns the number that a URI names at the edge itself, by address, by a host name sent to `own`, or by `tel:`. A
/// URI without a port matches every listener. `None` if it leads elsewhere or has no number.
pub(crate) fn number_here(edge: &Edge, uri: &str, own: Option<&Trunk>) -> Option<Number> {
    let read = Uri::parse(uri.as_bytes())?;
    let user = match read.scheme {
        Scheme::Tel => read.user.to_owned(),
        Scheme::Sip | Scheme::Sips => {
            let listens = read.host.port.is_none_or(|port| edge.addressing().listens_on(port));
            let is_plain = read.headers.is_empty() && read.param("maddr").is_none();
            let is_ours = |ip: IpAddr| edge.addressing().is_ours(ip.to_canonical());
            let is_named = own.is_some_and(|trunk| trunk.own_hosts.has(read.host.host));
            let is_here = is_named || read.host.ip().is_some_and(is_ours);
            (listens && is_plain && is_here).then(|| read.user_unescaped())?
        }
        Scheme::Other => return None,
    };
    edge.numbers().normalise(&shortened(&user), read.user_param("phone-context")).ok()
}

/// Returns whether a URI has a port.
pub(crate) fn names_port(uri: &str) -> bool {
    Uri::parse(uri.as_bytes()).is_some_and(|read| read.host.port.is_some())
}

/// Returns user, host and port of a URI as one normalised name.
pub(crate) fn name_of(uri: &str) -> String {
    let Some(read) = Uri::parse(uri.as_bytes()) else { return uri.to_owned() };
    let secure = read.scheme == Scheme::Sips || read.param("transport").is_some_and(|t| t.eq_ignore_ascii_case("tls"));
    let transport = if secure { Transport::Tls } else { Transport::Udp };
    let port = read.host.port.unwrap_or(transport.default_port());
    format!("{}@{}:{port}", read.user_unescaped(), read.host.host.to_ascii_lowercase())
}

/// Returns the route's plan for a number at the edge itself that a trunk's 3xx names.
///
/// # Errors
/// Max-Forwards is exhausted, a limit of the trunk is reached, or no route matches.
pub(crate) fn plan_redirected(cx: &mut CallCx<'_>, trunk: &Trunk, number: &Number) -> Result<RoutePlan, TargetFailure> {
    let Some(hops) = cx.call.facts.max_forwards.checked_sub(1) else {
        return Err(TargetFailure::with_code(483, ReasonSlug::TooManyHops));
    };
    let caller = cx.call.legs.near;
    cx.charge_named(trunk, number, caller).map_err(TargetFailure::unreached)?;
    let plan = cx.plan_named(trunk, number, caller);
    let mut plan = plan.ok_or_else(|| TargetFailure::with_code(404, ReasonSlug::NoRoute))?;
    if cx.call.is_programmed {
        // The application keeps the caller: a Dial calls parties only, as for a number that it dials itself.
        plan.targets.retain(|target| target.is_party() || matches!(target, CallTarget::RingAll(_)));
        if plan.targets.is_empty() {
            return Err(TargetFailure::with_code(404, ReasonSlug::NoRoute));
        }
    }
    cx.call.facts.max_forwards = hops;
    let text = format!("{} forwards the call to {}: route {}", trunk.name, number.text, plan.route.name);
    cx.edge.decide(cx.now, cx.call.key, text);
    Ok(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn q_is_read_in_thousandths() {
        for (text, expected) in
            [("1", 1000), ("1.000", 1000), ("0.5", 500), ("0.75", 750), ("0", 0), ("2", 0), ("0.1234", 0), ("x", 0)]
        {
            assert_eq!(thousandths(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn a_place_is_a_peer_of_a_trunk_by_its_own_transport() {
        let peer = |text: &str| {
            let TargetSpec::Uri { uri, destination, .. } =
                target::target(text, &trunkgate_route::NumberingPlan::new("US").unwrap()).unwrap()
            else {
                panic!("{text}")
            };
            Peer::to(uri, destination)
        };
        let trunk = |name: &str, peers: &[&str]| Trunk {
            peers: peers.iter().map(|text| peer(text)).collect(),
            ..Trunk::named(name)
        };
        let trunks = vec![
            trunk("pbx", &["sip:10.0.0.5:5070", "sip:pbx.example;transport=tls"]),
            Trunk { accept_from: vec!["0.0.0.0/0".parse().unwrap()], ..trunk("open", &["sip:10.0.0.6"]) },
            trunk("twin", &["sip:10.0.0.6"]),
            trunk("beside", &["sip:10.0.0.5:5062"]),
        ];
        let table = RoutingTable::new(trunkgate_route::TableDefinition {
            numbers: trunkgate_route::NumberingPlan::new("US").unwrap(),
            trunks,
            agents: vec![],
            routes: vec![],
        });
        let found = |uri: &str, own: &str| {
            let RedirectPeer { trunk, peer, number, .. } = place(uri, table.trunk(own), &table)?;
            let Destination { port, transport, .. } = peer.destination;
            Some((trunk.name.to_string(), number, port, transport))
        };
        let at =
            |name: &str, number: &str, port, transport| Some((name.to_owned(), number.to_owned(), port, transport));
        for (uri, own, expected) in [
            ("sip:100@10.0.0.5", "pbx", at("pbx", "100", Some(5070), Transport::Udp)),
            ("sip:100@10.0.0.5:5080", "pbx", at("pbx", "100", Some(5080), Transport::Udp)),
            ("sip:100@10.0.0.5;transport=tcp", "pbx", None),
            ("sip:100@PBX.example", "open", at("pbx", "100", None, Transport::Tls)),
            ("sips:100@pbx.example", "open", at("pbx", "100", None, Transport::Tls)),
            ("sip:100@pbx.example:5060", "open", None),
            ("sip:100@10.0.0.6", "pbx", at("open", "100", None, Transport::Udp)),
            ("sip:100@10.0.0.6", "twin", at("twin", "100", None, Transport::Udp)),
            // Two trunks on one host: a port of the other trunk is called under the other trunk's rules.
            ("sip:100@10.0.0.5:5062", "pbx", at("beside", "100", Some(5062), Transport::Udp)),
            ("sip:100@10.0.0.5", "beside", at("beside", "100", Some(5062), Transport::Udp)),
            ("sip:100@10.0.0.5:5070", "beside", at("pbx", "100", Some(5070), Transport::Udp)),
            ("sip:100@10.0.0.5:5080", "beside", at("beside", "100", Some(5080), Transport::Udp)),
            ("sip:100@192.0.2.9", "pbx", None),
            ("sip:100@elsewhere.example", "pbx", None),
            ("tel:+14155550100", "pbx", None),
            ("https://10.0.0.5/", "pbx", None),
            ("nonsense", "pbx", None),
        ] {
            assert_eq!(found(uri, own), expected, "{uri} of {own}");
        }
    }

    #[test]
    fn the_same_party_has_one_name() {
        for same in ["sip:100@PBX.example", "sip:100@pbx.example:5060", "sip:%31%30%30@pbx.example;user=phone"] {
            assert_eq!(name_of(same), "100@pbx.example:5060", "{same}");
        }
        assert_eq!(name_of("sips:100@pbx.example"), "100@pbx.example:5061");
    }
}
