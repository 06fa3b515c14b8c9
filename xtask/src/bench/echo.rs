//! Echo agent for many calls: a process with one epoll thread, like an ordinary agent. It echoes each frame on arrival
//! and records the time.

use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::time::{ClockId, clock_gettime};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use trunkgate_media::codec::g711::encode_ulaw;

use super::process::{self, Device};

/// Number of codes at the start of a packet, which encode the packet's number, 4 bits each.
const DIGITS: usize = 12;
/// Code of digit 0; the codes of digits 1 to 15 follow. All codes are distinct in linear PCM.
const ZERO: u8 = 0x10;
/// Delay of the edge's resampler, in samples at 8 kHz.
const DELAY: usize = 12;

/// Arguments of the agent process.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Options {
    /// Number of calls
    #[arg(long)]
    calls: usize,
    /// Packets of each call
    #[arg(long)]
    rounds: usize,
    /// Factor of the linear sample rate to 8 kHz; μ-law if absent
    #[arg(long)]
    linear: Option<usize>,
    /// Listen without sending
    #[arg(long)]
    mute: bool,
}

/// Time of each packet of all calls in ns of the monotonic clock, which all processes share; 0 if there is none.
#[derive(Debug)]
struct Moments {
    rounds: usize,
    of: Vec<AtomicU64>,
}

impl Moments {
    fn new(calls: usize, rounds: usize) -> Moments {
        Moments { rounds, of: (0..calls * rounds).map(|_| AtomicU64::new(0)).collect() }
    }

    fn note(&self, call: usize, round: usize) {
        let at = call.saturating_mul(self.rounds).saturating_add(round);
        if let (Some(moment), Ok(now)) = (self.of.get(at), clock_gettime(ClockId::CLOCK_MONOTONIC)) {
            moment.store(u64::try_from(Duration::from(now).as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Records the arrival of a frame, in μ-law at 8 kHz or linear at a multiple of that.
    fn come(&self, audio: &[u8], linear: Option<usize>) {
        if let Some(number) = number(audio, linear) {
            self.note((number >> 32) as usize, number as u32 as usize);
        }
    }
}

/// Time at which each packet was sent.
#[derive(Debug)]
pub(crate) struct Sent(Moments);

impl Sent {
    /// Creates the table of times for this many calls and packets.
    pub(crate) fn new(calls: usize, rounds: usize) -> Sent {
        Sent(Moments::new(calls, rounds))
    }

    /// Records that a packet is being sent, and returns the payload of the packet.
    pub(crate) fn send(&self, call: usize, round: usize) -> Vec<u8> {
        self.0.note(call, round);
        payload((call as u64) << 32 | round as u64)
    }

    /// Returns the delay of each received packet in µs, sorted.
    fn took_us(&self, came: &[u64]) -> Vec<f64> {
        let sent = self.0.of.iter().map(|ns| ns.load(Ordering::Relaxed));
        let both = sent.zip(came).filter(|(sent, came)| *sent > 0 && **came > 0);
        let mut all: Vec<f64> = both.map(|(sent, came)| came.saturating_sub(sent) as f64 / 1e3).collect();
        all.sort_by(f64::total_cmp);
        all
    }
}

/// Returns 20 ms of audio in μ-law with this packet number, which [`number`] returns.
pub(crate) fn payload(number: u64) -> Vec<u8> {
    let mut payload = vec![0x30; 160];
    for (n, code) in payload.iter_mut().take(DIGITS).enumerate() {
        *code = ZERO + (number >> (4 * n) & 15) as u8;
    }
    payload
}

/// Returns the packet number encoded in a payload, if there is one.
pub(crate) fn number(audio: &[u8], linear: Option<usize>) -> Option<u64> {
    let code = |n: usize| match linear {
        None => audio.get(n).copied(),
        Some(times) => {
            // Upsampled audio contains the codes unchanged, but delayed.
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

/// Agent process, ended on drop.
#[derive(Debug)]
pub(crate) struct Agent {
    device: Device,
    /// Listening address of the agent.
    pub(crate) address: SocketAddr,
}

impl Agent {
    /// Starts an agent on a free loopback port.
    pub(crate) fn start(calls: usize, rounds: usize, linear: Option<usize>) -> anyhow::Result<Agent> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["echo-agent", "--calls", &calls.to_string(), "--rounds", &rounds.to_string()]);
        if let Some(times) = linear {
            command.args(["--linear", &times.to_string()]);
        }
        Agent::start_by(command)
    }

    /// Starts an agent that only listens, on the device's core.
    pub(crate) fn start_mute() -> anyhow::Result<Agent> {
        let mut command = process::on_device_core(std::env::current_exe()?);
        command.args(["echo-agent", "--calls", "0", "--rounds", "0", "--mute"]);
        Agent::start_by(command)
    }

    fn start_by(mut command: Command) -> anyhow::Result<Agent> {
        let mut device = Device::new(command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?);
        let mut line = String::new();
        BufReader::with_capacity(1, device.child().stdout.as_mut().context("stdout")?).read_line(&mut line)?;
        let address = line.trim().parse().with_context(|| format!("the agent says {line:?}"))?;
        Ok(Agent { device, address })
    }

    /// Ends the process; returns the delay of each packet that reached the agent in µs, sorted.
    pub(crate) fn finish(mut self, sent: &Sent) -> anyhow::Result<Vec<f64>> {
        drop(self.device.child().stdin.take());
        let mut bytes = Vec::new();
        self.device.child().stdout.as_mut().context("stdout")?.read_to_end(&mut bytes)?;
        let came: Vec<u64> = bytes.as_chunks().0.iter().map(|ns| u64::from_le_bytes(*ns)).collect();
        Ok(sent.took_us(&came))
    }
}

/// Runs the agent process: prints the listening address; at the end of stdin, prints the arrival time of each packet.
pub(crate) fn run(options: Options) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let came = Moments::new(options.calls, options.rounds);
    std::thread::scope(|scope| {
        scope.spawn(|| drop(serve(&listener, &came, &options)));
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
        let bytes: Vec<u8> = came.of.iter().flat_map(|ns| ns.load(Ordering::Relaxed).to_le_bytes()).collect();
        std::io::stdout().write_all(&bytes)?;
        std::io::stdout().flush()?;
        // The serving thread never ends by itself.
        std::process::exit(0)
    })
}

fn serve(listener: &TcpListener, came: &Moments, options: &Options) -> anyhow::Result<()> {
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
                && socket.serve(&mut buffer, came, options).is_err()
            {
                epoll.delete(&socket.stream)?;
            }
        }
    }
}

/// Minimal WebSocket connection (RFC 6455 §5.2), because an unoptimised library would dominate the measurement.
struct Socket {
    stream: TcpStream,
    /// Bytes received of an incomplete frame.
    input: Vec<u8>,
    /// Bytes that the kernel has not accepted yet.
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

    /// Echoes the frames available on the socket.
    fn serve(&mut self, buffer: &mut [u8], came: &Moments, options: &Options) -> anyhow::Result<()> {
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
                TEXT if options.mute => {}
                TEXT => {
                    if let Some(answer) = answer(&payload, came, options.linear) {
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

/// Parses the first complete frame of a client: opcode, total length, and payload.
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

/// Appends a frame of the server to the output.
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

/// Returns the echo of a message with audio, and records the arrival.
fn answer(text: &[u8], came: &Moments, linear: Option<usize>) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let field = |name: &str| text.split_once(name).and_then(|(_, rest)| rest.split('"').next());
    let (payload, stream) = (field(r#""payload":""#)?, field(r#""streamSid":""#)?);
    // The part with the packet number suffices.
    let begin = payload.get(..if linear.is_some() { 200 } else { 16 })?;
    came.come(&BASE64.decode(begin).ok()?, linear);
    Some(format!(r#"{{"event":"media","streamSid":"{stream}","media":{{"payload":"{payload}"}}}}"#))
}

#[cfg(test)]
mod tests {
    use trunkgate_media::codec::g711::decode_ulaw;
    use trunkgate_media::resample::Resampler;

    use super::*;

    #[test]
    fn a_number_is_read_in_every_format() {
        let (sent, came) = (Sent::new(600, 1000), Moments::new(600, 1000));
        for (call, round) in [(0, 0), (1, 999), (599, 17), (0, 15)] {
            let payload = sent.send(call, round);
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
                came.come(&bytes, Some(times));
            }
        }
        let came: Vec<u64> = came.of.iter().map(|ns| ns.load(Ordering::Relaxed)).collect();
        assert_eq!(sent.took_us(&came).len(), 4);
        assert_eq!((number(&[0xff; 160], None), number(&[0; 640], Some(2)), number(&[], None)), (None, None, None));
    }
}
