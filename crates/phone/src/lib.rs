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

pub use audio::{DirectionQuality, PhoneQuality};
pub use call::{PhoneCall, TransferProgress};
pub use ear::{ToneAnalyzer, ToneReport};
pub use event::{CallEnding, CallNumber, PhoneCallState, PhoneEvent, PhoneInput, PhoneOutput};
pub use judge::{AudioVerifier, FrameId, VoiceReport};
pub use phone::Phone;
pub use script::{
    AnswerKind, AnswerScript, CallScript, CallTimeLimits, InCallRequest, LeaveTime, OutgoingCall, PhoneConfig,
    ReferResponse, SessionTimerConfig,
};
pub use tone::{G711Codec, MarkedVoice};
pub use trunkgate_sdp::Srtp;
