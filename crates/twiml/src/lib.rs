//! TwiML parser and interpreter, without I/O: texts, events and `now` go in; verbs, steps and the next deadline come
//! out. HTTP, audio and SIP are left to the caller.
//!
//! [`parse`] reads a document; [`Program`] runs documents; [`compat`] has the compatibility tables of both.
#![deny(clippy::indexing_slicing)]

mod document;
mod location;
mod problem;
mod program;
mod secret;
mod xml;

pub mod compat;
pub mod fuzz;
pub mod limits;

pub use document::{
    CallDocument, CallbackEvents, ConferenceNoun, ConnectVerb, DialRecord, DialTarget, DialVerb, DocumentReference,
    DocumentWarnings, EnqueueVerb, GatherVerb, HttpMethod, LiveTranscript, LoopCount, MessagingDocument,
    PartyCallbacks, PauseVerb, PlaySource, PlayVerb, Prompt, PromptKind, QueueNoun, RecordVerb, RecordingNoun,
    RedirectVerb, ReferVerb, ReferenceKind, RejectReason, ReplyKind, ReplyVerb, ReportedStates, SayVerb, SipHeader,
    SipParty, SipUri, SiprecNoun, SpeechEnd, SpeechInput, Stream, TrackSelection, TranscriptionNoun, UnsupportedVerb,
    Verb, VerbKind, headers_of_request, is_digits, parse, parse_body, parse_messaging, references, written_number,
};
pub use location::DocumentLocation;
pub use problem::{DocumentError, DocumentPosition, DocumentWarning, code};
pub use program::{
    BackgroundAudio, ConferenceStep, DialPartyStep, DialQueueStep, DialRecordStep, DialResult, DialStatus, DialStep,
    DocumentSource, EnqueueStep, FetchPurpose, FetchRequest, PartyAddress, PartyDetection, Program, ProgramInput,
    ProgramRole, ProgramSettings, ProgramStep, ProgramTrace, QueueOutcome, QueueResult, RecogniserResult,
    RecognitionStep, RecordResult, RecordStep, RecordingStep, ReferResult, RequestParameter, SiprecStep,
    StatusCallback, StreamStep, TraceNote, TranscriptStep, TranscriptionStep, VoiceMessage,
};
pub use secret::SensitiveText;
