//! The recording sessions of a call: their start, requests about them, and their streams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::SIPREC_FAILED_IN_ROW;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{SiprecSettings, Transport, Trunk};
use trunkgate_sip::ClientId;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::SiprecView;

use super::ask;
use super::asked::SiprecRequest;
use super::metadata::MetadataIds;
use super::parties::RecordedParties;
use super::session::{SiprecEvent, SiprecState};
use crate::call::legs::list::{Legs, LegsSnapshot};
use crate::call::media::CallMedia;
use crate::call::shared::{CallCx, CallEffect, SharedCallState};
use crate::call::words::refused::RequestRefusal;
use crate::call::words::state::CallState;

/// Requested change of a recording session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiprecChange {
    /// Pauses the streams.
    Pause,
    /// Resumes the streams.
    Resume,
    /// Ends the session.
    Stop,
}

/// The recording sessions of a call.
#[derive(Debug, Default)]
pub(crate) struct RecordingSessions {
    /// Sessions of the call; boxed, as few calls have any.
    list: Option<Box<SessionList>>,
}

#[derive(Debug, Default)]
struct SessionList {
    /// Groups that begin to record the call once it is answered.
    waiting: Vec<PlannedSession>,
    all: Vec<RecordingSession>,
}

/// A group of servers that begins to record the call once it is answered.
#[derive(Debug)]
pub(super) struct PlannedSession {
    /// Name of the group, which is also that of its trunk.
    pub(super) group: Arc<str>,
    /// Request of the document that starts the session, if one does.
    pub(super) request: Option<Box<SiprecRequest>>,
}

/// A candidate address of a recording server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RecordingServer {
    /// URI of the peer, as configured.
    pub(super) peer: String,
    /// Host and port of the peer.
    pub(super) host: (String, Option<u16>),
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// Whether the server is called without SRTP, which it has rejected.
    pub(super) plain: bool,
    /// Whether a long INVITE is sent over UDP, because the server does not accept it over TCP.
    pub(super) by_udp: bool,
}

/// A recording session: a call recorded by a group of servers.
#[derive(Debug)]
pub(crate) struct RecordingSession {
    /// Trunk with the servers of the group.
    pub(super) trunk: Arc<Trunk>,
    pub(super) stage: SiprecState,
    /// Servers still to be tried.
    pub(super) left: VecDeque<RecordingServer>,
    /// Server that is being called or records.
    pub(super) current: Option<RecordingServer>,
    /// Number of INVITEs sent to servers of the group.
    pub(super) attempts: usize,
    /// Leg of the last INVITE.
    pub(super) leg: Option<LegId>,
    pub(super) ids: MetadataIds,
    pub(super) parties: RecordedParties,
    /// Time at which the call was answered.
    pub(super) answered: SystemTime,
    /// Time at which the recording of the call began.
    pub(super) began: SystemTime,
    /// Time at which the streams started or resumed.
    pub(super) streaming: SystemTime,
    /// Time of the pause, while the session is paused.
    pub(super) paused: Option<SystemTime>,
    /// Media ends that feed the streams.
    pub(super) streamers: Vec<EndId>,
    /// Our re-INVITE without a response yet.
    pub(super) pending: Option<ClientId>,
    /// Whether the server must be notified by re-INVITE of paused or resumed streams, or of a changed party.
    pub(super) needs_reinvite: bool,
    /// Whether the ACK of the server will bring its answer to our offer.
    pub(super) is_late: bool,
    /// Reason why the last server failed.
    pub(super) problem: Option<String>,
    /// Request of the document that started the session, if one did.
    pub(super) request: Option<Box<SiprecRequest>>,
}

/// The recording sessions of a call as plain data. Finished ones are omitted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RecordingSessionsSnapshot {
    /// Groups whose session is not established; it begins again.
    waiting: Vec<Arc<str>>,
    /// Established sessions, in the order of the legs of their servers.
    established: Vec<RecordingSessionSnapshot>,
}

/// An established session as plain data. Its dialog is in the leg of its server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct RecordingSessionSnapshot {
    group: Arc<str>,
    server: RecordingServer,
    attempts: usize,
    ids: MetadataIds,
    parties: RecordedParties,
    answered: SystemTime,
    began: SystemTime,
    streaming: SystemTime,
    paused: Option<SystemTime>,
    needs_reinvite: bool,
    problem: Option<String>,
    request: Option<Box<SiprecRequest>>,
}

impl RecordingSessions {
    /// Returns the legs of the servers of established sessions.
    pub(crate) fn servers(&self) -> impl Iterator<Item = LegId> {
        self.all().iter().filter(|session| session.stage == SiprecState::Recording).filter_map(|session| session.leg)
    }

    /// Returns the sessions in plain data. One whose server is not among the legs begins again as a new one with the
    /// same metadata, except if it is paused: it would record the part that the pause was to exclude.
    pub(crate) fn snapshot(&self, legs: &LegsSnapshot) -> RecordingSessionsSnapshot {
        let mut established = Vec::new();
        let mut waiting: Vec<Arc<str>> = self.waiting().iter().map(|waiting| Arc::clone(&waiting.group)).collect();
        for session in self.all().iter().filter(|session| !session.stage.is_over()) {
            let place = session.leg.and_then(|leg| legs.server(leg));
            match place.zip(RecordingSessionSnapshot::of(session)) {
                Some(placed) => established.push(placed),
                None if session.paused.is_none() => waiting.push(Arc::clone(&session.trunk.name)),
                None => {}
            }
        }
        established.sort_by_key(|(place, _)| *place);
        RecordingSessionsSnapshot { waiting, established: established.into_iter().map(|(_, one)| one).collect() }
    }

    /// Restores the sessions; [`Self::resume`] continues them.
    pub(crate) fn restore(edge: &Edge, legs: &Legs, snapshot: RecordingSessionsSnapshot) -> RecordingSessions {
        let RecordingSessionsSnapshot { waiting, established } = snapshot;
        let mut sessions = RecordingSessions::default();
        waiting.into_iter().for_each(|group| sessions.wait_for(PlannedSession { group, request: None }));
        let count = established.len();
        for (at, one) in established.into_iter().enumerate() {
            let session = one.restore(edge, legs.nth_server(at, count));
            sessions.list.get_or_insert_default().all.push(session);
        }
        sessions
    }

    /// Returns the sessions for display.
    pub(crate) fn views(&self, call: &SharedCallState) -> Vec<SiprecView> {
        self.all().iter().map(|session| session.view(call)).collect()
    }

    /// Returns the names of the groups that record the call, or will record it once it is answered.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        let live = self.all().iter().filter(|session| !session.stage.is_over());
        self.waiting().iter().map(|waiting| &waiting.group).chain(live.map(|session| &session.trunk.name))
    }

    /// Returns our re-INVITEs without a response yet.
    pub(crate) fn pending(&self) -> impl Iterator<Item = ClientId> {
        self.all().iter().filter_map(|session| session.pending)
    }

    /// Returns the sessions that begin once the call is answered.
    pub(super) fn waiting(&self) -> &[PlannedSession] {
        self.list.as_ref().map_or(&[], |kept| &kept.waiting)
    }

    /// Returns the sessions that begin once the call is answered, mutably.
    pub(super) fn waiting_mut(&mut self) -> Option<&mut Vec<PlannedSession>> {
        self.list.as_mut().map(|kept| &mut kept.waiting)
    }

    /// Adds a session that begins once the call is answered.
    pub(super) fn wait_for(&mut self, group: PlannedSession) {
        self.list.get_or_insert_default().waiting.push(group);
    }

    /// Returns the sessions, including finished ones.
    pub(super) fn all(&self) -> &[RecordingSession] {
        self.list.as_ref().map_or(&[], |kept| &kept.all)
    }

    /// Returns the sessions, mutably.
    pub(super) fn all_mut(&mut self) -> &mut [RecordingSession] {
        self.list.as_mut().map_or(&mut [], |kept| &mut kept.all)
    }

    /// Returns the session at an index.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut RecordingSession> {
        self.all_mut().get_mut(at)
    }

    /// Returns the index of the session with its server on this leg.
    pub(super) fn on_leg(&self, leg: LegId) -> Option<usize> {
        self.all().iter().position(|session| session.leg == Some(leg))
    }

    /// Returns the index of the session with this pending re-INVITE.
    pub(super) fn that_asked(&self, client: ClientId) -> Option<usize> {
        self.all().iter().position(|session| session.pending == Some(client))
    }

    /// Plans recording sessions with groups of servers, to begin once the call is answered; a group records a call only
    /// once.
    ///
    /// # Errors
    /// Recording by a group is required and not possible: all of its servers are known to be down, or have refused the
    /// last calls.
    pub(crate) fn plan(
        &mut self,
        cx: &mut CallCx<'_>,
        groups: &[Arc<str>],
        is_emergency: bool,
    ) -> Result<(), ReasonSlug> {
        for group in groups {
            let Some(trunk) = cx.edge.table().trunk(group).cloned() else { continue };
            let is_required = trunk.siprec.is_some_and(|siprec| siprec.required) && !is_emergency;
            if is_required && cx.edge.is_trunk_up(&trunk) == Some(false) {
                let text =
                    format!("no server of [siprec.{}] answers", group.trim_start_matches(SiprecSettings::PREFIX));
                cx.call.story.proof = Some((ReasonSlug::RecordingUnavailable, text.into()));
                return Err(ReasonSlug::RecordingUnavailable);
            }
            if is_required && let Some(why) = cx.edge.trunks_mut().refuses_recording(cx.now, group) {
                let group = group.trim_start_matches(SiprecSettings::PREFIX);
                let text =
                    format!("no server of [siprec.{group}] accepted the last {SIPREC_FAILED_IN_ROW} calls: {why}");
                cx.call.story.proof = Some((ReasonSlug::RecordingUnavailable, text.into()));
                return Err(ReasonSlug::RecordingUnavailable);
            }
            if self.groups().all(|known| known != group) {
                self.wait_for(PlannedSession { group: Arc::clone(group), request: None });
            }
        }
        Ok(())
    }

    /// Plans sessions for parties that are already connected; servers that are down are noticed only when they are
    /// called.
    pub(crate) fn plan_later(&mut self, cx: &mut CallCx<'_>, groups: &[Arc<str>]) {
        let _ = self.plan(cx, groups, true);
    }

    /// Begins the sessions that wait for the answer of the call. `has_program` is true if an application or a mailbox
    /// has the call.
    pub(crate) fn poll(&mut self, cx: &mut CallCx<'_>, media: &mut CallMedia, has_program: bool) -> CallEffect {
        let is_up =
            matches!(cx.call.state, CallState::Answered | CallState::Rerouting) && cx.call.times.answered.is_some();
        let Some(kept) = self.list.as_mut().filter(|_| is_up) else { return CallEffect::Stay };
        for PlannedSession { group, request: asked } in std::mem::take(&mut kept.waiting) {
            let Some(trunk) = cx.edge.table().trunk(&group).cloned() else { continue };
            let now = cx.edge.date(cx.now);
            let answered = cx.call.times.answered.unwrap_or(now);
            let session = RecordingSession {
                left: ask::servers(cx.edge, cx.now, &trunk),
                trunk,
                stage: SiprecState::Asking,
                current: None,
                attempts: 0,
                leg: None,
                ids: MetadataIds::draw(cx.edge.random_mut()),
                parties: RecordedParties::begin(cx, answered, has_program),
                answered,
                began: now,
                streaming: now,
                paused: None,
                streamers: Vec::new(),
                pending: None,
                needs_reinvite: false,
                is_late: false,
                problem: None,
                request: asked,
            };
            let all = &mut self.list.get_or_insert_default().all;
            all.push(session);
            let at = all.len() - 1;
            let next = self.ask_next(cx, media, at);
            if !matches!(next, CallEffect::Stay) {
                return next;
            }
        }
        CallEffect::Stay
    }

    /// Changes the session of a group.
    ///
    /// # Errors
    /// The group has no session, or its session is over.
    pub(crate) fn change(
        &mut self,
        cx: &mut CallCx<'_>,
        media: &mut CallMedia,
        name: &str,
        change: SiprecChange,
    ) -> Result<SiprecView, RequestRefusal> {
        let at =
            self.all().iter().rposition(|session| session.name() == name).ok_or(RequestRefusal::UnknownRecording)?;
        let session = self.get_mut(at).ok_or(RequestRefusal::UnknownRecording)?;
        if session.stage.is_over() {
            return Err(RequestRefusal::RecordingEnded);
        }
        let now = cx.edge.date(cx.now);
        let text = match change {
            SiprecChange::Pause if session.paused.is_some() => {
                format!("pause requested: recording by {name} is already paused")
            }
            SiprecChange::Pause => {
                (session.paused, session.needs_reinvite) = (Some(now), true);
                format!("pause requested: recording by {name} pauses")
            }
            SiprecChange::Resume if session.paused.is_none() => {
                format!("resume requested: recording by {name} is already running")
            }
            SiprecChange::Resume => {
                (session.paused, session.streaming, session.needs_reinvite) = (None, now, true);
                format!("resume requested: recording by {name} resumes")
            }
            SiprecChange::Stop => format!("stop requested: recording by {name} ends"),
        };
        cx.edge.decide(cx.now, cx.call.key, text);
        if change == SiprecChange::Stop {
            // The end of a requested session never ends the call, even if recording is required.
            let _ = self.advance_session(cx, media, at, SiprecEvent::Stop);
        } else {
            self.send_pending_change(cx, at);
        }
        self.all().get(at).map(|session| session.view(cx.call)).ok_or(RequestRefusal::UnknownRecording)
    }
}

impl RecordingSessionSnapshot {
    /// Returns a session in plain data; `None` without a server.
    fn of(session: &RecordingSession) -> Option<RecordingSessionSnapshot> {
        let RecordingSession {
            trunk,
            current,
            attempts,
            ids,
            parties,
            answered,
            began,
            streaming,
            paused,
            pending,
            needs_reinvite,
            problem,
            request,
            // The session is established, and its leg is restored.
            stage: _,
            left: _,
            leg: _,
            streamers: _,
            is_late: _,
        } = session;
        Some(RecordingSessionSnapshot {
            group: Arc::clone(&trunk.name),
            server: current.clone()?,
            attempts: *attempts,
            ids: ids.clone(),
            parties: parties.clone(),
            answered: *answered,
            began: *began,
            streaming: *streaming,
            paused: *paused,
            needs_reinvite: *needs_reinvite || pending.is_some(),
            problem: problem.clone(),
            request: request.clone(),
        })
    }

    /// Restores the session with the server on a leg.
    fn restore(self, edge: &Edge, leg: LegId) -> RecordingSession {
        let RecordingSessionSnapshot {
            group,
            server,
            attempts,
            ids,
            parties,
            answered,
            began,
            streaming,
            paused,
            needs_reinvite,
            problem,
            request,
        } = self;
        RecordingSession {
            trunk: edge.table().trunk(&group).cloned().unwrap_or_else(|| Arc::new(Trunk::named(&group))),
            stage: SiprecState::Recording,
            left: VecDeque::new(),
            current: Some(server),
            attempts,
            leg: Some(leg),
            ids,
            parties,
            answered,
            began,
            streaming,
            paused,
            streamers: Vec::new(),
            pending: None,
            needs_reinvite,
            is_late: false,
            problem,
            request,
        }
    }
}

impl RecordingSession {
    /// Returns the name of the group as configured.
    pub(super) fn name(&self) -> &str {
        self.trunk.name.strip_prefix(SiprecSettings::PREFIX).unwrap_or(&self.trunk.name)
    }

    fn view(&self, call: &SharedCallState) -> SiprecView {
        let server = self.current.as_ref().map(|server| server.peer.clone());
        let call_id = self.leg.and_then(|leg| call.legs.get(leg)).map(|leg| leg.sip.call_id.clone());
        SiprecView {
            name: self.name().to_owned(),
            status: self.stage.as_str(self.paused.is_some()),
            server: server.filter(|_| self.stage != SiprecState::Failed),
            session_id: self.ids.session.clone(),
            sip_call_id: call_id.filter(|_| self.stage != SiprecState::Failed),
            problem: self.problem.clone(),
        }
    }
}
