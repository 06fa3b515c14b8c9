//! Listeners of a call: audio of one end in both directions, for agents, raw forks, recorders, recording servers,
//! mixers and answering machine detection.
//!
//! This module processes packets for listeners, which are not their destination. `SessionListeners` owns all listeners
//! of a session by kind, and passes commands, packets and deadlines to them; a kind has a file or two of its own. The
//! conversation with an agent belongs to [`agent_audio`](crate::agent_audio); the session selects the listeners of a
//! packet.

mod copies;
mod decoder;
mod hearing;
mod judges;
mod listener;
mod listeners;
mod recorder;
mod recorders;
mod seat;
mod seats;
mod stereo;
mod streamer;
mod streamers;
mod uplink;

pub(crate) use hearing::ListenerInput;
pub(crate) use listener::{EndListener, TrackPacket};
pub(crate) use listeners::SessionListeners;
pub use recorder::RecorderSnapshot;
pub(crate) use seats::{MixerPortTick, MixerPorts};
