//! Cost of a fork started in mid-call, apart from its messages: time from the request to the listener's first message,
//! and memory.

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

/// Number of sequential calls with a fork.
const CALLS: usize = 200;
/// Seconds of audio before each reading of memory, without and with listeners.
const SECONDS: u32 = 3;
/// Maximum wait for a listener's first message.
const PATIENCE: Duration = Duration::from_secs(5);

/// Cost of a fork started in mid-call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    /// Median time from the request to the listener's first message, in µs.
    pub(crate) p50_us: f64,
    /// 99th percentile of the time to the first message, in µs.
    pub(crate) p99_us: f64,
    /// Memory of a fork with audio, in bytes.
    pub(crate) bytes: u64,
}

/// Measures the time to the first message in silent calls, and the memory of forks in calls with audio.
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

/// Starts a listener that reports when each stream's first message arrives, and keeps the sockets open.
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
    // The first audio creates all data that grows during calls.
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
