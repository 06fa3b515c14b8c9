//! The generator: both sides of every session, 172-byte packets every 20 ms from each, spread evenly over time, on a
//! core of its own that it never leaves, so that a packet is stamped when it comes.

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use trunkgate_media::PacketBuf;

use super::srtp::{Inbound, Outbound, SrtpKey};

/// Time between two packets of a stream.
const FRAME: Duration = Duration::from_millis(20);
/// Until each path is learned and warm.
const WARM_UP: Duration = Duration::from_secs(1);
/// Payload of a packet, in bytes: 20 ms of G.711.
const PAYLOAD: usize = 160;

/// The two sockets of a session: the caller's side and the called side.
#[derive(Debug)]
pub(crate) struct Pair {
    /// The caller's.
    pub(crate) near: UdpSocket,
    /// The called side's.
    pub(crate) far: UdpSocket,
}

/// Where the two sides of a session send, and the keys of the far one where it speaks SRTP.
#[derive(Debug)]
pub(crate) struct Paths {
    /// Where the caller sends.
    pub(crate) near: SocketAddr,
    /// Where the called side sends.
    pub(crate) far: SocketAddr,
    /// (what the called side sends with, what it receives with).
    pub(crate) keys: Option<(SrtpKey, SrtpKey)>,
}

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Packets that came while it was measured.
    pub(crate) packets: u64,
    /// Packets sent and not come back.
    pub(crate) lost: u64,
    /// Packets that did not authenticate.
    pub(crate) forged: u64,
    /// Time from one socket to the other, median, in µs.
    pub(crate) p50_us: f64,
    /// The same, 99th percentile.
    pub(crate) p99_us: f64,
    /// CPU time of the device while it was measured.
    pub(crate) cpu: Duration,
}

/// Sockets for so many sessions.
pub(crate) fn pairs(sessions: usize) -> anyhow::Result<Vec<Pair>> {
    let socket = |address: &str| -> anyhow::Result<UdpSocket> {
        let socket = UdpSocket::bind((address, 0)).with_context(|| address.to_owned())?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    (0..sessions).map(|_| Ok(Pair { near: socket(super::dialer::NEAR)?, far: socket(super::dialer::FAR)? })).collect()
}

struct Stream<'a> {
    socket: &'a UdpSocket,
    to: SocketAddr,
    /// When each packet was sent, in ns since the start, by sequence number.
    sent: Vec<u64>,
    came: u64,
    protect: Option<Outbound>,
    unprotect: Option<Inbound>,
}

impl<'a> Stream<'a> {
    fn new(socket: &'a UdpSocket, to: SocketAddr, packets: usize, keys: Option<&(SrtpKey, SrtpKey)>) -> Stream<'a> {
        let protect = keys.map(|(send, _)| Outbound::new(send));
        let unprotect = keys.map(|(_, receive)| Inbound::new(receive));
        Stream { socket, to, sent: Vec::with_capacity(packets), came: 0, protect, unprotect }
    }

    fn send(&mut self, ssrc: u32, packet: &mut PacketBuf, began: Instant) -> anyhow::Result<()> {
        let sequence = u16::try_from(self.sent.len())?;
        let area = packet.receive_area();
        let mut header = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&sequence.to_be_bytes());
        header[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
        header[8..12].copy_from_slice(&ssrc.to_be_bytes());
        area[..12].copy_from_slice(&header);
        area[12..12 + PAYLOAD].fill(0xd5);
        packet.set_len(12 + PAYLOAD);
        if let Some(protect) = &mut self.protect {
            protect.protect_rtp(packet).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        }
        self.sent.push(nanos(began));
        // A full buffer is a loss like another.
        drop(self.socket.send_to(packet.data(), self.to));
        Ok(())
    }
}

fn nanos(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// Sends for `seconds` beyond the warm-up and listens; `cpu` reads the device's CPU time.
pub(crate) fn drive(
    pairs: &[Pair],
    paths: &[Paths],
    seconds: u32,
    cpu: &dyn Fn() -> anyhow::Result<Duration>,
) -> anyhow::Result<Seen> {
    let measured = Duration::from_secs(seconds.into());
    let rounds = usize::try_from((WARM_UP + measured).as_millis() / FRAME.as_millis())?;
    if pairs.len() != paths.len() || rounds > usize::from(u16::MAX) {
        bail!("{} sessions, {} paths, {rounds} packets a stream", pairs.len(), paths.len());
    }
    let mut streams: Vec<Stream<'_>> = Vec::new();
    for (pair, path) in pairs.iter().zip(paths) {
        streams.push(Stream::new(&pair.near, path.near, rounds, None));
        streams.push(Stream::new(&pair.far, path.far, rounds, path.keys.as_ref()));
    }
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (at, stream) in streams.iter().enumerate() {
        epoll.add(stream.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
    }
    let mut run = Run { began: Instant::now(), latencies: Vec::with_capacity(rounds * streams.len()), forged: 0 };
    let (count, gap) = (streams.len(), FRAME / u32::try_from(streams.len())?);
    let warm = usize::try_from(WARM_UP.as_millis() / FRAME.as_millis())? * count;
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
            // The two sides of a session are half a frame apart.
            let at = (next % count) * 2 % count + usize::from(next % count >= count / 2);
            streams[at].send(u32::try_from(at)? + 1, &mut packet, run.began)?;
            next += 1;
        }
        run.listen(&epoll, &mut events, &mut streams, &mut packet)?;
    }
    let spent = cpu()? - cpu_before;
    let sent = u64::try_from(rounds * count - warm)?;
    let end = Instant::now();
    while end.elapsed() < Duration::from_millis(200) {
        run.listen(&epoll, &mut events, &mut streams, &mut packet)?;
    }
    let packets: u64 = streams.iter().map(|stream| stream.came).sum();
    let lost = sent.saturating_sub(packets);
    let (p50_us, p99_us) = (run.percentile(50), run.percentile(99));
    Ok(Seen { packets, lost, forged: run.forged, p50_us, p99_us, cpu: spent })
}

struct Run {
    began: Instant,
    /// In ns.
    latencies: Vec<u64>,
    forged: u64,
}

impl Run {
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
            if let Some(unprotect) = &mut streams[at].unprotect
                && unprotect.unprotect_rtp(packet, false).is_err()
            {
                self.forged += 1;
                continue;
            }
            let &[_, _, high, low, ..] = packet.data() else { continue };
            let sequence = usize::from(u16::from_be_bytes([high, low]));
            // What one side of a session sends comes to the other.
            let Some(sent) = streams.get(at ^ 1).and_then(|stream| stream.sent.get(sequence)) else { continue };
            self.latencies.push(now.saturating_sub(*sent));
            streams[at].came += 1;
        }
        Ok(())
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
