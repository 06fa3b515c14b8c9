//! Reports of a caller's own call to its application (`status_callback` of the configuration).

use std::sync::Arc;

use trunkgate_resources::app::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_route::App;
use trunkgate_story::wall::rfc2822;

use crate::call::callback::{CallStage, Callback};
use crate::call::program::{parameters, progress};
use crate::call::shared::{Cx, Shared};
use crate::call::words::answer::seen_code;

/// Has an application notified of the call from now on, unless another one is.
pub(crate) fn begin(cx: &mut Cx<'_>, app: &Arc<App>) {
    if cx.call.callback.is_some() {
        return;
    }
    let is_answered = cx.call.times.answered.is_some();
    let stage = if is_answered { CallStage::Answered } else { CallStage::Initiated };
    cx.call.callback = Callback::of(app, 0, stage);
    let Some(wanted) = app.status_callback.as_ref().filter(|_| !is_answered) else { return };
    if wanted.initiated {
        report(cx, "initiated", Vec::new());
    }
    // The caller of an application hears ringing at once.
    if cx.call.requested.is_none() {
        reach(cx, CallStage::Ringing);
    }
}

/// Has another receiver notified of the call from now on; reports go on with the next number.
pub(crate) fn replace(cx: &mut Cx<'_>, app: &Arc<App>) {
    let (reports, stage) = match &cx.call.callback {
        Some(current) => (current.reports, current.stage),
        None if cx.call.times.answered.is_some() => (0, CallStage::Answered),
        None => (0, CallStage::Ringing),
    };
    cx.call.callback = Callback::of(app, reports, stage);
}

/// Notifies of ringing and of the answer once they are there.
pub(crate) fn follow(cx: &mut Cx<'_>) {
    if cx.call.callback.is_none() {
        return;
    }
    if cx.call.times.first_ring.is_some() && cx.call.times.answered.is_none() {
        reach(cx, CallStage::Ringing);
    }
    if cx.call.times.answered.is_some() {
        reach(cx, CallStage::Answered);
    }
}

/// Notifies of a stage, unless it is known.
fn reach(cx: &mut Cx<'_>, stage: CallStage) {
    let Some(callback) = cx.call.callback.as_mut().filter(|known| known.stage < stage) else { return };
    callback.stage = stage;
    let Some(wanted) = &callback.app.status_callback else { return };
    let (is_wanted, status) = match stage {
        CallStage::Initiated => return,
        CallStage::Ringing => (wanted.ringing, "ringing"),
        CallStage::Answered => (wanted.answered, "in-progress"),
    };
    if is_wanted {
        report(cx, status, Vec::new());
    }
}

/// Notifies of the end of the call.
pub(crate) fn end(cx: &mut Cx<'_>) {
    follow(cx);
    let wants = |callback: &Callback| callback.app.status_callback.as_ref().is_some_and(|wanted| wanted.completed);
    if !cx.call.callback.as_deref().is_some_and(wants) {
        return;
    }
    let talked = cx.call.talked_seconds().unwrap_or_default().round();
    let mut further = vec![("CallDuration".to_owned(), talked.to_string())];
    let code = if cx.call.times.answered.is_some() { Some(200) } else { final_code(cx.call) };
    further.extend(code.map(|code| ("SipResponseCode".to_owned(), code.to_string())));
    let recording = cx.call.requested.as_ref().and_then(|requested| requested.recording.as_deref());
    if let Some((sid, links)) = recording.zip(cx.edge.sessions.recordings.links()) {
        further.push(("RecordingUrl".to_owned(), links.of(sid)));
        further.push(("RecordingSid".to_owned(), sid.to_owned()));
    }
    let status = parameters::status_of(cx.call);
    report(cx, status, further);
    cx.call.callback = None;
}

/// Returns the code that a call without an answer ended with. That of a requested call is what its party answered: there is no caller from whom
/// a code between the party and the edge would be kept.
fn final_code(call: &Shared) -> Option<u16> {
    let code = call.ending?.code;
    let said = call.legs.iter().filter(|leg| !leg.records()).filter_map(|leg| leg.said()).map(|said| said.code);
    said.rev().find(|said| call.requested.is_some() && seen_code(*said) == code).or(Some(code))
}

fn report(cx: &mut Cx<'_>, status: &'static str, further: Vec<(String, String)>) {
    let Some(callback) = &mut cx.call.callback else { return };
    let (app, number) = (callback.app.clone(), callback.reports);
    callback.reports += 1;
    let Some(receiver) = &app.status_callback else { return };
    let mut parameters = parameters::of_caller(cx.call, cx.edge, status);
    let timestamp = rfc2822(cx.edge.date(cx.now));
    parameters.extend(progress::of_report(timestamp, number));
    parameters.extend(further);
    let (place, method) = (AppPlace::Url(receiver.url.clone()), receiver.method);
    let request = DocumentRequest { place, method, purpose: "status", parameters };
    let call = cx.call.legs.sid().to_owned();
    let (about, name, allow_private) = (call.clone(), app.name.clone(), app.allow_private);
    cx.edge.call_back(AppCallback { call, about, app: name, allow_private, request });
}
