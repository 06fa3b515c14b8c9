//! What the call core is told of the configuration, the machine and the peers' names; built anew by each reload.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use trunkgate_call::{Addressing, Interfaces, ListenerSpec, RecordingLinks, Settings};
use trunkgate_route::{Destination, Peer, Server, Table};
use trunkgate_sip::{ListenerId, Transport};

use trunkgate_config::{self as config, Config};
use trunkgate_system::interfaces;

/// One bound SIP listener.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Its transport.
    pub transport: Transport,
    /// Where it is bound: the port is the real one.
    pub address: SocketAddr,
}

/// Destinations and the servers that they were found to have. One that cannot be found keeps what it had.
pub type Found = HashMap<Destination, Vec<Server>>;

/// Returns the settings that a reload may change.
pub fn settings(
    config: &Config,
    table: Arc<Table>,
    addressing: Addressing,
    recordings: Option<RecordingLinks>,
) -> Settings {
    Settings {
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

/// All that decides which of our addresses a far end is shown. Listeners keep their boot-time sockets; their public
/// addresses follow the configuration.
pub fn addressing(config: &Config, listeners: &[Listener], interfaces: &Interfaces) -> Addressing {
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

/// Reads the machine's addresses and its routes, with those towards each peer of the trunks.
pub fn machine_addresses(table: &Table) -> Interfaces {
    let peers = table.trunks().iter().flat_map(|trunk| &trunk.peers).flat_map(Peer::addresses);
    interfaces::read_routes(peers)
}

/// What changes of a file when it is written or replaced; `None` for one that cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Option<(u64, u64, u64, i64, i64)>);

/// The stamps of every file of certificates.
pub fn stamps(config: &Config) -> Vec<Stamp> {
    let stamp = |path: &Path| {
        let about = std::fs::metadata(path).ok()?;
        Some((about.dev(), about.ino(), about.size(), about.mtime(), about.mtime_nsec()))
    };
    config.tls_files().into_iter().map(|path| Stamp(stamp(path))).collect()
}
