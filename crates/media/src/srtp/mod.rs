//! SRTP (RFC 3711, RFC 6188, RFC 7714): suites and keys, as signalling agrees on them.

mod key;
mod suite;

pub use key::{KeyError, SrtpKey};
pub use suite::Suite;
