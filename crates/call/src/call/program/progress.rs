//! Progress of the calls of parties that a program dials, and the requests that report it (`statusCallback`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_resources::applications::question::{AppCallback, AppPlace, DocumentRequest};
use trunkgate_resources::lookups::key::{Branch, LegId};
use trunkgate_route::App;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::is_busy_or_declined;
use trunkgate_story::wall::{millis, rfc2822};
use trunkgate_twiml::{DialStatus, StatusCallback};

use crate::call::legs::dialled::OutboundCall;
use crate::call::legs::headers::RelayedHeaders;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::program::{ProgramConnection, parameters};
use crate::call::search::Search;
use crate::call::search::attempt::Attempt;
use crate::call::shared::CallCx;
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::webhooks;

/// Source of every report, in Twilio's term.
const SOURCE: &str = "call-progress-events";
/// Numbers left out in the reports of a call after a crash, because reports since the snapshot are unknown. A call has
/// at most this many: initiated, ringing, answered and completed.
const REPORTS_MARGIN: u32 = 4;

/// Stage of a party's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum PartyCallStage {
    /// No INVITE has been sent yet.
    Planned,
    /// The first INVITE has been sent.
    Initiated,
    /// The party rings.
    Ringing,
    /// The party has answered.
    Answered,
    /// The call is over.
    Completed,
}

/// The call of one party across all of its candidates, and the receiver of its progress.
#[derive(Debug, Clone)]
pub(crate) struct PartyCall {
    /// Address of the party, as the program named it; a URI without a password.
    to: String,
    receiver: Option<StatusCallback>,
    stage: PartyCallStage,
    /// Leg of the last INVITE to the party.
    leg: Option<LegId>,
    /// Number of reports sent.
    reports: u32,
    answered: Option<Instant>,
    /// Headers of the party's final response, for the application.
    extensions: RelayedHeaders,
}

/// The call of an answered party in plain data, without its leg.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PartyCallSnapshot {
    to: String,
    receiver: Option<StatusCallback>,
    reports: u32,
    answered_ms: u64,
    extensions: RelayedHeaders,
}

impl PartyCall {
    /// Creates the call of a party before its first INVITE.
    pub(crate) fn new(to: String, receiver: Option<StatusCallback>) -> PartyCall {
        let (stage, extensions) = (PartyCallStage::Planned, RelayedHeaders::new());
        PartyCall { to, receiver, stage, leg: None, reports: 0, answered: None, extensions }
    }

    /// Returns the address of the party, as the program named it.
    pub(crate) fn to(&self) -> &str {
        &self.to
    }

    /// Returns an answered call in plain data; `None` for any other call.
    pub(crate) fn snapshot(&self, now: Instant) -> Option<PartyCallSnapshot> {
        let PartyCall { to, receiver, stage, leg: _, reports, answered, extensions } = self.clone();
        let answered = answered.filter(|_| stage == PartyCallStage::Answered)?;
        let answered_ms = millis(now.saturating_duration_since(answered));
        Some(PartyCallSnapshot { to, receiver, reports, answered_ms, extensions })
    }

    /// Returns the leg of the last INVITE.
    pub(crate) fn leg(&self) -> Option<LegId> {
        self.leg
    }

    /// Keeps the headers of the party's final response.
    pub(crate) fn take_headers(&mut self, headers: &[(String, String)]) {
        self.extensions = parameters::extensions(headers).collect();
    }

    /// Returns the kept headers of the party's final response.
    pub(crate) fn extensions(&self) -> &[(String, String)] {
        &self.extensions
    }

    /// Sets the leg of an answered call after a restart.
    pub(crate) fn resume(&mut self, leg: LegId) {
        self.leg = Some(leg);
    }

    /// Updates the progress of the call, and reports it. `attempt` is the search for the party while it continues.
    fn follow(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, attempt: Option<&Attempt>) {
        if let Some(leg) = attempt.and_then(Attempt::leg) {
            self.take_leg(cx, leg);
            self.note_agent(cx, leg);
        }
        let Some(leg) = self.leg else { return };
        self.reach(cx, app, PartyCallStage::Initiated);
        match cx.call.legs[leg].state {
            LegState::Trying => {}
            LegState::Ringing | LegState::Early => self.reach(cx, app, PartyCallStage::Ringing),
            LegState::Answered => self.reach(cx, app, PartyCallStage::Answered),
            LegState::Canceling | LegState::Closing | LegState::Ended if attempt.is_none() => {
                self.complete(cx, app, None)
            }
            LegState::Canceling | LegState::Closing | LegState::Ended => {}
        }
    }

    /// Moves the party's call to the leg to which an agent has transferred its caller.
    pub(crate) fn go_on_with(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        if self.stage == PartyCallStage::Answered {
            self.take_leg(cx, leg);
        }
    }

    /// Switches to the leg of the party's next candidate; the call keeps its SID.
    fn take_leg(&mut self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(before) = self.leg.replace(leg).filter(|before| *before != leg) else { return };
        self.extensions.clear();
        let sid = cx.call.legs[before].sid.clone();
        let other = std::mem::replace(&mut cx.call.legs[leg].sid, sid);
        cx.call.legs[before].sid = other;
    }

    /// Notes caller ID, party and start time of an agent's call, which has no INVITE that would note them.
    fn note_agent(&self, cx: &mut CallCx<'_>, leg: LegId) {
        if cx.call.legs[leg].agent.is_none() || cx.call.legs[leg].sip.dialled.is_some() {
            return;
        }
        let facts = &cx.call.facts;
        let from = facts.shown_as.as_ref().map_or_else(|| facts.caller.shown(), |shown| shown.name());
        let dialled = OutboundCall::new(cx.edge.date(cx.now), &from, &self.to);
        cx.call.legs[leg].sip.dialled = Some(Box::new(dialled));
    }

    fn reach(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, stage: PartyCallStage) {
        if self.stage >= stage {
            return;
        }
        self.stage = stage;
        let events = self.receiver.as_ref().map(|receiver| receiver.events);
        let (wanted, status) = match stage {
            PartyCallStage::Planned | PartyCallStage::Completed => return,
            PartyCallStage::Initiated => (events.map(|events| events.initiated), "initiated"),
            PartyCallStage::Ringing => (events.map(|events| events.ringing), "ringing"),
            PartyCallStage::Answered => {
                self.answered = Some(cx.now);
                (events.map(|events| events.answered), "in-progress")
            }
        };
        if wanted == Some(true) {
            self.report(cx, app, status, Vec::new());
        }
    }

    /// Ends the party's call. `status`: status of an unanswered call if its leg does not have it yet.
    pub(crate) fn complete(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, status: Option<DialStatus>) {
        let Some(leg) = self.leg.filter(|_| self.stage < PartyCallStage::Completed) else { return };
        self.stage = PartyCallStage::Completed;
        if !self.receiver.as_ref().is_some_and(|receiver| receiver.events.completed) {
            return;
        }
        let talked = self.answered.map(|answered| cx.now.saturating_duration_since(answered));
        let said = cx.call.legs[leg].said().map(|said| said.code);
        let (status, code) = match talked {
            Some(_) => (DialStatus::Completed, Some(200)),
            None => (status.unwrap_or_else(|| unanswered(&cx.call.legs[leg])), said),
        };
        let seconds = talked.unwrap_or(Duration::ZERO).as_secs_f64().round();
        let mut further = vec![("CallDuration".to_owned(), seconds.to_string())];
        further.extend(code.map(|code| ("SipResponseCode".to_owned(), code.to_string())));
        self.report(cx, app, status.name(), further);
    }

    /// Returns the receiver of the report of the call's end, which another call will send, and the number of reports so
    /// far; `None` if no receiver requested that report.
    pub(crate) fn hand_over_reports(&mut self) -> Option<(StatusCallback, u32)> {
        self.stage = PartyCallStage::Completed;
        self.receiver.take().filter(|receiver| receiver.events.completed).map(|receiver| (receiver, self.reports))
    }

    fn report(&mut self, cx: &mut CallCx<'_>, app: &Arc<App>, status: &'static str, further: Vec<(String, String)>) {
        let (Some(receiver), Some(leg)) = (&self.receiver, self.leg) else { return };
        let mut parameters = parameters::of_party(cx.call, cx.edge, leg, &self.to, status);
        parameters.extend(of_report(rfc2822(cx.edge.date(cx.now)), self.reports));
        parameters.extend(further);
        let method = webhooks::method(receiver.method);
        let place = AppPlace::Url(receiver.url.clone());
        self.reports += 1;
        let request = DocumentRequest { place, method, purpose: "status", parameters };
        let (call, about) = (cx.call.legs.sid().to_owned(), cx.call.legs[leg].sid.clone());
        let (app, allow_private) = (app.name.clone(), app.allow_private);
        cx.edge.call_back(AppCallback { call, about, app, allow_private, request });
    }
}

impl PartyCallSnapshot {
    /// Skips numbers of reports that crashed processes may have sent.
    pub(crate) fn skip_reports(&mut self, gap: CrashGap) {
        skip_reports(&mut self.reports, gap);
    }

    /// Restores the call without its leg, which [`PartyCall::resume`] sets.
    pub(crate) fn restore(self, now: Instant) -> PartyCall {
        let PartyCallSnapshot { to, receiver, reports, answered_ms, extensions } = self;
        let answered = now.checked_sub(Duration::from_millis(answered_ms)).unwrap_or(now);
        let (stage, answered) = (PartyCallStage::Answered, Some(answered));
        PartyCall { to, receiver, stage, leg: None, reports, answered, extensions }
    }
}

/// Returns the parameters common to all reports. `number` is the sequence number of the report in its call, from 0.
pub(crate) fn of_report(timestamp: String, number: u32) -> impl Iterator<Item = (String, String)> {
    let named =
        [("Timestamp", timestamp), ("CallbackSource", SOURCE.to_owned()), ("SequenceNumber", number.to_string())];
    named.into_iter().map(|(name, value)| (name.to_owned(), value))
}

/// Skips numbers of reports that crashed processes may have sent: Twilio's users sort reports by number, so a gap
/// is harmless and a repeated number is not. No call has more reports than the margin of one process.
pub(crate) fn skip_reports(reports: &mut u32, gap: CrashGap) {
    *reports = reports.saturating_add(gap.processes().saturating_mul(REPORTS_MARGIN));
}

/// Returns the final status of a call that was never answered.
fn unanswered(leg: &Leg) -> DialStatus {
    match (leg.said().map(|said| said.code), leg.end.map(|end| end.reason)) {
        (Some(code), _) if is_busy_or_declined(code) => DialStatus::Busy,
        (Some(408 | 480 | 487), _) | (None, Some(ReasonSlug::RingTimeout)) => DialStatus::NoAnswer,
        (None, Some(ReasonSlug::AnsweredElsewhere | ReasonSlug::AppHungUp)) => DialStatus::Canceled,
        _ => DialStatus::Failed,
    }
}

impl ProgramConnection {
    /// Reports the progress of the ringing or connected parties.
    pub(crate) fn report_progress(&mut self, cx: &mut CallCx<'_>, search: &Search, app: &Arc<App>) {
        // A consultation target tried beside the party's agent is not a candidate of the party.
        let is_consulting = search.is_consulting();
        for (branch, party) in (0..).map(Branch::nth).zip(&mut self.parties) {
            let attempt = search.attempt(branch).filter(|_| !is_consulting);
            party.call.follow(cx, app, attempt);
        }
    }

    /// Reports the end of all parties' calls. `status`: status of unanswered parties, if their legs do not have it yet.
    pub(crate) fn complete_parties(
        &mut self,
        cx: &mut CallCx<'_>,
        search: &Search,
        app: &Arc<App>,
        status: Option<DialStatus>,
    ) {
        self.report_progress(cx, search, app);
        for party in &mut self.parties {
            party.call.complete(cx, app, status);
        }
    }
}
