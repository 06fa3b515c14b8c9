//! Conferences: audio of up to 50 parties mixed in frames of 20 ms ([`Mixer`]), and the state of a conference with
//! Twilio's semantics ([`ConferenceRoom`], [`RoomRegistry`]). Performs no I/O: frames, events and `now` go in; mixes,
//! actions and the next deadline come out.
//!
//! The two parts are independent: a [`ConferenceRoom`] decides which parties hear each other, and the caller applies
//! that to the [`Mixer`].
#![deny(clippy::indexing_slicing)]

pub mod limits;
mod mixer;
mod node;
mod ring;
mod room;
mod tape;

pub use mixer::{
    Audience, Clip, IntakeStats, MixIdentity, Mixer, MixerEvent, PartyAudio, PartyId, PartyRole, SamplingRate, SourceId,
};
pub use node::{ClipId, ConferenceId, ConferenceNode, NodeCommand, NodeEvent, ParticipantId, ParticipantRole};
pub use ring::{FrameReceiver, FrameSender, RingFrame, ring};
pub use room::{
    AnnouncementId, BeepPolicy, CallStatus, CallbackEvent, CallbackMethod, CallbackRequest, ConferenceCallbacks,
    ConferenceRoom, ConferenceStatus, Departure, EndReason, EventSet, JoinRejection, JoinRequest, LeaveReason, Member,
    MemberChange, MemberId, MemberRole, RoomAction, RoomId, RoomRegistry, RoomSnapshot, WaitMusic,
};
pub use tape::MixSnapshot;
