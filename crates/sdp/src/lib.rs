//! Session descriptions (RFC 8866) and offer/answer negotiation (RFC 3264), without I/O and independent of SIP.
//!
//! [`Description`] parses and serializes; [`negotiate`] turns the offer of one leg into our offer to the other leg,
//! and the answer of that leg into our answer; [`keying`] adds SRTP; [`own`] creates offers and answers for endpoints
//! inside the edge.
#![deny(clippy::indexing_slicing)]

pub mod crypto;
pub mod description;
pub mod direction;
pub mod format;
pub mod fuzz;
pub mod keying;
pub mod limits;
pub mod negotiate;
mod refusal;

pub use crypto::{Crypto, InlineKey};
pub use description::{Attribute, Connection, Description, Media, Origin, ParseError};
pub use direction::Direction;
pub use format::Rtpmap;
pub use keying::{Clash, Form, Keys, Unfit};
pub use negotiate::own::{self, answer_offer, offer_own};
pub use negotiate::{
    Agreed, AgreedStream, Audio, Conversion, Converted, Dtmf, EDGE_CODECS, Events, Far, Identity, OpusParameters,
    OwnEvents, Policy, Refusal, accept, anchored_streams, codec_names, far, fitted, keep_family, may_relay,
    offer_events, relay_offer,
};
pub use trunkgate_terms::{Srtp, Suite};
