//! Ends that talk or listen without a far side of their own: agents and players, and the packets that the edge makes of
//! what they say.
//!
//! The shell opens an agent's socket when it sees [`Command::AddAgent`](crate::Command::AddAgent), tells by
//! [`Session::handle_agent`] what happens on it, reads it only while [`Session::agent_wants_more`], and asks
//! [`Session::poll_agent`] for what to write when the socket takes it. It drops the socket once
//! [`Session::agent_is_closed`]; an agent that was removed leaves the rest of its conversation in [`Session::poll_departed`].

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_agent::{Loss, Stream, Tick, TrackName, Transmit as AgentTransmit};

use crate::agent_end::AgentEnd;
use crate::counters::DropReason;
use crate::keys::event_of;
use crate::packet::PacketBuf;
use crate::player::Player;
use crate::session::{Session, Transmit};
use crate::spec::{AgentInput, AgentSpec, EndId, Event, Sound, TapSpec, WireSpec};
use crate::tap::{Tap, hear_all};
use crate::voice::{Feed, SILENT, Said, Voice};

impl Session {
    /// Takes what an agent's socket says; nothing for an agent that is not there.
    pub fn handle_agent(&mut self, now: Instant, end: EndId, input: AgentInput<'_>) {
        if let AgentInput::Found(to) = input
            && self.raws.found(end, to)
        {
            self.events.push_back(Event::AgentOpen { end });
        }
        if let AgentInput::Lost(loss) = input
            && self.raws.has(end)
        {
            self.events.push_back(Event::AgentLost { end, loss });
        }
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == end) {
            agent.handle(now, input, &mut self.events);
        }
    }
    /// What to write to an agent's socket next: asked when the socket takes it. What it does not take is bounded, so a
    /// slow agent only hurts itself.
    pub fn poll_agent(&mut self, end: EndId) -> Option<AgentTransmit> {
        self.agents.iter_mut().find(|agent| agent.id == end)?.poll_transmit()
    }
    /// Whether an agent's socket may be read further: asked again after each packet that the session made.
    pub fn agent_wants_more(&mut self, end: EndId) -> bool {
        let (agents, events) = (&mut self.agents, &mut self.events);
        agents.iter_mut().find(|agent| agent.id == end).is_some_and(|agent| agent.wants_more(events))
    }
    /// Whether an agent's socket may be dropped: the conversation is over, or there is no such agent.
    pub fn agent_is_closed(&self, end: EndId) -> bool {
        !self.raws.has(end) && self.agents.iter().find(|agent| agent.id == end).is_none_or(AgentEnd::is_closed)
    }
    /// Hands over the copies for listeners that get plain RTP: asked after each packet that came or was made. Allocates
    /// nothing.
    pub fn drain_copies(&mut self, send: impl FnMut(SocketAddr, &[u8])) {
        self.raws.drain(send);
    }
    /// An agent that was removed, and what is left of its conversation: that goes on for
    /// [`CLOSE_TIMEOUT`](trunkgate_agent::limits::CLOSE_TIMEOUT) at most, and is closed already where it never was open.
    pub fn poll_departed(&mut self) -> Option<(EndId, Box<Stream>)> {
        self.departed.pop_front()
    }
    /// The next packet that the edge makes itself, into `packet`: asked until `None` after each
    /// [`Self::handle_timeout`]. Allocates nothing but the messages of agents that listen.
    pub fn poll_packet(&mut self, packet: &mut PacketBuf) -> Option<Transmit> {
        let now = self.ticked_at?;
        let mut at = 0;
        while at < self.ends.len() {
            match self.speak(now, at, packet) {
                Some(Spoken::Sent(transmit)) => return Some(transmit),
                Some(Spoken::Unsent) => {}
                None => {
                    let due = self.press_on(now, at, packet).or_else(|| self.say_what_is_due(now, at, packet));
                    match due {
                        Some(transmit) => return Some(transmit),
                        None => at += 1,
                    }
                }
            }
        }
        self.ticked_at = None;
        None
    }

    pub(crate) fn add_agent(&mut self, now: Instant, id: EndId, spec: &AgentSpec) {
        if let Some(reason) = self.refuses(id) {
            self.events.push_back(Event::AgentNote { end: id, text: reason.to_owned(), logged: true });
            self.events.push_back(Event::AgentLost { end: id, loss: Loss::Unreachable });
            return;
        }
        match spec.raw {
            Some(raw) => self.raws.add(id, raw, spec.settings.tracks, spec.counters.clone()),
            None => {
                // One is the common case, and not small.
                self.agents.reserve_exact(1);
                self.agents.push(AgentEnd::new(now, id, spec, self.shared.clone()));
            }
        }
    }

    pub(crate) fn remove_agent(&mut self, now: Instant, id: EndId) {
        for end in &mut self.ends {
            end.taps.retain(|tap| tap.listener != id);
        }
        self.raws.remove(id);
        if let Some(at) = self.agents.iter().position(|agent| agent.id == id) {
            let stream = self.agents.remove(at).leave(now, &mut self.events);
            self.departed.push_back((id, Box::new(stream)));
        }
    }

    pub(crate) fn add_player(&mut self, id: EndId, sound: Sound) {
        if self.refuses(id).is_none() {
            self.players.push(Player::new(id, sound));
        }
    }

    /// Tells an agent of keys that its caller has pressed beside its media.
    pub(crate) fn tell_keys(&mut self, now: Instant, id: EndId, digits: &str) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == id) {
            for key in digits.chars().filter(|key| event_of(*key).is_some()) {
                agent.press(now, key, &mut self.events);
            }
        }
    }

    pub(crate) fn tap(&mut self, of: EndId, listener: EndId, audio: TapSpec) {
        let known = self.raws.has(listener) || self.agents.iter().any(|agent| agent.id == listener);
        let Some(at) = self.position(of).filter(|_| known) else { return };
        // It hears one end at a time: two would be one stream in turn.
        for end in &mut self.ends {
            end.taps.retain(|tap| tap.listener != listener);
        }
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == listener) {
            agent.tune(TrackName::Inbound, &audio.inbound, None);
            agent.tune(TrackName::Outbound, &audio.outbound, None);
        }
        if let Some(end) = self.ends.get_mut(at) {
            end.taps.push(Tap { listener, audio });
        }
    }

    /// Keeps, for each end whose agent or player `cut(from, to)` says is cut off, what would have been heard next.
    pub(crate) fn cut_off(&mut self, cut: impl Fn(EndId, EndId) -> bool) {
        for player in &mut self.players {
            let Some(feed) = player.wire.filter(|feed| cut(player.id, feed.to)) else { continue };
            let end = self.ends.iter_mut().find(|end| end.id == feed.to);
            if let Some(voice) = end.and_then(|end| end.voice.as_mut()) {
                let mut next = SILENT;
                player.next_frame(&mut next);
                voice.cut_off(Said::Ulaw(next));
            }
        }
        for agent in &mut self.agents {
            let Some(feed) = agent.wire.filter(|feed| cut(agent.id, feed.to)) else { continue };
            let end = self.ends.iter_mut().find(|end| end.id == feed.to);
            if let Some(voice) = end.and_then(|end| end.voice.as_mut()) {
                voice.cut_off(agent.last_frame());
            }
        }
    }

    /// Wires an agent or a player to an RTP end: the end's clock begins, or goes on with another voice.
    pub(crate) fn feed(&mut self, now: Instant, from: EndId, to: EndId, spec: &WireSpec) {
        let mut agent = self.agents.iter_mut().find(|agent| agent.id == from);
        let wide = agent.as_ref().is_some_and(|agent| agent.is_wide());
        let at = self.ends.iter().position(|end| end.id == to);
        let (Some(feed), Some(at)) = (Feed::new(to, spec, wide), at) else { return };
        if let Some(agent) = &mut agent {
            agent.say_wide(feed.wide);
        }
        let agent = agent.map(|agent| &mut agent.wire);
        let player = self.players.iter_mut().find(|player| player.id == from).map(|player| &mut player.wire);
        let Some(wire) = agent.or(player) else { return };
        *wire = Some(feed);
        let (session, serial) = (self.id(), self.new_serial());
        if let Some(end) = self.ends.get_mut(at) {
            end.voice.get_or_insert_with(|| Voice::new(now, session, serial, feed)).set_feed(feed);
            end.pressing = None;
        }
    }

    /// Tells an agent that its caller stays: where it was to go, why it does not, the code of the answer.
    pub(crate) fn transfer_failed(&mut self, now: Instant, id: EndId, why: (&str, &str, Option<u16>)) {
        if let Some(agent) = self.agents.iter_mut().find(|agent| agent.id == id) {
            agent.transfer_failed(now, why, &mut self.events);
        }
    }

    /// One tick of an end's clock, if it is due.
    fn speak(&mut self, now: Instant, at: usize, packet: &mut PacketBuf) -> Option<Spoken> {
        let end = self.ends.get_mut(at)?;
        let voice = end.voice.as_mut()?;
        if end.withheld {
            // What is to be said waits, with its marks and digits: none of it is lost while the far side's ACK is on its way.
            voice.pass_over(now)?;
            self.dropped(at, DropReason::Withheld);
            return Some(Spoken::Unsent);
        }
        let tick = voice.take(now)?;
        let (id, pressing) = (end.id, voice.is_pressing());
        let fed = |wire: Option<Feed>| !pressing && wire.is_some_and(|feed| feed.to == id);
        let mut said = Said::Ulaw(SILENT);
        let agent = self.agents.iter().position(|agent| fed(agent.wire));
        let player = self.players.iter().position(|player| fed(player.wire));
        let mut feeder = None;
        if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(agent)) {
            said = agent.next_frame(now).unwrap_or(said);
            feeder = Some(agent.id);
        }
        if let Some(player) = player.and_then(|player| self.players.get_mut(player)) {
            feeder = Some(player.id);
            let mut frame = SILENT;
            if player.next_frame(&mut frame) {
                self.events.push_back(Event::Played { end: player.id });
            }
            said = Said::Ulaw(frame);
        }
        if let Some(voice) = self.ends.get_mut(at).and_then(|end| end.voice.as_mut()).filter(|_| !pressing) {
            said = voice.end_softly(said);
        }
        let spoken = match self.send(now, at, &Spoke { tick, feeder, said }, packet) {
            Ok(Some(transmit)) => Spoken::Sent(transmit),
            Ok(None) => Spoken::Unsent,
            Err(reason) => {
                self.dropped(at, reason);
                Spoken::Unsent
            }
        };
        if let Some(agent) = agent.and_then(|agent| self.agents.get_mut(agent)) {
            agent.frame_left(now, &mut self.events);
        }
        Some(spoken)
    }

    /// Makes a packet of an end's own stream, unless its far side is not to hear it; none of silence that need not be sent.
    fn send(
        &mut self,
        now: Instant,
        at: usize,
        spoke: &Spoke,
        packet: &mut PacketBuf,
    ) -> Result<Option<Transmit>, DropReason> {
        let nowhere = DropReason::NoDestination;
        let end = self.ends.get_mut(at).ok_or(nowhere)?;
        let remote = end.remote.as_ref().filter(|remote| remote.may_receive).ok_or(nowhere)?;
        let (to, locked) = end.rtp_way(remote)?;
        let voice = end.voice.as_mut().ok_or(nowhere)?;
        let Some(mut rtp) = voice.write(spoke.tick, spoke.feeder, &spoke.said, packet) else { return Ok(None) };
        let clock_hz = voice.clock_hz();
        let takes = |ssrc, sequence| end.srtp.as_ref().is_none_or(|srtp| srtp.takes(ssrc, sequence));
        end.outgoing.pass(now, voice.serial, clock_hz, &mut rtp, takes);
        rtp.write(packet.data_mut());
        let bytes = packet.data().len();
        hear_all(now, &end.taps, &mut self.agents, TrackName::Outbound, (&rtp, packet.data()), &mut self.events);
        self.raws.hear_all(now, &end.taps, TrackName::Outbound, (&rtp, packet.data()), clock_hz);
        if let Some(srtp) = &mut end.srtp {
            srtp.protect(false, packet)?;
        }
        self.shared.count_sent(&end.counters, bytes);
        Ok(Some(Transmit { via: end.id, rtcp: false, to, locked }))
    }
}

/// What is said in a tick.
struct Spoke {
    tick: Tick,
    feeder: Option<EndId>,
    said: Said,
}

/// What became of a tick.
enum Spoken {
    /// A packet.
    Sent(Transmit),
    /// Nobody is there to hear it, or there is nothing to hear.
    Unsent,
}
