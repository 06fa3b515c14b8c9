//! Conferences of the edge: effects of their changes on the calls of their parties and on the edge.

use std::time::{Instant, SystemTime};

use serde::{Deserialize, Serialize};
use trunkgate_conference::{JoinRejection, JoinRequest, NodeEvent, RoomId};
use trunkgate_media::RecordingId;
use trunkgate_resources::conferences::snapshot::ConferencesSnapshot;
use trunkgate_resources::conferences::{ConferenceEffect, ConferenceEvent, Conferences, NotJoined};
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::recordings::{InterruptedRecording, RecordingRequest};
use trunkgate_route::TargetSpec;

use crate::call::legs::event::{CallEvent, ProgramEvent};
use crate::call::legs::requested::ParticipantRequest;
use crate::call::media::coaching::Coaching;
use crate::call::parts::requested::CallRequest;
use crate::call::program::parameters;
use crate::call::shared::SharedCallState;
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::state::CallState;
use crate::gateway::announcements::AnnouncementsSnapshot;
use crate::gateway::{Gateway, queues};

/// Active conferences with their announcements as plain data.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConferenceStates {
    conferences: ConferencesSnapshot,
    announcements: AnnouncementsSnapshot,
}

impl ConferenceStates {
    /// Returns the conferences of a gateway in plain data.
    pub fn of(gateway: &Gateway, now: Instant) -> ConferenceStates {
        let Gateway { edge, announcements, .. } = gateway;
        let conferences = edge.sessions().conferences.snapshot(now);
        ConferenceStates { conferences, announcements: announcements.snapshot() }
    }

    /// Makes this a snapshot that a crashed process has left.
    pub fn outlive_crash(&mut self, gap: CrashGap) {
        self.conferences.outlive_crash(gap.age(), gap.margins());
    }

    /// Lists the recordings that have not ended: id and SID.
    pub(super) fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.conferences.recordings()
    }

    /// Lists the recordings that a crash has interrupted.
    pub(super) fn interrupted_recordings(&self) -> impl Iterator<Item = InterruptedRecording> {
        self.conferences.interrupted_recordings()
    }

    /// Restores the conferences, before the calls of their participants.
    pub(super) fn restore(self, gateway: &mut Gateway, now: Instant) {
        let ConferenceStates { conferences, announcements } = self;
        let edge = &mut gateway.edge;
        for (id, sid, call) in edge.sessions_mut().conferences.restore(now, conferences) {
            edge.resume_recording(id, &sid, &call);
        }
        gateway.announcements.restore(announcements);
    }
}

/// Removes participants that have reached their time limit or are lost after a restart, and carries out the effects of
/// changed conferences. Returns whether there were any effects.
pub(super) fn settle(gateway: &mut Gateway, now: Instant) -> bool {
    gateway.edge.sessions_mut().conferences.handle_timeout(now);
    settle_absent(gateway, now);
    let mut any = gateway.announcements.settle(&mut gateway.edge, now) | queues::settle(gateway, now);
    loop {
        let edge = &mut gateway.edge;
        let Some(due) = edge.poll_conferences(now) else { return any };
        any = true;
        match due {
            ConferenceEffect::Node(command) => edge.output(GatewayOutput::Conference(Box::new(command))),
            ConferenceEffect::Callback(callback) => edge.call_back(callback),
            ConferenceEffect::Call(key, news) => {
                gateway.tell(now, key, CallEvent::Program(ProgramEvent::Conference(news)))
            }
            ConferenceEffect::Ended(report) => edge.output(GatewayOutput::ConferenceEnded(report)),
            ConferenceEffect::Record(room, call, request) => record(gateway, now, room, (&call, *request)),
        }
    }
}

/// Removes participants whose calls have not continued after a restart.
fn settle_absent(gateway: &mut Gateway, now: Instant) {
    let Gateway { edge, calls, .. } = gateway;
    let is_live = |sid: &str| {
        let call = edge.index().sids.get(sid).and_then(|key| calls.get(key));
        call.is_some_and(|call| call.shared.state != CallState::Ended)
    };
    let absent = edge.sessions().conferences.absent_calls();
    let lost: Vec<String> = absent.filter(|sid| !is_live(sid)).map(str::to_owned).collect();
    lost.iter().for_each(|sid| edge.sessions_mut().conferences.leave_absent(now, sid));
}

/// Handles an event of the mixers.
pub(super) fn take(gateway: &mut Gateway, now: Instant, event: NodeEvent) {
    if let NodeEvent::ClipEnded(clip) = event {
        gateway.announcements.clip_ended(&mut gateway.edge, now, clip);
    } else if let Some(key) = Coaching::lost(event) {
        gateway.tell(now, key, CallEvent::Program(ProgramEvent::Conference(ConferenceEvent::Lost)));
    } else {
        gateway.edge.sessions_mut().queues.take(now, event);
        gateway.edge.sessions_mut().conferences.handle_mixer_event(event);
    }
}

/// Returns the time of the next timeout of a conference or queue: a participant reaches its time limit, or an
/// announcement continues.
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
    /// SID of the party's call.
    pub call: String,
    /// Settings with which the party joins.
    pub added: ParticipantRequest,
    /// Start of the party's call.
    pub began: SystemTime,
    /// `queued`, `ringing`, or `connecting` once the party has answered.
    pub status: &'static str,
}

/// Returns the parties being called for a conference with this SID or name, by the start of their calls.
pub fn coming(gateway: &Gateway, conference: &str) -> Vec<ComingReport> {
    let conferences = &gateway.edge.sessions().conferences;
    let report = |call: &SharedCallState| {
        let added = call.origin.as_ref()?.participant()?;
        let is_coming = call.state != CallState::Ended && conferences.are_same(&added.conference, conference);
        let status = match parameters::status_of(call) {
            status @ ("queued" | "ringing") => status,
            _ => "connecting",
        };
        let (call, began) = (call.legs.sid().to_owned(), gateway.edge.wall().at(call.times.began));
        is_coming.then(|| ComingReport { call, added: added.clone(), began, status })
    };
    gateway.calls.values().filter_map(|call| report(&call.shared)).collect()
}

/// Checks whether the party of a requested call could join its conference in its current state.
///
/// # Errors
/// The conference refuses the party, or a party that is being called has the same label. The party of `coached` may
/// still be on its way.
pub(super) fn judge(gateway: &Gateway, request: &CallRequest) -> Result<(), NotJoined> {
    let Some(added) = request.participant.as_deref() else { return Ok(()) };
    let is_agent = request.targets.iter().all(|target| matches!(target, TargetSpec::Agent(_)));
    let conferences = &gateway.edge.sessions().conferences;
    let name = &*added.conference;
    let mut joining =
        JoinRequest { label: added.label.clone(), coached: added.coached.clone(), ..JoinRequest::new("") };
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
        true => Err(NotJoined::Refused(JoinRejection::LabelTaken)),
        false => Ok(()),
    }
}

/// Returns the number of active conferences, and of their parties.
pub fn conferences_live(gateway: &Gateway) -> [usize; 2] {
    let conferences = conferences(gateway);
    [conferences.len(), conferences.parties()]
}

/// Returns the conferences of the edge: active ones, and ended ones that are still known.
pub fn conferences(gateway: &Gateway) -> &Conferences {
    &gateway.edge.sessions().conferences
}
