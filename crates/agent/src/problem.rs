//! Problems with an agent's messages. None of them ends the call: each is reported for the call's trace, and the
//! message is ignored.

use std::fmt;

use crate::limits::SHOWN_CHARS;

/// Reason why a message of an agent was ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessageProblem {
    /// A binary message, which the protocol does not have.
    Binary {
        /// Length of the message, in bytes.
        bytes: usize,
    },
    /// A text longer than [`TEXT_BYTES`](crate::limits::TEXT_BYTES), or a long one that does not consist mainly of one
    /// string.
    TooLarge {
        /// Length of the text, in bytes.
        bytes: usize,
    },
    /// Invalid or incomplete JSON.
    BadJson {
        /// Line of the error.
        line: usize,
        /// Column of the error, in bytes.
        column: usize,
    },
    /// JSON, but not an object.
    NotAnObject,
    /// A field of the wrong type.
    WrongType {
        /// Line of the error.
        line: usize,
        /// Column of the error, in bytes.
        column: usize,
    },
    /// An object without `event`.
    MissingEvent,
    /// An event that the protocol does not have in this direction.
    UnknownEvent(String),
    /// `media` without `media.payload`.
    MissingPayload,
    /// A payload that is not base64.
    BadBase64,
    /// `mark` without `mark.name`.
    MissingName,
    /// A mark's name longer than [`MARK_NAME_BYTES`](crate::limits::MARK_NAME_BYTES).
    NameTooLong {
        /// Length of the name, in bytes.
        bytes: usize,
    },
    /// `transfer` without a `target`.
    MissingTarget,
    /// A target longer than [`TARGET_BYTES`](crate::limits::TARGET_BYTES).
    TargetTooLong {
        /// Length of the target, in bytes.
        bytes: usize,
    },
    /// Invalid `warm` of a transfer.
    BadWarm(String),
    /// `dtmf` without `digits`.
    MissingDigits,
    /// Invalid digits, or more than [`DIGITS`](crate::limits::DIGITS).
    BadDigits,
    /// A message for a stream other than this socket's.
    ForeignStream(String),
    /// A message from an agent that only listens.
    ListenerSpoke(&'static str),
    /// A recogniser's message without `type`.
    MissingType,
    /// A failure reported by a recogniser.
    RecogniserFailed(String),
    /// More results of a recogniser than [`RESULTS_PER_SECOND`](crate::limits::RESULTS_PER_SECOND).
    TooManyResults,
}

impl MessageProblem {
    /// Returns whether the message counts as invalid in the statistics: it is binary, cannot be parsed, or lacks an
    /// event or usable audio.
    pub(crate) const fn is_invalid(&self) -> bool {
        matches!(
            self,
            MessageProblem::Binary { .. }
                | MessageProblem::TooLarge { .. }
                | MessageProblem::BadJson { .. }
                | MessageProblem::NotAnObject
                | MessageProblem::WrongType { .. }
                | MessageProblem::MissingEvent
                | MessageProblem::MissingPayload
                | MessageProblem::BadBase64
        )
    }

    /// Returns the stable name of the problem, used in notes and metrics.
    pub const fn slug(&self) -> &'static str {
        match self {
            MessageProblem::Binary { .. } => "binary_message",
            MessageProblem::TooLarge { .. } => "message_too_large",
            MessageProblem::BadJson { .. } => "bad_json",
            MessageProblem::NotAnObject => "not_an_object",
            MessageProblem::WrongType { .. } => "wrong_type",
            MessageProblem::MissingEvent => "missing_event",
            MessageProblem::UnknownEvent(_) => "unknown_event",
            MessageProblem::MissingPayload => "missing_payload",
            MessageProblem::BadBase64 => "bad_base64",
            MessageProblem::MissingName => "missing_mark_name",
            MessageProblem::NameTooLong { .. } => "mark_name_too_long",
            MessageProblem::MissingTarget => "missing_target",
            MessageProblem::TargetTooLong { .. } => "target_too_long",
            MessageProblem::BadWarm(_) => "bad_warm",
            MessageProblem::MissingDigits => "missing_digits",
            MessageProblem::BadDigits => "bad_digits",
            MessageProblem::ForeignStream(_) => "foreign_stream",
            MessageProblem::ListenerSpoke(_) => "listener_spoke",
            MessageProblem::MissingType => "missing_type",
            MessageProblem::RecogniserFailed(_) => "recogniser_failed",
            MessageProblem::TooManyResults => "too_many_results",
        }
    }
}

impl fmt::Display for MessageProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MessageProblem::Binary { bytes } => write!(f, "binary message of {bytes} bytes: this protocol is text"),
            MessageProblem::TooLarge { bytes } => write!(f, "message of {bytes} bytes: too large"),
            MessageProblem::BadJson { line, column } => write!(f, "no valid JSON: line {line}, column {column}"),
            MessageProblem::NotAnObject => f.write_str("JSON, but not an object"),
            MessageProblem::WrongType { line, column } => {
                write!(f, "a field of the wrong type, or twice: line {line}, column {column}")
            }
            MessageProblem::MissingEvent => f.write_str("no `event`"),
            MessageProblem::UnknownEvent(event) => write!(f, "unknown event {event:?}"),
            MessageProblem::MissingPayload => f.write_str("`media` without `media.payload`"),
            MessageProblem::BadBase64 => f.write_str("`media.payload` is not base64"),
            MessageProblem::MissingName => f.write_str("`mark` without `mark.name`"),
            MessageProblem::NameTooLong { bytes } => write!(f, "`mark.name` of {bytes} bytes: too long"),
            MessageProblem::MissingTarget => f.write_str("`transfer` without `target`"),
            MessageProblem::TargetTooLong { bytes } => write!(f, "`target` of {bytes} bytes: too long"),
            MessageProblem::BadWarm(why) => write!(f, "`warm` of a transfer: {why}"),
            MessageProblem::MissingDigits => f.write_str("`dtmf` without `digits`"),
            MessageProblem::BadDigits => f.write_str("`digits` must be 1 to 64 of 0-9 * # A-D"),
            MessageProblem::ForeignStream(sid) => write!(f, "for another stream: {sid:?}"),
            MessageProblem::ListenerSpoke(event) => write!(f, "{event:?} from an agent that only listens"),
            MessageProblem::MissingType => f.write_str("no `type`"),
            MessageProblem::RecogniserFailed(text) => write!(f, "the recogniser reports an error: {text:?}"),
            MessageProblem::TooManyResults => f.write_str("too many results in a second"),
        }
    }
}

impl std::error::Error for MessageProblem {}

/// Returns the beginning of a received name, for display.
pub(crate) fn shown(name: &str) -> String {
    name.chars().take(SHOWN_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_cut() {
        assert_eq!(shown("ü".repeat(SHOWN_CHARS + 1).as_str()), "ü".repeat(SHOWN_CHARS));
        assert_eq!(shown("x"), "x");
    }

    #[test]
    fn control_characters_are_not_shown_raw() {
        assert_eq!(
            MessageProblem::UnknownEvent("a\n\u{1b}[31m".into()).to_string(),
            "unknown event \"a\\n\\u{1b}[31m\""
        );
    }
}
