//! Counters of a packet's way: figures that a worker writes and any thread reads, and the reasons to drop a packet.
//!
//! Here belongs what is counted and under which label. Deciding when to count belongs to the room that sees the packet; a
//! score is estimated in [`mos`](crate::mos), and a loss is found in [`rtp`](crate::rtp).

mod counter;
mod drop_reason;
mod end;
mod loss;
mod queue;
mod shared;
mod symptoms;
mod turns;
mod worker;

pub use counter::{Counter, Times};
pub use drop_reason::{DropReason, Drops};
pub use end::{EndCounters, Scores};
pub use loss::{LOSS_RUNS, LossCounters, LossRuns};
pub use queue::{AgentQueue, Waiting};
pub use symptoms::{Symptoms, Undelivered, Unsent};
pub use turns::{AgentTurns, LegTurns, TURNS_KEPT, Turn};
pub use worker::{CLEAR_BOUNDS_US, RELAY_BOUNDS_US, TURN_BOUNDS_US, WorkerCounters};

pub(crate) use shared::Shared;
