//! Addresses of the edge shown to each trunk, as printed by `check`, `status` and `doctor`.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;
use trunkgate_call::AnnouncedAddresses;

use trunkgate_config::Config;
use trunkgate_runtime::settings::{self, BoundListener, ResolvedServers};

/// Maximum number of trunk names listed with one address.
const NAMED: usize = 5;

/// Trunk with the addresses that the edge shows to its peers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct TrunkAddresses {
    /// Name of the trunk.
    pub(crate) name: String,
    /// Addresses of the edge shown to each peer address.
    #[serde(default)]
    pub(crate) announced: Vec<AnnouncedAddresses>,
}

/// Returns the addresses that an edge with this configuration would show on this machine. `found`: resolved host names
/// of peers.
pub(crate) fn of_config(config: &Config, found: &ResolvedServers) -> Vec<TrunkAddresses> {
    let table = config.table(found);
    let listeners: Vec<BoundListener> = config.listen.iter().map(listener).collect();
    let addressing = settings::addressing(config, &listeners, &settings::machine_addresses(&table));
    let trunk = |trunk: &std::sync::Arc<trunkgate_route::Trunk>| TrunkAddresses {
        name: trunk.name.to_string(),
        announced: addressing.announced_to(trunk),
    };
    table.trunks().iter().map(trunk).collect()
}

fn listener(listen: &trunkgate_config::ListenSettings) -> BoundListener {
    BoundListener { name: listen.name.clone(), transport: listen.transport, address: listen.address }
}

/// Returns the addresses reported by a running edge; empty for an edge of an earlier version.
pub(crate) fn of_status(trunks: &Value) -> Vec<TrunkAddresses> {
    let trunks = trunks.as_array().into_iter().flatten();
    trunks.filter_map(|trunk| TrunkAddresses::deserialize(trunk).ok()).collect()
}

/// Formats each address with its trunks, and each trunk without a route to its peer.
pub(crate) fn in_words(trunks: &[TrunkAddresses]) -> Vec<String> {
    let mut by_address: Vec<(String, Vec<&str>)> = Vec::new();
    for trunk in trunks {
        for announced in &trunk.announced {
            let Some(words) = shown(announced) else { continue };
            match by_address.iter_mut().find(|(known, _)| *known == words) {
                Some((_, names)) if names.contains(&trunk.name.as_str()) => {}
                Some((_, names)) => names.push(&trunk.name),
                None => by_address.push((words, vec![&trunk.name])),
            }
        }
    }
    let phrase = |(address, names): (String, Vec<&str>)| {
        let more = if names.len() > NAMED { ", …" } else { "" };
        format!("{address} to {}{more}", names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", "))
    };
    let lost = unrouted(trunks).map(|(name, peer)| format!("no route to {name} ({peer})"));
    by_address.into_iter().map(phrase).chain(lost).collect()
}

/// Returns the trunks with a peer to which this machine has no route, each with the first such peer.
pub(crate) fn unrouted(trunks: &[TrunkAddresses]) -> impl Iterator<Item = (&str, IpAddr)> {
    let lost = |trunk: &TrunkAddresses| trunk.announced.iter().find(|one| shown(one).is_none()).map(|one| one.to);
    trunks.iter().filter_map(move |trunk| Some((trunk.name.as_str(), lost(trunk)?)))
}

/// Formats the addresses for SIP and SDP, as one if they are equal; `None` if there is no route to the peer.
fn shown(announced: &AnnouncedAddresses) -> Option<String> {
    let (sip, media) = (announced.sip?, announced.media?);
    Some(if sip == media { sip.to_string() } else { format!("{sip} (media {media})") })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;
    use trunkgate_config as config;

    #[test]
    fn each_trunk_is_named_with_the_address_that_it_gets() {
        let text = "[edge]\npublic_address = '203.0.113.10'\n\
                    [[listen]]\nname = 'inside'\ntransport = 'udp'\naddress = '127.0.0.2:5060'\n\
                    [[listen]]\nname = 'outside'\ntransport = 'udp'\naddress = '0.0.0.0:5070'\n\
                    [trunk.carrier]\npeers = ['sip:198.51.100.7', 'sip:198.51.100.8']\nlisten = 'outside'\n\
                    [trunk.pbx]\npeers = ['sip:127.0.0.5']\nlisten = 'inside'\n\
                    [trunk.proxy]\naccept_from = ['127.0.0.6/32']\nlisten = 'outside'\n\
                    [trunk.phones]\naccept_register = true\nrequire_auth = { username = 'u', password = 'long-enough-1' }\n";
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let trunks = of_config(&config, &ResolvedServers::new());
        // The PBX and the proxy may send their calls to either loopback listener.
        let words = ["203.0.113.10 to carrier", "127.0.0.2 to pbx, proxy", "127.0.0.1 to pbx, proxy"];
        assert_eq!(in_words(&trunks), words);
        assert_eq!(unrouted(&trunks).next(), None);
    }

    #[test]
    fn what_a_running_edge_says_is_read() {
        let announced = |sip: Value, media: Value| json!([{"to": "198.51.100.7", "sip": sip, "media": media}]);
        let trunks = json!([
            {"name": "a", "announced": announced(json!("192.0.2.1"), json!("192.0.2.1"))},
            {"name": "b", "announced": announced(json!("192.0.2.1"), json!("192.0.2.2"))},
            {"name": "c", "announced": announced(Value::Null, Value::Null)},
            {"name": "d"},
        ]);
        let trunks = of_status(&trunks);
        let words = ["192.0.2.1 to a", "192.0.2.1 (media 192.0.2.2) to b", "no route to c (198.51.100.7)"];
        assert_eq!((trunks.len(), in_words(&trunks)), (4, words.map(str::to_owned).to_vec()));
    }
}
