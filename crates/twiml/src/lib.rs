//! TwiML parser and interpreter. Sans I/O: texts, events and `now` are inputs; verbs, steps and the next deadline are
//! outputs. HTTP, audio and SIP are left to the caller.
//!
//! [`parse`] reads a document; [`Program`] runs documents; [`compat`] is the compatibility table of both.
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
    Callback, CallbackEvents, Conference, Connect, Dial, DialRecord, Document, Enqueue, Gather, Header, Kind,
    LiveTranscript, Loop, MessagingDocument, Method, Pause, Play, PlaySource, Prompt, PromptKind, Queue, Record,
    RecordingNoun, Redirect, Refer, Reference, ReferenceKind, Refused, Reject, Reply, ReplyKind, ReportedStates, Say,
    SipParty, SipUri, SiprecNoun, SpeechEnd, SpeechInput, Stream, Target, Tracks, TranscriptionNoun, Verb, Warnings,
    headers_of_request, is_digits, parse, parse_body, parse_messaging, references, written_number,
};
pub use location::Location;
pub use problem::{Error, Position, Warning, code};
pub use program::{
    Address, Background, ConferenceStep, DialQueueStep, DialRecordStep, DialResult, DialStatus, DialStep, EnqueueStep,
    Heard, Input, Note, Parameter, Party, PartyDetection, Program, Purpose, QueueOutcome, QueueResult, RecognitionStep,
    RecordResult, RecordStep, RecordingStep, ReferResult, Request, Role, Settings, SiprecStep, Source, StatusCallback,
    Step, StreamStep, Trace, TranscriptStep, TranscriptionStep, VoiceMessage,
};
pub use secret::Secret;
