//! Words of the SIP core: transports, headers, option tags.

use trunkgate_sip::{Extra, Transport};

/// The extension's option tag.
pub const TIMER: &str = "timer";

/// The same transport in the words of the SIP core.
pub const fn sip_transport(transport: trunkgate_route::Transport) -> Transport {
    match transport {
        trunkgate_route::Transport::Udp => Transport::Udp,
        trunkgate_route::Transport::Tcp => Transport::Tcp,
        trunkgate_route::Transport::Tls => Transport::Tls,
    }
}

/// A header.
pub fn extra(name: &str, value: impl Into<String>) -> Extra {
    Extra { name: name.into(), value: value.into() }
}
