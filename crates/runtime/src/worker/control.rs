//! Execution of signalling's commands by a worker: start and end of sessions, of their ends and agents. Sockets are
//! added before their session learns of an end, and closed before the session forgets it. Also moves sessions to and
//! from another process.

use std::io;
use std::time::{Instant, SystemTime};

use rustc_hash::FxHashMap;
use trunkgate_media::{
    AgentSpec, AudioListenerSpec, ClockEpoch, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, Session,
};

use super::agent_socket::AgentSocket;
use super::agents::{AgentConnection, AgentConnectionState};
use super::connector::AgentConnectionId;
use super::crossing::{
    CLAIM_WITHIN, CrossingAgent, CrossingRecorders, CrossingSession, ExpectedSession, ExportRequest, ExportedSlice,
    UnclaimedAgent,
};
use super::deadlines::SessionDeadline;
use super::port_set::{EndSockets, PortPair};
use super::turn::{LiveSession, MediaWorker, WorkerCommand};
use trunkgate_system::clock;

impl MediaWorker {
    /// Executes a command. A command for an ended session has no effect, except that a new end is reported as not
    /// bound. New ends usually come with bound sockets through [`MediaWorker::add_end`], see
    /// [`super::Workers::hand_over`].
    pub(super) fn obey(&mut self, now: Instant, id: MediaId, command: MediaCommand) {
        let known = self.by_id.get(&id).copied();
        let at = match (known, &command) {
            (Some(at), _) => at,
            (None, MediaCommand::Open { .. }) => self.begin(id),
            (None, MediaCommand::AddEnd { end, .. }) => return self.refuse_end(id, *end),
            (None, MediaCommand::AddAgent { end, .. }) => return self.refuse_agent(id, *end),
            (None, _) => return tracing::debug!(session = id.0, "command for a media session that is gone"),
        };
        self.at_work = Some(at);
        match command {
            MediaCommand::AddEnd { end, spec } => match EndSockets::bind(spec.bind) {
                Ok(sockets) => self.add_end(now, id, (end, spec), sockets),
                Err(error) => self.tell(id, MediaEvent::BindFailed { end, error: error.to_string() }),
            },
            MediaCommand::AddAgent { end, spec } => self.add_agent(now, at, end, spec),
            MediaCommand::MoveEnd { end, to, named } => self.move_end(now, at, end, (to, named)),
            MediaCommand::RemoveEnd { end } => {
                self.say_goodbye(now, at, Some(end));
                self.close_pairs(at, |each| each == end);
                self.hand_on(now, at, MediaCommand::RemoveEnd { end });
            }
            MediaCommand::Close => {
                self.say_goodbye(now, at, None);
                self.close_pairs(at, |_| true);
                if let Some(live) = self.sessions.get_mut(at) {
                    live.session.handle_input(now, MediaCommand::Close);
                }
                self.see_off(at);
                self.gather_recordings(at);
                // Report last, so that the counters are up to date for the receiver.
                if let Some(mut live) = self.forget(at) {
                    live.tell_all(&self.events);
                }
            }
            MediaCommand::SetRemote { end, ref remote } => {
                let pair = self.sessions.get(at).and_then(|live| live.pair(end));
                if let Some(pair) = pair {
                    self.ports.untie(pair, remote.shown);
                }
                self.hand_on(now, at, command);
            }
            MediaCommand::AddListener { ref spec, .. } => {
                if let AudioListenerSpec::Recorder(spec) = spec
                    && let Some(live) = self.sessions.get_mut(at)
                {
                    live.recordings.push(spec.recording);
                }
                self.hand_on(now, at, command);
            }
            MediaCommand::Open { .. }
            | MediaCommand::AddPlayer { .. }
            | MediaCommand::Play { .. }
            | MediaCommand::ResumePlay { .. }
            | MediaCommand::PauseRecorder { .. }
            | MediaCommand::Tap { .. }
            | MediaCommand::Press { .. }
            | MediaCommand::TellKeys { .. }
            | MediaCommand::TransferFailed { .. }
            | MediaCommand::TransferAccepted { .. }
            | MediaCommand::Wire { .. }
            | MediaCommand::Unwire { .. } => {
                self.hand_on(now, at, command);
            }
        }
        self.at_work = None;
    }

    /// Ends a session that panicked, without using its state, which may be inconsistent.
    pub(super) fn abandon(&mut self, at: usize) {
        self.counters.panics.add(1);
        let Some(live) = self.sessions.get(at) else { return };
        let id = live.id;
        tracing::error!(
            session = id.0,
            "a bug ended the media of one call, and so the call (see `trunkgate calls --reason internal`); please report this with the log"
        );
        if let Some(recordings) = &self.recordings {
            live.recordings.iter().for_each(|recording| recordings.end(*recording, None));
        }
        let closed: Vec<(EndId, u16)> = live.ends.iter().map(|(end, port, _)| (*end, *port)).collect();
        self.close_pairs(at, |_| true);
        self.forget(at);
        for (end, port) in closed {
            self.tell(id, MediaEvent::EndClosed { end, port });
        }
        self.tell(id, MediaEvent::Closed);
    }

    fn begin(&mut self, id: MediaId) -> usize {
        self.insert(Session::new(id, 0))
    }

    /// Adds a session and returns its index.
    pub(super) fn insert(&mut self, mut session: Session) -> usize {
        let id = session.id();
        session.count_in(self.counters.clone());
        session.hold_in(self.held.clone());
        // Each session has its own date for RTCP: setting the clock does not shift a stream (RFC 3550 §6.4.1).
        let since_1970 = clock::wall().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        session.date_by(ClockEpoch::new(Instant::now(), since_1970));
        let live = LiveSession {
            id,
            session,
            ends: Vec::with_capacity(2),
            doors: Vec::new(),
            recordings: Vec::new(),
            figures: Vec::new(),
            is_to_be_served: false,
            due: SessionDeadline::default(),
        };
        let at = self.sessions.insert(live);
        self.by_id.insert(id, at);
        self.counters.sessions.set(self.sessions.len() as u64);
        at
    }

    pub(super) fn forget(&mut self, at: usize) -> Option<LiveSession> {
        let live = self.sessions.try_remove(at)?;
        self.by_id.remove(&live.id);
        for door in &live.doors {
            if let AgentConnectionState::Open(slot) = door.way {
                self.sockets.remove(slot);
            }
        }
        self.counters.sessions.set(self.sessions.len() as u64);
        Some(live)
    }

    /// Adds an end with sockets that [`super::Workers::hand_over`] has bound already.
    pub(super) fn add_end(&mut self, now: Instant, id: MediaId, (end, spec): (EndId, EndSpec), sockets: EndSockets) {
        let Some(at) = self.by_id.get(&id).copied() else { return self.refuse_end(id, end) };
        self.at_work = Some(at);
        let Some(live) = self.sessions.get_mut(at) else { return };
        let port = spec.bind.port();
        let opened = match live.session.refuses(end) {
            Some(reason) => Err(reason.to_owned()),
            None => self.ports.open(at, end, sockets).map_err(|error| error.to_string()),
        };
        match opened {
            Ok(pair) => {
                live.ends.push((end, port, pair));
                self.count_ends();
                self.hand_on(now, at, MediaCommand::AddEnd { end, spec });
            }
            Err(error) => self.tell(id, MediaEvent::BindFailed { end, error }),
        }
        self.at_work = None;
    }

    /// Moves an end with its sockets to another session of this worker. If that session has ended, its ports were
    /// already reported as free, and the sockets are closed.
    fn move_end(&mut self, now: Instant, at: usize, end: EndId, (to, named): (MediaId, EndId)) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        let Some(place) = live.ends.iter().position(|(name, _, _)| *name == end) else { return };
        let (_, port, pair) = live.ends.remove(place);
        let moved = live.session.release_end(now, end);
        self.settle(at);
        let new_at = self.by_id.get(&to).copied();
        let new = new_at.and_then(|at| Some((at, self.sessions.get_mut(at)?)));
        let (Some((new_at, live)), Some(moved)) = (new, moved) else { return self.ports.close(pair) };
        self.ports.reassign(pair, new_at, named);
        live.ends.push((named, port, pair));
        live.session.adopt_end(now, named, *moved);
        self.read_when_wanted(new_at);
        self.settle(new_at);
    }

    fn refuse_end(&self, id: MediaId, end: EndId) {
        self.tell(id, MediaEvent::BindFailed { end, error: "no such media session".to_owned() });
    }

    fn hand_on(&mut self, now: Instant, at: usize, command: MediaCommand) {
        if let Some(live) = self.sessions.get_mut(at) {
            live.session.handle_input(now, command);
        }
        self.see_off(at);
        self.gather_recordings(at);
        self.read_when_wanted(at);
        self.settle(at);
    }

    /// Sets how each end's socket is read: together with others if its audio only goes to a mixer, otherwise
    /// immediately.
    pub(super) fn read_when_wanted(&mut self, at: usize) {
        let Some(live) = self.sessions.get(at) else { return };
        for (end, _, pair) in &live.ends {
            if let Err(error) = self.ports.read_before(pair.rtp, live.session.mixed_from(*end)) {
                tracing::error!(%error, "audio received on a media socket may be late or lost, because the socket cannot be waited for");
            }
        }
    }

    fn close_pairs(&mut self, at: usize, which: impl Fn(EndId) -> bool) {
        let Some(live) = self.sessions.get_mut(at) else { return };
        let closed: Vec<PortPair> =
            live.ends.extract_if(.., |(end, _, _)| which(*end)).map(|(_, _, pair)| pair).collect();
        for pair in closed {
            self.ports.close(pair);
        }
        self.count_ends();
    }

    pub(super) fn count_ends(&self) {
        self.counters.ends.set((self.ports.len() / 2) as u64);
    }

    pub(super) fn tell(&self, id: MediaId, event: MediaEvent) {
        // The receiver is gone when the process ends.
        let _ = self.events.send((id, event));
    }

    /// Lists the sessions. From now on the figures of exported sessions count from zero, because earlier counts are in
    /// the snapshots of their calls.
    pub(super) fn list(&mut self) -> Vec<ExpectedSession> {
        let listed = |live: &mut LiveSession| {
            live.figures = live.session.figures();
            ExpectedSession { id: live.id, ends: live.session.ends().collect() }
        };
        self.sessions.iter_mut().map(|(_, live)| listed(live)).collect()
    }

    /// Removes sessions and returns them. Unless forced, a session remains while one of its agents is in the middle of
    /// a message.
    pub(super) fn export(&mut self, now: Instant, request: ExportRequest) -> ExportedSlice {
        let mut sessions = Vec::new();
        for at in self.sessions.iter().map(|(at, _)| at).collect::<Vec<_>>() {
            if sessions.len() == request.most {
                break;
            }
            if request.is_forced || self.can_cross(at) {
                sessions.extend(self.export_one(now, at));
            }
        }
        ExportedSlice { sessions, remaining: self.sessions.len() }
    }

    /// Returns whether a session can be handed over now; false while one of its agents that can be handed over has
    /// unprocessed or unsent data.
    fn can_cross(&mut self, at: usize) -> bool {
        let Some(live) = self.sessions.get(at) else { return false };
        live.doors.iter().all(|door| match door.way {
            AgentConnectionState::Open(slot) if live.session.can_leave(door.name.end) => {
                self.sockets.talking(slot).is_none_or(AgentSocket::can_cross)
            }
            AgentConnectionState::Open(_) | AgentConnectionState::UnderWay(_) | AgentConnectionState::Done => true,
        })
    }

    /// Removes the agents of a session: returns those that can be handed over, and ends the conversations of the
    /// others.
    fn export_agents(&mut self, now: Instant, at: usize) -> Vec<CrossingAgent> {
        let Some(live) = self.sessions.get(at) else { return Vec::new() };
        let (id, doors): (MediaId, Vec<_>) = (live.id, live.doors.iter().map(AgentConnection::parts).collect());
        let mut crossing = Vec::new();
        for (end, slot) in doors {
            let slot = slot.filter(|slot| self.sockets.talking(*slot).is_some_and(AgentSocket::can_cross));
            let snapshot = |slot| Some((self.sessions.get(at)?.session.agent_snapshot(end)?, slot));
            let Some((mut state, slot)) = slot.and_then(snapshot) else {
                self.obey(now, id, MediaCommand::RemoveEnd { end });
                continue;
            };
            if let Some(live) = self.sessions.get_mut(at) {
                state.count_since(&live.figures);
                live.doors.retain(|door| door.name.end != end);
                live.session.release_agent(end);
            }
            match self.sockets.release(&self.ports, slot) {
                Ok((socket, tls)) => crossing.push(CrossingAgent { state, socket, tls }),
                Err(error) => tracing::error!(
                    session = id.0,
                    end = end.0,
                    "the socket of an agent cannot be handed over: {error}; the agent is connected again"
                ),
            }
        }
        crossing
    }

    fn export_one(&mut self, now: Instant, at: usize) -> Option<CrossingSession> {
        self.at_work = Some(at);
        let agents = self.export_agents(now, at);
        self.at_work = Some(at);
        let recorders = CrossingRecorders::new(now, self.suspend_recorders(now, at));
        let mut live = self.forget(at)?;
        let mut sockets = Vec::with_capacity(live.ends.len());
        for (end, port, pair) in live.ends.drain(..) {
            match self.ports.release(pair) {
                Ok(released) => sockets.extend(released.map(|released| (end, released.into_descriptors()))),
                Err(error) => tracing::error!(
                    port,
                    "the media sockets of a call cannot be handed over: {error}; its audio may be interrupted"
                ),
            }
        }
        self.count_ends();
        self.at_work = None;
        let mut snapshot = live.session.snapshot();
        snapshot.count_since(&live.figures);
        Some(CrossingSession { snapshot, sockets, agents, recorders })
    }

    /// Continues a session of another process and executes the commands that waited for it. If none of them opens it,
    /// its call was not continued, and its sockets are closed.
    pub(super) fn adopt(&mut self, now: Instant, crossing: CrossingSession) {
        let CrossingSession { snapshot, sockets, agents, recorders } = crossing;
        let id = snapshot.id;
        let Some(commands) = self.expected.remove(&id) else { return };
        let mut kept = FxHashMap::<EndId, EndSpec>::default();
        for command in &commands {
            if let WorkerCommand::KeptEnd(_, end, spec) = command
                && sockets.iter().any(|(crossed, _)| crossed == end)
            {
                kept.insert(*end, spec.clone());
            }
        }
        let mut session =
            Session::restore_counted(now, snapshot, |end| kept.get(&end).map(|spec| spec.counters.clone()));
        let (suspended, recorders) = recorders.into_parts(now);
        session.resume_recorders(suspended, recorders);
        let at = self.insert(session);
        self.at_work = Some(at);
        for (end, descriptors) in sockets {
            let Some(spec) = kept.get(&end) else { continue };
            let opened = self.ports.open(at, end, EndSockets::received(descriptors));
            match (opened, self.sessions.get_mut(at)) {
                (Ok(pair), Some(live)) => live.ends.push((end, spec.bind.port(), pair)),
                (Ok(pair), None) => self.ports.close(pair),
                (Err(error), _) => self.tell(id, MediaEvent::BindFailed { end, error: error.to_string() }),
            }
        }
        self.count_ends();
        let until = now + CLAIM_WITHIN;
        self.unclaimed.extend(agents.into_iter().map(|agent| UnclaimedAgent { session: id, agent, until }));
        let is_done =
            |command: &WorkerCommand| matches!(command, WorkerCommand::KeptEnd(_, end, _) if kept.contains_key(end));
        commands.into_iter().filter(|command| !is_done(command)).for_each(|command| self.execute(now, command));
        self.read_when_wanted(at);
        self.settle(at);
        self.at_work = None;
    }

    /// Removes and returns the agent that another process handed over with this stream SID; `None` if there is none.
    pub(super) fn claim(&mut self, id: MediaId, stream_sid: &str) -> Option<CrossingAgent> {
        let is_asked = |one: &UnclaimedAgent| one.session == id && one.agent.state.stream.stream_sid == stream_sid;
        let at = self.unclaimed.iter().position(is_asked)?;
        Some(self.unclaimed.swap_remove(at).agent)
    }

    /// Continues the conversation with an agent that another process handed over.
    ///
    /// # Errors
    /// Returns an error if its connection cannot be used or waited for.
    pub(super) fn resume_agent(
        &mut self,
        now: Instant,
        at: usize,
        (name, spec): (AgentConnectionId, &AgentSpec),
        crossed: CrossingAgent,
    ) -> io::Result<()> {
        let Some(live) = self.sessions.get_mut(at) else { return Ok(()) };
        let socket = AgentSocket::resumed(crossed.socket, crossed.tls, self.held.clone())?;
        let slot = self.sockets.add_socket(&self.ports, (at, name.end), socket)?;
        live.session.resume_agent(now, name.end, spec, crossed.state);
        live.doors.push(AgentConnection { name, way: AgentConnectionState::Open(slot) });
        Ok(())
    }

    /// Closes the connections of handed-over agents that no call has requested in time.
    pub(super) fn drop_unclaimed(&mut self, now: Instant) {
        self.unclaimed.retain(|one| now < one.until);
    }

    /// Begins the sessions that were expected from another process and did not arrive as new ones, with new sockets.
    pub(super) fn begin_expected(&mut self, now: Instant) {
        for (_, commands) in std::mem::take(&mut self.expected) {
            for command in commands {
                self.execute(now, command);
            }
        }
    }
}
