//! Offers and answers between two legs: before the answer, at it, and in the answered call.

use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::Description;
use trunkgate_sip::{ClientId, ServerId};
use trunkgate_story::few::Few;

use crate::call::legs::digits::KeysOut;
use crate::call::media::CallMedia;
use crate::call::negotiation::join::Join;
use crate::call::negotiation::offers::{EarlySession, Owed};
use crate::call::negotiation::reinvite::Renegotiation;
use crate::call::negotiation::requests::HoldCheck;

pub(crate) mod bridge;
pub(crate) mod early;
pub(crate) mod join;
pub(crate) mod local;
pub(crate) mod offers;
pub(crate) mod parting;
pub(crate) mod reinvite;
pub(crate) mod requests;
pub(crate) mod ringing;

/// The bridge between the legs of a call: what they agree on, the media that flows, and how the sides change.
#[derive(Debug, Default)]
pub(crate) struct Bridge {
    /// The connections of the media session, and what plays.
    pub(crate) media: CallMedia,
    /// Offers and answers, and requests that go on from one leg to the other.
    pub(crate) negotiation: Negotiation,
}

/// Offers and answers of a call, and requests that go on from one leg to the other.
#[derive(Debug, Default)]
pub(crate) struct Negotiation {
    /// What is offered to the targets: the caller's offer, `None` where its INVITE had none; in mid-call what it has
    /// agreed on.
    pub(crate) offer: Option<Description>,
    /// The leg whose ACK must bring the answer to an offer of ours (RFC 3261 §13.2.1).
    pub(crate) late: Option<LegId>,
    /// What the caller has been told reliably before its 2xx.
    pub(crate) early: EarlySession,
    /// Legs that are still to be asked by a re-INVITE of ours.
    pub(crate) owed: Vec<Owed>,
    /// A re-INVITE or UPDATE that is under way between the legs.
    pub(crate) renegotiation: Option<Box<Renegotiation>>,
    /// INFO requests that went on, and whose they are.
    pub(crate) infos: Few<ClientId, ServerId>,
    /// Keys that are sent by INFO.
    pub(crate) keys: Option<Box<KeysOut>>,
    /// Questions to sides of which silence tells nothing, while they have no answer.
    hold_check: Option<Box<HoldCheck>>,
    /// The part of this call in a join with another one.
    join: Option<Box<Join>>,
}
