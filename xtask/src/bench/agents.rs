//! `cargo xtask bench agents`: many calls of an agent; the edge, the callers and an echo agent share the cores.
//! Measures the edge's cost per call, the delay from a caller's packet to the agent's frame, and the lateness of the
//! agent's audio.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};

use super::echo::{self, Agent, Sent};
use super::process;
use crate::interop::bots::with_agent;
use crate::interop::edge::{self, Edge};
use crate::interop::raw::Phone;
use crate::interop::recording::{FRAME, Heard, Line, lateness, listen, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Packets of each caller before the measurement.
const WARM_UP_PACKETS: usize = 50;
/// Interval between call set-ups, which are not measured.
const BETWEEN_CALLS: Duration = Duration::from_millis(5);
/// Lateness of one caller packet in a thousand from which the machine counts as busy: packets missing from the echo
/// were then sent late, and the edge fills such gaps with silence.
const LATE_CALLERS: Duration = Duration::from_millis(20);
/// Time for packets still in flight at the end.
const TAIL: Duration = Duration::from_millis(700);

/// Options of `cargo xtask bench agents`.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Concurrent calls, one run for each value.
    #[arg(long, value_delimiter = ',', default_values_t = [100, 300, 500])]
    calls: Vec<usize>,
    /// Duration of the calls in seconds.
    #[arg(long, default_value_t = 20)]
    seconds: usize,
    /// Formats of the agent, one run for each.
    #[arg(long, default_values_t = ["mulaw/8000".to_owned(), "l16/16000".to_owned()])]
    format: Vec<String>,
}

/// Results of the calls with one format.
struct Seen {
    /// CPU time of the edge per call and second.
    cpu: Duration,
    /// Memory of the edge per call, in bytes.
    bytes: u64,
    /// Delays from the caller's packet to the agent's frame in µs, sorted.
    took_us: Vec<f64>,
    /// Lateness of each packet that the edge sent to a caller, sorted.
    late: Vec<Duration>,
    /// Lateness of each packet that a caller sent, sorted.
    sent_late: Vec<Duration>,
    /// Number of packets that callers received.
    packets: usize,
    /// Number of callers' packets missing from the echo.
    lost: usize,
    /// Number of packets that callers received beyond one every 20 ms.
    extra: usize,
}

/// Measures each format and prints a table.
pub(crate) fn run(options: &Options) -> anyhow::Result<bool> {
    edge::build()?;
    process::raise_descriptor_limit()?;
    println!(
        "Machine: {}. Edge, callers and an echo agent that waits in epoll, in three processes, together on all of them; {} s.\n\n\
         | format | calls | edge's CPU for a call | calls per core | packet to frame p50 | p99 | lateness p50 | p99.9 | worst | \
         callers late p99.9 | packets | lost | extra | memory of a call |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        process::machine(),
        options.seconds
    );
    let mut free = true;
    let runs = options.format.iter().flat_map(|format| options.calls.iter().map(move |calls| (format, *calls)));
    for (format, calls) in runs {
        let seen = measure(calls, options.seconds, format).with_context(|| format.clone())?;
        println!("{}", row(format, calls, &seen));
        let late = share(&seen.sent_late, 999).copied().unwrap_or_default();
        if late > LATE_CALLERS {
            free = false;
            println!(
                "\nThe machine was not free: 1 of 1,000 packets of the callers was sent {late:?} late or later.\n"
            );
        }
    }
    Ok(free)
}

fn row(format: &str, calls: usize, seen: &Seen) -> String {
    let us = |per_mille: usize| share(&seen.took_us, per_mille).copied().unwrap_or(f64::NAN) / 1e3;
    let ms = |all: &[Duration], per_mille| share(all, per_mille).map_or(f64::NAN, |late| late.as_secs_f64() * 1e3);
    format!(
        "| {format} | {calls} | {:.2} % | {:.0} | {:.2} ms | {:.2} ms | {:.2} ms | {:.1} ms | {:.1} ms | {:.1} ms | {} | {} | {} | {:.1} KiB |",
        seen.cpu.as_secs_f64() * 100.0,
        1.0 / seen.cpu.as_secs_f64(),
        us(500),
        us(990),
        ms(&seen.late, 500),
        ms(&seen.late, 999),
        ms(&seen.late, 1000),
        ms(&seen.sent_late, 999),
        seen.packets,
        seen.lost,
        seen.extra,
        seen.bytes as f64 / 1024.0
    )
}

/// Returns the value that this share, in thousandths, of the sorted values does not exceed.
fn share<T>(sorted: &[T], per_mille: usize) -> Option<&T> {
    sorted.get(sorted.len().saturating_sub(1) * per_mille / 1000)
}

fn measure(calls: usize, seconds: usize, format: &str) -> anyhow::Result<Seen> {
    let rounds = seconds * 50;
    if calls == 0 || rounds <= WARM_UP_PACKETS || rounds > usize::from(u16::MAX) {
        bail!("{calls} calls, {rounds} packets each");
    }
    let linear = match format.split_once('/') {
        Some(("l16", rate)) => Some(rate.parse::<usize>()? / 8000),
        _ => None,
    };
    let sent = Sent::new(calls, rounds);
    let agent = Agent::start(calls, rounds, linear)?;
    let keys = format!("url = \"ws://{}/media\"\nformat = \"{format}\"", agent.address);
    let edge = Edge::start(&with_agent(&keys, "\"agent:bot\""))?;
    let phones: Vec<Phone> = (0..calls).map(|_| Phone::new(CARRIER, 0, "caller")).collect::<anyhow::Result<_>>()?;
    // The first call loads everything that later calls share.
    let first = Phone::new(CARRIER, 0, "caller")?;
    first.bye(&first.call(edge.udp, "+14155550100")?)?;
    std::thread::sleep(process::STARTED);
    let idle = process::private_bytes(edge.pid())?;
    let placed = phones.iter().map(|phone| {
        std::thread::sleep(BETWEEN_CALLS);
        phone.call(edge.udp, "+14155550100")
    });
    let placed: Vec<_> = placed.collect::<anyhow::Result<_>>().with_context(|| edge.log_tail())?;
    let lines: Vec<Line<'_>> =
        phones.iter().zip(&placed).map(|(phone, call)| Line { socket: &phone.rtp, to: call.media }).collect();
    let over = AtomicBool::new(false);
    let (said, heard) = std::thread::scope(|scope| {
        let listener = scope.spawn(|| listen(&lines, &over));
        let said = say(&edge, &lines, rounds, &sent);
        std::thread::sleep(TAIL);
        over.store(true, Ordering::Relaxed);
        let heard = listener.join().map_err(|_| anyhow!("the listener panicked"))??;
        anyhow::Ok((said?, heard))
    })?;
    for (phone, call) in phones.iter().zip(&placed) {
        phone.bye(call)?;
    }
    let measured = u32::try_from(calls * (rounds - WARM_UP_PACKETS))?;
    let mut seen = Seen {
        cpu: said.cpu * 50 / measured,
        bytes: said.bytes.saturating_sub(idle) / calls as u64,
        took_us: agent.finish(&sent)?,
        late: vec![],
        sent_late: said.late,
        packets: 0,
        lost: 0,
        extra: 0,
    };
    for (at, heard) in heard.iter().enumerate() {
        one_stream(heard).with_context(|| format!("call {at}"))?;
        seen.add(heard, rounds, linear.is_some());
    }
    seen.late.sort_unstable();
    seen.sent_late.sort_unstable();
    Ok(seen)
}

impl Seen {
    fn add(&mut self, heard: &[Heard], rounds: usize, linear: bool) {
        // Resampled audio has no number any more, but the same level.
        let back = match linear {
            true => heard.iter().filter(|packet| rtp::is_heard(&packet.payload)).count(),
            false => {
                let numbers = heard.iter().filter_map(|packet| echo::number(&packet.payload, None));
                numbers.collect::<std::collections::BTreeSet<_>>().len()
            }
        };
        self.lost += rounds.saturating_sub(back);
        if let [first, .., last] = heard {
            let due = (last.at.saturating_sub(first.at) + FRAME / 2).as_millis() / FRAME.as_millis() + 1;
            self.extra += heard.len().saturating_sub(usize::try_from(due).unwrap_or(usize::MAX));
        }
        self.packets += heard.len();
        self.late.extend(lateness(heard));
    }
}

/// Returns the memory of the edge per call of an agent, in bytes.
pub(super) fn memory(calls: usize, format: &str) -> anyhow::Result<u64> {
    Ok(measure(calls, 3, format)?.bytes)
}

/// Resources used by the edge at the end of the audio.
struct Used {
    /// CPU time after the warm-up.
    cpu: Duration,
    /// Memory at the end, in bytes.
    bytes: u64,
    /// Lateness of each packet sent by a caller.
    late: Vec<Duration>,
}

/// Sends a packet of each caller every 20 ms, spread evenly over that time.
fn say(edge: &Edge, lines: &[Line<'_>], rounds: usize, sent: &Sent) -> anyhow::Result<Used> {
    let began = Instant::now();
    let gap = FRAME / u32::try_from(lines.len())?;
    let (mut before, mut late) = (Duration::ZERO, Vec::with_capacity(rounds * lines.len()));
    for round in 0..rounds {
        if round == WARM_UP_PACKETS {
            before = process::cpu(edge.pid())?;
        }
        for (call, line) in lines.iter().enumerate() {
            let due = began + FRAME * u32::try_from(round)? + gap * u32::try_from(call)?;
            let early = due.saturating_duration_since(Instant::now());
            if !early.is_zero() {
                std::thread::sleep(early);
            }
            late.push(due.elapsed());
            let ssrc = 0x7261_0000 + u32::try_from(call)?;
            let timestamp = u32::try_from(round)?.wrapping_mul(160);
            let payload = sent.send(call, round);
            line.socket.send_to(&rtp::packet(u16::try_from(round)?, timestamp, ssrc, &payload), line.to)?;
        }
    }
    let cpu = process::cpu(edge.pid())?.saturating_sub(before);
    Ok(Used { cpu, bytes: process::private_bytes(edge.pid())?, late })
}
