//! Test phone without I/O: places and answers calls, sends a tone, and evaluates received audio. Used by the demo, the
//! `call` command and the simulator.
//!
//! Callers follow the cycle of all cores: make one change ([`Phone::handle_input`], [`Phone::handle_timeout`],
//! [`Phone::dial`], [`Phone::hang_up`]), drain [`Phone::poll_output`] to `None`, then read [`Phone::poll_timeout`].
#![deny(clippy::indexing_slicing)]

mod audio;
mod call;
mod cx;
mod deadlines;
pub mod ear;
mod event;
pub mod judge;
pub mod limits;
mod phone;
mod registration;
pub mod script;
pub mod tone;

pub use audio::{Direction, Quality};
pub use call::{News, PhoneCall};
pub use ear::{Ear, Sound};
pub use event::{CallNumber, Ending, Event, Input, Output, State};
pub use judge::{Heard, Judge, Verdict};
pub use phone::Phone;
pub use script::{Answer, Dial, GiveUp, Leaving, Manner, PhoneConfig, Referred, Sessions, Talk, Within};
pub use tone::{Codec, Voice};
pub use trunkgate_sdp::Srtp;
