//! Execution of signalling's commands by a worker: start and end of sessions; sockets are added before their session
//! learns of an end, and closed before the session forgets it.

use std::time::{Instant, SystemTime};

use trunkgate_media::{ClockEpoch, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, Session};

use super::agents::AgentConnectionState;
use super::deadlines::SessionDeadline;
use super::port_set::{EndSockets, PortPair};
use super::turn::{LiveSession, MediaWorker};
use trunkgate_system::clock;

impl MediaWorker {
    /// Executes a command. A command for an ended session has no effect, except that a new end is reported as not
    /// bound. [`super::Workers::hand_over`] binds the sockets of an end itself, see [`MediaWorker::add_end`].
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
            MediaCommand::AddRecorder { ref spec, .. } => {
                if let Some(live) = self.sessions.get_mut(at) {
                    live.recordings.push(spec.recording);
                }
                self.hand_on(now, at, command);
            }
            MediaCommand::Open { .. }
            | MediaCommand::AddPlayer { .. }
            | MediaCommand::Play { .. }
            | MediaCommand::PauseRecorder { .. }
            | MediaCommand::AddStreamer { .. }
            | MediaCommand::AddJudge { .. }
            | MediaCommand::AddSeat { .. }
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
        tracing::error!(session = id.0, "a media session panicked and was ended");
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

    /// Adds an end with sockets that were bound before its ports were sent in a message.
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

    /// Moves an end with its sockets to another session of this worker. If that has ended, its ports are already
    /// released and the sockets are closed.
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

    /// Selects the reading mode of each end: together with others if its audio only goes to a mixer, else immediately.
    pub(super) fn read_when_wanted(&mut self, at: usize) {
        let Some(live) = self.sessions.get(at) else { return };
        for (end, _, pair) in &live.ends {
            if let Err(error) = self.ports.read_before(pair.rtp, live.session.mixed_from(*end)) {
                tracing::error!(%error, "a media socket cannot be waited for");
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
}
