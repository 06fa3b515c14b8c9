//! Datagrams that this machine does not let out, and those that come back: in words, with what would help.

use std::net::IpAddr;
use std::time::Instant;

use trunkgate_media::{Undelivered, Unsent};

use crate::call::Call;
use crate::resources::edge::Edge;
use crate::story::diagnosis::{Cause, Diagnosis};
use crate::story::reason::ReasonSlug;

/// What is wrong where the system does not send to `to`.
pub fn text(why: Unsent, to: &str) -> String {
    let why = match why {
        Unsent::Forbidden => "a local firewall rule forbids it (EPERM)",
        Unsent::NoRoute => "it has no route to this address (ENETUNREACH)",
        Unsent::NotFromThere => "the source address cannot be used for this destination (EINVAL)",
        Unsent::Other => "the system rejects them",
    };
    format!("this machine cannot send packets to {to}: {why}")
}

/// What would help; `from`: the address that they leave from, where it is known.
pub fn fix(why: Unsent, to: IpAddr, from: Option<IpAddr>) -> String {
    let route = match from {
        Some(from) => format!("ip route get {to} from {from}"),
        None => format!("ip route get {to}"),
    };
    match why {
        Unsent::Forbidden => format!(
            "allow udp to {to} in the outgoing firewall rules of this machine (`nft list ruleset`, `iptables -S OUTPUT`)"
        ),
        Unsent::NoRoute => {
            format!("add a route to {to} (`{route}`), or correct the address in the remote party's session description")
        }
        Unsent::NotFromThere => {
            format!(
                "run `{route}` and set `[[listen]] address` to an address with a route to it, or correct the remote party's session \
                 description"
            )
        }
        Unsent::Other => format!("run `{route}`, and see the system log (`dmesg`)"),
    }
}

/// What an ICMP error for what was sent to it says of a far side.
pub(crate) const fn came_back(how: Undelivered) -> &'static str {
    match how {
        Undelivered::Port => "the port is closed, or a firewall rejects it",
        Undelivered::Host => "the host does not exist or does not respond",
        Undelivered::Network => "a router on the path has no route to it",
        Undelivered::Forbidden => "a firewall on the path forbids it",
    }
}

impl Call {
    /// An INVITE on a leg did not leave this machine: kept for the verdict and its trunk.
    pub(crate) fn not_let_out(&mut self, now: Instant, edge: &mut Edge, leg: usize, why: Unsent) {
        let to = self.legs[leg].flow.map_or_else(|| self.legs[leg].signalling(), |flow| flow.remote.ip());
        let shown = self.legs[leg].flow.map_or_else(|| to.to_string(), |flow| flow.remote.to_string());
        let found = Diagnosis { cause: Cause::Unsent, text: text(why, &shown), fix: fix(why, to, None) };
        edge.trunks.problem(now, self.legs[leg].trunk_name(), found.text.clone());
        let sid = self.sid().to_owned();
        edge.warn(&sid, found.text.clone(), Some(ReasonSlug::Unreachable));
        if let Some(trunk) = self.legs[leg].trunk.clone() {
            self.count_fault(now, edge, &trunk.name, &found, true);
        }
        self.story.fault = Some((ReasonSlug::Unreachable, Box::new(found)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_and_a_route_are_told_apart() {
        let (to, from) = ([198, 51, 100, 7].into(), Some([10, 0, 0, 2].into()));
        assert!(text(Unsent::Forbidden, "x").ends_with("local firewall rule forbids it (EPERM)"));
        assert!(fix(Unsent::Forbidden, to, from).contains("iptables -S OUTPUT"));
        assert!(fix(Unsent::NoRoute, to, from).contains("`ip route get 198.51.100.7 from 10.0.0.2`"));
        assert!(
            came_back(Undelivered::Host).contains("does not exist") && !came_back(Undelivered::Host).contains("closed")
        );
    }
}
