//! The negotiation of a session: the offer and answer of two legs (`relay`), or of an end of our own (`own`).
//!
//! This room holds what reads two descriptions together: payloads and their meaning (`payload`), codecs that the edge
//! converts between (`convert`), DTMF that each side sends in its own way (`dtmf`), fax (`udptl`), the parts that every
//! description of ours has (`section`) and the values that a negotiation takes and gives (`terms`). Reading and writing one
//! description is in `description`, SRTP keys are in `keying`.

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
pub use section::{anchored_streams, codec_names, far};
pub use terms::{
    Agreed, AgreedStream, Audio, Conversion, Converted, Dtmf, Events, Far, Identity, OpusParameters, OwnEvents, Policy,
};

pub use crate::refusal::Refusal;
