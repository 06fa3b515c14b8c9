//! An echo agent for many calls in one thread: it says back each frame as it comes, and notes how long ago its packet was sent.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio_tungstenite::tungstenite::{self, Error, Message, WebSocket};
use trunkgate_media::codec::g711::encode_ulaw;

/// Codes at a packet's beginning that number it, 4 bits each.
const DIGITS: usize = 12;
/// The code of a 0; those up to 15 follow. All can be told apart once they are linear.
const ZERO: u8 = 0x10;
/// Samples at 8 kHz by which the edge's resampler delays.
const DELAY: usize = 12;

/// When each packet was sent, and how long each took to the agent.
#[derive(Debug)]
pub(crate) struct Ways {
    began: Instant,
    rounds: usize,
    /// By call and round, in ns from the beginning; 0: not sent.
    sent: Vec<AtomicU64>,
    /// The same of what came, in ns from when it was sent.
    took: Vec<AtomicU64>,
}

impl Ways {
    /// For so many calls of so many packets.
    pub(crate) fn new(calls: usize, rounds: usize) -> Ways {
        let empty = || (0..calls * rounds).map(|_| AtomicU64::new(0)).collect();
        Ways { began: Instant::now(), rounds, sent: empty(), took: empty() }
    }
    /// A packet is being sent: its payload.
    pub(crate) fn send(&self, call: usize, round: usize) -> Vec<u8> {
        if let Some(at) = self.sent.get(call * self.rounds + round) {
            at.store(self.now(), Ordering::Relaxed);
        }
        let number = (call as u64) << 32 | round as u64;
        let mut payload = vec![0x30; 160];
        for (n, code) in payload.iter_mut().take(DIGITS).enumerate() {
            *code = ZERO + (number >> (4 * n) & 15) as u8;
        }
        payload
    }
    /// The times that are known, in µs, in order.
    pub(crate) fn took_us(&self) -> Vec<f64> {
        let known = self.took.iter().map(|ns| ns.load(Ordering::Relaxed)).filter(|ns| *ns > 0);
        let mut all: Vec<f64> = known.map(|ns| ns as f64 / 1e3).collect();
        all.sort_by(f64::total_cmp);
        all
    }
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
    /// A frame has come, μ-law at 8 kHz or linear at so many times that.
    fn come(&self, audio: &[u8], linear: Option<usize>) {
        let Some(number) = number(audio, linear) else { return };
        let (call, round) = ((number >> 32) as usize, number as u32 as usize);
        let at = call.saturating_mul(self.rounds).saturating_add(round);
        if let (Some(sent), Some(took)) = (self.sent.get(at), self.took.get(at)) {
            took.store(self.now().saturating_sub(sent.load(Ordering::Relaxed)).max(1), Ordering::Relaxed);
        }
    }
}

/// The number that stands in a payload, if one does.
pub(crate) fn number(audio: &[u8], linear: Option<usize>) -> Option<u64> {
    let code = |n: usize| match linear {
        None => audio.get(n).copied(),
        Some(times) => {
            // What goes up stands there as it was, later.
            let at = 2 * times * (n + if times > 1 { DELAY } else { 0 });
            let pair = audio.get(at..at + 2)?;
            Some(encode_ulaw(i16::from_le_bytes(pair.try_into().ok()?)))
        }
    };
    (0..DIGITS).rev().try_fold(0, |number, n| {
        let digit = code(n)?.checked_sub(ZERO).filter(|digit| *digit < 16)?;
        Some(number << 4 | u64::from(digit))
    })
}

/// Starts it on a free port of loopback; its thread ends with the process.
pub(crate) fn start(ways: Arc<Ways>, linear: Option<usize>) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || drop(serve(&listener, &ways, linear)));
    Ok(address)
}

fn serve(listener: &TcpListener, ways: &Ways, linear: Option<usize>) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    epoll.add(listener, EpollEvent::new(EpollFlags::EPOLLIN, u64::MAX))?;
    let mut sockets: Vec<WebSocket<TcpStream>> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in events.iter().take(ready) {
            if event.data() == u64::MAX {
                let (stream, _) = listener.accept()?;
                stream.set_nodelay(true)?;
                let Ok(socket) = tungstenite::accept(stream) else { continue };
                socket.get_ref().set_nonblocking(true)?;
                epoll.add(socket.get_ref(), EpollEvent::new(EpollFlags::EPOLLIN, sockets.len() as u64))?;
                sockets.push(socket);
            } else if let Some(socket) = sockets.get_mut(usize::try_from(event.data())?)
                && echo(socket, ways, linear).is_err()
            {
                epoll.delete(socket.get_ref())?;
            }
        }
    }
}

/// Says back all that is there.
fn echo(socket: &mut WebSocket<TcpStream>, ways: &Ways, linear: Option<usize>) -> anyhow::Result<()> {
    loop {
        let message = match socket.read() {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            message => message?,
        };
        let Message::Text(text) = message else { continue };
        let field = |name: &str| text.split_once(name).and_then(|(_, rest)| rest.split('"').next());
        let (Some(payload), Some(stream)) = (field(r#""payload":""#), field(r#""streamSid":""#)) else { continue };
        // As much of it as holds the number.
        let begin = payload.len().min(400);
        ways.come(&BASE64.decode(payload.get(..begin).unwrap_or_default())?, linear);
        let answer = format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{payload}"}}}}"#);
        match socket.send(Message::text(answer)) {
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {}
            sent => sent?,
        }
    }
}

#[cfg(test)]
mod tests {
    use trunkgate_media::codec::g711::decode_ulaw;
    use trunkgate_media::resample::Resampler;

    use super::*;

    #[test]
    fn a_number_is_read_in_every_format() {
        let ways = Ways::new(600, 1000);
        for (call, round) in [(0, 0), (1, 999), (599, 17), (0, 15)] {
            let payload = ways.send(call, round);
            let expected = Some((call as u64) << 32 | round as u64);
            assert_eq!(number(&payload, None), expected);
            let linear: Vec<i16> = payload.iter().map(|code| decode_ulaw(*code)).collect();
            for times in [1, 2, 3] {
                let mut bytes = Vec::new();
                let mut put = |sample: i16| bytes.extend(sample.to_le_bytes());
                match Resampler::new(8000, 8000 * times as u32) {
                    Some(mut up) => up.process(&linear, put),
                    None => linear.iter().for_each(|sample| put(*sample)),
                }
                assert_eq!(number(&bytes, Some(times)), expected);
                ways.come(&bytes, Some(times));
            }
        }
        assert_eq!(ways.took_us().len(), 4);
        assert_eq!((number(&[0xff; 160], None), number(&[0; 640], Some(2)), number(&[], None)), (None, None, None));
    }
}
