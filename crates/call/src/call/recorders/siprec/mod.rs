//! Recording sessions of a call (SIPREC, RFC 7866): the edge as the session recording client.
//!
//! A route names groups of recording servers (`siprec`). Once the call is answered, each group gets an INVITE with two streams, what the
//! caller says and what it hears, and with metadata about the parties. Such a session is a leg of the call that takes no part in it: traces,
//! views and look-ups know it as any leg, and what its server says is taken here before the call sees it. Its streams are ends of the
//! call's media session, each fed by a streamer that listens to the caller's side as a recorder does. The server is notified of
//! parties that come and leave.
//!
//! Here belongs what begins, changes and ends such sessions. The descriptions are in `offer`, the metadata in `metadata`, who is in the
//! call in `parties`, requests of documents in `asked`, the rules by which one server follows another in `session`.

mod ask;
mod asked;
mod events;
mod metadata;
mod offer;
mod parties;
mod recorded;
mod session;

pub(crate) use recorded::RecordingSessions;
pub use recorded::SiprecChange;
