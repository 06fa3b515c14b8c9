//! TLS connections that another process can continue, without any access to the system.
//!
//! [`TlsSession`] takes received bytes and returns bytes to send. rustls makes the handshake and protects the data of a
//! connection for as long as the connection stays in its process. A connection that crosses becomes a [`TlsSnapshot`],
//! which a record layer of our own continues: records of TLS 1.3 (RFC 8446 §5) and of TLS 1.2 with AEAD suites
//! (RFC 5246 §6.2.3.3, RFC 5288, RFC 7905), alerts and messages after the handshake. The AEADs are those of aws-lc-rs,
//! which rustls uses too.
//!
//! Traffic secrets never cross: the snapshot has the present keys and those of the next generations, so that a
//! KeyUpdate (RFC 8446 §4.6.3) is obeyed. A connection that has used them up is closed with close_notify.
//!
//! Sockets, time limits and certificates are matters of the callers.

mod protection;
mod record_layer;
mod session;
mod snapshot;

pub use session::TlsSession;
pub use snapshot::TlsSnapshot;
