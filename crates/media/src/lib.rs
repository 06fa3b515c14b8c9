//! Everything done to an RTP packet: latch, count, rewrite, relay. Without I/O: a packet comes in its buffer, and the
//! same buffer goes out.
//!
//! A [`Session`] has ends and wires; two of each is the common case, never the type. An end is a far side's stream, an
//! agent, or a player.

mod agent_end;
mod clears;
pub mod codec;
mod coder;
pub mod compound;
mod convert;
pub mod counters;
mod ear;
pub mod end;
mod fade;
pub mod fuzz;
mod hearing;
pub mod jitter;
mod keep_alive;
pub mod keys;
pub mod latch;
mod level;
pub mod limits;
pub mod loss;
mod melody;
pub mod mos;
mod notes;
mod origin;
pub mod packet;
mod player;
pub mod press;
mod pressing;
mod raw;
mod relay;
pub mod reports;
pub mod resample;
pub mod rewrite;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod snapshot;
mod speaking;
pub mod spec;
pub mod srtp;
pub mod stats;
mod sweep;
pub mod symptoms;
mod talk;
mod tap;
mod tone;
mod tone_watch;
pub mod transcode;
mod turns;
mod voice;

pub use trunkgate_agent as agent;

pub use counters::{AgentQueue, Counter, DropReason, EndCounters, WorkerCounters};
pub use jitter::JitterBuffer;
pub use latch::canonical;
pub use loss::{LOSS_RUNS, LossRuns};
pub use melody::melody;
pub use origin::{Epoch, Origin};
pub use packet::{PacketBuf, PacketPool};
pub use session::{Session, Transmit};
pub use snapshot::{EndSnapshot, SessionSnapshot};
pub use spec::{
    AgentInput, AgentSpec, AgentWish, Command, EndId, EndSpec, Event, HoldSound, LatchMode, MediaId, PartedSpec,
    PressSpec, RawSpec, RemoteSpec, SocketSpec, Sound, SrtpSpec, TapSpec, WireSpec,
};
pub use srtp::{SrtpKey, Suite};
pub use symptoms::{Symptoms, Undelivered, Unsent};
pub use transcode::{Coding, EventsSpec, TranscodeSpec};
