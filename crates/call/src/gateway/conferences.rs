//! Conferences of the edge: what requests ask of them, and what follows from a change in one, in the calls of its parties and beside
//! them.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use trunkgate_conference::{Change, Departure, Joining, MemberId, NodeEvent, Refusal, RoomId};
use trunkgate_resources::conferences::{ConferenceNews, ConferenceReport, Due, NotJoined, PartyReport};
use trunkgate_resources::io::{Control, Input, Output};
use trunkgate_resources::recordings::RecordingRequest;
use trunkgate_route::{App, TargetSpec, WebhookMethod};
use trunkgate_twiml::Location;

use crate::call::legs::event::CallEvent;
use crate::call::media::coaching::Coaching;
use crate::call::parts::requested::{Added, CallRequest};
use crate::call::program::parameters;
use crate::call::recorders::recording::RecordingChange;
use crate::call::shared::Shared;
use crate::call::words::state::State;
use crate::call::words::webhooks;
use crate::gateway::announcements::Announcement;
use crate::gateway::{Gateway, queues};

/// Lets parties leave whose time is over, and carries out what follows from changes in conferences. Returns whether there was something.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions_mut().conferences.handle_timeout(now);
    let mut any = gateway.announcements.settle(&mut gateway.edge, now) | queues::settle(gateway, now);
    loop {
        let edge = &mut gateway.edge;
        let Some(due) = edge.poll_conferences(now) else { return any };
        any = true;
        match due {
            Due::Node(command) => edge.output(Output::Conference(Box::new(command))),
            Due::Callback(callback) => edge.call_back(callback),
            Due::Call(key, news) => gateway.tell(now, key, CallEvent::Conference(news)),
            Due::Ended(report) => edge.output(Output::ConferenceEnded(report)),
            Due::Record(room, call, request) => record(gateway, now, room, (&call, *request)),
        }
    }
}

/// Takes news of the mixers.
pub(super) fn take(gateway: &mut Gateway, now: Instant, event: NodeEvent) {
    if let NodeEvent::ClipEnded(clip) = event {
        gateway.announcements.clip_ended(&mut gateway.edge, now, clip);
    } else if let Some(key) = Coaching::lost(event) {
        gateway.tell(now, key, CallEvent::Conference(ConferenceNews::Lost));
    } else {
        gateway.edge.sessions_mut().queues.take(now, event);
        gateway.edge.sessions_mut().conferences.take(event);
    }
}

/// Returns when something happens in a conference or queue by itself: a party leaves whose time is over, an announcement goes on.
pub(super) fn next(gateway: &Gateway) -> Option<Instant> {
    let left = gateway.edge.sessions().conferences.poll_timeout();
    let rejoined = gateway.edge.sessions().queues.poll_timeout();
    left.into_iter().chain(gateway.announcements.next()).chain(rejoined).min()
}

/// Begins the recording of a conference.
fn record(gateway: &mut Gateway, now: Instant, room: RoomId, (call, request): (&str, RecordingRequest)) {
    let edge = &mut gateway.edge;
    let conference = request.conference.clone().unwrap_or_default();
    if !edge.sessions().recordings.is_on() {
        return edge.warn(call, format!("conference {conference} is not recorded: there is no [recording]"), None);
    }
    let (id, sid) = edge.begin_recording(now, call, request);
    edge.log(call, format!("recording {sid} of conference {conference} begins"), None);
    edge.sessions_mut().conferences.recorded_as(room, (id, sid));
}

/// A party that is called for a conference and has not joined it yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComingReport {
    /// SID of its call.
    pub call: String,
    /// Its settings.
    pub added: Added,
    /// When its call began.
    pub began: SystemTime,
    /// `queued`, `ringing`, or `connecting` once it has answered.
    pub status: &'static str,
}

/// Returns the parties that are called for a conference of this SID or name, in the order in which their calls began.
pub fn coming(gateway: &Gateway, conference: &str) -> Vec<ComingReport> {
    let conferences = &gateway.edge.sessions().conferences;
    let report = |call: &Shared| {
        let added = call.requested.as_ref()?.participant.as_deref()?;
        let is_coming = call.state != State::Ended && conferences.are_same(&added.conference, conference);
        let status = match parameters::status_of(call) {
            status @ ("queued" | "ringing") => status,
            _ => "connecting",
        };
        let (call, began) = (call.legs.sid().to_owned(), gateway.edge.wall().at(call.times.began));
        is_coming.then(|| ComingReport { call, added: added.clone(), began, status })
    };
    gateway.calls.values().filter_map(|call| report(&call.shared)).collect()
}

/// Judges a call that is to be made for a conference: whether its party could join as the conference is now.
///
/// # Errors
/// Why it could not. A party that rings first may find the conference started, or a coached one there.
pub(super) fn judge(gateway: &Gateway, request: &CallRequest) -> Result<(), NotJoined> {
    let Some(added) = request.participant.as_deref() else { return Ok(()) };
    let is_agent = request.targets.iter().all(|target| matches!(target, TargetSpec::Agent(_)));
    let conferences = &gateway.edge.sessions().conferences;
    let name = &*added.conference;
    let mut joining = Joining { label: added.label.clone(), coached: added.coached.clone(), ..Joining::new("") };
    joining.max_participants = added.most.unwrap_or(joining.max_participants);
    let coming = coming(gateway, name);
    if let Some(sid) = added.coached.as_deref().filter(|_| !is_agent) {
        let report = conference_live(gateway, name);
        let is_there = report.is_some_and(|report| report.parties.iter().any(|party| party.member.call_sid() == sid));
        if is_there || coming.iter().any(|one| one.call == sid) {
            joining.coached = None;
        }
    }
    conferences.may_join(name, &joining)?;
    match added.label.is_some() && coming.iter().any(|one| one.added.label == added.label) {
        true => Err(NotJoined::Refused(Refusal::LabelTaken)),
        false => Ok(()),
    }
}

/// Why a request about a conference is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConferenceRefused {
    /// No conference of this SID or name goes on, or it has no such party.
    Unknown,
    /// The call that the party is to coach is not in the conference.
    NoneToCoach,
    /// As many announcements as may be are heard or wait.
    TooManyAnnouncements,
}

/// An announcement that a request asks for.
#[derive(Debug, Clone)]
pub struct AnnounceRequest {
    /// URL of an audio file or a document.
    pub url: String,
    /// Method of the request.
    pub method: WebhookMethod,
    /// Application whose rules hold for its requests.
    pub app: Arc<App>,
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

    /// Ends a conference; its parties go on behind it, and calls that are made for it end.
    ///
    /// # Errors
    /// There is none of this SID.
    pub fn end(&mut self, now: Instant, conference: &str) -> Result<(), ConferenceRefused> {
        let coming = coming(self.gateway, conference);
        let date = self.gateway.edge.date(now);
        if !self.gateway.edge.sessions_mut().conferences.end(conference, date) {
            return Err(ConferenceRefused::Unknown);
        }
        self.gateway.settle(now);
        for one in coming {
            self.gateway.handle_input(now, Input::Control(Control::Hangup { sid: one.call }));
        }
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
        let conferences = &mut self.gateway.edge.sessions_mut().conferences;
        let changed = conferences.act(room, |room| room.change(id, changes)).ok_or(ConferenceRefused::Unknown)?;
        changed.map_err(|_| ConferenceRefused::NoneToCoach)?;
        let report = conferences.report_of(room);
        self.gateway.settle(now);
        let parties = report.map(|report| report.parties).unwrap_or_default();
        parties.into_iter().find(|party| party.member.id() == id).ok_or(ConferenceRefused::Unknown)
    }

    /// Has all parties of a conference hear an announcement, or one.
    ///
    /// # Errors
    /// There is no such conference or party, or too many announcements wait.
    pub fn announce(
        &mut self,
        now: Instant,
        (conference, party): (&str, Option<&str>),
        request: AnnounceRequest,
    ) -> Result<(), ConferenceRefused> {
        let conferences = &mut self.gateway.edge.sessions_mut().conferences;
        let room = conferences.find(conference).ok_or(ConferenceRefused::Unknown)?;
        let report = conferences.report_of(room).ok_or(ConferenceRefused::Unknown)?;
        let to = party.map(|party| report.party(party).ok_or(ConferenceRefused::Unknown)).transpose()?;
        let member = to.map(|party| party.member.id());
        let location = Location::url(&request.url).map_err(|_| ConferenceRefused::Unknown)?;
        let id = conferences.act(room, |room| room.announce(member, &request.url)).flatten();
        let id = id.ok_or(ConferenceRefused::TooManyAnnouncements)?;
        let call = to.or(report.parties.first()).map(|party| party.member.call_sid().to_owned()).unwrap_or_default();
        let named = [
            ("AccountSid", self.gateway.edge.config().account_sid.clone()),
            ("ConferenceSid", report.sid.clone()),
            ("FriendlyName", report.name.clone()),
        ];
        let of_party = to.map(|party| ("CallSid", party.member.call_sid().to_owned()));
        let parameters = named.into_iter().chain(of_party).map(|(name, value)| (name.to_owned(), value)).collect();
        let source = (location, webhooks::method_of(request.method));
        let app = request.app;
        self.gateway.announcements.add(Announcement { room, id, member, call, app, source, parameters });
        self.gateway.settle(now);
        Ok(())
    }

    /// Takes a party out; its call goes on behind the conference. The call of one that has not joined yet is ended.
    ///
    /// # Errors
    /// There is no such party.
    pub fn remove(&mut self, now: Instant, conference: &str, party: &str) -> Result<(), ConferenceRefused> {
        let Ok((room, id)) = self.find(conference, party) else { return self.give_up(now, conference, party) };
        let conferences = &mut self.gateway.edge.sessions_mut().conferences;
        conferences.act(room, |room| room.leave(now, id, Departure::Removed));
        self.gateway.settle(now);
        Ok(())
    }

    /// Ends the call of a party that has not joined yet.
    fn give_up(&mut self, now: Instant, conference: &str, party: &str) -> Result<(), ConferenceRefused> {
        let mut coming = coming(self.gateway, conference).into_iter();
        let found = coming.find(|one| one.call == party || one.added.label.as_deref() == Some(party));
        let call = found.ok_or(ConferenceRefused::Unknown)?.call;
        self.gateway.handle_input(now, Input::Control(Control::Hangup { sid: call }));
        Ok(())
    }

    /// Pauses, resumes or ends a recording of a conference: that of a SID, or the newest that is being made. Returns its SID;
    /// `None` where the conference is over or makes no such recording.
    pub fn change_recording(
        &mut self,
        now: Instant,
        (conference, recording): (&str, Option<&str>),
        change: RecordingChange,
    ) -> Option<String> {
        let conferences = &mut self.gateway.edge.sessions_mut().conferences;
        let room = conferences.find(conference)?;
        let changed = match change {
            RecordingChange::Pause(pause) => conferences.pause_recording(room, recording, Some(pause)),
            RecordingChange::Resume => conferences.pause_recording(room, recording, None),
            RecordingChange::Stop => conferences.stop_recording(room, recording),
        };
        self.gateway.settle(now);
        changed
    }

    fn find(&self, conference: &str, party: &str) -> Result<(RoomId, MemberId), ConferenceRefused> {
        let conferences = &self.gateway.edge.sessions().conferences;
        let found = conferences.find(conference).and_then(|room| Some((room, conferences.report_of(room)?)));
        let (room, report) = found.ok_or(ConferenceRefused::Unknown)?;
        let found = report.party(party).ok_or(ConferenceRefused::Unknown)?;
        Ok((room, found.member.id()))
    }
}

/// Returns the number of conferences that go on, and that of their parties.
pub fn conferences_live(gateway: &Gateway) -> [usize; 2] {
    let conferences = &gateway.edge.sessions().conferences;
    [conferences.len(), conferences.parties()]
}

/// Returns the conference that is known under a SID.
pub fn conference(gateway: &Gateway, sid: &str) -> Option<ConferenceReport> {
    gateway.edge.sessions().conferences.report(sid)
}

/// Returns the conference of a SID or name that is not over.
pub fn conference_live(gateway: &Gateway, sid_or_name: &str) -> Option<ConferenceReport> {
    gateway.edge.sessions().conferences.report_live(sid_or_name)
}

/// Returns all conferences that are known, the newest first.
pub fn conferences(gateway: &Gateway) -> Vec<ConferenceReport> {
    gateway.edge.sessions().conferences.reports()
}
