//! Positions in a document, and the errors and warnings found there, with Twilio's codes.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Twilio's error and warning codes that a document or its retrieval can cause.
pub mod code {
    /// A URL is malformed, or may not be used where it stands.
    pub const BAD_URL: u16 = 11100;
    /// Documents or sounds follow one another without end.
    pub(crate) const TOO_MANY_DOCUMENTS: u16 = 11215;
    /// A document exceeds a limit.
    pub(crate) const TOO_LARGE: u16 = 11750;
    /// A document is not well-formed XML.
    pub const NOT_XML: u16 = 12100;
    /// The root element is not `Response`.
    pub(crate) const NOT_A_RESPONSE: u16 = 12102;
    /// An element or attribute is unknown, misplaced or not available here.
    pub const SCHEMA: u16 = 12200;
    /// A response has a content type that is neither TwiML, audio nor text.
    pub const CONTENT_TYPE: u16 = 12300;
    /// A verb may not be used on the called party's side.
    pub(crate) const NOT_IN_WHISPER: u16 = 13201;
    /// `<Dial>` has a noun that is not available here.
    pub(crate) const DIAL_NOUN: u16 = 13215;
    /// `<Conference>` stands beside another noun.
    pub(crate) const CONFERENCE_BESIDE: u16 = 13000;
    /// `waitUrl` of `<Conference>` leads nowhere.
    pub(crate) const WAIT_URL: u16 = 13233;
    /// A document for a party that waits has another verb than Say, Play, Pause and Redirect.
    pub(crate) const WAIT_VERB: u16 = 13238;
    /// `<Dial>` has no party to call.
    pub(crate) const DIAL_NUMBER: u16 = 13223;
    /// The number of a Dial is none.
    pub const NOT_A_NUMBER: u16 = 13224;
    /// `<Dial>` has more nouns than it may.
    pub(crate) const DIAL_NOUNS: u16 = 13250;
    /// `<Sip>` has no SIP URI.
    pub(crate) const SIP_URI: u16 = 13243;
    /// A SIP header of `<Sip>` is incomplete, or may not be set.
    pub(crate) const SIP_HEADER: u16 = 13252;
    /// `<Gather>` has a nested verb that it cannot have.
    pub(crate) const GATHER_NESTED: u16 = 13320;
    /// `<Gather>` asks for an input that is not available here.
    pub(crate) const GATHER_INPUT: u16 = 13326;
    /// `<Play digits>` is not a string of digits.
    pub(crate) const PLAY_DIGITS: u16 = 13430;
    /// `<Say>` has no text.
    pub(crate) const SAY_EMPTY: u16 = 13520;
    /// `<Say>` has more text than it may.
    pub(crate) const SAY_LONG: u16 = 13521;
    /// `<Message>` has neither text nor media.
    pub(crate) const MESSAGE_EMPTY: u16 = 14103;
    /// A messaging document has more replies than it may.
    pub const REPLIES: u16 = 14109;
    /// A messaging document has a verb that only calls have, or an unknown one.
    pub(crate) const REPLY_VERB: u16 = 14110;
}

/// A place in a document; both figures begin at 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column, in characters.
    pub column: u32,
}

impl Position {
    /// The beginning of a document.
    pub const START: Position = Position { line: 1, column: 1 };
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Reason why a document cannot be used at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// Twilio's code.
    pub code: u16,
    /// Place of the mistake.
    pub position: Position,
    /// Description, in one sentence without a full stop.
    pub message: String,
}

impl Error {
    /// An error at a place.
    pub(crate) fn new(code: u16, position: Position, message: impl Into<String>) -> Self {
        Error { code, position, message: message.into() }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.position, self.message)
    }
}

impl std::error::Error for Error {}

/// A mistake that a document survives: what is wrong is skipped, or replaced by its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Twilio's code.
    pub code: u16,
    /// Place of the element.
    pub position: Position,
    /// Description of the mistake, and of what happens instead.
    pub message: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.code, self.position, self.message)
    }
}
