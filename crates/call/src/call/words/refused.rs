//! Refusals of requests over HTTP or by an agent.

use std::fmt;

use trunkgate_resources::limits::{
    ATTEMPTS_PER_CALL, FORKS_PER_CALL, KEYS_PER_REQUEST, LISTENERS_PER_CALL, RECORDINGS_AT_ONCE, RECORDINGS_PER_CALL,
};
use trunkgate_story::reason::ReasonSlug;

/// Reason for the refusal of a request to a call, which remains unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestRefusal {
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
    /// The text is not a valid document.
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
    /// The text is not a valid target.
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

impl RequestRefusal {
    /// Returns the stable name of the refusal, for the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            RequestRefusal::UnknownCall => "unknown_call",
            RequestRefusal::CallEnded => "call_ended",
            RequestRefusal::NotAnswered => "not_answered",
            RequestRefusal::UnknownAgent => "unknown_agent",
            RequestRefusal::TooManyForks => "too_many_forks",
            RequestRefusal::OtherAudio => "codec_mismatch",
            RequestRefusal::StreamNameTaken => "stream_name_taken",
            RequestRefusal::UnknownFork => "unknown_fork",
            RequestRefusal::ForkEnded => "fork_ended",
            RequestRefusal::NoAgent => "no_agent",
            RequestRefusal::HasAgent => "has_agent",
            RequestRefusal::InApplication => "in_application",
            RequestRefusal::NotDialled => "not_dialled",
            RequestRefusal::BadDocument => "bad_document",
            RequestRefusal::NotHeld => "not_held",
            RequestRefusal::Changing => "changing",
            RequestRefusal::Transferring => "transferring",
            RequestRefusal::TooManyTargets => "too_many_targets",
            RequestRefusal::TooManyHops => "too_many_hops",
            RequestRefusal::BadTarget => "bad_target",
            RequestRefusal::NotAllowed => "target_not_allowed",
            RequestRefusal::ForbiddenAddress => "forbidden_address",
            RequestRefusal::UnknownTarget => "unknown_target",
            RequestRefusal::SameAgent => "same_agent",
            RequestRefusal::BadDigits(_) => "bad_digits",
            RequestRefusal::NoTelephoneEvent => "no_telephone_event",
            RequestRefusal::NoRecording => "no_recording",
            RequestRefusal::TooManyRecordings => "too_many_recordings",
            RequestRefusal::UnknownRecording => "unknown_recording",
            RequestRefusal::RecordingEnded => "recording_ended",
            RequestRefusal::NoRecogniser => "no_recogniser",
            RequestRefusal::TooManyTranscriptions => "too_many_transcriptions",
            RequestRefusal::TranscriptionNameTaken => "transcription_name_taken",
            RequestRefusal::UnknownTranscription => "unknown_transcription",
            RequestRefusal::Internal => "internal",
        }
    }
}

impl fmt::Display for RequestRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            RequestRefusal::UnknownCall => "unknown call",
            RequestRefusal::CallEnded => "the call has ended",
            RequestRefusal::NotAnswered => "the call is not answered yet",
            RequestRefusal::UnknownAgent => "unknown agent",
            RequestRefusal::TooManyForks => {
                return write!(
                    f,
                    "at most {LISTENERS_PER_CALL} concurrent listeners and {FORKS_PER_CALL} forks per call"
                );
            }
            RequestRefusal::OtherAudio => {
                "the edge does not support the codec of the call (a fork to an rtp:// listener needs none)"
            }
            RequestRefusal::StreamNameTaken => "a live stream of the call has this name",
            RequestRefusal::UnknownFork => "unknown fork",
            RequestRefusal::ForkEnded => "the fork has ended",
            RequestRefusal::NoAgent => "the call is not connected to an agent; the request is only for such calls",
            RequestRefusal::HasAgent => {
                "the call is connected to an agent; the request is only for calls between two parties"
            }
            RequestRefusal::InApplication => "an application controls the call",
            RequestRefusal::NotDialled => "no application has dialled the party",
            RequestRefusal::BadDocument => "the document cannot be run",
            RequestRefusal::NotHeld => "no party was put on hold by a request",
            RequestRefusal::Changing => "the session of the call is being changed; try again",
            RequestRefusal::Transferring => "the caller is being connected to another target",
            RequestRefusal::TooManyTargets => return write!(f, "a call has at most {ATTEMPTS_PER_CALL} targets"),
            RequestRefusal::TooManyHops => "the call has been forwarded too often (its Max-Forwards is 0)",
            RequestRefusal::BadTarget => "a target is trunk:NAME[/NUMBER], agent:NAME, sip:URI or sips:URI",
            RequestRefusal::NotAllowed => {
                "the agent may not transfer its caller there: the target is not in its `transfer_to`"
            }
            RequestRefusal::ForbiddenAddress => ReasonSlug::ForbiddenAddress.sentence(),
            RequestRefusal::UnknownTarget => "the target is not configured, or it is an agent that only listens",
            RequestRefusal::SameAgent => "that agent already has the call",
            RequestRefusal::BadDigits(Some(other)) => {
                return write!(f, "{other:?} is not a DTMF digit: use 1 to {KEYS_PER_REQUEST} of 0 to 9, *, #, A to D");
            }
            RequestRefusal::BadDigits(None) => {
                return write!(f, "use 1 to {KEYS_PER_REQUEST} DTMF digits: 0 to 9, *, #, A to D");
            }
            RequestRefusal::NoTelephoneEvent => "the caller does not support telephone-event (RFC 4733)",
            RequestRefusal::NoRecording => "the configuration has no [recording]",
            RequestRefusal::TooManyRecordings => {
                return write!(
                    f,
                    "a call has at most {RECORDINGS_AT_ONCE} recordings at once and {RECORDINGS_PER_CALL} in total"
                );
            }
            RequestRefusal::UnknownRecording => "unknown recording",
            RequestRefusal::RecordingEnded => "the recording has ended",
            RequestRefusal::NoRecogniser => "the configuration has no [recognition]",
            RequestRefusal::TooManyTranscriptions => {
                "the limit of live transcriptions of the call or of the recogniser is reached"
            }
            RequestRefusal::TranscriptionNameTaken => "a live transcription of the call has this name",
            RequestRefusal::UnknownTranscription => "unknown live transcription",
            RequestRefusal::Internal => "the request failed: see the log of the edge",
        };
        f.write_str(text)
    }
}

impl std::error::Error for RequestRefusal {}
