//! SIP without I/O: messages, transactions and dialogs (RFC 3261).
//!
//! Bytes and the current time go in; bytes, events and the next deadline come out. Callers of every core in this
//! workspace follow the same cycle: make one change ([`SipEndpoint::handle_input`], [`SipEndpoint::handle_timeout`] or
//! a method that sends a message), drain [`SipEndpoint::poll_output`] to `None`, then read
//! [`SipEndpoint::poll_timeout`].
//!
//! Message bodies are opaque bytes here; the `sdp` crate parses session descriptions.
#![deny(clippy::indexing_slicing)]

mod client;
mod compose;
mod cx;
pub mod dialog;
mod digest;
pub mod endpoint;
pub mod event;
mod flow;
pub mod framer;
pub mod fuzz;
pub mod header;
pub mod identity;
pub mod limits;
pub mod message;
pub mod method;
mod open;
mod reply;
mod room;
mod sanity;
mod scan;
mod server;
mod shared;
mod timer;
mod transaction;
pub mod uri;
pub mod write;

pub use compose::OwnUris;
pub use digest::asked_realms;
pub use endpoint::{
    COMPLETED_ELSEWHERE, DIGEST_URI_DIFFERS, EndpointConfig, EndpointCounts, EndpointLimits, ReplacedDialog,
    SipEndpoint,
};
pub use event::{
    ClientId, ConnectionId, DialogId, DropReason, EndpointEvent, EndpointInput, EndpointOutput, ExtraHeader, Flow,
    InviteRequest, ListenerId, LocalAddress, MessageBody, NotifyRequest, OwnHosts, RegisterRequest, ResponseSpec,
    ServerId, SipPartyId, SipTransmit, TimerReason, Transport,
};
pub use framer::{FramedItem, Framer};
pub use header::HeaderName;
pub use identity::{ProcessIdentity, TokenSource};
pub use message::{BodyPart, MessageDefect, ParseError, SipMessage, StartLine};
pub use method::Method;
pub use open::{EndedInvites, OpenInvite};
pub use trunkgate_terms::{Credentials, DigestHash};
pub use uri::{HostPort, Scheme, Uri, has_control};
