//! Codecs that the edge decodes and encodes.

use trunkgate_media::agent::AgentFormat;
use trunkgate_media::codec::opus::OpusPreferences;
use trunkgate_media::{EventsSpec, PayloadCodec, TranscodeSpec};
use trunkgate_resources::limits::PACKET_MS;
use trunkgate_sdp::{AudioPayload, CodecConversion};

/// Sample rate of G.711, in Hz.
pub(crate) const NARROW_HZ: u32 = 8000;

/// Builds the transcoding of one direction, or returns `None` if nothing is transcoded. `ptime_ms` is the default
/// packet length.
pub(crate) fn transcode(conversion: &CodecConversion, ptime_ms: u32) -> Option<Box<TranscodeSpec>> {
    let from: Vec<(u8, PayloadCodec)> =
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
pub(crate) fn coding(audio: &AudioPayload) -> Option<PayloadCodec> {
    let opus = || {
        let parameters = audio.opus;
        PayloadCodec::Opus(OpusPreferences {
            max_rate_hz: parameters.max_playback_rate,
            max_bit_rate: parameters.max_average_bit_rate,
            fec: parameters.use_in_band_fec,
            dtx: parameters.use_dtx,
        })
    };
    Some(match audio.codec.to_ascii_uppercase().as_str() {
        "PCMU" => PayloadCodec::Pcmu,
        "PCMA" => PayloadCodec::Pcma,
        "G722" => PayloadCodec::G722,
        "OPUS" => opus(),
        _ => return None,
    })
}

/// Returns the encoding name of a codec.
pub(crate) fn name(coding: PayloadCodec) -> &'static str {
    match coding {
        PayloadCodec::Pcmu => "PCMU",
        PayloadCodec::Pcma => "PCMA",
        PayloadCodec::G722 => "G722",
        PayloadCodec::Opus(_) => "opus",
        PayloadCodec::Linear(_) => "L16",
    }
}

/// Returns the codec of an agent's stream.
pub(crate) fn agent_coding(format: AgentFormat) -> PayloadCodec {
    if format == AgentFormat::Mulaw8000 { PayloadCodec::Pcmu } else { PayloadCodec::Linear(format.sample_rate()) }
}
