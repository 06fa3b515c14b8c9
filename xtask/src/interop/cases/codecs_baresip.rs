//! Pairs of baresip phones without a common codec talk through the edge: the tone and the speech of each phone are as
//! loud and clean at the other one, with the codecs of libopus, SpanDSP and G.191.

use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::Edge;
use crate::interop::sound::{self, Judgement, said};

const PATIENCE: Duration = Duration::from_secs(15);
/// Duration of the audio: a whole period of the file from any position, and time to settle.
const TALK: Duration = Duration::from_secs(8);
/// Length of the file that a phone sends repeatedly, in seconds.
const SAID_SECONDS: u32 = 15;
/// Number of concurrent calls.
const AT_ONCE: usize = 3;
/// Tones in Hz of a caller and of a callee.
const HZ: [u32; 2] = [440, 660];
/// Seconds after a phone's first received sample during which the phone and the edge settle.
const SETTLED: f64 = 0.5;

/// Codec of baresip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Pcmu,
    Pcma,
    G722,
    Opus,
}

impl Codec {
    /// Returns the codec's name in SDP and in `codecs`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Codec::Pcmu => "PCMU",
            Codec::Pcma => "PCMA",
            Codec::G722 => "G722",
            Codec::Opus => "opus",
        }
    }

    /// Returns the sample rate and the number of channels of baresip's input.
    pub(super) fn shape(self) -> (u32, u16) {
        match self {
            Codec::Pcmu | Codec::Pcma => (8_000, 1),
            Codec::G722 => (16_000, 1),
            Codec::Opus => (48_000, 2),
        }
    }

    /// Returns the minimum SNR of a tone and of speech in dB, and the largest click, for audio in this codec.
    pub(super) fn limits(self) -> Limits {
        match self {
            Codec::Pcmu | Codec::Pcma | Codec::G722 => Limits { tone_db: 30.0, speech_db: 25.0, click: 0.1 },
            Codec::Opus => Limits { tone_db: 18.0, speech_db: 9.0, click: 0.2 },
        }
    }
}

/// Minimum quality of the received audio.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    tone_db: f64,
    speech_db: f64,
    click: f64,
}

/// All pairs of codecs; a quick run uses a selection with each codec.
const PAIRS: [(Codec, Codec); 6] = [
    (Codec::Pcmu, Codec::Opus),
    (Codec::G722, Codec::Pcma),
    (Codec::Opus, Codec::G722),
    (Codec::Pcmu, Codec::Pcma),
    (Codec::Pcma, Codec::Opus),
    (Codec::G722, Codec::Pcmu),
];

/// Runs a few pairs of phones at a time.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let pairs = PAIRS.get(..if setting.quick { AT_ONCE } else { PAIRS.len() }).unwrap_or_default();
    let mut figures = Vec::new();
    for pairs in pairs.chunks(AT_ONCE) {
        // One retry, since the clock of a phone slips at times on a busy machine.
        let talked = talk(pairs, setting.sabotage).or_else(|_| talk(pairs, setting.sabotage));
        figures.extend(talked?);
    }
    Ok(figures.join("; "))
}

/// Returns a trunk for each phone, and a route for each pair.
pub(super) fn configuration(pairs: &[(Codec, Codec)]) -> String {
    let mut text = String::new();
    for (n, (near, far)) in pairs.iter().enumerate() {
        text += &format!(
            r#"
[trunk.near{n}]
options_interval = "0s"
accept_from = ["{}/32"]
media_from = ["127.0.0.1/32"]
codecs = ["{}"]
[trunk.far{n}]
options_interval = "0s"
peers = ["sip:{}:5060"]
media_from = ["127.0.0.1/32"]
codecs = ["{}"]
[[route]]
from = ["near{n}"]
connect = ["trunk:far{n}"]
"#,
            near_address(n),
            near.name(),
            far_address(n),
            far.name()
        );
    }
    text
}

/// Returns the address of the caller in this pair.
pub(super) fn near_address(n: usize) -> String {
    format!("127.0.1.{}", n + 1)
}

/// Returns the address of the callee in this pair.
pub(super) fn far_address(n: usize) -> String {
    format!("127.0.2.{}", n + 1)
}

fn talk(pairs: &[(Codec, Codec)], sabotage: bool) -> anyhow::Result<Vec<String>> {
    let edge = Edge::start(&configuration(pairs))?;
    let phone = |ip: &str, codec: Codec, user: &str, hz: u32, dial: Option<&str>| {
        let (rate_hz, channels) = codec.shape();
        // Broken: the audio sent is softer by 1 dB.
        let volume = if sabotage { 0.89 } else { 1.0 };
        Baresip::start(&Setup {
            ip,
            port: 5060,
            account: &format!(
                "<sip:{user};transport=udp>;regint=0;answermode=auto;audio_codecs={}/{rate_hz}/{channels}",
                codec.name()
            ),
            says: sound::wav(rate_hz, channels, SAID_SECONDS, |t| volume * said(hz, t)),
            ca: None,
            dial,
            lasts: dial.map(|_| TALK),
        })
    };
    let [caller_hz, callee_hz] = HZ;
    let mut callees = Vec::new();
    for (n, (_, codec)) in pairs.iter().enumerate() {
        let ip = far_address(n);
        callees.push(phone(&ip, *codec, &format!("+14155550100@{ip}"), callee_hz, None)?);
    }
    for callee in &callees {
        callee.wait_for("baresip is ready", PATIENCE)?;
    }
    let mut callers = Vec::new();
    let called = format!("sip:+14155550100@{}", edge.udp);
    for (n, (codec, _)) in pairs.iter().enumerate() {
        callers.push(phone(&near_address(n), *codec, &format!("alice@{}", edge.udp), caller_hz, Some(&called))?);
    }
    for caller in &mut callers {
        caller.wait(PATIENCE + TALK)?;
    }
    let mut figures = Vec::new();
    for ((near, far), (caller, callee)) in pairs.iter().zip(callers.iter().zip(&callees)) {
        let told = || format!("{}\n{}\n{}", edge.log_tail(), caller.log(), callee.log());
        callee.wait_for("terminated", PATIENCE).with_context(told)?;
        for (from, to, listener, hz) in [(near, far, callee, caller_hz), (far, near, caller, callee_hz)] {
            let what = format!("{} to {}", from.name(), to.name());
            let judged = listener.recorded()?.judge(hz, SETTLED).with_context(|| what.clone()).with_context(told)?;
            figures.push(judge(&judged, *from, *to).with_context(told)?);
        }
    }
    Ok(figures)
}

/// Checks that received audio is as loud and clean as the codecs permit; returns its figures.
pub(super) fn judge(judged: &Judgement, from: Codec, to: Codec) -> anyhow::Result<String> {
    let (one, other) = (from.limits(), to.limits());
    let limits = Limits {
        tone_db: one.tone_db.min(other.tone_db),
        speech_db: one.speech_db.min(other.speech_db),
        click: one.click.max(other.click),
    };
    let figure = format!(
        "{} to {}: tone {:+.2} dB at {:.0} dB, speech {:+.2} dB at {:.0} dB",
        from.name(),
        to.name(),
        judged.tone_level_db,
        judged.tone_snr_db,
        judged.speech_level_db,
        judged.speech_snr_db
    );
    let is_fine = judged.tone_level_db.abs() <= 0.5
        && judged.speech_level_db.abs() <= 0.5
        && judged.tone_snr_db >= limits.tone_db
        && judged.speech_snr_db >= limits.speech_db
        && judged.click <= limits.click
        && judged.softest_db >= -3.0;
    if !is_fine {
        bail!("{figure}; the largest click {:.2}, the softest 10 ms {:.1} dB", judged.click, judged.softest_db);
    }
    Ok(figure)
}
