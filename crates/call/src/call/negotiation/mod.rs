//! Offer/answer negotiation between the two legs of a call, before and after the answer, and joins of two calls.
//!
//! | event | searching | answered | rerouting | leaving | ended |
//! | --- | --- | --- | --- | --- | --- |
//! | CANCEL of a re-INVITE | – | canceled on the other leg | – | – | – |
//! | ACK to our 2xx | – | completes a late offer | completes a late offer and starts the search that waited for it | completes a late offer | – |
//! | PRACK | completes our offer; a further offer is relayed by UPDATE | completes our offer; a further offer: 488 | as answered | as answered | – |
//! | re-INVITE | 491 | relayed to the other leg; answered by the edge if the other side is an agent or the edge handles the hold | answered by the edge; 491 while a target rings, unless a refresh | 491, unless a refresh | 481 |
//! | UPDATE | without an offer: 200; with one: relayed by UPDATE, answered by the edge, 500 or 491 | without an offer: 200; with one: as a re-INVITE, relayed by UPDATE if the other leg supports it | as a re-INVITE | without an offer: 200; with one: 491 | 481 |
//! | re-INVITE or UPDATE answered | answered on the other leg, media changed | as searching | ACK only | ACK only | ACK only |
//! | re-INVITE or UPDATE unanswered | 500 on the other leg | BYE on every leg | – | – | – |
//! | re-INVITE relayed for an UPDATE takes too long | – | canceled, 504 to the UPDATE | – | – | – |
//! | INFO | 480 | relayed to the other leg; 415 if that is an agent | 480 | 480 | 481 |
//! | pause between DTMF digits by INFO is over | – | next INFO | next INFO | – | – |
//! | INFO answered | – | same response on the other leg; BYE if its dialog is gone | same response | same response | – |
//! | our refresh answered | – | session extended, or BYE on every leg | as answered | as answered | ACK only |
//! | session timer fires | – | session refreshed, or expired: BYE on every leg | as answered | as answered | – |
//! | glare wait is over | – | our re-INVITE is retried | – | – | – |
//! | OPTIONS probe of a held side due or answered | – | next probe scheduled; BYE if the side is gone | – | – | – |
//! | ports of a media end not bound | – | other ports drawn, or the call ends | – | the call ends | – |

use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::SessionDescription;
use trunkgate_sip::{ClientId, ServerId};
use trunkgate_story::few::SmallMap;

use crate::call::legs::digits::DigitQueue;
use crate::call::media::CallMedia;
use crate::call::negotiation::join::{JoiningLeg, LeavingLeg};
use crate::call::negotiation::offers::{EarlySession, PendingOffer};
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

/// Bridge between the legs of a call: the agreed session, its media, and changes of both.
#[derive(Debug, Default)]
pub(crate) struct Bridge {
    /// Media connections and players.
    pub(crate) media: CallMedia,
    /// Offers and answers, and requests relayed between the legs.
    pub(crate) negotiation: CallNegotiation,
}

/// Offer/answer state of a call, and the requests relayed between its legs.
#[derive(Debug, Default)]
pub(crate) struct CallNegotiation {
    /// Offer for the targets: the caller's offer, or `None` if its INVITE had none. During rerouting, the description
    /// that the caller has agreed on.
    pub(crate) offer: Option<SessionDescription>,
    /// Leg that must answer our offer in its ACK or PRACK (RFC 3261 §13.2.1).
    pub(crate) late: Option<LegId>,
    /// Offer/answer exchange in reliable responses before the caller's 2xx.
    pub(crate) early: EarlySession,
    /// Legs that the edge must still send a re-INVITE.
    pub(crate) pending_offers: Vec<PendingOffer>,
    /// Re-INVITE or UPDATE being relayed between the legs.
    pub(crate) renegotiation: Option<Box<Renegotiation>>,
    /// Relayed INFO requests, each with the transaction that awaits its response.
    pub(crate) infos: SmallMap<ClientId, ServerId>,
    /// DTMF digits sent by INFO.
    pub(crate) keys: Option<Box<DigitQueue>>,
    /// Unanswered OPTIONS probes to sides that may be silent because of a hold.
    hold_check: Option<Box<HoldCheck>>,
    /// Remote party of another call that is being moved into this call.
    joining: Option<Box<JoiningLeg>>,
    /// Leg of this call that is being moved into another call.
    leaving: Option<Box<LeavingLeg>>,
}
