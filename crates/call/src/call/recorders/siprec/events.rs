//! Events of recording servers and their handling: responses, hang-ups and session changes, and our own re-INVITEs.

use bytes::Bytes;
use trunkgate_media::agent::{TrackName, TrackSet};
use trunkgate_media::{AudioListenerSpec, EndId, MediaCommand, MediaEvent};
use trunkgate_resources::lookups::index::RequestPurpose;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{MediaDirection, MediaEndpoint, SessionDescription, remote_endpoint};
use trunkgate_sip::header::SessionExpires;
use trunkgate_sip::{DialogId, ResponseSpec, ServerId};
use trunkgate_story::FailureResponse;
use trunkgate_story::reason::ReasonSlug;

use super::offer::{self, RecordedStream, STREAMS};
use super::recorded::{RecordingServer, RecordingSession, RecordingSessions};
use super::session::{SiprecAction, SiprecEvent, SiprecState};
use super::{ask, parties};
use crate::call::legs::codecs::name;
use crate::call::legs::event::{
    CallEvent, NegotiationEvent as N, SearchEvent as S, SideEvent as D, TransferEvent as T,
};
use crate::call::legs::glare::glare_wait;
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::{EndedBy, LegRejection};
use crate::call::legs::session_timer::{SessionDue, SessionTimerRequest};
use crate::call::legs::spoken::talks_as;
use crate::call::legs::srtp::NOT_ACCEPTABLE_HERE;
use crate::call::media::CallMedia;
use crate::call::shared::{CallCx, CallEffect};
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::state::CallState;

/// Trace note about a server that rejects an INVITE over TCP.
const NO_TCP: &str = "it does not support TCP: the INVITE is sent over UDP";

/// Problem of a group of servers without a known address.
const NO_ADDRESS: &str = "its servers have no known address";

/// 2xx to our INVITE: its leg, session description and session interval.
type SiprecAnswer = (LegId, Option<Bytes>, Option<SessionExpires>);

impl RecordingSession {
    fn note(&mut self, problem: String) {
        let server = self.current.as_ref().map_or("", |server| &server.peer);
        self.problem = Some(format!("{server}: {problem}"));
    }
}

impl RecordingSessions {
    /// Returns whether an event concerns a recording server.
    pub(crate) fn concern(&self, cx: &CallCx<'_>, event: &CallEvent) -> bool {
        use MediaEvent as M;
        if self.all().is_empty() {
            return false;
        }
        if let CallEvent::Negotiation(N::ReinviteAnswered { client, .. } | N::ReinviteUnanswered { client }) = event {
            return self.that_asked(*client).is_some();
        }
        if let CallEvent::Media(
            M::Bound { end }
            | M::Latched { end, .. }
            | M::Idle { end }
            | M::Unheard { end, .. }
            | M::Stopped { end, .. }
            | M::BindFailed { end, .. },
        ) = event
        {
            return leg_of(cx, *end).is_some();
        }
        leg_named(event).is_some_and(|leg| cx.call.legs.get(leg).is_some_and(|leg| leg.records()))
    }

    /// Handles an event that [concerns](RecordingSessions::concern) a recording server.
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others are of one leg or of no use here")]
    pub(crate) fn take(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, event: CallEvent) -> CallEffect {
        match event {
            CallEvent::Negotiation(N::ReinviteAnswered { client, code, dialog, sdp, session }) => {
                match self.that_asked(client) {
                    Some(at) => self.reinvite_answered(cx, media, at, code, (dialog, sdp), session),
                    None => CallEffect::Stay,
                }
            }
            CallEvent::Negotiation(N::ReinviteUnanswered { client }) => match self.that_asked(client) {
                Some(at) => self.reinvite_answered(cx, media, at, 408, (None, None), None),
                None => CallEffect::Stay,
            },
            CallEvent::Media(MediaEvent::BindFailed { end, error }) => match leg_of(cx, end) {
                Some(leg) => self.lose(cx, media, leg, format!("its media ports could not be bound: {error}")),
                None => CallEffect::Stay,
            },
            event => match leg_named(&event) {
                Some(leg) => self.of_leg(cx, media, leg, event),
                None => CallEffect::Stay,
            },
        }
    }

    /// Handles an event of a recording server's leg.
    #[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens, and a recording server has these")]
    fn of_leg(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, leg: LegId, event: CallEvent) -> CallEffect {
        use CallEvent as E;
        let at = self.on_leg(leg);
        let is_live = !matches!(cx.call.legs[leg].state, LegState::Canceling | LegState::Closing | LegState::Ended);
        let Some(at) = at.filter(|_| is_live) else {
            over(cx, leg, event);
            return CallEffect::Stay;
        };
        match event {
            E::Search(S::Trying { .. } | S::Provisional { .. }) => {
                cx.heard(leg);
                ask::wait_for_answer(cx, at);
                CallEffect::Stay
            }
            E::Search(S::Challenged { .. }) => {
                cx.heard(leg);
                CallEffect::Stay
            }
            E::Search(S::Accepted { dialog, sdp, session, .. }) => {
                self.accepted(cx, media, at, dialog, (leg, sdp, session))
            }
            E::Search(S::Rejected { said, detail, .. }) => self.rejected(cx, media, (at, leg), said, detail),
            E::Search(S::Unanswered { sent, .. }) => {
                cx.call.legs[leg].enter(LegState::Ended);
                if self.again_by_udp(cx, at, leg) {
                    return self.failed_with(cx, media, at, NO_TCP.to_owned(), SiprecEvent::Refused);
                }
                cx.silent(leg, sent);
                let why = if sent { "no final answer" } else { "the INVITE could not be sent" };
                self.failed_with(cx, media, at, why.to_owned(), SiprecEvent::Refused)
            }
            E::Search(S::EarlyBye { .. }) => {
                self.failed_with(cx, media, at, "BYE before its answer".into(), SiprecEvent::Silent)
            }
            E::Side(D::Bye { .. }) => {
                cx.call.legs[leg].end_with(ReasonSlug::CalleeHungUp, EndedBy::FarEnd);
                cx.call.legs.leg_gone(cx.edge, leg);
                self.failed_with(cx, media, at, "it has ended the recording (BYE)".to_owned(), SiprecEvent::HungUp)
            }
            E::Side(D::AckMissing { .. }) => self.lose(cx, media, leg, "no ACK for our 200".to_owned()),
            E::Negotiation(N::Acked { sdp, .. }) => self.acked(cx, media, (at, leg), sdp),
            E::Negotiation(N::Reinvite { server, sdp, session, .. }) => {
                self.changed(cx, media, (at, leg), server, (sdp, session))
            }
            E::Negotiation(N::Update { server, sdp: None, session, .. }) => {
                if !cx.refused_as_too_short(server, session) {
                    let headers = cx.session_agreed(leg, session);
                    cx.edge.respond(cx.now, server, ResponseSpec { code: 200, headers, ..ResponseSpec::default() });
                }
                CallEffect::Stay
            }
            E::Negotiation(N::Update { server, sdp, session, .. }) => {
                self.changed(cx, media, (at, leg), server, (sdp, session))
            }
            E::Negotiation(N::Pracked { server: Some(server), .. } | N::Info { server, .. }) => {
                refuse(cx, server, NOT_ACCEPTABLE_HERE)
            }
            E::Transfer(T::Refer { server, .. }) => refuse(cx, server, 603),
            E::Transfer(T::Reported { server, .. }) => refuse(cx, server, 489),
            _ => CallEffect::Stay,
        }
    }

    fn accepted(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        at: usize,
        dialog: DialogId,
        answered: SiprecAnswer,
    ) -> CallEffect {
        let (leg, sdp, session) = answered;
        if cx.call.legs[leg].sip.dialog.is_some() {
            cx.accepted_too_late(leg, dialog);
            return CallEffect::Stay;
        }
        cx.edge.ack(cx.now, dialog);
        cx.disarm(ask::timer(at));
        cx.call.legs.own_dialog(cx.edge, leg, dialog);
        cx.call.legs[leg].enter(LegState::Answered);
        cx.heard(leg);
        cx.session_taken(leg, session);
        match agreed(cx, leg, sdp.as_deref()) {
            Ok((streams, relatch)) => {
                let now = cx.edge.date(cx.now);
                if let Some(session) = self.get_mut(at) {
                    (session.streaming, session.problem) = (now, None);
                }
                self.run(cx, media, (at, leg), &streams, relatch);
                self.advance_session(cx, media, at, SiprecEvent::Taken)
            }
            Err(why) => self.failed_with(cx, media, at, why, SiprecEvent::Unusable),
        }
    }

    fn rejected(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        (at, leg): (usize, LegId),
        said: FailureResponse,
        detail: Option<String>,
    ) -> CallEffect {
        cx.heard(leg);
        cx.call.legs[leg].enter(LegState::Ended);
        let code = said.code;
        let why = detail.map_or_else(|| said.to_string(), |detail| format!("{said}, {detail}"));
        cx.call.legs[leg].end_with(ReasonSlug::TargetRejected, EndedBy::FarEnd);
        cx.call.legs[leg].rejection = Some(Box::new(LegRejection { said, caller_id: None }));
        let goes_plain = code == NOT_ACCEPTABLE_HERE && ask::may_go_plain(&cx.call.legs[leg]);
        if let Some(session) = self.get_mut(at).filter(|_| goes_plain)
            && let Some(server) = session.current.clone().filter(|server| !server.plain)
        {
            session.left.push_front(ask::without_srtp(server));
        }
        self.failed_with(cx, media, at, why, SiprecEvent::Refused)
    }

    /// Queues the server again over UDP if it did not accept a long INVITE over TCP; returns false if TCP was its
    /// configured transport.
    fn again_by_udp(&mut self, cx: &mut CallCx<'_>, at: usize, leg: LegId) -> bool {
        let Some(server) = self.get_mut(at).and_then(|session| session.current.clone()) else { return false };
        let is_refused = ask::goes_by_tcp_instead(&cx.call.legs[leg], &server);
        if let Some(session) = self.get_mut(at).filter(|_| is_refused) {
            session.left.push_front(RecordingServer { by_udp: true, ..server });
            // A repetition to the same server over UDP does not count as an attempt.
            session.attempts = session.attempts.saturating_sub(1);
        }
        is_refused
    }

    /// Sends the streams to the addresses negotiated with the server.
    fn run(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        (at, leg): (usize, LegId),
        streams: &[RecordedStream; STREAMS],
        relatch: bool,
    ) {
        let Some(session) = cx.call.session else { return };
        let is_new = self.get_mut(at).is_some_and(|session| session.streamers.is_empty());
        if is_new {
            for track in [TrackName::Inbound, TrackName::Outbound] {
                let Some(end) = cx.edge.new_end(session) else { return };
                cx.edge.media(session, MediaCommand::AddListener { end, spec: AudioListenerSpec::Streamer { track } });
                cx.call.listeners.add(end, TrackSet::Both);
                if let Some(recording) = self.get_mut(at) {
                    recording.streamers.push(end);
                }
            }
        }
        let streamers = self.get_mut(at).map(|session| session.streamers.clone()).unwrap_or_default();
        for (index, (stream, from)) in streams.iter().zip(streamers).enumerate() {
            let Some(to) = cx.call.legs[leg].end(index).map(|end| end.end) else { continue };
            cx.point((leg, to), &stream.far, relatch);
            cx.edge.media(session, MediaCommand::Wire { from, to, wire: talks_as(stream.payload, stream.coding) });
        }
        let side = &mut cx.call.legs[leg];
        side.codec = streams.first().map_or("", |stream| name(stream.coding)).to_owned();
        side.srtp = side.suite();
        media.tap_caller(cx);
    }

    /// Continues the sessions of a restored call: starts their streams again. A session whose streams are unknown asks
    /// the next server.
    pub(crate) fn resume(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> CallEffect {
        for at in 0..self.all().len() {
            let Some(session) = self.get_mut(at) else { continue };
            let (Some(leg), trunk) = (session.leg, session.trunk.name.clone()) else { continue };
            cx.edge.metrics_mut().siprec.count_session(&trunk, true);
            let side = &cx.call.legs[leg];
            let streams = side.sent().zip(side.theirs()).map(|(sent, theirs)| offer::answered(&sent, &theirs));
            match streams {
                Some(Ok(streams)) => {
                    self.run(cx, media, (at, leg), &streams, false);
                    self.aim(cx, at, leg);
                    self.send_pending_change(cx, at);
                }
                Some(Err(why)) => {
                    let next = self.lose(cx, media, leg, why);
                    if !matches!(next, CallEffect::Stay) {
                        return next;
                    }
                }
                None => {}
            }
        }
        CallEffect::Stay
    }

    /// Sends the worker the direction of both streams: as negotiated, or inactive while the recording is paused.
    fn aim(&mut self, cx: &mut CallCx<'_>, at: usize, leg: LegId) {
        let Some(theirs) = cx.call.legs[leg].theirs() else { return };
        let is_paused = self.get_mut(at).is_some_and(|session| session.paused.is_some());
        for index in 0..STREAMS {
            let end = cx.call.legs[leg].end(index).map(|end| end.end);
            let Some((section, end)) = theirs.media.get(index).zip(end) else { continue };
            let far = remote_endpoint(&theirs, section, theirs.direction_of(section));
            let direction = if is_paused { MediaDirection::Inactive } else { far.direction };
            cx.point((leg, end), &MediaEndpoint { direction, ..far }, false);
        }
    }

    /// Calls the next server of a group.
    pub(super) fn ask_next(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, at: usize) -> CallEffect {
        loop {
            let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
            let asked = session.ask_next_server(cx, at);
            let (group, server) =
                (session.name().to_owned(), session.current.as_ref().map(|server| server.peer.clone()));
            let server = server.unwrap_or_default();
            match asked {
                Ok(()) => {
                    cx.edge.decide(cx.now, cx.call.key, format!("recording by {group}: INVITE sent to {server}"));
                    return CallEffect::Stay;
                }
                Err(Some(why)) => {
                    session.note(why.clone());
                    cx.edge.decide(cx.now, cx.call.key, format!("recording by {group}: {server} skipped: {why}"));
                }
                Err(None) => return self.advance_session(cx, media, at, SiprecEvent::NoneLeft),
            }
        }
    }

    /// Records a problem of a session's server, and advances the session by the event `news`.
    fn failed_with(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        at: usize,
        why: String,
        news: SiprecEvent,
    ) -> CallEffect {
        let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
        session.note(why);
        let (group, problem) = (session.name().to_owned(), session.problem.clone().unwrap_or_default());
        let trunk = session.trunk.name.clone();
        cx.edge.decide(cx.now, cx.call.key, format!("recording by {group}: {problem}"));
        cx.edge.trunks_mut().problem(cx.now, &trunk, problem);
        self.advance_session(cx, media, at, news)
    }

    /// Handles the loss of the server on a leg.
    fn lose(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, leg: LegId, why: String) -> CallEffect {
        let Some(at) = self.on_leg(leg) else { return CallEffect::Stay };
        let is_asked = self.get_mut(at).is_some_and(|session| session.stage == SiprecState::Asking);
        self.failed_with(cx, media, at, why, if is_asked { SiprecEvent::Silent } else { SiprecEvent::Lost })
    }

    /// Advances the state machine of a session, and carries out its step.
    pub(super) fn advance_session(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        at: usize,
        news: SiprecEvent,
    ) -> CallEffect {
        let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
        let (stage, step) = session.stage.step(news);
        let was = std::mem::replace(&mut session.stage, stage);
        let trunk = session.trunk.name.clone();
        if (was == SiprecState::Recording) != (stage == SiprecState::Recording) {
            cx.edge.metrics_mut().siprec.count_session(&trunk, stage == SiprecState::Recording);
        }
        match step {
            SiprecAction::Nothing => CallEffect::Stay,
            SiprecAction::Record => {
                self.begun(cx, at);
                CallEffect::Stay
            }
            SiprecAction::Next | SiprecAction::WithdrawThenNext => {
                self.release_server(cx, media, at, ReasonSlug::NoResponse);
                self.ask_next(cx, media, at)
            }
            SiprecAction::ByeThenNext => {
                self.release_server(cx, media, at, ReasonSlug::RecordingUnavailable);
                if news == SiprecEvent::Lost {
                    cx.edge.metrics_mut().siprec.count(&trunk, "lost");
                    self.again(cx, at);
                }
                self.ask_next(cx, media, at)
            }
            SiprecAction::Withdraw | SiprecAction::Bye => {
                self.release_server(cx, media, at, ReasonSlug::Operator);
                CallEffect::Stay
            }
            SiprecAction::End => {
                self.release_server(cx, media, at, ReasonSlug::CalleeHungUp);
                cx.edge.metrics_mut().siprec.count(&trunk, "ended_by_server");
                self.unrecorded(cx, at)
            }
            SiprecAction::Fail => {
                self.release_server(cx, media, at, ReasonSlug::RecordingUnavailable);
                cx.edge.metrics_mut().siprec.count(&trunk, "failed");
                let problem = self.get_mut(at).and_then(|session| session.problem.clone());
                let (why, sid) = (problem.unwrap_or_else(|| NO_ADDRESS.to_owned()), cx.call.legs.sid().to_owned());
                cx.edge.trunks_mut().not_recorded(cx.now, &trunk, &why, &sid);
                self.unrecorded(cx, at)
            }
        }
    }

    /// Records that a server has begun to record.
    fn begun(&mut self, cx: &mut CallCx<'_>, at: usize) {
        let Some(session) = self.get_mut(at) else { return };
        let (group, id) = (session.name().to_owned(), session.ids.session.clone());
        let (server, trunk) = (session.current.as_ref().map(|server| server.peer.clone()), session.trunk.name.clone());
        let server = server.unwrap_or_default();
        cx.edge.metrics_mut().siprec.count(&trunk, "recorded");
        cx.edge.trunks_mut().recorded(cx.now, &trunk);
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.log(&sid, format!("recorded by {group} at {server}, session {id}"), None);
        cx.edge.decide(cx.now, cx.call.key, format!("recorded by {group} at {server}"));
        self.send_pending_change(cx, at);
    }

    /// Lists the servers of a group again after the loss of one; the lost server comes last.
    fn again(&mut self, cx: &mut CallCx<'_>, at: usize) {
        let Some(trunk) = self.get_mut(at).map(|session| session.trunk.clone()) else { return };
        let mut servers = ask::servers(cx.edge, cx.now, &trunk);
        let Some(session) = self.get_mut(at) else { return };
        let lost = session.current.as_ref().map(|server| (server.transport, server.address));
        if let Some(place) = servers.iter().position(|server| Some((server.transport, server.address)) == lost)
            && let Some(server) = servers.remove(place)
        {
            servers.push_back(server);
        }
        session.left = servers;
    }

    /// Ends the leg of a session with its server, and its streams.
    fn release_server(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, at: usize, reason: ReasonSlug) {
        cx.disarm(ask::timer(at));
        let Some(session) = self.get_mut(at) else { return };
        let (leg, streamers) = (session.leg.take(), std::mem::take(&mut session.streamers));
        (session.needs_reinvite, session.is_late) = (false, false);
        let pending = session.pending.take();
        if let Some(client) = pending {
            cx.edge.turn_mut().finished.push(client);
        }
        for end in streamers {
            cx.call.listeners.remove(end);
            if let Some(call_media) = cx.call.session {
                cx.edge.remove_end(call_media, end);
            }
        }
        if let Some(leg) = leg {
            cx.call.legs[leg].end_with(reason, EndedBy::Edge);
            media.hang_up_leg(cx, leg, reason);
            media.drop_ends(cx, leg);
        }
    }

    /// Handles a group of servers that no longer records the call; the call ends if recording is required.
    fn unrecorded(&mut self, cx: &mut CallCx<'_>, at: usize) -> CallEffect {
        let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
        let is_required = session.trunk.siprec.is_some_and(|siprec| siprec.required);
        let problem = session.problem.clone().unwrap_or_else(|| NO_ADDRESS.to_owned());
        let text = format!("not recorded by [siprec.{}]: {problem}", session.name());
        let sid = cx.call.legs.sid().to_owned();
        cx.edge.warn(&sid, text.clone(), Some(ReasonSlug::RecordingUnavailable));
        cx.edge.decide(cx.now, cx.call.key, text.clone());
        let is_emergency = cx.edge.numbers().is_emergency(&cx.call.facts.called);
        if !is_required || is_emergency || cx.call.state == CallState::Ended {
            return CallEffect::Stay;
        }
        cx.call.story.proof = Some((ReasonSlug::RecordingUnavailable, text.into()));
        CallEffect::End(ReasonSlug::RecordingUnavailable)
    }

    /// Notifies servers by re-INVITE of parties that have joined or left. `has_program` is true if an application or a
    /// mailbox is connected with a single party.
    pub(crate) fn follow(&mut self, cx: &mut CallCx<'_>, has_program: bool) {
        if self.all().is_empty() {
            return;
        }
        let Some(current) = parties::current(cx, has_program) else { return };
        let now = cx.edge.date(cx.now);
        let mut is_any = false;
        for session in self.all_mut().iter_mut().filter(|session| !session.stage.is_over()) {
            let is_new = session.parties.update(now, current.clone(), cx.edge.random_mut());
            session.needs_reinvite |= is_new;
            is_any |= is_new;
        }
        if is_any {
            (0..self.all().len()).for_each(|at| self.send_pending_change(cx, at));
        }
    }

    /// Sends the server a re-INVITE with a pending change: paused or resumed streams, or parties that joined or left.
    pub(super) fn send_pending_change(&mut self, cx: &mut CallCx<'_>, at: usize) {
        let Some(session) = self.get_mut(at) else { return };
        let (true, SiprecState::Recording, None, Some(leg)) =
            (session.needs_reinvite, session.stage, session.pending, session.leg)
        else {
            return;
        };
        if session.paused.is_some() {
            self.aim(cx, at, leg);
        }
        let place = cx.call.legs.place(leg);
        let Some(session) = self.all().get(at) else { return };
        let side: &mut Leg = &mut cx.call.legs[leg];
        let local = side.flow.and_then(|flow| cx.edge.addressing().local(flow.remote.ip(), flow.listener));
        let (Some(dialog), Some(local)) = (side.sip.dialog, local) else { return };
        let Some(sdp) = session.offer_on(cx.edge, side, false) else { return };
        let headers = side.session_headers();
        let body = session.body(cx.edge, &sdp, local);
        let client = cx.edge.request(cx.now, place, dialog, RequestPurpose::Reinvite, headers, Some(body));
        if let Some(session) = self.get_mut(at) {
            (session.pending, session.needs_reinvite) = (client, client.is_none());
        }
    }

    fn reinvite_answered(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        at: usize,
        code: u16,
        (dialog, sdp): (Option<DialogId>, Option<Bytes>),
        expires: Option<SessionExpires>,
    ) -> CallEffect {
        let is_taken = (200..300).contains(&code);
        if let Some(dialog) = dialog.filter(|_| is_taken) {
            cx.edge.ack(cx.now, dialog);
        }
        let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
        session.pending = None;
        let Some(leg) = session.leg.filter(|_| session.stage == SiprecState::Recording) else {
            return CallEffect::Stay;
        };
        match code {
            _ if is_taken => {
                cx.session_taken(leg, expires);
                match agreed(cx, leg, sdp.as_deref()) {
                    Ok((streams, relatch)) => self.run(cx, media, (at, leg), &streams, relatch),
                    Err(why) => return self.lose(cx, media, leg, why),
                }
                self.aim(cx, at, leg);
                self.send_pending_change(cx, at);
            }
            491 => {
                cx.call.legs[leg].take_back();
                let wait = glare_wait(cx.edge, &cx.call.legs[leg]);
                if let Some(session) = self.get_mut(at) {
                    session.needs_reinvite = true;
                }
                cx.arm(ask::timer(at), wait);
            }
            408 | 481 => return self.lose(cx, media, leg, format!("{code} to our re-INVITE")),
            _ => {
                cx.call.legs[leg].take_back();
                let text = format!("{} answered {code} to our re-INVITE", cx.call.legs.name_of(leg));
                cx.edge.decide(cx.now, cx.call.key, text);
            }
        }
        CallEffect::Stay
    }

    /// Handles a re-INVITE or UPDATE of a server, which carries an offer or requests ours.
    fn changed(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        (at, leg): (usize, LegId),
        server: ServerId,
        (sdp, asked): (Option<Bytes>, SessionTimerRequest),
    ) -> CallEffect {
        let is_busy = self.get_mut(at).is_none_or(|session| session.pending.is_some() || session.is_late);
        if is_busy || cx.call.legs[leg].sip.dialog.is_none() {
            return refuse(cx, server, 491);
        }
        if cx.refused_as_too_short(server, asked) {
            return CallEffect::Stay;
        }
        cx.call.legs[leg].timer.ask(asked);
        let Some(sdp) = sdp else {
            let Some(session) = self.all().get(at) else { return CallEffect::Stay };
            let Some(ours) = session.offer_on(cx.edge, &mut cx.call.legs[leg], false) else {
                return refuse(cx, server, 500);
            };
            if let Some(session) = self.get_mut(at) {
                session.is_late = true;
            }
            cx.answer_request(leg, server, &ours);
            return CallEffect::Stay;
        };
        let Some(offer) = cx.call.legs.offer_in(cx.now, cx.edge, leg, server, &sdp) else { return CallEffect::Stay };
        match self.answer(cx, (at, leg), &offer) {
            Some((ours, streams, relatch)) => {
                self.run(cx, media, (at, leg), &streams, relatch);
                cx.answer_request(leg, server, &ours);
                CallEffect::Stay
            }
            None => {
                let refused = FinalAnswer::new(NOT_ACCEPTABLE_HERE, ReasonSlug::CodecMismatch);
                cx.edge.respond(cx.now, server, refused.to_sip());
                CallEffect::Stay
            }
        }
    }

    /// Answers an offer of a server, and applies both descriptions. `None` if the offer is unusable.
    fn answer(
        &self,
        cx: &mut CallCx<'_>,
        (at, leg): (usize, LegId),
        offer: &SessionDescription,
    ) -> Option<(SessionDescription, [RecordedStream; STREAMS], bool)> {
        let session = self.all().get(at)?;
        let side = &mut cx.call.legs[leg];
        let (ports, is_paused) = (ask::ports(side)?, session.paused.is_some());
        let made = offer::answer(offer, &session.trunk.codecs, ports, &side.identity(), is_paused);
        let (ours, streams) = made.ok()?;
        let (ours, relatch) = side.answer_again(cx.edge, offer, ours);
        Some((ours, streams, relatch))
    }

    /// Handles the ACK to our 2xx; if the 2xx carried our offer, the ACK has the answer.
    fn acked(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        (at, leg): (usize, LegId),
        sdp: Option<Bytes>,
    ) -> CallEffect {
        let is_late = self.get_mut(at).is_some_and(|session| std::mem::take(&mut session.is_late));
        if !is_late {
            self.send_pending_change(cx, at);
            return CallEffect::Stay;
        }
        match agreed(cx, leg, sdp.as_deref()) {
            Ok((streams, relatch)) => {
                self.run(cx, media, (at, leg), &streams, relatch);
                self.aim(cx, at, leg);
                self.send_pending_change(cx, at);
                CallEffect::Stay
            }
            Err(why) => self.lose(cx, media, leg, why),
        }
    }

    /// Handles the timer of a session: the server has not responded in time, or a re-INVITE is repeated.
    pub(crate) fn due(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, at: usize) -> CallEffect {
        cx.call.deadlines.remove(ask::timer(at));
        let Some(session) = self.get_mut(at) else { return CallEffect::Stay };
        let Some(leg) = session.leg else { return CallEffect::Stay };
        if session.stage == SiprecState::Recording {
            self.send_pending_change(cx, at);
            return CallEffect::Stay;
        }
        let was_heard = cx.call.legs[leg].sip.heard;
        if !was_heard && self.again_by_udp(cx, at, leg) {
            return self.failed_with(cx, media, at, NO_TCP.to_owned(), SiprecEvent::Silent);
        }
        cx.silent(leg, true);
        let why = if was_heard { "no final answer in time" } else { "no response" };
        self.failed_with(cx, media, at, why.to_owned(), SiprecEvent::Silent)
    }

    /// Refreshes the sessions that are due (RFC 4028) by re-INVITEs with metadata, and drops those that have expired.
    pub(crate) fn sessions_due(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia) -> CallEffect {
        for at in 0..self.all().len() {
            let leg = self.all()[at].leg.filter(|leg| cx.call.legs[*leg].state == LegState::Answered);
            let Some(leg) = leg else { continue };
            let timer = &mut cx.call.legs[leg].timer;
            match timer.due(cx.now) {
                SessionDue::Nothing => {}
                SessionDue::Refresh => {
                    timer.agreed.iter_mut().for_each(|agreed| agreed.refresh = None);
                    self.get_mut(at).into_iter().for_each(|session| session.needs_reinvite = true);
                    self.send_pending_change(cx, at);
                }
                SessionDue::Over(_) => {
                    timer.agreed = None;
                    let next = self.lose(cx, media, leg, "its session was not refreshed".to_owned());
                    if !matches!(next, CallEffect::Stay) {
                        return next;
                    }
                }
            }
            cx.arm_sessions();
        }
        CallEffect::Stay
    }

    /// Ends all sessions with the call.
    pub(crate) fn end(&mut self, cx: &mut CallCx<'_>) {
        for session in self.all_mut() {
            let (stage, _) = session.stage.step(SiprecEvent::Stop);
            if std::mem::replace(&mut session.stage, stage) == SiprecState::Recording {
                cx.edge.metrics_mut().siprec.count_session(&session.trunk.name, false);
            }
            session.streamers.drain(..).for_each(|end| cx.call.listeners.remove(end));
        }
        self.waiting_mut().into_iter().for_each(Vec::clear);
        self.report(cx);
    }
}

/// Returns the leg that an event of a dialog concerns.
fn leg_named(event: &CallEvent) -> Option<LegId> {
    use CallEvent as E;
    if let E::Search(
        S::Trying { leg }
        | S::Challenged { leg }
        | S::Provisional { leg, .. }
        | S::Accepted { leg, .. }
        | S::Rejected { leg, .. }
        | S::Unanswered { leg, .. }
        | S::EarlyBye { leg },
    )
    | E::Negotiation(
        N::Acked { leg, .. }
        | N::Pracked { leg, .. }
        | N::Reinvite { leg, .. }
        | N::Update { leg, .. }
        | N::Info { leg, .. },
    )
    | E::Transfer(T::Refer { leg, .. } | T::Reported { leg, .. })
    | E::Side(D::AckMissing { leg } | D::Bye { leg, .. }) = event
    {
        Some(*leg)
    } else {
        None
    }
}

fn leg_of(cx: &CallCx<'_>, end: EndId) -> Option<LegId> {
    cx.call.legs.leg_of(end).filter(|leg| cx.call.legs[*leg].records())
}

/// Handles an event of a leg whose server the session has already given up.
#[expect(clippy::wildcard_enum_match_arm, reason = "there are dozens, and a recording server has these")]
fn over(cx: &mut CallCx<'_>, leg: LegId, event: CallEvent) {
    use CallEvent as E;
    match event {
        E::Search(S::Accepted { dialog, .. }) => cx.accepted_too_late(leg, dialog),
        E::Search(S::Rejected { .. } | S::Unanswered { .. }) => cx.call.legs.withdrawn(cx.edge, leg),
        E::Side(D::Bye { .. }) => cx.call.legs.leg_gone(cx.edge, leg),
        E::Negotiation(N::Reinvite { server, .. } | N::Update { server, .. } | N::Info { server, .. })
        | E::Negotiation(N::Pracked { server: Some(server), .. })
        | E::Transfer(T::Refer { server, .. } | T::Reported { server, .. }) => {
            refuse_request(cx.now, cx.edge, server, 481)
        }
        _ => {}
    }
}

fn refuse(cx: &mut CallCx<'_>, server: ServerId, code: u16) -> CallEffect {
    refuse_request(cx.now, cx.edge, server, code);
    CallEffect::Stay
}

/// Applies the description of a server. Returns its streams, and whether the edge latches onto their sources again.
///
/// # Errors
/// The problem as text for trace and log: the description is missing, invalid, or does not fit our offer.
fn agreed(cx: &mut CallCx<'_>, leg: LegId, sdp: Option<&[u8]>) -> Result<([RecordedStream; STREAMS], bool), String> {
    let sdp = sdp.ok_or("its answer has no session description")?;
    let words = |failure: crate::call::words::answer::TargetFailure| {
        failure.warning.map_or_else(|| failure.reason.sentence().to_owned(), |warning| warning.text)
    };
    let answer = cx.call.legs.read(cx.edge, leg, sdp).map_err(words)?;
    let sent = cx.call.legs[leg].sent().ok_or("no offer")?;
    let streams = offer::answered(&sent, &answer)?;
    cx.call.legs[leg].check_answer(&sent, &answer, 0..STREAMS).map_err(words)?;
    let side = &mut cx.call.legs[leg];
    side.sdp.ours = side.sdp.last_sent.clone();
    let relatch = side.take_theirs(&answer);
    Ok((streams, relatch))
}
