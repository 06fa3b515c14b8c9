//! INVITE that has passed admission, with its source.

use std::sync::Arc;

use trunkgate_route::Trunk;
use trunkgate_sip::{Flow, ServerId, SipMessage, SipPartyId};

/// Max-Forwards of a request that has none (RFC 3261 §16.6 step 3).
pub(crate) const MAX_FORWARDS: u8 = 70;

/// INVITE that has passed admission.
#[derive(Debug)]
pub(crate) struct IncomingInvite {
    /// Server transaction to answer.
    pub(crate) server: ServerId,
    /// Flow on which the INVITE arrived.
    pub(crate) flow: Flow,
    /// Party at the SIP endpoint.
    pub(crate) party: SipPartyId,
    /// Trunk of the sender.
    pub(crate) trunk: Arc<Trunk>,
    /// The INVITE itself.
    pub(crate) request: SipMessage,
}
