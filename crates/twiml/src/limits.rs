//! Bounds on documents and on what a call may do with them.

use std::time::Duration;

/// Longest document in bytes; Twilio's limit is the same.
pub(crate) const DOCUMENT_BYTES: usize = 64 * 1024;
/// Most elements of one document.
pub(crate) const ELEMENTS: usize = 1_000;
/// Deepest nesting of elements, the root included.
pub const DEPTH: usize = 16;
/// Most attributes of one element.
pub const ATTRIBUTES: usize = 64;
/// Longest reference and longest URL, in bytes: no longer one is parsed.
pub(crate) const URL_BYTES: usize = 4_096;
/// Most warnings kept of one document; the rest is counted.
pub const WARNINGS: usize = 50;
/// Most characters that one `<Say>` speaks.
pub(crate) const SAY_CHARS: usize = 4_096;
/// Most parties that one `<Dial>` calls.
pub(crate) const NOUNS: usize = 10;
/// Most digits that one `<Gather>` keeps.
pub const DIGITS: usize = 256;
/// Most entries of the `hints` of one `<Gather>`.
pub const HINTS: usize = 500;
/// Most characters of one entry of `hints`.
pub const HINT_CHARS: usize = 100;
/// Longest language tag of a `<Gather>`.
pub const LANGUAGE_CHARS: usize = 35;
/// Longest label of a track of a live transcription.
pub const TRACK_LABEL_CHARS: usize = 256;
/// Longest name of a speech model.
pub const MODEL_CHARS: usize = 100;
/// Most characters of speech that one `<Gather>` keeps.
pub(crate) const SPEECH_CHARS: usize = 4_096;
/// Longest name of a conference, and longest label of a party of it.
pub(crate) const CONFERENCE_CHARS: usize = 128;
/// Most parties of one conference.
pub(crate) const CONFERENCE_PARTIES: u32 = 50;
/// Longest name of a queue.
pub const QUEUE_CHARS: usize = 64;
/// Most callers of one queue.
pub const QUEUE_SIZE: u32 = 5_000;
/// Longest headers, names and values together, that an application sets for one SIP address.
pub(crate) const SIP_HEADER_BYTES: usize = 1_024;
/// Most characters of a stream's `<Parameter>`, name and value together.
pub const PARAMETER_CHARS: usize = 500;
/// Most replies in one messaging document.
pub const REPLIES: usize = 10;
/// Longest time that an attribute in seconds may ask for; longer ones are cut.
pub const SECONDS: u32 = 86_400;
/// Longest `<Record>` in seconds.
pub(crate) const RECORD_SECONDS: u32 = 14_400;
/// Longest ringing time of a `<Dial>` in seconds.
pub const RING_SECONDS: u32 = 600;

/// Documents that a call may fetch at once, before [`DOCUMENT_INTERVAL`] holds.
pub(crate) const DOCUMENT_BURST: u32 = 30;
/// Mean time between documents that a call may keep up.
pub const DOCUMENT_INTERVAL: Duration = Duration::from_millis(333);
/// Sounds that a call may begin at once, before [`SOUND_INTERVAL`] holds: those that fail at once count, too.
pub(crate) const SOUND_BURST: u32 = 50;
/// Mean time between sounds that a call may keep up.
pub const SOUND_INTERVAL: Duration = Duration::from_millis(200);
/// Most documents that one call fetches.
pub(crate) const DOCUMENTS_PER_CALL: u32 = 20_000;
