//! What a program has to know of its call.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::Method;
use crate::location::Location;
use crate::secret::Secret;

use super::message::VoiceMessage;
use super::spoken::Heard;
use super::step::{Background, Parameter};

/// Place of the first document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Source {
    /// At a URL or in a file.
    Fetch {
        /// The place.
        location: Location,
        /// Method of the request.
        method: Method,
    },
    /// Here.
    Text(String),
    /// None: these digits are sent, and then it is over.
    Digits(Secret),
    /// None: the caller leaves a message.
    Message(VoiceMessage),
    /// None: the caller joins the conference of this name.
    Conference(String),
}

/// An event of the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A document arrived with status 2xx.
    Fetched {
        /// Id of the fetch.
        id: u32,
        /// URL that it came from after redirects; `None`: the one that was requested.
        url: Option<String>,
        /// Value of the header Content-Type.
        content_type: Option<String>,
        /// Body; of audio it may be empty.
        body: Vec<u8>,
    },
    /// A document could not be fetched.
    FetchFailed {
        /// Id of the fetch.
        id: u32,
        /// Twilio's code.
        code: u16,
        /// Description for the trace.
        text: String,
    },
    /// A sound was played to its end.
    Played {
        /// Id of its step.
        id: u32,
    },
    /// A sound cannot be played.
    PlayFailed {
        /// Id of its step.
        id: u32,
        /// Twilio's code.
        code: u16,
        /// Description for the trace.
        text: String,
    },
    /// The caller pressed a key.
    Digit(char),
    /// The recogniser has understood something.
    Speech {
        /// Id of its step.
        id: u32,
        /// Result.
        heard: Heard,
    },
    /// The recogniser cannot be reached, has failed, or has ended its part.
    RecognitionFailed {
        /// Id of its step.
        id: u32,
        /// Reason, without anything that was said.
        text: String,
    },
    /// A dialled party answered and is connected with the caller.
    DialAnswered {
        /// Id of the dial.
        id: u32,
    },
    /// All calls of a dial are over.
    DialEnded {
        /// Id of the dial.
        id: u32,
        /// Result.
        result: DialResult,
    },
    /// What the caller is to hear in a conference from now on.
    Background {
        /// Id of the conference's step.
        id: u32,
        /// It; `None`: the other parties.
        background: Option<Background>,
    },
    /// A document for a queued caller before it is connected.
    Prelude {
        /// Id of the step of its Enqueue.
        id: u32,
        /// Place of the document.
        location: Location,
        /// Method of its request.
        method: Method,
    },
    /// The caller is in its queue no longer, or was not taken in.
    QueueLeft {
        /// Id of the step of its Enqueue.
        id: u32,
        /// Result.
        result: QueueResult,
    },
    /// The caller has been silent for as long as ends a Record.
    Silent {
        /// Id of its step.
        id: u32,
    },
    /// A Record is over.
    Recorded {
        /// Id of its step.
        id: u32,
        /// Result.
        result: RecordResult,
    },
    /// A Record cannot be made.
    RecordFailed {
        /// Id of its step.
        id: u32,
        /// Reason.
        text: String,
    },
    /// A connected stream ended, or could not be opened.
    StreamEnded {
        /// Id of the stream.
        id: u32,
        /// Twilio's code, if it failed.
        error: Option<u16>,
    },
    /// A transfer was accepted to the end, or failed.
    ReferEnded {
        /// Id of the transfer.
        id: u32,
        /// Result.
        result: ReferResult,
    },
    /// The caller hung up, or the called party whose document this is.
    HungUp,
}

/// Result of an Enqueue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueResult {
    /// Outcome.
    pub outcome: QueueOutcome,
    /// SID of the queue and the time in it, where the caller was in it.
    pub was_in: Option<(String, Duration)>,
}

/// Outcome of an Enqueue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueOutcome {
    /// The caller was connected with a party that dialled the queue.
    Bridged,
    /// A document of the caller's failed while it waited.
    Error,
    /// The caller hung up before it was connected.
    Hangup,
    /// The document that it heard left the queue.
    Leave,
    /// The queue was full.
    QueueFull,
    /// Another document took the caller out.
    Redirected,
    /// Another document took the caller away from the party.
    RedirectedFromBridged,
    /// The edge could not take the caller in.
    SystemError,
}

impl QueueOutcome {
    /// Returns Twilio's word.
    pub const fn name(self) -> &'static str {
        match self {
            QueueOutcome::Bridged => "bridged",
            QueueOutcome::Error => "error",
            QueueOutcome::Hangup => "hangup",
            QueueOutcome::Leave => "leave",
            QueueOutcome::QueueFull => "queue-full",
            QueueOutcome::Redirected => "redirected",
            QueueOutcome::RedirectedFromBridged => "redirected-from-bridged",
            QueueOutcome::SystemError => "system-error",
        }
    }
}

/// Result of a Record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordResult {
    /// SID of the recording.
    pub sid: String,
    /// URL of its audio.
    pub url: String,
    /// Length of the audio.
    pub seconds: u64,
    /// Whether nothing was said.
    pub is_silent: bool,
}

/// Result of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialResult {
    /// Outcome.
    pub status: DialStatus,
    /// Sid of the party's call, if one was made.
    pub sid: Option<String>,
    /// Time together, if a party answered.
    pub duration: Option<Duration>,
    /// Whether the caller was connected with a party.
    pub bridged: bool,
    /// Further parameters of the action's request, such as `DialSipResponseCode`.
    pub further: Vec<Parameter>,
}

impl DialResult {
    /// Makes the result of a dial that reached no party.
    pub fn unanswered(status: DialStatus) -> Self {
        DialResult { status, sid: None, duration: None, bridged: false, further: Vec::new() }
    }
}

/// Outcome of a dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialStatus {
    /// A party answered, and its call is over.
    Completed,
    /// The caller was in a conference.
    Answered,
    /// Busy.
    Busy,
    /// Not answered in time.
    NoAnswer,
    /// The call could not be made.
    Failed,
    /// The caller hung up before an answer.
    Canceled,
}

impl DialStatus {
    /// Returns Twilio's word.
    pub const fn name(self) -> &'static str {
        match self {
            DialStatus::Completed => "completed",
            DialStatus::Answered => "answered",
            DialStatus::Busy => "busy",
            DialStatus::NoAnswer => "no-answer",
            DialStatus::Failed => "failed",
            DialStatus::Canceled => "canceled",
        }
    }
}

/// Result of a transfer by REFER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferResult {
    /// State of the new call as NOTIFY reported it, in Twilio's words.
    pub status: Option<&'static str>,
    /// Response to the REFER.
    pub refer: Option<u16>,
    /// Last status that a NOTIFY reported.
    pub notify: Option<u16>,
}
