//! Limits of documents and of programs.

use std::time::Duration;

/// Maximum size of a document in bytes, as on Twilio.
pub(crate) const DOCUMENT_BYTES: usize = 64 * 1024;
/// Maximum number of elements in a document.
pub(crate) const ELEMENTS: usize = 1_000;
/// Maximum nesting depth of elements, including the root.
pub const DEPTH: usize = 16;
/// Maximum number of attributes of an element.
pub const ATTRIBUTES: usize = 64;
/// Maximum length of a reference or URL, in bytes; longer references are not parsed.
pub(crate) const URL_BYTES: usize = 4_096;
/// Maximum number of warnings kept per document; the rest is counted.
pub const WARNINGS: usize = 50;
/// Maximum number of characters spoken by one `<Say>`.
pub(crate) const SAY_CHARS: usize = 4_096;
/// Maximum number of parties called by one `<Dial>`.
pub(crate) const NOUNS: usize = 10;
/// Maximum number of digits collected by one `<Gather>`.
pub const DIGITS: usize = 256;
/// Maximum number of `hints` of one `<Gather>`.
pub const HINTS: usize = 500;
/// Maximum length of an entry of `hints` in characters.
pub const HINT_CHARS: usize = 100;
/// Maximum length of a language tag, in characters.
pub const LANGUAGE_CHARS: usize = 35;
/// Maximum length of a track label of a live transcription, in characters.
pub const TRACK_LABEL_CHARS: usize = 256;
/// Maximum length of a speech model name, in characters.
pub const MODEL_CHARS: usize = 100;
/// Maximum number of characters of speech collected by one `<Gather>`.
pub(crate) const SPEECH_CHARS: usize = 4_096;
/// Maximum length of a conference name and of a participant label, in characters.
pub(crate) const CONFERENCE_CHARS: usize = 128;
/// Maximum number of parties in one conference.
pub(crate) const CONFERENCE_PARTIES: u32 = 50;
/// Maximum length of a queue name, in characters.
pub const QUEUE_CHARS: usize = 64;
/// Maximum number of callers in one queue.
pub const QUEUE_SIZE: u32 = 5_000;
/// Maximum total length of the headers that an application sets for one SIP address, in bytes.
pub(crate) const SIP_HEADER_BYTES: usize = 1_024;
/// Maximum total length of name and value of a stream's `<Parameter>`, in characters.
pub const PARAMETER_CHARS: usize = 500;
/// Maximum number of replies in one messaging document.
pub const REPLIES: usize = 10;
/// Maximum value of attributes in seconds; larger values are reduced.
pub const SECONDS: u32 = 86_400;
/// Maximum length of a `<Record>` in seconds.
pub(crate) const RECORD_SECONDS: u32 = 14_400;
/// Maximum ringing time of a `<Dial>` in seconds.
pub const RING_SECONDS: u32 = 600;

/// Number of documents that a call may fetch in a burst before [`DOCUMENT_INTERVAL`] applies.
pub(crate) const DOCUMENT_BURST: u32 = 30;
/// Minimum mean interval between documents of a call.
pub const DOCUMENT_INTERVAL: Duration = Duration::from_millis(333);
/// Number of sounds that a call may start in a burst before [`SOUND_INTERVAL`] applies; failed sounds count, too.
pub(crate) const SOUND_BURST: u32 = 50;
/// Minimum mean interval between sounds of a call.
pub const SOUND_INTERVAL: Duration = Duration::from_millis(200);
/// Maximum number of documents fetched by one call.
pub(crate) const DOCUMENTS_PER_CALL: u32 = 20_000;
