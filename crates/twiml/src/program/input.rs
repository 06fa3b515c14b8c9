//! Inputs of a program: sources of documents, events of the call and results of steps.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::HttpMethod;
use crate::location::DocumentLocation;
use crate::secret::SensitiveText;

use super::message::VoiceMessage;
use super::spoken::RecogniserResult;
use super::step::{BackgroundAudio, RequestParameter};

/// Source of a program's first document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DocumentSource {
    /// The document is at a URL or in a file.
    Fetch {
        /// Location of the document to be fetched.
        location: DocumentLocation,
        /// Method of the request for the document.
        method: HttpMethod,
    },
    /// The document has this text.
    Text(String),
    /// No document is fetched: the digits are sent, then the program ends.
    Digits(SensitiveText),
    /// No document is fetched: the caller leaves a message.
    Message(VoiceMessage),
    /// No document is fetched: the caller joins the conference of this name.
    Conference(String),
}

/// Event of the call, or result of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProgramInput {
    /// A document was received with status 2xx.
    Fetched {
        /// Id of the [`ProgramStep::Fetch`](super::ProgramStep::Fetch).
        id: u32,
        /// Final URL after redirects; `None` if it is the requested URL.
        url: Option<String>,
        /// Value of the Content-Type header.
        content_type: Option<String>,
        /// Body of the response; may be empty for audio.
        body: Vec<u8>,
    },
    /// A document could not be fetched.
    FetchFailed {
        /// Id of the [`ProgramStep::Fetch`](super::ProgramStep::Fetch).
        id: u32,
        /// Error code of Twilio for the failure.
        code: u16,
        /// Reason of the failure, for the trace.
        text: String,
    },
    /// A sound was played to its end.
    Played {
        /// Id of the step that plays the sound.
        id: u32,
    },
    /// A sound cannot be played.
    PlayFailed {
        /// Id of the step that plays the sound.
        id: u32,
        /// Error code of Twilio for the failure.
        code: u16,
        /// Reason of the failure, for the trace.
        text: String,
    },
    /// The caller pressed a DTMF digit.
    Digit(char),
    /// The recogniser has a result.
    Speech {
        /// Id of the recognition step.
        id: u32,
        /// Result of the recogniser.
        heard: RecogniserResult,
    },
    /// The recogniser is unreachable, failed, or ended the recognition.
    RecognitionFailed {
        /// Id of the recognition step.
        id: u32,
        /// Reason, without any recognised text.
        text: String,
    },
    /// A dialled party answered and is connected with the caller, a conference admitted the caller, or the caller was
    /// connected with a queued caller.
    DialAnswered {
        /// Id of the Dial, conference or queue step.
        id: u32,
    },
    /// A Dial has ended: all calls to its parties, the caller's time in a conference, or the connection with a queued
    /// caller.
    DialEnded {
        /// Id of the Dial, conference or queue step.
        id: u32,
        /// Result of the dial.
        result: DialResult,
    },
    /// The audio for a caller in a conference or a queue changes.
    Background {
        /// Id of the conference or Enqueue step.
        id: u32,
        /// New audio; if `None`, the audio of the other parties, or of the party that dialled the queue.
        background: Option<BackgroundAudio>,
    },
    /// A queued caller must hear a document before being connected.
    Prelude {
        /// Id of the Enqueue step.
        id: u32,
        /// Location of the document for the queued caller.
        location: DocumentLocation,
        /// Method of the request for the document.
        method: HttpMethod,
    },
    /// The caller has left the queue or was not admitted.
    QueueLeft {
        /// Id of the Enqueue step.
        id: u32,
        /// Result of the Enqueue.
        result: QueueResult,
    },
    /// The caller's silence has reached the limit of a Record.
    Silent {
        /// Id of the Record step.
        id: u32,
    },
    /// A Record has ended.
    Recorded {
        /// Id of the Record step.
        id: u32,
        /// Result of the Record.
        result: RecordResult,
    },
    /// A Record cannot be made.
    RecordFailed {
        /// Id of the Record step.
        id: u32,
        /// Reason why the Record cannot be made.
        text: String,
    },
    /// A connected stream ended, or could not be opened.
    StreamEnded {
        /// Id of the [`ProgramStep::ConnectStream`](super::ProgramStep::ConnectStream).
        id: u32,
        /// Error code of Twilio; `None` if the stream did not fail.
        error: Option<u16>,
    },
    /// A transfer by REFER completed or failed.
    ReferEnded {
        /// Id of the [`ProgramStep::Refer`](super::ProgramStep::Refer).
        id: u32,
        /// Result of the transfer.
        result: ReferResult,
    },
    /// The party that the document serves hung up: the caller, or a called party.
    HungUp,
}

/// Result of an Enqueue verb, for its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueResult {
    /// Reason why the caller is no longer in the queue.
    pub outcome: QueueOutcome,
    /// SID of the queue and waiting time, if the caller was admitted.
    pub was_in: Option<(String, Duration)>,
}

/// Reason why a caller is not, or no longer, in a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueOutcome {
    /// The caller was connected with a party that dialled the queue.
    Bridged,
    /// A document for the waiting caller failed.
    Error,
    /// The caller hung up before being connected.
    Hangup,
    /// A document for the waiting caller left the queue.
    Leave,
    /// The queue was full.
    QueueFull,
    /// A redirect took the caller out of the queue.
    Redirected,
    /// A redirect took the caller away from the party.
    RedirectedFromBridged,
    /// The edge could not admit the caller.
    SystemError,
}

impl QueueOutcome {
    /// Returns the value of `QueueResult` in the action's request.
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

/// Result of a Record verb, for its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordResult {
    /// SID of the recording that was made.
    pub sid: String,
    /// URL of the recorded audio.
    pub url: String,
    /// Length of the recorded audio, in seconds.
    pub seconds: u64,
    /// True if the caller was silent throughout.
    pub is_silent: bool,
}

/// Result of a Dial verb, for its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialResult {
    /// Outcome of the calls to the parties.
    pub status: DialStatus,
    /// SID of the party's call; `None` if no call was placed.
    pub sid: Option<String>,
    /// Duration of the connection; `None` if no party answered.
    pub duration: Option<Duration>,
    /// True if the caller was connected with a party.
    pub bridged: bool,
    /// Additional parameters for the action's request, such as `DialSipResponseCode`.
    pub further: Vec<RequestParameter>,
}

impl DialResult {
    /// Returns the result of a dial without an answer.
    pub fn unanswered(status: DialStatus) -> Self {
        DialResult { status, sid: None, duration: None, bridged: false, further: Vec::new() }
    }
}

/// Outcome of a Dial verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialStatus {
    /// A party answered, and its call has ended.
    Completed,
    /// The caller was in a conference.
    Answered,
    /// The party was busy.
    Busy,
    /// No party answered in time.
    NoAnswer,
    /// The call could not be placed.
    Failed,
    /// The caller hung up before an answer.
    Canceled,
}

impl DialStatus {
    /// Returns the value of `DialCallStatus` in the action's request.
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

/// Result of a Refer verb, for its action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReferResult {
    /// State of the new call that NOTIFY reported, as named by Twilio; `None` without a report.
    pub status: Option<&'static str>,
    /// Status code of the response to the REFER; `None` without a response.
    pub refer: Option<u16>,
    /// Last status code that NOTIFY reported; `None` without a report.
    pub notify: Option<u16>,
}
