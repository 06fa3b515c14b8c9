//! A softphone without I/O: places or answers calls, plays a tone and judges what it hears. The demo, the `call` verb
//! and the simulator speak through it.
//!
//! The contract is every core's: change once ([`Phone::handle_input`], [`Phone::handle_timeout`], [`Phone::dial`],
//! [`Phone::hang_up`]), then drain [`Phone::poll_output`] to `None`, then ask [`Phone::poll_timeout`].
#![deny(clippy::indexing_slicing)]

pub mod call;
mod coded;
mod describe;
mod dialogue;
pub mod ear;
pub mod judge;
pub mod limits;
pub mod phone;
mod refer;
mod registration;
mod reporting;
pub mod script;
mod secure;
mod session;
pub mod tone;
mod within;

pub use call::{Ending, PhoneCall, State};
pub use ear::{Ear, Sound};
pub use judge::{Heard, Judge, Verdict};
pub use phone::{CallNumber, Event, Input, Output, Phone};
pub use refer::{Leaving, News, Referred};
pub use reporting::{Direction, Quality};
pub use script::{Answer, Dial, GiveUp, Manner, PhoneConfig, Talk};
pub use session::Sessions;
pub use tone::{Codec, Voice};
pub use trunkgate_sdp::Srtp;
pub use within::Within;
