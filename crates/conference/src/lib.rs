//! Conferences: audio of up to 50 parties mixed in frames of 20 ms ([`Mixer`]). Without I/O: frames go in, a mix for each
//! party comes out, and the caller says when 20 ms have passed.
#![deny(clippy::indexing_slicing)]

pub mod limits;
mod mixer;

pub use mixer::{Audience, Clip, Event, Heard, Intaken, Mix, Mixer, Part, PartyId, Rate, SourceId};
