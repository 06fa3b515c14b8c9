//! Records made while a call runs: changes, faults, scores, OpenTelemetry samples, the quality series, text messages.
//!
//! The quality series is read from the counters of the ends by the call's own timer, so that no packet waits for it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_media::{AgentQueue, EndCounters, EndId, SendFailure};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::limits::SHORT_CALL;
use trunkgate_resources::lookups::addressing::Addressing;
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::{CallFault, FaultKind};
use trunkgate_route::sms::EndedCall;
use trunkgate_route::{DtmfMode, SmsRule, TextOutcome, TextRejection};
use trunkgate_story::captured::{CapturedItem, ReceptionReport};
use trunkgate_story::change::{CallChange, EdgeEvent, EdgeEventKind, FLAGS};
use trunkgate_story::diagnosis::{Diagnosis, FaultCause};
use trunkgate_story::limits::NUMBER_CHARS;
use trunkgate_story::numbers::plain;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::report::CallRecord;
use trunkgate_story::sampled::LegTimes;
use trunkgate_story::series::{CounterReading, LegLabel, LegTotals, LinkQuality, QualityRecord};
use trunkgate_story::sms::{SmsEvent, SmsRequest};
use trunkgate_story::sounded::AudioQuality;
use trunkgate_story::unsent::{fix, text};
use trunkgate_story::view::is_busy_or_declined;
use trunkgate_story::view::{RecordingView, RtpView};

use crate::call::legs::leg::{Leg, LegState};
use crate::call::shared::{CallCx, CallOutcome, SharedCallState};
use crate::call::story::unrecorded;
use crate::call::story::verdict::{end_for_log, fault_of, rejection_in_words};

/// Minimum duration of a call that counts as one-way audio although it ended before the worker's report, which is due
/// after [`UNHEARD_AFTER`](trunkgate_media::limits::UNHEARD_AFTER).
pub(crate) const ONE_WAY_LEAST: Duration = Duration::from_secs(4);

impl CallCx<'_> {
    /// Sends the capture agent the quality reports of both sides.
    pub(crate) fn capture_reports(&mut self) {
        if !self.edge.tracing().captures {
            return;
        }
        for (place, leg) in self.call.legs.with_ids() {
            let reports = reports(leg, &self.call.legs.name_of(place), self.edge.addressing());
            for report in reports.collect::<Vec<_>>() {
                self.edge.capture(self.now, self.call.legs.sid().to_owned(), CapturedItem::Report(report));
            }
        }
    }

    /// Replaces a leg's diagnosis; the leg's trunk gets a new fault of each kind once per call.
    pub(crate) fn set_flaw(&mut self, leg: LegId, found: Option<Box<Diagnosis>>) {
        if let (Some(found), Some(trunk)) = (&found, self.call.legs[leg].trunk.clone()) {
            self.tell_fault(&trunk.name, found);
        }
        self.call.legs[leg].quality.flaw = found;
    }

    /// Reports to a leg's trunk, once, whether the side was heard. `is_told` is true if observers are notified by other
    /// means.
    pub(crate) fn judge(&mut self, leg: LegId, is_told: bool) {
        let side = &mut self.call.legs[leg];
        if side.agent.is_some() || std::mem::replace(&mut side.quality.is_judged, true) {
            return;
        }
        let side = &self.call.legs[leg];
        // Received but unusable packets are proof by themselves, however short the call.
        let is_proof = |found: &Diagnosis| {
            matches!(
                found.cause,
                FaultCause::UnexpectedSource
                    | FaultCause::NotRtp
                    | FaultCause::Srtp
                    | FaultCause::Unreachable
                    | FaultCause::Unsent
            )
        };
        let unheard = side.quality.unheard.as_deref();
        let silence = side.quality.digital_silence();
        // A call too short for a decision, without packets or with digital silence only, is not evidence of a heard or
        // unheard side.
        let has_nothing = self.since_answer() < ONE_WAY_LEAST && side.rtp().rx_packets == 0;
        if unheard.or(silence).is_none() && (has_nothing || side.has_only_silence()) {
            return;
        }
        // A phone may be muted for one call: digital silence counts only over several calls.
        let is_short = self.since_answer() < SHORT_CALL || unheard.is_none() && silence.is_some();
        let heard = (unheard.or(silence), is_short && !unheard.is_some_and(is_proof));
        let counted =
            self.edge.trunks_mut().record_audibility(self.now, side.trunk_name(), self.call.legs.sid(), heard);
        if let (Some(other), Some(trunk)) = (self.call.legs.other(leg), &side.trunk)
            && let other = &self.call.legs[other]
            && let Some(others) = other.trunk.as_ref().filter(|_| other.agent.is_none() && other.is_unheard())
        {
            self.edge.trunks_mut().both_unheard(self.now, [&trunk.name, &others.name], counted);
        }
        if let (Some(found), Some(trunk)) = (side.quality.unheard.clone(), side.trunk.clone()) {
            if is_told {
                self.count_fault(&trunk.name, &found, false);
            } else {
                self.tell_fault(&trunk.name, &found);
            }
        }
        if self.call.legs[leg].quality.unheard.is_none() {
            self.count_without(leg, FaultKind::EARLY);
        }
    }

    /// Reports to a leg's trunk those of these kinds of fault that were not counted for it in this call.
    pub(crate) fn count_without(&mut self, leg: LegId, kinds: [FaultKind; 2]) {
        let Some(trunk) = self.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) else { return };
        let Some(answered) = self.now.checked_sub(self.since_answer()) else { return };
        for kind in kinds {
            if !self.call.story.counted.contains(&(trunk.clone(), kind)) {
                self.edge.trunks_mut().without_fault(&trunk, kind, answered);
            }
        }
    }

    /// Counts one-way audio, and reports it to observers and the log. `both` is true if neither side was heard.
    pub(crate) fn count_one_way(&mut self, leg: LegId, both: bool, line: String, fix: String) {
        let silent = match (both, leg) {
            (true, _) => "both",
            (false, LegId::CALLER) => "caller",
            (false, _) => "callee",
        };
        let trunk: Arc<str> = self.call.legs[leg].trunk.as_ref().map_or_else(|| "".into(), |trunk| trunk.name.clone());
        *self.edge.metrics_mut().media_one_way.entry((trunk.clone(), silent)).or_default() += 1;
        let sid = self.call.legs.sid().to_owned();
        let change = self.call.change_for(EdgeEventKind::MediaOneWay, &line, None);
        let other = self.call.legs.other(leg).filter(|_| both).and_then(|other| self.call.legs[other].trunk.as_ref());
        let also = other.map(|other| other.name.to_string()).filter(|other| **other != *trunk);
        self.edge.changed(EdgeEvent { trunk: Some(trunk.to_string()), also, fix: Some(fix), ..change });
        self.edge.warn(&sid, line, None);
    }

    /// Counts a call in which the agent sent no audio for too long, and reports it to observers and the log.
    pub(crate) fn count_silent_agent(&mut self, leg: LegId, line: String, fix: String) {
        let name = self.call.legs[leg].agent.as_ref().map_or_else(|| "".into(), |side| side.agent.name.clone());
        if !name.is_empty() {
            *self.edge.metrics_mut().agent.silent.entry(name.clone()).or_default() += 1;
        }
        let sid = self.call.legs.sid().to_owned();
        let change = self.call.change_for(EdgeEventKind::MediaOneWay, &line, None);
        let agent = Some(self.edge.shown_name(&name)).filter(|name| !name.is_empty());
        self.edge.changed(EdgeEvent { target: agent.clone(), agent, fix: Some(fix), ..change });
        self.edge.warn(&sid, line, None);
    }

    /// Notes in the trace that a party has sent a DTMF digit, without the digit.
    pub(crate) fn note_digit(&mut self, end: EndId) {
        let Some(leg) = self.call.legs.leg_of(end) else { return };
        let way = if self.call.legs[leg].dtmf() == DtmfMode::Inband { "tone" } else { "telephone-event" };
        self.edge.trace_digit(self.now, self.call.legs.place(leg), way);
    }

    /// Returns the time since the answer; zero before the answer.
    pub(crate) fn since_answer(&self) -> Duration {
        let since = |answered| self.edge.date(self.now).duration_since(answered).unwrap_or_default();
        self.call.times.answered.map(since).unwrap_or_default()
    }

    /// Counts a fault for a trunk, once per call. `refused` is true if the call lost its target because of the fault.
    /// Returns the kind of the fault if it is new in this call.
    pub(crate) fn count_fault(&mut self, trunk: &Arc<str>, found: &Diagnosis, refused: bool) -> Option<FaultKind> {
        let kind = FaultKind::of(found.cause)?;
        self.count_found(trunk, CallFault { kind, what: found }, refused).then_some(kind)
    }

    /// Counts a fault of a known kind for its trunk, once per call. Returns whether it is new in this call.
    pub(crate) fn count_found(&mut self, trunk: &Arc<str>, found: CallFault<'_>, refused: bool) -> bool {
        let known = (trunk.clone(), found.kind);
        if self.call.story.counted.contains(&known) {
            self.edge.trunks_mut().fault_goes_on(self.now, trunk, self.call.legs.sid(), found);
            return false;
        }
        self.edge.trunks_mut().record_fault(self.now, trunk, self.call.legs.sid(), found, refused);
        self.call.story.counted.push(known);
        true
    }

    /// Counts a fault for its trunk once per call, and notifies observers the first time; the call continues.
    pub(crate) fn tell_fault(&mut self, trunk: &Arc<str>, found: &Diagnosis) {
        let what = match self.count_fault(trunk, found, false) {
            Some(FaultKind::Codecs) => EdgeEventKind::MediaMismatch,
            Some(FaultKind::Unsent) => EdgeEventKind::MediaUnsent,
            Some(FaultKind::Loss) => EdgeEventKind::MediaLoss,
            // Stopped streams are reported as one-way audio.
            Some(FaultKind::Stopped) | None => return,
        };
        let change = self.call.change_for(what, &found.text, None);
        self.edge.changed(EdgeEvent { trunk: Some(trunk.to_string()), fix: Some(found.fix.clone()), ..change });
    }

    /// Records jitter, round-trip time and scores of both sides of an answered call in metrics and for their trunks.
    pub(crate) fn count_media(&mut self) {
        for leg in [Some(self.call.legs.near), self.call.legs.callee].into_iter().flatten() {
            let (heard, scores) = (self.call.legs[leg].rtp(), self.call.legs[leg].scores());
            if heard.rx_packets > 0 {
                self.edge.metrics_mut().rtp_jitter_seconds.observe(heard.jitter_ms / 1000.0);
            }
            if let Some(rtt) = heard.rtt_ms {
                self.edge.metrics_mut().rtp_round_trip_seconds.observe(rtt / 1000.0);
            }
            if let Some(mean) = scores.mean() {
                self.edge.metrics_mut().call_mos.observe(mean);
                if Some(leg) == self.call.legs.callee {
                    self.edge.trunks_mut().scored(self.now, self.call.legs[leg].trunk_name(), mean);
                }
                let (sid, side) = (self.call.legs.sid(), &self.call.legs[leg]);
                let (received, codec) = (heard.rx_packets, side.codec.clone());
                let (lost, jitter_ms, rtt_ms) = (heard.lost, heard.jitter_ms, heard.rtt_ms);
                let call = AudioQuality { mos: mean, lost, received, jitter_ms, rtt_ms, codec };
                self.edge.trunks_mut().sounded(self.now, side.trunk_name(), sid, call);
            }
        }
    }

    /// Adds the packets received, sent and lost on a leg since the last count to the figures of its trunk.
    pub(crate) fn count_packets(&mut self, leg: LegId) {
        let Some(trunk) = self.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) else { return };
        let all = totals(&self.call.legs[leg]);
        let before = std::mem::replace(&mut self.call.legs[leg].quality.counted, all);
        let counts = self.edge.metrics_mut().rtp_of_trunks.entry(trunk).or_default();
        counts.received += all.received.saturating_sub(before.received);
        counts.lost += all.lost.saturating_sub(before.lost);
        counts.sent += all.sent.saturating_sub(before.sent);
        counts.far_lost += all.far_lost.saturating_sub(before.far_lost);
    }

    /// Records the times of the legs' events so far.
    pub(crate) fn note_legs(&mut self) {
        self.call.legs.note_times(self.edge, self.now);
        let Some(gathered) =
            self.edge.tracing_mut().sampled.get_mut(&self.call.key).filter(|gathered| gathered.over.is_none())
        else {
            return;
        };
        let at_us = self.call.since_began(self.now);
        gathered.legs.resize(self.call.legs.len(), LegTimes { began_us: at_us, ..LegTimes::default() });
        for (times, leg) in gathered.legs.iter_mut().zip(&self.call.legs) {
            see(times, at_us, leg);
        }
    }

    /// Emits the call record; the call stays in memory until its last response.
    pub(crate) fn report(&mut self, record: CallRecord) {
        self.note_legs();
        if let Some(gathered) = self.edge.tracing_mut().sampled.get_mut(&self.call.key) {
            let at_us = self.call.since_began(self.now);
            for times in &mut gathered.legs {
                times.ended_us.get_or_insert(at_us);
            }
            gathered.over = Some(Box::new((record.clone(), at_us)));
        }
        self.edge.output(GatewayOutput::Report(Box::new(record)));
    }

    /// Begins the quality series, after the answer or after a restart of the edge.
    pub(crate) fn begin_series(&mut self) {
        self.call.story.series.begin(self.now, self.edge.date(self.now), self.call.legs.iter().map(reading));
        self.edge.trace_answered(self.now, self.call.key);
        self.arm(CallTimer::Quality, self.call.story.series.interval());
    }

    /// Sets the text message rule of the call's route, except for emergency calls. If the rule includes failed calls,
    /// the message is also stored, so that it is sent after a crash.
    pub(crate) fn watch_for_text(&mut self, rule: Option<&Arc<SmsRule>>) {
        // No text message after an emergency call: the emergency service calls the caller back.
        let Some(rule) = rule.filter(|_| !self.edge.numbers().is_emergency(&self.call.facts.called)) else {
            return;
        };
        self.call.story.sms = Some(Arc::clone(rule));
        if rule.on.contains(&TextOutcome::Failed)
            && let Ok(sms) = self.call.text(self.edge, rule, TextOutcome::Failed, ReasonSlug::EdgeRestarted)
        {
            self.edge.output(GatewayOutput::Sms(SmsEvent::Watch(Box::new(sms))));
        }
    }

    /// Drops the text message rule and a stored message: the call was answered, or its outcome needs no text.
    pub(crate) fn forget_text(&mut self) {
        if self.call.story.sms.take().is_some() {
            self.edge.output(GatewayOutput::Sms(SmsEvent::Forget(self.call.legs.sid().to_owned())));
        }
    }

    /// Sends or drops the text message of an ended, unanswered call.
    pub(crate) fn settle_text(&mut self) {
        let (Some(rule), Some(ending)) = (self.call.story.sms.clone(), self.call.ending) else { return };
        let Some(outcome) = self.call.text_outcome(ending) else {
            self.edge.decide(self.now, self.call.key, "no text message: the call was refused, not missed");
            return self.forget_text();
        };
        if !rule.on.contains(&outcome) {
            self.edge.decide(self.now, self.call.key, format!("no text message: {} is not in `on`", outcome.as_str()));
            return self.forget_text();
        }
        match self.call.text(self.edge, &rule, outcome, ending.reason) {
            Ok(sms) => {
                self.call.story.sms = None;
                self.edge.decide(
                    self.now,
                    self.call.key,
                    format!("text to {}: {}", self.edge.shown(&sms.to), outcome.as_str()),
                );
                self.edge.output(GatewayOutput::Sms(SmsEvent::Send(Box::new(sms))));
            }
            Err(why) => {
                self.edge.decide(self.now, self.call.key, format!("no text message: {why}"));
                self.forget_text();
            }
        }
    }

    /// Records an INVITE that this machine did not send, for the verdict and its trunk.
    pub(crate) fn record_unsent_invite(&mut self, leg: LegId, why: SendFailure) {
        let to = self.call.legs[leg].flow.map_or_else(|| self.call.legs[leg].signalling(), |flow| flow.remote.ip());
        let shown = self.call.legs[leg].flow.map_or_else(|| to.to_string(), |flow| flow.remote.to_string());
        let found = Diagnosis { cause: FaultCause::Unsent, text: text(why, &shown), fix: fix(why, to, None) };
        self.edge.trunks_mut().problem(self.now, self.call.legs[leg].trunk_name(), found.text.clone());
        let sid = self.call.legs.sid().to_owned();
        self.edge.warn(&sid, found.text.clone(), Some(ReasonSlug::Unreachable));
        if let Some(trunk) = self.call.legs[leg].trunk.clone() {
            self.count_fault(&trunk.name, &found, true);
        }
        self.call.story.fault = Some((ReasonSlug::Unreachable, Box::new(found)));
    }
}

impl SharedCallState {
    /// Returns an event of this call for observers.
    pub(crate) fn change(&self, what: EdgeEventKind) -> EdgeEvent {
        let said = CallChange {
            sid: self.legs.sid().to_owned(),
            // The state of a just answered call changes only after this report.
            state: if what == EdgeEventKind::CallAnswered { "answered" } else { self.shown_state() },
            outcome: self.times.answered.map(|_| "answered"),
            route: self.facts.route.to_string(),
            from: self.facts.caller.shown(),
            to: self.shown_called(),
        };
        let trunk = self.legs.get(LegId::CALLER).map(|leg| leg.trunk_name().to_owned());
        EdgeEvent { call: Some(said), trunk, ..EdgeEvent::new(what) }
    }

    /// Returns an event of this call with a sentence and a reason.
    pub(crate) fn change_for(&self, what: EdgeEventKind, text: &str, reason: Option<ReasonSlug>) -> EdgeEvent {
        let reason = reason.map(ReasonSlug::as_str);
        EdgeEvent { reason, text: Some(text.to_owned()), ..self.change(what) }
    }

    /// Returns the called number for display.
    pub(crate) fn shown_called(&self) -> String {
        plain(&self.facts.called.text, NUMBER_CHARS)
    }

    /// Returns the flags of the call, such as `one_way` or `failed_over` (see `CallView::flags`).
    pub(crate) fn flags(&self, recordings: &[RecordingView]) -> Vec<&'static str> {
        let mut agents = self.legs.iter().filter_map(|leg| leg.agent.as_ref());
        let hold = [
            self.legs.iter().any(|leg| leg.quality.is_silent()),
            self.has_mismatch(),
            self.is_held_back(),
            self.legs.iter().any(|leg| leg.quality.faults.as_ref().is_some_and(|faults| !faults.losses.is_empty())),
            self.story.app.as_ref().is_some_and(|app| app.flaws.is_any()),
            self.lost_its_agent() || agents.clone().any(|side| side.left_at_once),
            recordings.iter().any(|recording| !recording.lost.is_empty()),
            self.story.failovers > 0,
            agents.clone().any(|side| !side.listens()),
            agents.any(|side| side.listens()),
            self.legs.iter().any(|leg| leg.converted_to.is_some()),
            self.legs.iter().any(|leg| leg.srtp.is_some() && !leg.records()),
        ];
        FLAGS.into_iter().zip(hold).filter_map(|(flag, holds)| holds.then_some(flag)).collect()
    }

    /// Returns whether neither side of a call of at least a second was heard, although both should send.
    pub(crate) fn is_mute(&self) -> bool {
        let is_silent = |leg: LegId| {
            let side = &self.legs[leg];
            let should_send = side.ends.iter().any(|end| end.remote.as_ref().is_some_and(|remote| remote.watch_idle));
            should_send && side.rtp().rx_packets == 0
        };
        let sides = self.legs.callee.map(|callee| [self.legs.near, callee]);
        self.talked_seconds() >= Some(1.0) && sides.is_some_and(|sides| sides.into_iter().all(is_silent))
    }

    /// Returns whether an answered caller lost the call to a failure of its agent, without a remaining target.
    fn lost_its_agent(&self) -> bool {
        self.times.answered.is_some() && self.ending.is_some_and(|ending| ending.reason.is_agent_failure())
    }

    /// Returns whether this machine cannot send packets to a side.
    fn is_held_back(&self) -> bool {
        let found = self.legs.iter().flat_map(|leg| [&leg.quality.flaw, &leg.quality.unheard]).flatten();
        found.chain(self.story.fault.as_ref().map(|(_, found)| found)).any(|found| found.cause == FaultCause::Unsent)
    }

    /// Returns whether a target was lost because of its codecs, or a side sends a codec that was not negotiated.
    fn has_mismatch(&self) -> bool {
        let odd = |leg: &Leg| leg.quality.flaw.as_ref().is_some_and(|found| found.cause == FaultCause::Payload);
        self.story.fault.as_ref().is_some_and(|(_, found)| found.cause == FaultCause::Codecs)
            || self.legs.iter().any(odd)
    }

    fn since_began(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.times.began))
    }

    /// Returns the quality series up to now; `None` before the answer.
    pub(crate) fn quality(&self, now: Instant) -> Option<QualityRecord> {
        let legs = self.legs.with_ids().map(|(at, leg)| LegLabel {
            sid: leg.sid.clone(),
            party: self.legs.name_of(at),
            codec: leg.codec.clone(),
            is_agent: leg.agent.is_some(),
            listens: leg.listens(),
        });
        self.story.series.kept(now, self.legs.sid(), self.legs.iter().map(reading), legs)
    }

    /// Returns the outcome for the text rule; `None` for a call that was refused or answered elsewhere.
    fn text_outcome(&self, ending: CallOutcome) -> Option<TextOutcome> {
        if self.facts.answered_elsewhere {
            return None;
        }
        let by_code = match ending.code {
            code if is_busy_or_declined(code) => TextOutcome::Busy,
            408 | 480 => TextOutcome::NoAnswer,
            _ => TextOutcome::Failed,
        };
        match (ending.reason, ending.outcome) {
            // A call declined by the called party counts as missed, like a busy one.
            (ReasonSlug::TargetRejected, _) if ending.code == 603 => Some(TextOutcome::Busy),
            // The route's `reject` target follows after all other targets have failed.
            (ReasonSlug::RouteRejected, _) if self.story.failovers > 0 || self.legs.len() > 1 => Some(by_code),
            (_, outcome) => TextOutcome::ALL.into_iter().find(|known| known.as_str() == outcome),
        }
    }

    fn text(
        &self,
        edge: &Edge,
        rule: &SmsRule,
        outcome: TextOutcome,
        reason: ReasonSlug,
    ) -> Result<SmsRequest, TextRejection> {
        let ended = EndedCall {
            caller: Some(&self.facts.caller.number)
                .filter(|_| self.facts.caller.known_number().is_some() && !self.facts.identity.is_private()),
            called: &self.facts.called,
            route: &self.facts.route,
            trunk: self.legs[LegId::CALLER].trunk_name(),
            outcome: outcome.as_str(),
            reason: reason.as_str(),
        };
        let (to, body) = rule.write(&ended, edge.numbers())?;
        Ok(SmsRequest { call: self.legs.sid().to_owned(), to, from: rule.from.clone(), body })
    }

    /// Returns the evidence for the end of the call, or of a target, with this reason; `None` if there is no evidence
    /// for it.
    pub(crate) fn proof(&self, reason: ReasonSlug) -> Option<&str> {
        let proof = self.story.proof.as_ref().filter(|(of, _)| *of == reason).map(|(_, proof)| &**proof);
        proof.or(fault_of(self, reason).map(|found| found.text.as_str()))
    }

    /// Returns the fix for this call if there is one more specific than the fix for the reason.
    pub(crate) fn own_fix(&self, reason: ReasonSlug) -> Option<String> {
        let fault = fault_of(self, reason).map(|found| found.fix.clone());
        fault.or_else(|| unrecorded::fix(self, reason).map(str::to_owned))
    }

    /// Returns the last log line of the call; empty before its end.
    pub(crate) fn last_line(&self) -> String {
        let Some(ending) = self.ending else { return String::new() };
        let why = end_for_log(self, ending.reason);
        match self.talked_seconds() {
            Some(seconds) => format!("ended after {seconds:.1} s: {why}"),
            None => format!("{} with {}: {why}", ending.outcome, ending.code),
        }
    }

    /// Returns the evidence for the end of the call and its fix, for observers of the edge. For a rejection these are
    /// the target's response and the advice for its code.
    pub(crate) fn end_in_words(&self, reason: ReasonSlug) -> (Option<String>, Option<String>) {
        let (proof, fix) = (self.proof(reason).map(str::to_owned), self.own_fix(reason));
        match rejection_in_words(self, reason).filter(|_| proof.is_none()) {
            Some((text, advice)) => (Some(text), fix.or(advice.map(str::to_owned))),
            None => (proof, fix),
        }
    }
}

/// Records the times of a leg's events so far.
pub(crate) fn see(times: &mut LegTimes, at_us: u64, leg: &Leg) {
    match leg.state {
        LegState::Ringing | LegState::Early => {
            times.rang_us.get_or_insert(at_us);
        }
        LegState::Answered => {
            times.answered_us.get_or_insert(at_us);
        }
        LegState::Trying | LegState::Canceling | LegState::Closing | LegState::Ended => {}
    }
    if let Some(end) = leg.shown_end() {
        times.ended_us.get_or_insert(at_us);
        times.failed = end.failed;
    }
    times.listens = leg.listens();
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn counters(leg: &Leg) -> impl Iterator<Item = &EndCounters> {
    let ends = leg.ends.iter().map(|end| end.counters.as_ref());
    ends.chain(leg.agent.iter().map(|side| side.counters.as_ref()))
}

pub(crate) fn queue(leg: &Leg) -> Option<&AgentQueue> {
    leg.agent.as_ref()?.queue.as_deref()
}

pub(crate) fn totals(leg: &Leg) -> LegTotals {
    let mut all = leg.quality.earlier.as_deref().map(LegTotals::of_earlier).unwrap_or_default();
    for counters in counters(leg) {
        all.received += counters.rx_packets.get();
        all.lost += counters.lost.get();
        all.sent += counters.tx_packets.get().saturating_sub(counters.symptoms.refused.get());
        // Frames that an agent's socket did not accept are lost to it; this needs no report.
        all.far_lost += counters.far_lost.get() + counters.frames_dropped.get();
        all.far_reports += counters.far_reports.get();
    }
    all
}

/// Returns the current reading of a leg's counters.
pub(crate) fn reading(leg: &Leg) -> CounterReading {
    let largest = |of: fn(&EndCounters) -> u64| {
        u32::try_from(counters(leg).map(of).max().unwrap_or_default()).unwrap_or(u32::MAX)
    };
    let network = || LinkQuality::Network {
        jitter_us: largest(|counters| counters.jitter_us.get()),
        far_jitter_us: largest(|counters| counters.far_jitter_us.get()),
        rtt_us: largest(|counters| counters.rtt_us.get()),
        reported: false,
    };
    let way = queue(leg).map_or_else(network, LinkQuality::of_agent);
    CounterReading { totals: totals(leg), link: way, is_over: leg.state == LegState::Ended }
}

/// RTP clock of most codecs, and of Opus (RFC 3551 §4.5, RFC 7587 §4.1), in Hz.
const CLOCK_HZ: f64 = 8_000.0;
const OPUS_CLOCK_HZ: f64 = 48_000.0;

/// Returns both quality reports of a leg: of the media received here, and of the media sent, if the remote party
/// reports that by RTCP.
pub(crate) fn reports(
    leg: &Leg,
    party: &str,
    addressing: &Addressing,
) -> impl Iterator<Item = ReceptionReport> + use<> {
    let ends = leg.ends.first().and_then(|end| {
        let far = leg.latched.or(end.remote.as_ref().and_then(|remote| remote.rtp))?;
        Some((addressing.as_reached(end.bind, far.ip()), far))
    });
    let RtpView { rx_packets, tx_packets, lost, jitter_ms, rtt_ms, mos, far, .. } = leg.rtp();
    let clock = if leg.codec.eq_ignore_ascii_case("opus") { OPUS_CLOCK_HZ } else { CLOCK_HZ };
    let units = move |ms: f64| (ms * clock / 1000.0) as u32;
    let (party, codec) = (party.to_owned(), leg.codec.clone());
    let make = move |from, to, heard: (u64, u64, u64, f64, Option<f64>)| {
        let (sent, expected, lost, jitter_ms, mos) = heard;
        let (party, codec, jitter) = (party.clone(), codec.clone(), units(jitter_ms));
        ReceptionReport { from, to, party, codec, sent, expected, lost, jitter, rtt_ms, mos }
    };
    ends.into_iter().flat_map(move |(ours, theirs)| {
        let heard = (rx_packets > 0)
            .then(|| make(ours, theirs, (tx_packets, rx_packets.saturating_add(lost), lost, jitter_ms, mos)));
        let told =
            far.as_ref().map(|far| make(theirs, ours, (rx_packets, tx_packets, far.lost, far.jitter_ms, far.mos)));
        heard.into_iter().chain(told)
    })
}
