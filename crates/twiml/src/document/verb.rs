//! Verbs of a document and the dispatch to their readers.

use serde::{Deserialize, Serialize};

use super::audio::{Pause, Play, Say, pause, play, say};
use super::dial::{Dial, dial};
use super::fields::Fields;
use super::gather::{Gather, gather};
use super::queue::{Enqueue, enqueue};
use super::record::{Record, RecordingNoun, record};
use super::stream::{Connect, SiprecNoun, Stream, connect, start, stop};
use super::transcription::LiveTranscript;
use super::transfer::{Redirect, Refer, Reject, redirect, refer, reject};
use super::{Warnings, unknown};
use crate::compat::{self, State, VOICE};
use crate::problem::{Position, code};
use crate::xml::Element;

/// Verb of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verb {
    /// Position of its element.
    pub position: Position,
    /// Effect of the verb.
    pub kind: Kind,
}

/// Effect of a verb.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Speaks a text.
    Say(Say),
    /// Plays a file or digits.
    Play(Play),
    /// Waits in silence.
    Pause(Pause),
    /// Collects digits or speech.
    Gather(Box<Gather>),
    /// Records the caller's speech.
    Record(Box<Record>),
    /// Calls other parties.
    Dial(Box<Dial>),
    /// Puts the caller into a queue.
    Enqueue(Box<Enqueue>),
    /// Leaves the queue in which the caller waits.
    Leave,
    /// Connects a voice agent.
    Connect(Box<Connect>),
    /// Starts a listener's stream.
    StartStream(Box<Stream>),
    /// Starts a recording of the call.
    StartRecording(Box<RecordingNoun>),
    /// Starts a recording by a group of recording servers.
    StartSiprec(Box<SiprecNoun>),
    /// Ends a recording by recording servers.
    StopSiprec {
        /// Name of the recording.
        name: String,
    },
    /// Starts a live transcription of the call.
    StartTranscript(Box<LiveTranscript>),
    /// Ends a live transcription.
    StopTranscript {
        /// Name of the transcription.
        name: String,
    },
    /// Stops a listener's stream.
    StopStream {
        /// Name of the stream.
        name: String,
    },
    /// Continues with another document.
    Redirect(Redirect),
    /// Refuses the call.
    Reject(Reject),
    /// Ends the call.
    Hangup,
    /// Transfers the caller by REFER.
    Refer(Box<Refer>),
    /// Verb that is known but not supported.
    Refused(Refused),
}

/// Twilio verb or noun that the edge does not support.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Path of the element, such as `Dial/Conference`.
    pub what: String,
    /// Closest error code of Twilio.
    pub code: u16,
    /// Reason why it is not supported.
    pub reason: String,
}

impl Refused {
    pub(super) fn new(what: &str, code: u16, reason: &str) -> Self {
        Refused { what: what.to_owned(), code, reason: reason.to_owned() }
    }
}

impl Kind {
    /// Returns the name of the element.
    pub fn name(&self) -> &str {
        match self {
            Kind::Say(_) => "Say",
            Kind::Play(_) => "Play",
            Kind::Pause(_) => "Pause",
            Kind::Gather(_) => "Gather",
            Kind::Record(_) => "Record",
            Kind::Dial(_) => "Dial",
            Kind::Enqueue(_) => "Enqueue",
            Kind::Leave => "Leave",
            Kind::Connect(_) => "Connect",
            Kind::StartStream(_) | Kind::StartRecording(_) | Kind::StartSiprec(_) | Kind::StartTranscript(_) => "Start",
            Kind::StopStream { .. } | Kind::StopSiprec { .. } | Kind::StopTranscript { .. } => "Stop",
            Kind::Redirect(_) => "Redirect",
            Kind::Reject(_) => "Reject",
            Kind::Hangup => "Hangup",
            Kind::Refer(_) => "Refer",
            Kind::Refused(refused) => &refused.what,
        }
    }
}

/// Reads one child of `Response` into any number of verbs.
pub(super) fn read(element: &Element, verbs: &mut Vec<Verb>, warnings: &mut Warnings) {
    let Some(entry) = compat::entry(VOICE, "", &element.name) else { return unknown(element, "", warnings) };
    if let State::NotSupported(text) = entry.state {
        let kind = Kind::Refused(Refused::new(entry.path, code::SCHEMA, text));
        verbs.push(Verb { position: element.position, kind });
        return;
    }
    if matches!(entry.path, "Play" | "Pause" | "Record" | "Redirect" | "Reject" | "Hangup" | "Leave") {
        element.elements().for_each(|child| without_effect(child, entry.path, warnings));
    }
    let fields = Fields::open(entry, element, warnings);
    let kinds = match entry.path {
        "Say" => say(fields).map(Kind::Say).into_iter().collect(),
        "Play" => play(fields).map(Kind::Play).into_iter().collect(),
        "Pause" => vec![Kind::Pause(pause(fields))],
        "Gather" => vec![gather(fields)],
        "Record" => vec![Kind::Record(Box::new(record(fields)))],
        "Dial" => vec![dial(fields)],
        "Enqueue" => enqueue(fields).into_iter().collect(),
        "Leave" => vec![Kind::Leave],
        "Connect" => connect(fields).into_iter().collect(),
        "Start" => start(fields),
        "Stop" => stop(fields),
        "Redirect" => vec![Kind::Redirect(redirect(fields))],
        "Reject" => vec![Kind::Reject(reject(fields))],
        "Hangup" => vec![Kind::Hangup],
        "Refer" => refer(fields).map(|refer| Kind::Refer(Box::new(refer))).into_iter().collect(),
        _ => Vec::new(),
    };
    verbs.extend(kinds.into_iter().map(|kind| Verb { position: element.position, kind }));
}

/// Warns of an element inside a verb that accepts none.
fn without_effect(child: &Element, path: &'static str, warnings: &mut Warnings) {
    match compat::entry(VOICE, path, &child.name) {
        Some(_) => {
            let message = format!("<{}> in <{path}> has no effect", child.name);
            warnings.add(code::SCHEMA, child.position, message);
        }
        None => unknown(child, path, warnings),
    }
}
