//! Conferences as plain data, and participants of a restored conference whose calls have not come back yet.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{MemberId, RoomId, RoomSnapshot};
use trunkgate_media::{RecordingId, RecordingPause};

use crate::recordings::losses::RecordingLosses;
use crate::recordings::{InterruptedRecording, RecordingRequest};

/// Active conferences of an edge as plain data. Conferences without a participant are omitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConferencesSnapshot {
    pub(super) list: Vec<ConferenceSnapshot>,
    /// Time since a crash; `None` if the process that wrote the snapshot hands its conferences over.
    #[serde(skip)]
    pub(super) left: Option<Duration>,
}

/// Active conference as plain data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ConferenceSnapshot {
    pub(super) room: RoomSnapshot,
    pub(super) began: SystemTime,
    pub(super) app: Arc<str>,
    pub(super) allow_private: bool,
    pub(super) record: Option<(String, Box<RecordingRequest>)>,
    pub(super) recordings: Vec<ActiveRecording>,
    pub(super) participants: Vec<ParticipantSnapshot>,
}

/// An active recording of a conference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ActiveRecording {
    pub(super) id: RecordingId,
    pub(super) sid: String,
    pub(super) pause: Option<RecordingPause>,
    /// Audio missing from the recording.
    #[serde(default)]
    pub(super) lost: RecordingLosses,
}

/// Data of a participant that its room does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ParticipantSnapshot {
    pub(super) member: MemberId,
    pub(super) trunk: Arc<str>,
    pub(super) joined: SystemTime,
    pub(super) links: Vec<u64>,
}

/// Origin of a recording that continues in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordingOrigin {
    /// A running process hands the recording over.
    Crossing,
    /// A process has crashed.
    Interrupted,
}

/// Participants of another process whose calls have not come back.
#[derive(Debug, Default)]
pub(super) struct AbsentParticipants {
    pub(super) list: BTreeMap<(RoomId, MemberId), AbsentParticipant>,
    /// Time until which the calls may come back; `None` while calls are being restored.
    pub(super) until: Option<Instant>,
}

/// Participant whose call has not come back.
#[derive(Debug)]
pub(super) struct AbsentParticipant {
    pub(super) call_sid: String,
    pub(super) trunk: Arc<str>,
    pub(super) joined: SystemTime,
}

impl AbsentParticipants {
    /// Returns the time at which a participant joined; `None` if it is not absent.
    pub(super) fn joined(&self, at: (RoomId, MemberId)) -> Option<SystemTime> {
        self.list.get(&at).map(|absent| absent.joined)
    }

    /// Lists the trunks of the participants.
    pub(super) fn trunks(&self) -> impl Iterator<Item = &str> {
        self.list.values().map(|absent| &*absent.trunk)
    }

    /// Returns the time at which the participants leave; `None` if there are none.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.until.filter(|_| !self.list.is_empty())
    }

    /// Removes a participant that is no longer in its conference.
    pub(super) fn remove(&mut self, at: (RoomId, MemberId)) {
        self.list.remove(&at);
    }

    /// Returns the place of the participant with this call.
    pub(super) fn find(&self, call_sid: &str) -> Option<(RoomId, MemberId)> {
        self.list.iter().find(|(_, absent)| absent.call_sid == call_sid).map(|(at, _)| *at)
    }
}

impl ConferencesSnapshot {
    /// Makes this a snapshot that a crashed process has left `age` ago; `margins` is the number of margins that the
    /// numbers of callbacks skip.
    pub fn outlive_crash(&mut self, age: Duration, margins: u32) {
        self.left = Some(age);
        self.list.iter_mut().for_each(|conference| conference.room.skip_callbacks(margins));
    }

    /// Lists the recordings that have not ended: id and SID.
    pub fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.list.iter().flat_map(|conference| &conference.recordings).map(|one| (one.id, one.sid.as_str()))
    }

    /// Lists the recordings that a crash has interrupted.
    pub fn interrupted_recordings(&self) -> impl Iterator<Item = InterruptedRecording> {
        self.list.iter().flat_map(|conference| {
            let is_trimmed = conference.record.as_ref().is_some_and(|(_, request)| request.trim);
            conference.recordings.iter().map(move |one| InterruptedRecording {
                id: one.id,
                sid: one.sid.clone(),
                is_cut: one.pause == Some(RecordingPause::Cut),
                is_trimmed,
                lost: one.lost,
            })
        })
    }
}
