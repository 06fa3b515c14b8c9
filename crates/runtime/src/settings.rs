//! Settings of the call core, derived from the configuration, the machine and the peers' addresses; rebuilt by each
//! reload.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use trunkgate_call::{Addressing, EdgeSettings, Interfaces, ListenerSpec, RecordingLinks};
use trunkgate_route::{Destination, DestinationServer, Peer, RoutingTable};
use trunkgate_sip::{ListenerId, Transport};

use trunkgate_config::{self as config, Config};
use trunkgate_system::interfaces;

/// Bound SIP listener.
#[derive(Debug, Clone)]
pub struct BoundListener {
    /// Name of the listener.
    pub name: String,
    /// Transport of the listener.
    pub transport: Transport,
    /// Local address with the actual port.
    pub address: SocketAddr,
}

/// Resolved servers by destination. A destination that cannot be resolved keeps its previous servers.
pub type ResolvedServers = HashMap<Destination, Vec<DestinationServer>>;

/// Returns the settings of the gateway that a reload may change.
pub fn settings(
    config: &Config,
    table: Arc<RoutingTable>,
    addressing: Addressing,
    recordings: Option<RecordingLinks>,
) -> EdgeSettings {
    EdgeSettings {
        table,
        addressing,
        calls: config.limits.calls,
        calls_per_second: config.limits.calls_per_second,
        emergency_calls: config.api.emergency_calls,
        strangers: config.limits.strangers,
        captures: config.hep.is_some(),
        recogniser: config.recogniser.clone(),
        recordings: recordings.map(Arc::new),
        announcement: config::recording_announcement(config).map(Arc::new),
        sampling: config.sampling(),
    }
}

/// Returns the addresses from which the one announced to each remote party is selected. Listeners keep the sockets
/// bound at the start; their public addresses follow the configuration.
pub fn addressing(config: &Config, listeners: &[BoundListener], interfaces: &Interfaces) -> Addressing {
    let specs = listeners.iter().zip(0u16..).map(|(listener, id)| {
        let written = config.listen.iter().find(|listen| listen.name == listener.name);
        ListenerSpec {
            id: ListenerId(id),
            name: listener.name.clone(),
            transport: listener.transport,
            bound: listener.address,
            public_addresses: written.map(|listen| listen.public_address.clone()).unwrap_or_default(),
        }
    });
    Addressing {
        listeners: specs.collect(),
        public_addresses: config.edge.public_address.clone(),
        local_networks: config.edge.local_networks.clone(),
        interfaces: interfaces.clone(),
        media_bind: config.media.address.clone(),
    }
}

/// Reads the machine's addresses and routes, including the route to each trunk's peers.
pub fn machine_addresses(table: &RoutingTable) -> Interfaces {
    let peers = table.trunks().iter().flat_map(|trunk| &trunk.peers).flat_map(Peer::addresses);
    interfaces::read_routes(peers)
}

/// Metadata of a file that changes when the file is written or replaced; `None` if it cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileStamp(Option<(u64, u64, u64, i64, i64)>);

/// Returns the stamps of all certificate files: device, inode, size and time of the last change.
pub fn stamps(config: &Config) -> Vec<FileStamp> {
    let stamp = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
    };
    config.tls_files().into_iter().map(|path| FileStamp(stamp(path))).collect()
}
