//! Session descriptions (RFC 8866) and what two sides make of them (RFC 3264). Pure: text in, values out.
//!
//! [`Description`] reads and writes; [`negotiate`] turns one side's offer into ours to the other side, and the other
//! side's answer into ours back. It knows no SIP.
#![deny(clippy::indexing_slicing)]

pub mod description;
pub mod direction;
pub mod limits;
pub mod negotiate;

pub use description::{Attribute, Connection, Description, Media, Origin, ParseError};
pub use direction::Direction;
pub use negotiate::{
    Agreed, AgreedStream, Far, Identity, Policy, Refusal, accept, answer_offer, offer_own, relay_offer, rtp_streams,
};
