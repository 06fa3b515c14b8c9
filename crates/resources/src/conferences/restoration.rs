//! Conferences as plain data: what a process writes for another one, and the restoration in that one.
//!
//! Rooms are restored before the calls. A participant is absent until its call joins its conference again under the
//! same SID: it then gets a new seat and keeps everything else, and nothing is reported.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_conference::{MemberId, RoomSnapshot};
use trunkgate_media::RecordingId;

use super::snapshot::{
    AbsentParticipant, ConferenceSnapshot, ConferencesSnapshot, ParticipantSnapshot, RecordingOrigin,
};
use super::{ConferenceDetails, Conferences};

/// Time after a restart for which a participant waits for its call, whose application may have to answer first.
const ABSENT_WITHIN: Duration = Duration::from_secs(10);

impl Conferences {
    /// Returns the number of changes so far that a snapshot may show.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Returns the active conferences as plain data.
    pub fn snapshot(&self, now: Instant) -> ConferencesSnapshot {
        let list = self.rooms.snapshot(now).into_iter().filter_map(|room| self.snapshot_of(room)).collect();
        ConferencesSnapshot { list, left: None }
    }

    fn snapshot_of(&self, room: RoomSnapshot) -> Option<ConferenceSnapshot> {
        let ConferenceDetails { sid: _, name: _, began, app, allow_private, record, recordings, continued: _ } =
            self.details.get(&room.id())?;
        let participant = |member: MemberId| {
            let at = (room.id(), member);
            let present = self.places.get(&at).map(|place| (&place.trunk, place.joined));
            let absent = || self.absent.list.get(&at).map(|absent| (&absent.trunk, absent.joined));
            let (trunk, joined) = present.or_else(absent)?;
            let links = self.links.get(&at).cloned().unwrap_or_default();
            Some(ParticipantSnapshot { member, trunk: Arc::clone(trunk), joined, links })
        };
        let participants = room.members().filter_map(|(member, _)| participant(member)).collect();
        Some(ConferenceSnapshot {
            began: *began,
            app: Arc::clone(app),
            allow_private: *allow_private,
            record: record.clone(),
            recordings: recordings.clone(),
            participants,
            room,
        })
    }

    /// Restores conferences before the calls of their participants. Returns their active recordings: the id, the SID
    /// and the SID of a participant's call. [`Conferences::end_restoration`] must follow.
    pub fn restore(&mut self, now: Instant, snapshot: ConferencesSnapshot) -> Vec<(RecordingId, String, String)> {
        let ConferencesSnapshot { list, left } = snapshot;
        let then = left.and_then(|age| now.checked_sub(age)).unwrap_or(now);
        let origin = if left.is_some() { RecordingOrigin::Interrupted } else { RecordingOrigin::Crossing };
        list.into_iter().flat_map(|conference| self.restore_one(then, conference, origin)).collect()
    }

    fn restore_one(
        &mut self,
        then: Instant,
        conference: ConferenceSnapshot,
        origin: RecordingOrigin,
    ) -> Vec<(RecordingId, String, String)> {
        let ConferenceSnapshot { room, began, app, allow_private, record, recordings, participants } = conference;
        let (id, sid, name) = (room.id(), room.sid().to_owned(), room.name().to_owned());
        let mut calls: BTreeMap<MemberId, String> =
            room.members().map(|(member, call)| (member, call.to_owned())).collect();
        if !self.rooms.restore(then, room) {
            return Vec::new();
        }
        let first = calls.values().next().cloned().unwrap_or_default();
        let recorder = record.as_ref().map_or(first, |(call, _)| call.clone());
        let open = recordings.iter().map(|one| (one.id, one.sid.clone(), recorder.clone())).collect();
        for ParticipantSnapshot { member, trunk, joined, links } in participants {
            let Some(call_sid) = calls.remove(&member) else { continue };
            self.absent.list.insert((id, member), AbsentParticipant { call_sid, trunk, joined });
            if !links.is_empty() {
                self.links.insert((id, member), links);
            }
        }
        let continued = Some(origin);
        self.details
            .insert(id, ConferenceDetails { sid, name, began, app, allow_private, record, recordings, continued });
        self.changes += 1;
        open
    }

    /// Ends the restoration: all calls that continue have been restored, and may still join their conferences for a
    /// while.
    pub fn end_restoration(&mut self, now: Instant) {
        self.absent.until = Some(now + ABSENT_WITHIN);
    }
}
