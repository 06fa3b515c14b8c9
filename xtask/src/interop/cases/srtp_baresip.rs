//! Two baresip phones, one with SRTP over TLS, the other with plain RTP over UDP, then with SRTP of its own; an agent
//! listens to both.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::bots::{Bot, Manner};
use crate::interop::edge::Edge;
use crate::interop::rtp::{SAMPLE_RATE, snr_db};
use crate::interop::sipp::{CARRIER, PBX};

/// Called number: a phone answers only for its account's user.
const CALLED: &str = "+14155550100";
/// Tones in Hz of the secure and of the plain phone, neither a harmonic of the other.
const CALLER_HZ: u32 = 440;
const CALLEE_HZ: u32 = 660;
/// Minimum SNR of a tone after μ-law.
const SNR_DB: f64 = 30.0;
/// Number of disturbed seconds permitted in a run: the clock of a phone slips at times on a busy machine.
const ALLOWED: usize = 1;
/// Maximum wait for each step except the conversation.
const PATIENCE: Duration = Duration::from_secs(20);

/// Makes a call to the plain callee and one to the callee with SRTP.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let plain = call(setting, false).context("with a plain callee")?;
    let secure = call(setting, true).context("with a secure callee")?;
    Ok(format!("{plain}; {secure}"))
}

/// Makes a call; `callee_too`: the callee also uses SRTP.
fn call(setting: &Setting, callee_too: bool) -> anyhow::Result<String> {
    let seconds = setting.calls(30, 8);
    let folder = tempfile::tempdir()?;
    let certificate = certificate(folder.path())?;
    let scribe = Bot::start(Manner::WriteDown)?;
    // Broken: the trunk accepts only plain RTP.
    let srtp = if setting.sabotage { "off" } else { "required" };
    let edge = Edge::start(&format!(
        r#"
[[listen]]
name = "secure"
transport = "tls"
address = "127.0.0.1:0"
certificate = "{folder}/certificate.pem"
private_key = "{folder}/key.pem"
[agent.scribe]
url = "{}"
[trunk.secure]
accept_from = ["127.0.0.1/32"]
listen = "secure"
srtp = "{srtp}"
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
media_from = ["127.0.0.1/32"]
srtp = "{}"
[[route]]
from = ["secure"]
connect = ["trunk:pbx"]
fork = ["agent:scribe"]
"#,
        scribe.url(),
        if callee_too { "required" } else { "off" },
        folder = folder.path().display(),
    ))?;
    let tls = edge.tls.context("no tls listener")?;
    let (callee, mut caller) = phones(tls, &certificate, seconds, callee_too)?;
    let told = || format!("{}\n{}\n{}", edge.log_tail(), edge.only_trace().unwrap_or_default(), callee.log());
    caller.wait_for("SRTP is Enabled", PATIENCE).with_context(told)?;
    caller.wait(PATIENCE + Duration::from_secs(u64::from(seconds)))?;
    callee.wait_for("terminated", PATIENCE).with_context(told)?;
    edge.wait_until("the call has its record", PATIENCE, |edge| Ok(edge.records()?.len() == 1)).with_context(told)?;
    let suites = suites(&edge, callee_too)?;
    let [inbound, outbound] = scribe.written_down();
    let mut figures = Vec::new();
    for (what, heard, hz) in [
        ("the callee heard the caller", callee.heard()?, CALLER_HZ),
        ("the caller heard the callee", caller.heard()?, CALLEE_HZ),
        ("the listener heard the caller", inbound, CALLER_HZ),
        ("the listener heard the callee", outbound, CALLEE_HZ),
    ] {
        let worst = judge(&heard, hz, seconds).with_context(|| format!("whether {what}")).with_context(told)?;
        figures.push(format!("{what} at {worst:.1} dB"));
    }
    Ok(format!("{seconds} s, {suites}; {}", figures.join(", ")))
}

/// Starts the answering phone, and the phone that calls it over TLS.
fn phones(tls: SocketAddr, ca: &Path, seconds: u32, callee_too: bool) -> anyhow::Result<(Baresip, Baresip)> {
    let encryption = if callee_too { ";mediaenc=srtp-mand" } else { "" };
    let callee = Baresip::start(&Setup {
        ip: PBX,
        port: 5060,
        account: &format!("<sip:{CALLED}@{PBX}>;regint=0;answermode=auto;audio_codecs=PCMU{encryption}"),
        says: wav(CALLEE_HZ),
        ca: None,
        dial: None,
        lasts: None,
    })?;
    callee.wait_for("baresip is ready", PATIENCE)?;
    let caller = Baresip::start(&Setup {
        ip: CARRIER,
        port: 0,
        account: &format!("<sip:alice@{tls};transport=tls>;regint=0;mediaenc=srtp-mand;audio_codecs=PCMU"),
        says: wav(CALLER_HZ),
        ca: Some(ca),
        // The account selects the transport.
        dial: Some(&format!("sip:{CALLED}@{tls}")),
        lasts: Some(Duration::from_secs(u64::from(seconds) + 2)),
    })?;
    Ok((callee, caller))
}

/// Returns the SRTP suites of both legs; the callee's leg must have one only with `callee_too`.
fn suites(edge: &Edge, callee_too: bool) -> anyhow::Result<String> {
    let records = edge.records()?;
    let legs = records.first().and_then(|record| record.get("legs")).and_then(serde_json::Value::as_array);
    let legs = legs.context("no legs in the call record")?;
    let of = |at: usize, key: &str| legs.get(at).and_then(|leg| leg.get(key)?.as_str());
    let sip: Vec<usize> = (0..legs.len()).filter(|at| of(*at, "kind") == Some("sip")).collect();
    let [caller, callee] = sip.as_slice() else { bail!("{} SIP legs instead of two", sip.len()) };
    match (of(*caller, "srtp"), of(*callee, "srtp"), of(*caller, "transport")) {
        (Some(suite), None, Some("tls")) if !callee_too => Ok(format!("{suite} over TLS to plain RTP")),
        (Some(suite), Some(other), Some("tls")) if callee_too => Ok(format!("{suite} over TLS to {other}")),
        other => bail!("the legs' SRTP and the caller's transport are {other:?}"),
    }
}

/// Returns the SNR of a tone in the worst whole second that is undisturbed.
pub(super) fn judge(heard: &[f64], hz: u32, seconds: u32) -> anyhow::Result<f64> {
    let frame = usize::try_from(SAMPLE_RATE / 50)?;
    let first = heard.iter().position(|sample| sample.abs() > 500.0).context("nothing was heard")?;
    let tone = heard.get(first + 5 * frame..).unwrap_or_default();
    let second = usize::try_from(SAMPLE_RATE)?;
    // The first second passes before both sides have audio, and the last one may be incomplete.
    let expected = usize::try_from(seconds)? - 2;
    let mut all: Vec<f64> = tone.chunks_exact(second).take(expected).map(|second| snr_db(second, hz)).collect();
    if all.len() < expected {
        bail!("only {} of {expected} s were heard", all.len());
    }
    all.sort_by(f64::total_cmp);
    match all.get(ALLOWED) {
        Some(worst) if *worst >= SNR_DB => Ok(*worst),
        worst => bail!("{hz} Hz at {worst:?} dB"),
    }
}

/// Writes a certificate for loopback and its key; returns the path of the certificate.
fn certificate(folder: &Path) -> anyhow::Result<std::path::PathBuf> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    let path = folder.join("certificate.pem");
    std::fs::write(&path, made.cert.pem())?;
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
    Ok(path)
}
