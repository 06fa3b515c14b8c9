//! Conferences of the edge: what requests ask of them, and what follows from a change in one, in the calls of its parties and beside
//! them.

use std::time::Instant;

use trunkgate_conference::{Change, Departure, MemberId, Room, RoomId};
use trunkgate_resources::conferences::{ConferenceReport, Due, PartyReport};
use trunkgate_resources::io::Output;

use crate::call::CallEvent;
use crate::gateway::Gateway;

/// Lets parties leave whose time is over, and carries out what follows from changes in conferences. Returns whether there was something.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions.conferences.handle_timeout(now);
    let mut any = false;
    loop {
        let edge = &mut gateway.edge;
        let (wall, account) = (&edge.wall, &edge.config.account_sid);
        let Some(due) = edge.sessions.conferences.poll(|| wall.at(now), account) else { return any };
        any = true;
        match due {
            Due::Node(command) => edge.turn.outputs.push_back(Output::Conference(Box::new(command))),
            Due::Callback(callback) => edge.call_back(callback),
            Due::Call(key, news) => gateway.tell(now, key, CallEvent::Conference(news)),
        }
    }
}

/// Why a request about a conference is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceRefused {
    /// No conference of this SID or name goes on, or it has no such party.
    Unknown,
    /// The call that the party is to coach is not in the conference.
    NoneToCoach,
}

/// The conferences of an edge, as requests change them. Drain [`Gateway::poll_output`] afterwards.
#[derive(Debug)]
pub struct Conferences<'g> {
    gateway: &'g mut Gateway,
}

impl<'g> Conferences<'g> {
    /// Acts on those of a gateway.
    pub fn of(gateway: &'g mut Gateway) -> Conferences<'g> {
        Conferences { gateway }
    }

    /// Ends a conference; its parties go on behind it.
    ///
    /// # Errors
    /// There is none of this SID.
    pub fn end(&mut self, now: Instant, conference: &str) -> Result<(), ConferenceRefused> {
        let conferences = &mut self.gateway.edge.sessions.conferences;
        let room = conferences.find(conference).ok_or(ConferenceRefused::Unknown)?;
        conferences.act(room, Room::end);
        self.gateway.settle(now);
        Ok(())
    }

    /// Changes a party, named by the SID of its call or its label, and returns it.
    ///
    /// # Errors
    /// Why it stays as it is.
    pub fn change(
        &mut self,
        now: Instant,
        (conference, party): (&str, &str),
        changes: &[Change],
    ) -> Result<PartyReport, ConferenceRefused> {
        let (room, id) = self.find(conference, party)?;
        let conferences = &mut self.gateway.edge.sessions.conferences;
        let changed = conferences.act(room, |room| room.change(id, changes)).ok_or(ConferenceRefused::Unknown)?;
        changed.map_err(|_| ConferenceRefused::NoneToCoach)?;
        let report = conferences.report_of(room);
        self.gateway.settle(now);
        let parties = report.map(|report| report.parties).unwrap_or_default();
        parties.into_iter().find(|party| party.member.id() == id).ok_or(ConferenceRefused::Unknown)
    }

    /// Takes a party out; its call goes on behind the conference.
    ///
    /// # Errors
    /// There is no such party.
    pub fn remove(&mut self, now: Instant, conference: &str, party: &str) -> Result<(), ConferenceRefused> {
        let (room, id) = self.find(conference, party)?;
        let conferences = &mut self.gateway.edge.sessions.conferences;
        conferences.act(room, |room| room.leave(now, id, Departure::Removed));
        self.gateway.settle(now);
        Ok(())
    }

    fn find(&self, conference: &str, party: &str) -> Result<(RoomId, MemberId), ConferenceRefused> {
        let conferences = &self.gateway.edge.sessions.conferences;
        let found = conferences.find(conference).and_then(|room| Some((room, conferences.report_of(room)?)));
        let (room, report) = found.ok_or(ConferenceRefused::Unknown)?;
        let found = report.party(party).ok_or(ConferenceRefused::Unknown)?;
        Ok((room, found.member.id()))
    }
}

/// Returns the number of conferences that go on, and that of their parties.
pub fn conferences_live(gateway: &Gateway) -> [usize; 2] {
    let conferences = &gateway.edge.sessions.conferences;
    [conferences.len(), conferences.parties()]
}

/// Returns the conference that is known under a SID.
pub fn conference(gateway: &Gateway, sid: &str) -> Option<ConferenceReport> {
    gateway.edge.sessions.conferences.report(sid)
}

/// Returns all conferences that are known, the newest first.
pub fn conferences(gateway: &Gateway) -> Vec<ConferenceReport> {
    gateway.edge.sessions.conferences.reports()
}
