//! `cargo xtask bench hold`: calls on hold, with music while their agent does not answer, alternating with relayed
//! calls: CPU time of a call of each kind, and the ratio.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use super::dialer::Dialer;
use super::generator;
use super::process;
use super::rtp::start_relay;
use crate::interop::baresip::wav;
use crate::interop::bots::with_agent;
use crate::interop::edge::{self, Edge};
use crate::interop::raw::Phone;
use crate::interop::recording::FRAME;
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Interval between call set-ups, which are not measured.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);
/// Number of packets from each caller before the measurement.
const WARM_UP_PACKETS: usize = 50;
/// Minimum percentage of due music packets that must arrive; with fewer, the music did not work.
const HEARD_PERCENT: u64 = 98;
/// Frequency of the tone played as music.
const MUSIC_HZ: u32 = 440;

/// Options of `cargo xtask bench hold`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Calls on hold.
    #[arg(long, default_value_t = 1000)]
    calls: usize,
    /// Calls that are relayed.
    #[arg(long, default_value_t = 200)]
    relayed: usize,
    /// Measured seconds.
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Runs of both.
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Measures calls on hold and relayed calls alternately, and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    process::stay_on_generator_core()?;
    println!(
        "Machine: {}. Each caller sends a packet every 20 ms too.\n\n\
         | relayed: CPU of a call | on hold: CPU of a call | ratio | packets of music | due |\n\
         | --- | --- | --- | --- | --- |",
        process::machine()
    );
    for _ in 0..options.runs {
        let relayed = relay(options).context("relayed")?;
        let held = hold(options).context("on hold")?;
        let percent = |cpu: Duration| cpu.as_secs_f64() * 100.0;
        println!(
            "| {:.4} % | {:.4} % | {:.2} | {} | {} |",
            percent(relayed),
            percent(held.cpu),
            held.cpu.as_secs_f64() / relayed.as_secs_f64(),
            held.heard,
            held.due
        );
    }
    Ok(true)
}

/// Returns the CPU time that a relayed call costs per second.
fn relay(options: &Options) -> anyhow::Result<Duration> {
    let pairs = generator::pairs(options.relayed)?;
    let dialer = Dialer::new()?;
    let edge = start_relay(&dialer)?;
    let paths = dialer.dial(edge.udp, &pairs, None).with_context(|| edge.log_tail())?;
    let seen = generator::drive(&pairs, &paths, options.seconds, &|| process::cpu(edge.pid()))?;
    Ok(seen.cpu / (u32::try_from(options.relayed)? * options.seconds))
}

/// Results of a run of calls on hold.
struct Held {
    /// CPU time that a call costs per second.
    cpu: Duration,
    /// Number of packets that callers received.
    heard: u64,
    /// Number of packets due to callers.
    due: u64,
}

fn hold(options: &Options) -> anyhow::Result<Held> {
    let folder = tempfile::tempdir()?;
    let music = folder.path().join("music.wav");
    std::fs::write(&music, wav(MUSIC_HZ))?;
    let silent = silent_agent()?;
    let keys = format!(
        "url = \"ws://{silent}/media\"\nconnect_timeout = \"1h\"\nanswer = \"at_once\"\n\
         hold = {{ strategy = \"music\", music = \"{}\" }}",
        music.display()
    );
    let edge = Edge::start_by(process::on_device_core(edge::binary()), &with_agent(&keys, "\"agent:bot\""))?;
    let phones: Vec<Phone> =
        (0..options.calls).map(|_| Phone::new(CARRIER, 0, "caller")).collect::<anyhow::Result<_>>()?;
    let mut lines = Vec::new();
    for phone in &phones {
        std::thread::sleep(BETWEEN_CALLS);
        let call = phone.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
        phone.rtp.set_nonblocking(true)?;
        lines.push((&phone.rtp, call.media));
    }
    let (over, heard) = (AtomicBool::new(false), AtomicU64::new(0));
    let held = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&lines, &heard, &over));
        let held = say(&edge, &lines, options.seconds, &heard);
        over.store(true, Ordering::Relaxed);
        listener.join().map_err(|_| anyhow!("the listener panicked"))??;
        held
    })?;
    if held.heard * 100 < held.due * HEARD_PERCENT {
        bail!("{} packets of music came, {} were due", held.heard, held.due);
    }
    Ok(held)
}

/// Starts an agent that accepts connections and never sends a message.
fn silent_agent() -> anyhow::Result<SocketAddr> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    std::thread::spawn(move || socket.incoming().collect::<Vec<_>>());
    Ok(address)
}

/// Sends a packet of each caller every 20 ms, spread evenly over that time.
fn say(edge: &Edge, lines: &[(&UdpSocket, SocketAddr)], seconds: u32, heard: &AtomicU64) -> anyhow::Result<Held> {
    let calls = u32::try_from(lines.len())?;
    let (began, gap) = (Instant::now(), FRAME / calls);
    let rounds = WARM_UP_PACKETS + usize::try_from(seconds)? * 50;
    let (mut cpu_before, mut heard_before) = (Duration::ZERO, 0);
    for round in 0..rounds {
        if round == WARM_UP_PACKETS {
            (cpu_before, heard_before) = (process::cpu(edge.pid())?, heard.load(Ordering::Relaxed));
        }
        for (call, (socket, to)) in (0_u32..).zip(lines) {
            let due = began + FRAME * u32::try_from(round)? + gap * call;
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            let timestamp = u32::try_from(round)?.wrapping_mul(160);
            let packet = rtp::packet(u16::try_from(round)?, timestamp, 0x7261_0000 + call, &[0xd5; 160]);
            // A full buffer counts as packet loss.
            drop(socket.send_to(&packet, to));
        }
    }
    let cpu = process::cpu(edge.pid())?.saturating_sub(cpu_before) / (calls * seconds);
    let heard = heard.load(Ordering::Relaxed).saturating_sub(heard_before);
    Ok(Held { cpu, heard, due: u64::from(calls) * u64::from(seconds) * 50 })
}

/// Counts the packets received by callers.
fn listen(lines: &[(&UdpSocket, SocketAddr)], heard: &AtomicU64, over: &AtomicBool) -> anyhow::Result<()> {
    let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
    for (at, (socket, _)) in lines.iter().enumerate() {
        epoll.add(socket, EpollEvent::new(EpollFlags::EPOLLIN, at as u64))?;
    }
    let mut events = vec![EpollEvent::empty(); 256];
    let mut packet = [0; 2048];
    while !over.load(Ordering::Relaxed) {
        let ready = epoll.wait(&mut events, EpollTimeout::from(100_u8))?;
        for event in events.iter().take(ready) {
            let Some((socket, _)) = lines.get(usize::try_from(event.data())?) else { continue };
            if socket.recv(&mut packet).is_ok() {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
    Ok(())
}
