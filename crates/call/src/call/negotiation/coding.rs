//! Audio that is converted: what two descriptions agreed on, as a media worker is told it.

use trunkgate_media::agent::Format;
use trunkgate_media::codec::opus::Wanted;
use trunkgate_media::{Coding, EventsSpec, TranscodeSpec};
use trunkgate_resources::key::LegId;
use trunkgate_resources::limits::{PACKET_MS, TRACE_TEXT_CHARS};
use trunkgate_sdp::{Audio, Conversion, Policy, anchored_streams, codec_names};
use trunkgate_sip::{HeaderName, Message};
use trunkgate_story::numbers::{mask, plain};

use crate::call::Call;
use crate::call::legs::leg::Leg;

/// Samples per second of G.711.
pub(crate) const NARROW_HZ: u32 = 8000;

/// One direction's conversion; `ptime_ms` where the receiver asks for none. `None` where there is nothing to convert.
pub(crate) fn transcode(conversion: &Conversion, ptime_ms: u32) -> Option<Box<TranscodeSpec>> {
    let from: Vec<(u8, Coding)> =
        conversion.from.iter().filter_map(|audio| Some((audio.number, coding(audio)?))).collect();
    let packet_ms = conversion.ptime_ms.unwrap_or(ptime_ms).clamp(*PACKET_MS.start(), *PACKET_MS.end());
    let spec = TranscodeSpec {
        to: (conversion.to.number, coding(&conversion.to)?),
        packet_ms: u8::try_from(packet_ms).unwrap_or_default(),
        events: conversion.events.iter().map(|(from, to)| EventsSpec { from: *from, to: *to }).collect(),
        noise: conversion.noise,
        from,
    };
    (!spec.from.is_empty()).then(|| Box::new(spec))
}

/// The codec of a description's audio; `None` for one that the edge does not convert.
pub(crate) fn coding(audio: &Audio) -> Option<Coding> {
    let opus = || {
        let parameters = audio.opus;
        Coding::Opus(Wanted {
            max_rate_hz: parameters.max_playback_rate,
            max_bit_rate: parameters.max_average_bit_rate,
            fec: parameters.use_in_band_fec,
            dtx: parameters.use_dtx,
        })
    };
    Some(match audio.codec.to_ascii_uppercase().as_str() {
        "PCMU" => Coding::Pcmu,
        "PCMA" => Coding::Pcma,
        "G722" => Coding::G722,
        "OPUS" => opus(),
        _ => return None,
    })
}

/// The name of what a far side speaks.
pub(crate) fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Pcmu => "PCMU",
        Coding::Pcma => "PCMA",
        Coding::G722 => "G722",
        Coding::Opus(_) => "opus",
        Coding::Linear(_) => "L16",
    }
}

impl Leg {
    /// What it may use where the edge itself is its other side; `wide`: an agent that has more than 4 kHz. For others G.711
    /// comes first: it is what they speak themselves.
    pub(crate) fn own_policy(&self, wide: bool) -> Policy {
        let mut policy = self.policy();
        if !wide {
            policy.codecs.sort_by_key(|codec| !["PCMU", "PCMA"].iter().any(|own| codec.eq_ignore_ascii_case(own)));
        }
        policy
    }
}

/// What an agent is sent and sends.
pub(crate) fn agent_coding(format: Format) -> Coding {
    if format == Format::Mulaw8000 { Coding::Pcmu } else { Coding::Linear(format.sample_rate()) }
}

/// What a target that takes no description of ours was offered, and its own words about it (RFC 3261 §20.43).
pub(crate) fn refused_offer(leg: &Leg, response: &Message) -> Option<String> {
    let sent = leg.sent()?;
    let section = anchored_streams(&sent).into_iter().find_map(|index| sent.media.get(index))?;
    let said = response.headers(HeaderName::Warning).next().map(|warning| {
        let text = String::from_utf8_lossy(warning);
        // Whatever it cites: no key and no number.
        let key = text.to_ascii_lowercase().find("inline").unwrap_or(text.len());
        let text = text.get(..key).unwrap_or_default();
        let words: Vec<String> =
            text.split_whitespace().map(|word| if digits(word) > 6 { mask(word) } else { word.to_owned() }).collect();
        format!(", Warning: {}", plain(&words.join(" "), TRACE_TEXT_CHARS))
    });
    Some(format!("it was offered {} by {}{}", codec_names(section), section.proto, said.unwrap_or_default()))
}

fn digits(word: &str) -> usize {
    word.chars().filter(char::is_ascii_digit).count()
}

impl Call {
    /// Notes of each leg what its audio is converted into, as it is wired now.
    pub(crate) fn note_conversion(&mut self, legs: impl IntoIterator<Item = LegId>) {
        for at in legs {
            let leg = &self.legs[at];
            let ends = leg.ends.iter().map(|end| end.end).chain(leg.agent.as_ref().map(|side| side.end));
            let into = ends.filter_map(|end| self.media.wires.get(end)).find_map(|(sink, wire)| {
                let transcoded = wire.transcode.as_ref().map(|spec| spec.to.1);
                let of_agent = || {
                    let listens = self.legs.iter().find_map(|leg| leg.agent.as_ref().filter(|side| side.end == *sink));
                    listens.map(|side| agent_coding(Format::from_name(side.agent.format).unwrap_or_default()))
                };
                transcoded.or_else(of_agent).or(leg.agent.as_ref().map(|_| wire.coding)).map(name)
            });
            let into = into.filter(|into| !into.eq_ignore_ascii_case(&leg.codec));
            self.legs[at].converted_to = into;
        }
    }
}
