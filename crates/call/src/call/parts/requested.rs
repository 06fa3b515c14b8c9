//! Calls that begin with a request over HTTP instead of an INVITE.
//!
//! Leg 0 stands for the request: it has no remote party and no media. The called party is searched for as any target is, and is offered what
//! its trunk and the edge support. Once it answers, it is the near leg of the call, and the targets of the request (an application, an agent,
//! another party) are tried as for a caller that has been answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_conference::CallStatus;
use trunkgate_media::MediaId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::deadlines::Timer;
use trunkgate_resources::lookups::key::{Branch, CallKey, LegId};
use trunkgate_resources::recordings::RecordingRequest;
use trunkgate_route::{App, Numbers, Target, TargetSpec};
use trunkgate_sip::Message;
use trunkgate_story::change::Happening;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::redact;
use trunkgate_twiml::Secret;

use crate::call::legs::caller_id::Hops;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::recorders::detection::{self, DetectionRequest};
use crate::call::recorders::recording;
use crate::call::search::controller::{Controller, TargetResult};
use crate::call::shared::{Cx, Facts};
use crate::call::words::answer::{FinalAnswer, bad_media};
use crate::call::words::refused::Refused;
use crate::call::words::state::State;
use crate::call::words::target;
use crate::call::{Call, Parts};

/// Name of a requested call's route in views, records and metrics.
const ROUTE: &str = "api";
/// Name of leg 0 in ladders and verdicts.
const LEG: &str = "API";

/// A request for a call.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// Calling number, as the called party is shown it.
    pub from: String,
    /// Called number or SIP address; it is shown without its password.
    pub to: String,
    /// Targets by which the called party is reached, in order.
    pub targets: Vec<TargetSpec>,
    /// Names and values of further headers of the INVITE to a SIP address.
    pub headers: Vec<(String, String)>,
    /// Targets that the party is connected with once it has answered, in order.
    pub onward: Vec<Onward>,
    /// Maximum time that the party may ring.
    pub ring_timeout: Duration,
    /// Maximum time from the answer on; zero: no limit.
    pub time_limit: Duration,
    /// Digits that the party is sent once it has answered, before its application begins.
    pub digits: Option<Secret>,
    /// Recording that begins with the answer.
    pub record: Option<RecordingRequest>,
    /// The conference that the party is called for.
    pub participant: Option<Box<Added>>,
    /// Detection of who has answered.
    pub detection: Option<Box<DetectionRequest>>,
}

/// A party that is called for a conference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// SID or name of the conference.
    pub conference: String,
    /// Label of the party.
    pub label: Option<String>,
    /// SID of the call that it is to coach.
    pub coached: Option<String>,
    /// Whether it joins muted.
    pub is_muted: bool,
    /// Whether the conference may start with it.
    pub starts: bool,
    /// Whether the conference ends when it leaves.
    pub ends: bool,
    /// Most parties of the conference; `None`: as many as may be.
    pub most: Option<usize>,
}

impl Added {
    /// Returns it with the defaults of a party; `conference`: a SID or name.
    pub fn new(conference: &str) -> Added {
        Added {
            conference: conference.to_owned(),
            label: None,
            coached: None,
            is_muted: false,
            starts: true,
            ends: false,
            most: None,
        }
    }
}

/// A target of a party that has answered.
#[derive(Debug, Clone)]
pub enum Onward {
    /// A target of the configuration.
    Target(TargetSpec),
    /// An application that was made for this call.
    App(Arc<App>),
}

/// The part of a call's state that requested calls have beyond others.
#[derive(Debug, Default)]
pub(crate) struct Requested {
    /// Targets of the party once it has answered.
    onward: Vec<Target>,
    /// Digits that it is sent first.
    pub(crate) digits: Option<Secret>,
    /// Longest time from the answer on; zero: no limit.
    time_limit: Duration,
    /// The leg of the party, once it has answered.
    pub(crate) party: Option<LegId>,
    /// Time of the answer.
    since: Option<Instant>,
    /// Recording that begins with the answer.
    record: Option<RecordingRequest>,
    /// The conference that the party is called for, until it joins.
    pub(crate) participant: Option<Box<Added>>,
    /// Words of the conference at the other side of the call, as the answer brings them.
    pub(crate) linked: Hops,
    /// SID of the recording that has begun.
    pub(crate) recording: Option<String>,
    /// Detection that begins with the answer.
    detection: Option<Box<DetectionRequest>>,
    /// SID of the call that had dialled the party before it got a call of its own.
    pub(crate) parent: Option<Box<str>>,
}

/// The same of an answered call in plain data.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RequestedSnapshot {
    limit_ms: u64,
    talked_ms: u64,
    #[serde(default)]
    recording: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<Box<str>>,
}

/// Reads a target of a requested call: `app:NAME`, or one that a transfer may name; `None` for anything else. Whether it exists, the table
/// knows.
pub fn named_target(text: &str, numbers: &Numbers) -> Option<TargetSpec> {
    match text.split_once(':') {
        Some(("app", name)) => Some(TargetSpec::App(name.to_owned())),
        Some(("conference", name))
            if (1..=trunkgate_conference::limits::NAME_CHARS).contains(&name.chars().count()) =>
        {
            Some(TargetSpec::Conference(name.to_owned()))
        }
        _ => target::target(text, numbers),
    }
}

impl Requested {
    /// Makes the request that stands for a party which has left the call that had dialled it, `parent`; `since`: the time
    /// of its answer; `limit`: the maximum time from then on.
    pub(crate) fn of_detached(
        parent: Box<str>,
        party: LegId,
        since: Option<Instant>,
        limit: Option<Duration>,
    ) -> Requested {
        let time_limit = limit.unwrap_or_default();
        Requested { parent: Some(parent), party: Some(party), since, time_limit, ..Requested::default() }
    }

    /// Puts a target in place of those of the party.
    pub(crate) fn put_onward(&mut self, target: Target) {
        self.onward = vec![target];
    }

    /// Forgets that the party is called for a conference, which is returned.
    pub(crate) fn comes_no_longer(&mut self, now: Instant, edge: &mut Edge, key: CallKey) -> Option<Box<Added>> {
        let added = self.participant.take()?;
        let date = edge.date(now);
        edge.sessions_mut().conferences.expect_no_longer(key, date);
        Some(added)
    }

    /// Takes the words of the conference that answers the call.
    pub(crate) fn take_linked(&mut self, message: &Message) {
        if self.participant.is_some() && self.party.is_none() && !message.is_request() {
            self.linked = Hops::of(message);
        }
    }

    /// Writes it down.
    pub(crate) fn snapshot(&self, now: Instant) -> RequestedSnapshot {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let talked = self.since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        let (limit_ms, talked_ms) = (millis(self.time_limit), millis(talked));
        RequestedSnapshot { limit_ms, talked_ms, recording: self.recording.clone(), parent: self.parent.clone() }
    }
}

impl RequestedSnapshot {
    /// Returns it again; the party is the first leg of a restored call.
    pub(crate) fn restore(self, now: Instant) -> Requested {
        Requested {
            time_limit: Duration::from_millis(self.limit_ms),
            recording: self.recording,
            parent: self.parent,
            party: Some(LegId::CALLER),
            since: now.checked_sub(Duration::from_millis(self.talked_ms)),
            ..Requested::default()
        }
    }
}

/// Makes a requested call, entered in the look-ups; `onward`: the targets of the party once it has answered.
pub(crate) fn requested_call(
    now: Instant,
    edge: &mut Edge,
    key: CallKey,
    request: &CallRequest,
    onward: Vec<Target>,
) -> Call {
    let sid = edge.random_mut().sid();
    let numbers = edge.numbers();
    let number = numbers.normalise_caller(&request.from, None);
    let called = numbers.normalise_caller(&redact::sip_uri(&request.to), None);
    let conferences = &edge.sessions().conferences;
    let words =
        request.participant.as_ref().map(|added| conferences.hops_onward(edge.random().hop_key, &added.conference));
    let facts = Facts {
        hops: Hops { words: words.unwrap_or_default() },
        ring_timeout: Some(request.ring_timeout),
        ..Facts::of_request(number, called, Arc::from(ROUTE))
    };
    let date = edge.date(now);
    let expected = request.participant.as_deref().map(|added| {
        let conference = edge.expect_conference(key, &added.conference, date);
        Box::new(Added { conference, ..added.clone() })
    });
    let (mut call, _) = begin_call(now, edge, key, sid, facts, None);
    call.shared.requested = Some(Box::new(Requested {
        onward,
        digits: request.digits.clone(),
        time_limit: request.time_limit,
        record: request.record.clone(),
        participant: expected,
        detection: request.detection.clone(),
        ..Requested::default()
    }));
    call
}

/// Begins a call in which a request stands in the place of a caller, entered in the look-ups; `beside`: the media session that an end of its
/// party comes from. Returns it with its own session.
pub(crate) fn begin_call(
    now: Instant,
    edge: &mut Edge,
    key: CallKey,
    sid: String,
    facts: Facts,
    beside: Option<MediaId>,
) -> (Call, MediaId) {
    edge.index_mut().sids.insert(sid.clone(), key);
    edge.begin_trace(now, key, &sid);
    let mut call = Call::begun(now, edge, key, facts, Leg::of_request(sid, LEG));
    let session = edge.open_session(key, beside);
    call.shared.session = Some(session);
    (call, session)
}

/// Acts on a requested call: its beginning, the answer of its party, its end by its limit or by an operator before the answer.
pub(crate) struct Originator<'p> {
    parts: &'p mut Parts,
}

impl<'p> Originator<'p> {
    /// Acts on the parts of a call.
    pub(crate) fn of(parts: &'p mut Parts) -> Originator<'p> {
        Originator { parts }
    }

    /// Calls the party of a requested call.
    pub(crate) fn begin(&mut self, cx: &mut Cx<'_>, targets: Vec<Target>) {
        let (from, to) = (
            cx.edge.shown(&cx.call.facts.caller.shown()),
            cx.edge.shown(&plain(&cx.call.facts.called.text, NUMBER_CHARS)),
        );
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, format!("call from {from} to {to} requested"), None);
        cx.edge.decide(cx.now, cx.call.key, "requested over HTTP");
        if cx.edge.numbers().is_emergency(&cx.call.facts.called) {
            cx.edge.decide(cx.now, cx.call.key, "emergency call: exempt from limits");
        }
        let first = cx.call.requested.as_ref().and_then(|requested| requested.onward.first());
        if let Some(Target::App(app)) = first.cloned() {
            self.parts.program.reports.begin(cx, &app);
        }
        self.parts.search.controller = Controller::plan_of(targets);
        self.parts.advance(cx, None);
    }

    /// The party of a requested call has answered: it talks with the edge, then with the targets of the request.
    pub(crate) fn party_answered(&mut self, cx: &mut Cx<'_>, branch: Branch, leg: LegId, sdp: Option<&[u8]>) {
        cx.call.legs.near = leg;
        let agreed = match sdp {
            Some(sdp) => self.parts.bridge.late_answer_locally(cx, sdp),
            None => Err(bad_media("2xx without session description")),
        };
        if let Err(failure) = agreed {
            cx.call.legs.near = LegId::CALLER;
            cx.call.enter(State::Searching);
            self.parts.bridge.media.hang_up_leg(cx, leg, failure.reason);
            return self.parts.fail_target(cx, branch, TargetResult::Failed(failure));
        }
        self.parts.search.won(cx, &mut self.parts.bridge, leg);
        cx.trunk_answered(leg);
        self.answered(cx, leg);
    }

    /// The party of a requested call is an agent, whose stream is open.
    pub(crate) fn agent_answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        cx.call.legs.near = leg;
        self.parts.search.won(cx, &mut self.parts.bridge, leg);
        self.parts.bridge.media.limit_call(cx, leg);
        self.answered(cx, leg);
    }

    fn answered(&mut self, cx: &mut Cx<'_>, leg: LegId) {
        cx.call.legs.answered_by = Some(leg);
        cx.call.legs.completed(cx.edge);
        cx.call.legs[LegId::CALLER].enter(LegState::Ended);
        cx.call.enter(State::Rerouting);
        cx.call.times.answered = Some(cx.edge.date(cx.now));
        cx.begin_series();
        let age = cx.call.age(cx.now);
        cx.edge.metrics_mut().call_setup_seconds.observe(age.as_secs_f64());
        let (name, after) = (cx.call.legs.name_of(leg), age.as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("answered by {name} after {after:.1} s"));
        let line = format!("answered by {} after {after:.1} s", cx.edge.shown_name(&name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, None);
        cx.edge.changed(cx.call.change(Happening::CallAnswered));
        self.parts.search.settle(cx.call, &mut self.parts.bridge);
        let Some(requested) = &mut cx.call.requested else { return };
        (requested.party, requested.since) = (Some(leg), Some(cx.now));
        let onward = std::mem::take(&mut requested.onward);
        let (record, detection) = (requested.record.take(), requested.detection.take());
        cx.call.facts.ring_timeout = None;
        arm_time_limit(cx);
        if let Some(record) = record {
            let media = &self.parts.bridge.media;
            let recording = recording::begin_unasked(media, cx, record, "the request asks for");
            cx.call.requested.iter_mut().for_each(|requested| requested.recording.clone_from(&recording));
        }
        let app = onward.iter().find_map(|target| if let Target::App(app) = target { Some(app.clone()) } else { None });
        self.parts.search.controller = Controller::plan_of(onward);
        let media = &mut self.parts.bridge.media;
        let waits = detection.is_some_and(|wanted| detection::begin_requested(media, cx, leg, *wanted, app));
        if !waits {
            self.parts.search_on(cx);
        }
    }

    /// Forgets that the party is called for a conference, which is returned.
    pub(crate) fn comes_no_longer(cx: &mut Cx<'_>) -> Option<Box<Added>> {
        cx.call.requested.as_mut()?.comes_no_longer(cx.now, cx.edge, cx.call.key)
    }

    /// The call is over: where its party was called for a conference and has not joined, the conference reports it.
    pub(crate) fn over(cx: &mut Cx<'_>) {
        let Some(added) = Originator::comes_no_longer(cx) else { return };
        let status = cx.call.ending.map_or("failed", |ending| ending.status_of_unanswered());
        let is_answered = cx.call.times.answered.is_some();
        let status = if is_answered { CallStatus::Failed } else { CallStatus::of_unanswered(status) };
        cx.edge.sessions_mut().conferences.add_failed(
            &added.conference,
            cx.call.legs.sid(),
            added.label.as_deref(),
            status,
        );
    }

    /// A call has lasted for as long as a request allows.
    pub(crate) fn time_limit_over(&mut self, cx: &mut Cx<'_>) {
        cx.call.deadlines.remove(Timer::TimeLimit);
        cx.edge.decide(cx.now, cx.call.key, "the time limit of the request has passed");
        self.parts.end(cx, ReasonSlug::TimeLimit);
    }

    /// An operator ends the call before its answer.
    pub(crate) fn ended_by_operator(&mut self, cx: &mut Cx<'_>, reason: ReasonSlug) {
        // A requested call has no caller that would hear of a failure of the edge.
        let code = if cx.call.requested.is_some() { 487 } else { 503 };
        self.parts.refuse(cx, &FinalAnswer::new(code, reason));
    }
}

/// Has a call end so long after its answer, one with a caller too.
///
/// # Errors
/// It is not answered, and no request has begun it.
pub(crate) fn limit(cx: &mut Cx<'_>, limit: Duration) -> Result<(), Refused> {
    if let Some(requested) = &mut cx.call.requested {
        requested.time_limit = limit;
        if requested.since.is_some() {
            arm_time_limit(cx);
        }
        return Ok(());
    }
    let answered = cx.call.times.answered.ok_or(Refused::NotAnswered)?;
    let talked = cx.edge.date(cx.now).duration_since(answered).unwrap_or_default();
    cx.arm_left(Timer::TimeLimit, limit.saturating_sub(talked));
    Ok(())
}

/// Has a requested call end when its time is over.
pub(crate) fn arm_time_limit(cx: &mut Cx<'_>) {
    let Some(requested) = &cx.call.requested else { return };
    let talked = requested.since.map(|since| cx.now.saturating_duration_since(since)).unwrap_or_default();
    let limit = requested.time_limit;
    if !limit.is_zero() {
        cx.arm_left(Timer::TimeLimit, limit.saturating_sub(talked));
    }
}
