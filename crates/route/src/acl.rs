//! Whose a source address is, before a message is read: exact peer address and port, else the longest network, among
//! equals the first in the file. Addresses are made canonical first (IPv4-mapped IPv6 is IPv4).

use std::net::SocketAddr;
use std::sync::Arc;

use crate::trunk::Trunk;

/// The look-up from source to trunk. Built once per configuration; a look-up allocates nothing.
#[derive(Debug, Clone, Default)]
pub struct Acl {}

impl Acl {
    /// Builds the look-up; a trunk without `accept_from` is known by its peers' addresses.
    pub fn new(trunks: &[Arc<Trunk>]) -> Acl {
        let _ = trunks;
        unimplemented!()
    }
    /// Position of the trunk that `source` belongs to.
    pub fn trunk_of(&self, source: SocketAddr) -> Option<usize> {
        let _ = source;
        unimplemented!()
    }
}
