//! Conferences of the edge: what follows from a change in one, in the calls of its parties and beside them.

use std::time::{Instant, SystemTime};

use trunkgate_conference::{Joining, NodeEvent, Refusal, RoomId};
use trunkgate_resources::conferences::{ConferenceNews, Conferences, Due, NotJoined};
use trunkgate_resources::io::Output;
use trunkgate_resources::recordings::RecordingRequest;
use trunkgate_route::TargetSpec;

use crate::call::legs::event::{CallEvent, ProgramEvent};
use crate::call::legs::requested::Added;
use crate::call::media::coaching::Coaching;
use crate::call::parts::requested::CallRequest;
use crate::call::program::parameters;
use crate::call::shared::Shared;
use crate::call::words::state::State;
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
            Due::Call(key, news) => gateway.tell(now, key, CallEvent::Program(ProgramEvent::Conference(news))),
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
        gateway.tell(now, key, CallEvent::Program(ProgramEvent::Conference(ConferenceNews::Lost)));
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
        let added = call.origin.as_ref()?.participant()?;
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
        let report = conferences.report_live(name);
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

/// Returns the number of conferences that go on, and that of their parties.
pub fn conferences_live(gateway: &Gateway) -> [usize; 2] {
    let conferences = conferences(gateway);
    [conferences.len(), conferences.parties()]
}

/// Returns the conferences of the edge: those that go on, and those that are over and still known.
pub fn conferences(gateway: &Gateway) -> &Conferences {
    &gateway.edge.sessions().conferences
}
