//! An INVITE that has been admitted.

use std::sync::Arc;

use trunkgate_route::Trunk;
use trunkgate_sip::{Flow, Message, Party, ServerId};

/// Max-Forwards of a request that has none (RFC 3261 §16.6 step 3).
pub(crate) const MAX_FORWARDS: u8 = 70;

/// An INVITE that has been admitted.
#[derive(Debug)]
pub(crate) struct Incoming {
    /// The transaction to answer.
    pub(crate) server: ServerId,
    /// The way it came.
    pub(crate) flow: Flow,
    /// Whose it is.
    pub(crate) party: Party,
    /// Its trunk.
    pub(crate) trunk: Arc<Trunk>,
    /// The request.
    pub(crate) request: Message,
}
