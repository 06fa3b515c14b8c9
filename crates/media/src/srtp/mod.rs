//! SRTP and SRTCP (RFC 3711, RFC 6188, RFC 7714), in place in the packet's buffer and without an allocation per packet.
//!
//! Keys come from signalling; session keys, key schedules and hash states of a direction are computed once per key.

mod aes_ctr;
mod cipher;
mod cm;
mod derive;
mod gcm;
mod inbound;
mod key;
mod outbound;
mod pair;
mod replay;
mod rtcp;
mod spec;
mod streams;
mod suite;

pub use inbound::SrtpInbound;
pub use key::{KeyError, SrtpKey};
pub use outbound::SrtpOutbound;
pub use pair::{SrtpPair, SrtpSnapshot};
pub use spec::{OwnSources, SrtpSpec};
pub use streams::Stream;
pub use suite::Suite;
