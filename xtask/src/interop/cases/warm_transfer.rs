//! Warm transfers in all branches at once: SIPp calls with RTP; an agent (pipecat) transfers its caller to a baresip
//! phone, at which a human hears a whisper and accepts, declines, or is a machine, or does not answer; one caller hangs
//! up midway, and one agent stays as the party's coach. Each party sends its own tone, and the branches are judged by
//! the audio of each: SIPp's sniffed packets, the agent's frames, and the phone's recording.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::interop::Setting;
use crate::interop::baresip::{Baresip, Setup};
use crate::interop::edge::Edge;
use crate::interop::python::{self, Packages, Script};
use crate::interop::rtp::{self, SAMPLE_RATE};
use crate::interop::sipp::Calls;
use crate::interop::sniffer::{Packet, Sniffer};
use crate::interop::sound::{self, speech};

/// Tones in Hz: of the caller (SIPp's file), of the agent before and after the transfer, of the music, of the whisper,
/// and of the phone.
const CALLER: u32 = 440;
const AGENT: u32 = 620;
const AGENT_AGAIN: u32 = 830;
const MUSIC: u32 = 350;
const WHISPER: u32 = 930;
const PHONE: u32 = 1_190;
const TONES: [u32; 6] = [CALLER, AGENT, AGENT_AGAIN, MUSIC, WHISPER, PHONE];
/// Maximum length in ms, after the music, of the tone that the agent sent before its caller was back: audio in flight.
const REST_MS: u32 = 400;
/// Minimum length in ms of a tone that counts.
const LEAST_MS: u32 = 300;
/// Minimum length in ms of two mixed tones, and the minimum level of each.
const LEAST_MIX_MS: u32 = 1_000;
const MIXED: f64 = 1_000.0;
/// Maximum length in ms of an unexpected tone, and the level from which it counts.
const STRAY_MS: u32 = 100;
const STRAY: f64 = 300.0;
/// Maximum step between two samples of a faded tone; a cut has a larger one.
const STEP: f64 = 4_000.0;
const PATIENCE: Duration = Duration::from_secs(15);
/// Time after the answer at which a phone begins its tone, in seconds.
const TONE_FROM: f64 = 6.0;

/// Behaviour of the party that is the transfer target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Branch {
    Accepts,
    /// The party accepts, and the agent stays as the party's coach.
    Coached,
    Declines,
    Machine,
    NoAnswer,
    CallerHangsUp,
}

impl Branch {
    const ALL: [Branch; 6] =
        [Branch::Accepts, Branch::Coached, Branch::Declines, Branch::Machine, Branch::NoAnswer, Branch::CallerHangsUp];

    /// Returns the reason that the agent receives; `None` if the agent does not get its caller back.
    const fn reason(self) -> Option<&'static str> {
        match self {
            Branch::Accepts | Branch::Coached | Branch::CallerHangsUp => None,
            Branch::Declines => Some("transfer_declined"),
            Branch::Machine => Some("machine_answered"),
            Branch::NoAnswer => Some("ring_timeout"),
        }
    }

    /// Returns the length of the caller's call in this branch.
    const fn length(self) -> Duration {
        match self {
            Branch::Accepts | Branch::Coached => Duration::from_secs(11),
            Branch::Declines | Branch::Machine | Branch::NoAnswer => Duration::from_secs(9),
            Branch::CallerHangsUp => Duration::from_secs(4),
        }
    }

    /// Returns the phone's audio at a time after its answer, in seconds: a word, or a long announcement; then its tone.
    fn says(self, t: f64) -> f64 {
        let words = if self == Branch::Machine { TONE_FROM } else { 0.6 };
        match t {
            t if t < words => speech(t),
            t if t < TONE_FROM => 0.0,
            t => sound::tone(PHONE, t - TONE_FROM),
        }
    }

    /// Returns the tones that the caller, the agent and the phone must each hear, one at a time and in order.
    fn heard(self) -> [&'static [u32]; 3] {
        match self {
            Branch::Accepts => [&[AGENT, MUSIC, PHONE], &[CALLER], &[WHISPER, CALLER]],
            Branch::Coached => [&[AGENT, MUSIC, PHONE], &[CALLER, CALLER], &[WHISPER]],
            Branch::Declines => [&[AGENT, MUSIC, AGENT_AGAIN], &[CALLER, CALLER], &[WHISPER]],
            Branch::Machine => [&[AGENT, MUSIC, AGENT_AGAIN], &[CALLER, CALLER], &[WHISPER]],
            Branch::NoAnswer => [&[AGENT, MUSIC, AGENT_AGAIN], &[CALLER, CALLER], &[]],
            Branch::CallerHangsUp => [&[AGENT, MUSIC], &[CALLER], &[WHISPER]],
        }
    }
}

/// Pairs of tones that the agent and the phone of a coached call hear together at the end.
const TOGETHER: [[u32; 2]; 2] = [[CALLER, PHONE], [CALLER, AGENT_AGAIN]];

/// Addresses and numbers of the parties in a branch.
struct Place {
    branch: Branch,
    caller: &'static str,
    phone: String,
    number: &'static str,
    port: u16,
}

fn places() -> Vec<Place> {
    let callers = ["127.0.4.1", "127.0.4.2", "127.0.4.3", "127.0.4.4", "127.0.4.5", "127.0.4.6"];
    let numbers = ["+14155550111", "+14155550112", "+14155550113", "+14155550114", "+14155550115", "+14155550116"];
    let all = Branch::ALL.into_iter().zip(callers).zip(numbers).zip(1..);
    all.map(|(((branch, caller), number), n)| Place {
        branch,
        caller,
        phone: format!("127.0.3.{n}"),
        number,
        port: 5_070 + n,
    })
    .collect()
}

fn configuration(agent: &Script, places: &[Place]) -> String {
    let trunk = |(n, place): (usize, &Place)| {
        format!(
            "[trunk.phone{n}]\npeers = [\"sip:{}:5060\"]\noptions_interval = \"0s\"\nring_timeout = \"3s\"\n\
             codecs = [\"PCMU\"]\nmedia_from = [\"127.0.0.1/32\"]\n",
            place.phone
        )
    };
    let trunks: String = (1..).zip(places).map(trunk).collect();
    format!(
        "[trunk.carrier]\naccept_from = [\"127.0.4.0/24\"]\n{trunks}[agent.bot]\nurl = \"ws://{}/media\"\n\
         parameters = {{ called = \"{{called}}\" }}\nextras = true\n\
         hold = {{ strategy = \"music\", music = \"music.wav\" }}\n[[route]]\nfrom = [\"carrier\"]\n\
         connect = [\"agent:bot\"]\n",
        agent.address
    )
}

fn phone(place: &Place) -> anyhow::Result<Baresip> {
    let (ip, mode) = (&place.phone, if place.branch == Branch::NoAnswer { "manual" } else { "auto" });
    Baresip::start(&Setup {
        ip,
        port: 5060,
        account: &format!(
            "<sip:{}@{ip};transport=udp>;regint=0;answermode={mode};audio_codecs=PCMU/8000/1",
            place.number
        ),
        says: sound::wav(SAMPLE_RATE, 1, 30, |t| place.branch.says(t)),
        ca: None,
        dial: None,
        lasts: None,
    })
}

/// Sends a digit at the phone once its party has heard the whisper and counts as human.
fn press(edge: &Edge, place: &Place, phone: &Baresip, key: &str) -> anyhow::Result<()> {
    let began = Instant::now();
    loop {
        let trace = trace(edge, place).unwrap_or_default();
        if trace.contains("waiting for its digit") && trace.contains("detection: human") {
            return phone.command("sndcode", key);
        }
        ensure!(began.elapsed() < PATIENCE, "the party has not heard the whisper: {trace}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn trace(edge: &Edge, place: &Place) -> anyhow::Result<String> {
    let calls: serde_json::Value = serde_json::from_str(&edge.get("/v1/calls")?)?;
    let list = calls["calls"].as_array().context("no list of calls")?;
    let is_it = |call: &&serde_json::Value| call.to_string().contains(place.number);
    let sid = list.iter().find(is_it).and_then(|call| call["sid"].as_str()).context("no call")?;
    edge.get(&format!("/v1/calls/{sid}/trace.txt"))
}

/// Runs all branches at once, and judges the audio of each.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    // Broken: accepting needs another digit.
    let accept = if setting.sabotage { "9" } else { "1" };
    let warm = format!(r#"{{"whisper":{{"file":"whisper.wav"}},"accept":"{accept}","detection":true}}"#);
    let (tones, heard) = (format!("{AGENT},{AGENT_AGAIN}"), folder.path().display().to_string());
    let places = places();
    let coached = places.iter().find(|place| place.branch == Branch::Coached).map_or("", |place| place.number);
    let mut flags = vec!["--warm", &warm, "--coached", coached, "--tones", &tones, "--folder", &heard];
    // The quick form avoids packages that take minutes to install.
    let packages = if setting.quick { Packages::Base } else { Packages::Pipecat };
    if !setting.quick {
        flags.push("--pipecat");
    }
    let agent = Script::start(packages, &python::script("warm_agent.py"), &flags)?;
    let tone = |hz: u32, seconds: u32| sound::wav(SAMPLE_RATE, 1, seconds, |t| sound::tone(hz, t));
    let (music, whisper) = (tone(MUSIC, 10), tone(WHISPER, 1));
    let files: [(&str, &[u8]); 2] = [("music.wav", &music), ("whisper.wav", &whisper)];
    let mut edge = Edge::start_beside(&configuration(&agent, &places), &files)?;
    let sniffer = Sniffer::start()?;
    let phones: Vec<Baresip> = places.iter().map(phone).collect::<anyhow::Result<_>>()?;
    for phone in &phones {
        phone.wait_for("baresip is ready", PATIENCE)?;
    }
    std::thread::scope(|scope| {
        let (edge, agent) = (&edge, &agent);
        let runs: Vec<_> = places
            .iter()
            .zip(&phones)
            .map(|(place, phone)| scope.spawn(move || one(edge, agent, place, phone)))
            .collect();
        runs.into_iter().try_for_each(|run| run.join().map_err(|_| anyhow::anyhow!("a branch panicked"))?)
    })
    .with_context(|| format!("{}\n{}", edge.log_tail(), agent.lines().join("\n")))?;
    edge.assert_alive()?;
    edge.no_dialog_is_left()?;
    let mut steepest: f64 = 0.0;
    for (place, phone) in places.iter().zip(&phones) {
        let heard = Parties {
            caller: sniffer.heard(place.caller.parse::<Ipv4Addr>()?),
            agent: samples(&std::fs::read(folder.path().join(place.number.trim_start_matches('+')))?),
            phone: if place.branch == Branch::NoAnswer { Vec::new() } else { phone.heard()? },
        };
        let step = judge(place.branch, &heard)
            .with_context(|| format!("{:?}\n{}", place.branch, trace(&edge, place).unwrap_or_default()))?;
        steepest = steepest.max(step);
    }
    let kind = if setting.quick { "an agent" } else { "pipecat" };
    Ok(format!(
        "6 branches with SIPp, {kind} and baresip: each party hears what it should and nothing else; steepest step at a switch {steepest:.0}"
    ))
}

/// Runs one branch until its call has ended.
fn one(edge: &Edge, agent: &Script, place: &Place, phone: &Baresip) -> anyhow::Result<()> {
    let mut calls = Calls::new(1, 1, place.branch.length());
    (calls.rtp, calls.port, calls.number, calls.address) = (true, place.port, place.number, place.caller);
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| calls.run(edge.udp));
        match place.branch {
            Branch::Accepts | Branch::Coached => press(edge, place, phone, "1")?,
            Branch::Declines => press(edge, place, phone, "2")?,
            Branch::Machine | Branch::NoAnswer | Branch::CallerHangsUp => {}
        }
        let counted = caller.join().map_err(|_| anyhow::anyhow!("SIPp's thread panicked"))??;
        ensure!(counted.successful == 1, "SIPp's call failed");
        anyhow::Ok(())
    })
    .with_context(|| format!("{:?}", place.branch))?;
    if place.branch == Branch::Coached {
        agent.wait_for(&format!("coach {}", place.number), PATIENCE)?;
    }
    agent.wait_for(&format!("stop {}", place.number), PATIENCE)?;
    let back = format!("back {}: ", place.number);
    let reason = agent.lines().into_iter().find_map(|line| Some(line.strip_prefix(&back)?.to_owned()));
    ensure!(reason.as_deref() == place.branch.reason(), "{:?}: the agent received {reason:?}", place.branch);
    Ok(())
}

/// Audio that each party of a branch received.
struct Parties {
    caller: Vec<Packet>,
    agent: Vec<f64>,
    phone: Vec<f64>,
}

fn samples(bytes: &[u8]) -> Vec<f64> {
    bytes.as_chunks::<2>().0.iter().map(|sample| f64::from(i16::from_le_bytes(*sample))).collect()
}

/// Checks the audio of a branch; returns the largest step that the caller heard around the end of the music.
fn judge(branch: Branch, heard: &Parties) -> anyhow::Result<f64> {
    let caller: Vec<f64> = heard.caller.iter().flat_map(|packet| packet.samples.iter().copied()).collect();
    let mut gaps = heard.caller.windows(2).filter_map(|pair| Some((pair.first()?, pair.last()?)));
    if let Some((before, after)) = gaps.find(|(a, b)| b.sequence != a.sequence.wrapping_add(1)) {
        bail!("the caller's stream goes from packet {} to {}", before.sequence, after.sequence);
    }
    let late = heard.caller.windows(2).filter_map(|pair| Some(pair.last()?.at - pair.first()?.at)).max();
    ensure!(late.unwrap_or_default() < Duration::from_millis(300), "the caller waits {late:?} for a packet");
    let expected = branch.heard();
    for (who, samples, expected) in
        [("caller", &caller, expected[0]), ("agent", &heard.agent, expected[1]), ("phone", &heard.phone, expected[2])]
    {
        let all = rtp::tones(samples, &TONES);
        // Audio sent by the agent during the caller's music may still be in flight when the caller is back.
        let is_rest = |(at, (hz, ms)): (usize, &(u32, u32))| at > 0 && *hz == AGENT && *ms <= REST_MS;
        let counted = all.iter().enumerate().filter(|(at, tone)| !is_rest((*at, *tone)) && tone.1 >= LEAST_MS);
        let tones: Vec<u32> = counted.map(|(_, (hz, _))| *hz).collect();
        ensure!(tones == expected, "the {who} hears {all:?} instead of {expected:?}");
    }
    if branch == Branch::Coached {
        for (who, samples, pair) in [("agent", &heard.agent, TOGETHER[0]), ("phone", &heard.phone, TOGETHER[1])] {
            let together = together(samples, &pair, MIXED);
            ensure!(together >= LEAST_MIX_MS, "the {who} hears {pair:?} together for {together} ms");
        }
        let stray = together(&caller, &[AGENT_AGAIN], STRAY);
        ensure!(stray <= STRAY_MS, "the caller hears the coach for {stray} ms");
    }
    let step = if branch == Branch::Accepts { steepest(&caller) } else { 0.0 };
    ensure!(step < STEP, "a click of {step:.0} where the music ends");
    Ok(step)
}

/// Returns the length in ms of the audio in which all these tones have at least this level.
fn together(samples: &[f64], tones: &[u32], level: f64) -> u32 {
    let piece = 400;
    let has_all = |part: &&[f64]| tones.iter().all(|hz| rtp::fit(part, *hz, SAMPLE_RATE).0 >= level);
    samples.chunks_exact(piece).filter(has_all).map(|_| 50).sum()
}

/// Returns the largest step between two samples from 100 ms before the end of the music to 300 ms after it.
fn steepest(samples: &[f64]) -> f64 {
    let piece = 400;
    let is_music = |part: &[f64]| rtp::fit(part, MUSIC, SAMPLE_RATE).0 > 2_000.0;
    let Some(last) = samples.chunks_exact(piece).rposition(is_music) else { return f64::INFINITY };
    let around = samples.get((last.saturating_sub(2)) * piece..).unwrap_or_default();
    around.iter().zip(around.iter().skip(1)).take(8 * piece).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}
