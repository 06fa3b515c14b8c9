//! Positions, errors and warnings of documents, with Twilio's codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Error and warning codes of Twilio for documents and their retrieval.
pub mod code {
    /// A URL is malformed or not allowed in this place.
    pub const BAD_URL: u16 = 11100;
    /// Documents or sounds follow one another without end.
    pub(crate) const TOO_MANY_DOCUMENTS: u16 = 11215;
    /// A document exceeds a limit.
    pub(crate) const TOO_LARGE: u16 = 11750;
    /// A document is not well-formed XML.
    pub const NOT_XML: u16 = 12100;
    /// The root element is not `Response`.
    pub(crate) const NOT_A_RESPONSE: u16 = 12102;
    /// An element or attribute is unknown, misplaced or not supported.
    pub const SCHEMA: u16 = 12200;
    /// A response has a content type that is neither TwiML, audio nor text.
    pub const CONTENT_TYPE: u16 = 12300;
    /// A verb is not allowed in a document for the called party.
    pub(crate) const NOT_IN_WHISPER: u16 = 13201;
    /// `<Dial>` has a noun that is not supported.
    pub(crate) const DIAL_NOUN: u16 = 13215;
    /// `<Conference>` is combined with another noun.
    pub(crate) const CONFERENCE_BESIDE: u16 = 13000;
    /// `waitUrl` of `<Conference>` cannot be resolved.
    pub(crate) const WAIT_URL: u16 = 13233;
    /// A document for a waiting party has a verb other than Say, Play, Pause and Redirect.
    pub(crate) const WAIT_VERB: u16 = 13238;
    /// `<Dial>` has no party to call.
    pub(crate) const DIAL_NUMBER: u16 = 13223;
    /// The number of a Dial is not a phone number.
    pub const NOT_A_NUMBER: u16 = 13224;
    /// `<Dial>` has too many nouns.
    pub(crate) const DIAL_NOUNS: u16 = 13250;
    /// `<Sip>` has no SIP URI.
    pub(crate) const SIP_URI: u16 = 13243;
    /// A SIP header of `<Sip>` is incomplete or not allowed.
    pub(crate) const SIP_HEADER: u16 = 13252;
    /// `<Gather>` contains a verb that is not allowed in it.
    pub(crate) const GATHER_NESTED: u16 = 13320;
    /// `<Gather>` requests an input that is not available.
    pub(crate) const GATHER_INPUT: u16 = 13326;
    /// `digits` of `<Play>` is not a string of digits.
    pub(crate) const PLAY_DIGITS: u16 = 13430;
    /// `<Say>` has no text.
    pub(crate) const SAY_EMPTY: u16 = 13520;
    /// The text of `<Say>` is too long.
    pub(crate) const SAY_LONG: u16 = 13521;
    /// `<Message>` has neither text nor media.
    pub(crate) const MESSAGE_EMPTY: u16 = 14103;
    /// A messaging document has too many replies.
    pub const REPLIES: u16 = 14109;
    /// A messaging document has an unknown verb, or one that only calls support.
    pub(crate) const REPLY_VERB: u16 = 14110;
}

/// Position in a document; line and column start at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentPosition {
    /// Line number, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl DocumentPosition {
    /// Position of the start of a document.
    pub const START: DocumentPosition = DocumentPosition { line: 1, column: 1 };
}

impl fmt::Display for DocumentPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Reason why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentError {
    /// Error code that Twilio uses for the mistake.
    pub code: u16,
    /// Position of the mistake in the document.
    pub position: DocumentPosition,
    /// Description, in one sentence without a full stop.
    pub message: String,
}

impl DocumentError {
    /// Creates an error at a position of the document.
    pub(crate) fn new(code: u16, position: DocumentPosition, message: impl Into<String>) -> Self {
        DocumentError { code, position, message: message.into() }
    }
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.position, self.message)
    }
}

impl std::error::Error for DocumentError {}

/// Mistake that does not prevent a document from running; the faulty part is skipped or replaced by its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentWarning {
    /// Warning code that Twilio uses for the mistake.
    pub code: u16,
    /// Position of the faulty element.
    pub position: DocumentPosition,
    /// Description of the mistake and of its consequence.
    pub message: String,
}

impl fmt::Display for DocumentWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.position, self.message)
    }
}
