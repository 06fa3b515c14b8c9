//! Recordings of conferences.

use trunkgate_conference::{ConferenceId, NodeCommand, RoomId};
use trunkgate_media::{RecordingId, RecordingPause};

use super::snapshot::ActiveRecording;
use super::{ConferenceEffect, Conferences};
use crate::recordings::losses::RecordingLosses;

impl Conferences {
    /// Starts a recording of a conference with this id and SID.
    pub fn recorded_as(&mut self, room: RoomId, (id, sid): (RecordingId, String)) {
        self.changes += 1;
        let conference = ConferenceId(room.number());
        if let Some(kept) = self.details.get_mut(&room) {
            kept.recordings.push(ActiveRecording { id, sid, pause: None, lost: RecordingLosses::default() });
            let record = NodeCommand::Record { conference, recording: id, is_crossing: false };
            self.due.push_back(ConferenceEffect::Node(record));
        }
    }

    /// Pauses or resumes a recording of a conference: the one with the SID, or the newest. Returns its SID, if there
    /// is one.
    pub fn pause_recording(
        &mut self,
        room: RoomId,
        sid: Option<&str>,
        pause: Option<RecordingPause>,
    ) -> Option<String> {
        self.changes += 1;
        let running = self.details.get_mut(&room)?.recordings.iter_mut().rev();
        let one = running.into_iter().find(|one| sid.is_none_or(|sid| one.sid == sid))?;
        one.pause = pause;
        self.due.push_back(ConferenceEffect::Node(NodeCommand::PauseRecording { recording: one.id, pause }));
        Some(one.sid.clone())
    }

    /// Lists the recordings of conferences that are in progress and not paused.
    pub fn running_recordings(&self) -> impl Iterator<Item = RecordingId> {
        let active = self.details.values().flat_map(|details| &details.recordings);
        active.filter(|one| one.pause.is_none()).map(|one| one.id)
    }

    /// Replaces the audio losses of a conference's recording, as last reported by its writer.
    pub fn record_losses(&mut self, recording: RecordingId, lost: &RecordingLosses) {
        let mut active = self.details.values_mut().flat_map(|details| &mut details.recordings);
        if let Some(one) = active.find(|one| one.id == recording) {
            one.lost = *lost;
            self.changes += 1;
        }
    }

    /// Ends a recording of a conference: the one with the SID, or the newest. Returns its SID, if there is one.
    pub fn stop_recording(&mut self, room: RoomId, sid: Option<&str>) -> Option<String> {
        self.changes += 1;
        self.begin_continued_recordings(room);
        let running = &mut self.details.get_mut(&room)?.recordings;
        let at = running.iter().rposition(|one| sid.is_none_or(|sid| one.sid == sid))?;
        let ActiveRecording { id, sid, .. } = running.remove(at);
        self.due.push_back(ConferenceEffect::Node(NodeCommand::StopRecording { recording: id }));
        Some(sid)
    }
}
