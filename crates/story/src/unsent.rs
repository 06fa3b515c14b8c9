//! Packets that this machine refuses to send, or that are returned by ICMP: description and fix.

use std::net::IpAddr;

use trunkgate_media::{IcmpError, SendFailure};

/// Source of the address to which audio is sent, for messages.
const THEIRS: &str = "the remote party's session description";
const OF_THEIRS: &str = "in the remote party's session description";

/// Describes the refusal of this machine to send to the address `to`.
pub fn text(why: SendFailure, to: &str) -> String {
    let why = match why {
        SendFailure::Forbidden => "a local firewall rule forbids it (EPERM)",
        SendFailure::NoRoute => "it has no route to this address (ENETUNREACH)",
        SendFailure::NotFromThere => "the source address cannot be used for this destination (EINVAL)",
        SendFailure::Other => "the system rejects them",
    };
    format!("this machine cannot send packets to {to}: {why}")
}

/// Returns the cause that a text made by [`text`] names; `None` for another text, and for [`SendFailure::Other`].
pub fn named(text: &str) -> Option<SendFailure> {
    let (_, why) = text.split_once("this machine cannot send packets to ")?;
    [
        ("(EPERM)", SendFailure::Forbidden),
        ("(ENETUNREACH)", SendFailure::NoRoute),
        ("(EINVAL)", SendFailure::NotFromThere),
    ]
    .into_iter()
    .find_map(|(sign, cause)| why.contains(sign).then_some(cause))
}

/// Returns the fix for audio that this machine refuses to send. `from` is the source address of the packets, if known.
pub fn fix(why: SendFailure, to: IpAddr, from: Option<IpAddr>) -> String {
    let route = match from {
        Some(from) => format!("ip route get {to} from {from}"),
        None => format!("ip route get {to}"),
    };
    match why {
        SendFailure::Forbidden => format!(
            "allow udp to {to} in the outgoing firewall rules of this machine (`nft list ruleset`, `iptables -S OUTPUT`)"
        ),
        SendFailure::NoRoute => {
            format!("add a route to {to} (`{route}`), or correct the address {OF_THEIRS}")
        }
        SendFailure::NotFromThere => {
            format!("run `{route}` and set `[[listen]] address` to an address with a route to it, or correct {THEIRS}")
        }
        SendFailure::Other => format!("run `{route}`, and see the system log (`dmesg`)"),
    }
}

/// Returns the fix for SIP packets, for which the address comes from the configuration.
pub fn fix_of_peer(why: SendFailure, to: IpAddr, from: Option<IpAddr>) -> String {
    fix(why, to, from).replace(OF_THEIRS, "in `peers`").replace(THEIRS, "the address in `peers`")
}

/// Describes an ICMP error for packets sent to a remote party.
pub const fn came_back(how: IcmpError) -> &'static str {
    match how {
        IcmpError::Port => "the port is closed, or a firewall rejects it",
        IcmpError::Host => "the host does not exist or does not respond",
        IcmpError::Network => "a router on the path has no route to it",
        IcmpError::Forbidden => "a firewall on the path forbids it",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_and_a_route_are_told_apart() {
        let (to, from) = ([198, 51, 100, 7].into(), Some([10, 0, 0, 2].into()));
        assert!(text(SendFailure::Forbidden, "x").ends_with("local firewall rule forbids it (EPERM)"));
        for why in [SendFailure::Forbidden, SendFailure::NoRoute, SendFailure::NotFromThere] {
            assert_eq!(named(&text(why, "x")), Some(why));
        }
        assert_eq!(named("no answer (EPERM)"), None);
        assert!(fix(SendFailure::Forbidden, to, from).contains("iptables -S OUTPUT"));
        assert!(fix(SendFailure::NoRoute, to, from).contains("`ip route get 198.51.100.7 from 10.0.0.2`"));
        for why in [SendFailure::NoRoute, SendFailure::NotFromThere] {
            assert!(fix(why, to, from).ends_with("the remote party's session description"));
            assert!(fix_of_peer(why, to, from).ends_with(", or correct the address in `peers`"));
        }
        assert!(
            came_back(IcmpError::Host).contains("does not exist") && !came_back(IcmpError::Host).contains("closed")
        );
    }
}
