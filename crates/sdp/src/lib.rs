//! Session descriptions (RFC 8866) and offer/answer negotiation (RFC 3264), without I/O and independent of SIP.
//!
//! [`SessionDescription`] parses and serializes; [`negotiate`] turns the offer of one leg into our offer to the other
//! leg, and the answer of that leg into our answer; [`keying`] adds SRTP; [`own`] creates offers and answers for
//! endpoints inside the edge.
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

pub use crypto::{CryptoAttribute, InlineKey};
pub use description::{Attribute, ConnectionData, MediaDescription, Origin, ParseError, SessionDescription};
pub use direction::MediaDirection;
pub use format::Rtpmap;
pub use keying::{AgreedKeys, SrtpConflict, SrtpForm, SrtpRejection};
pub use negotiate::own::{self, answer_offer, offer_own};
pub use negotiate::{
    AgreedStream, AudioPayload, CodecConversion, CodecPolicy, DtmfMethod, EDGE_CODECS, EventPayloads, LocalOrigin,
    MediaEndpoint, NegotiatedAnswer, OpusParameters, OwnEvents, SdpRejection, StreamTranscoding, accept,
    anchored_streams, codec_names, fitted, keep_family, may_relay, offer_events, relay_offer, remote_endpoint,
};
pub use trunkgate_terms::{Srtp, Suite};
