//! Three baresip phones and a queue controlled by twilio-python and twilio-node with their own documents: two phones
//! wait, and the third dials the queue. The first and the third phone hear each other's tone, by the spectrum of their
//! recordings, and the second hears neither.

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
/// Calling number of the calls.
const NUMBER: &str = "+14155550100";
/// Phones, each with its codec and its tone in Hz.
const PHONES: [(Codec, u32); 3] = [(Codec::Pcmu, 530), (Codec::G722, 770), (Codec::Opus, 1_190)];
/// Length of the repeated audio, in seconds.
const SAID_SECONDS: u32 = 60;
/// Minimum amplitude at which a tone counts as heard.
const LEAST: f64 = 1_000.0;

fn address(n: usize) -> String {
    format!("127.0.3.{}", n + 1)
}

/// Returns the telephone number of a phone.
fn number(n: usize) -> String {
    format!("+1415555011{n}")
}

/// Returns a configuration with a trunk for each phone, called by API requests at the phone's number.
fn configuration() -> String {
    let trunk = |(n, (codec, _)): (usize, (Codec, u32))| {
        let (ip, codec) = (address(n), codec.name());
        format!(
            "[trunk.phone{n}]\npeers = [\"sip:{ip}:5060\"]\noptions_interval = \"0s\"\n\
             media_from = [\"127.0.0.1/32\"]\ncodecs = [\"{codec}\"]\n\
             allow_prefixes = [\"{}\"]\n",
            number(n)
        )
    };
    let trunks: String = PHONES.into_iter().enumerate().map(trunk).collect();
    format!(
        "[api]\naccount_sid = \"{ACCOUNT}\"\nauth_token = \"{TOKEN}\"\nrequests_per_second = 0\nallow_private = true\n\
         connect = [\"trunk:phone0\", \"trunk:phone1\", \"trunk:phone2\"]\n[[number]]\nnumber = \"{NUMBER}\"\n{trunks}"
    )
}

/// Returns the highest amplitude of a tone in any second of a phone's recording.
fn loudest(phone: &Baresip, hz: u32) -> anyhow::Result<f64> {
    let heard = phone.recorded()?;
    let second = usize::try_from(heard.rate_hz)?;
    let amplitudes = heard.samples.chunks_exact(second).map(|part| rtp::fit(part, hz, heard.rate_hz).0);
    Ok(amplitudes.fold(0.0, f64::max))
}

/// Runs the phones and the queue, and judges the recordings.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(&configuration())?;
    let mut phones = Vec::new();
    for (n, (codec, hz)) in PHONES.into_iter().enumerate() {
        let (ip, (rate_hz, channels)) = (address(n), codec.shape());
        // Broken: the first phone sends the tone of the second.
        let hz = if setting.sabotage && n == 0 { PHONES[1].1 } else { hz };
        phones.push(Baresip::start(&Setup {
            ip: &ip,
            port: 5060,
            account: &format!(
                "<sip:{}@{ip};transport=udp>;regint=0;answermode=auto;audio_codecs={}/{rate_hz}/{channels}",
                number(n),
                codec.name()
            ),
            says: sound::wav(rate_hz, channels, SAID_SECONDS, |t| sound::syllables(hz, t)),
            ca: None,
            dial: None,
            lasts: None,
        })?);
    }
    let url = format!("http://{}", edge.http);
    let to: Vec<String> = (0..PHONES.len()).map(number).collect();
    let flags = ["--url", &url, "--account", ACCOUNT, "--token", TOKEN, "--from", NUMBER];
    let logged = || edge.log_tail();
    let to = to.join(",");
    let with_phones = [&flags[..], &["--phones", &to]].concat();
    let by_python =
        python::output(Packages::Base, &python::script("twilio_queue.py"), &with_phones).with_context(logged)?;
    let by_node =
        node::output(node::Packages::Twilio, &node::script("twilio_queue.cjs"), &flags[..6]).with_context(logged)?;
    for phone in &phones {
        phone.wait_for("terminated", PATIENCE).with_context(logged)?;
    }
    let mut softest = f64::INFINITY;
    for (at, other, hears) in [(0, 2, true), (2, 0, true), (1, 0, false), (1, 2, false), (0, 1, false), (2, 1, false)] {
        let amplitude = loudest(&phones[at], PHONES[other].1)?;
        if hears {
            softest = softest.min(amplitude);
            ensure!(amplitude > LEAST, "phone{at} does not hear phone{other}: {amplitude:.0}");
        } else {
            ensure!(amplitude < LEAST / 2.0, "phone{at} hears phone{other}: {amplitude:.0}");
        }
    }
    Ok(format!(
        "{}; {}; the two that are connected hear each other ({softest:.0} at least)",
        by_python.trim(),
        by_node.trim()
    ))
}
