//! What a program wants done.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use trunkgate_detection::Settings as DetectionSettings;

use crate::document::{CallbackEvents, Conference, Header, Loop, Method, Reject, ReportedStates, Say, SipUri, Tracks};
use crate::location::Location;
use crate::secret::Secret;

use super::input::QueueOutcome;

/// One thing to do. Steps with an `id` are reported back with it; a report with another id is stale and ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Fetch a document and report [`Input::Fetched`](super::Input::Fetched) or
    /// [`Input::FetchFailed`](super::Input::FetchFailed).
    Fetch {
        /// Id of the report.
        id: u32,
        /// The request.
        request: Request,
    },
    /// Make a request whose response is not run: the caller is gone.
    Notify(Request),
    /// Make such a request about a recording once its audio is complete, with what is known of it then; none where it has no audio.
    NotifyRecorded {
        /// Id of the Record.
        id: u32,
        /// The request.
        request: Request,
    },
    /// Have the caller's speech recognised, and report [`Input::Speech`](super::Input::Speech) and
    /// [`Input::RecognitionFailed`](super::Input::RecognitionFailed).
    StartRecognition(RecognitionStep),
    /// End the recognition. It is not reported.
    StopRecognition {
        /// Id of its step.
        id: u32,
    },
    /// Make a request whose response is not run. Where an earlier one has no response yet, it waits; of those that wait
    /// only the last is made.
    ReportPartial(Request),
    /// Answer the caller's call, if that has not happened yet.
    Answer,
    /// Speak a text and report [`Input::Played`](super::Input::Played).
    Say {
        /// Id of the report.
        id: u32,
        /// Text, voice and repetitions.
        say: Say,
    },
    /// Play a sound and report [`Input::Played`](super::Input::Played).
    Play {
        /// Id of the report.
        id: u32,
        /// Place of the sound.
        location: Location,
        /// Number of repetitions.
        repeat: Loop,
    },
    /// Send DTMF digits to the caller and report [`Input::Played`](super::Input::Played).
    PlayDigits {
        /// Id of the report.
        id: u32,
        /// Digits, `w` for a pause of 0.5 s, `W` for 1 s.
        digits: Secret,
        /// Number of repetitions.
        repeat: Loop,
    },
    /// Play a short tone and report [`Input::Played`](super::Input::Played).
    Beep {
        /// Id of the report.
        id: u32,
    },
    /// Record the caller; report [`Input::Silent`](super::Input::Silent), and at the end [`Input::Recorded`](super::Input::Recorded), or
    /// [`Input::RecordFailed`](super::Input::RecordFailed).
    Record(RecordStep),
    /// End a Record; [`Input::Recorded`](super::Input::Recorded) still follows.
    StopRecord {
        /// Id of its step.
        id: u32,
    },
    /// Record the call from now on; nothing is reported.
    StartRecording(RecordingStep),
    /// Stop the sound with this id at once. It is not reported.
    StopPlaying {
        /// Id of its step.
        id: u32,
    },
    /// Call other parties; report [`Input::DialAnswered`](super::Input::DialAnswered) once one is connected and
    /// [`Input::DialEnded`](super::Input::DialEnded) at the end in any case.
    Dial(DialStep),
    /// Have the caller join a conference; report [`Input::DialAnswered`](super::Input::DialAnswered) once it has,
    /// [`Input::Background`](super::Input::Background) as often as what it hears changes, and
    /// [`Input::DialEnded`](super::Input::DialEnded) at the end in any case.
    Conference(ConferenceStep),
    /// Play the edge's music until [`Step::StopPlaying`]; nothing is reported.
    PlayMusic {
        /// Id of the conference's step.
        id: u32,
    },
    /// End the parties' calls, or have the caller leave the conference; [`Input::DialEnded`](super::Input::DialEnded) still follows.
    EndDial {
        /// Id of the dial.
        id: u32,
    },
    /// Put the caller into a queue; report [`Input::Background`](super::Input::Background) as often as what it hears changes, and
    /// [`Input::QueueLeft`](super::Input::QueueLeft) at the end in any case.
    Enqueue(EnqueueStep),
    /// Have the caller leave its queue, or the party that it is connected with; [`Input::QueueLeft`](super::Input::QueueLeft) still
    /// follows.
    LeaveQueue {
        /// Id of its Enqueue.
        id: u32,
        /// Outcome to report.
        why: QueueOutcome,
    },
    /// Connect the queued caller with the party that has dialled the queue: its document is over.
    ConnectQueued {
        /// Id of its Enqueue.
        id: u32,
    },
    /// Connect the caller with the first caller of a queue; report [`Input::DialAnswered`](super::Input::DialAnswered) once it is, and
    /// [`Input::DialEnded`](super::Input::DialEnded) at the end in any case.
    DialQueue(DialQueueStep),
    /// End a connected stream; [`Input::StreamEnded`](super::Input::StreamEnded) still follows.
    EndStream {
        /// Id of the stream.
        id: u32,
    },
    /// Connect the caller with a stream and report [`Input::StreamEnded`](super::Input::StreamEnded).
    ConnectStream(StreamStep),
    /// Start a listener's stream; nothing is reported.
    StartStream(StreamStep),
    /// Have a group of recording servers record the call; nothing is reported.
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
    /// Transfer the caller by REFER and report [`Input::ReferEnded`](super::Input::ReferEnded).
    Refer {
        /// Id of the report.
        id: u32,
        /// SIP URI without headers.
        uri: String,
        /// Headers for the new call's INVITE.
        headers: Vec<Header>,
    },
    /// Refuse the caller's call. The program is over.
    Reject(Reject),
    /// End the caller's call. The program is over.
    Hangup,
    /// Connect the called party with the caller: its document is over.
    Join,
    /// Give the call to the next target of its route, or end it: the application failed and has no fallback.
    Failed {
        /// Twilio's code.
        code: u16,
    },
    /// Note what happened in the call's trace.
    Trace(Trace),
}

impl Step {
    /// Returns whether a report ends the step, which is carried out again after a restart until then. Most steps have none.
    pub fn is_reported(&self) -> bool {
        matches!(
            self,
            Step::Fetch { .. }
                | Step::Say { .. }
                | Step::Play { .. }
                | Step::PlayDigits { .. }
                | Step::Beep { .. }
                | Step::Record(_)
                | Step::Dial(_)
                | Step::Conference(_)
                | Step::Enqueue(_)
                | Step::DialQueue(_)
                | Step::ConnectStream(_)
                | Step::Refer { .. }
        )
    }
}

/// A request for a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Place of the document; never [`Location::Inline`].
    pub location: Location,
    /// Method.
    pub method: Method,
    /// Purpose, for the trace.
    pub purpose: Purpose,
    /// Parameters beside those that every request has.
    pub parameters: Vec<Parameter>,
}

/// Purpose of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Purpose {
    /// The call began.
    Start,
    /// A Redirect.
    Redirect,
    /// The end of a Gather.
    Gather,
    /// The end of a Record.
    Record,
    /// The end of a Dial.
    Dial,
    /// The end of a Connect.
    Connect,
    /// A party of a conference waits.
    Wait,
    /// An announcement in a conference.
    Announce,
    /// The end of an Enqueue.
    Enqueue,
    /// A caller waits in a queue.
    QueueWait,
    /// A queued caller is about to be connected.
    Dequeue,
    /// The result of a Refer.
    Refer,
    /// A partial result of speech input.
    Partial,
    /// An error.
    Fallback,
}

impl Purpose {
    /// Returns its name in traces.
    pub const fn name(self) -> &'static str {
        match self {
            Purpose::Start => "start",
            Purpose::Redirect => "redirect",
            Purpose::Gather => "gather",
            Purpose::Record => "record",
            Purpose::Dial => "dial",
            Purpose::Connect => "connect",
            Purpose::Wait => "wait",
            Purpose::Announce => "announce",
            Purpose::Enqueue => "enqueue",
            Purpose::QueueWait => "queue wait",
            Purpose::Dequeue => "dequeue",
            Purpose::Refer => "refer",
            Purpose::Partial => "partial",
            Purpose::Fallback => "fallback",
        }
    }
}

/// A parameter of a request. `Debug` hides digits and speech.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parameter {
    /// Name as Twilio has it.
    pub name: Cow<'static, str>,
    /// Value.
    pub value: String,
}

impl Parameter {
    /// Makes a parameter.
    pub fn new(name: impl Into<Cow<'static, str>>, value: impl Into<String>) -> Self {
        Parameter { name: name.into(), value: value.into() }
    }

    /// Whether the value is what the caller typed or said, which no trace or log shows.
    pub fn is_secret(&self) -> bool {
        matches!(
            &*self.name,
            "Digits" | "FinishedOnKey" | "SpeechResult" | "StableSpeechResult" | "UnstableSpeechResult"
        )
    }
}

impl fmt::Debug for Parameter {
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
    pub parties: Vec<Party>,
    /// Longest ringing time; of each party where they are called in turn.
    pub timeout: Duration,
    /// Longest time together.
    pub time_limit: Duration,
    /// Caller ID; `None`: the caller's.
    pub caller_id: Option<String>,
    /// Whether the caller's call is answered with the party's; otherwise the caller hears ringing.
    pub answer_on_bridge: bool,
    /// Whether parties are called in turn.
    pub sequential: bool,
    /// Recording of what the caller and the party say.
    #[serde(default)]
    pub record: Option<Box<DialRecordStep>>,
}

/// A conference to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferenceStep {
    /// Id of the reports.
    pub id: u32,
    /// The conference and the settings of the party; its URLs are absolute.
    pub conference: Conference,
    /// What the caller hears before the start.
    pub wait: Background,
    /// Longest time in it.
    pub time_limit: Duration,
    /// Whether the caller leaves it by `*`.
    pub leaves_on_star: bool,
    /// Recording of the conference from its start.
    #[serde(default)]
    pub record: Option<Box<RecordingStep>>,
}

/// A queue to enter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnqueueStep {
    /// Id of the reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Most callers of the queue; `None`: as many as it has room for.
    pub most: Option<u32>,
    /// What the caller hears.
    pub wait: Background,
}

/// A queue to take a caller from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialQueueStep {
    /// Id of the reports.
    pub id: u32,
    /// Name of the queue.
    pub name: String,
    /// Document for the queued caller before it is connected: location and method of the request.
    pub prelude: Option<(Location, Method)>,
    /// Longest time to wait for a caller.
    pub timeout: Duration,
    /// Longest time together.
    pub time_limit: Duration,
}

/// What a party of a conference hears in place of the others, and a queued caller while it waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Background {
    /// The edge's own music.
    Music,
    /// Nothing.
    Silence,
    /// An audio file, or a document that is run again and again.
    Document {
        /// Its place.
        location: Location,
        /// Method of its request.
        method: Method,
    },
}

/// A recording of a dial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialRecordStep {
    /// Whether it begins with the ringing.
    pub from_ringing: bool,
    /// How it is made.
    pub recording: RecordingStep,
}

/// A recording to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingStep {
    /// Whether the two sides have a channel each.
    pub dual: bool,
    /// Directions that are recorded.
    pub track: Tracks,
    /// Whether silence at its beginning and its end is removed.
    pub trim: bool,
    /// Receiver of what becomes of it: absolute URL, method, and the states to report.
    pub status: Option<(String, Method, ReportedStates)>,
}

/// A Record to make.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordStep {
    /// Id of the reports.
    pub id: u32,
    /// Silence of the caller that is reported.
    pub silence: Duration,
    /// How it is made.
    pub recording: RecordingStep,
    /// The transcription that it asks for.
    pub transcription: Option<TranscriptionStep>,
}

/// A transcription to make of a Record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptionStep {
    /// Receiver of its result.
    pub status: Option<String>,
}

/// A party to call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Party {
    /// Number or SIP address.
    pub address: Address,
    /// Document to run for the party before it is connected: location and method of the request.
    pub whisper: Option<(Location, Method)>,
    /// Receiver of its call progress.
    pub status: Option<StatusCallback>,
    /// Detection of who has answered its call.
    #[serde(default)]
    pub detection: Option<PartyDetection>,
}

/// Detection of who has answered a party's call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartyDetection {
    /// Thresholds.
    pub settings: DetectionSettings,
    /// Receiver of the verdict: absolute URL, and method of the request.
    pub receiver: Option<(String, Method)>,
}

/// Address of a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A telephone number, as the application wrote it.
    Number {
        /// The number.
        number: String,
        /// Digits to send at the answer.
        send_digits: Option<Secret>,
    },
    /// A Voice SDK client, for which the configuration has a SIP party or an agent.
    Client {
        /// Its identity.
        identity: String,
    },
    /// SIP addresses, lowest priority first.
    Sip {
        /// The addresses with their credentials.
        uris: Vec<SipUri>,
        /// Headers for the INVITE.
        headers: Vec<Header>,
    },
}

/// A receiver of progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCallback {
    /// Absolute URL.
    pub url: String,
    /// Method.
    pub method: Method,
    /// Events to report.
    pub events: CallbackEvents,
}

/// Speech to recognise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecognitionStep {
    /// Id of the reports.
    pub id: u32,
    /// Language tag.
    pub language: String,
    /// Words and phrases that are likely.
    pub hints: Vec<String>,
    /// Name of the model.
    pub model: Option<String>,
    /// Whether the better variant of the model is asked for.
    pub enhanced: bool,
    /// Whether profanities are to be masked.
    pub profanity_filter: bool,
}

/// A media stream to open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamStep {
    /// Id of the report, for a connected stream.
    pub id: u32,
    /// Absolute ws or wss URL.
    pub url: String,
    /// Name to stop it by.
    pub name: Option<String>,
    /// Directions of audio.
    pub tracks: Tracks,
    /// Receiver of the stream's progress: URL and method.
    pub status: Option<(String, Method)>,
    /// Custom parameters of its start message.
    pub parameters: Vec<(String, String)>,
}

/// A recording by a group of recording servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiprecStep {
    /// Name of the group.
    pub connector: String,
    /// Whether one direction alone is to be recorded, which recording servers do not do.
    #[serde(default)]
    pub is_one_track: bool,
    /// Name to end it by.
    pub name: Option<String>,
    /// Receiver of its progress: URL and method.
    pub status: Option<(String, Method)>,
}

/// A live transcription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptStep {
    /// Name to end it by.
    pub name: Option<String>,
    /// Directions that are transcribed.
    pub tracks: Tracks,
    /// Names of the inbound and the outbound track for people.
    pub labels: [Option<String>; 2],
    /// Receiver of its events: URL and method.
    pub status: Option<(String, Method)>,
    /// Whether partial results are reported.
    pub partial: bool,
    /// Speech to recognise on each track.
    pub speech: RecognitionStep,
}

/// A note for the call's trace. It holds neither digits nor passwords.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trace {
    /// Line of the verb in its document; 0 where no verb is concerned.
    pub line: u32,
    /// Verb, or `Response` for the document as a whole.
    pub verb: String,
    /// Event.
    pub note: Note,
}

/// Event of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The verb began.
    Began,
    /// A result, or what follows.
    Result(String),
    /// Something was skipped or replaced.
    Warning {
        /// Twilio's code.
        code: u16,
        /// Description.
        text: String,
    },
    /// A sound or text cannot be played: what follows it is run.
    Unheard {
        /// Twilio's code.
        code: u16,
        /// Name of the sound, and what is wrong with it.
        text: String,
    },
    /// The document cannot go on.
    Error {
        /// Twilio's code.
        code: u16,
        /// Description.
        text: String,
    },
}
