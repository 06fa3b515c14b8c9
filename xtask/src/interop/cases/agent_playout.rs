//! Two minutes of audio in one burst, and a `clear`: the edge's reports to the agent, compared with the packets to the
//! caller's phone by kernel timestamps.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as BASE64;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::interop::Setting;
use crate::interop::bots::with_agent;
use crate::interop::edge::Edge;
use crate::interop::raw::{Phone, number_of, numbered};
use crate::interop::recording::{FRAME, Heard, Line, converse, one_stream};
use crate::interop::rtp;
use crate::interop::sipp::CARRIER;

/// Number of reports (marks and clear) that may be off by a packet on a busy machine.
const ALLOWED: usize = 2;
/// Seconds of audio after the `clear` that the caller must not hear.
const CLEARED_SECONDS: u32 = 10;

/// Events that the agent recorded, by the system's clock.
struct Told {
    /// Arrival time of each mark in order, and the number of packets before the mark.
    marks: Vec<(Duration, u32)>,
    /// Time at which the agent sent the `clear`.
    cleared: Duration,
}

/// Makes a call of this many seconds, and a few more, with the burst.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let seconds = setting.calls(120, 10);
    // Broken: the agent records the time of the clear a quarter of a second too early.
    let (address, agent) = agent(seconds, setting.sabotage)?;
    let mut edge = Edge::start(&with_agent(&format!("url = \"ws://{address}/media\""), "\"agent:bot\""))?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let call = caller.call(edge.udp, "+14155550100").with_context(|| edge.log_tail())?;
    let line = Line { socket: &caller.rtp, to: call.media };
    let packets = (seconds + 4) * 50;
    let heard = converse(&[line], packets, &|_, _| vec![0xff; 160], Duration::from_millis(700))?.concat();
    caller.bye(&call)?;
    edge.assert_alive()?;
    let told = agent.join().map_err(|_| anyhow!("the agent panicked"))??;
    one_stream(&heard)?;
    whole(&heard, seconds * 50)?;
    judge(&heard, &told)
}

/// Checks that each packet of the burst arrived once, in order and without others in between.
fn whole(heard: &[Heard], packets: u32) -> anyhow::Result<()> {
    let first = heard.iter().position(|packet| rtp::is_heard(&packet.payload)).context("nothing was heard")?;
    for (n, packet) in (0..packets).zip(heard.iter().skip(first)) {
        if number_of(&packet.payload) != Some(n) {
            bail!("packet {n} of the burst is {:?}", number_of(&packet.payload));
        }
    }
    Ok(())
}

fn judge(heard: &[Heard], told: &Told) -> anyhow::Result<String> {
    let left = |n: u32| heard.iter().find(|packet| number_of(&packet.payload) == Some(n)).map(|packet| packet.at);
    let mut off = Vec::new();
    for (at, before) in &told.marks {
        let left = left(before - 1).with_context(|| format!("packet {before} was never heard"))?;
        if *at + Duration::from_millis(1) < left {
            bail!("the mark behind packet {before} came back before it left");
        }
        off.push(at.saturating_sub(left));
    }
    let late = off.iter().filter(|off| **off > FRAME).count();
    let last = heard.iter().rfind(|packet| rtp::is_heard(&packet.payload)).context("nothing was heard")?;
    let silent_after = last.at.saturating_sub(told.cleared);
    off.sort_unstable();
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let figure = format!(
        "{} marks, each once, {:.2} ms (median) and {:.1} ms (most) behind their packet; the last packet {:.1} ms after a clear",
        off.len(),
        ms(off.get(off.len() / 2).copied().unwrap_or_default()),
        ms(off.last().copied().unwrap_or_default()),
        ms(silent_after)
    );
    if late > ALLOWED || silent_after > FRAME * (1 + u32::try_from(ALLOWED)?) {
        bail!("{figure}");
    }
    Ok(figure)
}

/// Starts an agent for one call.
fn agent(seconds: u32, sabotage: bool) -> anyhow::Result<(SocketAddr, JoinHandle<anyhow::Result<Told>>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    Ok((address, std::thread::spawn(move || talk(listener.accept()?.0, seconds, sabotage))))
}

/// Sends the whole burst with a mark after each second and waits for the return of each mark; then sends more audio,
/// and clears it.
fn talk(stream: TcpStream, seconds: u32, sabotage: bool) -> anyhow::Result<Told> {
    stream.set_nodelay(true)?;
    let mut socket = tungstenite::accept(stream)?;
    until(&mut socket, "start")?;
    for second in 0..seconds {
        say(&mut socket, second * 50..(second + 1) * 50)?;
        mark(&mut socket, second)?;
    }
    let mut marks = Vec::new();
    for second in 0..seconds {
        let text = until(&mut socket, "mark")?;
        marks.push((now()?, (second + 1) * 50));
        if !text.contains(&format!("\"name\":\"{second}\"")) {
            bail!("instead of mark {second}: {text}");
        }
    }
    let from = seconds * 50;
    say(&mut socket, from..from + 50)?;
    mark(&mut socket, seconds)?;
    say(&mut socket, from + 50..from + 50 * CLEARED_SECONDS)?;
    until(&mut socket, "mark")?;
    let cleared = now()?;
    if sabotage {
        std::thread::sleep(Duration::from_millis(250));
    }
    socket.send(Message::text(r#"{"event":"clear"}"#))?;
    // Reads until the call ends; a further mark would be an error.
    while let Ok(message) = socket.read() {
        if message.to_text().is_ok_and(|text| text.starts_with(r#"{"event":"mark""#)) {
            bail!("a mark came twice: {message}");
        }
    }
    Ok(Told { marks, cleared })
}

fn now() -> anyhow::Result<Duration> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?)
}

fn say(socket: &mut WebSocket<TcpStream>, packets: std::ops::Range<u32>) -> anyhow::Result<()> {
    let audio: Vec<u8> = packets.flat_map(numbered).collect();
    let payload = BASE64.encode(audio);
    Ok(socket.send(Message::text(format!(r#"{{"event":"media","media":{{"payload":"{payload}"}}}}"#)))?)
}

fn mark(socket: &mut WebSocket<TcpStream>, name: u32) -> anyhow::Result<()> {
    Ok(socket.send(Message::text(format!(r#"{{"event":"mark","mark":{{"name":"{name}"}}}}"#)))?)
}

fn until(socket: &mut WebSocket<TcpStream>, event: &str) -> anyhow::Result<String> {
    loop {
        let text = socket.read()?.into_text()?;
        if text.starts_with(&format!("{{\"event\":\"{event}\"")) {
            return Ok(text.to_string());
        }
    }
}
