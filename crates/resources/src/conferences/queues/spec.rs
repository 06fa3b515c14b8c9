//! Input and output types of call queues.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{ConferenceId, NodeCommand, ParticipantId};
use trunkgate_route::WebhookMethod;

use crate::applications::question::AppPlace;
use crate::lookups::key::CallKey;

/// Document that a queued caller hears before it is connected.
pub type QueueWhisper = (AppPlace, WebhookMethod);

/// Reason for which a call is not queued, or a queue is not created or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRefusal {
    /// The queue is full.
    Full,
    /// The maximum number of queues is reached.
    TooMany,
    /// The name is empty, too long, or has control characters.
    BadName,
    /// Another queue has the name.
    NameTaken,
    /// The queue does not exist.
    Unknown,
    /// The queue has callers.
    NotEmpty,
    /// The call is already in a queue.
    AlreadyIn,
}

impl QueueRefusal {
    /// Returns the reason in plain text.
    pub fn words(self) -> &'static str {
        match self {
            QueueRefusal::Full => "the queue is full",
            QueueRefusal::TooMany => "the limit of queues is reached",
            QueueRefusal::BadName => "the name of the queue is empty or too long",
            QueueRefusal::NameTaken => "the name is already in use by another queue",
            QueueRefusal::Unknown => "unknown queue",
            QueueRefusal::NotEmpty => "the queue has callers",
            QueueRefusal::AlreadyIn => "the call is in a queue already",
        }
    }
}

/// A call that enters a queue or dials one.
#[derive(Debug, Clone)]
pub struct QueueEntry {
    /// Key of the call.
    pub key: CallKey,
    /// SID of the call.
    pub call_sid: String,
    /// Current date.
    pub date: SystemTime,
    /// Waiting time before a restart; zero for a new call.
    pub waited: Duration,
    /// SID of the call with which this call was connected before a restart.
    pub with: Option<String>,
}

/// Event of a queue for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueEvent {
    /// The caller hears this document before it is connected; [`Queues::ready`](super::Queues::ready) must follow.
    Taken(QueueWhisper),
    /// The caller waits again: the party that had taken it has left.
    WaitsAgain,
    /// The party that has dialled the queue waits again: its caller has left.
    DialsAgain,
    /// The call is connected with another one.
    Connected {
        /// Mixer id of the connection.
        conference: ConferenceId,
        /// Mixer seat of the call.
        seat: ParticipantId,
        /// SID of the other call.
        with: String,
    },
    /// The call is disconnected, because the call connected with it has left.
    Parted,
    /// The queue that the call has dialled was deleted.
    Deleted,
}

/// Effect of a change in a queue.
#[derive(Debug)]
pub enum QueueEffect {
    /// A command to the mixers.
    Node(NodeCommand),
    /// An event for a call.
    Call(CallKey, QueueEvent),
}

/// Position of a call, as its application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuePosition {
    /// SID of the queue.
    pub sid: String,
    /// Waiting time so far, or until the caller was taken.
    pub waited: Duration,
    /// Position in the queue, from 1; `None` once the call is taken from the queue.
    pub position: Option<usize>,
    /// Mean waiting time of the queued callers.
    pub average: Duration,
    /// Number of queued callers.
    pub size: usize,
    /// Maximum number of queued callers.
    pub most: u32,
    /// SID of the call that has taken this one.
    pub by: Option<String>,
}

/// State of a queue for the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// Persistent part of the queue.
    pub kept: KeptQueue,
    /// Mean waiting time of the queued callers.
    pub average: Duration,
    /// Longest waiting time of a queued caller.
    pub longest: Duration,
    /// Queued callers, in order.
    pub members: Vec<QueuedCall>,
    /// Number of parties that have dialled the queue and wait.
    pub diallers: usize,
}

/// State of a queued caller for the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedCall {
    /// SID of the call.
    pub call_sid: String,
    /// Time of arrival.
    pub date: SystemTime,
    /// Waiting time so far.
    pub waited: Duration,
    /// Position in the queue, from 1.
    pub position: usize,
}

/// Persistent part of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptQueue {
    /// SID of the queue.
    pub sid: String,
    /// Name of the queue.
    pub name: String,
    /// Maximum number of queued callers.
    pub most: u32,
    /// Time of creation.
    pub created: SystemTime,
    /// Time of the last change.
    pub updated: SystemTime,
    /// Whether the API has created or changed the queue; otherwise an empty queue may be replaced by a new one.
    pub is_requested: bool,
}
