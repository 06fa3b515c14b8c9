//! Audio of all parties: a thread that sends a packet of each speaking party every 20 ms and keeps what arrives, with the
//! kernel's times, so that delays of this program do not count. Each packet has the number of its stream and its own in
//! the audio, which survives relaying, conversion between μ-law and A-law, and an agent's echo.

use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{setsockopt, sockopt};
use trunkgate_media::PacketBuf;
use trunkgate_media::codec::g711::{decode_alaw, decode_ulaw, encode_alaw, encode_ulaw};

use crate::bench::echo;
use crate::bench::process::stay_on_generator_core;
use crate::bench::speech::Codec;
use crate::bench::srtp::{SrtpInbound, SrtpKey, SrtpOutbound};
use crate::interop::recording::{FRAME, receive_into};

/// Maximum wait for a packet, after which due packets are sent.
const WAIT_MS: u8 = 1;
/// Maximum number of packets read from one socket in a row.
const BATCH: usize = 16;
/// Size of the receive buffer of a socket, in bytes: packets of a second that the edge sends at once.
const BUFFER: usize = 128 * 1024;

/// Index of a stream.
pub(super) type StreamId = usize;

/// Nanoseconds of the system's clock.
pub(super) type Nanos = u64;

/// Returns the time by the clock of all packets.
pub(super) fn now() -> Nanos {
    nanos(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn nanos(since: Duration) -> Nanos {
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Returns a duration in nanoseconds.
pub(super) const fn ns(duration: Duration) -> Nanos {
    duration.as_nanos() as u64
}

/// Audio of one party.
pub(super) struct Stream {
    pub(super) socket: UdpSocket,
    /// Destination of the packets; none are sent without it.
    pub(super) to: Option<SocketAddr>,
    pub(super) codec: Codec,
    pub(super) payload_type: u8,
    /// Keys of SRTP with which the party sends and receives.
    pub(super) keys: Option<(SrtpKey, SrtpKey)>,
}

/// Packet that has arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) at: Nanos,
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// Stream and number of the packet whose audio it has.
    pub(super) source: Option<(StreamId, u32)>,
    /// Whether it authenticated, if the stream uses SRTP.
    pub(super) is_authentic: bool,
}

/// Packets of one stream between two cuts.
#[derive(Debug, Clone, Default)]
pub(super) struct Section {
    pub(super) arrivals: Vec<Arrival>,
    /// Number of the first packet sent, and the times of this one and the following ones.
    pub(super) first: u32,
    pub(super) sent: Vec<Nanos>,
}

/// Running audio.
pub(super) struct Audio {
    /// Requests for a cut.
    cuts: Sender<()>,
    sections: Receiver<Vec<Section>>,
    thread: Option<JoinHandle<anyhow::Result<Nanos>>>,
}

impl Audio {
    /// Starts to send and to receive.
    pub(super) fn start(streams: Vec<Stream>) -> anyhow::Result<Audio> {
        let (cuts, received) = channel();
        let (send, sections) = channel();
        let mut run = Run::new(streams)?;
        let thread = std::thread::spawn(move || {
            stay_on_generator_core()?;
            run.go_on(&received, &send)?;
            Ok(run.latest)
        });
        Ok(Audio { cuts, sections, thread: Some(thread) })
    }

    /// Returns the packets of all streams since the last cut.
    pub(super) fn cut(&self) -> anyhow::Result<Vec<Section>> {
        self.cuts.send(()).map_err(|_| anyhow!("the audio has ended"))?;
        self.sections.recv().context("the audio has ended")
    }

    /// Ends the audio; returns the delay of the packet that was sent latest after its time.
    pub(super) fn end(mut self) -> anyhow::Result<Duration> {
        drop(std::mem::replace(&mut self.cuts, channel().0));
        let thread = self.thread.take().context("no thread")?;
        let latest = thread.join().map_err(|_| anyhow!("the audio panicked"))??;
        Ok(Duration::from_nanos(latest))
    }
}

/// Stream with its state.
struct Speaker {
    stream: Stream,
    number: u32,
    section: Section,
    protect: Option<SrtpOutbound>,
    unprotect: Option<SrtpInbound>,
}

struct Run {
    speakers: Vec<Speaker>,
    epoll: Epoll,
    packet: PacketBuf,
    latest: Nanos,
}

impl Run {
    fn new(streams: Vec<Stream>) -> anyhow::Result<Run> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        let mut speakers = Vec::new();
        for (at, stream) in streams.into_iter().enumerate() {
            stream.socket.set_nonblocking(true)?;
            setsockopt(&stream.socket, sockopt::ReceiveTimestampns, &true)?;
            setsockopt(&stream.socket, sockopt::RcvBuf, &BUFFER)?;
            epoll.add(&stream.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
            let protect = stream.keys.as_ref().map(|(send, _)| SrtpOutbound::new(send));
            let unprotect = stream.keys.as_ref().map(|(_, receive)| SrtpInbound::new(receive));
            speakers.push(Speaker { stream, number: 0, section: Section::default(), protect, unprotect });
        }
        Ok(Run { speakers, epoll, packet: PacketBuf::new(), latest: 0 })
    }

    /// Sends and receives until the requests end.
    fn go_on(&mut self, cuts: &Receiver<()>, sections: &Sender<Vec<Section>>) -> anyhow::Result<()> {
        let (began, gap) = (now(), ns(FRAME) / self.speakers.len().max(1) as u64);
        let mut events = vec![EpollEvent::empty(); 256];
        let mut next: u64 = 0;
        loop {
            match cuts.try_recv() {
                Ok(()) => sections.send(self.speakers.iter_mut().map(Speaker::cut).collect())?,
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
            while began + gap * next <= now() {
                self.latest = self.latest.max(now().saturating_sub(began + gap * next));
                let at = (next % self.speakers.len() as u64) as usize;
                self.speakers[at].send(at, &mut self.packet)?;
                next += 1;
            }
            let ready = self.epoll.wait(&mut events, EpollTimeout::from(WAIT_MS))?;
            for event in events.iter().take(ready) {
                let speaker = self.speakers.get_mut(usize::try_from(event.data())?).context("no such stream")?;
                for _ in 0..BATCH {
                    if !speaker.receive(&mut self.packet)? {
                        break;
                    }
                }
            }
        }
    }
}

impl Speaker {
    fn cut(&mut self) -> Section {
        let first = self.number;
        std::mem::replace(&mut self.section, Section { first, ..Section::default() })
    }

    fn send(&mut self, id: StreamId, packet: &mut PacketBuf) -> anyhow::Result<()> {
        let Some(to) = self.stream.to else { return Ok(()) };
        let mut payload = echo::payload((id as u64) << 32 | u64::from(self.number));
        if self.stream.codec == Codec::Pcma {
            payload.iter_mut().for_each(|code| *code = encode_alaw(decode_ulaw(*code)));
        }
        let area = packet.receive_area();
        let mut header = [0x80, self.stream.payload_type, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        header[2..4].copy_from_slice(&(self.number as u16).to_be_bytes());
        header[4..8].copy_from_slice(&self.number.wrapping_mul(160).to_be_bytes());
        header[8..12].copy_from_slice(&u32::try_from(id + 1)?.to_be_bytes());
        area[..12].copy_from_slice(&header);
        area[12..12 + payload.len()].copy_from_slice(&payload);
        packet.set_len(12 + payload.len());
        if let Some(protect) = &mut self.protect {
            protect.protect_rtp(packet).map_err(|error| anyhow!("{error:?}"))?;
        }
        self.section.sent.push(now());
        self.number += 1;
        // A full buffer counts as packet loss.
        drop(self.stream.socket.send_to(packet.data(), to));
        Ok(())
    }

    /// Receives a packet; returns whether one waited.
    fn receive(&mut self, packet: &mut PacketBuf) -> anyhow::Result<bool> {
        let Some((len, at)) = receive_into(&self.stream.socket, packet.receive_area())? else { return Ok(false) };
        packet.set_len(len);
        let Some(&[_, kind, high, low, t0, t1, t2, t3, a, b, c, d]) = packet.data().first_chunk() else {
            return Ok(true);
        };
        // RTCP by RFC 5761 §4.
        if (192..=223).contains(&kind) {
            return Ok(true);
        }
        let unprotect = self.unprotect.as_mut();
        let is_authentic = unprotect.is_none_or(|unprotect| unprotect.unprotect_rtp(packet, false).is_ok());
        let mut payload = packet.data().get(12..).unwrap_or_default().to_vec();
        if self.stream.codec == Codec::Pcma {
            payload.iter_mut().for_each(|code| *code = encode_ulaw(decode_alaw(*code)));
        }
        let number = echo::number(&payload, None).filter(|_| is_authentic);
        self.section.arrivals.push(Arrival {
            at: nanos(at),
            ssrc: u32::from_be_bytes([a, b, c, d]),
            sequence: u16::from_be_bytes([high, low]),
            timestamp: u32::from_be_bytes([t0, t1, t2, t3]),
            source: number.map(|number| ((number >> 32) as usize, number as u32)),
            is_authentic,
        });
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_survives_a_conversion_to_a_law_and_back() {
        for number in [0, 0x0001_0203_0405, 0xfedc_ba98_7654] {
            let payload = echo::payload(number);
            let there: Vec<u8> = payload.iter().map(|code| encode_alaw(decode_ulaw(*code))).collect();
            let back: Vec<u8> = there.iter().map(|code| encode_ulaw(decode_alaw(*code))).collect();
            assert_eq!(echo::number(&back, None), Some(number), "{back:?}");
        }
    }
}
