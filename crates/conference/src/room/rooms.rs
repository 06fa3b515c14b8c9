//! All conferences of an edge, by name. A conference exists while it has a party.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::limits::{EDGE_PARTIES, EDGE_PARTIES_RESERVED, NAME_CHARS};

use super::member::MemberId;
use super::options::JoinRequest;
use super::snapshot::RoomSnapshot;
use super::{ConferenceRoom, ConferenceStatus, JoinRejection, RoomAction};

/// Id of a conference of an edge, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RoomId(u64);

impl RoomId {
    /// Returns the id as a number, unique among the conferences of the edge.
    pub fn number(self) -> u64 {
        self.0
    }
}

/// Registry of the conferences that are active, by name.
#[derive(Debug, Default)]
pub struct RoomRegistry {
    rooms: BTreeMap<RoomId, ConferenceRoom>,
    next: u64,
    actions: VecDeque<(RoomId, RoomAction)>,
}

impl RoomRegistry {
    /// Creates a registry without conferences.
    pub fn new() -> RoomRegistry {
        RoomRegistry::default()
    }

    /// Returns the number of conferences.
    pub fn len(&self) -> usize {
        self.rooms.len()
    }

    /// Returns whether there are no conferences.
    pub fn is_empty(&self) -> bool {
        self.rooms.is_empty()
    }

    /// Returns the number of parties in all conferences.
    pub fn parties(&self) -> usize {
        self.rooms.values().map(|room| room.members().len()).sum()
    }

    /// Lists the conferences, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = (RoomId, &ConferenceRoom)> {
        self.rooms.iter().map(|(id, room)| (*id, room))
    }

    /// Returns a conference; `None` if it has ended.
    pub fn get(&self, id: RoomId) -> Option<&ConferenceRoom> {
        self.rooms.get(&id)
    }

    /// Returns the id of the conference with a name, ignoring white space at both ends.
    pub fn find(&self, name: &str) -> Option<RoomId> {
        let name = name.trim();
        self.iter().find(|(_, room)| room.name() == name).map(|(id, _)| id)
    }

    /// Checks whether a party may join the conference with this name, which would be created if needed.
    pub fn may_join(&self, name: &str, joining: &JoinRequest) -> Result<(), JoinRejection> {
        let name = name.trim();
        self.may_come(name, joining)?;
        match self.find(name).and_then(|id| self.get(id)) {
            Some(room) => room.may_join(joining),
            None => ConferenceRoom::new(String::new(), name.to_owned()).may_join(joining),
        }
    }

    /// Checks the conditions outside of the party's conference: its name, the limit of the edge, and whether the call
    /// is already in another one.
    fn may_come(&self, name: &str, joining: &JoinRequest) -> Result<(), JoinRejection> {
        if name.is_empty() || name.chars().count() > NAME_CHARS || name.chars().any(char::is_control) {
            return Err(JoinRejection::BadName);
        }
        let reserved = if joining.is_below_share { EDGE_PARTIES_RESERVED } else { 0 };
        if self.parties() >= EDGE_PARTIES + reserved {
            return Err(JoinRejection::EdgeFull);
        }
        let mut others = self.rooms.values().flat_map(ConferenceRoom::members);
        if others.any(|member| member.call_sid() == joining.call_sid) {
            return Err(JoinRejection::AlreadyIn);
        }
        Ok(())
    }

    /// Adds a party to the conference with this name, creating it if needed; `sid` generates the SID of a new one.
    pub fn join(
        &mut self,
        now: Instant,
        name: &str,
        sid: impl FnOnce() -> String,
        joining: JoinRequest,
    ) -> Result<(RoomId, MemberId), JoinRejection> {
        let name = name.trim();
        self.may_come(name, &joining)?;
        if let Some(id) = self.find(name) {
            let member = self.act(id, |room| room.join(now, joining)).ok_or(JoinRejection::Ended)??;
            return Ok((id, member));
        }
        let mut room = ConferenceRoom::new(sid(), name.to_owned());
        let member = room.join(now, joining)?;
        let id = RoomId(self.next);
        self.next += 1;
        self.rooms.insert(id, room);
        self.collect(id);
        Ok((id, member))
    }

    /// Returns the active conferences as plain data.
    pub fn snapshot(&self, now: Instant) -> Vec<RoomSnapshot> {
        self.rooms.iter().map(|(id, room)| room.snapshot(now, *id)).collect()
    }

    /// Restores a conference of another process; `then` is the time of the snapshot. Returns false if another one has
    /// its id or name, or if it has no party.
    pub fn restore(&mut self, then: Instant, snapshot: RoomSnapshot) -> bool {
        let id = snapshot.id();
        let is_known = self.rooms.contains_key(&id) || self.find(snapshot.name()).is_some();
        if is_known || snapshot.members().next().is_none() {
            return false;
        }
        self.next = self.next.max(id.0.saturating_add(1));
        self.rooms.insert(id, ConferenceRoom::restore(then, snapshot));
        true
    }

    /// Calls `act` with a conference and collects the resulting actions; `None` if the conference has ended.
    pub fn act<R>(&mut self, id: RoomId, act: impl FnOnce(&mut ConferenceRoom) -> R) -> Option<R> {
        let done = act(self.rooms.get_mut(&id)?);
        self.collect(id);
        Some(done)
    }

    /// Removes and returns the next action of any conference; `None` if there is none.
    pub fn poll_output(&mut self) -> Option<(RoomId, RoomAction)> {
        self.actions.pop_front()
    }

    /// Returns the time of the next call of [`RoomRegistry::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.rooms.values().filter_map(ConferenceRoom::poll_timeout).min()
    }

    /// Releases parties that have reached their time limit.
    pub fn handle_timeout(&mut self, now: Instant) {
        let due = |room: &ConferenceRoom| room.poll_timeout().is_some_and(|at| at <= now);
        while let Some(id) = self.rooms.iter().find(|(_, room)| due(room)).map(|(id, _)| *id) {
            self.act(id, |room| room.handle_timeout(now));
        }
    }

    /// Collects the actions of a conference, and removes it if it has ended.
    fn collect(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        while let Some(action) = room.poll_output() {
            self.actions.push_back((id, action));
        }
        if let (ConferenceStatus::Completed, Some((reason, call_sid))) = (room.status(), room.ended()) {
            let call_sid = call_sid.map(str::to_owned);
            self.actions.push_back((id, RoomAction::Ended { reason, call_sid }));
            self.rooms.remove(&id);
        }
    }
}
