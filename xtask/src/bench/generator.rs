//! Packet generator: both sides of every session, a packet of 20 ms from each every 20 ms, spread evenly over time,
//! pinned to its own core so that arrival times are exact. Relayed packets have 160 bytes of silence, transcoded ones
//! speech.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use trunkgate_media::PacketBuf;

use super::speech::{self, Codec, Heard, Speech};
use super::srtp::{SrtpInbound, SrtpKey, SrtpOutbound};

/// Interval between the packets of a stream.
const FRAME: Duration = Duration::from_millis(20);
/// Time until each path is latched and warmed up.
const WARM_UP: Duration = Duration::from_secs(1);
/// Payload of a packet, in bytes: 20 ms of G.711.
const PAYLOAD: usize = 160;
/// Maximum delay of the end of a recorded run, beyond which the times of its packets mean nothing.
const MOST_LATE: Duration = Duration::from_secs(1);
/// Offset between the speech of two streams, in packets.
const APART: usize = 37;

/// The two sockets of a session: the caller's and the called side's.
#[derive(Debug)]
pub(crate) struct Pair {
    /// Socket of the caller.
    pub(crate) near: UdpSocket,
    /// Socket of the called side.
    pub(crate) far: UdpSocket,
    /// Codecs of the caller and of the called side.
    pub(crate) codecs: (Codec, Codec),
}

/// Destinations of both sides of a session, and the SRTP keys of the called side, if any.
#[derive(Debug, Clone)]
pub(crate) struct Paths {
    /// Destination of the caller's packets.
    pub(crate) near: SocketAddr,
    /// Destination of the called side's packets.
    pub(crate) far: SocketAddr,
    /// Payload types of the caller and of the called side.
    pub(crate) numbers: (u8, u8),
    /// Keys with which the called side sends and receives.
    pub(crate) keys: Option<(SrtpKey, SrtpKey)>,
}

/// Results of a run of the generator.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Number of packets received during the measurement.
    pub(crate) packets: u64,
    /// Number of packets sent but not received.
    pub(crate) lost: u64,
    /// Number of packets that did not authenticate.
    pub(crate) forged: u64,
    /// Number of packets sent since the start, warm-up included, and number received of them.
    pub(crate) in_all: (u64, u64),
    /// Median time of a packet from one socket to the other, in µs.
    pub(crate) p50_us: f64,
    /// 99th percentile of the packets' times, in µs.
    pub(crate) p99_us: f64,
    /// Longest time of a packet, in µs.
    pub(crate) max_us: f64,
    /// CPU time of the device during the measurement.
    pub(crate) cpu: Duration,
}

/// Opens sockets for this many sessions with PCMU on both sides.
pub(crate) fn pairs(sessions: usize) -> anyhow::Result<Vec<Pair>> {
    coded_pairs(sessions, (Codec::Pcmu, Codec::Pcmu))
}

/// Opens sockets for this many sessions with these codecs.
pub(crate) fn coded_pairs(sessions: usize, codecs: (Codec, Codec)) -> anyhow::Result<Vec<Pair>> {
    let socket = |address: &str| -> anyhow::Result<UdpSocket> {
        let socket = UdpSocket::bind((address, 0)).with_context(|| address.to_owned())?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    let pair = |_| Ok(Pair { near: socket(super::dialer::NEAR)?, far: socket(super::dialer::FAR)?, codecs });
    (0..sessions).map(pair).collect()
}

struct Stream<'a> {
    socket: &'a UdpSocket,
    to: SocketAddr,
    /// Time at which each packet was sent in ns since the start, by sequence number.
    sent: Vec<u64>,
    came: u64,
    number: u8,
    ticks: u32,
    /// Payloads that are sent repeatedly, starting with the index `first`.
    payloads: &'a [Vec<u8>],
    first: usize,
    /// Received packets, if they are analysed after the run.
    heard: Option<Vec<Heard>>,
    /// Times and numbers of the received packets, if the run records them.
    arrivals: Option<Vec<Arrival>>,
    protect: Option<SrtpOutbound>,
    unprotect: Option<SrtpInbound>,
}

impl Stream<'_> {
    fn send(&mut self, ssrc: u32, packet: &mut PacketBuf, began: Instant) -> anyhow::Result<()> {
        let sequence = u16::try_from(self.sent.len())?;
        let payload = self.payloads.get((self.first + self.sent.len()) % self.payloads.len()).context("no payload")?;
        let area = packet.receive_area();
        let mut header = [0x80, self.number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&sequence.to_be_bytes());
        header[4..8].copy_from_slice(&(u32::from(sequence) * self.ticks).to_be_bytes());
        header[8..12].copy_from_slice(&ssrc.to_be_bytes());
        area[..12].copy_from_slice(&header);
        area[12..12 + payload.len()].copy_from_slice(payload);
        packet.set_len(12 + payload.len());
        if let Some(protect) = &mut self.protect {
            protect.protect_rtp(packet).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        self.sent.push(nanos(began));
        // A full buffer counts as packet loss.
        drop(self.socket.send_to(packet.data(), self.to));
        Ok(())
    }

    /// Records the arrival of a packet with this RTP header, if the run records arrivals.
    fn record(&mut self, head: Option<[u8; 12]>, is_authentic: bool) {
        let Some(arrivals) = &mut self.arrivals else { return };
        let Some([_, _, high, low, _, _, _, _, a, b, c, d]) = head else { return };
        let (ssrc, sequence) = (u32::from_be_bytes([a, b, c, d]), u16::from_be_bytes([high, low]));
        arrivals.push(Arrival { at: Instant::now(), ssrc, sequence, is_authentic });
    }
}

/// Returns the streams of all sessions; the two streams of a session have adjacent indices.
fn streams<'a>(
    pairs: &'a [Pair],
    paths: &[Paths],
    rounds: usize,
    said: &'a dyn Fn(Codec) -> &'a [Vec<u8>],
) -> Vec<Stream<'a>> {
    let mut streams = Vec::new();
    for (pair, path) in pairs.iter().zip(paths) {
        let keys = path.keys.as_ref();
        let converted = pair.codecs.0 != pair.codecs.1;
        let stream = |socket, to, codec: Codec, number| Stream {
            socket,
            to,
            sent: Vec::with_capacity(rounds),
            came: 0,
            number,
            ticks: codec.ticks(),
            payloads: said(codec),
            first: 0,
            heard: converted.then(|| Vec::with_capacity(rounds)),
            arrivals: None,
            protect: None,
            unprotect: None,
        };
        let near = stream(&pair.near, path.near, pair.codecs.0, path.numbers.0);
        let far = stream(&pair.far, path.far, pair.codecs.1, path.numbers.1);
        // No two streams say the same at a time.
        let first = streams.len() * APART;
        streams.push(Stream { first, ..near });
        streams.push(Stream {
            first: first + APART,
            protect: keys.map(|(send, _)| SrtpOutbound::new(send)),
            unprotect: keys.map(|(_, receive)| SrtpInbound::new(receive)),
            ..far
        });
    }
    streams
}

fn nanos(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Packet that arrived during a recorded run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) at: Instant,
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// Whether the packet authenticated, if its stream uses SRTP.
    pub(crate) is_authentic: bool,
}

/// Sends and receives for `seconds` after the warm-up, and returns the arrivals in each direction of each session; the
/// two directions of a session have adjacent indices. Both sides send silence, whose delay and content are not judged.
pub(crate) fn record(pairs: &[Pair], paths: &[Paths], seconds: u32) -> anyhow::Result<Vec<Vec<Arrival>>> {
    let rounds = rounds(pairs, paths, seconds)?;
    let silence = [vec![0xd5; PAYLOAD]];
    let said = |_: Codec| &silence[..];
    let mut streams = streams(pairs, paths, rounds, &said);
    for stream in &mut streams {
        (stream.heard, stream.arrivals) = (None, Some(Vec::with_capacity(rounds)));
    }
    let began = Instant::now();
    Run::transmit(&mut streams, rounds, &|| Ok(Duration::ZERO))?;
    let late = began.elapsed().saturating_sub(FRAME * u32::try_from(rounds)?);
    ensure!(late < MOST_LATE, "the generator was {late:.1?} late: take fewer calls, or an idle machine");
    Ok(streams.into_iter().filter_map(|stream| stream.arrivals).collect())
}

/// Returns the number of packets of each stream.
fn rounds(pairs: &[Pair], paths: &[Paths], seconds: u32) -> anyhow::Result<usize> {
    let rounds = usize::try_from((WARM_UP + Duration::from_secs(seconds.into())).as_millis() / FRAME.as_millis())?;
    if pairs.len() != paths.len() || rounds > usize::from(u16::MAX) {
        bail!("{} sessions, {} paths, {rounds} packets a stream", pairs.len(), paths.len());
    }
    Ok(rounds)
}

/// Returns the number of packets of each stream in the warm-up.
fn warm_up_rounds() -> usize {
    (WARM_UP.as_millis() / FRAME.as_millis()) as usize
}

/// Warms up, then sends and receives for `seconds`; `cpu` returns the device's CPU time so far.
pub(crate) fn drive(
    pairs: &[Pair],
    paths: &[Paths],
    seconds: u32,
    cpu: &dyn Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Seen> {
    let rounds = rounds(pairs, paths, seconds)?;
    let converted = pairs.iter().any(|pair| pair.codecs.0 != pair.codecs.1);
    let speech = if converted { Some(Speech::new()?) } else { None };
    let said = [Codec::Pcmu, Codec::Pcma, Codec::Opus].map(|codec| match &speech {
        Some(speech) => (codec, speech.payloads(codec)),
        None => (codec, vec![vec![0xd5; PAYLOAD]]),
    });
    let said = |codec| said.iter().find(|(of, _)| *of == codec).map_or(&[][..], |(_, payloads)| payloads);
    let mut streams = streams(pairs, paths, rounds, &said);
    let (mut run, spent) = Run::transmit(&mut streams, rounds, cpu)?;
    let (count, warm) = (streams.len(), warm_up_rounds());
    let sent = u64::try_from((rounds - warm) * count)?;
    let packets: u64 = streams.iter().map(|stream| stream.came).sum();
    let lost = match &speech {
        Some(speech) => run.judge(pairs, &streams, warm, speech)?,
        None => sent.saturating_sub(packets),
    };
    let (p50_us, p99_us, max_us) = (run.percentile(50), run.percentile(99), run.percentile(100));
    let in_all = (u64::try_from(rounds * count)?, run.came);
    Ok(Seen { packets, lost, forged: run.forged, in_all, p50_us, p99_us, max_us, cpu: spent })
}

struct Run {
    began: Instant,
    /// Delays of the received packets in ns.
    latencies: Vec<u64>,
    forged: u64,
    came: u64,
}

impl Run {
    /// Sends this many packets of each stream, and receives until 200 ms after the last one. Returns the CPU time of the
    /// device after the warm-up.
    fn transmit(
        streams: &mut [Stream<'_>],
        rounds: usize,
        cpu: &dyn Fn() -> anyhow::Result<Duration>,
    ) -> anyhow::Result<(Run, Duration)> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        for (at, stream) in streams.iter().enumerate() {
            epoll.add(stream.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
        }
        let latencies = Vec::with_capacity(rounds * streams.len());
        let mut run = Run { began: Instant::now(), latencies, forged: 0, came: 0 };
        let (count, gap) = (streams.len(), FRAME / u32::try_from(streams.len())?);
        let warm = warm_up_rounds() * count;
        let (mut next, mut cpu_before) = (0, Duration::ZERO);
        let mut packet = PacketBuf::new();
        let mut events = vec![EpollEvent::empty(); 256];
        while next < rounds * count {
            if run.began.elapsed() >= gap * u32::try_from(next)? {
                if next == warm {
                    cpu_before = cpu()?;
                    run.latencies.clear();
                    streams.iter_mut().for_each(|stream| stream.came = 0);
                }
                // The two sides of a session send half a frame apart.
                let at = (next % count) * 2 % count + usize::from(next % count >= count / 2);
                streams[at].send(u32::try_from(at)? + 1, &mut packet, run.began)?;
                next += 1;
            }
            run.listen(&epoll, &mut events, streams, &mut packet)?;
        }
        let spent = cpu()? - cpu_before;
        let end = Instant::now();
        while end.elapsed() < Duration::from_millis(200) {
            run.listen(&epoll, &mut events, streams, &mut packet)?;
        }
        Ok((run, spent))
    }

    fn listen(
        &mut self,
        epoll: &Epoll,
        events: &mut [EpollEvent],
        streams: &mut [Stream<'_>],
        packet: &mut PacketBuf,
    ) -> anyhow::Result<()> {
        let ready = epoll.wait(events, EpollTimeout::ZERO)?;
        for event in events.iter().take(ready) {
            let at = usize::try_from(event.data())?;
            let Ok((len, _)) = streams[at].socket.recv_from(packet.receive_area()) else { continue };
            let now = nanos(self.began);
            packet.set_len(len);
            let head = packet.data().first_chunk().copied();
            if let Some(unprotect) = &mut streams[at].unprotect
                && unprotect.unprotect_rtp(packet, false).is_err()
            {
                self.forged += 1;
                streams[at].record(head, false);
                continue;
            }
            let &[_, first, high, low, a, b, c, d, _, _, _, _, ref payload @ ..] = packet.data() else { continue };
            // RTCP by RFC 5761 §4: the port after this one may belong to another session.
            if (192..=223).contains(&first) {
                continue;
            }
            streams[at].came += 1;
            self.came += 1;
            if streams[at].arrivals.is_some() {
                streams[at].record(head, true);
                continue;
            }
            let number = streams[at].number;
            if let Some(heard) = &mut streams[at].heard {
                if first & 0x7f != number {
                    bail!("a packet with payload type {} instead of {number}", first & 0x7f);
                }
                let timestamp = u32::from_be_bytes([a, b, c, d]);
                heard.push(Heard { at: now, timestamp, payload: payload.to_vec() });
                continue;
            }
            let sequence = usize::from(u16::from_be_bytes([high, low]));
            // Packets of one side arrive at the other.
            let sent = streams.get(at ^ 1).and_then(|stream| stream.sent.get(sequence));
            self.latencies.extend(sent.map(|sent| now.saturating_sub(*sent)));
        }
        Ok(())
    }

    /// Judges transcoded streams, in which packets are renumbered: their content and delay; returns the number of lost
    /// packets.
    fn judge(&mut self, pairs: &[Pair], streams: &[Stream<'_>], warm: usize, speech: &Speech) -> anyhow::Result<u64> {
        let mut lost = 0;
        self.latencies.clear();
        for (at, stream) in streams.iter().enumerate() {
            let codecs = pairs[at / 2].codecs;
            let codec = if at % 2 == 0 { codecs.0 } else { codecs.1 };
            let (Some(heard), Some(other)) = (&stream.heard, streams.get(at ^ 1)) else { bail!("a stream alone") };
            let places = speech::places(heard, codec, speech, other.first);
            let places = places.with_context(|| format!("stream {at} of {}", streams.len()))?;
            // At the end of the run, a device may be a packet behind.
            let judged = warm..other.sent.len() - 2;
            let mut came = 0;
            for (packet, place) in heard.iter().zip(places).filter_map(|(packet, place)| Some((packet, place?))) {
                if judged.contains(&place) {
                    let late = packet.at.checked_sub(other.sent[place]);
                    self.latencies.push(late.context("a packet came before it was sent: the speech is misjudged")?);
                    came += 1;
                }
            }
            lost += judged.len().saturating_sub(came) as u64;
        }
        Ok(lost)
    }

    fn percentile(&mut self, percent: usize) -> f64 {
        if self.latencies.is_empty() {
            return f64::NAN;
        }
        let at = (self.latencies.len() * percent / 100).min(self.latencies.len() - 1);
        let (_, value, _) = self.latencies.select_nth_unstable(at);
        #[allow(clippy::cast_precision_loss)]
        let us = *value as f64 / 1000.0;
        us
    }
}
