//! 200 calls with RTP in both directions, half of them over TLS with SRTP on one side, during repeated reloads of
//! changing configurations and certificates, some of which are invalid: no call may end, and no packet may be lost.

mod files;

use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustls::pki_types::CertificateDer;

use self::files::Files;
use crate::bench::dialer::{Dialed, Dialer};
use crate::bench::generator::{self, Pair, Paths};
use crate::bench::line::Line;
use crate::bench::srtp::Suite;
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::raw::Text;

/// Address at which the called side of the secure calls accepts TLS.
const SECURE: &str = "127.0.0.4";
/// IP address of the test call after each reload.
const ASKS: &str = "127.0.0.6";
/// Number prefix of calls over TLS.
const SECURE_PREFIX: &str = "+1416555";
const SUITE: Suite = Suite::AeadAes128Gcm;
/// Minimum number of reloads, on any machine.
const LEAST_ROUNDS: usize = 4;
/// Time within which a changed certificate file is read without a reload.
const WATCHED: Duration = Duration::from_secs(15);

/// Makes calls, reloads and replaces certificates meanwhile; then hangs up all calls.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    crate::bench::process::raise_descriptor_limit()?;
    let half = usize::try_from(setting.calls(100, 20))?;
    let listener = TcpListener::bind((SECURE, 0))?;
    let plain = Dialer::new()?;
    let files = Files::new(plain.called()?, listener.local_addr()?)?;
    let mut edge = Edge::start(&files.configuration(0))?;
    let tls = edge.tls.context("no TLS listener")?;
    let secure = secure_dialer(&files, tls, &listener)?;
    let pairs = generator::pairs(2 * half + 1)?;
    let (pairs, another) = pairs.split_at(2 * half);
    let (plain_pairs, secure_pairs) = pairs.split_at(half);
    let mut dialed = plain.dial_all(edge.udp, plain_pairs, None).with_context(|| edge.log_tail())?;
    let over_tls = secure.dial_all(tls, secure_pairs, Some(SUITE)).with_context(|| edge.log_tail())?;
    dialed.extend(over_tls);
    let before = Packets::read(&edge)?;
    let seconds = setting.calls(24, 10);
    let (swaps, seen) = talk(setting, &edge, &files, pairs, &dialed, seconds).with_context(|| edge.log_tail())?;
    edge.assert_alive()?;
    let active = edge.metric("trunkgate_media_sessions")?;
    if active != dialed.len() as f64 {
        bail!("{active} of {} calls are left\n{}", dialed.len(), edge.log_tail());
    }
    let after = Packets::read(&edge)?;
    let (sent, came) = seen.in_all;
    let through = (after.received - before.received, after.sent - before.sent);
    if came != sent || seen.forged > 0 || through != (sent as f64, sent as f64) || after.dropped > before.dropped {
        bail!(
            "{sent} packets sent, {through:?} in and out of the edge, {came} heard, {} forged\n{}",
            seen.forged,
            edge.drops()?
        );
    }
    // The trunk of half of the calls is missing; these calls can still be ended.
    edge.write(&files.configuration(files::WITHOUT_FAR))?;
    edge.reload()?;
    let newest = another_call(&files, &edge, tls, &listener, another)?;
    for (at, call) in dialed.iter().enumerate() {
        let (dialer, to) = if at < half { (&plain, edge.udp) } else { (&secure, tls) };
        dialer.hang_up(to, call).with_context(|| format!("call {at}\n{}", edge.log_tail()))?;
    }
    newest.0.hang_up(tls, &newest.1)?;
    edge.no_dialog_is_left()?;
    let records = edge.records()?;
    let answered = records.iter().filter(|record| record["outcome"] == "answered").count();
    if answered != dialed.len() + 1 {
        bail!("{answered} records of answered calls, not {}", dialed.len() + 1);
    }
    Ok(format!(
        "{} calls, {} reloads, {} certificates, {} bad files: 0 dropped, {sent} packets in and out, 0 lost",
        dialed.len(),
        swaps.reloads,
        swaps.certificates,
        swaps.refused
    ))
}

/// Returns a dialer that uses TLS on both sides of the edge.
fn secure_dialer(files: &Files, edge: SocketAddr, listener: &TcpListener) -> anyhow::Result<Dialer> {
    let caller = Line::open(edge, "edge.test", files.client()?)?;
    Ok(Dialer::between(caller, Line::wait(listener, files.server()?)?, SECURE_PREFIX))
}

/// Packet counters in the edge's metrics.
struct Packets {
    received: f64,
    sent: f64,
    dropped: f64,
}

impl Packets {
    fn read(edge: &Edge) -> anyhow::Result<Packets> {
        Ok(Packets {
            received: edge.labelled("trunkgate_rtp_packets_total", "direction=\"in\"")?,
            sent: edge.labelled("trunkgate_rtp_packets_total", "direction=\"out\"")?,
            dropped: edge.metric("trunkgate_rtp_dropped_total")?,
        })
    }
}

/// Numbers of changes made during the calls.
#[derive(Default)]
struct Swaps {
    reloads: usize,
    certificates: usize,
    refused: usize,
}

/// Sends audio in all calls, while the configuration and the certificates change.
fn talk(
    setting: &Setting,
    edge: &Edge,
    files: &Files,
    pairs: &[Pair],
    dialed: &[Dialed],
    seconds: u32,
) -> anyhow::Result<(Swaps, generator::Seen)> {
    let paths: Vec<Paths> = dialed.iter().map(|call| call.paths.clone()).collect();
    let (is_over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let cpu = || Ok(Duration::ZERO);
    std::thread::scope(|scope| {
        let changing = scope.spawn(|| change(setting, edge, files, &is_over, &rounds));
        let seen = generator::drive(pairs, &paths, seconds, &cpu);
        is_over.store(true, Ordering::Relaxed);
        let swaps = changing.join().ok().context("changing panicked")??;
        if rounds.load(Ordering::Relaxed) < LEAST_ROUNDS {
            bail!("only {} reloads while they spoke", rounds.load(Ordering::Relaxed));
        }
        Ok((swaps, seen?))
    })
}

/// Reloads the edge and replaces certificates until the audio of the calls ends.
fn change(
    setting: &Setting,
    edge: &Edge,
    files: &Files,
    is_over: &AtomicBool,
    rounds: &AtomicUsize,
) -> anyhow::Result<Swaps> {
    let tls = edge.tls.context("no TLS listener")?;
    let mut swaps = Swaps::default();
    for round in 1.. {
        if is_over.load(Ordering::Relaxed) {
            break;
        }
        let newest = files.replace_certificates(round)?;
        // The edge finds the first replaced certificate without a reload.
        if round == 1 {
            edge.wait_until("a new certificate is shown", WATCHED, |_| Ok(shown(files, tls)? == newest))?;
        }
        edge.write(&files.configuration(round))?;
        match round % 2 {
            0 => edge.reload()?,
            _ => {
                edge.post("/v1/reload", "")?;
            }
        }
        if shown(files, tls)? != newest {
            bail!("round {round}: a new connection is shown an old certificate");
        }
        let code = asked(edge)?;
        if code != files::answer(round) {
            bail!("round {round}: the route in force says {code} instead of {}", files::answer(round));
        }
        if round.is_multiple_of(3) {
            files.break_certificates()?;
            refused(edge, &files.configuration(round + 1))?;
            files.replace_certificates(round)?;
            edge.write(&files.configuration(round))?;
            edge.reload()?;
        }
        if round % 3 == 1 {
            refused(edge, "[edge\nname = 1\n[[route]]\nconnect = 'nobody'\n")?;
            if asked(edge)? != code || shown(files, tls)? != newest {
                bail!("round {round}: a bad file has changed something");
            }
            swaps.refused += 1;
        }
        swaps.refused += usize::from(round.is_multiple_of(3));
        swaps.reloads += 1 + usize::from(round.is_multiple_of(3));
        swaps.certificates += 1 + usize::from(round.is_multiple_of(3));
        rounds.fetch_add(1, Ordering::Relaxed);
        // Broken: simulates a call lost by a reload.
        if setting.sabotage && round == 2 {
            edge.hang_up_newest()?;
        }
    }
    Ok(swaps)
}

/// Checks that the edge rejects this configuration.
fn refused(edge: &Edge, configuration: &str) -> anyhow::Result<()> {
    edge.write(configuration)?;
    if let Ok(answer) = edge.post("/v1/reload", "") {
        bail!("a bad file is taken: {answer}");
    }
    Ok(())
}

/// Returns the certificate that the edge presents to a new connection.
fn shown(files: &Files, tls: SocketAddr) -> anyhow::Result<Vec<u8>> {
    let shown = Line::open(tls, "edge.test", files.client()?)?.shown();
    Ok(shown.map(|certificate| certificate.to_vec()).unwrap_or_default())
}

/// Returns the response to a call that the routes reject.
fn asked(edge: &Edge) -> anyhow::Result<u16> {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let line = Line::udp(ASKS)?;
    let (here, number) = (line.here()?, ASKED.fetch_add(1, Ordering::Relaxed));
    let target = format!("sip:+14175550100@{}", edge.udp);
    let began = Instant::now();
    let text = |method: &str, to: &str| {
        format!(
            "{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {here};branch=z9hG4bKask{number};rport\r\nMax-Forwards: 70\r\n\
             From: <sip:ask@{here}>;tag=ask\r\nTo: {to}\r\nCall-ID: ask-{number}-{}\r\nCSeq: 1 {method}\r\n\
             Contact: <sip:ask@{here}>\r\nContent-Length: 0\r\n\r\n",
            here.port()
        )
    };
    line.send(edge.udp, &text("INVITE", &format!("<{target}>")))?;
    let (answer, from) = line.receive(|text: &Text| text.code().is_some_and(|code| code >= 200))?;
    line.send(from, &text("ACK", answer.header("To")))?;
    answer.code().with_context(|| format!("no code after {:?}", began.elapsed()))
}

/// Makes one more call over new connections, in which both sides see the newest certificates.
fn another_call(
    files: &Files,
    edge: &Edge,
    tls: SocketAddr,
    listener: &TcpListener,
    pair: &[Pair],
) -> anyhow::Result<(Dialer, Dialed)> {
    let dialer = secure_dialer(files, tls, listener)?;
    let mut dialed = dialer.dial_all(tls, pair, Some(SUITE)).with_context(|| edge.log_tail())?;
    let shown = |one: Option<CertificateDer<'static>>| one.map(|one| one.to_vec()).unwrap_or_default();
    let (to_caller, to_called) = dialer.shown();
    if shown(to_caller) != files.newest("edge")? || shown(to_called) != files.newest("us")? {
        bail!("a new call is shown an old certificate");
    }
    Ok((dialer, dialed.pop().context("no call")?))
}
