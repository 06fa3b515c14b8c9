//! Offers and answers between two legs: before the answer, at it, and in the answered call; joins of two calls.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | CANCEL of a re-INVITE | – | withdrawn on the other leg | – | – | – |
//! | ACK to our 2xx | – | answer to a late offer taken | the same; the search that waited for it begins | answer to a late offer taken | – |
//! | PRACK | answer to an offer taken; a further offer goes on as an UPDATE | answer to an offer taken; a further offer: 488 | the same | the same | – |
//! | re-INVITE | 491 | relayed to the other leg, or answered by the edge: the other side is an agent, or a hold ends here | answered by the edge; 491 while a target rings, save to a refresh | 491, save to a refresh | 481 |
//! | UPDATE | answered; with an offer 500 or 491, or it goes on by UPDATE, or the edge answers | as a re-INVITE, by UPDATE where the other leg takes it; without an offer answered | as a re-INVITE | answered; with an offer 491 | 481 |
//! | re-INVITE or UPDATE answered | answered on the other leg, media changed | the same | ACK only | ACK only | ACK only |
//! | re-INVITE or UPDATE without answer | 500 on the other leg | BYE on every leg | – | – | – |
//! | a re-INVITE for an UPDATE takes too long | – | withdrawn, 504 to the UPDATE | – | – | – |
//! | INFO | 480 | relayed to the other leg; 415 where that is an agent | 480 | 480 | 481 |
//! | the next digit may be sent by INFO | – | INFO | the same | – | – |
//! | INFO answered | – | the same answer on the other leg; BYE where its dialog is gone | the same answer | the same | – |
//! | our refresh answered | – | its session goes on, or BYE on every leg | the same | the same | ACK only |
//! | a session is due | – | refreshed, or expired: BYE on every leg | the same | the same | – |
//! | the wait after a glare is over | – | our re-INVITE again | – | – | – |
//! | a side on hold is asked, or answers | – | asked again later; BYE where it is gone | – | – | – |
//! | ports of an end not bound | – | others drawn, or the call ends | – | the call ends | – |

use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::Description;
use trunkgate_sip::{ClientId, ServerId};
use trunkgate_story::few::Few;

use crate::call::legs::digits::KeysOut;
use crate::call::media::CallMedia;
use crate::call::negotiation::join::{Joining, Leaving};
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
    /// A remote party of another call that is to come here.
    joining: Option<Box<Joining>>,
    /// A leg of ours that is to go to another call.
    leaving: Option<Box<Leaving>>,
}
