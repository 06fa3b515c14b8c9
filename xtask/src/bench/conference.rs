//! `cargo xtask bench conference`: fifty participants of which two speak, conferences of two next to transcoded calls,
//! and the delay from one participant to the other.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use trunkgate_media::codec::g711::{decode_ulaw, encode_ulaw};
use trunkgate_media::codec::opus::{OpusEncoder, OpusPreferences};

use super::dialer::{Dialer, sdp};
use super::generator::coded_pairs;
use super::process::{self, Work};
use super::rtp::start_edge;
use super::speech::{Codec, Speech};
use crate::interop::edge::{self, Edge};
use crate::interop::raw::Phone;
use crate::interop::recording::FRAME;
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Number of participants in the large conference.
const PARTIES: usize = 50;
/// Number of participants in the large conference that speak.
const SPEAKERS: usize = 2;
/// Number of concurrent conferences of two, and of concurrent transcoded calls: enough for a measurement.
const PAIRS: usize = 25;
/// Number of packets from each participant before the measurement.
const WARM_UP_PACKETS: usize = 100;
/// Minimum percentage of due packets that must arrive; with fewer, the conference did not work.
const HEARD_PERCENT: u64 = 97;
/// Tone bursts for the delay; `BURST_PACKETS`: packets from one to the next, quiet in between.
const BURSTS: usize = 40;
const BURST_PACKETS: usize = 60;
/// Sample value from which a burst is heard.
const ONSET: i16 = 1_000;

/// Options of `cargo xtask bench conference`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Measured seconds of a run.
    #[arg(long, default_value_t = 8)]
    seconds: u32,
    /// Runs of each kind, one kind after the other.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// CPU seconds per second, for the whole process and for the mixing thread.
#[derive(Debug, Clone, Copy)]
struct Cost {
    process: f64,
    mixing: f64,
}

/// Measures the conferences and the transcoded calls, and prints the tables.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    let speech = Speech::new()?;
    println!(
        "Machine: {}. {SPEAKERS} of {PARTIES} parties speak; each sends a packet every 20 ms.\n\n\
         | {PARTIES} parties | CPU of the process | of the mixing thread |\n| --- | --- | --- |",
        process::machine()
    );
    for codec in [Codec::Pcmu, Codec::Opus] {
        let cost = median(options.runs, || large(options, codec, &speech))?;
        println!("| {} | {:.2} % of a core | {:.2} % |", codec.name(), cost.process * 100.0, cost.mixing * 100.0);
    }
    let two = median(options.runs, || pairs(options, &speech))?;
    println!("\n| {PAIRS} at once | CPU of one | × |\n| --- | --- | --- |");
    for codecs in [(Codec::Pcmu, Codec::Pcma), (Codec::Pcmu, Codec::Opus)] {
        let transcoded = median(options.runs, || transcoded(options, codecs))?;
        let (names, cpu) = ([codecs.0, codecs.1].map(Codec::name).join(" to "), transcoded.process * 100.0);
        println!("| transcoded calls, {names} | {cpu:.3} % of a core | {:.2} |", two.process / transcoded.process);
    }
    println!("| conferences of two parties, PCMU | {:.3} % of a core | |", two.process * 100.0);
    let mut delays = delays()?;
    delays.sort_by(f64::total_cmp);
    let at = |percent: usize| delays.get(delays.len() * percent / 100).copied().unwrap_or(f64::NAN);
    println!("\nFrom one party to the other: p50 {:.1} ms, p95 {:.1} ms ({} bursts)", at(50), at(95), delays.len());
    Ok(true)
}

/// Returns the run with the median process cost.
fn median(runs: usize, run: impl Fn() -> anyhow::Result<Cost>) -> anyhow::Result<Cost> {
    let mut costs = (0..runs).map(|_| run()).collect::<anyhow::Result<Vec<_>>>()?;
    costs.sort_by(|one, other| one.process.total_cmp(&other.process));
    costs.get(costs.len() / 2).copied().context("no run")
}

/// Participant of a conference: the phone, the destination of its packets, and its repeated payloads.
struct Party {
    phone: Phone,
    to: SocketAddr,
    codec: Codec,
    number: u8,
    payloads: Vec<Vec<u8>>,
    first: usize,
}

impl Party {
    /// Calls a number as a participant and waits for the answer.
    fn call(edge: &Edge, number: &str, codec: Codec, payloads: Vec<Vec<u8>>) -> anyhow::Result<Party> {
        let phone = Phone::new(CARRIER, 0, "party")?;
        let offer = sdp(phone.rtp.local_addr()?, codec, None, None);
        let call = phone.call_with(edge.udp, number, &offer).with_context(|| edge.log_tail())?;
        phone.rtp.set_nonblocking(true)?;
        let number = match codec {
            Codec::Pcmu => 0,
            Codec::Pcma => 8,
            Codec::Opus => super::dialer::OPUS,
        };
        Ok(Party { phone, to: call.media, codec, number, payloads, first: 0 })
    }

    fn send(&self, round: usize, ssrc: u32) -> anyhow::Result<()> {
        let payload = self.payloads.get((self.first + round) % self.payloads.len().max(1)).context("no payload")?;
        let timestamp = u32::try_from(round)?.wrapping_mul(self.codec.ticks());
        let mut packet = rtp::packet(u16::try_from(round)?, timestamp, ssrc, payload);
        if let Some(number) = packet.get_mut(1) {
            *number = self.number;
        }
        // A full buffer counts as packet loss.
        drop(self.phone.rtp.send_to(&packet, self.to));
        Ok(())
    }
}

/// Starts an edge with a separate conference for each number.
fn start(conferences: usize, codec: Codec) -> anyhow::Result<Edge> {
    let route = |n: usize| format!("[[route]]\nto = [\"{}\"]\nconnect = [\"conference:room-{n}\"]\n", number(n));
    let routes: String = (0..conferences).map(route).collect();
    let rest = format!(
        "[limits]\ncalls_per_second = 0\n[trunk.carrier]\noptions_interval = \"0s\"\naccept_from = [\"{CARRIER}/32\"]\n\
         codecs = [\"{}\"]\n{routes}",
        codec.name()
    );
    Edge::start_by(process::on_device_core(edge::binary()), &rest)
}

fn number(n: usize) -> String {
    format!("+1415555{n:04}")
}

/// Returns a packet of silence, as sent by a phone without voice activity detection.
fn silence(codec: Codec) -> anyhow::Result<Vec<u8>> {
    if codec != Codec::Opus {
        return Ok(vec![encode_ulaw(0); 160]);
    }
    let mut encoder = OpusEncoder::new(16_000, OpusPreferences::default()).context("no Opus encoder")?;
    let mut packet = vec![0; 1500];
    let bytes = encoder.encode(&[0; 320], &mut packet);
    packet.truncate(bytes);
    Ok(packet)
}

/// Measures the cost of one conference with many participants.
fn large(options: &Options, codec: Codec, speech: &Speech) -> anyhow::Result<Cost> {
    let edge = start(1, codec)?;
    let mut parties = Vec::new();
    for n in 0..PARTIES {
        let payloads = if n < SPEAKERS { speech.payloads(codec) } else { vec![silence(codec)?] };
        parties.push(Party { first: n * 300, ..Party::call(&edge, &number(0), codec, payloads)? });
    }
    measure(options, &edge, &parties)
}

/// Measures conferences of two speaking participants; returns the cost of one conference.
fn pairs(options: &Options, speech: &Speech) -> anyhow::Result<Cost> {
    let edge = start(PAIRS, Codec::Pcmu)?;
    let mut parties = Vec::new();
    for n in 0..2 * PAIRS {
        let payloads = speech.payloads(Codec::Pcmu);
        parties.push(Party { first: n * 37, ..Party::call(&edge, &number(n / 2), Codec::Pcmu, payloads)? });
    }
    let cost = measure(options, &edge, &parties)?;
    Ok(Cost { process: cost.process / PAIRS as f64, mixing: cost.mixing / PAIRS as f64 })
}

/// Measures transcoded calls; returns the cost of one call.
fn transcoded(options: &Options, codecs: (Codec, Codec)) -> anyhow::Result<Cost> {
    let (dialer, pairs) = (Dialer::new()?, coded_pairs(PAIRS, codecs)?);
    let edge = start_edge(&dialer, false, None, codecs)?;
    let paths = dialer.dial(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
    let seen = super::generator::drive(&pairs, &paths, options.seconds, &|| process::cpu(edge.pid()))?;
    let process = seen.cpu.as_secs_f64() / f64::from(options.seconds) / PAIRS as f64;
    Ok(Cost { process, mixing: 0.0 })
}

/// Lets all participants send and receive; returns the cost for the edge.
fn measure(options: &Options, edge: &Edge, parties: &[Party]) -> anyhow::Result<Cost> {
    let (over, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    let (cost, packets) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(parties, &heard, &over));
        let said = say(options, edge, parties, &heard);
        over.store(true, Ordering::Relaxed);
        listener.join().map_err(|_| anyhow!("the listener panicked"))??;
        said
    })?;
    let due = parties.len() as u64 * u64::from(options.seconds) * 50;
    if packets * 100 < due * HEARD_PERCENT {
        bail!("{packets} packets came, {due} were due");
    }
    Ok(cost)
}

fn mixing(edge: &Edge) -> anyhow::Result<Duration> {
    let threads = process::threads(edge.pid())?;
    Ok(threads.get("conferences").map(|Work { cpu, .. }| *cpu).unwrap_or_default())
}

/// Sends a packet of each participant every 20 ms, spread evenly over that time. Returns the cost, and the number of
/// packets received during the measurement.
fn say(options: &Options, edge: &Edge, parties: &[Party], heard: &AtomicU64) -> anyhow::Result<(Cost, u64)> {
    let (began, gap) = (Instant::now(), FRAME / u32::try_from(parties.len())?);
    let rounds = WARM_UP_PACKETS + usize::try_from(options.seconds)? * 50;
    let look = || -> anyhow::Result<(Duration, Duration, u64)> {
        Ok((process::cpu(edge.pid())?, mixing(edge)?, heard.load(Ordering::Relaxed)))
    };
    let mut before = look()?;
    for round in 0..rounds {
        if round == WARM_UP_PACKETS {
            before = look()?;
        }
        for (n, party) in (0_u32..).zip(parties) {
            let due = began + FRAME * u32::try_from(round)? + gap * n;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            party.send(round, 0x7261_0000 + n)?;
        }
    }
    let after = look()?;
    let of_second =
        |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / f64::from(options.seconds);
    let cost = Cost { process: of_second(after.0, before.0), mixing: of_second(after.1, before.1) };
    Ok((cost, after.2.saturating_sub(before.2)))
}

/// Counts the packets received by participants.
fn listen(parties: &[Party], heard: &AtomicU64, over: &AtomicBool) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (at, party) in parties.iter().enumerate() {
        epoll.add(&party.phone.rtp, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let mut packet = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in events.iter().take(ready) {
            let Some(party) = parties.get(usize::try_from(event.data())?) else { continue };
            if party.phone.rtp.recv(&mut packet).is_ok() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}

/// Returns the delays from sending a burst's first sample to its reception by the other participant, in ms.
fn delays() -> anyhow::Result<Vec<f64>> {
    let edge = start(1, Codec::Pcmu)?;
    let quiet = silence(Codec::Pcmu)?;
    let tone: Vec<u8> = (0..160).map(|n| encode_ulaw(if n % 8 < 4 { 8_000 } else { -8_000 })).collect();
    let said: Vec<Vec<u8>> = (0..BURST_PACKETS).map(|n| if n < 10 { tone.clone() } else { quiet.clone() }).collect();
    let speaker = Party::call(&edge, &number(0), Codec::Pcmu, said)?;
    let hearer = Party::call(&edge, &number(0), Codec::Pcmu, vec![quiet])?;
    hearer.phone.rtp.set_nonblocking(false)?;
    hearer.phone.rtp.set_read_timeout(Some(Duration::from_millis(200)))?;
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let listener = scope.spawn(|| onsets(&hearer.phone.rtp, &over));
        let began = Instant::now();
        let mut sent = Vec::new();
        for round in 0..(BURSTS + 1) * BURST_PACKETS {
            // The bursts are not synchronous with the mixer's ticks.
            let due = began
                + FRAME * u32::try_from(round)?
                + Duration::from_micros(round as u64 / BURST_PACKETS as u64 * 487);
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if round % BURST_PACKETS == 0 {
                sent.push(Instant::now());
            }
            speaker.send(round, 1)?;
            hearer.send(round, 2)?;
        }
        over.store(true, Ordering::Relaxed);
        let heard = listener.join().map_err(|_| anyhow!("the listener panicked"))??;
        // The first burst arrives while the conference is just starting.
        let way = |sent: &Instant| {
            let next = heard.iter().find(|at| *at >= sent)?;
            Some(next.duration_since(*sent).as_secs_f64() * 1000.0).filter(|ms| *ms < 500.0)
        };
        let ways: Vec<f64> = sent.iter().skip(1).filter_map(way).collect();
        if ways.len() < BURSTS * 9 / 10 {
            bail!("{} of {BURSTS} bursts were heard", ways.len());
        }
        Ok(ways)
    })
}

/// Detects the time of each burst: arrival of its first packet plus the position of its first sample in it.
fn onsets(socket: &UdpSocket, over: &AtomicBool) -> anyhow::Result<Vec<Instant>> {
    let (mut heard, mut quiet, mut packet) = (Vec::new(), 50, [0; 2048]);
    while !over.load(Ordering::Relaxed) {
        let Ok(bytes) = socket.recv(&mut packet) else { continue };
        let now = Instant::now();
        let payload = packet.get(12..bytes).unwrap_or_default();
        let onset = payload.iter().position(|code| decode_ulaw(*code).saturating_abs() >= ONSET);
        match onset {
            Some(at) if quiet >= 20 => {
                heard.push(now + Duration::from_micros(at as u64 * 125));
                quiet = 0;
            }
            Some(_) => quiet = 0,
            None => quiet += 1,
        }
    }
    Ok(heard)
}
