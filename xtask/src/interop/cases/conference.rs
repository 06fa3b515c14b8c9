//! Ten participants, baresip phones and SIPp calls, in a conference controlled by twilio-python and twilio-node: each
//! participant sends its own tone in its own codec, and hears the tones of all others but not its own, by the spectrum
//! of phone recordings and of SIPp's sniffed packets.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, ensure};

use super::codecs_baresip::Codec;
use crate::interop::applications::{ACCOUNT, TOKEN};
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages};
use crate::interop::sipp::Calls;
use crate::interop::sniffer::Sniffer;
use crate::interop::sound::{self, Sound};
use crate::interop::{Setting, node, rtp};

const PATIENCE: Duration = Duration::from_secs(15);
/// Number that leads to the conference.
const NUMBER: &str = "+14155550100";
/// SIPp scenario of a participant; the edge hangs up.
const UAC_PARTY: &str = include_str!("../scenarios/uac_party.xml");
/// Tones of the participants in Hz, of which none is a harmonic of another. The pauses of a tone add spectral lines
/// beside it at multiples of 2.5 Hz, and no neighbour has such a frequency.
const TONES: [u32; 10] = [410, 531, 642, 773, 904, 1_030, 1_191, 1_352, 1_513, 1_694];
/// IP addresses of the SIPp participants; the ones before them are phones.
const SIPP: [&str; 4] = ["127.0.2.7", "127.0.2.8", "127.0.2.9", "127.0.2.10"];
const PHONES: usize = TONES.len() - SIPP.len();
const CODECS: [Codec; 4] = [Codec::Pcmu, Codec::G722, Codec::Opus, Codec::Pcma];
/// Length of the repeated audio, in seconds.
const SAID_SECONDS: u32 = 60;
/// Number of judged seconds at the end of a recording, not counting the last one, in which the conference ends.
const JUDGED: usize = 2;
/// Minimum amplitude at which a tone counts as heard: ten concurrent voices share the level of one.
const LEAST: f64 = 300.0;

fn address(n: usize) -> String {
    format!("127.0.2.{}", n + 1)
}

/// Returns a configuration with a trunk for each participant, routed to the conference.
fn configuration() -> String {
    let trunk = |n: usize| {
        let (ip, codec) = (address(n), codec(n).name());
        format!(
            "[trunk.party{n}]\noptions_interval = \"0s\"\naccept_from = [\"{ip}/32\"]\nmedia_from = [\"127.0.0.1/32\"]\n\
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
    if n < PHONES { CODECS[n % CODECS.len()] } else { Codec::Pcmu }
}

/// Starts a phone that calls the conference at once.
fn phone(edge: &Edge, n: usize, hz: u32) -> anyhow::Result<Baresip> {
    let (ip, (rate_hz, channels)) = (address(n), codec(n).shape());
    Baresip::start(&Setup {
        ip: &ip,
        port: 5060,
        account: &format!(
            "<sip:phone{n}@{};transport=udp>;regint=0;answermode=auto;audio_codecs={}/{rate_hz}/{channels}",
            edge.udp,
            codec(n).name()
        ),
        says: sound::wav(rate_hz, channels, SAID_SECONDS, |t| sound::syllables(hz, t)),
        ca: None,
        dial: Some(&format!("sip:{NUMBER}@{}", edge.udp)),
        lasts: None,
    })
}

/// Returns a SIPp call to the conference.
fn sipp(address: &'static str, hz: u32) -> Calls {
    let mut call = Calls::new(1, 1, Duration::from_secs(SAID_SECONDS.into()));
    (call.scenario, call.rtp) = (Some(UAC_PARTY.into()), true);
    (call.address, call.port, call.number) = (address, 5060, NUMBER);
    let time = |n: u32| f64::from(n) / f64::from(rtp::SAMPLE_RATE);
    #[allow(clippy::cast_possible_truncation)]
    let sample = |n: u32| rtp::ulaw(sound::syllables(hz, time(n)) as i32);
    // The audio is as long as the common period of the tone and its pauses.
    call.says = Some((0..rtp::SAMPLE_RATE * 2).map(sample).collect());
    call
}

/// Checks the audio received by a participant: all tones except its own. Returns the amplitude of the softest other
/// tone, and of its own.
fn judge(n: usize, heard: &Sound) -> anyhow::Result<(f64, f64)> {
    let second = usize::try_from(heard.rate_hz)?;
    let end = heard.samples.len().saturating_sub(second);
    let judged = heard.samples.get(end.saturating_sub(JUDGED * second)..end).unwrap_or_default();
    ensure!(judged.len() == JUDGED * second, "party{n} has heard {} samples", heard.samples.len());
    let (mut softest, mut own) = (f64::INFINITY, 0.0);
    for (other, hz) in TONES.into_iter().enumerate() {
        let (amplitude, _) = rtp::fit(judged, hz, heard.rate_hz);
        if other == n {
            own = amplitude;
            ensure!(amplitude < LEAST / 4.0, "party{n} hears itself: {amplitude:.0}");
        } else {
            softest = softest.min(amplitude);
            ensure!(amplitude > LEAST, "party{n} does not hear party{other}: {amplitude:.0}");
        }
    }
    Ok((softest, own))
}

/// Runs the conference and judges each participant's audio.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let edge = Edge::start(&configuration())?;
    let sniffer = Sniffer::start()?;
    // Broken: the first participant sends the tone of the second.
    let tone = |n: usize| if setting.sabotage && n == 0 { TONES[1] } else { TONES[n] };
    let phones = (0..PHONES).map(|n| phone(&edge, n, tone(n))).collect::<anyhow::Result<Vec<_>>>()?;
    let told = || edge.log_tail();
    let calls: Vec<_> = (PHONES..).zip(SIPP).map(|(n, address)| (n, sipp(address, tone(n)))).collect();
    let said = std::thread::scope(|scope| {
        let runs: Vec<_> = calls.iter().map(|(n, call)| (n, scope.spawn(|| call.run(edge.udp)))).collect();
        let said = drive(&edge);
        for (n, run) in runs {
            let counted = run.join().map_err(|_| anyhow::anyhow!("SIPp's thread panicked"))??;
            ensure!(counted.successful == 1, "the call of party{n} failed");
        }
        said
    })
    .with_context(told)?;
    let mut heard = Vec::new();
    for phone in &phones {
        phone.wait_for("terminated", PATIENCE).with_context(told)?;
        heard.push(phone.recorded()?);
    }
    for address in SIPP {
        let packets = sniffer.heard(address.parse::<Ipv4Addr>()?);
        let samples = packets.into_iter().flat_map(|packet| packet.samples).collect();
        heard.push(Sound { rate_hz: rtp::SAMPLE_RATE, samples });
    }
    let (mut softest, mut own) = (f64::INFINITY, 0.0_f64);
    for (n, heard) in heard.iter().enumerate() {
        let judged = judge(n, heard).with_context(told)?;
        (softest, own) = (softest.min(judged.0), own.max(judged.1));
    }
    Ok(format!(
        "{said}; each of {PHONES} baresip phones and {} SIPp calls hears the others ({softest:.0} at least) and not itself ({own:.0} at most)",
        SIPP.len()
    ))
}

/// Lets both programs control the conference until its end; returns their output.
fn drive(edge: &Edge) -> anyhow::Result<String> {
    let (url, parties) = (format!("http://{}", edge.http), TONES.len().to_string());
    let flags = ["--url", &url, "--account", ACCOUNT, "--token", TOKEN, "--parties", &parties];
    let by_python = python::output(Packages::Base, &python::script("twilio_conference.py"), &flags)?;
    let by_node = node::output(node::Packages::Twilio, &node::script("twilio_conference.cjs"), &flags)?;
    Ok(format!("{}; {}", by_python.trim(), by_node.trim()))
}
