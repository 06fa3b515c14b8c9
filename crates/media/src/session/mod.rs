//! A call's media: ends, and the wires between them.
//!
//! The I/O layer (the shell) owns the sockets. It binds them before it passes [`MediaCommand::AddEnd`] to the session,
//! closes them before [`MediaCommand::RemoveEnd`] and [`MediaCommand::Close`], and reports [`MediaEvent::Bound`] and
//! [`MediaEvent::BindFailed`] itself; all other events come from the session. RTCP is forwarded along the wires with
//! its texts covered. For a stream that the edge generated or changed, RTCP is only read, and the edge sends its own
//! reports.
//!
//! The I/O layer opens an agent's socket when it sees [`MediaCommand::AddAgent`], reports its input by
//! [`Session::handle_agent`], reads it only while [`Session::agent_wants_more`], and calls [`Session::poll_agent`] for
//! data to write when the socket is writable. It drops the socket once [`Session::agent_is_closed`]; an agent that was
//! removed leaves the rest of its conversation in [`Session::poll_departed`].
//!
//! This module has the path of a packet from end to end. [`Session`] takes commands and passes each packet and
//! deadline to its parts: `RtpEnds` with one `RtpEnd` for each remote party, agents (`agent_audio`), other listeners
//! (`listening`), players (`playout`), and `SweepSchedule`. Code for one stream that needs no other end belongs to the
//! module of that part.

mod cx;
mod end;
mod ends;
mod gauge;
mod produce;
mod quality;
mod relay;
mod seated;
mod silence;
mod snapshot;
mod sound;
mod sweep;
mod transmit;
mod wire;

pub use snapshot::{EndSnapshot, SessionSnapshot};
pub use transmit::MediaTransmit;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_agent::limits::FRAME;
use trunkgate_agent::{SocketMessage as AgentTransmit, Stream, StreamLoss};
use trunkgate_terms::{Recorded, RecordingId};

use crate::agent_audio::{AgentEnd, AgentEnds, AgentSnapshot, TransferFailure};
use crate::counters::{Counter, DropReason, EndCounters, IcmpError, SendFailure, SharedCounters, WorkerCounters};
use crate::latch::canonical;
use crate::limits::SESSION_ENDS;
use crate::listening::{EndListener, RecorderSnapshot, SessionListeners};
use crate::playout::{Feed, Packetizer, SessionPlayers};
use crate::rtcp::{ClockEpoch, RtcpOrigin};
use crate::rtp::{PacketBuf, StreamStart};
use crate::spec::{
    AgentEvent, AgentInput, AgentSpec, EndFigures, EndId, EndSpec, MediaCommand, MediaEvent, MediaId, PlayerSound,
    RemoteSpec, TapSpec, WireSpec,
};

use cx::SessionCx;
use end::{DigitRequest, RtpEnd};
use ends::RtpEnds;
use sweep::SweepSchedule;

/// Argument of [`RtcpOrigin::draw`] from which the initial numbers of streams are derived; reports use other arguments.
const STREAM_SALT: u64 = 1 << 61;

/// Media of one call. The I/O layer owns the sockets; it calls [`Self::handle_packet`] for each received packet and
/// sends the same buffer as the result directs.
#[derive(Debug)]
pub struct Session {
    id: MediaId,
    ends: RtpEnds,
    agents: AgentEnds,
    listeners: SessionListeners,
    players: SessionPlayers,
    sweep: SweepSchedule,
    events: VecDeque<MediaEvent>,
    shared: SharedCounters,
    /// Time of the last [`Self::handle_timeout`], which is also the time of the packets that it generates.
    ticked_at: Option<Instant>,
    /// Wall-clock time and randomness for RTCP.
    origin: RtcpOrigin,
}

/// End in transit between two sessions.
#[derive(Debug)]
pub struct MovedEnd {
    end: RtpEnd,
    /// Next feeder serial number of the old session; all feeders of the end's stream have lower ones.
    next_serial: u32,
    origin: RtcpOrigin,
}

/// Parts of a session, borrowed for one call.
struct SessionParts<'a> {
    ends: &'a mut RtpEnds,
    players: &'a mut SessionPlayers,
    sweep: &'a mut SweepSchedule,
    cx: SessionCx<'a>,
}

impl Session {
    /// Creates a session without ends.
    pub fn new(id: MediaId, idle_timeout_ms: u64) -> Session {
        Session {
            id,
            ends: RtpEnds::new(id),
            agents: AgentEnds::default(),
            listeners: SessionListeners::default(),
            players: SessionPlayers::default(),
            sweep: SweepSchedule::new(idle_timeout_ms),
            events: VecDeque::new(),
            shared: SharedCounters::default(),
            ticked_at: None,
            origin: RtcpOrigin::default(),
        }
    }

    /// Sets the worker's counters, in which packets are counted too. Call it before an end is added.
    pub fn count_in(&mut self, worker: Arc<WorkerCounters>) {
        self.shared.worker = Some(worker);
    }

    /// Sets the counter of agent audio queued in the whole edge, which is limited to
    /// [`AGENT_BYTES_HELD`](crate::limits::AGENT_BYTES_HELD). Call it before an end is added.
    pub fn hold_in(&mut self, held: Arc<Counter>) {
        self.shared.held = held;
    }

    /// Sets the wall-clock epoch for generated RTCP.
    pub fn date_by(&mut self, epoch: ClockEpoch) {
        self.origin.date_by(epoch);
    }

    /// Returns the id of the session, assigned by signalling.
    pub fn id(&self) -> MediaId {
        self.id
    }

    /// Lists the RTP ends with the addresses of their sockets.
    pub fn ends(&self) -> impl Iterator<Item = (EndId, SocketAddr)> {
        self.ends.binds()
    }

    /// Returns the counters of an RTP end or an agent: those of its specification, or new ones after [`Self::restore`].
    pub fn counters(&self, end: EndId) -> Option<&Arc<EndCounters>> {
        self.agents.get(end).map(|agent| agent.counters()).or_else(|| self.ends.counters(end))
    }

    /// Returns the reason why an end with this id cannot be added; `None` if it can. Call it before the end's sockets
    /// are bound.
    pub fn refuses(&self, end: EndId) -> Option<&'static str> {
        if self.names().any(|name| name == end) {
            return Some("the session has an end of this name");
        }
        (self.names().count() >= SESSION_ENDS).then_some("the session has too many ends")
    }

    /// Returns the serialized state, without agents and players.
    pub fn snapshot(&self) -> SessionSnapshot {
        SessionSnapshot { players: self.players.positions(), ..self.ends.snapshot(self.sweep.idle_timeout_ms()) }
    }

    /// Restores a session from a snapshot. Its ends get new counters ([`Self::counters`]) that continue from the old
    /// values.
    pub fn restore(now: Instant, snapshot: SessionSnapshot) -> Session {
        Session::restore_counted(now, snapshot, |_| Some(Arc::default()))
    }

    /// Returns the current counts of ends and agents, for [`SessionSnapshot::count_since`].
    pub fn figures(&self) -> Vec<EndFigures> {
        self.ends.iter().map(RtpEnd::figures).chain(self.agents.figures()).collect()
    }

    /// Restores a session like [`Self::restore`], with counters chosen by the caller. An end for which `counters`
    /// returns `None` is not restored.
    pub fn restore_counted(
        now: Instant,
        mut snapshot: SessionSnapshot,
        mut counters: impl FnMut(EndId) -> Option<Arc<EndCounters>>,
    ) -> Session {
        let mut session = Session::new(snapshot.id, snapshot.idle_timeout_ms);
        snapshot.ends.truncate(SESSION_ENDS);
        let ends = snapshot.ends.into_iter().filter_map(|end| counters(end.end).map(|counters| (end, counters)));
        session.ends = RtpEnds::restore(now, snapshot.id, snapshot.next_serial, ends);
        session.events.reserve(2 * session.ends.len());
        session.players.leave_at(snapshot.players);
        for (from, to, wire) in snapshot.wires {
            session.wire(now, from, to, wire);
        }
        session.sweep.plan(now, &session.ends);
        session
    }

    /// Processes a command. The I/O layer acts on the same command to bind and close sockets.
    pub fn handle_input(&mut self, now: Instant, command: MediaCommand) {
        match command {
            MediaCommand::Open { idle_timeout_ms, names_key, .. } => {
                self.origin.name_by(names_key);
                // Truncation is intended: the salt only makes the numbers differ.
                self.ends.set_salt(self.origin.draw(STREAM_SALT) as u32);
                self.sweep.set_idle_timeout(idle_timeout_ms);
                self.sweep.plan(now, &self.ends);
            }
            MediaCommand::AddEnd { end, spec } => self.add_end(now, end, spec),
            MediaCommand::AddAgent { end, spec } => self.add_agent(now, end, &spec),
            MediaCommand::AddPlayer { end, sound } => self.add_player(end, sound),
            MediaCommand::Play { end, sound } => {
                self.cut_off(|from, _| from == end);
                self.players.play(end, sound);
                let fed = self.ends.iter_mut().find(|to| self.players.feeds(end, to.id()));
                if let Some(playout) = fed.and_then(RtpEnd::playout_mut) {
                    playout.begin_by(now);
                }
            }
            MediaCommand::ResumePlay { end, sound } => {
                self.players.resume(end, sound);
                let fed = self.ends.iter_mut().find(|to| self.players.feeds(end, to.id()));
                if let Some(playout) = fed.and_then(RtpEnd::playout_mut) {
                    playout.begin_by(now);
                }
            }
            MediaCommand::AddListener { end, spec } => {
                if self.refuses(end).is_none() {
                    self.listeners.add(now, end, spec);
                }
            }
            MediaCommand::PauseRecorder { end, pause } => self.listeners.recorders_mut().set_pause(now, end, pause),
            MediaCommand::Tap { of, listener, audio } => self.listen(of, listener, audio),
            MediaCommand::Press { end, press, digits, ms } => {
                let SessionParts { ends, mut cx, .. } = self.parts(now);
                ends.send_digits(&mut cx, end, &DigitRequest { press, digits: &digits, ms });
            }
            MediaCommand::TellKeys { end, digits } => {
                if let Some(agent) = self.agents.get_mut(end) {
                    agent.tell_digits(now, &digits, &mut self.events);
                }
            }
            MediaCommand::TransferFailed { end, target, reason, code } => {
                if let Some(agent) = self.agents.get_mut(end) {
                    let failure = TransferFailure { target: &target, reason, code };
                    agent.transfer_failed(now, failure, &mut self.events);
                }
            }
            MediaCommand::TransferAccepted { end, target } => {
                if let Some(agent) = self.agents.get_mut(end) {
                    agent.transfer_accepted(now, &target, &mut self.events);
                }
            }
            MediaCommand::SetRemote { end, remote } => self.set_remote(now, end, remote),
            MediaCommand::Wire { from, to, wire } => self.wire(now, from, to, wire),
            MediaCommand::Unwire { from } => {
                self.cut_off(|end, _| end == from);
                self.unwire(|end, _| end == from);
            }
            // Handled by the shell, which has both sessions.
            MediaCommand::MoveEnd { .. } => {}
            MediaCommand::RemoveEnd { end } => self.remove_end(now, end),
            MediaCommand::Close => {
                let names: Vec<EndId> = self.names().collect();
                for end in names {
                    self.remove_end(now, end);
                }
                self.sweep.stop();
                self.events.push_back(MediaEvent::Closed);
            }
        }
        let SessionParts { ends, cx, .. } = self.parts(now);
        ends.count_transcoding(&cx);
    }

    /// Removes an end, to be passed to [`Self::adopt_end`] of another session of the same worker. Its wires and
    /// listeners stay behind. Returns `None` if there is no such end.
    pub fn release_end(&mut self, now: Instant, id: EndId) -> Option<Box<MovedEnd>> {
        self.ends.named(id)?;
        self.cut_off(|from, to| from == id || to == id);
        self.unwire(|from, to| from == id || to == id);
        let (end, next_serial) = self.ends.release(id)?;
        self.sweep.plan(now, &self.ends);
        let SessionParts { ends, cx, .. } = self.parts(now);
        ends.count_transcoding(&cx);
        Some(Box::new(MovedEnd { end, next_serial, origin: self.origin }))
    }

    /// Adds an end released by another session under an unused id. The RTCP names and numbers that its remote party
    /// already knows replace those of this session: the other ends of this session come from the same session, or have
    /// sent nothing yet.
    pub fn adopt_end(&mut self, now: Instant, id: EndId, moved: MovedEnd) {
        self.origin = moved.origin;
        self.ends.adopt(id, moved.end, moved.next_serial);
        self.events.reserve(2 * self.ends.len());
        self.sweep.plan(now, &self.ends);
    }

    /// Processes a packet received from `source` on `end`'s RTP socket, or on its RTCP socket if `rtcp`. Changes the
    /// packet in place and returns its destination, or `None` if it is not forwarded. Does not allocate.
    pub fn handle_packet(
        &mut self,
        now: Instant,
        end: EndId,
        rtcp: bool,
        source: SocketAddr,
        packet: &mut PacketBuf,
    ) -> Option<MediaTransmit> {
        let SessionParts { ends, mut cx, .. } = self.parts(now);
        let at = ends.slot(end)?;
        ends.take_packet(&mut cx, at, rtcp, canonical(source), packet)
    }

    /// Writes the next transcoded packet into `packet` and returns its destination; to be called until `None` after
    /// each [`Self::handle_packet`] that returned a packet. Does not allocate.
    pub fn poll_converted(&mut self, now: Instant, packet: &mut PacketBuf) -> Option<MediaTransmit> {
        let SessionParts { ends, mut cx, .. } = self.parts(now);
        ends.poll_converted(&mut cx, packet)
    }

    /// Processes due deadlines: agents' timers, the sweep once a second, and the clocks of ends fed by an agent or a
    /// player. [`Self::poll_packet`] returns the packets that these generate.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.ticked_at = Some(now);
        self.agents.handle_timeout(now, &mut self.events);
        self.listeners.handle_timeout(now, &mut self.events);
        seated::take_ticks(now, self.listeners.seats_mut(), &mut self.agents, &mut self.events);
        let SessionParts { ends, sweep, mut cx, .. } = self.parts(now);
        ends.release_lost_digits(&mut cx);
        sweep.handle_timeout(&mut cx, ends);
    }

    /// Writes the next packet generated by the edge into `packet` and returns its destination; to be called until
    /// `None` after each [`Self::handle_timeout`]. Allocates only for the messages of listening agents.
    pub fn poll_packet(&mut self, packet: &mut PacketBuf) -> Option<MediaTransmit> {
        let now = self.ticked_at?;
        let SessionParts { ends, players, mut cx, .. } = self.parts(now);
        let made = ends.produce(&mut cx, players, packet);
        if made.is_none() {
            self.ticked_at = None;
        }
        made
    }

    /// Returns the time of the mixer's first tick, for an RTP end that sends audio only to a mixer; otherwise `None`.
    /// The I/O layer may then collect the packets between two ticks, 20 ms apart, and process them together before the
    /// second tick. Requires a locked latch, because an open socket accepts packets of any source and could overflow.
    pub fn mixed_from(&self, end: EndId) -> Option<Instant> {
        let end = self.ends.named(end).filter(|end| !end.listeners().is_empty() && end.is_locked())?;
        let hears_at_once = |to: EndId| self.ends.named(to).is_some() || self.agents.get(to).is_some();
        if end.wire().is_some_and(|wire| hears_at_once(wire.to())) {
            return None;
        }
        // A listener other than a seat needs the audio sooner.
        let seats = self.listeners.seats();
        end.listeners().iter().map(|listener| seats.ticks_at(listener.id())).reduce(Option::and).flatten()
    }

    /// Returns the next event for signalling.
    pub fn poll_output(&mut self) -> Option<MediaEvent> {
        self.events.pop_front()
    }

    /// Returns the next deadline, for [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Instant> {
        let playouts = self.ends.iter().filter_map(RtpEnd::playout).map(Packetizer::due);
        let digits = self.ends.iter().flat_map(RtpEnd::digits_due);
        playouts
            .chain(self.agents.deadlines())
            .chain(self.listeners.deadlines())
            .chain(digits)
            .chain(self.sweep.due())
            .min()
    }

    /// Processes input of an agent's socket; ignored for an unknown agent.
    pub fn handle_agent(&mut self, now: Instant, end: EndId, input: AgentInput<'_>) {
        if !self.listeners.copies().has(end) {
            return self.agents.handle(now, end, input, &mut self.events);
        }
        match input {
            AgentInput::Found(to) => {
                self.listeners.copies_mut().set_destination(end, to);
                self.events.push_back(MediaEvent::Agent { end, event: AgentEvent::Open });
            }
            AgentInput::Lost(loss) => self.events.push_back(MediaEvent::Agent { end, event: AgentEvent::Lost(loss) }),
            AgentInput::Opened
            | AgentInput::Text(_)
            | AgentInput::Binary(_)
            | AgentInput::Pong
            | AgentInput::Closed(_) => {}
        }
    }

    /// Returns the next data for an agent's socket; to be called when the socket is writable. The queue is bounded, so
    /// a slow agent only harms itself.
    pub fn poll_agent(&mut self, end: EndId) -> Option<AgentTransmit> {
        self.agents.poll_transmit(end)
    }

    /// Decides whether more may be read from an agent's socket; call it again after each packet that the session
    /// generated. Queues a note for the call's trace the first time that reading pauses because too much of the agent's
    /// audio is queued.
    pub fn agent_wants_more(&mut self, end: EndId) -> bool {
        self.agents.wants_more(end, &mut self.events)
    }

    /// Returns whether an agent's socket may be dropped: the conversation is over, or the id is unknown.
    pub fn agent_is_closed(&self, end: EndId) -> bool {
        !self.listeners.copies().has(end) && self.agents.is_closed(end)
    }

    /// Passes the copies for raw listeners to `send`; to be called after each received or generated packet. Does not
    /// allocate.
    pub fn drain_copies(&mut self, send: impl FnMut(SocketAddr, &[u8])) {
        self.listeners.copies_mut().drain(send);
    }

    /// Passes recorded audio to `take`; to be called after each received or generated packet, each command and each
    /// deadline. Does not allocate.
    pub fn drain_recordings(&mut self, take: impl FnMut(RecordingId, Recorded<'_>)) {
        self.listeners.recorders_mut().drain(take);
    }

    /// Passes all recorded audio to `take` and removes and returns the recorders, which [`Self::resume_recorders`]
    /// continues in another process. Call it before this process gives up the session.
    pub fn suspend_recorders(
        &mut self,
        now: Instant,
        take: impl FnMut(RecordingId, Recorded<'_>),
    ) -> Vec<RecorderSnapshot> {
        self.listeners.recorders_mut().suspend(now, take)
    }

    /// Continues recorders of another process, suspended at `at`; a later [`MediaCommand::AddListener`] with the id of
    /// one of them has no effect.
    pub fn resume_recorders(&mut self, at: Instant, recorders: Vec<RecorderSnapshot>) {
        self.listeners.recorders_mut().restore(at, recorders);
    }

    /// Returns the WebSocket stream of a removed agent, to complete its closing handshake within
    /// [`CLOSE_TIMEOUT`](trunkgate_agent::limits::CLOSE_TIMEOUT). A stream that never opened is already closed.
    pub fn poll_departed(&mut self) -> Option<(EndId, Box<Stream>)> {
        self.agents.poll_departed()
    }

    /// Requests the final RTCP reports of `end`, or of all ends; to be called before their sockets are closed.
    /// [`Self::poll_packet`] returns the reports.
    pub fn say_goodbye(&mut self, now: Instant, end: Option<EndId>) {
        for each in self.ends.iter_mut().filter(|each| end.is_none_or(|end| each.id() == end)) {
            each.say_goodbye();
        }
        self.ticked_at = Some(now);
    }

    /// Removes and returns the next end with connected sockets that must accept other sources again; call it after
    /// [`Self::handle_timeout`] until `None`.
    pub fn poll_resting(&mut self) -> Option<EndId> {
        self.sweep.poll_resting()
    }

    /// Removes and returns the next end with new losses, so that the I/O layer can check whether the local system
    /// dropped packets; call it after [`Self::handle_timeout`] until `None`.
    pub fn poll_lossy(&mut self) -> Option<EndId> {
        self.sweep.poll_lossy()
    }

    /// Counts a packet of an end that the I/O layer had to drop: it was not read, or the system rejected the send.
    pub fn count_drop(&self, end: EndId, reason: DropReason) {
        if let Some(end) = self.ends.named(end) {
            self.shared.count_dropped(end.counters(), reason);
        }
    }

    /// Counts an ICMP error (RFC 792, RFC 4443) for a packet that an end has sent `to`. Errors about other addresses
    /// than the current RTP destination are old or forged and are ignored.
    pub fn count_unreachable(&self, end: EndId, to: SocketAddr, how: IcmpError) {
        if let Some(end) = self.ends.named(end) {
            end.count_unreachable(to, how);
        }
    }

    /// Counts an RTP packet of an end that the system refused to send, with the reason.
    pub fn count_unsent(&self, end: EndId, why: SendFailure) {
        self.count_drop(end, DropReason::SendFailed);
        if let Some(end) = self.ends.named(end) {
            end.counters().symptoms.note_unsent(why);
        }
    }

    /// Sets the number of datagrams that the system has dropped at an end's RTP socket since it was bound.
    pub fn set_unread(&self, end: EndId, datagrams: u64) {
        if let Some(end) = self.ends.named(end) {
            end.counters().symptoms.unread.set(datagrams);
        }
    }

    fn parts(&mut self, now: Instant) -> SessionParts<'_> {
        let (agents, listeners, events) = (&mut self.agents, &mut self.listeners, &mut self.events);
        let cx = SessionCx { now, agents, listeners, shared: &self.shared, origin: &self.origin, events };
        SessionParts { ends: &mut self.ends, players: &mut self.players, sweep: &mut self.sweep, cx }
    }

    /// Lists the ids of all ends: RTP ends, agents, players and listeners.
    fn names(&self) -> impl Iterator<Item = EndId> {
        let listeners = self.agents.names().chain(self.listeners.names());
        self.ends.iter().map(RtpEnd::id).chain(listeners).chain(self.players.names())
    }

    fn add_end(&mut self, now: Instant, id: EndId, spec: EndSpec) {
        if let Some(error) = self.refuses(id) {
            self.events.push_back(MediaEvent::BindFailed { end: id, error: error.to_owned() });
            return;
        }
        self.ends.add(now, id, spec);
        // Reserves two events for each end, so that a packet that locks a latch does not allocate.
        self.events.reserve(2 * self.ends.len());
    }

    fn add_agent(&mut self, now: Instant, id: EndId, spec: &AgentSpec) {
        if let Some(reason) = self.refuses(id) {
            self.events.push_back(MediaEvent::Agent {
                end: id,
                event: AgentEvent::Note { text: reason.to_owned(), logged: true },
            });
            self.events.push_back(MediaEvent::Agent { end: id, event: AgentEvent::Lost(StreamLoss::Unreachable) });
            return;
        }
        match spec.raw {
            Some(raw) => self.listeners.copies_mut().add(id, raw, spec.settings.tracks, spec.counters.clone()),
            None => self.agents.add(now, id, spec, &self.shared),
        }
    }

    /// Returns the state of an agent's open conversation for another process; `None` if it cannot be continued there.
    pub fn agent_snapshot(&self, id: EndId) -> Option<AgentSnapshot> {
        self.agents.get(id)?.snapshot()
    }

    /// Returns whether another process can continue an agent's conversation.
    pub fn can_leave(&self, id: EndId) -> bool {
        self.agents.get(id).is_some_and(AgentEnd::can_leave)
    }

    /// Removes an agent whose conversation another process continues; nothing is sent to it.
    pub fn release_agent(&mut self, id: EndId) {
        self.cut_off(|from, _| from == id);
        self.unwire(|from, to| from == id || to == id);
        self.agents.release(id);
    }

    /// Adds an agent with the conversation and the open socket of another process.
    pub fn resume_agent(&mut self, now: Instant, id: EndId, spec: &AgentSpec, snapshot: AgentSnapshot) {
        if self.refuses(id).is_some() {
            return self.add_agent(now, id, spec);
        }
        self.agents.resume(now, id, (spec, snapshot), &self.shared);
        self.events.push_back(MediaEvent::Agent { end: id, event: AgentEvent::Open });
    }

    fn add_player(&mut self, id: EndId, sound: PlayerSound) {
        if self.refuses(id).is_none() {
            self.players.add(id, sound);
        }
    }

    fn listen(&mut self, of: EndId, id: EndId, audio: TapSpec) {
        let Some(at) = self.ends.slot(of) else { return };
        if self.agents.tune(id, &audio) || self.listeners.tune(id, &audio) {
            self.ends.listen(at, EndListener::new(id, audio), id);
        }
    }

    fn set_remote(&mut self, now: Instant, id: EndId, remote: RemoteSpec) {
        let own_sources = remote.srtp.as_ref().and_then(|srtp| srtp.own_sources);
        let own_start = own_sources
            .filter(|own| own.is_resumed())
            .map(|own| StreamStart { ssrc: own.rtp(), ..self.ends.new_start(id) });
        if let Some(end) = self.ends.named_mut(id) {
            end.set_remote(now, remote, own_start);
            self.sweep.plan(now, &self.ends);
        }
    }

    fn wire(&mut self, now: Instant, from: EndId, to: EndId, spec: WireSpec) {
        let is_agent = self.agents.get(from).is_some();
        match self.agents.get_mut(to) {
            Some(agent) => agent.take_wire(now, &spec),
            None if self.ends.named(to).is_some() => {}
            // Digits are reported to signalling while a player or a conference feeds their source.
            None if (self.players.has(to) || self.listeners.seats().has(to))
                && spec.parted.as_ref().is_some_and(|parted| parted.digits_only.is_some()) => {}
            None if self.listeners.seats().has(to) && is_agent => {}
            None => return,
        }
        // Two streams for one sink would need a mixer, so the new one replaces the former, which is faded out.
        self.cut_off(|source, sink| sink == to && source != from);
        let at = self.ends.slot(from);
        let twin = if at.is_none() { self.ends.twin_towards(to) } else { None };
        let transcoder = self.ends.transcoder(at, to, &spec);
        self.unwire(|_, sink| sink == to);
        match at {
            Some(at) => self.ends.connect(now, at, to, spec, transcoder),
            None => {
                self.feed(now, from, to, &spec);
                self.ends.go_on_from(twin, to);
            }
        }
    }

    /// Makes an agent, a player, a streamer or a seat feed an RTP end: the generated stream of that end begins, or
    /// continues with another feeder. For a player without a sound it begins a frame later, so that no packet of
    /// silence delays a sound that follows at once.
    fn feed(&mut self, now: Instant, from: EndId, to: EndId, spec: &WireSpec) {
        let is_wide_agent = self.agents.get(from).is_some_and(|agent| agent.is_wide());
        let wide = is_wide_agent || self.listeners.seats().is_wide(from);
        let Some(feed) = Feed::new(to, spec, wide) else { return };
        if self.ends.named(to).is_none() {
            return self.seat_agent(now, from, feed);
        }
        let begins = if self.agents.connect(from, feed) || self.players.connect(from, feed) {
            Some(if self.players.is_silent(from) { now + FRAME } else { now })
        } else {
            self.listeners.connect(now, from, feed)
        };
        if let Some(begins) = begins {
            let start = self.ends.new_start(to);
            self.ends.feed(begins, start, feed);
            // An existing stream is aligned with the ticks of the mixer.
            let is_mixed = self.listeners.seats().has(from);
            let playout = self.ends.named_mut(to).filter(|_| is_mixed).and_then(RtpEnd::playout_mut);
            playout.into_iter().for_each(|playout| playout.align(begins));
        }
    }

    /// Wires an agent to its conference seat, or the seat to the agent, and starts the seat's clock.
    fn seat_agent(&mut self, now: Instant, from: EndId, feed: Feed) {
        let seats = self.listeners.seats_mut();
        let is_heard = seats.has(feed.to) && self.agents.connect(from, feed);
        let hears = self.agents.get(feed.to).is_some() && seats.connect(now, from, feed).is_some();
        if is_heard || hears {
            seats.begin_clock(now, if is_heard { feed.to } else { from });
        }
    }

    /// Dequeues the next frame of each agent or player if `cut(from, to)` is true for its wire, to fade it out at the
    /// end that it feeds.
    fn cut_off(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for end in self.ends.iter_mut() {
            let to = end.id();
            let Some(playout) = end.playout_mut() else { continue };
            let player = self.players.cut_off(to, |from| cut(from, to));
            if let Some(next) = player.or_else(|| self.agents.cut_off(to, |from| cut(from, to))) {
                playout.cut_off(next);
            }
        }
    }

    /// Removes all wires for which `cut(from, to)` is true.
    fn unwire(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        self.ends.disconnect(&cut);
        self.agents.disconnect(&cut);
        self.players.disconnect(&cut);
        self.listeners.disconnect(&cut);
    }

    fn remove_end(&mut self, now: Instant, id: EndId) {
        self.cut_off(|from, _| from == id);
        self.unwire(|from, to| from == id || to == id);
        self.players.remove(id);
        self.ends.stop_listening(id);
        self.listeners.remove(now, id, &mut self.events);
        self.agents.remove(now, id, &mut self.events);
        if let Some(port) = self.ends.remove(&self.shared, id) {
            self.events.push_back(MediaEvent::EndClosed { end: id, port });
        }
    }
}
