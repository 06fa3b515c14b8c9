//! TLS connections that can be moved from one process to another; without any access to the operating system.
//!
//! [`TlsSession`] takes received bytes and returns bytes to send. rustls performs the handshake and protects the data
//! of a connection for as long as the connection stays in its process. To move a connection, it is turned into a
//! [`TlsSnapshot`], which this crate's own record layer continues in the other process: records of TLS 1.3 (RFC 8446
//! §5) and of TLS 1.2 with AEAD suites (RFC 5246 §6.2.3.3, RFC 5288, RFC 7905), alerts, and messages after the
//! handshake. The AEADs are those of aws-lc-rs, which rustls uses too.
//!
//! A snapshot contains no traffic secrets, only the current keys and those of the next generations, which are needed
//! after a KeyUpdate (RFC 8446 §4.6.3). A connection that has used up all of these keys is closed with close_notify.
//!
//! Callers provide sockets, time limits and certificates.

mod protection;
mod record_layer;
mod session;
mod snapshot;

pub use session::TlsSession;
pub use snapshot::TlsSnapshot;
