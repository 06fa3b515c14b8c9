//! Line numbers of trunks and routes, for verbs that explain a decision.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ipnet::IpNet;
use trunkgate_route::{SourceMatch, Trunk};

use super::draft::{ConfigDraft, SourceSpan};

/// Line numbers of the file, from 1.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfigLines {
    trunks: HashMap<Arc<str>, TrunkLines>,
    /// Lines of routes, in file order.
    routes: Vec<usize>,
    /// Lines of `[[number]]`, in file order.
    numbers: Vec<usize>,
}

/// Lines of one trunk; each list is in the order of the trunk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TrunkLines {
    name: usize,
    peers: Vec<usize>,
    accept_from: Vec<usize>,
}

impl ConfigLines {
    pub(super) fn of(draft: &ConfigDraft, source: &str) -> ConfigLines {
        // Index the line ends once: with a hundred thousand routes, a scan per route would be slow.
        let ends: Vec<usize> =
            source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at).collect();
        let line = |span: &SourceSpan| ends.partition_point(|end| *end < span.start) + 1;
        let lines = |spans: &[SourceSpan]| spans.iter().map(line).collect();
        let trunk = |one: &super::draft::SpannedTrunk| {
            let (peers, accept_from) = (lines(&one.peers), lines(&one.accept_from));
            (one.trunk.name.clone(), TrunkLines { name: line(&one.name), peers, accept_from })
        };
        ConfigLines {
            trunks: draft.trunks.iter().map(trunk).collect(),
            routes: draft.routes.iter().map(|one| line(&one.name)).collect(),
            numbers: draft.numbers.iter().map(|one| line(&one.span)).collect(),
        }
    }

    /// Returns the line of a trunk's header.
    pub fn trunk(&self, name: &str) -> Option<usize> {
        self.trunks.get(name).map(|lines| lines.name)
    }

    /// Returns the line of a route, by its position.
    pub fn route(&self, position: usize) -> Option<usize> {
        self.routes.get(position).copied()
    }

    /// Inserts the line of a number's route, which precedes all others.
    pub(super) fn begin_with_number(&mut self, position: usize) {
        self.routes.insert(0, self.numbers.get(position).copied().unwrap_or_default());
    }

    /// Returns the key, value and line that assign a source address to a trunk.
    pub fn source(&self, trunk: &Trunk, source: SocketAddr, by: SourceMatch) -> (&'static str, String, Option<usize>) {
        let lines = self.trunks.get(&trunk.name);
        if let SourceMatch::Network(network) = by
            && let Some(at) = trunk.accept_from.iter().position(|written| canonical(written) == network)
        {
            let written = trunk.accept_from.get(at).unwrap_or(&network);
            return ("accept_from", written.to_string(), lines.and_then(|lines| lines.accept_from.get(at).copied()));
        }
        let ip = source.ip().to_canonical();
        let at = trunk.peers.iter().position(|peer| peer.addresses().any(|known| known.to_canonical() == ip));
        let uri = at.and_then(|at| trunk.peers.get(at)).map(|peer| peer.uri.clone());
        let line = at.and_then(|at| lines?.peers.get(at).copied());
        ("peers", uri.unwrap_or_else(|| source.ip().to_string()), line)
    }
}

/// Returns the network as used for source matching: truncated to its first address, and IPv4 if it is mapped.
fn canonical(written: &IpNet) -> IpNet {
    let whole = written.trunc();
    match whole {
        IpNet::V6(v6) => match (v6.network().to_ipv4_mapped(), v6.prefix_len().checked_sub(96)) {
            (Some(v4), Some(length)) => ipnet::Ipv4Net::new(v4, length).map_or(whole, IpNet::V4),
            _ => whole,
        },
        IpNet::V4(_) => whole,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate as config;

    #[test]
    fn the_line_that_makes_a_source_a_trunks_is_known() {
        let text = "[trunk.a]\npeers = [\n  'sip:10.0.0.1:5070',\n  'sip:10.0.0.2']\n\
                    [trunk.b]\npeers = ['sip:192.0.2.1']\naccept_from = ['192.0.2.0/24',\n '::ffff:198.51.100.9/120']\n\
                    [[route]]\nconnect = ['trunk:a']\n[[route]]\nname = 'second'\nconnect = ['trunk:b']\n";
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let table = trunkgate_route::RoutingTable::new(config.definition(&Default::default()));
        let told = |source: &str| {
            let source = source.parse().unwrap();
            let (trunk, by) = table.known(source).unwrap();
            config.places.source(trunk, source, by)
        };
        assert_eq!(told("10.0.0.2:40000"), ("peers", "sip:10.0.0.2".into(), Some(4)));
        assert_eq!(told("10.0.0.1:5070"), ("peers", "sip:10.0.0.1:5070".into(), Some(3)));
        assert_eq!(told("192.0.2.7:5060"), ("accept_from", "192.0.2.0/24".into(), Some(7)));
        assert_eq!(told("192.0.2.1:5060"), ("peers", "sip:192.0.2.1".into(), Some(6)));
        assert_eq!(told("198.51.100.1:5060"), ("accept_from", "::ffff:198.51.100.0/120".into(), Some(8)));
        assert_eq!((config.places.trunk("b"), config.places.trunk("c")), (Some(5), None));
        assert_eq!((config.places.route(0), config.places.route(1), config.places.route(2)), (Some(9), Some(12), None));
    }
}
