//! Parties that leave the Dial that called them: an HTTP request gives them a document, and they continue in a call of
//! their own.
//!
//! The party keeps its dialog, its media ends and its SID, and notices no change. For the call that it leaves, it has
//! hung up. Its own call looks like a requested call that its party has answered: leg 0 stands for the request.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use trunkgate_media::MediaId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::lookups::index::LegRef;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_resources::trunks::quotas::CallNumbers;
use trunkgate_route::{App, CallTarget, Number, StatusCallback};
use trunkgate_story::change::EdgeEventKind;
use trunkgate_story::numbers::Caller;

use crate::call::legs::leg::{Leg, LegState, StreamEnd};
use crate::call::legs::requested::RequestOrigin;
use crate::call::parts::Call;
use crate::call::parts::requested::{PendingCallRequest, begin_call};
use crate::call::program::CallProgram;
use crate::call::program::callback::{CallReports, CallStage};
use crate::call::program::effects::LowerParts;
use crate::call::search::controller::Controller;
use crate::call::shared::{CallCx, CallFacts, SharedCallState, ShownCallerId};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;
use crate::call::words::uri::number_of_uri;
use crate::call::words::webhooks;

/// Request for a separate call of a party.
#[derive(Debug, Clone)]
pub struct DetachRequest {
    /// Application with its first document.
    pub app: Arc<App>,
    /// Application that gets the reports of the call's end, instead of the receiver named by the Dial.
    pub receiver: Option<Arc<App>>,
    /// Maximum time from the party's answer on.
    pub limit: Option<Duration>,
}

impl From<Arc<App>> for DetachRequest {
    fn from(app: Arc<App>) -> DetachRequest {
        DetachRequest { app, receiver: None, limit: None }
    }
}

/// Party that has left one call and does not have its own call yet.
#[derive(Debug)]
pub(crate) struct DetachedParty {
    /// SID of the party, which becomes the SID of its own call.
    sid: String,
    /// SID of the call that the party leaves.
    parent: Box<str>,
    /// Leg of the party in the call that it leaves.
    from: LegRef,
    /// Media session of the call that the party leaves.
    media: MediaId,
    leg: Leg,
    counted: CountedNumbers,
    facts: CallFacts,
    began: SystemTime,
    answered: SystemTime,
    /// Receiver of the report of the call's end.
    reports: CallReports,
}

/// Numbers with which a party counts towards the per-number limits of its trunk.
#[derive(Debug)]
struct CountedNumbers {
    /// Spellings of the called number.
    called: Vec<String>,
    caller: String,
    may_reach_emergency: bool,
}

impl CountedNumbers {
    /// Returns the numbers of a party that was dialled by `to`, a number or URI.
    fn of(cx: &CallCx<'_>, leg: LegId, to: &str) -> CountedNumbers {
        let numbers = cx.edge.numbers();
        let called = number_of_uri(to, numbers).unwrap_or_else(|| numbers.normalise_caller(to, None));
        let trunk = cx.call.legs[leg].limited_by();
        CountedNumbers {
            called: trunk.map(|trunk| numbers.spellings(&called, trunk.send_numbers)).unwrap_or_default(),
            caller: cx.call.number_of(cx.call.legs.near).text.clone(),
            may_reach_emergency: trunk.is_some_and(|trunk| trunk.may_reach_emergency(numbers, &called)),
        }
    }

    /// Moves a party's counts from one call to another.
    fn pass_on(&self, edge: &mut Edge, trunk: &str, (from, to): (CallKey, CallKey)) {
        let call = CallNumbers { called: &self.called, caller: &self.caller };
        edge.quotas_mut().pass_on(trunk, call, (from, to));
        if self.may_reach_emergency {
            edge.admission_mut().emergencies.pass_on(from, to);
        }
    }
}

impl DetachedParty {
    /// Takes a party out of its call. The party is connected with the caller of a Dial, or hears the document of its
    /// Number. Afterwards the old call must handle the party's departure.
    ///
    /// # Errors
    /// The party is not connected, no application has dialled it, its session is being changed, or one of the two sides
    /// cannot hear the edge. Nothing changes then.
    pub(crate) fn take(
        program: &mut CallProgram,
        cx: &mut CallCx<'_>,
        lower: &mut LowerParts<'_>,
        sid: &str,
    ) -> Result<DetachedParty, RequestRefusal> {
        let leg = detachable(program, cx, lower, sid)?;
        let media = cx.call.session.ok_or(RequestRefusal::Internal)?;
        program.drop_whisper(cx, lower);
        let (of_dial, party) = program.dialled_party(leg).ok_or(RequestRefusal::NotDialled)?;
        let to = party.to().to_owned();
        let reports = party.hand_over_reports().map(|(receiver, reports)| {
            let (url, method) = (receiver.url, webhooks::method(receiver.method));
            let events =
                StatusCallback { url, method, initiated: false, ringing: false, answered: false, completed: true };
            let app = App { status_callback: Some(events), is_made: true, ..App::clone(of_dial) };
            CallReports::to(&Arc::new(app), reports, CallStage::Answered)
        });
        let reports = reports.unwrap_or_default();
        let times = cx.call.legs[leg].sip.dialled.as_ref().map(|dialled| dialled.times());
        let (began, answered) = times.unwrap_or((cx.call.times.started, None));
        let caller = caller_for_all(cx.call);
        let called = cx.edge.numbers().normalise_caller(&to, None);
        let mut facts = CallFacts::of_request(caller.number, called, cx.call.facts.route.clone());
        facts.caller.anonymous = caller.anonymous;
        let counted = CountedNumbers::of(cx, leg, &to);
        lower.bridge.media.end_holds(cx);
        lower.bridge.media.part(cx, [cx.call.legs.near, leg]);
        let name = cx.call.legs.name_of(leg);
        cx.edge.decide(cx.now, cx.call.key, format!("{name} leaves for a document of its own, as requested"));
        let (from, parent) = (cx.call.legs.place(leg), cx.call.legs.sid().into());
        let answered = answered.unwrap_or_else(|| cx.edge.date(cx.now));
        let leg = lower.bridge.media.detach(cx, leg);
        let sid = sid.to_owned();
        Ok(DetachedParty { sid, parent, from, media, leg, counted, facts, began, answered, reports })
    }

    /// Creates the party's own call and enters it in the index: answered, with the application as its next target.
    pub(crate) fn into_call(self, now: Instant, edge: &mut Edge, key: CallKey, request: DetachRequest) -> Call {
        let DetachRequest { app, receiver, limit } = request;
        let DetachedParty { sid, parent, from, media, mut leg, counted, facts, began, answered, reports } = self;
        let (mut call, own) = begin_call(now, edge, key, sid, facts, Some(media));
        if let Some(trunk) = leg.limited_by() {
            counted.pass_on(edge, &trunk.name, (from.key, key));
        }
        let ends = std::mem::take(&mut leg.ends).into_iter().map(|end| moved(edge, (media, own), end)).collect();
        call.parts.program.reports = reports;
        (call.shared.times.started, call.shared.times.answered) = (began, Some(answered));
        call.shared.legs[LegId::CALLER].enter(LegState::Ended);
        call.shared.enter(CallState::Rerouting);
        let (parts, mut cx) = call.act(now, edge);
        let leg = cx.take_over(from, leg, ends);
        let talked = cx.edge.date(now).duration_since(answered).unwrap_or(Duration::ZERO);
        let decision = format!("dialled by the call {parent}, which it has left");
        cx.call.origin = Some(Box::new(RequestOrigin::answered(leg, Some(parent))));
        let requested = PendingCallRequest::of_detached(now.checked_sub(talked), limit);
        (cx.call.legs.near, cx.call.legs.answered_by) = (leg, Some(leg));
        parts.bridge.media.spoken = cx.call.legs.offer_of(leg).and_then(|(_, spoken)| spoken);
        parts.search.controller = Controller::plan_of(vec![CallTarget::App(app)]);
        cx.arm_sessions();
        if let Some(receiver) = &receiver {
            parts.program.reports.replace(&cx, receiver);
        }
        requested.arm_time_limit(&mut cx);
        parts.requested = Some(Box::new(requested));
        cx.begin_series();
        cx.edge.decide(now, key, decision);
        let (sid, name) = (cx.call.legs.sid().to_owned(), cx.edge.shown_name(&cx.call.legs.name_of(leg)));
        cx.edge.log(&sid, format!("{name} has a call of its own, as requested"), None);
        edge.admission_mut().begin(now, "");
        edge.output(GatewayOutput::Began(Box::new(call.view())));
        edge.changed(call.shared.change(EdgeEventKind::CallAnswered));
        call
    }
}

/// Returns the caller of the party's own call in a form that any party may see: without a caller ID that the Dial
/// restricted, and without a number that the caller withholds.
fn caller_for_all(call: &SharedCallState) -> Caller {
    let told = call.who(None, None);
    let is_for_all = |shown: &&ShownCallerId| !told.anonymous && !shown.is_private && !shown.is_client;
    match call.facts.shown_as.as_deref().filter(is_for_all) {
        Some(shown) => Caller { number: Number::clone(&shown.number), display: String::new(), anonymous: false },
        None => told,
    }
}

/// Returns the leg of a party that may leave.
///
/// # Errors
/// The call is not answered or has ended, the party is an agent or was not dialled by an application, its session is
/// changing, or the edge cannot transcode for both sides.
fn detachable(
    program: &CallProgram,
    cx: &CallCx<'_>,
    lower: &LowerParts<'_>,
    sid: &str,
) -> Result<LegId, RequestRefusal> {
    match cx.call.state {
        CallState::Leaving | CallState::Ended => return Err(RequestRefusal::CallEnded),
        CallState::Searching | CallState::Rerouting => return Err(RequestRefusal::NotAnswered),
        CallState::Answered => {}
    }
    let callee = cx.call.legs.callee.filter(|leg| cx.call.legs[*leg].sid == sid);
    let leg = callee.ok_or(RequestRefusal::NotAnswered)?;
    if cx.call.legs[leg].agent.is_some() {
        return Err(RequestRefusal::HasAgent);
    }
    if !program.has_dialled() {
        return Err(RequestRefusal::NotDialled);
    }
    if lower.bridge.negotiation.is_unsettled() || cx.call.legs[leg].timer.refresh.is_some() {
        return Err(RequestRefusal::Changing);
    }
    let hears = |leg: LegId| cx.call.legs.offer_of(leg).is_some_and(|(_, spoken)| spoken.is_some());
    if hears(leg) && hears(cx.call.legs.near) { Ok(leg) } else { Err(RequestRefusal::OtherAudio) }
}

/// Moves a media end to another media session.
fn moved(edge: &mut Edge, (from, to): (MediaId, MediaId), end: StreamEnd) -> StreamEnd {
    let Some((named, command)) = edge.sessions_mut().move_end(from, end.end, to) else { return end };
    edge.media(from, command);
    StreamEnd { end: named, ..end }
}
