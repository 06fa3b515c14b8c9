//! Conferences as plain data, for a process that continues them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::member::{Member, MemberId, MemberRole};
use super::options::{BeepPolicy, ConferenceCallbacks, WaitMusic};
use super::rooms::RoomId;
use super::{ConferenceRoom, ConferenceStatus, QueuedAnnouncement};

/// Sequence numbers of callbacks left out after a crash, because the crashed process may have used them: far more than
/// a conference of the largest size reports in the quarter of a second before a crash.
const SEQUENCE_MARGIN: u64 = 256;

/// Active conference as plain data. Requested audio and the time of the last beep are omitted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomSnapshot {
    id: RoomId,
    sid: String,
    name: String,
    has_started: bool,
    members: Vec<MemberSnapshot>,
    next_member: u32,
    most: usize,
    callbacks: Option<ConferenceCallbacks>,
    sequence: u64,
    announcements: Vec<QueuedAnnouncement>,
    next_announcement: u32,
    recording: Option<bool>,
    is_recording: bool,
}

/// Party of a conference as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct MemberSnapshot {
    id: MemberId,
    call_sid: String,
    label: Option<String>,
    is_muted: bool,
    hold: Option<WaitMusic>,
    coached: Option<String>,
    beep: BeepPolicy,
    starts: bool,
    ends: bool,
    wait: WaitMusic,
    leaves_on_star: bool,
    is_agent: bool,
    is_line: bool,
    /// Time until the party leaves, in milliseconds.
    leaves_in_ms: Option<u64>,
}

impl RoomSnapshot {
    /// Returns the id of the conference.
    pub fn id(&self) -> RoomId {
        self.id
    }

    /// Returns the SID of the conference.
    pub fn sid(&self) -> &str {
        &self.sid
    }

    /// Returns the name of the conference.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lists the parties: the id of each, and the SID of its call.
    pub fn members(&self) -> impl Iterator<Item = (MemberId, &str)> {
        self.members.iter().map(|member| (member.id, member.call_sid.as_str()))
    }

    /// Skips sequence numbers of callbacks that crashed processes may have sent: a margin as many times as given.
    pub fn skip_callbacks(&mut self, margins: u32) {
        self.sequence = self.sequence.saturating_add(SEQUENCE_MARGIN.saturating_mul(margins.into()));
    }
}

impl ConferenceRoom {
    /// Returns the conference as plain data.
    pub(super) fn snapshot(&self, now: Instant, id: RoomId) -> RoomSnapshot {
        let ConferenceRoom {
            sid,
            name,
            status,
            members,
            next_member,
            most,
            callbacks,
            sequence,
            announcements,
            next_announcement,
            recording,
            is_recording,
            beeped_at: _,
            ended: _,
            actions: _,
        } = self;
        RoomSnapshot {
            id,
            sid: sid.clone(),
            name: name.clone(),
            has_started: *status == ConferenceStatus::InProgress,
            members: members.iter().map(|member| member.snapshot(now)).collect(),
            next_member: *next_member,
            most: *most,
            callbacks: callbacks.as_deref().cloned(),
            sequence: *sequence,
            announcements: announcements.clone(),
            next_announcement: *next_announcement,
            recording: *recording,
            is_recording: *is_recording,
        }
    }

    /// Restores a conference; `then` is the time of the snapshot. Its parties are absent.
    pub(super) fn restore(then: Instant, snapshot: RoomSnapshot) -> ConferenceRoom {
        let RoomSnapshot {
            id: _,
            sid,
            name,
            has_started,
            members,
            next_member,
            most,
            callbacks,
            sequence,
            announcements,
            next_announcement,
            recording,
            is_recording,
        } = snapshot;
        ConferenceRoom {
            sid,
            name,
            status: if has_started { ConferenceStatus::InProgress } else { ConferenceStatus::Init },
            members: members.into_iter().map(|member| member.restore(then)).collect(),
            next_member,
            most,
            callbacks: callbacks.map(Arc::new),
            sequence,
            announcements,
            next_announcement,
            recording,
            is_recording,
            beeped_at: None,
            ended: None,
            actions: VecDeque::new(),
        }
    }

    /// Continues with a party whose call has come back after a restart, and requests its audio.
    pub fn resume(&mut self, id: MemberId) {
        for member in &mut self.members {
            if member.id == id {
                (member.is_absent, member.standing, member.music) = (false, None, None);
            } else if member.standing == Some(MemberRole::Coach(id)) {
                // The mixer did not have the coached party.
                member.standing = None;
            }
        }
        self.request_audio_changes();
    }
}

impl Member {
    fn snapshot(&self, now: Instant) -> MemberSnapshot {
        let Member {
            id,
            call_sid,
            label,
            is_muted,
            hold,
            coached,
            beep,
            starts,
            ends,
            wait,
            leaves_on_star,
            is_agent,
            is_line,
            leaves_at,
            standing: _,
            music: _,
            is_absent: _,
        } = self;
        // Rounded up: a restored participant must not leave early.
        let left = leaves_at.map(|at| at.saturating_duration_since(now).as_nanos().div_ceil(1_000_000));
        MemberSnapshot {
            id: *id,
            call_sid: call_sid.clone(),
            label: label.clone(),
            is_muted: *is_muted,
            hold: hold.clone(),
            coached: coached.clone(),
            beep: *beep,
            starts: *starts,
            ends: *ends,
            wait: wait.clone(),
            leaves_on_star: *leaves_on_star,
            is_agent: *is_agent,
            is_line: *is_line,
            leaves_in_ms: left.map(|left| u64::try_from(left).unwrap_or(u64::MAX)),
        }
    }
}

impl MemberSnapshot {
    fn restore(self, then: Instant) -> Member {
        let MemberSnapshot {
            id,
            call_sid,
            label,
            is_muted,
            hold,
            coached,
            beep,
            starts,
            ends,
            wait,
            leaves_on_star,
            is_agent,
            is_line,
            leaves_in_ms,
        } = self;
        Member {
            id,
            call_sid,
            label,
            is_muted,
            hold,
            coached,
            beep,
            starts,
            ends,
            wait,
            leaves_on_star,
            is_agent,
            is_line,
            leaves_at: leaves_in_ms.and_then(|left| then.checked_add(Duration::from_millis(left))),
            standing: None,
            music: None,
            is_absent: true,
        }
    }
}
