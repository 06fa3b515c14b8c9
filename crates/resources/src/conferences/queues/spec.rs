//! What queues know of calls, and what they say of themselves and to calls.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{ConferenceId, NodeCommand, SeatId};
use trunkgate_route::WebhookMethod;

use crate::applications::question::AppPlace;
use crate::lookups::key::CallKey;

/// A document for a queued caller before it is connected.
pub type Prelude = (AppPlace, WebhookMethod);

/// Why a call is not in a queue, or a queue is not made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueRefusal {
    /// The queue has as many callers as it has room for.
    Full,
    /// The edge has as many queues as may be.
    TooMany,
    /// The name is empty, too long, or has control characters.
    BadName,
    /// Another queue has the name.
    NameTaken,
    /// There is no such queue.
    Unknown,
    /// The queue has callers.
    NotEmpty,
    /// The call is in a queue already.
    AlreadyIn,
}

impl QueueRefusal {
    /// Returns the cause in words.
    pub fn words(self) -> &'static str {
        match self {
            QueueRefusal::Full => "the queue is full",
            QueueRefusal::TooMany => "the edge has as many queues as may be",
            QueueRefusal::BadName => "the name of the queue is empty or too long",
            QueueRefusal::NameTaken => "another queue has the name",
            QueueRefusal::Unknown => "there is no such queue",
            QueueRefusal::NotEmpty => "the queue has callers",
            QueueRefusal::AlreadyIn => "the call is in a queue already",
        }
    }
}

/// A call that enters a queue or dials one.
#[derive(Debug, Clone)]
pub struct Entering {
    /// Its key.
    pub key: CallKey,
    /// Its SID.
    pub call_sid: String,
    /// The date.
    pub date: SystemTime,
    /// Time for which it was there before a restart.
    pub waited: Duration,
    /// SID of the call that it was connected with before a restart.
    pub with: Option<String>,
}

/// News of a queue for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueueNews {
    /// The caller is to hear this before it is connected; [`Queues::ready`](super::Queues::ready) is to follow.
    Taken(Prelude),
    /// The caller waits again: the party that had taken it is gone.
    WaitsAgain,
    /// The party that has dialled the queue waits again: its caller is gone.
    DialsAgain,
    /// The call is connected with another one.
    Connected {
        /// The connection's number at the mixers.
        conference: ConferenceId,
        /// The call's.
        seat: SeatId,
        /// SID of the other call.
        with: String,
    },
    /// The call is connected no longer: the other one has left.
    Parted,
    /// The queue that the call has dialled is deleted.
    Deleted,
}

/// What follows from a change.
#[derive(Debug)]
pub enum QueueDue {
    /// A command to the mixers.
    Node(NodeCommand),
    /// News of a call.
    Call(CallKey, QueueNews),
}

/// A call's place, as its application sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// SID of the queue.
    pub sid: String,
    /// Time in it so far, or until the caller was taken.
    pub waited: Duration,
    /// Place in line, from 1; `None` once it is taken.
    pub position: Option<usize>,
    /// Mean time for which those have waited that wait.
    pub average: Duration,
    /// Callers that wait.
    pub size: usize,
    /// Callers that it has room for.
    pub most: u32,
    /// SID of the call that has taken it.
    pub by: Option<String>,
}

/// A queue as requests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueReport {
    /// What a restart keeps of it.
    pub kept: KeptQueue,
    /// Mean time for which those have waited that wait.
    pub average: Duration,
    /// Longest time for which one has waited that waits.
    pub longest: Duration,
    /// Callers in their order.
    pub members: Vec<QueuedCall>,
    /// Parties that have dialled it and wait.
    pub diallers: usize,
}

/// A queued caller as requests see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueuedCall {
    /// SID of its call.
    pub call_sid: String,
    /// When it came.
    pub date: SystemTime,
    /// Time since then.
    pub waited: Duration,
    /// Place in line, from 1.
    pub position: usize,
}

/// What a restart keeps of a queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptQueue {
    /// Its SID.
    pub sid: String,
    /// Its name.
    pub name: String,
    /// Callers that it has room for.
    pub most: u32,
    /// When it was made.
    pub created: SystemTime,
    /// When it was changed last.
    pub updated: SystemTime,
    /// Whether a request has made or changed it; another one makes room for new ones while it is empty.
    pub is_requested: bool,
}
