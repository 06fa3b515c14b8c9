//! baresip holds and resumes its caller: the edge passes this on to the other side, or answers and plays music.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup, wav};
use crate::interop::edge::Edge;
use crate::interop::raw::{Call, Phone, numbered_tone};
use crate::interop::rtp::{linear, snr_db};
use crate::interop::sipp::{CARRIER, PBX};

const PATIENCE: Duration = Duration::from_secs(10);
/// Number of packets of 20 ms that the caller sends at a time.
const PACKETS: u32 = 75;
/// Number of judged packets at the end; earlier ones may precede the change.
const JUDGED: usize = 25;
/// Tones in Hz of baresip, and of the music.
const PHONE_HZ: u32 = 660;
const MUSIC_HZ: u32 = 880;
/// Minimum SNR of a tone after μ-law.
const SNR_DB: f64 = 25.0;

/// Tests a hold passed on, and one answered by the edge.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    // Broken: the edge plays no music.
    let local = if setting.sabotage { "relay" } else { "local" };
    let told = held("relay", false).context("with hold = relay")?;
    let music = held(local, true).context("with hold = local")?;
    Ok(format!("relayed: {told}; at the edge: {music}"))
}

/// Makes a call in which baresip holds and resumes.
fn held(hold: &str, music: bool) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("music.wav");
    std::fs::write(&file, wav(MUSIC_HZ))?;
    let file = if hold == "local" { format!("hold_music = \"{}\"", file.display()) } else { String::new() };
    let edge = Edge::start(&format!(
        r#"
[trunk.carrier]
options_interval = "0s"
accept_from = ["{CARRIER}/32"]
[trunk.pbx]
options_interval = "0s"
peers = ["sip:{PBX}:5060"]
media_from = ["127.0.0.1/32"]
hold = "{hold}"
{file}
[[route]]
from = ["carrier"]
connect = ["trunk:pbx"]
"#
    ))?;
    let phone = Baresip::start(&Setup {
        ip: PBX,
        port: 5060,
        account: &format!("<sip:+14155550100@{PBX};transport=udp>;regint=0;answermode=auto;audio_codecs=PCMU"),
        says: wav(PHONE_HZ),
        ca: None,
        dial: None,
        lasts: None,
    })?;
    phone.wait_for("baresip is ready", PATIENCE)?;
    let caller = Phone::new(CARRIER, 0, "caller")?;
    let outcome = talk_and_hold(&edge, &phone, &caller, music);
    outcome.with_context(|| format!("{}\n{}", edge.only_trace().unwrap_or_else(|_| edge.log_tail()), phone.log()))
}

fn talk_and_hold(edge: &Edge, phone: &Baresip, caller: &Phone, music: bool) -> anyhow::Result<String> {
    let mut call = caller.call(edge.udp, "+14155550100")?;
    let before = talks(edge, caller, &call)?;
    let state = |wanted: &'static str| {
        edge.wait_until(wanted, PATIENCE, |edge| Ok(shown(edge)?["state"].as_str() == Some(wanted)))
    };
    phone.command("hold", "")?;
    let meanwhile = if music {
        state("held")?;
        format!("music at {:.1} dB", tone(&heard(caller, &call)?, MUSIC_HZ).context("of the music")?)
    } else {
        caller.expect_reinvite()?;
        state("held")?;
        // Skips packets in flight at the answer to baresip.
        heard(caller, &call)?;
        let heard = heard(caller, &call)?;
        if !heard.is_empty() {
            bail!("{} packets were heard during a hold", heard.len());
        }
        "silence".to_owned()
    };
    phone.command("resume", "")?;
    if !music {
        caller.expect_reinvite()?;
    }
    state("answered")?;
    let after = talks(edge, caller, &call).context("after the hold")?;
    if !music {
        // Now the caller holds baresip.
        caller.reinvite(&mut call, "sendonly")?;
        state("held")?;
        caller.reinvite(&mut call, "sendrecv")?;
        state("answered")?;
        talks(edge, caller, &call).context("after the caller's hold")?;
    }
    caller.bye(&call)?;
    Ok(format!("{before:.1} dB, then {meanwhile}, then {after:.1} dB"))
}

/// Checks that both sides hear each other; returns the SNR of baresip's tone.
fn talks(edge: &Edge, caller: &Phone, call: &Call) -> anyhow::Result<f64> {
    let sent = |edge: &Edge| anyhow::Ok(shown(edge)?["legs"][1]["rtp"]["tx_packets"].as_u64().unwrap_or_default());
    let before = sent(edge)?;
    let clean = tone(&heard(caller, call)?, PHONE_HZ)?;
    let count = sent(edge)? - before;
    if count < u64::from(PACKETS / 2) {
        bail!("baresip got {count} of {PACKETS} packets");
    }
    Ok(clean)
}

/// Returns the call as the edge shows it.
fn shown(edge: &Edge) -> anyhow::Result<serde_json::Value> {
    let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls")?)?;
    Ok(calls["calls"][0].clone())
}

/// Sends audio at the caller; returns the last audio that the caller received meanwhile.
fn heard(caller: &Phone, call: &Call) -> anyhow::Result<Vec<Vec<u8>>> {
    let heard = caller.talk(call.media, &numbered_tone(PACKETS))?;
    let audio: Vec<Vec<u8>> = heard.into_values().filter(|payload| !payload.is_empty()).collect();
    Ok(audio.get(audio.len().saturating_sub(JUDGED)..).unwrap_or_default().to_vec())
}

/// Returns the SNR of a tone in dB, if it is sufficient.
fn tone(heard: &[Vec<u8>], hz: u32) -> anyhow::Result<f64> {
    if heard.len() < JUDGED {
        bail!("only {} packets were heard", heard.len());
    }
    let samples: Vec<f64> = heard.iter().flatten().map(|byte| linear(*byte)).collect();
    match snr_db(&samples, hz) {
        clean if clean >= SNR_DB => Ok(clean),
        other => bail!("{hz} Hz at {other:.1} dB"),
    }
}
