//! Operations for every part of a call: timers, responses in a dialog, media ports, address proofs, slots at a trunk,
//! calls to a number named by a remote party.

use std::net::SocketAddr;
use std::time::Duration;

use trunkgate_media::{EndId, MediaCommand, RemoteSpec};
use trunkgate_resources::admission::limited::CallLimit;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{CANCEL_SECONDS, REFRESH_RETRY_SECONDS, UNPROVEN_EARLY_MEDIA};
use trunkgate_resources::lookups::deadlines::CallTimer;
use trunkgate_resources::lookups::index::{CallIdOwner, LegRef, RequestPurpose};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::lookups::sip::extra;
use trunkgate_resources::trunks::health::TrunkAddress;
use trunkgate_resources::trunks::quotas::CallNumbers;
use trunkgate_resources::trunks::unproven::EarlyGrant;
use trunkgate_route::{CallInfo, CallTarget, CallerIdDecision, Number, RoutePlan, ScreeningReason, SendNumbers, Trunk};
use trunkgate_sdp::{AgreedStream, MediaEndpoint, SessionDescription, anchored_streams, fitted};
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{ClientId, DialogId, ExtraHeader, MessageBody, ResponseSpec, ServerId};
use trunkgate_story::numbers::Caller;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::trace::TraceItem;

use crate::call::legs::agent_leg::AT_ONCE;
use crate::call::legs::glare::glare_wait;
use crate::call::legs::leg::{Leg, LegState, StreamEnd};
use crate::call::legs::session_timer::SessionTimerRequest;
use crate::call::legs::written::Written;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::answer::{FinalAnswer, TargetFailure};
use crate::call::words::state::CallState;

impl CallCx<'_> {
    /// Records the use of media ports as the evidence for a lack of ports, if there is no more specific evidence.
    pub(crate) fn prove_no_ports(&mut self, reason: ReasonSlug) {
        if reason == ReasonSlug::NoPorts && self.call.story.proof.as_ref().is_none_or(|(of, _)| *of != reason) {
            let (in_use, all) = (2 * self.edge.sessions().ports.in_use(), 2 * self.edge.sessions().ports.total());
            let text = format!("{in_use} of {all} media ports are in use");
            self.call.story.proof = Some((reason, text.into()));
        }
    }

    /// Counts a failover: another candidate is tried after a failed one.
    pub(crate) fn count_failover(&mut self) {
        if let Some((reason, change)) = self.call.story.failed_over.take().map(|failed| *failed) {
            self.call.story.failovers += 1;
            self.edge.changed(change);
            let failovers = &mut self.edge.metrics_mut().failovers;
            *failovers.entry((self.call.facts.route.clone(), reason.as_str())).or_default() += 1;
        }
    }

    /// Withdraws our INVITE: by CANCEL if it has a provisional response, otherwise the transaction is abandoned (RFC
    /// 3261 §9.1).
    pub(crate) fn withdraw(&mut self, leg: LegId) {
        let leg = &mut self.call.legs[leg];
        let Some(client) =
            leg.sip.invite.filter(|_| matches!(leg.state, LegState::Trying | LegState::Ringing | LegState::Early))
        else {
            return;
        };
        leg.enter(LegState::Canceling);
        if self.call.facts.answered_elsewhere {
            self.edge.answered_elsewhere(client);
        }
        if leg.sip.heard {
            self.edge.cancel(self.now, client);
        } else {
            // The endpoint handles a late response; the leg stays, so that its remote party may still send requests.
            self.edge.abandon(self.now, client);
        }
        self.arm(CallTimer::Withdrawn, Duration::from_secs(CANCEL_SECONDS));
    }

    pub(crate) fn bye(&mut self, leg: LegId, reason: ReasonSlug) {
        if self.call.legs.refuse_held_back(self.now, self.edge, leg, reason) {
            return;
        }
        let at = self.call.legs.place(leg);
        let farewell = self.call.story.bye_headers.as_deref();
        let farewell = farewell.map(|(from, headers)| self.call.passing(self.edge, headers, *from, leg));
        let leg = &mut self.call.legs[leg];
        leg.enter(LegState::Closing);
        // Only trunks get the Reason header; a bare URI leads to an unconfigured party.
        let farewell = farewell.filter(|_| !leg.records());
        let headers = leg.trunk.as_ref().map(|_| extra("Reason", reason.header(reason.q850())));
        let headers: Vec<_> = headers.into_iter().chain(farewell.into_iter().flatten()).collect();
        leg.sip.bye = leg
            .sip
            .dialog
            .and_then(|dialog| self.edge.request(self.now, at, dialog, RequestPurpose::Bye, headers, None));
        if leg.sip.bye.is_none() {
            leg.enter(LegState::Ended);
        }
    }

    /// Ends the dialog of an unwanted 2xx: it crossed our CANCEL, or another fork answered first.
    pub(crate) fn accepted_too_late(&mut self, leg: LegId, dialog: DialogId) {
        self.edge.ack(self.now, dialog);
        if self.call.legs[leg].state == LegState::Canceling {
            self.call.legs.own_dialog(self.edge, leg, dialog);
            let ended = self.call.legs[leg].end.map(|end| end.reason).or(self.call.ending.map(|ending| ending.reason));
            let reason = ended.unwrap_or(ReasonSlug::CallerCanceled);
            self.bye(leg, reason);
        } else if self.call.legs[leg].sip.dialog != Some(dialog) {
            self.edge.endpoint_mut().request(self.now, dialog, trunkgate_sip::Method::Bye, Vec::new(), None);
            self.edge.pump();
        }
    }

    /// Ends the withdrawn legs, once none of their INVITEs can be answered any more.
    pub(crate) fn withdrawn_for_good(&mut self) {
        self.call.deadlines.remove(CallTimer::Withdrawn);
        for leg in self.call.legs.ids() {
            self.call.legs.withdrawn(self.edge, leg);
        }
    }

    /// Replaces a calling number that the caller's trunk may not send by the one its rule gives.
    ///
    /// # Errors
    /// 403 if the rule refuses the number instead; never for an emergency call.
    pub(crate) fn screen_caller(&mut self, trunk: &Trunk) -> Result<(), FinalAnswer> {
        let Some(rule) = trunk.caller_id_in.as_ref().filter(|_| !self.call.facts.caller.anonymous) else {
            return Ok(());
        };
        let instead = match rule.judge(&self.call.facts.caller.number) {
            CallerIdDecision::AsIs => return Ok(()),
            CallerIdDecision::Refused if self.edge.numbers().is_emergency(&self.call.facts.called) => return Ok(()),
            CallerIdDecision::Refused => return Err(FinalAnswer::new(403, ReasonSlug::CallerIdRefused)),
            CallerIdDecision::Instead(number) => number.clone(),
        };
        let (claimed, text) = (self.call.facts.caller.shown(), &instead.text);
        self.edge.decide(
            self.now,
            self.call.key,
            format!("{} may not send caller ID {claimed}: {text} is used", trunk.name),
        );
        // Display name and signatures belong to the original number.
        self.call.facts.caller = Caller { number: instead, display: String::new(), anonymous: false };
        self.call.facts.identity.unsign();
        Ok(())
    }

    /// Starts a timer again after this time; zero only stops it.
    pub(crate) fn arm(&mut self, timer: CallTimer, after: Duration) {
        self.disarm(timer);
        if let Some(at) = self.now.checked_add(after).filter(|_| !after.is_zero()) {
            let entry = self.edge.deadlines_mut().set(at, self.call.key, timer);
            self.call.deadlines.insert(timer, entry);
        }
    }

    /// Sets a timer to the remaining time of a limit; a limit that is already over fires at once.
    pub(crate) fn arm_left(&mut self, timer: CallTimer, left: Duration) {
        self.arm(timer, left.max(AT_ONCE));
    }

    /// Clears a timer.
    pub(crate) fn disarm(&mut self, timer: CallTimer) {
        if let Some(entry) = self.call.deadlines.remove(timer) {
            self.edge.deadlines_mut().clear(entry, self.call.key, timer);
        }
    }

    /// Sends the worker the remote address of an end, if it has changed.
    pub(crate) fn point(&mut self, (leg, end): (LegId, EndId), far: &MediaEndpoint, relatch: bool) {
        let Some(index) = self.call.legs[leg].ends.iter().find(|e| e.end == end).map(|e| e.index) else { return };
        let side = &self.call.legs[leg];
        let remote = side.remote_spec(far, self.edge.config().latch, relatch, self.call.is_answered());
        let remote = RemoteSpec { srtp: side.srtp_spec(index).map(Box::new), ..remote };
        self.tell_remote(leg, end, remote);
    }

    /// Closes the ends of refused and ended streams.
    pub(crate) fn close_unused(&mut self, legs: [LegId; 2], streams: &[AgreedStream]) {
        let Some(media) = self.call.session else { return };
        for leg in legs {
            let leg = &mut self.call.legs[leg];
            let unused = |end: &mut StreamEnd| !streams.iter().any(|s| s.index == end.index);
            for end in leg.ends.extract_if(.., unused) {
                leg.quality.retire(&end.counters);
                self.edge.remove_end(media, end.end);
            }
        }
    }

    /// Records the source address from which a media end receives RTP.
    pub(crate) fn latched(&mut self, end: EndId, source: SocketAddr) {
        if let Some(leg) = self.call.legs.leg_of(end) {
            self.call.legs[leg].latched = Some(source);
            self.edge.trace(
                self.now,
                self.call.key,
                TraceItem::Media { leg: leg.index(), text: format!("RTP comes from {source}") },
            );
            self.heard_from_source(leg);
        }
    }

    /// Ends a call in which an end receives nothing although its remote party should send.
    pub(crate) fn idle(&mut self, end: EndId) -> CallEffect {
        if let Some(leg) = self.call.legs.leg_of(end).filter(|leg| self.call.legs.is_side(*leg)) {
            self.edge.trace(
                self.now,
                self.call.key,
                TraceItem::Media { leg: leg.index(), text: "no RTP for too long".into() },
            );
            let seconds = self.edge.config().idle_timeout.as_secs();
            let came = self.call.legs[leg].rtp().rx_packets;
            let before = match came {
                0 => String::new(),
                1 => ", after 1 packet".to_owned(),
                several => format!(", after {several} packets"),
            };
            let name = self.call.legs.name_of(leg);
            let text = format!("no RTP from {name} arrived for {seconds} s (`idle_timeout`){before}");
            self.call.story.proof = Some((ReasonSlug::MediaTimeout, text.into()));
            return CallEffect::End(ReasonSlug::MediaTimeout);
        }
        CallEffect::Stay
    }

    /// Closes the ends of a leg that is not part of the call yet.
    pub(crate) fn close_ends(&mut self, leg: &mut Leg) {
        if let Some(media) = self.call.session {
            for end in std::mem::take(&mut leg.ends) {
                self.edge.remove_end(media, end.end);
            }
        }
    }

    /// Returns the caller's port for an m-line, and draws one if there is none.
    pub(crate) fn end_of_caller(&mut self, index: usize) -> Option<u16> {
        if let Some(end) = self.call.legs.near_leg().end(index) {
            return Some(end.bind.port());
        }
        let bind = self.edge.addressing().media_bind_for(self.call.legs.near_leg().flow)?;
        let end = StreamEnd::new(index, self.edge.add_end(self.call.session?, bind)?);
        let port = end.bind.port();
        self.call.legs.near_leg_mut().ends.push(end);
        Some(port)
    }

    /// Refuses a request in a dialog with too short a session interval. Returns whether it was refused.
    pub(crate) fn refused_as_too_short(&mut self, server: ServerId, session: SessionTimerRequest) -> bool {
        if session.is_too_short() {
            self.edge.respond(self.now, server, FinalAnswer::new(422, ReasonSlug::SessionTooShort).to_sip());
        }
        session.is_too_short()
    }

    /// Records the session interval agreed by the 2xx to our INVITE.
    pub(crate) fn session_taken(&mut self, leg: LegId, answered: Option<SessionExpires>) {
        self.call.legs[leg].take_session(self.now, answered);
        self.arm_sessions();
    }

    /// Consumes the session parameters of a leg's INVITE: starts the agreed interval, and returns the session headers
    /// of our 2xx. Empty if the parameters have been consumed.
    pub(crate) fn session_answer(&mut self, leg: LegId) -> Vec<ExtraHeader> {
        match self.call.legs[leg].timer.asked.take() {
            Some(asked) => self.session_agreed(leg, asked),
            None => Vec::new(),
        }
    }

    /// Starts the session interval that a leg's request has asked for, and returns the session headers of our 2xx.
    pub(crate) fn session_agreed(&mut self, leg: LegId, asked: SessionTimerRequest) -> Vec<ExtraHeader> {
        let headers = self.call.legs[leg].answer_session(self.now, asked);
        self.arm_sessions();
        headers
    }

    /// Sets the call's session timer to the leg that is due first.
    pub(crate) fn arm_sessions(&mut self) {
        let live = self.call.legs.iter().filter(|leg| leg.state == LegState::Answered);
        match live.filter_map(|leg| leg.timer.next()).min() {
            // Zero would disable the timer.
            Some(at) => {
                let wait = at.saturating_duration_since(self.now).max(Duration::from_millis(1));
                self.arm(CallTimer::Session, wait);
            }
            None => self.disarm(CallTimer::Session),
        }
    }

    /// Postpones the expiry of the call's sessions by a time in which the process did not run.
    pub(crate) fn postpone_sessions(&mut self, pause: Duration) {
        self.call.legs.iter_mut().for_each(|leg| leg.timer.postpone(pause));
        self.arm_sessions();
    }

    /// Schedules another attempt of a refused refresh, until the session expires.
    pub(crate) fn refresh_refused(&mut self, leg: LegId, code: u16) {
        let Some(expires) = self.call.legs[leg].timer.agreed.map(|agreed| agreed.expires) else { return };
        let wait = if code == 491 {
            glare_wait(self.edge, &self.call.legs[leg])
        } else {
            let half = expires.saturating_duration_since(self.now) / 2;
            half.max(Duration::from_secs(REFRESH_RETRY_SECONDS))
        };
        if let Some(agreed) = &mut self.call.legs[leg].timer.agreed {
            agreed.refresh = Some(self.now + wait);
        }
        self.arm_sessions();
    }

    pub(crate) fn answer_request(&mut self, leg: LegId, server: ServerId, ours: &SessionDescription) {
        // While the INVITE is open, its session parameters are kept for the response.
        let is_early = self.call.state == CallState::Searching;
        let headers = if is_early { Vec::new() } else { self.session_answer(leg) };
        // An established dialog keeps its own Contact.
        let contact_user = self.call.legs[leg].sip.dialog.map_or_else(|| self.call.contact_user(), |_| String::new());
        let body = Some(MessageBody::sdp(ours.to_string()));
        let answer = ResponseSpec { code: 200, body, contact_user, headers, ..ResponseSpec::default() };
        let dialog = self.edge.respond(self.now, server, answer);
        if let Some(dialog) =
            dialog.filter(|_| self.call.state == CallState::Answered && self.call.legs[leg].sip.dialog.is_none())
        {
            self.call.legs[leg].enter(LegState::Answered);
            self.call.legs[leg].sip.server = None;
            self.call.legs.own_dialog(self.edge, leg, dialog);
            self.arm_sessions();
        }
    }

    /// Draws media ends for streams that have none yet; `None` if no ports are left.
    pub(crate) fn draw_missing(&mut self, legs: &[LegId], offer: &SessionDescription) -> Option<Vec<EndId>> {
        let media = self.call.session?;
        let mut added = Vec::new();
        for leg in legs.iter().copied() {
            let bind = self.edge.addressing().media_bind_for(self.call.legs[leg].flow);
            for index in anchored_streams(offer) {
                if self.call.legs[leg].end(index).is_some() {
                    continue;
                }
                let Some(new) = bind.and_then(|bind| self.edge.add_end(media, bind)) else {
                    self.drop_added(&added);
                    return None;
                };
                added.push(new.end);
                self.call.legs[leg].ends.push(StreamEnd::new(index, new));
            }
        }
        Some(added)
    }

    pub(crate) fn drop_added(&mut self, added: &[EndId]) {
        let Some(media) = self.call.session else { return };
        for leg in &mut self.call.legs {
            leg.ends.retain(|end| !added.contains(&end.end));
        }
        for end in added {
            self.edge.remove_end(media, *end);
        }
    }

    /// Ends the call of a caller that has not acknowledged a reliable provisional response.
    pub(crate) fn not_acknowledged_early(&mut self) -> CallEffect {
        if let Some(server) = self.call.legs[LegId::CALLER].sip.server.take() {
            self.edge.index_mut().servers.remove(&server);
        }
        self.call.legs.leg_gone(self.edge, LegId::CALLER);
        CallEffect::Unacknowledged(504)
    }

    /// Answers a session refresh of a remote party; the endpoint has already stored the party's new Contact.
    pub(crate) fn refreshed(&mut self, leg: LegId, server: ServerId, session: SessionTimerRequest) {
        let mut headers = Vec::new();
        // While the INVITE is open, its session parameters are kept for the response.
        if self.call.legs[leg].state == LegState::Answered {
            if self.refused_as_too_short(server, session) {
                return;
            }
            headers = self.session_agreed(leg, session);
        }
        let answer = ResponseSpec { code: 200, headers, ..ResponseSpec::default() };
        self.edge.respond(self.now, server, answer);
    }

    /// Requires a new address proof after an INVITE with a session description.
    pub(crate) fn ask_for_proof(&mut self, leg: LegId) {
        let side = &mut self.call.legs[leg];
        let known = side.proven();
        side.proof.ask(known);
    }

    /// Records a proof that a leg's remote party receives our messages, and that its announced addresses are therefore
    /// its own.
    pub(crate) fn prove(&mut self, leg: LegId, by: &str) {
        if self.call.legs[leg].proof.give() {
            self.settle_proof(leg, by);
        }
    }

    /// Handles a new source of RTP, to which the worker sends unless it is the withheld address. A caller heard at a
    /// proven address, behind NAT, needs no early-media grant; one that has a grant keeps it, because the source can be
    /// forged.
    pub(crate) fn heard_from_source(&mut self, leg: LegId) {
        if leg != LegId::CALLER || !self.call.legs[leg].proof.awaited {
            return;
        }
        // The announced address may have replaced a proven one, or the reverse.
        self.reconsider(leg);
    }

    fn settle_proof(&mut self, leg: LegId, by: &str) {
        let before = self.call.legs[leg].withheld();
        if leg == LegId::CALLER && self.edge.unproven_early_mut().free(self.call.key) {
            self.disarm(CallTimer::Unproven);
        }
        if before.is_none() {
            return;
        }
        self.reconsider(leg);
        if let Some(address) = before.filter(|_| self.call.legs[leg].withheld().is_none()) {
            let text = format!("media to {address} is no longer withheld: {by}");
            self.edge.trace(self.now, self.call.key, TraceItem::Media { leg: leg.index(), text });
        }
    }

    /// Decides again whether media may be sent to a leg's remote party.
    pub(crate) fn reconsider(&mut self, leg: LegId) {
        let remotes = self.call.legs[leg].ends.iter().filter_map(|end| Some((end.end, end.remote.clone()?)));
        let remotes: Vec<_> = remotes.collect();
        for (end, remote) in remotes {
            self.tell_remote(leg, end, remote);
        }
    }

    /// Sends the worker the remote address of an end, if it has changed, and whether media may be sent there.
    pub(crate) fn tell_remote(&mut self, leg: LegId, end: EndId, mut remote: RemoteSpec) {
        let Some(media) = self.call.session else { return };
        remote.withheld = !self.call.legs[leg].is_proven(&remote);
        let is_heard = self.call.legs[leg].is_heard() && !remote.relatch;
        if remote.withheld && !is_heard && leg == LegId::CALLER && self.call.state == CallState::Searching {
            remote.withheld = !self.may_hear_early(remote.rtp);
        }
        let Some(slot) = self.call.legs[leg].ends.iter_mut().find(|slot| slot.end == end) else { return };
        if !remote.relatch && slot.remote.as_ref() == Some(&remote) {
            return;
        }
        let was_withheld = slot.remote.as_ref().is_some_and(|before| before.withheld && before.rtp == remote.rtp);
        slot.remote = Some(RemoteSpec { relatch: false, ..remote.clone() });
        let told = remote.rtp.filter(|_| remote.withheld && !was_withheld && !is_heard);
        self.edge.media(media, MediaCommand::SetRemote { end, remote });
        if let Some(address) = told.filter(|_| self.call.state != CallState::Searching) {
            let text = format!("media to {address} withheld until the ACK: address not proven");
            self.edge.trace(self.now, self.call.key, TraceItem::Media { leg: leg.index(), text });
        }
    }

    /// Returns whether the caller gets early media although its address is not proven; the first time, requests this
    /// from the limit of its trunk and starts the time limit.
    fn may_hear_early(&mut self, to: Option<SocketAddr>) -> bool {
        let before = self.edge.unproven_early().grant(self.call.key);
        if matches!(before, EarlyGrant::Granted | EarlyGrant::Over) {
            return before == EarlyGrant::Granted;
        }
        let (Some(trunk), Some(to)) = (self.call.legs[LegId::CALLER].trunk.clone(), to) else { return false };
        let most = trunk.unproven_early_media;
        let (count, is_one) = self.edge.unproven_early_mut().admit(self.now, &trunk.name, most, self.call.key);
        if is_one {
            self.arm(CallTimer::Unproven, UNPROVEN_EARLY_MEDIA);
        }
        if is_one || before == EarlyGrant::Unasked {
            let seconds = UNPROVEN_EARLY_MEDIA.as_secs();
            let what = if is_one { format!("for {seconds} s at most") } else { "withheld".to_owned() };
            let calls = format!("{count} of {most} unproven early-media calls of trunk {}", trunk.name);
            let text = format!("early media to {to} {what}: address not proven ({calls})");
            self.edge.trace(self.now, self.call.key, TraceItem::Media { leg: LegId::CALLER.index(), text });
        }
        is_one
    }

    /// Withholds early media after the maximum time at an unproven address.
    pub(crate) fn early_grant_over(&mut self) {
        self.call.deadlines.remove(CallTimer::Unproven);
        if self.call.state != CallState::Searching {
            return;
        }
        self.edge.unproven_early_mut().end(self.call.key);
        self.reconsider(LegId::CALLER);
        if let Some(address) = self.call.legs[LegId::CALLER].withheld() {
            let (ip, name) = (address.ip(), self.call.legs[LegId::CALLER].trunk_name());
            let seconds = UNPROVEN_EARLY_MEDIA.as_secs();
            let text = format!(
                "early media to {address} withheld: address not proven after {seconds} s; \
                 write the network of {ip} in `media_from` of [trunk.{name}]"
            );
            self.edge.trace(self.now, self.call.key, TraceItem::Media { leg: LegId::CALLER.index(), text });
        }
    }

    /// Parses the answer to the description last sent to a remote party. An answer with another number of m-lines is
    /// fitted to the offer.
    ///
    /// # Errors
    /// The answer cannot be parsed, or names a forbidden media address.
    pub(crate) fn read_answer(&mut self, leg: LegId, sdp: &[u8]) -> Result<SessionDescription, TargetFailure> {
        let answer = self.call.legs.read(self.edge, leg, sdp)?;
        let sent = self.call.legs[leg].sdp.last_sent.as_ref();
        let sent = sent.filter(|sent| sent.sections() != answer.media.len()).and_then(Written::read);
        let fitted = sent.and_then(|sent| Some((sent.media.len(), fitted(&sent, &answer)?)));
        let Some((offered, fitted)) = fitted else { return Ok(answer) };
        let name = self.call.legs.name_of(leg);
        let text = format!("{name} answers {offered} m-lines with {}: the matching ones are used", answer.media.len());
        self.edge.decide(self.now, self.call.key, text);
        Ok(fitted)
    }

    /// Counts a call of `caller` to this number against the limits of the trunk with the remote party that named the
    /// number: transfers and redirections are limited like calls. Emergency calls are not counted.
    ///
    /// # Errors
    /// The limit that is reached; the refusal is counted and raises an alarm.
    pub(crate) fn charge_named(&mut self, trunk: &Trunk, number: &Number, caller: LegId) -> Result<(), ReasonSlug> {
        if self.edge.numbers().is_emergency(number) {
            return Ok(());
        }
        self.edge.admission_mut().check_rate(self.now, &trunk.name)?;
        self.edge.trunks_mut().count_request(self.now, &trunk.name)?;
        let called = self.edge.numbers().spellings(number, SendNumbers::AsIs);
        let numbers = CallNumbers { called: &called, caller: &self.call.number_of(caller).text };
        let taken = self.edge.take_quota(self.now, &trunk.name, numbers, (self.call.key, None));
        taken.map_err(|(reason, which)| {
            if let Some(limit) = CallLimit::from_reason(Some(&trunk.name), false, reason) {
                self.edge.admission_mut().limited.count_refusal(self.now, limit, &which, Some(self.call.legs.sid()));
            }
            self.edge.alarm(self.now, self.call.legs.sid(), &trunk.name, reason, &which);
            reason
        })
    }

    /// Returns the routing plan for a call of `caller` to this number from this trunk; `None` if no route matches.
    pub(crate) fn plan_named(&mut self, trunk: &Trunk, number: &Number, caller: LegId) -> Option<RoutePlan> {
        // The headers of the call's INVITE belong to its caller only.
        let headers = if caller == LegId::CALLER { &self.call.facts.headers[..] } else { &[] };
        let (called, caller) = (&*number.text, &*self.call.number_of(caller).text);
        let info = CallInfo { from: &trunk.name, called, caller, headers, ..CallInfo::default() };
        let mut plan = self.edge.plan(self.now, info)?;
        let is_emergency = self.edge.numbers().is_emergency(number);
        self.edge.by_ratio(self.now, self.call.key, &mut plan, !is_emergency);
        plan.targets = plan.targets.into_iter().map(|target| numbered(target, called)).collect();
        Some(plan)
    }

    /// Checks that a trunk's rules allow calls to a number in this form.
    ///
    /// # Errors
    /// 403; the refusal is traced, counted, and raises an alarm.
    pub(crate) fn may_take(&mut self, trunk: &Trunk, number: &Number, form: SendNumbers) -> Result<(), TargetFailure> {
        let Some(denied) = trunk.denied_as(self.edge.numbers(), number, form) else { return Ok(()) };
        let reason = reason_of(&denied.by);
        let (sid, shown) = (self.call.legs.sid().to_owned(), self.edge.shown(&denied.number));
        let (name, number, by) = (&trunk.name, &denied.number, &denied.by);
        // The command `why` prints the same sentence.
        self.edge.decide(self.now, self.call.key, format!("403: trunk {name} does not allow calls to {number} ({by})"));
        if let Some(rule) = CallLimit::from_reason(Some(name), true, reason) {
            self.edge.admission_mut().limited.count_refusal(self.now, rule, &denied.by.setting(), Some(&sid));
        }
        self.edge.alarm(self.now, &sid, name, reason, &format!("{shown}, {by}"));
        Err(TargetFailure::with_code(403, reason).told())
    }

    /// Checks that the remote party of `by` may be sent a REFER to call a number itself, bypassing the routes. Returns
    /// the status code of the refusal otherwise.
    pub(crate) fn may_call_itself(&mut self, by: LegId, trunk: &Trunk, number: &Number) -> Result<(), u16> {
        self.may_take(trunk, number, SendNumbers::E164).map_err(|failure| failure.code.unwrap_or(403))?;
        let Some(from) = self.call.legs[by].trunk.clone() else { return Err(403) };
        self.charge_named(&from, number, by).map_err(|_| 503)
    }

    /// Counts an answer for the leg's trunk, and ends the back-off of its address.
    pub(crate) fn trunk_answered(&mut self, leg: LegId) {
        let leg = &self.call.legs[leg];
        self.edge.trunks_mut().answered(self.now, leg.trunk_name());
        if let Some(spot) = leg.spot() {
            self.edge.health_mut().took_call(&spot);
        }
    }

    /// Records a response on a leg, which shows that its address is up.
    pub(crate) fn heard(&mut self, leg: LegId) {
        let leg = &mut self.call.legs[leg];
        leg.sip.heard = true;
        if let Some(spot) = leg.spot() {
            self.edge.peer_heard(&spot, None);
        }
    }

    /// Records that a leg's remote party did not respond.
    pub(crate) fn silent(&mut self, leg: LegId, sent: bool) {
        self.missed(leg, |edge, spot| edge.why_unanswered("INVITE", spot, sent));
    }

    /// Records a problem of a leg's address, unless the leg has had a response.
    pub(crate) fn missed(&mut self, leg: LegId, problem: impl FnOnce(&Edge, &TrunkAddress) -> String) {
        let leg = &self.call.legs[leg];
        if let Some(spot) = leg.spot().filter(|_| !leg.sip.heard) {
            let problem = problem(self.edge, &spot);
            self.edge.peer_missed(self.now, &spot, problem);
        }
    }

    pub(crate) fn point_back(&mut self, leg: LegId, end: EndId, remote: RemoteSpec) {
        let Some(media) = self.call.session else { return };
        let slot = self.call.legs[leg].ends.iter_mut().find(|slot| slot.end == end);
        if let Some(slot) = slot.filter(|slot| slot.remote.as_ref() != Some(&remote)) {
            slot.remote = Some(remote.clone());
            self.edge.media(media, MediaCommand::SetRemote { end, remote });
        }
    }

    /// Sends a leg the re-INVITE that moves its media to another call.
    ///
    /// # Errors
    /// No offer can be made, or the dialog cannot send a request now (491).
    pub(crate) fn ask_to_leave(
        &mut self,
        leg: LegId,
        ends: &[StreamEnd],
        offer: impl FnOnce(&[u16], &trunkgate_sdp::LocalOrigin) -> Result<SessionDescription, TargetFailure>,
    ) -> Result<ClientId, Box<FinalAnswer>> {
        let ports: Vec<u16> = ends.iter().map(|end| end.bind.port()).collect();
        let at = self.call.legs.place(leg);
        let side = &mut self.call.legs[leg];
        let sent = offer(&ports, &side.identity());
        let sent = sent.and_then(|mut sent| side.protect_anew(self.edge, &mut sent).map(|()| sent));
        let sent = sent.map_err(|failure| Box::new(failure.answer()))?;
        let body = Some(MessageBody::sdp(side.stamp(sent).to_string()));
        let headers = side.session_headers();
        let client = side
            .sip
            .dialog
            .and_then(|dialog| self.edge.request(self.now, at, dialog, RequestPurpose::Join, headers, body));
        client.ok_or_else(|| Box::new(FinalAnswer::new(491, ReasonSlug::Transferred)))
    }

    pub(crate) fn close_joining(&mut self, ends: Vec<StreamEnd>) {
        let Some(media) = self.call.session else { return };
        for end in ends {
            self.edge.remove_end(media, end.end);
        }
    }

    /// Adds a leg of another call to this call, with `ends` for its media. Returns its new id.
    pub(crate) fn take_over(&mut self, from: LegRef, leg: Leg, ends: Vec<StreamEnd>) -> LegId {
        let at = self.call.legs.place(self.call.legs.next_id());
        if let Some(flow) = leg.flow {
            let named = CallIdOwner { at, party: leg.party, trunk: leg.trunk.clone(), remote: flow.remote.ip() };
            self.edge.index_mut().pass_on(leg.sip.call_id.as_bytes(), from, named);
        }
        if let Some(dialog) = leg.sip.dialog {
            self.edge.index_mut().dialogs.insert(dialog, at);
        }
        if let Some(trunk) = leg.limited_by() {
            self.edge.resume_trunk_call(&trunk.name);
        }
        self.call.legs.push(Leg { ends, ..leg });
        at.leg
    }
}

/// Returns a target with this number, unless the target has a number of its own.
fn numbered(target: CallTarget, number: &str) -> CallTarget {
    match target {
        CallTarget::Trunk { trunk, number: None, peers } => {
            CallTarget::Trunk { trunk, number: Some(number.to_owned()), peers }
        }
        CallTarget::RingAll(targets) => {
            CallTarget::RingAll(targets.into_iter().map(|target| numbered(target, number)).collect())
        }
        other @ (CallTarget::Trunk { .. }
        | CallTarget::Uri { .. }
        | CallTarget::Agent(_)
        | CallTarget::App(_)
        | CallTarget::Reject(_)) => other,
    }
}

/// Returns the reason of a refusal by a trunk's number rules.
pub(crate) fn reason_of(denied: &ScreeningReason) -> ReasonSlug {
    match denied {
        ScreeningReason::HighRisk(_) => ReasonSlug::HighRisk,
        ScreeningReason::Deny(_) | ScreeningReason::Allow => ReasonSlug::Denied,
    }
}
