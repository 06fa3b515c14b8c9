//! An echo agent for many calls in one thread: it says back each frame as it comes, and notes how long ago its packet was sent.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
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
    let mut sockets: Vec<Socket> = Vec::new();
    let mut events = vec![EpollEvent::empty(); 256];
    let mut buffer = vec![0; 65_536];
    loop {
        let ready = epoll.wait(&mut events, EpollTimeout::NONE)?;
        for event in events.iter().take(ready) {
            if event.data() == u64::MAX {
                let Ok(socket) = Socket::accept(listener.accept()?.0) else { continue };
                epoll.add(&socket.stream, EpollEvent::new(EpollFlags::EPOLLIN, sockets.len() as u64))?;
                sockets.push(socket);
            } else if let Some(socket) = sockets.get_mut(usize::try_from(event.data())?)
                && socket.serve(&mut buffer, ways, linear).is_err()
            {
                epoll.delete(&socket.stream)?;
            }
        }
    }
}

/// A WebSocket of our own (RFC 6455 §5.2): a library that is not compiled for speed would be what is measured.
struct Socket {
    stream: TcpStream,
    /// What came and is no whole frame yet.
    input: Vec<u8>,
    /// What the system did not take yet.
    output: Vec<u8>,
}

impl Socket {
    fn accept(mut stream: TcpStream) -> anyhow::Result<Socket> {
        stream.set_nodelay(true)?;
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte)?;
            request.extend(byte);
        }
        let request = String::from_utf8(request)?;
        let field = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("Sec-WebSocket-Key").then(|| value.trim().to_owned())
        };
        let key = request.lines().find_map(field).context("no key")?;
        let accept = derive_accept_key(key.as_bytes());
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        stream.write_all(answer.as_bytes())?;
        stream.set_nonblocking(true)?;
        Ok(Socket { stream, input: Vec::new(), output: Vec::new() })
    }

    /// Says back what is there.
    fn serve(&mut self, buffer: &mut [u8], ways: &Ways, linear: Option<usize>) -> anyhow::Result<()> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("its end"),
            Ok(len) => self.input.extend_from_slice(buffer.get(..len).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let mut taken = 0;
        while let Some((kind, whole, payload)) = frame(self.input.get(taken..).unwrap_or_default()) {
            taken += whole;
            match kind {
                TEXT => {
                    if let Some(answer) = answer(&payload, ways, linear) {
                        put(&mut self.output, TEXT, answer.as_bytes());
                    }
                }
                PING => put(&mut self.output, PONG, &payload),
                CLOSE => put(&mut self.output, CLOSE, &payload),
                _ => {}
            }
        }
        self.input.drain(..taken);
        match self.stream.write(&self.output) {
            Ok(len) => drop(self.output.drain(..len)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

const TEXT: u8 = 1;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// The first frame of a client's that is whole: its kind, how long it is with its header, what is in it.
fn frame(bytes: &[u8]) -> Option<(u8, usize, Vec<u8>)> {
    let (kind, short) = (bytes.first()? & 15, bytes.get(1)? & 127);
    let (from, len) = match short {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)),
        short => (2, short.into()),
    };
    let whole = from + 4 + usize::try_from(len).ok()?;
    let key = bytes.get(from..from + 4)?;
    let payload = bytes.get(from + 4..whole)?;
    Some((kind, whole, payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()))
}

/// Adds a server's frame.
fn put(output: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    output.push(0x80 | kind);
    match u16::try_from(payload.len()).unwrap_or(u16::MAX) {
        len @ 0..=125 => output.push(len as u8),
        len => {
            output.push(126);
            output.extend(len.to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}

/// What is said to a message: its audio, if it has any.
fn answer(text: &[u8], ways: &Ways, linear: Option<usize>) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| text.split_once(name).and_then(|(_, rest)| rest.split('"').next());
    let (payload, stream) = (field(r#""payload":""#)?, field(r#""streamSid":""#)?);
    // As much of it as holds the number.
    let begin = payload.get(..if linear.is_some() { 200 } else { 16 })?;
    ways.come(&BASE64.decode(begin).ok()?, linear);
    Some(format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{payload}"}}}}"#))
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
