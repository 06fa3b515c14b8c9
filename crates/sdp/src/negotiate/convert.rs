//! Transcoding: selects the codecs added to our offer beyond those received, and the audio to transcode once both
//! sides have answered. A codec shared by both sides is preferred to each side's first choice.

use super::payload::{
    OPUS_WIDE, PayloadFormat, TELEPHONE_EVENT, free_payload_type, is_edge_codec, is_g711, own_format, payloads,
};
use super::terms::{AudioPayload, CodecConversion, CodecPolicy, StreamTranscoding};
use crate::description::{Attribute, MediaDescription};
use crate::format::Rtpmap;

/// Preferred payload type of Opus in our offers.
const OPUS: u8 = 107;
/// Opus parameters in our descriptions if the other side's audio is narrowband (4 kHz bandwidth).
const OPUS_NARROW: &str = "maxplaybackrate=8000;sprop-maxcapturerate=8000;useinbandfec=1";
/// Returns the payloads added to an offer: codecs that the edge can transcode from the offered ones, with
/// telephone-event at their clock rate.
pub(crate) fn added_payloads(offered: &[PayloadFormat], policy: &CodecPolicy) -> Vec<PayloadFormat> {
    let usable = |payload: &&PayloadFormat| policy.from.iter().any(|codec| is_named(payload, codec));
    let Some(highest) = offered.iter().filter(usable).map(rate_hz).max() else { return Vec::new() };
    let is_shared = |codec: &str| offered.iter().any(|each| is_named(each, codec) && policy.lets_from(&each.map));
    let missing = policy.codecs.iter().filter(|codec| !is_shared(codec));
    let mut added: Vec<PayloadFormat> = Vec::new();
    for (number, map) in missing.filter_map(|codec| own_format(codec)) {
        let number = if map.is("opus") { free_payload_type(OPUS, offered, &added) } else { Some(number) };
        let fmtp = map.is("opus").then(|| opus_of(highest).to_owned());
        let taken =
            |number: u8| offered.iter().any(|payload| payload.number == number && !payload.map.is_same_encoding(&map));
        if let Some(number) = number.filter(|number| !taken(*number)) {
            added.push(PayloadFormat { number, map, fmtp });
        }
    }
    // Telephone-event is added at 8 kHz, the clock rate of all added codecs except Opus.
    let keys = offered.iter().find(|payload| payload.map.is("telephone-event"));
    if let Some(keys) = keys.filter(|_| added.iter().any(|payload| payload.map.clock == 8000)) {
        let map = Rtpmap { clock: 8000, ..keys.map.clone() };
        let known = offered.iter().any(|payload| payload.map.is_same_encoding(&map));
        if let Some(number) = free_payload_type(TELEPHONE_EVENT, offered, &added).filter(|_| !known) {
            added.push(PayloadFormat { number, map, fmtp: keys.fmtp.clone() });
        }
    }
    added
}

/// Result of the codec negotiation for one stream.
pub(crate) struct CodecOutcome {
    /// Payloads of our answer, numbered as in the offer, with our parameters.
    pub(crate) accepted: Vec<PayloadFormat>,
    /// Payloads relayed unchanged, as pairs of the offerer's and the answerer's payload.
    pub(crate) shared: Vec<(PayloadFormat, PayloadFormat)>,
    pub(crate) converted: Option<StreamTranscoding>,
}

/// Negotiates the codecs of a stream from `pairs` of payloads in our offer and in the answer; `offered` lists the
/// offerer's own payloads. Returns `None` if the sides are incompatible.
pub(crate) fn outcome(
    pairs: Vec<(PayloadFormat, PayloadFormat)>,
    (offer, offered): (&MediaDescription, &[PayloadFormat]),
    answer: &MediaDescription,
    policy: &CodecPolicy,
) -> Option<CodecOutcome> {
    let own = |payload: &PayloadFormat| {
        let of_offer = |each: &&PayloadFormat| each.number == payload.number && each.map.is_same_encoding(&payload.map);
        let allowed = !is_g711(&payload.map) || policy.codecs.is_empty() || is_ruled(payload, policy);
        allowed && offered.iter().any(|each| of_offer(&each))
    };
    let (shared, added): (Vec<_>, Vec<_>) = pairs.into_iter().partition(|(ours, _)| own(ours));
    // Encoding and payload type come from the offerer, parameters from the answerer.
    let as_answered =
        |(ours, theirs): &(PayloadFormat, PayloadFormat)| PayloadFormat { fmtp: theirs.fmtp.clone(), ..ours.clone() };
    let extra = || added.iter().filter(|(_, theirs)| is_edge_codec(&theirs.map)).map(|(_, theirs)| theirs);
    if let Some((ours, theirs)) = shared.iter().find(|(ours, _)| ours.map.is_content()) {
        // Further codecs that the answerer may send.
        let from: Vec<AudioPayload> = extra().map(audio).collect();
        let converts = is_edge_codec(&ours.map) && !from.is_empty();
        let to_offerer = converts.then(|| CodecConversion {
            from,
            to: audio(&offered_form(offered, ours)),
            events: Vec::new(),
            noise: None,
            ptime_ms: ptime(offer),
        });
        let codec_of_answerer = theirs.map.encoding.clone();
        let converted =
            to_offerer.map(|to| StreamTranscoding { to_answerer: None, to_offerer: Some(to), codec_of_answerer });
        return Some(CodecOutcome { accepted: shared.iter().map(as_answered).collect(), shared, converted });
    }
    let theirs = extra().next()?;
    let mine = policy.codecs.iter().find_map(|codec| offered.iter().find(|payload| is_named(payload, codec)))?;
    let events = events((offered, mine), (answer, theirs));
    let noise = shared.iter().find(|(ours, _)| ours.map.is("CN"));
    let fmtp = mine.map.is("opus").then(|| opus_of(rate_hz(theirs)).to_owned());
    let mut accepted = vec![PayloadFormat { fmtp, ..mine.clone() }];
    accepted.extend(events.as_ref().map(|(ours, _)| ours.clone()));
    accepted.extend(noise.map(as_answered));
    let pair = events.map(|(ours, theirs)| ((ours.number, ours.map.clock), (theirs.number, theirs.map.clock)));
    let noise_of = |source: &PayloadFormat, to: Option<u8>| is_g711(&source.map).then_some((CN, to));
    let ours_too = |payload: &&PayloadFormat| is_edge_codec(&payload.map) && is_ruled(payload, policy);
    let converted = StreamTranscoding {
        to_answerer: Some(CodecConversion {
            from: offered.iter().filter(ours_too).map(audio).collect(),
            to: audio(theirs),
            events: pair.into_iter().collect(),
            noise: noise_of(mine, noise.map(|(_, theirs)| theirs.number)),
            ptime_ms: ptime(answer),
        }),
        to_offerer: Some(CodecConversion {
            from: extra().map(audio).collect(),
            to: audio(mine),
            events: pair.into_iter().map(|(ours, theirs)| (theirs, ours)).collect(),
            noise: noise_of(theirs, noise.map(|(ours, _)| ours.number)),
            ptime_ms: ptime(offer),
        }),
        codec_of_answerer: theirs.map.encoding.clone(),
    };
    Some(CodecOutcome { accepted, shared: Vec::new(), converted: Some(converted) })
}

/// Writes the packet duration of the policy into a section with audio generated by the edge, in place of other
/// durations.
pub(crate) fn set_ptime(section: &mut MediaDescription, policy: &CodecPolicy) {
    section.attributes.retain(|attribute| !attribute.is("ptime") && !attribute.is("maxptime"));
    if policy.ptime_ms > 0 {
        section.attributes.push(Attribute::new("ptime", policy.ptime_ms.to_string()));
    }
}

/// Static payload type of comfort noise (RFC 3389 §4).
const CN: u8 = 13;

/// Returns a telephone-event payload of each side, preferably at the clock rate of its audio; `None` if a side has
/// none.
fn events(
    (offered, mine): (&[PayloadFormat], &PayloadFormat),
    (answer, theirs): (&MediaDescription, &PayloadFormat),
) -> Option<(PayloadFormat, PayloadFormat)> {
    let of = |all: &[PayloadFormat], audio: &PayloadFormat| {
        let keys = || all.iter().filter(|payload| payload.map.is("telephone-event"));
        keys().find(|keys| keys.map.clock == audio.map.clock).or_else(|| keys().next()).cloned()
    };
    of(offered, mine).zip(of(&payloads(answer), theirs))
}

/// Returns the packet duration that a receiver requests in milliseconds, at most its `maxptime`.
fn ptime(media: &MediaDescription) -> Option<u32> {
    let most: Option<u32> = media.attribute("maxptime").and_then(|most| most.value.as_deref()?.trim().parse().ok());
    match (media.ptime_ms(), most) {
        (Some(ptime), Some(most)) => Some(ptime.min(most)),
        (Some(ptime), None) => Some(ptime),
        (None, most) => most.filter(|most| *most < 20),
    }
}

/// Returns the edge codecs shared by both sides, with the payload type and parameters of each side.
pub(crate) fn shared_audio(
    offered: &[PayloadFormat],
    shared: &[(PayloadFormat, PayloadFormat)],
) -> Vec<(AudioPayload, AudioPayload)> {
    let known = shared.iter().filter(|(ours, _)| is_edge_codec(&ours.map));
    known.map(|(ours, theirs)| (audio(&offered_form(offered, ours)), audio(theirs))).collect()
}

fn offered_form(offered: &[PayloadFormat], ours: &PayloadFormat) -> PayloadFormat {
    offered.iter().find(|payload| payload.number == ours.number).unwrap_or(ours).clone()
}

fn audio(payload: &PayloadFormat) -> AudioPayload {
    AudioPayload::new(payload.number, &payload.map, payload.fmtp.as_deref())
}

fn is_ruled(payload: &PayloadFormat, policy: &CodecPolicy) -> bool {
    policy.codecs.iter().any(|codec| is_named(payload, codec))
}

fn is_named(payload: &PayloadFormat, codec: &str) -> bool {
    is_edge_codec(&payload.map) && payload.map.is(codec)
}

/// Returns the sampling rate at which the edge handles a side's audio, in Hz.
fn rate_hz(payload: &PayloadFormat) -> u32 {
    if is_g711(&payload.map) { 8000 } else { 16_000 }
}

fn opus_of(rate_hz: u32) -> &'static str {
    if rate_hz <= 8000 { OPUS_NARROW } else { OPUS_WIDE }
}
