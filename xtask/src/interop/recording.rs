//! Phones that talk at the same time, with all packets that they receive and their kernel timestamps, so that delays of
//! this program do not count as lateness of the edge.

use std::io::IoSliceMut;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt, sockopt};
use nix::sys::time::TimeSpec;

use super::raw::{Call, Phone, tone_frame};
use super::rtp;

/// Audio duration of a packet.
pub(crate) const FRAME: Duration = Duration::from_millis(20);

/// Phone at one end of a call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'a> {
    /// RTP socket of the phone.
    pub(crate) socket: &'a UdpSocket,
    /// Destination of the phone's RTP.
    pub(crate) to: SocketAddr,
}

/// Packet that a phone received.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// Arrival time of the packet, by the system's clock.
    pub(crate) at: Duration,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
    pub(crate) payload: Vec<u8>,
}

/// Measurements of the packets in a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stream {
    /// Longest time between two packets.
    pub(crate) largest_gap: Duration,
    /// Number of packets that are 20 ms or more off the stream's own pace.
    pub(crate) misplaced: usize,
    /// Number of packets in the stream.
    pub(crate) packets: usize,
}

/// Length of the first utterance of [`interrupt`], in packets.
pub(crate) const WORD: u32 = 50;
/// Behaviour of the caller after the first utterance, in packets: silence during the model's answer, an interruption,
/// silence.
const LISTENS: u32 = 100;
const INTERRUPTS: u32 = 50;
const LISTENS_AGAIN: u32 = 50;

/// Lets a caller speak to a model, listen, interrupt the model and listen again; returns the packets that the caller
/// received.
pub(crate) fn interrupt(caller: &Phone, call: &Call) -> anyhow::Result<Vec<Heard>> {
    let line = Line { socket: &caller.rtp, to: call.media };
    let silence = vec![0xff; 160];
    let speaks = |n: u32| n < WORD || (WORD + LISTENS..WORD + LISTENS + INTERRUPTS).contains(&n);
    let says = |_, n| if speaks(n) { tone_frame(n) } else { silence.clone() };
    let packets = WORD + LISTENS + INTERRUPTS + LISTENS_AGAIN;
    Ok(converse(&[line], packets, &says, Duration::from_millis(300))?.pop().unwrap_or_default())
}

/// Sends `packets` payloads on each line at intervals of 20 ms, and listens until `tail` after the last one. Returns
/// the packets received on each line, in order.
pub(crate) fn converse(
    lines: &[Line<'_>],
    packets: u32,
    payload: &(dyn Fn(usize, u32) -> Vec<u8> + Sync),
    tail: Duration,
) -> anyhow::Result<Vec<Vec<Heard>>> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(lines, &over));
        let said = say(lines, packets, payload);
        if said.is_ok() {
            std::thread::sleep(tail);
        }
        over.store(true, Ordering::Relaxed);
        let heard = listener.join().map_err(|_| anyhow!("the listener panicked"))?;
        said.and(heard)
    })
}

fn say(lines: &[Line<'_>], packets: u32, payload: &dyn Fn(usize, u32) -> Vec<u8>) -> anyhow::Result<()> {
    let began = Instant::now();
    for n in 0..packets {
        let due = began + FRAME * n;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        for (at, line) in lines.iter().enumerate() {
            let ssrc = 0x7261_0000 + u32::try_from(at)?;
            let packet = rtp::packet((n & 0xffff) as u16, n.wrapping_mul(160), ssrc, &payload(at, n));
            line.socket.send_to(&packet, line.to)?;
        }
    }
    Ok(())
}

/// Receives packets on each line until `over` is set; returns those of each line, in order.
pub(crate) fn listen(lines: &[Line<'_>], over: &AtomicBool) -> anyhow::Result<Vec<Vec<Heard>>> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (at, line) in lines.iter().enumerate() {
        setsockopt(line.socket, sockopt::ReceiveTimestampns, &true)?;
        epoll.add(line.socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
    }
    let mut heard = vec![Vec::new(); lines.len()];
    let mut events = [EpollEvent::empty(); 64];
    while !over.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(50u8))?;
        for event in events.iter().take(ready) {
            let at = usize::try_from(event.data())?;
            if let (Some(line), Some(list)) = (lines.get(at), heard.get_mut(at)) {
                list.extend(receive(line.socket)?);
            }
        }
    }
    Ok(heard)
}

/// Receives a packet, if one waits on a socket with timestamps; returns its length and its arrival by the system's clock.
pub(crate) fn receive_into(socket: &UdpSocket, buffer: &mut [u8]) -> anyhow::Result<Option<(usize, Duration)>> {
    let mut slices = [IoSliceMut::new(buffer)];
    let mut control = nix::cmsg_space!(TimeSpec);
    let received = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut control), MsgFlags::MSG_DONTWAIT);
    let Ok(message) = received else { return Ok(None) };
    let at =
        message
            .cmsgs()?
            .find_map(|control| {
                if let ControlMessageOwned::ScmTimestampns(at) = control { Some(Duration::from(at)) } else { None }
            })
            .context("the kernel tells no time of arrival")?;
    Ok(Some((message.bytes, at)))
}

fn receive(socket: &UdpSocket) -> anyhow::Result<Option<Heard>> {
    let mut buffer = [0; 2_048];
    let Some((bytes, at)) = receive_into(socket, &mut buffer)? else { return Ok(None) };
    let Some((sequence, payload)) = rtp::read(buffer.get(..bytes).unwrap_or_default()) else { return Ok(None) };
    let word = |from: usize| buffer.get(from..from + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_be_bytes);
    Ok(Some(Heard { at, sequence, timestamp: word(4), ssrc: word(8), payload: payload.to_vec() }))
}

/// Checks that the packets are one continuous stream: one SSRC, sequence +1, timestamp +160 throughout.
pub(crate) fn one_stream(heard: &[Heard]) -> anyhow::Result<Stream> {
    let mut largest_gap = Duration::ZERO;
    for (n, pair) in heard.windows(2).enumerate() {
        let [before, after] = pair else { continue };
        if before.ssrc != after.ssrc {
            bail!("packet {}: SSRC {:08x} after {:08x}", n + 1, after.ssrc, before.ssrc);
        }
        let (step, ticks) =
            (after.sequence.wrapping_sub(before.sequence), after.timestamp.wrapping_sub(before.timestamp));
        if (step, ticks) != (1, 160) {
            bail!("packet {}: sequence +{step}, timestamp +{ticks} instead of +1, +160", n + 1);
        }
        largest_gap = largest_gap.max(after.at.saturating_sub(before.at));
    }
    let late = lateness(heard);
    // Early and late packets are measured relative to the median.
    let mut sorted = late.clone();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().context("nothing was heard")?;
    let misplaced = late.iter().filter(|late| late.abs_diff(middle) >= FRAME).count();
    Ok(Stream { largest_gap, misplaced, packets: heard.len() })
}

/// Returns the lateness of each packet relative to the promptest one of its stream, by RTP timestamps.
pub(crate) fn lateness(heard: &[Heard]) -> Vec<Duration> {
    let Some(first) = heard.first() else { return Vec::new() };
    let offset = |packet: &Heard| {
        let due = i128::from(packet.timestamp.wrapping_sub(first.timestamp).cast_signed()) * 125_000;
        packet.at.as_nanos().cast_signed() - first.at.as_nanos().cast_signed() - due
    };
    let promptest = heard.iter().map(offset).min().unwrap_or_default();
    heard.iter().map(|packet| Duration::from_nanos(u64::try_from(offset(packet) - promptest).unwrap_or(0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(at_ms: u64, n: u16) -> Heard {
        let at = Duration::from_millis(at_ms);
        Heard { at, sequence: 65_530u16.wrapping_add(n), timestamp: u32::from(n) * 160, ssrc: 1, payload: Vec::new() }
    }

    #[test]
    fn an_unbroken_stream_is_told_from_a_broken_one() {
        let whole: Vec<Heard> = (0..20).map(|n| heard(u64::from(n) * 20, n)).collect();
        let stream = one_stream(&whole).unwrap();
        assert_eq!((stream.largest_gap, stream.misplaced, stream.packets), (FRAME, 0, 20));
        let broken = |break_it: fn(&mut Heard)| {
            let mut packets = whole.clone();
            break_it(&mut packets[10]);
            one_stream(&packets).is_err()
        };
        assert!(broken(|packet| packet.ssrc = 2));
        assert!(broken(|packet| packet.sequence += 1));
        assert!(broken(|packet| packet.timestamp += 160));
        assert!(!broken(|_| ()));
    }

    #[test]
    fn lateness_is_counted_from_the_promptest() {
        let mut packets: Vec<Heard> = (0..20).map(|n| heard(100 + u64::from(n) * 20, n)).collect();
        packets[0].at += Duration::from_millis(3);
        packets[7].at += Duration::from_millis(25);
        let late = lateness(&packets);
        assert_eq!((late[0], late[1], late[7]), (Duration::from_millis(3), Duration::ZERO, Duration::from_millis(25)));
        assert_eq!(one_stream(&packets).unwrap().misplaced, 1);
    }
}
