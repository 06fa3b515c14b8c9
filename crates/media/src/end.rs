//! One RTP end's receiving and sending state, and the wire that leads away from it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::counters::{DropReason, EndCounters};
use crate::keep_alive::KeepAlive;
use crate::keys::{Held, Keys};
use crate::latch::Latch;
use crate::pressing::Pressing;
use crate::reports::Reports;
use crate::rewrite::Outgoing;
use crate::rtcp::{self, Kind};
use crate::rtp::Rtp;
use crate::session::Transmit;
use crate::spec::{EndId, RemoteSpec, WireSpec};
use crate::srtp::Pair;
use crate::stats::Reception;
use crate::tap::Tap;
use crate::tone_watch::ToneWatch;
use crate::transcode::{Coding, Transcoder};
use crate::voice::Voice;

/// Clock of a payload that no wire names, in Hz: that of every narrow-band codec (RFC 3551 §6).
pub const DEFAULT_CLOCK_HZ: u32 = 8000;
const NOT_AGREED: u8 = 0xff;

/// A wire, ready for packets.
#[derive(Debug)]
pub struct Wire {
    /// The sink.
    pub to: EndId,
    spec: WireSpec,
    /// By payload number as it comes. What a packet asks for stands here, not in `spec`: each place more is a cache miss more.
    payloads: [Payload; 128],
    /// Clocks that are named, in Hz.
    clocks: Vec<u32>,
    /// What converts the payloads that are.
    pub(crate) transcoder: Option<Box<Transcoder>>,
    /// Takes keys' tones out of G.711 that goes to an agent; what is decoded for it is watched where that is done.
    pub(crate) ear: Option<Box<ToneWatch>>,
}

/// How a payload number is taken.
#[derive(Debug, Clone, Copy)]
struct Payload {
    /// As it leaves, or [`NOT_AGREED`].
    to: u8,
    /// 0: [`DEFAULT_CLOCK_HZ`]; else its position in the wire's clocks, from 1.
    clock: u8,
}

impl Wire {
    /// To `to`, as `spec` says; payload numbers above 127 do not exist.
    pub fn new(to: EndId, spec: WireSpec) -> Wire {
        let mut payloads = [Payload { to: NOT_AGREED, clock: 0 }; 128];
        for (from, to) in spec.payloads.iter().filter(|(_, to)| *to < 128) {
            if let Some(entry) = payloads.get_mut(usize::from(*from)) {
                entry.to = *to;
            }
        }
        let mut clocks = Vec::new();
        // Of several for one number the first counts.
        for (from, hz) in spec.clocks.iter().rev().filter(|(_, hz)| *hz > 0) {
            if let Some(entry) = payloads.get_mut(usize::from(*from)) {
                let at = clocks.iter().position(|known| known == hz).unwrap_or(clocks.len());
                if at == clocks.len() {
                    clocks.push(*hz);
                }
                entry.clock = u8::try_from(at + 1).unwrap_or_default();
            }
        }
        Wire { to, spec, payloads, clocks, transcoder: None, ear: None }
    }
    /// The same with what converts.
    pub(crate) fn converting(self, transcoder: Option<Box<Transcoder>>) -> Wire {
        Wire { transcoder, ..self }
    }
    /// The same with an ear where tones in its audio are keys.
    pub(crate) fn watching(mut self, now: Instant) -> Wire {
        if self.spec.listens_for_tones() {
            // Of G.711 they are taken out before anybody hears it, also who listens; of others once it is decoded.
            let is_g711 = match &self.transcoder {
                Some(transcoder) => transcoder.spec().from.iter().all(|(_, coding)| coding.is_g711()),
                None => self.spec.coding.is_g711(),
            };
            match &mut self.transcoder {
                _ if is_g711 => self.ear = Some(Box::new(ToneWatch::new(now, DEFAULT_CLOCK_HZ))),
                Some(transcoder) => transcoder.watch_tones(now, true),
                None => {}
            }
        }
        self
    }
    /// What a payload number of audio is; `None` for any other.
    pub(crate) fn coding(&self, number: u8) -> Option<Coding> {
        let converted = self.spec.transcode.iter().flat_map(|spec| &spec.from).find(|(from, _)| *from == number);
        converted.map(|(_, coding)| *coding).or_else(|| self.payload(number).map(|_| self.spec.coding))
    }
    /// What listens for tones.
    pub(crate) fn watch(&mut self) -> Option<&mut ToneWatch> {
        let converting = self.transcoder.as_mut().and_then(|transcoder| transcoder.watch.as_deref_mut());
        converting.or(self.ear.as_deref_mut())
    }
    /// A packet of the source that is taken out of its stream: that is no loss.
    pub(crate) fn pass_over(&mut self, rtp: &Rtp) {
        if let Some(transcoder) = &mut self.transcoder {
            transcoder.pass_over(rtp);
        }
    }
    /// When a tone counts as over.
    pub(crate) fn tone_lost_at(&self) -> Option<Instant> {
        let converting = self.transcoder.as_ref().and_then(|transcoder| transcoder.watch.as_deref());
        converting.or(self.ear.as_deref())?.lost_at()
    }
    /// As it was asked for.
    pub fn spec(&self) -> &WireSpec {
        &self.spec
    }
    /// Whether a payload number means something here.
    pub(crate) fn knows(&self, number: u8) -> bool {
        let converts = self.transcoder.as_ref().is_some_and(|transcoder| transcoder.takes(number));
        converts || self.coding(number).is_some() || self.spec.keys == Some(number)
    }
    /// The payload number that the sink expects.
    pub fn payload(&self, from: u8) -> Option<u8> {
        self.payloads.get(usize::from(from)).map(|payload| payload.to).filter(|to| *to != NOT_AGREED)
    }
    /// The clock of a payload, in Hz.
    pub fn clock_hz(&self, from: u8) -> u32 {
        let payload = self.payloads.get(usize::from(from));
        let named = payload.and_then(|payload| self.clocks.get(usize::from(payload.clock).checked_sub(1)?));
        named.copied().unwrap_or(DEFAULT_CLOCK_HZ)
    }
}

/// Since when an end is silent, and whether that was told.
#[derive(Debug, Clone, Copy)]
pub struct Silence {
    since: Instant,
    /// When anything came, be it a keep-alive.
    alive: Instant,
    told: bool,
    /// Whether it spoke since its far side was described.
    heard: bool,
    missed: bool,
}

impl Silence {
    /// Silent from now on.
    pub fn new(now: Instant) -> Silence {
        Silence { since: now, alive: now, told: false, heard: false, missed: false }
    }
    /// Whether the end has spoken since then.
    pub fn is_broken(&self) -> bool {
        self.heard
    }
    /// The same silence counts from now on only.
    pub fn again(&mut self, now: Instant) {
        *self = Silence { heard: self.heard, ..Silence::new(now) };
    }
    /// The end spoke.
    pub fn broken(&mut self, now: Instant) {
        *self = Silence { heard: true, ..Silence::new(now) };
    }
    /// The end is there, and says nothing: the way to it is kept open.
    pub fn kept_alive(&mut self, now: Instant) {
        (self.alive, self.told) = (now, false);
    }
    /// Whether nothing to be heard has come for so long, and that was not told before.
    pub fn miss(&mut self, now: Instant, wait: Duration) -> bool {
        let due = !self.heard && !self.missed && now.saturating_duration_since(self.since) >= wait;
        self.missed |= due;
        due
    }
    /// Whether nothing at all has come for `timeout` and that was not told before.
    pub fn tell(&mut self, now: Instant, timeout: Duration) -> bool {
        let due = !self.told && now.saturating_duration_since(self.alive) >= timeout;
        self.told |= due;
        due
    }
}

/// How a datagram is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// As RTP, or dropped.
    Rtp,
    /// As RTCP, or dropped.
    Rtcp,
    /// As it is.
    Verbatim,
}

/// One end: the stream of a far side.
#[derive(Debug)]
pub struct End {
    /// Its name.
    pub id: EndId,
    /// A number that no other end of the session ever had, whatever its name.
    pub serial: u32,
    /// Where its sockets are bound; the port is that of RTP.
    pub bind: SocketAddr,
    /// Shared counters.
    pub counters: Arc<EndCounters>,
    /// Its far side, once known.
    pub remote: Option<RemoteSpec>,
    /// Whether no RTP is sent to it: its address is not proven, and no packet of it has come.
    pub(crate) withheld: bool,
    /// What was learned of it.
    pub latch: Latch,
    /// Where its packets go.
    pub wire: Option<Wire>,
    /// What is received.
    pub reception: Reception,
    /// What is sent.
    pub outgoing: Outgoing,
    /// Whether it still speaks.
    pub silence: Silence,
    /// What was seen of the keys that its far side presses.
    pub(crate) keys: Keys,
    /// The one that it holds down, where its end has to be known.
    pub(crate) held: Option<Held>,
    /// What is pressed towards it, while another far side feeds it.
    pub(crate) pressing: Option<Box<Pressing>>,
    /// The stream that the edge makes for it, while it does.
    pub(crate) voice: Option<Voice>,
    /// Who listens to it.
    pub(crate) taps: Vec<Tap>,
    /// How its packets are encrypted, once that was agreed.
    pub(crate) srtp: Option<Box<Pair>>,
    /// What it and its far side tell each other by RTCP.
    pub(crate) reports: Reports,
    /// When its quality was estimated last, and what was expected and lost by then.
    pub(crate) estimated: (Instant, u64, u64),
    /// What was lost a sweep ago, and what of that its worker knows: a late packet is not lost.
    pub(crate) lost_before: u64,
    pub(crate) lost_told: u64,
    /// Its keep-alive packets.
    pub(crate) keep_alive: KeepAlive,
    /// Who sent to it last without being expected.
    pub(crate) stranger: Option<SocketAddr>,
    /// Whether it was heard to be more than silence.
    pub(crate) sounded: bool,
}

impl End {
    /// An end of which nothing is known yet.
    pub(crate) fn new(now: Instant, id: EndId, serial: u32, bind: SocketAddr, counters: Arc<EndCounters>) -> End {
        End {
            id,
            serial,
            bind,
            counters,
            remote: None,
            withheld: false,
            latch: Latch::default(),
            wire: None,
            reception: Reception::default(),
            outgoing: Outgoing::default(),
            silence: Silence::new(now),
            keys: Keys::default(),
            held: None,
            pressing: None,
            voice: None,
            taps: Vec::new(),
            srtp: None,
            reports: Reports::default(),
            estimated: (now, 0, 0),
            lost_before: 0,
            lost_told: 0,
            keep_alive: KeepAlive::new(now),
            stranger: None,
            sounded: false,
        }
    }
    /// Takes what a negotiation says of the far side.
    pub fn set_remote(&mut self, now: Instant, remote: RemoteSpec) {
        if remote.relatch {
            if self.latch.open(now, self.remote.as_ref(), &remote) {
                self.counters.latched.set(0);
                self.stranger = None;
            }
            self.silence = Silence::new(now);
            self.keep_alive.again(now);
        } else {
            self.latch.describe(now, &remote);
        }
        let watched = self.remote.as_ref().is_some_and(|before| before.watch_idle);
        if remote.watch_idle && !watched {
            self.silence.again(now);
        }
        self.srtp = Pair::agree(now, self.srtp.take(), remote.rtp, remote.srtp.as_ref());
        self.withheld = self.latch.withholds(&remote);
        self.remote = Some(remote);
    }
    /// Where RTP leaves it, and whether that is locked.
    ///
    /// # Errors
    /// Why it does not: the far side has no address, or none that is proven.
    pub(crate) fn rtp_way(&self, remote: &RemoteSpec) -> Result<(SocketAddr, bool), DropReason> {
        if self.withheld {
            return Err(DropReason::Withheld);
        }
        self.latch.rtp_destination(remote).ok_or(DropReason::NoDestination)
    }
    /// How RTCP leaves it; `None` also where its address is not proven.
    pub(crate) fn rtcp_way(&self) -> Option<Transmit> {
        let remote = self.remote.as_ref()?;
        let (to, locked) = match remote.rtcp_mux {
            true => self.latch.rtp_destination(remote)?,
            false => self.latch.rtcp_destination(remote)?,
        };
        if remote.withholds(to.ip()) {
            return None;
        }
        Some(Transmit { via: self.id, rtcp: !remote.rtcp_mux, to, locked })
    }
    /// What a datagram that came to its RTP socket is.
    pub(crate) fn kind(&self, packet: &[u8]) -> Arrival {
        let muxed = || self.remote.as_ref().is_some_and(|remote| remote.rtcp_mux);
        match rtcp::classify(packet) {
            _ if self.wire.as_ref().is_some_and(|wire| wire.spec.verbatim) => Arrival::Verbatim,
            Kind::Rtcp if muxed() => Arrival::Rtcp,
            Kind::Rtp | Kind::Rtcp | Kind::Other => Arrival::Rtp,
        }
    }
    /// Whether its silence is to be told.
    pub fn is_watched(&self) -> bool {
        self.remote.as_ref().is_some_and(|remote| remote.watch_idle)
    }
    /// The clock of a payload as it comes, in Hz.
    pub fn clock_hz(&self, payload: u8) -> u32 {
        self.wire.as_ref().map_or(DEFAULT_CLOCK_HZ, |wire| wire.clock_hz(payload))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn a_wire_maps_what_was_agreed_and_nothing_else() {
        let spec = WireSpec {
            payloads: vec![(0, 0), (101, 96), (200, 1), (5, 200)],
            clocks: vec![(101, 48_000), (0, 8000), (101, 16_000)],
            ..WireSpec::default()
        };
        let wire = Wire::new(EndId(1), spec);
        let mapped: Vec<(u8, u8)> = (0..=255).filter_map(|pt| Some((pt, wire.payload(pt)?))).collect();
        assert_eq!(mapped, [(0, 0), (101, 96)]);
        assert_eq!((wire.clock_hz(0), wire.clock_hz(101)), (8000, 48_000));
    }

    #[test]
    fn silence_is_told_once() {
        let (now, timeout) = (Instant::now(), Duration::from_secs(60));
        let mut silence = Silence::new(now);
        assert!(!silence.tell(now + timeout - Duration::from_millis(1), timeout));
        assert!(silence.tell(now + timeout, timeout));
        assert!(!silence.tell(now + timeout * 2, timeout));
        silence.broken(now + timeout * 2);
        assert!(silence.tell(now + timeout * 3, timeout));
    }

    #[test]
    fn what_was_never_heard_is_missed_once() {
        let (now, wait) = (Instant::now(), Duration::from_secs(5));
        let mut silence = Silence::new(now);
        assert!(!silence.miss(now + wait - Duration::from_millis(1), wait));
        assert!(silence.miss(now + wait, wait) && !silence.miss(now + wait * 2, wait));
        // Once heard it is not missed: a mute far side, comfort noise, a hold.
        silence.broken(now + wait);
        silence.again(now + wait * 2);
        assert!(silence.is_broken() && !silence.miss(now + wait * 9, wait));
    }
}
