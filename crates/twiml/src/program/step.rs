//! Steps: the actions that a program requests from the call.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkgate_detection::DetectionSettings;

use crate::document::{
    CallbackEvents, ConferenceNoun, HttpMethod, LoopCount, RejectReason, ReportedStates, SayVerb, SipHeader, SipUri,
    TrackSelection,
};
use crate::location::DocumentLocation;
use crate::secret::SensitiveText;

use super::input::QueueOutcome;

/// Action to be carried out. The result of a step with an `id` is reported with that id; a report with another id is
/// stale and ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProgramStep {
    /// Fetch a document and report [`ProgramInput::Fetched`](super::ProgramInput::Fetched) or
    /// [`ProgramInput::FetchFailed`](super::ProgramInput::FetchFailed).
    Fetch {
        /// Id of the report.
        id: u32,
        /// Request for the document.
        request: FetchRequest,
    },
    /// Make a request and ignore its response, because the caller has hung up.
    Notify(FetchRequest),
    /// Make such a request when the audio of a recording is complete, with its final data; skip it if there is no
    /// audio.
    NotifyRecorded {
        /// Id of the Record.
        id: u32,
        /// Request to make.
        request: FetchRequest,
    },
    /// Recognise the caller's speech, and report [`ProgramInput::Speech`](super::ProgramInput::Speech) and
    /// [`ProgramInput::RecognitionFailed`](super::ProgramInput::RecognitionFailed).
    StartRecognition(RecognitionStep),
    /// End the recognition; the end is not reported.
    StopRecognition {
        /// Id of the recognition step.
        id: u32,
    },
    /// Make a request and ignore its response. While an earlier one is pending, only the latest of the waiting requests
    /// is kept.
    ReportPartial(FetchRequest),
    /// Answer the caller's call, unless already answered.
    Answer,
    /// Speak a text and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Say {
        /// Id of the report.
        id: u32,
        /// Text, voice and repetitions.
        say: SayVerb,
    },
    /// Play a sound and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Play {
        /// Id of the report.
        id: u32,
        /// Location of the sound.
        location: DocumentLocation,
        /// Number of repetitions.
        repeat: LoopCount,
    },
    /// Send DTMF digits to the caller and report [`ProgramInput::Played`](super::ProgramInput::Played).
    PlayDigits {
        /// Id of the report.
        id: u32,
        /// Digits, `w` for a pause of 0.5 s, `W` for 1 s.
        digits: SensitiveText,
        /// Number of repetitions.
        repeat: LoopCount,
    },
    /// Play a short tone and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Beep {
        /// Id of the report.
        id: u32,
    },
    /// Record the caller; report [`ProgramInput::Silent`](super::ProgramInput::Silent), and at the end
    /// [`ProgramInput::Recorded`](super::ProgramInput::Recorded), or
    /// [`ProgramInput::RecordFailed`](super::ProgramInput::RecordFailed).
    Record(RecordStep),
    /// End a Record; [`ProgramInput::Recorded`](super::ProgramInput::Recorded) still follows.
    StopRecord {
        /// Id of the Record step.
        id: u32,
    },
    /// Record the call from now on; nothing is reported.
    StartRecording(RecordingStep),
    /// Stop the sound with this id at once; the end is not reported.
    StopPlaying {
        /// Id of the sound's step.
        id: u32,
    },
    /// Call other parties; report [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) when one is
    /// connected and always [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    Dial(DialStep),
    /// Let the caller join a conference; report [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) on
    /// admission, [`ProgramInput::Background`](super::ProgramInput::Background) whenever the audio for the caller
    /// changes, and always [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    Conference(ConferenceStep),
    /// Play the edge's music until [`ProgramStep::StopPlaying`]; nothing is reported.
    PlayMusic {
        /// Id of the conference step.
        id: u32,
    },
    /// End the parties' calls, or let the caller leave the conference;
    /// [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) still follows.
    EndDial {
        /// Id of the dial.
        id: u32,
    },
    /// Put the caller into a queue; report [`ProgramInput::Background`](super::ProgramInput::Background) whenever the
    /// audio for the caller changes, and always [`ProgramInput::QueueLeft`](super::ProgramInput::QueueLeft) at the end.
    Enqueue(EnqueueStep),
    /// Let the caller leave its queue, or the connected party;
    /// [`ProgramInput::QueueLeft`](super::ProgramInput::QueueLeft) still follows.
    LeaveQueue {
        /// Id of the Enqueue step.
        id: u32,
        /// Outcome to report.
        why: QueueOutcome,
    },
    /// Connect the queued caller with the party that dialled the queue, because its document has ended.
    ConnectQueued {
        /// Id of the Enqueue step.
        id: u32,
    },
    /// Connect the caller with the first caller of a queue; report
    /// [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) on connection, and always
    /// [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    DialQueue(DialQueueStep),
    /// End a connected stream; [`ProgramInput::StreamEnded`](super::ProgramInput::StreamEnded) still follows.
    EndStream {
        /// Id of the stream.
        id: u32,
    },
    /// Connect the caller with a stream and report [`ProgramInput::StreamEnded`](super::ProgramInput::StreamEnded).
    ConnectStream(StreamStep),
    /// Start a listener's stream; nothing is reported.
    StartStream(StreamStep),
    /// Record the call on a group of recording servers; nothing is reported.
    StartSiprec(SiprecStep),
    /// End a recording by recording servers.
    StopSiprec {
        /// Name of the recording.
        name: String,
    },
    /// Transcribe the call from now on; nothing is reported.
    StartTranscript(Box<TranscriptStep>),
    /// End a live transcription.
    StopTranscript {
        /// Name of the transcription.
        name: String,
    },
    /// Stop a listener's stream.
    StopStream {
        /// Name of the stream.
        name: String,
    },
    /// Transfer the caller by REFER and report [`ProgramInput::ReferEnded`](super::ProgramInput::ReferEnded).
    Refer {
        /// Id of the report.
        id: u32,
        /// SIP URI without headers.
        uri: String,
        /// Headers for the INVITE of the new call.
        headers: Vec<SipHeader>,
    },
    /// Reject the caller's call. The program ends.
    Reject(RejectReason),
    /// End the caller's call. The program ends.
    Hangup,
    /// Connect the called party with the caller, because its document has ended.
    Join,
    /// Continue with the next target of the route, or end the call, because the application failed and has no fallback.
    Failed {
        /// Error code of Twilio.
        code: u16,
    },
    /// Add an event to the call's trace.
    Trace(ProgramTrace),
}

impl ProgramStep {
    /// Returns whether a report ends the step; until then the step is repeated after a restart. Most steps are not
    /// reported.
    pub fn is_reported(&self) -> bool {
        matches!(
            self,
            ProgramStep::Fetch { .. }
                | ProgramStep::Say { .. }
                | ProgramStep::Play { .. }
                | ProgramStep::PlayDigits { .. }
                | ProgramStep::Beep { .. }
                | ProgramStep::Record(_)
                | ProgramStep::Dial(_)
                | ProgramStep::Conference(_)
                | ProgramStep::Enqueue(_)
                | ProgramStep::DialQueue(_)
                | ProgramStep::ConnectStream(_)
                | ProgramStep::Refer { .. }
        )
    }
}

/// Request for a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// DocumentLocation of the document; never [`DocumentLocation::Inline`].
    pub location: DocumentLocation,
    /// HTTP method.
    pub method: HttpMethod,
    /// Purpose of the request, for the trace.
    pub purpose: FetchPurpose,
    /// Parameters in addition to those of every request.
    pub parameters: Vec<RequestParameter>,
}

/// Purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchPurpose {
    /// Start of the call.
    Start,
    /// Redirect verb.
    Redirect,
    /// End of a Gather.
    Gather,
    /// End of a Record.
    Record,
    /// End of a Dial.
    Dial,
    /// End of a Connect.
    Connect,
    /// Audio for a waiting conference party.
    Wait,
    /// Announcement in a conference.
    Announce,
    /// End of an Enqueue.
    Enqueue,
    /// Audio for a caller waiting in a queue.
    QueueWait,
    /// Document for a queued caller about to be connected.
    Dequeue,
    /// Result of a Refer.
    Refer,
    /// Partial result of speech input.
    Partial,
    /// Fallback after an error.
    Fallback,
}

impl FetchPurpose {
    /// Returns the name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            FetchPurpose::Start => "start",
            FetchPurpose::Redirect => "redirect",
            FetchPurpose::Gather => "gather",
            FetchPurpose::Record => "record",
            FetchPurpose::Dial => "dial",
            FetchPurpose::Connect => "connect",
            FetchPurpose::Wait => "wait",
            FetchPurpose::Announce => "announce",
            FetchPurpose::Enqueue => "enqueue",
            FetchPurpose::QueueWait => "queue wait",
            FetchPurpose::Dequeue => "dequeue",
            FetchPurpose::Refer => "refer",
            FetchPurpose::Partial => "partial",
            FetchPurpose::Fallback => "fallback",
        }
    }
}

/// Parameter of a request. Its `Debug` output hides digits and speech.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParameter {
    /// Name used by Twilio.
    pub name: Cow<'static, str>,
    /// Value of the parameter.
    pub value: String,
}

impl RequestParameter {
    /// Creates a parameter.
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        RequestParameter { name: name.into(), value: value.into() }
    }

    /// Returns whether the value is digits or speech of the caller, which must not appear in traces or logs.
    pub fn is_secret(&self) -> bool {
        matches!(
            &*self.name,
            "Digits" | "FinishedOnKey" | "SpeechResult" | "StableSpeechResult" | "UnstableSpeechResult"
        )
    }
}

impl fmt::Debug for RequestParameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_secret() {
            write!(f, "{}=({} characters)", self.name, self.value.len())
        } else {
            write!(f, "{}={:?}", self.name, self.value)
        }
    }
}

/// Parties to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialStep {
    /// Id of the reports.
    pub id: u32,
    /// Parties in order; at least one.
    pub parties: Vec<DialPartyStep>,
    /// Maximum ringing time; per party with `sequential`.
    pub timeout: Duration,
    /// Maximum duration of the connection.
    pub time_limit: Duration,
    /// Caller ID; if `None`, the caller's number.
    pub caller_id: Option<String>,
    /// True if the caller's call is answered with the party's, and the caller hears ringing until then.
    pub answer_on_bridge: bool,
    /// True if parties are called one after the other.
    pub sequential: bool,
    /// Recording of the connection.
    #[serde(default)]
    pub record: Option<Box<DialRecordStep>>,
}

/// Conference to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceStep {
    /// Id of the reports.
    pub id: u32,
    /// Conference with the settings of the party; its URLs are absolute.
    pub conference: ConferenceNoun,
    /// Audio for the caller before the start.
    pub wait: BackgroundAudio,
    /// Maximum time in the conference.
    pub time_limit: Duration,
    /// True if the caller can leave by pressing `*`.
    pub leaves_on_star: bool,
    /// Recording of the conference from its start.
    #[serde(default)]
    pub record: Option<Box<RecordingStep>>,
}

/// Queue to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueueStep {
    /// Id of the reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Maximum number of callers; if `None`, the edge's limit applies.
    pub most: Option<u32>,
    /// Audio for the waiting caller.
    pub wait: BackgroundAudio,
}

/// Queue to take a caller from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialQueueStep {
    /// Id of the reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Document for the queued caller before the connection: location and method of the request.
    pub prelude: Option<(DocumentLocation, HttpMethod)>,
    /// Maximum time to wait for a caller.
    pub timeout: Duration,
    /// Maximum duration of the connection.
    pub time_limit: Duration,
}

/// Audio for a conference party that does not hear the others, or for a queued caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackgroundAudio {
    /// The edge's own music.
    Music,
    /// Silence.
    Silence,
    /// Audio file, or a repeated document.
    Document {
        /// Location of the file or document.
        location: DocumentLocation,
        /// Method of the request.
        method: HttpMethod,
    },
}

/// Recording of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRecordStep {
    /// True if the recording starts with the ringing.
    pub from_ringing: bool,
    /// Settings of the recording.
    pub recording: RecordingStep,
}

/// Settings of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingStep {
    /// True if each direction has its own channel.
    pub dual: bool,
    /// Directions that are recorded.
    pub track: TrackSelection,
    /// True if silence at the beginning and the end is removed.
    pub trim: bool,
    /// Receiver of recording states: absolute URL, method, and the states to report.
    pub status: Option<(String, HttpMethod, ReportedStates)>,
}

/// Record to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStep {
    /// Id of the reports.
    pub id: u32,
    /// Duration of the caller's silence to report.
    pub silence: Duration,
    /// Settings of the recording.
    pub recording: RecordingStep,
    /// Requested transcription.
    pub transcription: Option<TranscriptionStep>,
}

/// Transcription of a Record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionStep {
    /// Receiver of the result.
    pub status: Option<String>,
}

/// Party to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialPartyStep {
    /// Number or SIP address.
    pub address: PartyAddress,
    /// Document for the party before the connection: location and method of the request.
    pub whisper: Option<(DocumentLocation, HttpMethod)>,
    /// Receiver of call progress events.
    pub status: Option<StatusCallback>,
    /// Answering machine detection.
    #[serde(default)]
    pub detection: Option<PartyDetection>,
}

/// Answering machine detection for a party's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyDetection {
    /// Detection thresholds.
    pub settings: DetectionSettings,
    /// Receiver of the result: absolute URL and method.
    pub receiver: Option<(String, HttpMethod)>,
}

/// Address of a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartyAddress {
    /// Telephone number, as the application wrote it.
    Number {
        /// The number.
        number: String,
        /// DTMF digits sent after the answer.
        send_digits: Option<SensitiveText>,
    },
    /// Voice SDK client, which the configuration maps to a SIP party or an agent.
    Client {
        /// Identity of the client.
        identity: String,
    },
    /// SIP addresses, lowest priority first.
    Sip {
        /// Addresses with their headers.
        uris: Vec<SipUri>,
        /// Headers of the INVITE.
        headers: Vec<SipHeader>,
    },
}

/// Receiver of call progress events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCallback {
    /// Absolute URL.
    pub url: String,
    /// HTTP method.
    pub method: HttpMethod,
    /// Events to report.
    pub events: CallbackEvents,
}

/// Speech recognition request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecognitionStep {
    /// Id of the reports.
    pub id: u32,
    /// Language tag.
    pub language: String,
    /// Expected words and phrases.
    pub hints: Vec<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// True if the enhanced variant of the model is requested.
    pub enhanced: bool,
    /// True if profanities are masked.
    pub profanity_filter: bool,
}

/// Media stream to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStep {
    /// Id of the report, for a connected stream.
    pub id: u32,
    /// Absolute ws or wss URL.
    pub url: String,
    /// Name used to stop the stream.
    pub name: Option<String>,
    /// Directions of audio.
    pub tracks: TrackSelection,
    /// Receiver of stream events: URL and method.
    pub status: Option<(String, HttpMethod)>,
    /// Custom parameters of the start message.
    pub parameters: Vec<(String, String)>,
}

/// Recording by a group of recording servers (SIPREC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecStep {
    /// Name of the server group.
    pub connector: String,
    /// True if only one direction is to be recorded, which recording servers do not support.
    #[serde(default)]
    pub is_one_track: bool,
    /// Name used to stop the recording.
    pub name: Option<String>,
    /// Receiver of recording events: URL and method.
    pub status: Option<(String, HttpMethod)>,
}

/// Live transcription to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptStep {
    /// Name used to stop the transcription.
    pub name: Option<String>,
    /// Transcribed directions.
    pub tracks: TrackSelection,
    /// Display names of the inbound and the outbound track.
    pub labels: [Option<String>; 2],
    /// Receiver of transcription events: URL and method.
    pub status: Option<(String, HttpMethod)>,
    /// True if partial results are reported.
    pub partial: bool,
    /// Recognition request for each track.
    pub speech: RecognitionStep,
}

/// Event for the call's trace, without digits and passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramTrace {
    /// Line of the verb in its document; 0 if no verb is concerned.
    pub line: u32,
    /// Verb, or `Response` for the document as a whole.
    pub verb: String,
    /// Event.
    pub note: TraceNote,
}

/// Content of a trace event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceNote {
    /// The verb started.
    Began,
    /// Result of a verb, or the next action.
    Result(String),
    /// Part of the document was skipped or replaced.
    Warning {
        /// Warning code of Twilio.
        code: u16,
        /// Description.
        text: String,
    },
    /// A sound or text cannot be played; the program continues.
    Unheard {
        /// Error code of Twilio.
        code: u16,
        /// Name of the sound and the problem.
        text: String,
    },
    /// The document cannot continue.
    Error {
        /// Error code of Twilio.
        code: u16,
        /// Description.
        text: String,
    },
}
