//! Session descriptions (RFC 8866) and what two sides make of them (RFC 3264). Pure: text in, values out.
//!
//! [`Description`] reads and writes; [`negotiate`] turns one side's offer into ours to the other side, and the other
//! side's answer into ours back; [`keying`] makes SRTP of either; [`own`] is for an end that has no other side. It knows
//! no SIP.
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
