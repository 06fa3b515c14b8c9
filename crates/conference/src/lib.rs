//! Conferences: audio of up to 50 parties mixed in frames of 20 ms ([`Mixer`]), and the state of a conference with
//! Twilio's semantics ([`Room`], [`Rooms`]). Performs no I/O: frames, events and `now` go in; mixes, actions and the
//! next deadline come out.
//!
//! The two parts are independent: a [`Room`] decides which parties hear each other, and the caller applies that to the
//! [`Mixer`].
#![deny(clippy::indexing_slicing)]

pub mod limits;
mod mixer;
mod node;
mod ring;
mod room;
mod tape;

pub use mixer::{Audience, Clip, Event, Heard, Intaken, Mix, Mixer, Part, PartyId, Rate, SourceId};
pub use node::{ClipId, ConferenceId, Node, NodeCommand, NodeEvent, SeatId, SeatPart};
pub use ring::{Frame, FrameReceiver, FrameSender, ring};
pub use room::{
    Action, AnnouncementId, Beep, CallStatus, Callback, Callbacks, Change, Departure, EndReason, EventSet, Joining,
    LeaveReason, Member, MemberId, Method, Music, Occasion, Refusal, Room, RoomId, Rooms, Standing, Status,
};
