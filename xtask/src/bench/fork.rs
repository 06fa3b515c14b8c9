//! What a fork that is begun in mid-call costs besides its messages: the time from the request to the listener's first
//! message, and memory.

use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio_tungstenite::tungstenite::{self, Message};

use super::dialer::Dialer;
use super::generator::{self, Pair, Paths};
use super::listener::Listener;
use super::process;
use super::rtp::start_relay;
use crate::interop::edge::Edge;

/// Calls that are forked, one after the other.
const CALLS: usize = 200;
/// Audio before memory is looked at, in seconds, without and with listeners.
const SECONDS: u32 = 3;
/// How long a listener's first message is waited for.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// From the request to the first message, median, in µs.
    pub(crate) p50_us: f64,
    /// The same, 99th percentile.
    pub(crate) p99_us: f64,
    /// Bytes of one, while audio flows.
    pub(crate) bytes: u64,
}

/// Forks calls in which nobody speaks for the time, and calls in which all do for the memory.
pub(crate) fn measure() -> anyhow::Result<Cost> {
    let (p50_us, p99_us) = attach()?;
    Ok(Cost { p50_us, p99_us, bytes: memory()? })
}

fn held(dialer: &Dialer, edge: &Edge, pairs: &[Pair]) -> anyhow::Result<(Vec<Paths>, Vec<String>)> {
    let paths = dialer.dial(edge.udp, pairs, None).with_context(|| edge.log_tail())?;
    let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls?state=answered")?)?;
    let calls = calls["calls"].as_array().context("no list of calls")?;
    let sids: Vec<String> = calls.iter().filter_map(|call| Some(call["sid"].as_str()?.to_owned())).collect();
    if sids.len() != pairs.len() {
        bail!("{} calls instead of {}", sids.len(), pairs.len());
    }
    Ok((paths, sids))
}

fn attach() -> anyhow::Result<(f64, f64)> {
    let dialer = Dialer::new()?;
    let edge = start_relay(&dialer)?;
    let pairs = generator::pairs(CALLS)?;
    let (_, sids) = held(&dialer, &edge, &pairs)?;
    let (address, first_words) = first_words()?;
    let body = format!(r#"{{"url":"ws://{address}/media"}}"#);
    let mut times = Vec::new();
    for sid in &sids {
        let began = Instant::now();
        edge.post(&format!("/v1/calls/{sid}/forks"), &body)?;
        let spoke = first_words.recv_timeout(PATIENCE).context("no first message")?;
        times.push(spoke.saturating_duration_since(began).as_secs_f64() * 1e6);
    }
    times.sort_by(f64::total_cmp);
    let at = |percent: usize| times.get(times.len() * percent / 100).copied().unwrap_or(f64::NAN);
    Ok((at(50), at(99)))
}

/// A listener that tells when the first message of each stream has come, and keeps the sockets open.
fn first_words() -> anyhow::Result<(std::net::SocketAddr, Receiver<Instant>)> {
    let socket = TcpListener::bind("127.0.0.1:0")?;
    let address = socket.local_addr()?;
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        while let Ok((stream, _)) = socket.accept() {
            let Ok(mut accepted) = tungstenite::accept(stream) else { continue };
            if let Ok(Message::Text(_)) = accepted.read()
                && tell.send(Instant::now()).is_err()
            {
                return;
            }
            open.push(accepted);
        }
    });
    Ok((address, told))
}

fn memory() -> anyhow::Result<u64> {
    let dialer = Dialer::new()?;
    let listener = Listener::start()?;
    let edge = start_relay(&dialer)?;
    let pairs = generator::pairs(CALLS)?;
    let (paths, sids) = held(&dialer, &edge, &pairs)?;
    let driven = || -> anyhow::Result<u64> {
        generator::drive(&pairs, &paths, SECONDS, &|| process::cpu(edge.pid()))?;
        process::private_bytes(edge.pid())
    };
    // What calls gather as they go on is there after the first time.
    driven()?;
    let without = driven()?;
    for sid in &sids {
        edge.post(&format!("/v1/calls/{sid}/forks"), &format!(r#"{{"url":"ws://{}/media"}}"#, listener.address))?;
    }
    let with = driven()?;
    let open = edge.metric("trunkgate_agent_sessions")?;
    if open < CALLS as f64 {
        bail!("{open} forks listen instead of {CALLS}");
    }
    Ok(with.saturating_sub(without) / u64::try_from(CALLS)?)
}
