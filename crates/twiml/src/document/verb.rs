//! Verbs of a document for calls, and the dispatch to their readers.

use serde::{Deserialize, Serialize};

use super::audio::{PauseVerb, PlayVerb, SayVerb, pause, play, say};
use super::dial::{DialVerb, dial};
use super::fields::ElementFields;
use super::gather::{GatherVerb, gather};
use super::queue::{EnqueueVerb, enqueue};
use super::record::{RecordVerb, RecordingNoun, record};
use super::stream::{ConnectVerb, SiprecNoun, Stream, connect, start, stop};
use super::transcription::LiveTranscript;
use super::transfer::{RedirectVerb, ReferVerb, RejectReason, redirect, refer, reject};
use super::{DocumentWarnings, unknown};
use crate::compat::{self, FeatureSupport, VOICE};
use crate::problem::{DocumentPosition, code};
use crate::xml::XmlElement;

/// Verb of a document, with its position.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verb {
    /// Position of the verb's element in the document.
    pub position: DocumentPosition,
    /// Kind of the verb, with its attributes.
    pub kind: VerbKind,
}

/// Kind of a verb, with its attributes and nouns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VerbKind {
    /// Speaks a text.
    Say(SayVerb),
    /// Plays a file or digits.
    Play(PlayVerb),
    /// Waits in silence.
    Pause(PauseVerb),
    /// Collects digits or speech.
    Gather(Box<GatherVerb>),
    /// Records the caller's speech.
    Record(Box<RecordVerb>),
    /// Calls other parties.
    Dial(Box<DialVerb>),
    /// Puts the caller into a queue.
    Enqueue(Box<EnqueueVerb>),
    /// Leaves the queue in which the caller waits.
    Leave,
    /// Connects a voice agent.
    Connect(Box<ConnectVerb>),
    /// Starts a media stream to a listener.
    StartStream(Box<Stream>),
    /// Starts a recording of the call.
    StartRecording(Box<RecordingNoun>),
    /// Starts a recording by a group of recording servers.
    StartSiprec(Box<SiprecNoun>),
    /// Ends a recording by a group of recording servers.
    StopSiprec {
        /// Name given by the verb that started the recording.
        name: String,
    },
    /// Starts a live transcription of the call.
    StartTranscript(Box<LiveTranscript>),
    /// Ends a live transcription.
    StopTranscript {
        /// Name given by the verb that started the transcription.
        name: String,
    },
    /// Stops a listener's stream.
    StopStream {
        /// Name given by the verb that started the stream.
        name: String,
    },
    /// Continues with another document.
    Redirect(RedirectVerb),
    /// Rejects the call.
    Reject(RejectReason),
    /// Ends the call.
    Hangup,
    /// Transfers the caller by REFER.
    Refer(Box<ReferVerb>),
    /// Verb that is known but not supported.
    Refused(UnsupportedVerb),
}

/// Twilio verb or noun that the edge does not support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnsupportedVerb {
    /// Path of the element, such as `Dial/Conference`.
    pub what: String,
    /// Error code of Twilio that fits the problem best.
    pub code: u16,
    /// Reason why the element is not supported.
    pub reason: String,
}

impl UnsupportedVerb {
    pub(super) fn new(what: &str, code: u16, reason: &str) -> Self {
        UnsupportedVerb { what: what.to_owned(), code, reason: reason.to_owned() }
    }
}

impl VerbKind {
    /// Returns the name of the verb's element.
    pub fn name(&self) -> &str {
        match self {
            VerbKind::Say(_) => "Say",
            VerbKind::Play(_) => "Play",
            VerbKind::Pause(_) => "Pause",
            VerbKind::Gather(_) => "Gather",
            VerbKind::Record(_) => "Record",
            VerbKind::Dial(_) => "Dial",
            VerbKind::Enqueue(_) => "Enqueue",
            VerbKind::Leave => "Leave",
            VerbKind::Connect(_) => "Connect",
            VerbKind::StartStream(_)
            | VerbKind::StartRecording(_)
            | VerbKind::StartSiprec(_)
            | VerbKind::StartTranscript(_) => "Start",
            VerbKind::StopStream { .. } | VerbKind::StopSiprec { .. } | VerbKind::StopTranscript { .. } => "Stop",
            VerbKind::Redirect(_) => "Redirect",
            VerbKind::Reject(_) => "Reject",
            VerbKind::Hangup => "Hangup",
            VerbKind::Refer(_) => "Refer",
            VerbKind::Refused(refused) => &refused.what,
        }
    }
}

/// Reads one child of `Response` into any number of verbs.
pub(super) fn read(element: &XmlElement, verbs: &mut Vec<Verb>, warnings: &mut DocumentWarnings) {
    let Some(entry) = compat::entry(VOICE, "", &element.name) else { return unknown(element, "", warnings) };
    if let FeatureSupport::NotSupported(text) = entry.state {
        let kind = VerbKind::Refused(UnsupportedVerb::new(entry.path, code::SCHEMA, text));
        verbs.push(Verb { position: element.position, kind });
        return;
    }
    if matches!(entry.path, "Play" | "Pause" | "Record" | "Redirect" | "Reject" | "Hangup" | "Leave") {
        element.elements().for_each(|child| without_effect(child, entry.path, warnings));
    }
    let fields = ElementFields::open(entry, element, warnings);
    let kinds = match entry.path {
        "Say" => say(fields).map(VerbKind::Say).into_iter().collect(),
        "Play" => play(fields).map(VerbKind::Play).into_iter().collect(),
        "Pause" => vec![VerbKind::Pause(pause(fields))],
        "Gather" => vec![gather(fields)],
        "Record" => vec![VerbKind::Record(Box::new(record(fields)))],
        "Dial" => vec![dial(fields)],
        "Enqueue" => enqueue(fields).into_iter().collect(),
        "Leave" => vec![VerbKind::Leave],
        "Connect" => connect(fields).into_iter().collect(),
        "Start" => start(fields),
        "Stop" => stop(fields),
        "Redirect" => vec![VerbKind::Redirect(redirect(fields))],
        "Reject" => vec![VerbKind::Reject(reject(fields))],
        "Hangup" => vec![VerbKind::Hangup],
        "Refer" => refer(fields).map(|refer| VerbKind::Refer(Box::new(refer))).into_iter().collect(),
        _ => Vec::new(),
    };
    verbs.extend(kinds.into_iter().map(|kind| Verb { position: element.position, kind }));
}

/// Warns of an element inside a verb that accepts none.
fn without_effect(child: &XmlElement, path: &'static str, warnings: &mut DocumentWarnings) {
    match compat::entry(VOICE, path, &child.name) {
        Some(_) => {
            let message = format!("<{}> in <{path}> has no effect", child.name);
            warnings.add(code::SCHEMA, child.position, message);
        }
        None => unknown(child, path, warnings),
    }
}
