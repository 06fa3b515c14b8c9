//! Reports of a caller's own call to its application (`status_callback` in the configuration).

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::edge::Edge;
use trunkgate_route::App;
use trunkgate_story::wall::rfc2822;

use crate::call::program::{ProgramRun, parameters, progress};
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::words::answer::seen_code;
use crate::call::words::crash_gap::CrashGap;

/// Stage of a call that is reported to an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CallStage {
    /// The call has begun.
    Initiated,
    /// The called party rings.
    Ringing,
    /// The call is answered.
    Answered,
}

/// Progress reports of a call to its application.
#[derive(Debug, Clone, Default)]
pub(crate) struct CallReports {
    receiver: Option<Box<ReportReceiver>>,
}

/// Receiver of a call's reports, and the progress reported so far.
#[derive(Debug, Clone)]
struct ReportReceiver {
    app: Arc<App>,
    /// Number of reports sent.
    reports: u32,
    /// Last stage reported.
    stage: CallStage,
}

/// Reports of an answered call in plain data. The stage is omitted, because it is always `Answered`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct ReportsSnapshot {
    app: String,
    reports: u32,
    /// Application with its settings, if neither the configuration nor the call's program contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Arc<App>>,
}

impl ReportsSnapshot {
    /// Skips numbers of reports that crashed processes may have sent.
    pub(crate) fn skip_reports(&mut self, gap: CrashGap) {
        progress::skip_reports(&mut self.reports, gap);
    }
}

impl CallReports {
    /// Creates the reports to an application, of which it has received `reports` so far; empty if the application
    /// requests none.
    pub(crate) fn to(app: &Arc<App>, reports: u32, stage: CallStage) -> CallReports {
        let receiver = || Box::new(ReportReceiver { app: app.clone(), reports, stage });
        CallReports { receiver: app.status_callback.as_ref().map(|_| receiver()) }
    }

    /// Returns the receiver in plain data; `None` without a receiver. `run` is the call's program.
    pub(crate) fn snapshot(&self, run: Option<&ProgramRun>) -> Option<ReportsSnapshot> {
        let CallReports { receiver } = self;
        let ReportReceiver { app, reports, stage: _ } = receiver.as_deref()?;
        let is_of_run = |run: &ProgramRun| run.app.name == app.name && run.app.status_callback == app.status_callback;
        let is_elsewhere = !app.is_made || run.is_some_and(is_of_run);
        let made = (!is_elsewhere).then(|| app.clone());
        Some(ReportsSnapshot { app: app.name.to_string(), reports: *reports, made })
    }

    /// Restores the reports of an answered call. `run` is the call's program; it has the application if neither the
    /// snapshot nor the configuration does.
    pub(crate) fn restore(edge: &Edge, run: Option<&ProgramRun>, snapshot: Option<ReportsSnapshot>) -> CallReports {
        let Some(ReportsSnapshot { app: name, reports, made }) = snapshot else { return CallReports::default() };
        let of_run = run.map(|run| &run.app).filter(|app| app.is_made && *app.name == *name);
        let app = made.as_ref().or(of_run).or(edge.table().app(&name));
        app.map(|app| CallReports::to(app, reports, CallStage::Answered)).unwrap_or_default()
    }

    /// Starts the reports to an application, unless another application already receives reports.
    pub(crate) fn begin(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>) {
        if self.receiver.is_some() {
            return;
        }
        let is_answered = cx.call.times.answered.is_some();
        let stage = if is_answered { CallStage::Answered } else { CallStage::Initiated };
        *self = CallReports::to(app, 0, stage);
        let Some(wanted) = app.status_callback.as_ref().filter(|_| !is_answered) else { return };
        if wanted.initiated {
            self.report(cx, "initiated", Vec::new());
        }
        // The caller of an application hears ringing at once.
        if !cx.call.is_requested() {
            self.reach(cx, CallStage::Ringing);
        }
    }

    /// Replaces the receiver of the reports; the sequence number continues.
    pub(crate) fn replace(&mut self, cx: &CallCx<'_>, app: &Arc<App>) {
        let (reports, stage) = match &self.receiver {
            Some(current) => (current.reports, current.stage),
            None if cx.call.times.answered.is_some() => (0, CallStage::Answered),
            None => (0, CallStage::Ringing),
        };
        *self = CallReports::to(app, reports, stage);
    }

    /// Reports ringing and the answer once they have happened.
    pub(crate) fn follow(&mut self, cx: &mut CallCx<'_>) {
        if self.receiver.is_none() {
            return;
        }
        if cx.call.times.first_ring.is_some() && cx.call.times.answered.is_none() {
            self.reach(cx, CallStage::Ringing);
        }
        if cx.call.times.answered.is_some() {
            self.reach(cx, CallStage::Answered);
        }
    }

    /// Reports a stage, unless it is already reported.
    fn reach(&mut self, cx: &mut CallCx<'_>, stage: CallStage) {
        let Some(known) = self.receiver.as_mut().filter(|known| known.stage < stage) else { return };
        known.stage = stage;
        let Some(wanted) = &known.app.status_callback else { return };
        let (is_wanted, status) = match stage {
            CallStage::Initiated => return,
            CallStage::Ringing => (wanted.ringing, "ringing"),
            CallStage::Answered => (wanted.answered, "in-progress"),
        };
        if is_wanted {
            self.report(cx, status, Vec::new());
        }
    }

    /// Reports the end of the call. `recording` is the SID of the recording that a request started with the answer.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>, recording: Option<&str>) {
        self.follow(cx);
        let wanted = self.receiver.as_ref().and_then(|known| known.app.status_callback.as_ref());
        if !wanted.is_some_and(|wanted| wanted.completed) {
            return;
        }
        let talked = cx.call.talked_seconds().unwrap_or_default().round();
        let mut further = vec![("CallDuration".to_owned(), talked.to_string())];
        let code = if cx.call.times.answered.is_some() { Some(200) } else { final_code(cx.call) };
        further.extend(code.map(|code| ("SipResponseCode".to_owned(), code.to_string())));
        if let Some((sid, links)) = recording.zip(cx.edge.sessions().recordings.links()) {
            further.push(("RecordingUrl".to_owned(), links.of(sid)));
            further.push(("RecordingSid".to_owned(), sid.to_owned()));
        }
        let status = parameters::status_of(cx.call);
        self.report(cx, status, further);
        self.receiver = None;
    }

    fn report(&mut self, cx: &mut CallCx<'_>, status: &'static str, further: Vec<(String, String)>) {
        let Some(known) = &mut self.receiver else { return };
        let (app, number) = (known.app.clone(), known.reports);
        known.reports += 1;
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
}

/// Returns the status code with which an unanswered call ended. For a requested call this is the called party's own
/// code, because there is no caller from which it must be hidden. `None` before the end of the call.
fn final_code(call: &SharedCallState) -> Option<u16> {
    let code = call.ending?.code;
    let said = call.legs.iter().filter(|leg| !leg.records()).filter_map(|leg| leg.said()).map(|said| said.code);
    said.rev().find(|said| call.is_requested() && seen_code(*said) == code).or(Some(code))
}
