//! Media of calls: latching, counting, rewriting and relaying RTP, transcoding, DTMF, and the audio of voice agents.
//! This crate performs no I/O: a packet enters and leaves in the same buffer.
//!
//! A [`Session`] has ends and wires; two of each is the common case, but not a limit. An end is a remote party's
//! stream, an agent, a player, or a listener. Folders import each other in one direction only:
//!
//! ```text
//! session → agent_audio → listening → spec → transcode → dtmf → codec
//!                       → playout → spec
//!         → latch → spec → srtp → rtcp → rtp → counters
//! ```

mod agent_audio;
pub mod codec;
pub mod counters;
pub mod dtmf;
pub mod fuzz;
pub mod latch;
pub mod limits;
mod listening;
pub mod mos;
mod playout;
pub mod rtcp;
pub mod rtp;
pub mod session;
pub mod spec;
pub mod srtp;
pub mod transcode;

pub use trunkgate_agent as agent;
pub use trunkgate_conference as conference;
pub use trunkgate_detection as detection;
pub use trunkgate_resample as resample;

pub use agent_audio::AgentSnapshot;
pub use codec::PayloadCodec;
pub use counters::{
    AgentQueue, AgentTurns, Counter, DropCounters, DropReason, EndCounters, EndSymptoms, IcmpError, LOSS_RUNS,
    LegTurns, LossRuns, SendFailure, TurnTiming, WorkerCounters,
};
pub use dtmf::{DigitFormat, DtmfConversion};
pub use latch::canonical;
pub use listening::RecorderSnapshot;
pub use playout::{melody, ringback};
pub use rtcp::{ClockEpoch, RtcpOrigin};
pub use rtp::{JitterBuffer, PacketBuf, PacketPool};
pub use session::{EndSnapshot, MediaTransmit, MovedEnd, Session, SessionSnapshot};
pub use spec::{
    AgentEvent, AgentInput, AgentSpec, AudioListenerSpec, EndFigures, EndId, EndSpec, HoldSound, LatchMode,
    MachineDetectionSpec, MediaCommand, MediaEvent, MediaId, MixerPortSpec, PlayerSound, RawSpec, RecorderEvent,
    RecorderSpec, RemoteSpec, SocketSpec, TapSpec, WireSpec,
};
pub use srtp::{OwnSources, SrtpKey, SrtpSpec, Suite};
pub use transcode::{EventsSpec, TranscodeSpec};
pub use trunkgate_agent::AgentRequest;
pub use trunkgate_terms::{Alaw, Channels, Recorded, RecordedSamples, RecordingId, RecordingPause, UrlOrigin};
