//! Refusals of requests over HTTP or by an agent.

use std::fmt;

use trunkgate_resources::limits::{
    ATTEMPTS_PER_CALL, FORKS_PER_CALL, KEYS_PER_REQUEST, LISTENERS_PER_CALL, RECORDINGS_AT_ONCE, RECORDINGS_PER_CALL,
};
use trunkgate_story::reason::ReasonSlug;

/// Reason for the refusal of a request to a call, which remains unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No such call exists.
    UnknownCall,
    /// The call is over.
    CallEnded,
    /// The caller's INVITE is not answered yet.
    NotAnswered,
    /// The configuration has no such agent.
    UnknownAgent,
    /// The limit of listeners is reached.
    TooManyForks,
    /// The edge cannot decode the call's codec for a listener.
    OtherAudio,
    /// An active stream of the call has this name.
    StreamNameTaken,
    /// The call has no such fork.
    UnknownFork,
    /// The fork is over.
    ForkEnded,
    /// No agent has the call, and the request is only for calls with an agent.
    NoAgent,
    /// An agent has the call, and the request is only for calls between two remote parties.
    HasAgent,
    /// An application controls the call.
    InApplication,
    /// No application has dialled the party.
    NotDialled,
    /// The text is no valid document.
    BadDocument,
    /// No party was put on hold by a request.
    NotHeld,
    /// The session is being renegotiated.
    Changing,
    /// The call is already being transferred.
    Transferring,
    /// The limit of transfers per call is reached.
    TooManyTargets,
    /// Max-Forwards of the call allows no further target.
    TooManyHops,
    /// The text is no valid target.
    BadTarget,
    /// The target is not in the agent's `transfer_to`.
    NotAllowed,
    /// The target has an address that transfers must not lead to.
    ForbiddenAddress,
    /// The configuration has no such target, or the target is a listener.
    UnknownTarget,
    /// The target is the agent that already has the call.
    SameAgent,
    /// First invalid DTMF digit; `None` if there are none, or too many.
    BadDigits(Option<char>),
    /// The caller does not support telephone-event.
    NoTelephoneEvent,
    /// The configuration has no `[recording]`.
    NoRecording,
    /// The limit of recordings per call is reached.
    TooManyRecordings,
    /// The call has no such recording.
    UnknownRecording,
    /// The recording is over.
    RecordingEnded,
    /// The configuration has no `[recognition]`.
    NoRecogniser,
    /// The limit of live transcriptions of the call or of the recogniser is reached.
    TooManyTranscriptions,
    /// An active live transcription of the call has this name.
    TranscriptionNameTaken,
    /// The call has no such live transcription.
    UnknownTranscription,
    /// Internal fault of the edge.
    Internal,
}

impl Refused {
    /// Returns a stable name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refused::UnknownCall => "unknown_call",
            Refused::CallEnded => "call_ended",
            Refused::NotAnswered => "not_answered",
            Refused::UnknownAgent => "unknown_agent",
            Refused::TooManyForks => "too_many_forks",
            Refused::OtherAudio => "codec_mismatch",
            Refused::StreamNameTaken => "stream_name_taken",
            Refused::UnknownFork => "unknown_fork",
            Refused::ForkEnded => "fork_ended",
            Refused::NoAgent => "no_agent",
            Refused::HasAgent => "has_agent",
            Refused::InApplication => "in_application",
            Refused::NotDialled => "not_dialled",
            Refused::BadDocument => "bad_document",
            Refused::NotHeld => "not_held",
            Refused::Changing => "changing",
            Refused::Transferring => "transferring",
            Refused::TooManyTargets => "too_many_targets",
            Refused::TooManyHops => "too_many_hops",
            Refused::BadTarget => "bad_target",
            Refused::NotAllowed => "target_not_allowed",
            Refused::ForbiddenAddress => "forbidden_address",
            Refused::UnknownTarget => "unknown_target",
            Refused::SameAgent => "same_agent",
            Refused::BadDigits(_) => "bad_digits",
            Refused::NoTelephoneEvent => "no_telephone_event",
            Refused::NoRecording => "no_recording",
            Refused::TooManyRecordings => "too_many_recordings",
            Refused::UnknownRecording => "unknown_recording",
            Refused::RecordingEnded => "recording_ended",
            Refused::NoRecogniser => "no_recogniser",
            Refused::TooManyTranscriptions => "too_many_transcriptions",
            Refused::TranscriptionNameTaken => "transcription_name_taken",
            Refused::UnknownTranscription => "unknown_transcription",
            Refused::Internal => "internal",
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Refused::UnknownCall => "unknown call",
            Refused::CallEnded => "the call has ended",
            Refused::NotAnswered => "the call is not answered yet",
            Refused::UnknownAgent => "unknown agent",
            Refused::TooManyForks => {
                return write!(
                    f,
                    "at most {LISTENERS_PER_CALL} concurrent listeners and {FORKS_PER_CALL} forks per call"
                );
            }
            Refused::OtherAudio => {
                "the edge does not support the codec of the call (a fork to an rtp:// listener needs none)"
            }
            Refused::StreamNameTaken => "a live stream of the call has this name",
            Refused::UnknownFork => "unknown fork",
            Refused::ForkEnded => "the fork has ended",
            Refused::NoAgent => "the call is not connected to an agent; the request is only for such calls",
            Refused::HasAgent => "the call is connected to an agent; the request is only for calls between two parties",
            Refused::InApplication => "an application decides what the call does",
            Refused::NotDialled => "no application has dialled the party",
            Refused::BadDocument => "the document cannot be run",
            Refused::NotHeld => "no party was put on hold by a request",
            Refused::Changing => "the session of the call is being changed; try again",
            Refused::Transferring => "the caller is being connected to another target",
            Refused::TooManyTargets => return write!(f, "a call has at most {ATTEMPTS_PER_CALL} targets"),
            Refused::TooManyHops => "the call has been forwarded too often (its Max-Forwards is 0)",
            Refused::BadTarget => "a target is trunk:NAME[/NUMBER], agent:NAME, sip:URI or sips:URI",
            Refused::NotAllowed => {
                "the agent may not transfer its caller there: the target is not in its `transfer_to`"
            }
            Refused::ForbiddenAddress => ReasonSlug::ForbiddenAddress.sentence(),
            Refused::UnknownTarget => "unknown target, or a listener",
            Refused::SameAgent => "that agent already has the call",
            Refused::BadDigits(Some(other)) => {
                return write!(f, "{other:?} is not a DTMF digit: use 1 to {KEYS_PER_REQUEST} of 0 to 9, *, #, A to D");
            }
            Refused::BadDigits(None) => return write!(f, "1 to {KEYS_PER_REQUEST} of 0 to 9, *, #, A to D"),
            Refused::NoTelephoneEvent => "the caller does not support telephone-event (RFC 4733)",
            Refused::NoRecording => "the configuration has no [recording]",
            Refused::TooManyRecordings => {
                return write!(
                    f,
                    "a call has at most {RECORDINGS_AT_ONCE} recordings at once and {RECORDINGS_PER_CALL} in total"
                );
            }
            Refused::UnknownRecording => "unknown recording",
            Refused::RecordingEnded => "the recording has ended",
            Refused::NoRecogniser => "the configuration has no [recognition]",
            Refused::TooManyTranscriptions => "the call or the recogniser has as many live transcriptions as it may",
            Refused::TranscriptionNameTaken => "a live transcription of the call has this name",
            Refused::UnknownTranscription => "unknown live transcription",
            Refused::Internal => "the request failed: see the log of the edge",
        };
        f.write_str(text)
    }
}

impl std::error::Error for Refused {}
