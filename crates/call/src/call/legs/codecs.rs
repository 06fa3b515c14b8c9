//! Codecs that the edge decodes and encodes.

use trunkgate_media::agent::Format;
use trunkgate_media::codec::opus::Wanted;
use trunkgate_media::{Coding, EventsSpec, TranscodeSpec};
use trunkgate_resources::limits::PACKET_MS;
use trunkgate_sdp::{Audio, Conversion};

/// Sample rate of G.711, in Hz.
pub(crate) const NARROW_HZ: u32 = 8000;

/// Builds the transcoding of one direction; `ptime_ms` is the default packet length. `None` without a codec to
/// transcode.
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

/// Returns the codec of a description's audio; `None` if the edge cannot transcode it.
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

/// Returns the encoding name of a codec.
pub(crate) fn name(coding: Coding) -> &'static str {
    match coding {
        Coding::Pcmu => "PCMU",
        Coding::Pcma => "PCMA",
        Coding::G722 => "G722",
        Coding::Opus(_) => "opus",
        Coding::Linear(_) => "L16",
    }
}

/// Returns the codec of an agent's stream.
pub(crate) fn agent_coding(format: Format) -> Coding {
    if format == Format::Mulaw8000 { Coding::Pcmu } else { Coding::Linear(format.sample_rate()) }
}
