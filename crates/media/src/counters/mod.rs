//! Counters of the packet path, written by a worker and readable by any thread, and the reasons to drop a packet.
//!
//! This module defines the counters and their labels. The module that receives a packet decides when to count;
//! [`mos`](crate::mos) estimates scores, and [`rtp`](crate::rtp) detects losses.

mod counter;
mod drop_reason;
mod end;
mod loss;
mod queue;
mod shared;
mod symptoms;
mod turns;
mod worker;

pub use counter::{Counter, DurationHistogram};
pub use drop_reason::{DropCounters, DropReason};
pub use end::{EndCounters, MosCounters};
pub use loss::{LOSS_RUNS, LossCounters, LossRuns};
pub use queue::{AgentQueue, QueueGauge};
pub use symptoms::{EndSymptoms, IcmpError, SendFailure};
pub use turns::{AgentTurns, LegTurns, TURNS_KEPT, TurnTiming};
pub use worker::{CLEAR_BOUNDS_US, RELAY_BOUNDS_US, TURN_BOUNDS_US, WorkerCounters};

pub(crate) use shared::SharedCounters;
