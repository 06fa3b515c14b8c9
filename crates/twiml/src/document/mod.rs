//! Parser of documents: XML to typed verbs. Malformed XML or a root other than `Response` is an error; any other
//! mistake is a warning, as on Twilio.

mod audio;
mod conference;
mod dial;
mod fields;
mod gather;
mod messaging;
mod queue;
mod record;
mod references;
mod speech;
mod ssml;
mod stream;
mod transcription;
mod transfer;
mod verb;

use serde::{Deserialize, Serialize};

use crate::compat;
use crate::limits::WARNINGS;
use crate::problem::{DocumentError, DocumentPosition, DocumentWarning, code};
use crate::xml::{self, XmlElement, XmlNode};

pub use audio::{LoopCount, PauseVerb, PlaySource, PlayVerb, SayVerb, is_digits};
pub use conference::ConferenceNoun;
pub use dial::{
    CallbackEvents, DialTarget, DialVerb, PartyCallbacks, SipHeader, SipParty, SipUri, headers_of_request,
    written_number,
};
pub use fields::HttpMethod;
pub use gather::{GatherVerb, Prompt, PromptKind};
pub use messaging::{MessagingDocument, ReplyKind, ReplyVerb, parse_messaging};
pub use queue::{EnqueueVerb, QueueNoun};
pub use record::{DialRecord, RecordVerb, RecordingNoun, ReportedStates, TranscriptionNoun};
pub use references::{DocumentReference, ReferenceKind, references};
pub use speech::{SpeechEnd, SpeechInput};
pub use stream::{ConnectVerb, SiprecNoun, Stream, TrackSelection};
pub use transcription::LiveTranscript;
pub use transfer::{RedirectVerb, ReferVerb, RejectReason};
pub use verb::{UnsupportedVerb, Verb, VerbKind};

/// Parsed document that controls a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallDocument {
    /// Verbs of the document, in order.
    pub verbs: Vec<Verb>,
    /// Warnings about skipped and replaced parts.
    pub warnings: DocumentWarnings,
}

/// First [`WARNINGS`] warnings of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentWarnings {
    /// Warnings, in the order of their positions in the document.
    pub list: Vec<DocumentWarning>,
    /// Number of warnings beyond [`WARNINGS`].
    pub more: u32,
}

impl DocumentWarnings {
    pub(crate) fn add(&mut self, code: u16, position: DocumentPosition, message: impl Into<String>) {
        if self.list.len() < WARNINGS {
            self.list.push(DocumentWarning { code, position, message: message.into() });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }
}

/// Parses the document of a call.
///
/// ```
/// let document = trunkgate_twiml::parse("<Response><Say>Hello</Say><Hangup/></Response>").unwrap();
/// assert_eq!(document.verbs.len(), 2);
///
/// let error = trunkgate_twiml::parse("<Response>\n  <Say>Hello</Response>").unwrap_err();
/// assert_eq!((error.code, error.position.line), (12100, 2));
/// ```
///
/// # Errors
/// Returns [`DocumentError`] if the document is malformed XML, exceeds a limit, or has a root other than `Response`.
pub fn parse(text: &str) -> Result<CallDocument, DocumentError> {
    let root = root(text)?;
    let mut warnings = DocumentWarnings::default();
    check_root(&root, &mut warnings);
    let mut verbs = Vec::new();
    for element in root.elements() {
        verb::read(element, &mut verbs, &mut warnings);
    }
    Ok(CallDocument { verbs, warnings })
}

/// Parses the document in the body of an HTTP response; `charset` is the charset of its content type.
///
/// # Errors
/// Returns [`DocumentError`] if the body cannot be decoded, or [`parse`] rejects the text.
pub fn parse_body(body: &[u8], charset: Option<&str>) -> Result<CallDocument, DocumentError> {
    parse(&xml::decode(body, charset)?)
}

/// Returns the text in the body of a `text/plain` response.
///
/// # Errors
/// Returns [`DocumentError`] if the body is too long or cannot be decoded.
pub(crate) fn plain_text(body: &[u8], charset: Option<&str>) -> Result<String, DocumentError> {
    xml::decode(body, charset).map(|text| text.into_owned())
}

fn root(text: &str) -> Result<XmlElement, DocumentError> {
    let root = xml::read(text)?;
    if root.name != "Response" {
        let shown: String = root.name.chars().take(40).collect();
        let message = format!("the root element is <{shown}>, not <Response>");
        return Err(DocumentError::new(code::NOT_A_RESPONSE, root.position, message));
    }
    Ok(root)
}

fn check_root(root: &XmlElement, warnings: &mut DocumentWarnings) {
    for attribute in root.attributes.iter().filter(|attribute| !fields::is_namespace(&attribute.name)) {
        warnings.add(code::SCHEMA, root.position, format!("<Response> has no attribute {:?}", attribute.name));
    }
    let text = |child: &XmlNode| matches!(child, XmlNode::Text(text) if !text.trim().is_empty());
    if root.children.iter().any(text) {
        warnings.add(code::SCHEMA, root.position, "text directly in <Response> is skipped");
    }
}

/// Warns of an element that Twilio does not have in this place; `around` is the path of the enclosing element.
fn unknown(element: &XmlElement, around: &str, warnings: &mut DocumentWarnings) {
    let shown: String = element.name.chars().take(40).collect();
    let known = compat::VOICE.iter().find(|entry| {
        let own = entry.path.rsplit('/').next().unwrap_or_default();
        own.eq_ignore_ascii_case(&shown)
    });
    let hint = match known {
        Some(entry) if entry.path.eq_ignore_ascii_case(&shown) && entry.path != shown => {
            format!("; names are case-sensitive: <{}>", entry.path)
        }
        Some(entry) if entry.path.contains('/') => format!("; it belongs at {}", entry.path),
        Some(_) | None => String::new(),
    };
    let around = if around.is_empty() { "Response" } else { around };
    warnings.add(code::SCHEMA, element.position, format!("unknown element <{shown}> in <{around}> is skipped{hint}"));
}
