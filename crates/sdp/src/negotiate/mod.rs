//! Offer/answer negotiation between two legs (`relay`) or for an endpoint inside the edge (`own`).
//!
//! This module relates two descriptions: payload types and their meaning (`payload`), transcoding (`convert`), separate
//! DTMF methods per side (`dtmf`), fax (`udptl`), parts common to all our descriptions (`section`), and the inputs and
//! results of a negotiation (`terms`). `description` parses and writes single descriptions; `keying` handles SRTP
//! keys.

mod convert;
mod dtmf;
pub mod own;
mod payload;
mod relay;
mod section;
mod terms;
mod udptl;

pub use dtmf::offer_events;
pub use payload::EDGE_CODECS;
pub use relay::{accept, fitted, keep_family, may_relay, relay_offer};
pub use section::{anchored_streams, codec_names, remote_endpoint};
pub use terms::{
    AgreedStream, AudioPayload, CodecConversion, CodecPolicy, DtmfMethod, EventPayloads, LocalOrigin, MediaEndpoint,
    NegotiatedAnswer, OpusParameters, OwnEvents, StreamTranscoding,
};

pub use crate::refusal::SdpRejection;
