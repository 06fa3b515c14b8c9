//! How a call ends: every leg told in the way that its state allows, media closed, one record written.

use std::time::{Duration, Instant};

use trunkgate_media::Command;
use trunkgate_resources::deadlines::Timer;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::index::Purpose;
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::CANCEL_SECONDS;
use trunkgate_resources::sip::extra;
use trunkgate_sip::DialogId;
use trunkgate_story::quality::retire;
use trunkgate_story::reason::{ReasonSlug, q850_of_code};
use trunkgate_story::report::CallRecord;

use crate::call::legs::headers::Brought;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::search::answer::FinalAnswer;
use crate::call::{Call, Ending, State};

impl Call {
    /// Refuses the caller's INVITE, and ends the call.
    pub(crate) fn refuse(&mut self, now: Instant, edge: &mut Edge, answer: &FinalAnswer) {
        if let Some(server) = self.legs[LegId::CALLER].server.take() {
            edge.refused.push(server);
            edge.respond(now, server, answer.to_sip());
        }
        self.legs[LegId::CALLER].state = LegState::Ended;
        self.finish(now, edge, answer.reason, answer.code, answer.q850);
    }

    /// The caller has gone before it had an answer; its INVITE has been answered 487.
    pub(crate) fn caller_left(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug) {
        if let Some(server) = self.legs[LegId::CALLER].server.take() {
            edge.index.servers.remove(&server);
        }
        self.legs[LegId::CALLER].state = LegState::Ended;
        self.finish(now, edge, reason, 487, reason.q850());
    }

    /// The caller ended its early dialog by BYE (RFC 3261 §15.1.2): its INVITE is still open.
    pub(crate) fn caller_left_by_bye(&mut self, now: Instant, edge: &mut Edge) {
        let answer = FinalAnswer::new(487, ReasonSlug::CallerCanceled);
        self.refuse(now, edge, &answer);
    }

    /// A CANCEL that the endpoint has answered although we had our 2xx ready.
    pub(crate) fn caller_withdrew_answered(&mut self, now: Instant, edge: &mut Edge) {
        if self.legs[LegId::CALLER].dialog.is_none() || self.legs[LegId::CALLER].server.is_some() {
            self.legs[LegId::CALLER].state = LegState::Ended;
        }
        self.end(now, edge, ReasonSlug::CallerCanceled);
    }

    /// A far end hung up an answered call.
    pub(crate) fn hung_up(&mut self, now: Instant, edge: &mut Edge, leg: LegId, headers: Brought) {
        self.legs.leg_gone(edge, leg);
        if self.left_joining(now, edge, leg) {
            return;
        }
        if !self.legs.is_side(leg) {
            return self.referrer_left(now, edge, leg);
        }
        self.story.farewell = Some((leg, headers));
        if leg == LegId::CALLER {
            self.end(now, edge, ReasonSlug::CallerHungUp);
        } else {
            self.legs[leg].end_with(ReasonSlug::CalleeHungUp, EndedBy::FarEnd);
            self.end(now, edge, ReasonSlug::CalleeHungUp);
        }
    }

    /// Our 2xx to a leg was never acknowledged.
    pub(crate) fn ack_missing(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let (name, side) = (self.legs.name_of(leg), &self.legs[leg]);
        let ours = side.flow.and_then(|flow| edge.addressing.local(flow.remote.ip(), flow.listener));
        let ours =
            ours.map_or_else(|| "our Contact".to_owned(), |local| format!("our Contact, {}:{}", local.ip, local.port));
        let contact = side.contact.as_deref().unwrap_or("none");
        let hop = side.record_route.as_deref().map(|hop| format!(", Record-Route {hop}")).unwrap_or_default();
        let went = side.flow.map(|flow| format!(" that went to {}", flow.remote)).unwrap_or_default();
        let text =
            format!("{name} sent no ACK for the 200 OK{went}; it goes to {ours} (its own Contact {contact}{hop})");
        self.story.proof = Some((ReasonSlug::AckTimeout, text.into()));
        self.end(now, edge, ReasonSlug::AckTimeout);
    }

    /// Ends an answered call.
    pub(crate) fn end(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug) {
        self.finish(now, edge, reason, 200, reason.q850());
    }

    /// Ends a call whose caller has been answered so by the endpoint, since it does not acknowledge.
    pub(crate) fn end_unacknowledged(&mut self, now: Instant, edge: &mut Edge, code: u16) {
        let reason = ReasonSlug::AckTimeout;
        let code = if self.times.answered.is_some() { 200 } else { code };
        self.finish(now, edge, reason, code, reason.q850());
    }

    fn finish(&mut self, now: Instant, edge: &mut Edge, reason: ReasonSlug, code: u16, q850: u8) {
        if self.state == State::Ended {
            return;
        }
        self.drop_attempts(now, edge, reason);
        self.legs.end_legs_with(reason);
        self.state = State::Ended;
        let of_talk = [Timer::HoldCheck, Timer::Glare, Timer::Update, Timer::Session, Timer::MaxCall];
        for timer in [Timer::Search, Timer::Goodbye].into_iter().chain(of_talk) {
            self.disarm(edge, timer);
        }
        if self.times.answered.is_some() {
            self.capture_reports(now, edge);
        }
        self.disarm(edge, Timer::Quality);
        self.disarm(edge, Timer::Referrer);
        self.close_open_reinvite(now, edge);
        self.refuse_infos(now, edge);
        self.end_news(now, edge);
        self.end_joins(edge, reason);
        self.refuse_passed(now, edge);
        for leg in self.legs.ids() {
            self.hang_up_leg(now, edge, leg, reason);
        }
        self.negotiation.late = None;
        self.media.player = None;
        self.media.holds.clear();
        self.negotiation.owed.clear();
        self.times.ended = Some(edge.date(now));
        let answered = self.times.answered.is_some();
        let outcome = if answered { "answered" } else { outcome(reason, code) };
        self.ending = Some(Ending { outcome, reason, code });
        self.prove_no_ports(edge, reason);
        self.count(now, edge);
        self.settle_text(now, edge);
        self.search.transfers.now = None;
        self.end_consult();
        // While the ends' own counters are there: jitter and reports of the last interval stand nowhere else.
        self.settle_hearing(now, edge);
        let (view, scores, series) = (self.view(), self.legs.scores(), self.quality(now));
        self.close_media(edge);
        let sid = self.legs.sid().to_owned();
        // A flood of those that are turned down must not become a flood of lines.
        if !self.story.is_turned_down {
            edge.log(&sid, self.last_line(), Some(reason));
        }
        edge.decide(now, self.key, self.last_line());
        edge.recent.push(view.clone(), self.story.is_turned_down);
        if let Some(series) = series {
            edge.recent.push_series(series);
        }
        let record = CallRecord {
            call: view,
            sip_code: code,
            q850_cause: q850,
            failovers: self.search.failovers,
            post_dial_ms: self.times.first_ring.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX)),
            mos_min: scores.lowest(),
            mos_avg: scores.mean(),
            proof: self.proof(reason).map(str::to_owned),
            fix: self.own_fix(reason),
        };
        self.report(now, edge, record);
    }

    /// Its session is closed, and what its ends counted is kept.
    fn close_media(&mut self, edge: &mut Edge) {
        if let Some(media) = self.media.session.take() {
            edge.media(media, Command::Close);
        }
        for leg in &mut self.legs {
            for end in std::mem::take(&mut leg.ends) {
                retire(&mut leg.earlier, &mut leg.scores, &end.counters);
            }
        }
        self.media.wires.clear();
    }

    /// What shows that there were no ports, where nothing nearer is known.
    fn prove_no_ports(&mut self, edge: &Edge, reason: ReasonSlug) {
        if reason == ReasonSlug::NoPorts && self.story.proof.as_ref().is_none_or(|(of, _)| *of != reason) {
            let (in_use, all) = (2 * edge.ports.in_use(), 2 * edge.ports.total());
            let text = format!("{in_use} of {all} media ports are in use");
            self.story.proof = Some((reason, text.into()));
        }
    }

    fn count(&self, now: Instant, edge: &mut Edge) {
        edge.admission.end(self.legs.get(LegId::CALLER).map_or("", Leg::trunk_name));
        edge.quotas.end_call(self.key);
        edge.unproven_early.release(now, self.key);
        for leg in self.sides() {
            if let Some(trunk) = self.legs[leg].limited_by() {
                edge.end_trunk_call(&trunk.name);
            }
        }
        if let Some(ending) = self.ending {
            let trunk = self.legs[LegId::CALLER].trunk.as_ref().map_or_else(|| "".into(), |t| t.name.clone());
            *edge.metrics.calls.entry((trunk, self.facts.route.clone(), ending.outcome)).or_default() += 1;
        }
        if let Some(seconds) = self.talked_seconds() {
            edge.metrics.call_duration_seconds.observe(seconds);
            self.count_media(now, edge);
        }
    }

    /// Another way is tried: the one before it has failed.
    pub(crate) fn count_failover(&mut self, edge: &mut Edge) {
        if let Some((reason, change)) = self.search.failed_over.take().map(|failed| *failed) {
            self.search.failovers += 1;
            edge.changed(change);
            *edge.metrics.failovers.entry((self.facts.route.clone(), reason.as_str())).or_default() += 1;
        }
    }

    /// Time from answer to end, in seconds.
    pub(crate) fn talked_seconds(&self) -> Option<f64> {
        let (answered, ended) = (self.times.answered?, self.times.ended?);
        Some(ended.duration_since(answered).unwrap_or_default().as_secs_f64())
    }

    fn last_line(&self) -> String {
        let Some(ending) = self.ending else { return String::new() };
        let why = ending.reason.sentence();
        match self.talked_seconds() {
            Some(seconds) => format!("ended after {seconds:.1} s: {why}"),
            None => format!("{} with {}: {why}", ending.outcome, ending.code),
        }
    }

    /// A re-INVITE or UPDATE of a far end that is still open must be answered before its dialog ends (RFC 3261 §15.1.2).
    fn close_open_reinvite(&mut self, now: Instant, edge: &mut Edge) {
        let Some(mut pending) = self.negotiation.renegotiation.take() else { return };
        if let Some(server) = pending.way.server.take() {
            edge.index.servers.remove(&server);
            crate::call::refuse_request(now, edge, server, 487);
        }
        self.give_up_replacing(edge, &mut pending);
        self.negotiation.renegotiation = Some(pending);
    }

    /// Ends one leg in the way that its state allows.
    pub(crate) fn hang_up_leg(&mut self, now: Instant, edge: &mut Edge, leg: LegId, reason: ReasonSlug) {
        if self.legs[leg].agent.is_some() {
            return self.close_agent(now, edge, leg);
        }
        match self.legs[leg].state {
            LegState::Trying | LegState::Ringing | LegState::Early => self.withdraw(now, edge, leg),
            LegState::Answered => self.bye(now, edge, leg, reason),
            LegState::Canceling | LegState::Closing | LegState::Ended => {}
        }
    }

    /// Withdraws our INVITE: by CANCEL where it has had an answer, else by silence (RFC 3261 §9.1).
    pub(crate) fn withdraw(&mut self, now: Instant, edge: &mut Edge, leg: LegId) {
        let leg = &mut self.legs[leg];
        let Some(client) =
            leg.invite.filter(|_| matches!(leg.state, LegState::Trying | LegState::Ringing | LegState::Early))
        else {
            return;
        };
        leg.state = LegState::Canceling;
        if self.search.answered_elsewhere {
            edge.answered_elsewhere(client);
        }
        if leg.heard {
            edge.cancel(now, client);
        } else {
            // The endpoint sees to a late answer; the leg stays, so that its far end may still speak.
            edge.abandon(now, client);
        }
        self.arm(now, edge, Timer::Withdrawn, Duration::from_secs(CANCEL_SECONDS));
    }

    fn bye(&mut self, now: Instant, edge: &mut Edge, leg: LegId, reason: ReasonSlug) {
        if self.legs.refuse_held_back(now, edge, leg, reason) {
            return;
        }
        let at = self.legs.place(leg);
        let farewell = self.story.farewell.as_ref().map(|(from, headers)| self.passing(edge, headers, *from, leg));
        let leg = &mut self.legs[leg];
        leg.state = LegState::Closing;
        // Only trunks are told why: a bare URI is nobody that we know.
        let headers = leg.trunk.as_ref().map(|_| extra("Reason", reason.header(reason.q850())));
        let headers: Vec<_> = headers.into_iter().chain(farewell.into_iter().flatten()).collect();
        leg.bye = leg.dialog.and_then(|dialog| edge.request(now, at, dialog, Purpose::Bye, headers, None));
        if leg.bye.is_none() {
            leg.state = LegState::Ended;
        }
    }

    /// A 2xx that nobody waits for: it crossed our CANCEL, or another fork answered first.
    pub(crate) fn accepted_too_late(&mut self, now: Instant, edge: &mut Edge, leg: LegId, dialog: DialogId) {
        edge.ack(now, dialog);
        if self.legs[leg].state == LegState::Canceling {
            self.legs.own_dialog(edge, leg, dialog);
            let ended = self.legs[leg].end.map(|end| end.reason).or(self.ending.map(|ending| ending.reason));
            let reason = ended.unwrap_or(ReasonSlug::CallerCanceled);
            self.bye(now, edge, leg, reason);
        } else if self.legs[leg].dialog != Some(dialog) {
            edge.endpoint.request(now, dialog, trunkgate_sip::Method::Bye, Vec::new(), None);
            edge.pump();
        }
    }

    /// No withdrawn INVITE can have an answer any more.
    pub(crate) fn withdrawn_for_good(&mut self, edge: &mut Edge) {
        self.deadlines.remove(Timer::Withdrawn);
        for leg in self.legs.ids() {
            self.legs.withdrawn(edge, leg);
        }
    }

    /// Takes every look-up of an ended call away.
    pub(crate) fn forget(&mut self, edge: &mut Edge) {
        while let Some(timer) = self.deadlines.first() {
            self.disarm(edge, timer);
        }
        for (at, leg) in self.legs.with_ids() {
            if let Some(server) = leg.server {
                edge.index.servers.remove(&server);
            }
            for client in leg.invite.into_iter().chain(leg.bye) {
                edge.index.clients.remove(&client);
            }
            if let Some(dialog) = leg.dialog {
                edge.index.dialogs.remove(&dialog);
            }
            if let Some(flow) = leg.flow {
                edge.index.leave(leg.call_id.as_bytes(), self.legs.place(at), flow.remote.ip());
            }
        }
        let news = self.search.transfers.news.as_ref().and_then(|news| news.client());
        let refreshes = self.legs.iter().filter_map(|leg| leg.timer.refresh);
        let asked = self
            .negotiation
            .renegotiation
            .iter()
            .map(|pending| pending.client)
            .chain(self.negotiation.hold_check.asked());
        for client in asked.chain(refreshes).chain(news) {
            edge.index.clients.remove(&client);
        }
        edge.index.sids.remove(self.legs.sid());
    }
}

/// The outcome of a call that was never answered.
fn outcome(reason: ReasonSlug, code: u16) -> &'static str {
    match (reason, q850_of_code(code)) {
        (ReasonSlug::TargetRejected, _) => match code {
            486 | 600 => "busy",
            408 | 480 => "no_answer",
            400..=499 | 600..=699 => "refused",
            _ => "failed",
        },
        _ => reason.outcome(),
    }
}
