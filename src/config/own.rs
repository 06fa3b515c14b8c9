//! Agents whose URL leads back to the edge: none of them is ever connected, and the program that was meant has no port left.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use reqwest::Url;
use trunkgate_route::Transport;

use super::code;
use super::diagnostic::Findings;
use super::draft::Draft;
use crate::agent_url::address;

/// What is bound to an address that the file names; that of another machine's name is known only once it is looked up.
pub(super) fn agents(draft: &Draft, findings: &mut Findings) {
    for placed in &draft.agents {
        let Some(span) = placed.url.clone() else { continue };
        let Some(to) = Url::parse(&placed.agent.url).ok().and_then(|url| target(&url)) else { continue };
        if let Some(whose) = bound(draft, to, placed.agent.is_raw()) {
            let message = format!("`url` leads to {to}, which is {whose}: the edge itself");
            findings.error(
                code::BAD_URL,
                span,
                message,
                "the agent's own port; where that is meant, another one for the edge",
            );
        }
    }
}

fn target(url: &Url) -> Option<SocketAddr> {
    let ip = match url.host_str() {
        Some(name) if name.eq_ignore_ascii_case("localhost") => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => address(url)?.to_canonical(),
    };
    Some(SocketAddr::new(ip, url.port_or_known_default()?))
}

fn bound(draft: &Draft, to: SocketAddr, is_raw: bool) -> Option<&'static str> {
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
