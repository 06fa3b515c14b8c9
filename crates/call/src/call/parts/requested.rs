//! Calls that begin with a request over HTTP instead of an INVITE.
//!
//! Leg 0 stands for the request: it has no remote party and no media. The called party is searched for like any target,
//! and is offered the codecs that its trunk and the edge support. Once it answers, it is the near leg of the call, and
//! the targets of the request (an application, an agent, another party) are tried as for a caller that has been
//! answered.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_conference::CallStatus;
use trunkgate_media::MediaId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::NUMBER_CHARS;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_resources::recordings::RecordingRequest;
use trunkgate_route::{App, CallTarget, NumberingPlan, TargetSpec};
use trunkgate_story::change::EdgeEventKind;
use trunkgate_story::numbers::plain;
use trunkgate_story::redact;
use trunkgate_story::wall::millis;
use trunkgate_twiml::SensitiveText;

use crate::call::legs::caller_id::Hops;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::requested::{ParticipantRequest, RequestOrigin};
use crate::call::parts::{Call, CallParts};
use crate::call::program::effects::LowerParts;
use crate::call::recorders::detection::DetectionRequest;
use crate::call::search::controller::Controller;
use crate::call::shared::{CallCx, CallEffect, CallFacts};
use crate::call::words::answer::{TargetFailure, bad_media};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;
use crate::call::words::target;

/// Name of a requested call's route in views, records and metrics.
const ROUTE: &str = "api";
/// Name of leg 0 in ladders and verdicts.
const LEG: &str = "API";

/// A request for a call.
#[derive(Debug, Clone)]
pub struct CallRequest {
    /// Calling number that the called party is shown.
    pub from: String,
    /// Called number or SIP address; it is shown without its password.
    pub to: String,
    /// Targets by which the called party is reached, in order.
    pub targets: Vec<TargetSpec>,
    /// Names and values of additional headers for the INVITE to a SIP address.
    pub headers: Vec<(String, String)>,
    /// Targets with which the party is connected once it has answered, in order.
    pub onward: Vec<ConnectTarget>,
    /// Maximum time that the party may ring.
    pub ring_timeout: Duration,
    /// Maximum time from the answer on; zero: no limit.
    pub time_limit: Duration,
    /// Digits sent to the party once it has answered, before its application begins.
    pub digits: Option<SensitiveText>,
    /// Recording that begins with the answer.
    pub record: Option<RecordingRequest>,
    /// Conference that the party joins when it answers.
    pub participant: Option<Box<ParticipantRequest>>,
    /// Detection of a human or a machine at the answer.
    pub detection: Option<Box<DetectionRequest>>,
}

/// Target with which a party is connected once it has answered.
#[derive(Debug, Clone)]
pub enum ConnectTarget {
    /// Target named in the configuration.
    Target(TargetSpec),
    /// Application of the request, with its first document.
    App(Arc<App>),
}

/// Unfinished part of a call request.
#[derive(Debug, Default)]
pub(crate) struct PendingCallRequest {
    /// Targets of the party once it has answered.
    onward: Vec<CallTarget>,
    /// Digits sent to the party before its application begins.
    digits: Option<SensitiveText>,
    /// Maximum time from the answer on; zero: no limit.
    time_limit: Duration,
    /// Time of the answer.
    since: Option<Instant>,
    /// Recording that begins with the answer.
    record: Option<RecordingRequest>,
    /// SID of the recording that has begun.
    recording: Option<String>,
    /// Detection that begins with the answer.
    detection: Option<Box<DetectionRequest>>,
}

/// Parts of an answered call's request that still apply, in plain data. The work of the answer (targets, digits and
/// detection) and the conference that the party has joined are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CallRequestSnapshot {
    limit_ms: u64,
    talked_ms: u64,
    recording: Option<String>,
    parent: Option<Box<str>>,
}

/// Parses a target of a requested call: `app:NAME`, `conference:NAME`, or any target of a transfer; `None` for anything
/// else. Does not check that the target exists.
pub fn named_target(text: &str, numbers: &NumberingPlan) -> Option<TargetSpec> {
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

impl PendingCallRequest {
    /// Creates the request of a party that has left the call that dialled it. `since`: time of the party's answer;
    /// `limit`: maximum time from the answer on.
    pub(crate) fn of_detached(since: Option<Instant>, limit: Option<Duration>) -> PendingCallRequest {
        PendingCallRequest { since, time_limit: limit.unwrap_or_default(), ..PendingCallRequest::default() }
    }

    /// Replaces the targets of the party.
    pub(crate) fn put_onward(&mut self, target: CallTarget) {
        self.onward = vec![target];
    }

    /// Removes and returns the digits that are sent to the party before its application begins.
    pub(crate) fn take_digits(&mut self) -> Option<SensitiveText> {
        self.digits.take()
    }

    /// Returns the SID of the recording that began with the answer.
    pub(crate) fn recording(&self) -> Option<&str> {
        self.recording.as_deref()
    }

    /// Handles the answer of the party: connects it with the edge, then with the targets of the request.
    ///
    /// # Errors
    /// The session description is missing or cannot be used; the edge has hung up on the party.
    pub(crate) fn party_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        leg: LegId,
        sdp: Option<&[u8]>,
    ) -> Result<CallEffect, TargetFailure> {
        cx.call.legs.near = leg;
        let agreed = match sdp {
            Some(sdp) => lower.bridge.late_answer_locally(cx, sdp),
            None => Err(bad_media("2xx without session description")),
        };
        if let Err(failure) = agreed {
            cx.call.legs.near = LegId::CALLER;
            cx.call.enter(CallState::Searching);
            lower.bridge.media.hang_up_leg(cx, leg, failure.reason);
            return Err(failure);
        }
        lower.search.won(cx, lower.bridge, leg);
        cx.trunk_answered(leg);
        Ok(self.answered(cx, lower, leg))
    }

    /// Handles the opened WebSocket of an agent that is the called party.
    pub(crate) fn agent_answered(&mut self, cx: &mut CallCx<'_>, lower: &mut LowerParts<'_>, leg: LegId) -> CallEffect {
        cx.call.legs.near = leg;
        lower.search.won(cx, lower.bridge, leg);
        lower.bridge.media.limit_call(cx, leg);
        self.answered(cx, lower, leg)
    }

    fn answered(
        &mut self,
        cx: &mut CallCx<'_>,
        LowerParts { bridge, search, recorders }: &mut LowerParts<'_>,
        leg: LegId,
    ) -> CallEffect {
        cx.call.legs.answered_by = Some(leg);
        cx.call.legs.completed(cx.edge);
        cx.call.legs[LegId::CALLER].enter(LegState::Ended);
        cx.call.enter(CallState::Rerouting);
        cx.call.times.answered = Some(cx.edge.date(cx.now));
        cx.begin_series();
        let age = cx.call.age(cx.now);
        cx.edge.metrics_mut().call_setup_seconds.observe(age.as_secs_f64());
        let (name, after) = (cx.call.legs.name_of(leg), age.as_secs_f64());
        cx.edge.decide(cx.now, cx.call.key, format!("answered by {name} after {after:.1} s"));
        let line = format!("answered by {} after {after:.1} s", cx.edge.shown_name(&name));
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, line, None);
        cx.edge.changed(cx.call.change(EdgeEventKind::CallAnswered));
        search.settle(cx.call, bridge);
        cx.call.origin.iter_mut().for_each(|origin| origin.set_party(leg));
        self.since = Some(cx.now);
        let onward = std::mem::take(&mut self.onward);
        cx.call.facts.ring_timeout = None;
        self.arm_time_limit(cx);
        if let Some(record) = self.record.take() {
            let recordings = &mut recorders.recordings;
            self.recording = recordings.begin_unasked(cx, &mut bridge.media, record, "the request asks for");
        }
        let app =
            onward.iter().find_map(|target| if let CallTarget::App(app) = target { Some(app.clone()) } else { None });
        search.controller = Controller::plan_of(onward);
        let detection = self.detection.take();
        let (detections, media) = (&mut recorders.detections, &mut bridge.media);
        let waits = detection.is_some_and(|wanted| detections.begin_requested(cx, media, leg, *wanted, app));
        if waits { CallEffect::Stay } else { CallEffect::Search }
    }

    /// Returns the parts of an answered call's request that still apply, with its origin, in plain data.
    pub(crate) fn snapshot(&self, now: Instant, origin: &RequestOrigin) -> CallRequestSnapshot {
        let PendingCallRequest { time_limit, since, recording, onward: _, digits: _, record: _, detection: _ } = self;
        let talked = since.map(|since| now.saturating_duration_since(since)).unwrap_or_default();
        CallRequestSnapshot {
            limit_ms: millis(*time_limit),
            talked_ms: millis(talked),
            recording: recording.clone(),
            parent: origin.parent().map(Into::into),
        }
    }

    /// Restores the origin and the parts of the request that still apply; the party is the first leg of a restored
    /// call.
    pub(crate) fn restore(
        now: Instant,
        snapshot: CallRequestSnapshot,
    ) -> (Box<RequestOrigin>, Box<PendingCallRequest>) {
        let CallRequestSnapshot { limit_ms, talked_ms, recording, parent } = snapshot;
        let since = now.checked_sub(Duration::from_millis(talked_ms));
        let time_limit = Duration::from_millis(limit_ms);
        let requested = PendingCallRequest { time_limit, recording, since, ..PendingCallRequest::default() };
        (Box::new(RequestOrigin::answered(LegId::CALLER, parent)), Box::new(requested))
    }

    /// Starts the timer of the call's time limit.
    pub(crate) fn arm_time_limit(&self, cx: &mut CallCx<'_>) {
        let talked = self.since.map(|since| cx.now.saturating_duration_since(since)).unwrap_or_default();
        if !self.time_limit.is_zero() {
            cx.arm_left(CallTimer::TimeLimit, self.time_limit.saturating_sub(talked));
        }
    }
}

/// Creates a requested call and enters it in the index; `onward`: targets of the party once it has answered.
pub(crate) fn requested_call(
    now: Instant,
    edge: &mut Edge,
    key: CallKey,
    request: &CallRequest,
    onward: Vec<CallTarget>,
) -> Call {
    let sid = edge.random_mut().sid();
    let numbers = edge.numbers();
    let number = numbers.normalise_caller(&request.from, None);
    let called = numbers.normalise_caller(&redact::sip_uri(&request.to), None);
    let conferences = &edge.sessions().conferences;
    let words =
        request.participant.as_ref().map(|added| conferences.hops_onward(edge.random().hop_key, &added.conference));
    let facts = CallFacts {
        hops: Hops { words: words.unwrap_or_default() },
        ring_timeout: Some(request.ring_timeout),
        ..CallFacts::of_request(number, called, Arc::from(ROUTE))
    };
    let date = edge.date(now);
    let expected = request.participant.as_deref().map(|added| {
        let conference = edge.expect_conference(key, &added.conference, date);
        Box::new(ParticipantRequest { conference, ..added.clone() })
    });
    let (mut call, _) = begin_call(now, edge, key, sid, facts, None);
    call.shared.origin = Some(Box::new(RequestOrigin::new(expected)));
    call.parts.requested = Some(Box::new(PendingCallRequest {
        onward,
        digits: request.digits.clone(),
        time_limit: request.time_limit,
        record: request.record.clone(),
        detection: request.detection.clone(),
        ..PendingCallRequest::default()
    }));
    call
}

/// Creates a call in which a request stands for the caller, and enters it in the index. `beside`: media session from
/// which an end is moved. Returns the call and the id of its media session.
pub(crate) fn begin_call(
    now: Instant,
    edge: &mut Edge,
    key: CallKey,
    sid: String,
    facts: CallFacts,
    beside: Option<MediaId>,
) -> (Call, MediaId) {
    edge.index_mut().sids.insert(sid.clone(), key);
    edge.begin_trace(now, key, &sid);
    let mut call = Call::begun(now, edge, key, facts, Leg::of_request(sid, LEG));
    let session = edge.open_session(key, beside);
    call.shared.session = Some(session);
    (call, session)
}

/// Tries the targets by which the party of a requested call is reached.
pub(crate) fn begin(parts: &mut CallParts, cx: &mut CallCx<'_>, targets: Vec<CallTarget>) {
    let (from, to) =
        (cx.edge.shown(&cx.call.facts.caller.shown()), cx.edge.shown(&plain(&cx.call.facts.called.text, NUMBER_CHARS)));
    let sid = cx.call.legs.sid().to_owned();
    cx.edge.log(&sid, format!("call from {from} to {to} requested"), None);
    cx.edge.decide(cx.now, cx.call.key, "requested over HTTP");
    if cx.edge.numbers().is_emergency(&cx.call.facts.called) {
        cx.edge.decide(cx.now, cx.call.key, "emergency call: exempt from limits");
    }
    if let Some(CallTarget::App(app)) = parts.requested.as_ref().and_then(|requested| requested.onward.first()) {
        parts.program.reports.begin(cx, app);
    }
    parts.search.controller = Controller::plan_of(targets);
    parts.advance(cx, None);
}

/// Reports a party that has not joined the conference for which it was called, once the call is over.
pub(crate) fn over(cx: &mut CallCx<'_>) {
    let origin = cx.call.origin.as_mut();
    let Some(added) = origin.and_then(|origin| origin.comes_no_longer(cx.now, cx.edge, cx.call.key)) else { return };
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

/// Limits the time of a call from its answer on, also of a call with a caller. `requested`: the request that began the
/// call, if one did.
///
/// # Errors
/// [`RequestRefusal::NotAnswered`]: the call has a caller and is not answered.
pub(crate) fn limit(
    requested: Option<&mut PendingCallRequest>,
    cx: &mut CallCx<'_>,
    limit: Duration,
) -> Result<(), RequestRefusal> {
    if let Some(requested) = requested {
        requested.time_limit = limit;
        if requested.since.is_some() {
            requested.arm_time_limit(cx);
        }
        return Ok(());
    }
    let answered = cx.call.times.answered.ok_or(RequestRefusal::NotAnswered)?;
    let talked = cx.edge.date(cx.now).duration_since(answered).unwrap_or_default();
    cx.arm_left(CallTimer::TimeLimit, limit.saturating_sub(talked));
    Ok(())
}
