//! Offers and answers of an endpoint inside the edge or the test phone.

use super::payload::{EVENTS, OPUS_WIDE, describe, own_format, telephone_event};
use super::section::{
    anchored_streams, build_description, format_names, format_refusal, may_mux, multiplex, narrowed, remote_endpoint,
};
use super::terms::{AudioPayload, CodecPolicy, DtmfMethod, LocalOrigin, MediaEndpoint};
use crate::description::{Attribute, MediaDescription, SessionDescription};
use crate::direction::MediaDirection;
use crate::format::Rtpmap;
use crate::refusal::SdpRejection;

pub use super::payload::TELEPHONE_EVENT;

/// Packet duration, in milliseconds.
const PTIME_MS: u32 = 20;

/// Creates an offer with one audio section: the codecs of the policy and, if its DTMF method is telephone-event,
/// payload type 101. Codec names other than static ones and opus are skipped.
pub fn offer_own(
    policy: &CodecPolicy,
    port: u16,
    identity: &LocalOrigin,
    direction: MediaDirection,
) -> SessionDescription {
    let mut audio = MediaDescription::new("audio", port, "RTP/AVP");
    for (number, map) in policy.codecs.iter().filter_map(|codec| own_format(codec)) {
        describe(&mut audio, number, &map, own_fmtp(&map));
    }
    if policy.dtmf == DtmfMethod::Events {
        describe(&mut audio, TELEPHONE_EVENT, &telephone_event(8000), Some(EVENTS));
    }
    finish(&mut audio, direction);
    build_description(identity, Vec::new(), vec![audio])
}

/// Creates an answer to `offer` for a local endpoint: the first codec of the policy that the offer contains, with
/// telephone-event if offered and used by the policy. `direction` is the wanted direction, narrowed by the offer (RFC
/// 3264 §6.1). Returns the answer, the remote media endpoint, and the codec in the remote party's numbering.
///
/// # Errors
/// Fails with [`SdpRejection`] if no format matches.
pub fn answer_offer(
    offer: &SessionDescription,
    policy: &CodecPolicy,
    port: u16,
    identity: &LocalOrigin,
    direction: MediaDirection,
) -> Result<(SessionDescription, MediaEndpoint, AudioPayload), SdpRejection> {
    let streams = anchored_streams(offer);
    let audio = || {
        let sections = streams.iter().filter_map(|index| Some((*index, offer.media.get(*index)?)));
        sections.filter(|(_, media)| media.kind.eq_ignore_ascii_case("audio"))
    };
    let Some((index, media, number, map)) = audio().find_map(|(index, media)| {
        let (number, map) = first_of(policy, media)?;
        Some((index, media, number, map))
    }) else {
        return Err(format_refusal(audio().flat_map(|(_, media)| format_names(media)), policy));
    };
    let direction = narrowed(direction, offer.direction_of(media));
    let mut section = MediaDescription::new(&media.kind, port, &media.proto);
    describe(&mut section, number, &map, own_fmtp(&map));
    // Telephone-event at the clock rate of the audio, or at another one (Opus with events at 8 kHz is common).
    let events = || {
        let known = media.payloads().into_iter().filter_map(|number| Some((number, media.rtpmap(number)?)));
        known.filter(|(_, event)| event.is("telephone-event") && policy.dtmf == DtmfMethod::Events)
    };
    if let Some((number, event)) = events().find(|(_, event)| event.clock == map.clock).or_else(|| events().next()) {
        describe(&mut section, number, &event, Some(EVENTS));
    }
    finish(&mut section, direction);
    multiplex(&mut section, may_mux(media));
    let mut sections: Vec<MediaDescription> = offer.media.iter().map(MediaDescription::rejected).collect();
    if let Some(place) = sections.get_mut(index) {
        *place = section;
    }
    let far = remote_endpoint(offer, media, direction.reversed()).muxed(may_mux(media));
    Ok((build_description(identity, Vec::new(), sections), far, AudioPayload::new(number, &map, media.fmtp(number))))
}

/// Returns the first codec of the policy that a section contains, with the offer's payload type.
fn first_of(policy: &CodecPolicy, media: &MediaDescription) -> Option<(u8, Rtpmap)> {
    let known = policy.codecs.iter().filter_map(|codec| own_format(codec));
    known.into_iter().find_map(|(_, wanted)| {
        let numbers = media.payloads().into_iter();
        numbers
            .filter_map(|number| Some((number, media.rtpmap(number)?)))
            .find(|(_, map)| map.is_same_encoding(&wanted))
    })
}

/// Returns our parameters of a codec; those of Opus limit audio to a bandwidth of 8 kHz.
fn own_fmtp(map: &Rtpmap) -> Option<&'static str> {
    map.is("opus").then_some(OPUS_WIDE)
}

fn finish(section: &mut MediaDescription, direction: MediaDirection) {
    section.attributes.push(Attribute::new("ptime", PTIME_MS.to_string()));
    section.attributes.push(Attribute::flag(direction.as_str()));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(codecs: &[&str]) -> CodecPolicy {
        CodecPolicy { codecs: codecs.iter().map(|c| (*c).to_owned()).collect(), ..CodecPolicy::default() }
    }

    fn identity() -> LocalOrigin {
        LocalOrigin { session_id: 7, version: 1, ip: [192, 0, 2, 9].into() }
    }

    fn offer(text: &str) -> SessionDescription {
        let head = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n";
        SessionDescription::parse(format!("{head}{text}").as_bytes()).unwrap()
    }

    #[test]
    fn our_offer_is_answered_by_our_answer() {
        let offer = offer_own(&policy(&["PCMA", "PCMU"]), 4000, &identity(), MediaDirection::SendRecv);
        assert_eq!(
            offer.to_string(),
            "v=0\r\no=- 7 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8 0 101\r\n\
             a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n\
             a=ptime:20\r\na=sendrecv\r\n"
        );
        let (answer, far, codec) =
            answer_offer(&offer, &policy(&["PCMU", "PCMA"]), 5000, &identity(), MediaDirection::SendRecv).unwrap();
        assert_eq!(answer.media[0].formats, ["0", "101"]);
        assert_eq!(far.rtp, Some("192.0.2.9:4000".parse().unwrap()));
        assert_eq!(far.rtcp, Some("192.0.2.9:4001".parse().unwrap()));
        assert_eq!((codec.number, codec.codec.as_str()), (0, "PCMU"));
    }

    #[test]
    fn rfc3264_6_1_a_hold_is_answered_receive_only() {
        for (offered, wanted, answered) in [
            ("a=sendonly\r\n", MediaDirection::SendRecv, "recvonly"),
            ("a=inactive\r\n", MediaDirection::SendRecv, "inactive"),
            ("a=recvonly\r\n", MediaDirection::SendRecv, "sendonly"),
            ("a=recvonly\r\n", MediaDirection::RecvOnly, "inactive"),
            ("c=IN IP4 0.0.0.0\r\n", MediaDirection::SendRecv, "recvonly"),
        ] {
            let offer = offer(&format!("m=audio 4000 RTP/AVP 0\r\n{offered}"));
            let (answer, far, _) = answer_offer(&offer, &policy(&["PCMU"]), 5000, &identity(), wanted).unwrap();
            assert_eq!(answer.media[0].direction().unwrap().as_str(), answered, "{offered}");
            assert_eq!(far.direction.reversed().as_str(), answered);
        }
    }

    #[test]
    fn other_streams_are_refused_in_their_place() {
        let offer = offer("m=video 4000 RTP/AVP 31\r\nm=audio 4002 RTP/AVP 18 0\r\nm=audio 4004 RTP/AVP 0\r\n");
        let (answer, far, _) =
            answer_offer(&offer, &policy(&["PCMU"]), 5000, &identity(), MediaDirection::SendRecv).unwrap();
        let ports: Vec<u16> = answer.media.iter().map(|m| m.port).collect();
        assert_eq!(ports, [0, 5000, 0]);
        assert_eq!(far.rtp.unwrap().port(), 4002);
    }

    #[test]
    fn an_offer_without_our_codec_is_refused_with_both_lists() {
        let offer = offer("m=audio 4000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000\r\n");
        let refusal =
            answer_offer(&offer, &policy(&["PCMU", "PCMA"]), 5000, &identity(), MediaDirection::SendRecv).unwrap_err();
        assert_eq!(refusal.warn_code, 305);
        assert_eq!(refusal.text, "offered G729, telephone-event; allowed PCMU, PCMA");
    }
}
