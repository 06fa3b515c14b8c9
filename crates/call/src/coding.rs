//! Audio that is converted: what two descriptions agreed on, as a media worker is told it.

use trunkgate_media::agent::Format;
use trunkgate_media::codec::opus::Wanted;
use trunkgate_media::{Coding, EventsSpec, TranscodeSpec};
use trunkgate_sdp::{Audio, Conversion, Policy};

use crate::call::Call;
use crate::leg::{Leg, LegState};
use crate::limits::PACKET_MS;

/// Samples per second of G.711.
const NARROW_HZ: u32 = 8000;

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

impl Call {
    /// What the caller may use where the edge itself is its other side.
    pub(crate) fn own_policy(&self) -> Policy {
        let mut talking =
            self.legs.iter().filter(|leg| leg.state != LegState::Ended).filter_map(|leg| leg.agent.as_ref());
        let wide = talking.any(|side| {
            let format = Format::from_name(side.agent.format).unwrap_or_default();
            !side.listens() && format.sample_rate() > NARROW_HZ
        });
        self.legs[self.near].own_policy(wide)
    }
}
