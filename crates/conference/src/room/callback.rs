//! Callbacks of a conference: the events that cause them, and the fields of their requests.

use std::sync::Arc;

use super::options::{CallbackMethod, ConferenceCallbacks};

/// Event for which a callback request is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CallbackEvent {
    /// The conference has started.
    ConferenceStart,
    /// The conference has ended.
    ConferenceEnd,
    /// A party has joined.
    ParticipantJoin,
    /// A party has left.
    ParticipantLeave,
    /// A party was muted.
    ParticipantMute,
    /// A party was unmuted.
    ParticipantUnmute,
    /// A party was put on hold.
    ParticipantHold,
    /// A party was resumed from hold.
    ParticipantUnhold,
    /// Another setting of a party was changed.
    ParticipantModify,
    /// A party began to speak.
    SpeechStart,
    /// A party stopped speaking.
    SpeechStop,
    /// An announcement was played to its end.
    AnnouncementEnd,
    /// An announcement could not be played.
    AnnouncementFail,
}

impl CallbackEvent {
    /// All events that a callback may report.
    pub const ALL: [CallbackEvent; 13] = [
        CallbackEvent::ConferenceStart,
        CallbackEvent::ConferenceEnd,
        CallbackEvent::ParticipantJoin,
        CallbackEvent::ParticipantLeave,
        CallbackEvent::ParticipantMute,
        CallbackEvent::ParticipantUnmute,
        CallbackEvent::ParticipantHold,
        CallbackEvent::ParticipantUnhold,
        CallbackEvent::ParticipantModify,
        CallbackEvent::SpeechStart,
        CallbackEvent::SpeechStop,
        CallbackEvent::AnnouncementEnd,
        CallbackEvent::AnnouncementFail,
    ];

    /// Returns the value of `StatusCallbackEvent`.
    pub fn name(self) -> &'static str {
        match self {
            CallbackEvent::ConferenceStart => "conference-start",
            CallbackEvent::ConferenceEnd => "conference-end",
            CallbackEvent::ParticipantJoin => "participant-join",
            CallbackEvent::ParticipantLeave => "participant-leave",
            CallbackEvent::ParticipantMute => "participant-mute",
            CallbackEvent::ParticipantUnmute => "participant-unmute",
            CallbackEvent::ParticipantHold => "participant-hold",
            CallbackEvent::ParticipantUnhold => "participant-unhold",
            CallbackEvent::ParticipantModify => "participant-modify",
            CallbackEvent::SpeechStart => "participant-speech-start",
            CallbackEvent::SpeechStop => "participant-speech-stop",
            CallbackEvent::AnnouncementEnd => "announcement-end",
            CallbackEvent::AnnouncementFail => "announcement-fail",
        }
    }

    /// Returns the word of `statusCallbackEvent` that selects the event.
    pub fn word(self) -> &'static str {
        match self {
            CallbackEvent::ConferenceStart => "start",
            CallbackEvent::ConferenceEnd => "end",
            CallbackEvent::ParticipantJoin => "join",
            CallbackEvent::ParticipantLeave => "leave",
            CallbackEvent::ParticipantMute | CallbackEvent::ParticipantUnmute => "mute",
            CallbackEvent::ParticipantHold | CallbackEvent::ParticipantUnhold => "hold",
            CallbackEvent::ParticipantModify => "modify",
            CallbackEvent::SpeechStart | CallbackEvent::SpeechStop => "speaker",
            CallbackEvent::AnnouncementEnd | CallbackEvent::AnnouncementFail => "announcement",
        }
    }
}

/// Callback request to send. The sender adds `AccountSid` and `Timestamp`, the time in the format of RFC 2822.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallbackRequest {
    /// Event that the request reports.
    pub occasion: CallbackEvent,
    /// URL and method of the request.
    pub callbacks: Arc<ConferenceCallbacks>,
    /// Fields of the request, in order.
    pub fields: Vec<(&'static str, String)>,
}

impl CallbackRequest {
    /// Returns the value of a field; `None` if the request does not have it.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Returns the method of the request.
    pub fn method(&self) -> CallbackMethod {
        self.callbacks.method
    }
}

/// Status of a party's call when it leaves (`ParticipantCallStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallStatus {
    /// The call continues after the conference.
    InProgress,
    /// The call of the party has ended.
    Completed,
    /// The called party was busy and did not join.
    Busy,
    /// The called party could not be reached.
    Failed,
    /// The called party did not answer.
    NoAnswer,
    /// The call was canceled before the party answered.
    Canceled,
}

impl CallStatus {
    /// Returns the status of a call that ended without an answer, by its name; unknown names map to `Failed`.
    pub fn of_unanswered(name: &str) -> CallStatus {
        let all = [CallStatus::Busy, CallStatus::NoAnswer, CallStatus::Canceled];
        all.into_iter().find(|status| status.name() == name).unwrap_or(CallStatus::Failed)
    }

    /// Returns the value of `ParticipantCallStatus`.
    pub fn name(self) -> &'static str {
        match self {
            CallStatus::InProgress => "in-progress",
            CallStatus::Completed => "completed",
            CallStatus::Busy => "busy",
            CallStatus::Failed => "failed",
            CallStatus::NoAnswer => "no-answer",
            CallStatus::Canceled => "canceled",
        }
    }
}

/// Reason for which a party has left (`ReasonParticipantLeft`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaveReason {
    /// The party hung up, pressed the star key, or reached its time limit.
    HungUp,
    /// The party was removed, or its call was redirected.
    UpdatedViaApi,
    /// The conference ended because a party with `endConferenceOnExit` left.
    ModeratorEnded,
    /// The conference was ended by a request.
    ConferenceEndedViaApi,
    /// The party was called for the conference and never joined.
    AddFailed,
}

impl LeaveReason {
    /// Returns the value of `ReasonParticipantLeft`.
    pub fn name(self) -> &'static str {
        match self {
            LeaveReason::HungUp => "participant_hung_up",
            LeaveReason::UpdatedViaApi => "participant_updated_via_api",
            LeaveReason::ModeratorEnded => "moderator_ended_conference",
            LeaveReason::ConferenceEndedViaApi => "conference_ended_via_api",
            LeaveReason::AddFailed => "participant_add_failed",
        }
    }
}

/// Reason for which a conference has ended (`ReasonConferenceEnded`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// The last party left.
    LastLeft,
    /// The last party was removed.
    LastKicked,
    /// A party with `endConferenceOnExit` left.
    ModeratorLeft,
    /// A party with `endConferenceOnExit` was removed.
    ModeratorKicked,
    /// The conference was ended by a request.
    ViaApi,
}

impl EndReason {
    /// All reasons for the end of a conference.
    pub const ALL: [EndReason; 5] = [
        EndReason::LastLeft,
        EndReason::LastKicked,
        EndReason::ModeratorLeft,
        EndReason::ModeratorKicked,
        EndReason::ViaApi,
    ];

    /// Returns the value of `ReasonConferenceEnded`.
    pub fn name(self) -> &'static str {
        match self {
            EndReason::LastLeft => "last-participant-left",
            EndReason::LastKicked => "last-participant-kicked",
            EndReason::ModeratorLeft => "participant-with-end-conference-on-exit-left",
            EndReason::ModeratorKicked => "participant-with-end-conference-on-exit-kicked",
            EndReason::ViaApi => "conference-ended-via-api",
        }
    }

    /// Returns the text of `Reason`; `call_sid` is the call that ended the conference by leaving, if one did.
    pub(super) fn text(self, call_sid: Option<&str>) -> String {
        let call_sid = call_sid.unwrap_or_default();
        match self {
            EndReason::LastLeft => format!("Last participant {call_sid} left"),
            EndReason::LastKicked => format!("Last participant {call_sid} was removed"),
            EndReason::ModeratorLeft => format!("Participant {call_sid} with endConferenceOnExit left"),
            EndReason::ModeratorKicked => format!("Participant {call_sid} with endConferenceOnExit was removed"),
            EndReason::ViaApi => "Conference ended via API".to_owned(),
        }
    }
}
