//! rtpengine behind the edge: each side of rtpengine has another codec. The edge transcodes from PCMU, and rtpengine
//! back to PCMU, in both directions. The tone and the speech of each end are as loud and clean at the other, without a
//! gap.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::codecs_baresip::{Codec, configuration, far_address, judge, near_address};
use crate::bench::Rtpengine;
use crate::interop::Setting;
use crate::interop::edge::Edge;
use crate::interop::install;
use crate::interop::raw::{Call, Phone};
use crate::interop::recording::{Heard, Line, converse};
use crate::interop::rtp::{SAMPLE_RATE, linear, ulaw};
use crate::interop::sound::{PERIOD, Sound, said};

/// Codecs between the edge and rtpengine, each for one call.
const BETWEEN: [Codec; 3] = [Codec::Opus, Codec::G722, Codec::Pcma];
/// Level of audio that rtpengine 10.5 sends in Opus: mono becomes two channels, each at half the power, independent of
/// `stereo`.
const OF_TWO_CHANNELS_DB: f64 = -3.01;
/// Tones in Hz of a caller and of a callee.
const HZ: [u32; 2] = [440, 660];
/// Seconds of audio before the judged part, during which the codecs settle.
const SETTLED: f64 = 0.5;
/// Time to listen after the last packet.
const TAIL: Duration = Duration::from_millis(500);

/// Makes a call for each codec, all at once.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("rtpengine", "rtpengine-daemon")])?;
    let edge = Edge::start(&configuration(&BETWEEN.map(|codec| (Codec::Pcmu, codec))))?;
    let engine = Rtpengine::start_by(Command::new("rtpengine"))?;
    let mut calls = Vec::new();
    for n in 0..BETWEEN.len() {
        calls.push(answered(&edge, &engine, n).with_context(|| edge.log_tail())?);
    }
    let lines: Vec<Line<'_>> =
        calls.iter().flatten().map(|(phone, call)| Line { socket: &phone.rtp, to: call.media }).collect();
    // Broken: the audio sent is softer by 1 dB.
    let volume = if setting.sabotage { 0.89 } else { 1.0 };
    #[allow(clippy::cast_possible_truncation)]
    let packet = |line: usize, n: u32| {
        let hz = HZ[line % 2];
        let at = |sample: u32| f64::from(n * 160 + sample) / f64::from(SAMPLE_RATE) - SETTLED;
        (0..160).map(|sample| ulaw((volume * said(hz, at(sample))) as i32)).collect()
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let packets = ((PERIOD + 2.0 * SETTLED) * 50.0) as u32;
    let heard = converse(&lines, packets, &packet, TAIL)?;
    for [(caller, call), _] in &calls {
        caller.bye(call)?;
    }
    let mut figures = Vec::new();
    for (codec, [near, far]) in BETWEEN.iter().zip(heard.as_chunks::<2>().0) {
        for (from, to, heard, hz) in [(Codec::Pcmu, *codec, far, HZ[0]), (*codec, Codec::Pcmu, near, HZ[1])] {
            let what = format!("{} to {}", from.name(), to.name());
            let told = || format!("{what}\n{}\n{}", edge.drops().unwrap_or_default(), edge.log_tail());
            let mut judged =
                sound(heard, packets).and_then(|sound| sound.judge(hz, SETTLED / 2.0)).with_context(told)?;
            if from == Codec::Opus {
                judged.tone_level_db -= OF_TWO_CHANNELS_DB;
                judged.speech_level_db -= OF_TWO_CHANNELS_DB;
            }
            figures.push(judge(&judged, from, to).with_context(told)?);
        }
    }
    Ok(figures.join("; "))
}

/// Makes a call in which the called side's media is behind rtpengine; returns both phones, each with its call and the
/// destination of its RTP.
fn answered(edge: &Edge, engine: &Rtpengine, n: usize) -> anyhow::Result<[(Phone, Call); 2]> {
    let caller = Phone::new(&near_address(n), 0, "caller")?;
    let callee = Phone::new(&far_address(n), 5060, "callee")?;
    let (udp, inside) = (edge.udp, callee.rtp.local_addr()?);
    let (near, far) = std::thread::scope(|scope| {
        let answering = scope.spawn(|| -> anyhow::Result<Call> {
            let mut media = None;
            let mut call = callee.answer_by(|offer| {
                let (to, answer) = engine.transcode(&format!("codecs-{n}"), offer, inside)?;
                media = Some(to);
                Ok(answer)
            })?;
            call.media = media.context("no media")?;
            Ok(call)
        });
        let near = caller.call(udp, "+14155550100");
        let far = answering.join().map_err(|_| anyhow!("the callee panicked"))?;
        Ok::<_, anyhow::Error>((near?, far?))
    })?;
    Ok([(caller, near), (callee, far)])
}

/// Joins received PCMU packets, with silence for missing ones.
fn sound(heard: &[Heard], said: u32) -> anyhow::Result<Sound> {
    if heard.len() < usize::try_from(said)? - 3 {
        bail!("{} packets were heard of {said}", heard.len());
    }
    let first = heard.first().context("nothing was heard")?.timestamp;
    let mut samples = Vec::new();
    for packet in heard {
        let at = usize::try_from(packet.timestamp.wrapping_sub(first))?;
        if at > samples.len() + 8_000 {
            bail!("a timestamp jumps by {}", at - samples.len());
        }
        samples.resize(at, 0.0);
        samples.extend(packet.payload.iter().map(|code| linear(*code)));
    }
    Ok(Sound { rate_hz: SAMPLE_RATE, samples })
}
