//! State of one conference with Twilio's semantics: waiting, audibility of each party, start and end, beeps,
//! announcements, recording, and callbacks with their fields.
//!
//! This module has no audio: a [`RoomAction`] requests the audio for a party. Calls are identified by their SIDs
//! only.

mod callback;
mod member;
mod options;
mod rooms;
mod snapshot;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::limits::{ANNOUNCEMENTS, BEEP_PAUSE, LABEL_CHARS, PARTIES};

pub use callback::{CallStatus, CallbackEvent, CallbackRequest, EndReason, LeaveReason};
pub use member::{Member, MemberId, MemberRole};
pub use options::{BeepPolicy, CallbackMethod, ConferenceCallbacks, EventSet, JoinRequest, MemberChange, WaitMusic};
pub use rooms::{RoomId, RoomRegistry};
pub use snapshot::RoomSnapshot;

/// State of a conference, by Twilio's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceStatus {
    /// The parties wait: fewer than two are present, or none with which the conference may start.
    Init,
    /// The conference has started: the parties hear each other.
    InProgress,
    /// The conference has ended.
    Completed,
}

impl ConferenceStatus {
    /// Returns Twilio's name of the state.
    pub fn name(self) -> &'static str {
        match self {
            ConferenceStatus::Init => "init",
            ConferenceStatus::InProgress => "in-progress",
            ConferenceStatus::Completed => "completed",
        }
    }
}

/// Reason why a party may not join a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinRejection {
    /// The conference has the maximum number of parties.
    Full,
    /// The edge has reached its limit of conference parties.
    EdgeFull,
    /// The call is already in a conference.
    AlreadyIn,
    /// The label is in use by another party of the conference.
    LabelTaken,
    /// The label is empty or too long.
    BadLabel,
    /// The call to coach is not in the conference, or the conference has not started.
    NoneToCoach,
    /// The name of the conference is empty, too long, or contains control characters.
    BadName,
    /// The conference has ended.
    Ended,
}

impl JoinRejection {
    /// Returns the code of Twilio's error; `None` if Twilio has no such error.
    pub fn code(self) -> Option<u16> {
        match self {
            JoinRejection::Full => Some(16_020),
            JoinRejection::EdgeFull => Some(16_021),
            JoinRejection::BadLabel => Some(16_023),
            JoinRejection::LabelTaken => Some(16_025),
            JoinRejection::NoneToCoach => Some(13_240),
            JoinRejection::AlreadyIn | JoinRejection::BadName | JoinRejection::Ended => None,
        }
    }
}

/// Way in which a party leaves a conference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// The call of the party has ended.
    HungUp,
    /// The call was redirected by a request.
    Redirected,
    /// The party was removed by a request; its call continues after the conference.
    Removed,
}

/// Id of an announcement in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AnnouncementId(u32);

/// Action that the caller of the room must carry out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomAction {
    /// Set the audibility of a party.
    Stand {
        /// Id of the party.
        member: MemberId,
        /// New audibility of the party.
        standing: MemberRole,
    },
    /// Play music to a party, replacing its current music, or stop.
    Music {
        /// Id of the party.
        member: MemberId,
        /// Music or document to play; `None` stops it.
        music: Option<WaitMusic>,
    },
    /// Play a beep to all parties that hear the conference.
    Beep,
    /// Record the conference from now on.
    Record {
        /// Whether silence at both ends of the recording is trimmed.
        is_trimmed: bool,
    },
    /// Stop the recording of the conference.
    StopRecording,
    /// Release a party; its call continues after the conference.
    Release {
        /// Id of the party.
        member: MemberId,
        /// Reason why the party is released.
        reason: LeaveReason,
    },
    /// Send this request to the conference's callback URL.
    Callback(CallbackRequest),
    /// The conference has ended; always the last action.
    Ended {
        /// Reason why the conference ended.
        reason: EndReason,
        /// SID of the call that ended the conference by leaving, if one did.
        call_sid: Option<String>,
    },
}

/// Announcement that plays or waits to be played.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct QueuedAnnouncement {
    id: AnnouncementId,
    member: Option<MemberId>,
    url: String,
}

/// Conference with Twilio's semantics.
#[derive(Debug)]
pub struct ConferenceRoom {
    sid: String,
    name: String,
    status: ConferenceStatus,
    members: Vec<Member>,
    next_member: u32,
    /// Maximum number of parties, set by the first party.
    most: usize,
    callbacks: Option<Arc<ConferenceCallbacks>>,
    sequence: u64,
    announcements: Vec<QueuedAnnouncement>,
    next_announcement: u32,
    /// Whether a requested recording trims silence; `None` without a request. `is_recording` is whether it runs.
    recording: Option<bool>,
    is_recording: bool,
    beeped_at: Option<Instant>,
    ended: Option<(EndReason, Option<String>)>,
    actions: VecDeque<RoomAction>,
}

impl ConferenceRoom {
    /// Creates a conference without parties.
    pub fn new(sid: String, name: String) -> ConferenceRoom {
        ConferenceRoom {
            sid,
            name,
            status: ConferenceStatus::Init,
            members: Vec::new(),
            next_member: 0,
            most: PARTIES,
            callbacks: None,
            sequence: 0,
            announcements: Vec::new(),
            next_announcement: 0,
            recording: None,
            is_recording: false,
            beeped_at: None,
            ended: None,
            actions: VecDeque::new(),
        }
    }

    /// Returns the SID of the conference.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Returns the name of the conference.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the state of the conference.
    pub fn status(&self) -> ConferenceStatus {
        self.status
    }

    /// Returns the parties in the order in which they joined.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Returns a party; `None` if it is not present.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Returns the party with a call SID or, otherwise, with a label.
    pub fn find(&self, call_sid_or_label: &str) -> Option<&Member> {
        let by_sid = self.members.iter().find(|member| member.call_sid == call_sid_or_label);
        by_sid.or_else(|| self.members.iter().find(|member| member.label.as_deref() == Some(call_sid_or_label)))
    }

    /// Returns the reason of the end and the SID of the call that ended the conference by leaving; `None` before the
    /// end.
    pub fn ended(&self) -> Option<(EndReason, Option<&str>)> {
        self.ended.as_ref().map(|(reason, call_sid)| (*reason, call_sid.as_deref()))
    }

    /// Returns the next action to be carried out, if there is one.
    pub fn poll_output(&mut self) -> Option<RoomAction> {
        self.actions.pop_front()
    }

    /// Returns the time of the next call of [`ConferenceRoom::handle_timeout`]; `None` without a time limit.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.members.iter().filter_map(|member| member.leaves_at).min()
    }

    /// Releases parties that have reached their time limit.
    pub fn handle_timeout(&mut self, now: Instant) {
        while let Some(member) = self.members.iter().find(|member| member.leaves_at.is_some_and(|at| at <= now)) {
            self.release(now, member.id, LeaveReason::HungUp);
        }
    }

    /// Adds a party, or rejects it as [`ConferenceRoom::may_join`] does.
    pub fn join(&mut self, now: Instant, joining: JoinRequest) -> Result<MemberId, JoinRejection> {
        self.may_join(&joining)?;
        if self.members.is_empty() && self.next_member == 0 {
            self.most = joining.max_participants.clamp(1, PARTIES);
            self.callbacks = joining.callbacks.clone().map(Arc::new);
        }
        if joining.is_recorded && self.recording.is_none() {
            self.recording = Some(joining.is_trimmed);
        }
        let id = MemberId(self.next_member);
        self.next_member = self.next_member.wrapping_add(1);
        self.members.push(Member::new(id, now, joining));
        if self.status == ConferenceStatus::Init
            && self.members.len() > 1
            && self.members.iter().any(|member| member.starts)
        {
            self.status = ConferenceStatus::InProgress;
            self.report(CallbackEvent::ConferenceStart, Vec::new());
        }
        self.report_of(CallbackEvent::ParticipantJoin, id, Vec::new());
        if self.status == ConferenceStatus::InProgress {
            if let (Some(is_trimmed), false) = (self.recording, self.is_recording) {
                self.is_recording = true;
                self.actions.push_back(RoomAction::Record { is_trimmed });
            }
            if self.member(id).is_some_and(|member| member.beep.on_enter()) {
                self.beep(now);
            }
        }
        self.request_audio_changes();
        Ok(id)
    }

    /// Removes a party, and ends the conference if the party was the last or a moderator.
    pub fn leave(&mut self, now: Instant, id: MemberId, departure: Departure) {
        let (reason, status, is_kicked) = match departure {
            Departure::HungUp => (LeaveReason::HungUp, CallStatus::Completed, false),
            Departure::Redirected => (LeaveReason::UpdatedViaApi, CallStatus::InProgress, false),
            Departure::Removed => (LeaveReason::UpdatedViaApi, CallStatus::InProgress, true),
        };
        if is_kicked && self.member(id).is_some() {
            self.actions.push_back(RoomAction::Release { member: id, reason });
        }
        self.remove(now, id, reason, status, is_kicked);
    }

    /// Reports by a callback that a call made for the conference has failed.
    pub fn add_failed(&mut self, call_sid: &str, label: Option<&str>, status: CallStatus) {
        if self.status == ConferenceStatus::Completed || self.members.iter().any(|member| member.call_sid == call_sid) {
            return;
        }
        let mut fields = vec![("CallSid", call_sid.to_owned())];
        fields.extend(label.map(|label| ("ParticipantLabel", label.to_owned())));
        fields.extend(left(LeaveReason::AddFailed, status));
        self.report(CallbackEvent::ParticipantLeave, fields);
    }

    /// Changes settings of a party. Returns an error and changes nothing if the call to coach is not present or is the
    /// party's own.
    pub fn change(&mut self, id: MemberId, changes: &[MemberChange]) -> Result<(), JoinRejection> {
        let is_own = |sid: &String| self.member(id).is_some_and(|member| member.call_sid == *sid);
        let is_there = |sid: &String| self.members.iter().any(|member| member.call_sid == *sid);
        let lost = changes.iter().any(
            |change| matches!(change, MemberChange::Coached(Some(coached)) if is_own(coached) || !is_there(coached)),
        );
        if lost {
            return Err(JoinRejection::NoneToCoach);
        }
        let mut is_modified = false;
        for change in changes {
            let Some(member) = self.members.iter_mut().find(|member| member.id == id) else { return Ok(()) };
            let occasion = apply(member, change);
            is_modified |= occasion == Some(CallbackEvent::ParticipantModify);
            if let Some(occasion) = occasion.filter(|occasion| *occasion != CallbackEvent::ParticipantModify) {
                self.report_of(occasion, id, Vec::new());
            }
        }
        if is_modified {
            self.report_of(CallbackEvent::ParticipantModify, id, Vec::new());
        }
        self.request_audio_changes();
        Ok(())
    }

    /// Registers an announcement to a party or to all. The code that calls this plays it, then calls
    /// [`ConferenceRoom::announced`]. Returns `None` if the party is not present, or too many announcements wait.
    pub fn announce(&mut self, member: Option<MemberId>, url: &str) -> Option<AnnouncementId> {
        let is_there = member.is_none_or(|id| self.member(id).is_some());
        if !is_there || self.status == ConferenceStatus::Completed || self.announcements.len() >= ANNOUNCEMENTS {
            return None;
        }
        let id = AnnouncementId(self.next_announcement);
        self.next_announcement = self.next_announcement.wrapping_add(1);
        self.announcements.push(QueuedAnnouncement { id, member, url: url.to_owned() });
        Some(id)
    }

    /// Completes an announcement; `failed` is the cause if it could not be played.
    pub fn announced(&mut self, id: AnnouncementId, failed: Option<&str>) {
        let Some(place) = self.announcements.iter().position(|announcement| announcement.id == id) else { return };
        let QueuedAnnouncement { member, url, .. } = self.announcements.remove(place);
        let mut fields = member.and_then(|member| self.member(member)).map(Member::fields).unwrap_or_default();
        fields.push(("AnnounceUrl", url));
        fields.extend(failed.map(|cause| ("ReasonAnnouncementFailed", cause.to_owned())));
        let occasion = if failed.is_some() { CallbackEvent::AnnouncementFail } else { CallbackEvent::AnnouncementEnd };
        self.report(occasion, fields);
    }

    /// Reports by a callback that a party began or stopped speaking.
    pub fn note_speech(&mut self, id: MemberId, speaks: bool) {
        self.report_of(if speaks { CallbackEvent::SpeechStart } else { CallbackEvent::SpeechStop }, id, Vec::new());
    }

    /// Processes a DTMF digit of a party.
    pub fn key(&mut self, now: Instant, id: MemberId, digit: char) {
        if digit == '*' && self.member(id).is_some_and(|member| member.leaves_on_star) {
            self.release(now, id, LeaveReason::HungUp);
        }
    }

    /// Ends the conference because of an API request.
    pub fn end(&mut self) {
        self.close(EndReason::ViaApi, None);
    }

    /// Checks whether a party may join; returns the first reason against it.
    pub fn may_join(&self, joining: &JoinRequest) -> Result<(), JoinRejection> {
        let label = joining.label.as_deref();
        let most = self.most.min(joining.max_participants);
        let coached = joining.coached.as_deref();
        let is_there = |sid: &str| self.members.iter().any(|member| member.call_sid == sid);
        if self.status == ConferenceStatus::Completed {
            Err(JoinRejection::Ended)
        } else if is_there(&joining.call_sid) {
            Err(JoinRejection::AlreadyIn)
        } else if self.members.len() >= most {
            Err(JoinRejection::Full)
        } else if label.is_some_and(|label| label.is_empty() || label.chars().count() > LABEL_CHARS) {
            Err(JoinRejection::BadLabel)
        } else if label.is_some() && self.members.iter().any(|member| member.label.as_deref() == label) {
            Err(JoinRejection::LabelTaken)
        } else if coached.is_some_and(|sid| self.status != ConferenceStatus::InProgress || !is_there(sid)) {
            Err(JoinRejection::NoneToCoach)
        } else {
            Ok(())
        }
    }

    /// Removes a party from the conference; its call continues.
    fn release(&mut self, now: Instant, id: MemberId, reason: LeaveReason) {
        self.actions.push_back(RoomAction::Release { member: id, reason });
        self.remove(now, id, reason, CallStatus::InProgress, false);
    }

    fn remove(&mut self, now: Instant, id: MemberId, reason: LeaveReason, status: CallStatus, is_kicked: bool) {
        let Some(place) = self.members.iter().position(|member| member.id == id) else { return };
        self.report_of(CallbackEvent::ParticipantLeave, id, left(reason, status).to_vec());
        let gone = self.members.remove(place);
        // Agents, and lines to other conferences, do not stay alone, but may wait for the first person.
        let is_over = self.members.is_empty() || gone.is_person() && !self.members.iter().any(Member::is_person);
        let end = match (gone.ends, is_over, is_kicked) {
            (true, _, false) => Some(EndReason::ModeratorLeft),
            (true, _, true) => Some(EndReason::ModeratorKicked),
            (false, true, false) => Some(EndReason::LastLeft),
            (false, true, true) => Some(EndReason::LastKicked),
            (false, false, _) => None,
        };
        if let Some(end) = end {
            self.close(end, Some(&gone));
            return;
        }
        if self.status == ConferenceStatus::InProgress && gone.beep.on_exit() {
            self.beep(now);
        }
        self.request_audio_changes();
    }

    /// Ends the conference; `by` is the party that ended it by leaving.
    fn close(&mut self, end: EndReason, by: Option<&Member>) {
        if self.status == ConferenceStatus::Completed {
            return;
        }
        self.status = ConferenceStatus::Completed;
        let reason =
            if end == EndReason::ViaApi { LeaveReason::ConferenceEndedViaApi } else { LeaveReason::ModeratorEnded };
        for member in std::mem::take(&mut self.members) {
            self.actions.push_back(RoomAction::Release { member: member.id, reason });
            let mut fields = member.fields();
            fields.extend(left(reason, CallStatus::InProgress));
            self.report(CallbackEvent::ParticipantLeave, fields);
        }
        if std::mem::take(&mut self.is_recording) {
            self.actions.push_back(RoomAction::StopRecording);
        }
        let call_sid = by.map(|member| member.call_sid.clone());
        let mut fields = Vec::new();
        fields.extend(call_sid.clone().map(|sid| ("CallSidEndingConference", sid)));
        fields.extend(
            by.and_then(|member| member.label.clone()).map(|label| ("ParticipantLabelEndingConference", label)),
        );
        fields.push(("ReasonConferenceEnded", end.name().to_owned()));
        fields.push(("Reason", end.text(call_sid.as_deref())));
        self.report(CallbackEvent::ConferenceEnd, fields);
        self.ended = Some((end, call_sid));
    }

    fn beep(&mut self, now: Instant) {
        if self.beeped_at.is_none_or(|at| now.saturating_duration_since(at) >= BEEP_PAUSE) {
            self.beeped_at = Some(now);
            self.actions.push_back(RoomAction::Beep);
        }
    }

    /// Requests the audio changes that follow from the state and the settings of all parties.
    fn request_audio_changes(&mut self) {
        let is_started = self.status == ConferenceStatus::InProgress;
        let by_sid =
            |sid: &str, members: &[Member]| members.iter().find(|member| member.call_sid == sid).map(|one| one.id);
        for place in 0..self.members.len() {
            let Some(member) = self.members.get(place) else { return };
            if member.is_absent {
                continue;
            }
            let coached = member.coached.as_deref().map(|sid| by_sid(sid, &self.members));
            let standing = match (is_started && member.hold.is_none(), member.is_muted, coached) {
                (false, _, _) => MemberRole::Away,
                // Without its coached party, a coach is heard by no party.
                (true, true, _) | (true, false, Some(None)) => MemberRole::Listener,
                (true, false, Some(Some(coached))) => MemberRole::Coach(coached),
                (true, false, None) => MemberRole::Speaker,
            };
            let music = member.hold.as_ref().or_else(|| (!is_started).then_some(&member.wait));
            let music = music.map(|music| if member.is_line { &WaitMusic::Silence } else { music });
            let (id, is_moved, is_other) =
                (member.id, member.standing != Some(standing), member.music.as_ref() != music);
            let music = music.cloned();
            let Some(member) = self.members.get_mut(place) else { return };
            if is_moved {
                member.standing = Some(standing);
                self.actions.push_back(RoomAction::Stand { member: id, standing });
            }
            if is_other {
                member.music.clone_from(&music);
                self.actions.push_back(RoomAction::Music { member: id, music });
            }
        }
    }

    /// Queues a callback about an event of a present party.
    fn report_of(&mut self, occasion: CallbackEvent, id: MemberId, more: Vec<(&'static str, String)>) {
        let Some(mut fields) = self.member(id).map(Member::fields) else { return };
        fields.extend(more);
        self.report(occasion, fields);
    }

    fn report(&mut self, occasion: CallbackEvent, fields: Vec<(&'static str, String)>) {
        let Some(callbacks) = self.callbacks.as_ref().filter(|callbacks| callbacks.events.contains(occasion)) else {
            return;
        };
        self.sequence += 1;
        let mut all = vec![
            ("ConferenceSid", self.sid.clone()),
            ("FriendlyName", self.name.clone()),
            ("SequenceNumber", self.sequence.to_string()),
            ("StatusCallbackEvent", occasion.name().to_owned()),
        ];
        all.extend(fields);
        let callbacks = Arc::clone(callbacks);
        self.actions.push_back(RoomAction::Callback(CallbackRequest { occasion, callbacks, fields: all }));
    }
}

/// Applies a change; returns the event to report if the setting changed.
fn apply(member: &mut Member, change: &MemberChange) -> Option<CallbackEvent> {
    match change {
        MemberChange::Muted(muted) => {
            let occasion = if *muted { CallbackEvent::ParticipantMute } else { CallbackEvent::ParticipantUnmute };
            (std::mem::replace(&mut member.is_muted, *muted) != *muted).then_some(occasion)
        }
        MemberChange::Hold(music) => {
            let was_held = std::mem::replace(&mut member.hold, music.clone()).is_some();
            let occasion =
                if music.is_some() { CallbackEvent::ParticipantHold } else { CallbackEvent::ParticipantUnhold };
            (was_held != music.is_some()).then_some(occasion)
        }
        MemberChange::Coached(coached) => modified(&mut member.coached, coached.clone()),
        MemberChange::BeepOnExit(on_exit) => {
            let beep = member.beep.with_exit(*on_exit);
            modified(&mut member.beep, beep)
        }
        MemberChange::Ends(ends) => modified(&mut member.ends, *ends),
        MemberChange::Wait(music) => modified(&mut member.wait, music.clone()),
    }
}

fn modified<T: PartialEq>(place: &mut T, value: T) -> Option<CallbackEvent> {
    (*place != value).then(|| {
        *place = value;
        CallbackEvent::ParticipantModify
    })
}

fn left(reason: LeaveReason, status: CallStatus) -> [(&'static str, String); 2] {
    [("ParticipantCallStatus", status.name().to_owned()), ("ReasonParticipantLeft", reason.name().to_owned())]
}
