//! Recording sessions of a call (SIPREC, RFC 7866): the edge as the session recording client.
//!
//! A route names groups of recording servers (`siprec`). Once the call is answered, each group gets an INVITE with
//! metadata about the parties and two streams: the audio from the caller, and the audio to the caller. Such a session
//! is a leg of the call, but no party: traces, views and the index treat it like any leg, and events of its server are
//! handled here before the call gets them. Its streams are ends of the call's media session, each fed by a streamer
//! that listens to the caller's side like a recorder. The server is notified of parties that join and leave.
//!
//! The room owns the start, change and end of such sessions: `offer` has the session descriptions, `metadata` the
//! metadata, `parties` the participants, `asked` the requests of documents, and `session` the rules of failover between
//! servers.

mod ask;
mod asked;
mod events;
mod metadata;
mod offer;
mod parties;
mod recorded;
mod session;

pub use recorded::SiprecChange;
pub(crate) use recorded::{RecordingSessions, RecordingSessionsSnapshot};
