//! Ten baresip phones in a conference that twilio-python and twilio-node drive: each says a tone of its own, in its own codec, and hears those
//! of all others and not its own, by the spectrum of what it has recorded.

use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::codecs_baresip::Codec;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages};
use crate::interop::sound;
use crate::interop::{Setting, node, rtp};

const PATIENCE: Duration = Duration::from_secs(15);
/// The number of the conference.
const NUMBER: &str = "+14155550100";
/// Tones of the phones in Hz, none of them the harmonic of another. The pauses of a tone put others beside it, each 2.5 Hz: neighbours differ by no
/// multiple of that.
const TONES: [u32; 10] = [410, 531, 642, 773, 904, 1_030, 1_191, 1_352, 1_513, 1_694];
const CODECS: [Codec; 4] = [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::Pcma];
/// Seconds of what is said, which begins again and again.
const SAID_SECONDS: u32 = 60;
/// Seconds of the end of a recording that are judged, but for the last one: the conference ends in that.
const JUDGED: usize = 2;
/// The least amplitude of a tone that is heard: ten voices at once share what one has.
const LEAST: f64 = 300.0;

fn address(n: usize) -> String {
    format!("127.0.2.{}", n + 1)
}

/// A trunk for each phone, whose calls lead to the conference.
fn configuration() -> String {
    let trunk = |n: usize| {
        let (ip, codec) = (address(n), codec(n).name());
        format!(
            "[trunk.phone{n}]\noptions_interval = \"0s\"\naccept_from = [\"{ip}/32\"]\nmedia_from = [\"127.0.0.1/32\"]\n\
             codecs = [\"{codec}\"]\n"
        )
    };
    let trunks: String = (0..TONES.len()).map(trunk).collect();
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\n{trunks}\
         [[route]]\nto = [\"{NUMBER}\"]\nconnect = [\"conference:board\"]\n"
    )
}

fn codec(n: usize) -> Codec {
    CODECS[n % CODECS.len()]
}

/// Runs the case.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(&configuration())?;
    let called = format!("sip:{NUMBER}@{}", edge.udp);
    let mut phones = Vec::new();
    for (n, hz) in TONES.into_iter().enumerate() {
        let (ip, (rate_hz, channels)) = (address(n), codec(n).shape());
        // Broken: the first phone says the tone of the second.
        let hz = if setting.sabotage && n == 0 { TONES[1] } else { hz };
        phones.push(Baresip::start(&Setup {
            ip: &ip,
            port: 5060,
            account: &format!(
                "<sip:phone{n}@{};transport=udp>;regint=0;answermode=auto;audio_codecs={}/{rate_hz}/{channels}",
                edge.udp,
                codec(n).name()
            ),
            says: sound::wav(rate_hz, channels, SAID_SECONDS, |t| sound::syllables(hz, t)),
            ca: None,
            dial: Some(&called),
            lasts: None,
        })?);
    }
    let (url, parties) = (format!("http://{}", edge.http), TONES.len().to_string());
    let flags = ["--url", &url, "--account", ACCOUNT, "--token", TOKEN, "--parties", &parties];
    let told = || edge.log_tail();
    let by_python =
        python::output(Packages::Base, &python::script("twilio_conference.py"), &flags).with_context(told)?;
    let by_node =
        node::output(node::Packages::Twilio, &node::script("twilio_conference.cjs"), &flags).with_context(told)?;
    let (mut softest, mut own) = (f64::INFINITY, 0.0_f64);
    for (n, phone) in phones.iter().enumerate() {
        phone.wait_for("terminated", PATIENCE).with_context(told)?;
        let heard = phone.recorded()?;
        let second = usize::try_from(heard.rate_hz)?;
        let end = heard.samples.len().saturating_sub(second);
        let judged = heard.samples.get(end.saturating_sub(JUDGED * second)..end).unwrap_or_default();
        ensure!(judged.len() == JUDGED * second, "phone{n} has heard {} samples", heard.samples.len());
        for (other, hz) in TONES.into_iter().enumerate() {
            let (amplitude, _) = rtp::fit(judged, hz, heard.rate_hz);
            if other == n {
                own = own.max(amplitude);
                ensure!(amplitude < LEAST / 4.0, "phone{n} hears itself: {amplitude:.0}");
            } else {
                softest = softest.min(amplitude);
                ensure!(amplitude > LEAST, "phone{n} does not hear phone{other}: {amplitude:.0}");
            }
        }
    }
    Ok(format!(
        "{}; {}; each of {} phones hears the others ({softest:.0} at least) and not itself ({own:.0} at most)",
        by_python.trim(),
        by_node.trim(),
        TONES.len()
    ))
}
