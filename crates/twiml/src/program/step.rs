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
        /// Id of the fetch, repeated in its report.
        id: u32,
        /// Request for the document.
        request: FetchRequest,
    },
    /// Make a request and ignore its response, because the caller has hung up.
    Notify(FetchRequest),
    /// Make a request with the final data of a recording once its audio is complete, and ignore the response; skip
    /// the request if there is no audio.
    NotifyRecorded {
        /// Id of the [`ProgramStep::Record`] that made the recording.
        id: u32,
        /// Request to make.
        request: FetchRequest,
    },
    /// Recognise the caller's speech, and report [`ProgramInput::Speech`](super::ProgramInput::Speech) and
    /// [`ProgramInput::RecognitionFailed`](super::ProgramInput::RecognitionFailed).
    StartRecognition(RecognitionStep),
    /// End the recognition; the end is not reported.
    StopRecognition {
        /// Id of the [`ProgramStep::StartRecognition`] to end.
        id: u32,
    },
    /// Report a partial speech result by a request and ignore its response. While an earlier request is pending, only
    /// the latest of the waiting ones is kept.
    ReportPartial(FetchRequest),
    /// Answer the caller's call, unless already answered.
    Answer,
    /// Speak a text and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Say {
        /// Id of the speech, repeated in its report.
        id: u32,
        /// Text, voice and repetitions.
        say: SayVerb,
    },
    /// Play a sound and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Play {
        /// Id of the sound, repeated in its report.
        id: u32,
        /// Location of the sound.
        location: DocumentLocation,
        /// Number of times the sound is played.
        repeat: LoopCount,
    },
    /// Send DTMF digits to the caller and report [`ProgramInput::Played`](super::ProgramInput::Played).
    PlayDigits {
        /// Id of the digits, repeated in the report.
        id: u32,
        /// Digits to send: `w` is a pause of 0.5 s, `W` of 1 s.
        digits: SensitiveText,
        /// Number of times the digits are sent.
        repeat: LoopCount,
    },
    /// Play a short tone and report [`ProgramInput::Played`](super::ProgramInput::Played).
    Beep {
        /// Id of the tone, repeated in its report.
        id: u32,
    },
    /// Record the caller; report [`ProgramInput::Silent`](super::ProgramInput::Silent), and at the end
    /// [`ProgramInput::Recorded`](super::ProgramInput::Recorded), or
    /// [`ProgramInput::RecordFailed`](super::ProgramInput::RecordFailed).
    Record(RecordStep),
    /// End a recording of the caller; [`ProgramInput::Recorded`](super::ProgramInput::Recorded) still follows.
    StopRecord {
        /// Id of the [`ProgramStep::Record`] to end.
        id: u32,
    },
    /// Record the call from now on; nothing is reported.
    StartRecording(RecordingStep),
    /// Stop the sound with this id at once; the end is not reported.
    StopPlaying {
        /// Id of the step that started the sound.
        id: u32,
    },
    /// Call other parties; report [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) when one is
    /// connected and always [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    Dial(DialStep),
    /// Let the caller join a conference; report [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) on
    /// admission, [`ProgramInput::Background`](super::ProgramInput::Background) whenever the audio for the caller
    /// changes, and always [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    Conference(ConferenceStep),
    /// Play the edge's hold music until [`ProgramStep::StopPlaying`]; nothing is reported.
    PlayMusic {
        /// Id of the conference or queue step during which the caller waits.
        id: u32,
    },
    /// End the calls to all dialled parties, or let the caller leave the conference;
    /// [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) still follows.
    EndDial {
        /// Id of the dial, conference or queue step to end.
        id: u32,
    },
    /// Put the caller into a queue; report [`ProgramInput::Background`](super::ProgramInput::Background) whenever the
    /// audio for the caller changes, and always [`ProgramInput::QueueLeft`](super::ProgramInput::QueueLeft) at the end.
    Enqueue(EnqueueStep),
    /// Let the caller leave its queue, and disconnect the party it is connected with;
    /// [`ProgramInput::QueueLeft`](super::ProgramInput::QueueLeft) still follows.
    LeaveQueue {
        /// Id of the [`ProgramStep::Enqueue`] to end.
        id: u32,
        /// Outcome to report in [`ProgramInput::QueueLeft`](super::ProgramInput::QueueLeft).
        why: QueueOutcome,
    },
    /// Connect the queued caller with the party that dialled the queue: the document for the queued caller has ended.
    ConnectQueued {
        /// Id of the [`ProgramStep::Enqueue`] of the caller.
        id: u32,
    },
    /// Connect the caller with the first caller of a queue; report
    /// [`ProgramInput::DialAnswered`](super::ProgramInput::DialAnswered) on connection, and always
    /// [`ProgramInput::DialEnded`](super::ProgramInput::DialEnded) at the end.
    DialQueue(DialQueueStep),
    /// End the stream of a Connect; [`ProgramInput::StreamEnded`](super::ProgramInput::StreamEnded) still follows.
    EndStream {
        /// Id of the [`ProgramStep::ConnectStream`] to end.
        id: u32,
    },
    /// Connect the caller with a stream and report [`ProgramInput::StreamEnded`](super::ProgramInput::StreamEnded).
    ConnectStream(StreamStep),
    /// Start a stream that only listens to the call; nothing is reported.
    StartStream(StreamStep),
    /// Record the call on a group of recording servers; nothing is reported.
    StartSiprec(SiprecStep),
    /// End a recording on recording servers.
    StopSiprec {
        /// Name of the recording, from [`SiprecStep::name`].
        name: String,
    },
    /// Transcribe the call from now on; nothing is reported.
    StartTranscript(Box<TranscriptStep>),
    /// End a live transcription.
    StopTranscript {
        /// Name of the transcription, from [`TranscriptStep::name`].
        name: String,
    },
    /// Stop a stream that only listens to the call.
    StopStream {
        /// Name of the stream, from [`StreamStep::name`].
        name: String,
    },
    /// Transfer the caller by REFER and report [`ProgramInput::ReferEnded`](super::ProgramInput::ReferEnded).
    Refer {
        /// Id of the transfer, repeated in its report.
        id: u32,
        /// SIP URI to transfer the caller to, without headers.
        uri: String,
        /// Headers for the INVITE by which the caller's side calls the URI.
        headers: Vec<SipHeader>,
    },
    /// Reject the caller's call. The program ends.
    Reject(RejectReason),
    /// End the caller's call. The program ends.
    Hangup,
    /// Connect the called party with the caller: the document for the called party has ended.
    Join,
    /// Continue with the next target of the route, or end the call, because the application failed and has no fallback.
    Failed {
        /// Error code of Twilio for the failure.
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

/// HTTP request of a program, for a document or to report an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchRequest {
    /// URL or file to request; never [`DocumentLocation::Inline`].
    pub location: DocumentLocation,
    /// HTTP method of the request.
    pub method: HttpMethod,
    /// Purpose of the request, for the trace.
    pub purpose: FetchPurpose,
    /// Parameters of this request, in addition to those that every request has.
    pub parameters: Vec<RequestParameter>,
}

/// Purpose of a request, as shown in traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchPurpose {
    /// Document at the start of the call.
    Start,
    /// Document of a Redirect.
    Redirect,
    /// Action at the end of a Gather.
    Gather,
    /// Action at the end of a Record.
    Record,
    /// Action at the end of a Dial.
    Dial,
    /// Action at the end of a Connect.
    Connect,
    /// Document with audio for a waiting conference party.
    Wait,
    /// Document with an announcement for a conference.
    Announce,
    /// Action at the end of an Enqueue.
    Enqueue,
    /// Document with audio for a caller waiting in a queue.
    QueueWait,
    /// Document for a queued caller about to be connected.
    Dequeue,
    /// Action with the result of a Refer.
    Refer,
    /// Report of a partial result of speech input.
    Partial,
    /// Fallback document after an error.
    Fallback,
}

impl FetchPurpose {
    /// Returns the name of the purpose in traces, such as `gather`.
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

/// Form parameter of a request. Its `Debug` output hides digits and speech.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestParameter {
    /// Name of the parameter, as used by Twilio.
    pub name: Cow<'static, str>,
    /// Value of the parameter, unescaped.
    pub value: String,
}

impl RequestParameter {
    /// Creates a parameter from its name and unescaped value.
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

/// Dial verb to be carried out: the parties to call and the limits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialStep {
    /// Id of the dial, repeated in its reports.
    pub id: u32,
    /// Parties to call, in order; at least one.
    pub parties: Vec<DialPartyStep>,
    /// Maximum ringing time: for each party if `sequential`, else for all together.
    pub timeout: Duration,
    /// Maximum duration of the connection with a party.
    pub time_limit: Duration,
    /// Caller ID shown to the parties; `None` shows the caller's number.
    pub caller_id: Option<String>,
    /// True if the caller's call is answered only when a party answers, and the caller hears ringing until then.
    pub answer_on_bridge: bool,
    /// True if parties are called one after the other instead of simultaneously.
    pub sequential: bool,
    /// Recording of the connection; `None` records nothing.
    #[serde(default)]
    pub record: Option<Box<DialRecordStep>>,
}

/// Conference that the caller is to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceStep {
    /// Id of the conference step, repeated in its reports.
    pub id: u32,
    /// Conference name and the settings of the caller in it; URLs are absolute.
    pub conference: ConferenceNoun,
    /// Audio for the caller until the conference starts.
    pub wait: BackgroundAudio,
    /// Maximum time the caller stays in the conference.
    pub time_limit: Duration,
    /// True if the caller can leave the conference by pressing `*`.
    pub leaves_on_star: bool,
    /// Recording of the conference from its start; `None` records nothing.
    #[serde(default)]
    pub record: Option<Box<RecordingStep>>,
}

/// Queue that the caller is to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueueStep {
    /// Id of the queue step, repeated in its reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Maximum number of callers in the queue; `None` applies the edge's limit.
    pub most: Option<u32>,
    /// Audio for the caller while it waits in the queue.
    pub wait: BackgroundAudio,
}

/// Queue from which the first caller is to be taken and connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialQueueStep {
    /// Id of the dial, repeated in its reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Document for the queued caller before the connection, as its location and the HTTP method; `None` for no
    /// document.
    pub prelude: Option<(DocumentLocation, HttpMethod)>,
    /// Maximum time to wait for a caller in an empty queue.
    pub timeout: Duration,
    /// Maximum duration of the connection with the queued caller.
    pub time_limit: Duration,
}

/// Audio for a conference party that does not hear the others, or for a queued caller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum BackgroundAudio {
    /// The edge's own music.
    Music,
    /// No audio at all.
    Silence,
    /// Audio file, or a document that is repeated.
    Document {
        /// Location of the file or document.
        location: DocumentLocation,
        /// HTTP method of the request.
        method: HttpMethod,
    },
}

/// Recording of the connection made by a Dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRecordStep {
    /// True if the recording starts with the ringing.
    pub from_ringing: bool,
    /// Channels, directions and status callback of the recording.
    pub recording: RecordingStep,
}

/// Settings of a recording: channels, directions, trimming and status callback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingStep {
    /// True if each direction has its own audio channel.
    pub dual: bool,
    /// Directions of audio to record.
    pub track: TrackSelection,
    /// True if silence at the beginning and the end of the recording is removed.
    pub trim: bool,
    /// Receiver of recording states: absolute URL, method, and the states to report. `None` if no states are reported.
    pub status: Option<(String, HttpMethod, ReportedStates)>,
}

/// Recording of the caller, to be made for a Record verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStep {
    /// Id of the recording, repeated in its reports.
    pub id: u32,
    /// Duration of silence after which [`ProgramInput::Silent`](super::ProgramInput::Silent) is reported.
    pub silence: Duration,
    /// Channels, directions and status callback of the recording.
    pub recording: RecordingStep,
    /// Transcription of the recording; `None` if none is requested.
    pub transcription: Option<TranscriptionStep>,
}

/// Transcription of a recording made by a Record verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionStep {
    /// Absolute URL that receives the text; `None` if the text is not reported.
    pub status: Option<String>,
}

/// Party that a Dial calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialPartyStep {
    /// Address of the party: number, client or SIP addresses.
    pub address: PartyAddress,
    /// Document for the party before the connection, as its location and the HTTP method; `None` for no document.
    pub whisper: Option<(DocumentLocation, HttpMethod)>,
    /// Receiver of call progress events of the party's call; `None` if no events are reported.
    pub status: Option<StatusCallback>,
    /// Answering machine detection on the party's call; `None` for none.
    #[serde(default)]
    pub detection: Option<PartyDetection>,
}

/// Answering machine detection on a dialled party's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyDetection {
    /// Detection thresholds and timeout.
    pub settings: DetectionSettings,
    /// Receiver of the detection result, as absolute URL and HTTP method; `None` if the result is not reported.
    pub receiver: Option<(String, HttpMethod)>,
}

/// Address of a party that a Dial calls.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PartyAddress {
    /// Telephone number, as the application wrote it.
    Number {
        /// Number to call.
        number: String,
        /// DTMF digits to send once the party has answered.
        send_digits: Option<SensitiveText>,
    },
    /// Voice SDK client, which the configuration maps to a SIP party or an agent.
    Client {
        /// Identity of the client.
        identity: String,
    },
    /// SIP addresses, in ascending order of their priority values.
    Sip {
        /// Addresses to call, each with the headers of its URI.
        uris: Vec<SipUri>,
        /// Headers added to each INVITE.
        headers: Vec<SipHeader>,
    },
}

/// Receiver of call progress events of a dialled party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCallback {
    /// Absolute URL of the receiver.
    pub url: String,
    /// HTTP method of the reports.
    pub method: HttpMethod,
    /// Events to report: initiated, ringing, answered, completed.
    pub events: CallbackEvents,
}

/// Speech recognition to be started, with its language and model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecognitionStep {
    /// Id of the recognition, repeated in its reports.
    pub id: u32,
    /// Language tag (BCP 47), such as `en-US`.
    pub language: String,
    /// Words and phrases that the recogniser should expect.
    pub hints: Vec<String>,
    /// Name of the recogniser's model; `None` for its default.
    pub model: Option<String>,
    /// True if the enhanced variant of the model is requested.
    pub enhanced: bool,
    /// True if profanities are masked in the text.
    pub profanity_filter: bool,
}

/// Media stream to be opened to a WebSocket server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStep {
    /// Id repeated in the report of the end; only the stream of a Connect has a report.
    pub id: u32,
    /// Absolute `ws` or `wss` URL of the server.
    pub url: String,
    /// Name by which a Stop verb refers to the stream; `None` for no name.
    pub name: Option<String>,
    /// Directions of the call's audio that the server receives.
    pub tracks: TrackSelection,
    /// Receiver of stream events, as absolute URL and HTTP method; `None` if no events are reported.
    pub status: Option<(String, HttpMethod)>,
    /// Custom parameters (`customParameters`) of the start message, as name and value.
    pub parameters: Vec<(String, String)>,
}

/// Recording by a group of recording servers (SIPREC).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecStep {
    /// Name of the server group in the configuration.
    pub connector: String,
    /// True if the document asks for one direction only, which recording servers do not support.
    #[serde(default)]
    pub is_one_track: bool,
    /// Name by which a Stop verb refers to the recording; `None` for no name.
    pub name: Option<String>,
    /// Receiver of recording events, as absolute URL and HTTP method; `None` if no events are reported.
    pub status: Option<(String, HttpMethod)>,
}

/// Live transcription to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptStep {
    /// Name by which a Stop verb refers to the transcription; `None` for no name.
    pub name: Option<String>,
    /// Directions of the call's audio that are transcribed.
    pub tracks: TrackSelection,
    /// Display names of the inbound and the outbound track.
    pub labels: [Option<String>; 2],
    /// Receiver of transcription events, as absolute URL and HTTP method; `None` if no events are reported.
    pub status: Option<(String, HttpMethod)>,
    /// True if partial results are reported too.
    pub partial: bool,
    /// Language, model and hints of the recogniser, the same for each track.
    pub speech: RecognitionStep,
}

/// Event for the call's trace. It contains no digits or passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgramTrace {
    /// Line of the verb in its document; 0 if no verb is concerned.
    pub line: u32,
    /// Name of the verb, or `Response` for the document as a whole.
    pub verb: String,
    /// Kind and text of the event.
    pub note: TraceNote,
}

/// Kind and text of a trace event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum TraceNote {
    /// The verb started.
    Began,
    /// Result of a verb, or the next action, as text.
    Result(String),
    /// Part of the document was skipped or replaced.
    Warning {
        /// Warning code of Twilio.
        code: u16,
        /// Text of the warning: the part concerned and the reason.
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
        /// Text of the error: the reason why the document cannot continue.
        text: String,
    },
}
