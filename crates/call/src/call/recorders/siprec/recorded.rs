//! The recording sessions of a call: what begins them, requests about them, and what their streams hear.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use trunkgate_media::EndId;
use trunkgate_resources::limits::SIPREC_FAILED_IN_ROW;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_route::{Siprec, Transport, Trunk};
use trunkgate_sip::ClientId;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::SiprecView;

use super::ask;
use super::asked::Asked;
use super::metadata::Ids;
use super::parties::Parties;
use super::session::{News, Stage};
use crate::call::media::CallMedia;
use crate::call::shared::{Cx, Next, Shared};
use crate::call::words::refused::Refused;
use crate::call::words::state::State;

/// A change of a recording session that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SiprecChange {
    /// Its streams pause.
    Pause,
    /// They run again.
    Resume,
    /// It ends.
    Stop,
}

/// The recording sessions of a call.
#[derive(Debug, Default)]
pub(crate) struct RecordingSessions {
    /// Boxed, as few calls have any.
    kept: Option<Box<SessionList>>,
}

#[derive(Debug, Default)]
struct SessionList {
    /// Groups that are to record the call once it is answered.
    waiting: Vec<Waiting>,
    all: Vec<RecordingSession>,
}

/// A group of servers that is to record the call.
#[derive(Debug)]
pub(super) struct Waiting {
    /// The name of its trunk.
    pub(super) group: Arc<str>,
    /// The request of a document for it.
    pub(super) asked: Option<Box<Asked>>,
}

/// One way to a recording server.
#[derive(Debug, Clone)]
pub(super) struct Server {
    /// The peer as written.
    pub(super) peer: String,
    /// Its host and port.
    pub(super) host: (String, Option<u16>),
    pub(super) transport: Transport,
    pub(super) address: SocketAddr,
    /// Whether it has refused SRTP, and is asked again without.
    pub(super) plain: bool,
    /// Whether it does not take a long INVITE by TCP, and is asked by UDP.
    pub(super) by_udp: bool,
}

/// One recording session: a call, recorded by a group of servers.
#[derive(Debug)]
pub(crate) struct RecordingSession {
    /// The servers, as the call knows them.
    pub(super) trunk: Arc<Trunk>,
    pub(super) stage: Stage,
    /// Servers that are still to be asked.
    pub(super) left: VecDeque<Server>,
    /// The server that is asked or records.
    pub(super) current: Option<Server>,
    /// INVITEs sent.
    pub(super) attempts: usize,
    /// The leg of the last one.
    pub(super) leg: Option<LegId>,
    pub(super) ids: Ids,
    pub(super) parties: Parties,
    /// When the call was answered.
    pub(super) answered: SystemTime,
    /// When its recording began.
    pub(super) began: SystemTime,
    /// When its streams began to run, or run again.
    pub(super) streaming: SystemTime,
    /// Since when it is paused.
    pub(super) paused: Option<SystemTime>,
    /// Ends that feed its streams.
    pub(super) streamers: Vec<EndId>,
    /// Our re-INVITE that is not answered yet.
    pub(super) pending: Option<ClientId>,
    /// Whether the server does not know yet that the streams have paused, or run again, or who came and left.
    pub(super) owes: bool,
    /// Whether the server is to say in its ACK where its media is.
    pub(super) is_late: bool,
    /// Why the last server failed.
    pub(super) problem: Option<String>,
    /// The request of a document for it.
    pub(super) asked: Option<Box<Asked>>,
}

impl RecordingSessions {
    /// Returns those of a call that is restored, which groups are to record again.
    pub(crate) fn restored(groups: Vec<Arc<str>>) -> RecordingSessions {
        let mut sessions = RecordingSessions::default();
        groups.into_iter().for_each(|group| sessions.wait_for(Waiting { group, asked: None }));
        sessions
    }

    /// Returns them as they are shown.
    pub(crate) fn views(&self, call: &Shared) -> Vec<SiprecView> {
        self.all().iter().map(|session| session.view(call)).collect()
    }

    /// Returns the names of the groups that record the call, or are to.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &Arc<str>> {
        self.groups_with(|_| true)
    }

    /// Returns the names of the groups that record a restored call: a session that is paused stays away, as a recording does, since its server
    /// would hear what it was paused for.
    pub(crate) fn resumed_groups(&self) -> Vec<Arc<str>> {
        self.groups_with(|session| session.paused.is_none()).cloned().collect()
    }

    /// Returns the names of the groups that are to record the call, and of those whose live session is one of these.
    fn groups_with(&self, is_counted: fn(&RecordingSession) -> bool) -> impl Iterator<Item = &Arc<str>> {
        let live = self.all().iter().filter(move |session| !session.stage.is_over() && is_counted(session));
        self.waiting().iter().map(|waiting| &waiting.group).chain(live.map(|session| &session.trunk.name))
    }

    /// Returns the requests of ours that are not answered yet.
    pub(crate) fn pending(&self) -> impl Iterator<Item = ClientId> {
        self.all().iter().filter_map(|session| session.pending)
    }

    /// Returns the groups that are to record the call once it is answered.
    pub(super) fn waiting(&self) -> &[Waiting] {
        self.kept.as_ref().map_or(&[], |kept| &kept.waiting)
    }

    /// Returns the same, to be changed.
    pub(super) fn waiting_mut(&mut self) -> Option<&mut Vec<Waiting>> {
        self.kept.as_mut().map(|kept| &mut kept.waiting)
    }

    /// Has a group record the call once it is answered.
    pub(super) fn wait_for(&mut self, group: Waiting) {
        self.kept.get_or_insert_default().waiting.push(group);
    }

    /// Returns the sessions, those that are over too.
    pub(super) fn all(&self) -> &[RecordingSession] {
        self.kept.as_ref().map_or(&[], |kept| &kept.all)
    }

    /// Returns the same, to be changed.
    pub(super) fn all_mut(&mut self) -> &mut [RecordingSession] {
        self.kept.as_mut().map_or(&mut [], |kept| &mut kept.all)
    }

    /// Returns the session at a place.
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut RecordingSession> {
        self.all_mut().get_mut(at)
    }

    /// Returns the place of the session whose server is on a leg.
    pub(super) fn on_leg(&self, leg: LegId) -> Option<usize> {
        self.all().iter().position(|session| session.leg == Some(leg))
    }

    /// Returns the place of the session whose re-INVITE of ours that is.
    pub(super) fn that_asked(&self, client: ClientId) -> Option<usize> {
        self.all().iter().position(|session| session.pending == Some(client))
    }

    /// Notes that groups of servers are to record the call once it is answered; those that record it already do so once.
    ///
    /// # Errors
    /// One of them has to and cannot: all of its servers are known to be down, or refused the last calls.
    pub(crate) fn plan(&mut self, cx: &mut Cx<'_>, groups: &[Arc<str>], is_emergency: bool) -> Result<(), ReasonSlug> {
        for group in groups {
            let Some(trunk) = cx.edge.table().trunk(group).cloned() else { continue };
            let is_required = trunk.siprec.is_some_and(|siprec| siprec.required) && !is_emergency;
            if is_required && cx.edge.is_trunk_up(&trunk) == Some(false) {
                let text = format!("no server of [siprec.{}] answers", group.trim_start_matches(Siprec::PREFIX));
                cx.call.story.proof = Some((ReasonSlug::RecordingUnavailable, text.into()));
                return Err(ReasonSlug::RecordingUnavailable);
            }
            if is_required && let Some(why) = cx.edge.trunks_mut().refuses_recording(cx.now, group) {
                let group = group.trim_start_matches(Siprec::PREFIX);
                let text = format!("no server of [siprec.{group}] took the last {SIPREC_FAILED_IN_ROW} calls: {why}");
                cx.call.story.proof = Some((ReasonSlug::RecordingUnavailable, text.into()));
                return Err(ReasonSlug::RecordingUnavailable);
            }
            if self.groups().all(|known| known != group) {
                self.wait_for(Waiting { group: Arc::clone(group), asked: None });
            }
        }
        Ok(())
    }

    /// Plans sessions of parties that talk already: whether a server is up is seen once it is asked.
    pub(crate) fn plan_later(&mut self, cx: &mut Cx<'_>, groups: &[Arc<str>]) {
        let _ = self.plan(cx, groups, true);
    }

    /// Begins the sessions that the answered call waits for; `has_program`: an application or a mailbox has it.
    pub(crate) fn poll(&mut self, cx: &mut Cx<'_>, media: &mut CallMedia, has_program: bool) -> Next {
        let is_up = matches!(cx.call.state, State::Answered | State::Rerouting) && cx.call.times.answered.is_some();
        let Some(kept) = self.kept.as_mut().filter(|_| is_up) else { return Next::Stay };
        for Waiting { group, asked } in std::mem::take(&mut kept.waiting) {
            let Some(trunk) = cx.edge.table().trunk(&group).cloned() else { continue };
            let now = cx.edge.date(cx.now);
            let answered = cx.call.times.answered.unwrap_or(now);
            let session = RecordingSession {
                left: ask::servers(cx.edge, cx.now, &trunk),
                trunk,
                stage: Stage::Asking,
                current: None,
                attempts: 0,
                leg: None,
                ids: Ids::draw(cx.edge.random_mut()),
                parties: Parties::begin(cx, answered, has_program),
                answered,
                began: now,
                streaming: now,
                paused: None,
                streamers: Vec::new(),
                pending: None,
                owes: false,
                is_late: false,
                problem: None,
                asked,
            };
            let all = &mut self.kept.get_or_insert_default().all;
            all.push(session);
            let at = all.len() - 1;
            let next = self.ask_next(cx, media, at);
            if !matches!(next, Next::Stay) {
                return next;
            }
        }
        Next::Stay
    }

    /// Changes the session of a group.
    ///
    /// # Errors
    /// There is no such session, or it is over.
    pub(crate) fn change(
        &mut self,
        cx: &mut Cx<'_>,
        media: &mut CallMedia,
        name: &str,
        change: SiprecChange,
    ) -> Result<SiprecView, Refused> {
        let at = self.all().iter().rposition(|session| session.name() == name).ok_or(Refused::UnknownRecording)?;
        let session = self.get_mut(at).ok_or(Refused::UnknownRecording)?;
        if session.stage.is_over() {
            return Err(Refused::RecordingEnded);
        }
        let now = cx.edge.date(cx.now);
        let what = match change {
            SiprecChange::Pause if session.paused.is_some() => "is paused already",
            SiprecChange::Pause => {
                (session.paused, session.owes) = (Some(now), true);
                "pauses"
            }
            SiprecChange::Resume if session.paused.is_none() => "runs already",
            SiprecChange::Resume => {
                (session.paused, session.streaming, session.owes) = (None, now, true);
                "goes on"
            }
            SiprecChange::Stop => "ends",
        };
        cx.edge.decide(cx.now, cx.call.key, format!("the recording by {name} {what}, as requested"));
        if change == SiprecChange::Stop {
            // The request that ends it lets the call go on without.
            let _ = self.happen(cx, media, at, News::Stop);
        } else {
            self.tell(cx, at);
        }
        self.all().get(at).map(|session| session.view(cx.call)).ok_or(Refused::UnknownRecording)
    }
}

impl RecordingSession {
    /// Returns the name of the group, as the file has it.
    pub(super) fn name(&self) -> &str {
        self.trunk.name.strip_prefix(Siprec::PREFIX).unwrap_or(&self.trunk.name)
    }

    fn view(&self, call: &Shared) -> SiprecView {
        let server = self.current.as_ref().map(|server| server.peer.clone());
        let call_id = self.leg.and_then(|leg| call.legs.get(leg)).map(|leg| leg.sip.call_id.clone());
        SiprecView {
            name: self.name().to_owned(),
            status: self.stage.as_str(self.paused.is_some()),
            server: server.filter(|_| self.stage != Stage::Failed),
            session_id: self.ids.session.clone(),
            sip_call_id: call_id.filter(|_| self.stage != Stage::Failed),
            problem: self.problem.clone(),
        }
    }
}
