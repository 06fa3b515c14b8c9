//! Offer/answer between two legs (RFC 3264). Descriptions are never forwarded as a whole: ours are built from the
//! permitted parts.
//!
//! Our offer keeps the offerer's payload types. The answerer may use others, so payloads are matched by encoding,
//! clock rate, channels and the parameters that change the bytes on the wire.

use std::net::IpAddr;

use super::convert::{CodecOutcome, added_payloads, outcome, set_ptime, shared_audio};
use super::dtmf::{of_answerer, of_offerer, own_events, without_events};
use super::payload::{PayloadFormat, describe, is_edge_codec, is_g711, match_payloads, payloads};
use super::section::{
    anchored_streams, bandwidths, build_description, format_names, format_refusal, may_mux, multiplex, narrowed,
    remote_endpoint, session_attributes, stream_name,
};
use super::terms::{AgreedStream, CodecPolicy, DtmfMethod, EventPayloads, LocalOrigin, NegotiatedAnswer, OwnEvents};
use super::udptl;
use crate::description::passing::pass;
use crate::description::{Attribute, ConnectionData, MediaDescription, SessionDescription, payload_number};
use crate::direction::MediaDirection;
use crate::format::differing;
use crate::keying::{RtpProfile, plain_proto};
use crate::limits;
use crate::refusal::{SdpRejection, list, plain};
use trunkgate_terms::Suite;

/// Placeholder port for offers that are not sent.
const ANY_PORT: u16 = 9;

/// Creates our offer to one leg from the offer of the other leg.
///
/// The m-line order is kept. Anchored sections get our address and `ports[i]`, in the order of [`anchored_streams`];
/// other sections get port 0. Formats are the edge codecs that `policy` allows, in its order (those in the offer
/// before those added by transcoding), then all other offered formats. Permitted attributes are kept (ptime, maxptime,
/// fmtp, rtcp-fb, label …, but not ICE, crypto, candidates and addresses), as is the direction. The result is plain
/// RTP until [`protect_offer`](crate::keying::protect_offer) adds SRTP.
///
/// # Errors
/// Fails with [`SdpRejection`] if no section has a usable format.
pub fn relay_offer(
    offer: &SessionDescription,
    policy: &CodecPolicy,
    ports: &[u16],
    identity: &LocalOrigin,
) -> Result<SessionDescription, SdpRejection> {
    let streams = anchored_streams(offer);
    let sections: Vec<MediaDescription> = offer
        .media
        .iter()
        .enumerate()
        .map(|(index, media)| {
            let port = port_of(&streams, ports, index);
            port.and_then(|port| offered_section(offer, media, policy, port)).unwrap_or_else(|| media.rejected())
        })
        .collect();
    if sections.iter().all(|section| section.port == 0) {
        return Err(nothing_offered(offer, policy));
    }
    Ok(build_description(identity, session_attributes(offer), sections))
}

/// Checks whether [`relay_offer`] would succeed for an offer, without building the result.
///
/// # Errors
/// Fails with the [`SdpRejection`] that [`relay_offer`] would return.
pub fn may_relay(offer: &SessionDescription, policy: &CodecPolicy) -> Result<(), SdpRejection> {
    let streams = anchored_streams(offer);
    let is_usual = |payload: &PayloadFormat| {
        let (map, names) = (&payload.map, &policy.codecs);
        is_edge_codec(map) && policy.lets_from(map) && names.iter().any(|codec| map.is(codec))
    };
    let suits = |media: &MediaDescription| !media.is_udptl() && payloads(media).iter().any(is_usual);
    if streams.iter().filter_map(|index| offer.media.get(*index)).any(suits) {
        return Ok(());
    }
    let nowhere = LocalOrigin { session_id: 0, version: 0, ip: std::net::Ipv4Addr::LOCALHOST.into() };
    relay_offer(offer, policy, &vec![ANY_PORT; streams.len()], &nowhere).map(drop)
}

/// Creates our answer to the offerer from the answer to our offer (`sent`, created by [`relay_offer`] from `offer`),
/// and returns it with the agreed streams. `policy` and `ports` are those towards the offerer.
///
/// # Errors
/// Fails with [`SdpRejection`] if nothing usable is left, or if the answer does not match the offer (RFC 3264 §6).
pub fn accept(
    offer: &SessionDescription,
    sent: &SessionDescription,
    answer: &SessionDescription,
    policy: &CodecPolicy,
    ports: &[u16],
    identity: &LocalOrigin,
) -> Result<NegotiatedAnswer, SdpRejection> {
    fits(sent, answer)?;
    let streams = anchored_streams(offer);
    let mut sections = Vec::with_capacity(offer.media.len());
    let mut agreed = Vec::new();
    let is_foreign = |answered: &MediaDescription| is_foreign(sent.connection.as_ref(), answer.connection_of(answered));
    for (index, offered) in offer.media.iter().enumerate() {
        let section = sent.media.get(index).zip(answer.media.get(index)).zip(port_of(&streams, ports, index)).and_then(
            |((sent, answered), port)| {
                if is_foreign(answered) {
                    return None;
                }
                let (section, stream) = answered_section((offer, offered), sent, (answer, answered), policy, port)?;
                agreed.push(AgreedStream { index, ..stream });
                Some(section)
            },
        );
        sections.push(section.unwrap_or_else(|| offered.rejected()));
    }
    if agreed.is_empty() {
        return Err(nothing_answered(sent, answer));
    }
    Ok(NegotiatedAnswer { answer: build_description(identity, session_attributes(answer), sections), streams: agreed })
}

/// Repairs an answer with a wrong number of m-lines (RFC 3264 §6): a missing one counts as rejected, one that was not
/// offered is removed. Returns `None` if the number is right.
pub fn fitted(sent: &SessionDescription, answer: &SessionDescription) -> Option<SessionDescription> {
    if sent.media.len() == answer.media.len() {
        return None;
    }
    let mut left = &answer.media[..];
    let media = sent.media.iter().map(|offered| {
        let found = left.iter().position(|answered| answered.kind.eq_ignore_ascii_case(&offered.kind));
        let (answered, behind) = left.get(found?..)?.split_first()?;
        left = behind;
        Some(answered.clone())
    });
    let media = media.zip(&sent.media).map(|(answered, offered)| answered.unwrap_or_else(|| offered.rejected()));
    Some(SessionDescription { media: media.collect(), ..answer.clone() })
}

/// Returns our port for the m-line at `index`; `None` if the m-line is not anchored.
fn port_of(streams: &[usize], ports: &[u16], index: usize) -> Option<u16> {
    let at = streams.iter().position(|stream| *stream == index)?;
    ports.get(at).copied().filter(|port| *port != 0)
}

/// Returns an anchored section of an offer as sent to the other leg, or `None` if no usable format is left.
fn offered_section(
    offer: &SessionDescription,
    media: &MediaDescription,
    policy: &CodecPolicy,
    port: u16,
) -> Option<MediaDescription> {
    if media.is_udptl() {
        return udptl::offered_section(offer, media, port);
    }
    let mut offered = payloads(media);
    if policy.parts_keys() {
        offered = without_events(offered);
    }
    let ruled = |payload: &&PayloadFormat| is_edge_codec(&payload.map) && policy.lets_from(&payload.map);
    let allowed = policy.codecs.iter().flat_map(|codec| offered.iter().filter(ruled).filter(|p| p.map.is(codec)));
    let further = offered.iter().filter(|payload| !is_g711(&payload.map));
    let (made, made_keys): (Vec<PayloadFormat>, Vec<PayloadFormat>) =
        added_payloads(&offered, policy).into_iter().partition(|payload| payload.map.is_content());
    let is_made = !made.is_empty() && allowed.clone().next().is_none();
    let mut passed: Vec<PayloadFormat> = Vec::with_capacity(offered.len());
    for payload in allowed.chain(&made).chain(further).chain(&made_keys) {
        // A policy may list a codec twice.
        if !passed.iter().any(|p| p.number == payload.number) {
            passed.push(payload.clone());
        }
    }
    if policy.parts_keys() && policy.dtmf == DtmfMethod::Events {
        passed.extend(own_events(&passed));
    }
    let unchanged = |number: u8| passed.iter().any(|p| p.number == number).then_some(number);
    let mut section = section(media, media, port, &passed, unchanged, offer.direction_of(media))?;
    plain_proto(&media.proto).clone_into(&mut section.proto);
    multiplex(&mut section, may_mux(media));
    if is_made {
        set_ptime(&mut section, policy);
    }
    Some(section)
}

/// Returns an answered section as sent to the offerer, with the agreed stream, or `None` if the section is rejected.
fn answered_section(
    (offer, offered): (&SessionDescription, &MediaDescription),
    sent: &MediaDescription,
    (answer, answered): (&SessionDescription, &MediaDescription),
    policy: &CodecPolicy,
    port: u16,
) -> Option<(MediaDescription, AgreedStream)> {
    if sent.port == 0 || answered.port == 0 {
        return None;
    }
    if sent.is_udptl() {
        return udptl::answered_section((offer, offered), sent, (answer, answered), port);
    }
    let of_offer = payloads(offered);
    let answers = match_payloads(&payloads(sent), &payloads(answered));
    let usable = if policy.parts_keys() { without_events(of_offer.clone()) } else { of_offer.clone() };
    let CodecOutcome { mut accepted, shared: pairs, converted } =
        outcome(answers.clone(), (offered, &usable), answered, policy)?;
    let own_events = policy.parts_keys().then(|| {
        let audio = shared_audio(&of_offer, &pairs);
        OwnEvents { audio, ..agree_events(&mut accepted, &of_offer, &answers, policy) }
    });
    let number = |theirs: u8| pairs.iter().find(|(_, p)| p.number == theirs).map(|(ours, _)| ours.number);
    let direction = narrowed(answer.direction_of(answered), offer.direction_of(offered));
    let mut section = section(offered, answered, port, &accepted, number, direction)?;
    multiplex(&mut section, may_mux(offered));
    if pairs.is_empty() {
        set_ptime(&mut section, policy);
    }
    let codec = accepted.iter().find(|p| p.map.is_content())?.map.encoding.clone();
    let stream = AgreedStream {
        index: 0,
        offerer: remote_endpoint(offer, offered, direction.reversed()).muxed(may_mux(offered)),
        answerer: remote_endpoint(answer, answered, direction).muxed(sent.rtcp_mux() && answered.rtcp_mux()),
        payloads: pairs.iter().map(|(ours, theirs)| (ours.number, theirs.number)).collect(),
        clocks: pairs.iter().map(|(ours, _)| ours.map.clock).collect(),
        codec,
        converted: converted.map(Box::new),
        own_events: own_events.map(Box::new),
    };
    Some((section, stream))
}

/// Negotiates telephone-events with each side separately, and adds the offerer's to `accepted`.
fn agree_events(
    accepted: &mut Vec<PayloadFormat>,
    offered: &[PayloadFormat],
    answers: &[(PayloadFormat, PayloadFormat)],
    policy: &CodecPolicy,
) -> OwnEvents {
    let clock = |payload: Option<&PayloadFormat>| payload.map_or(8000, |payload| payload.map.clock);
    let of_answer = answers.iter().map(|(ours, _)| ours).find(|ours| ours.map.is_content());
    let answerer = of_answerer(answers, clock(of_answer));
    let of_offer = accepted.iter().find(|payload| payload.map.is_content());
    let own = of_offerer(offered, clock(of_offer)).filter(|_| policy.dtmf == DtmfMethod::Events);
    let offerer =
        own.as_ref().map(|own| EventPayloads { takes: own.number, sends: vec![own.number], clock: own.map.clock });
    accepted.extend(own);
    OwnEvents { offerer, answerer, audio: Vec::new() }
}

/// Builds a section for the other leg with the media type of `shape` and the permitted attributes of `source`. Returns
/// `None` if no format with media content is left.
fn section(
    shape: &MediaDescription,
    source: &MediaDescription,
    port: u16,
    payloads: &[PayloadFormat],
    number: impl Fn(u8) -> Option<u8>,
    direction: MediaDirection,
) -> Option<MediaDescription> {
    if !payloads.iter().any(|payload| payload.map.is_content()) {
        return None;
    }
    let mut section = MediaDescription::new(&shape.kind, port, &shape.proto);
    for payload in payloads {
        describe(&mut section, payload.number, &payload.map, payload.fmtp.as_deref());
    }
    section.attributes.extend(source.attributes.iter().filter_map(|attribute| pass(attribute, &number)));
    // Space is left for direction, rtcp-mux and crypto lines.
    section.attributes.truncate(limits::ATTRIBUTES - 2 - Suite::ALL.len() - 1);
    section.attributes.push(Attribute::flag(direction.as_str()));
    section.other.extend(bandwidths(&source.other));
    Some(section)
}

/// Checks that the answer has as many m-lines as the offer, of the same types in the same order (RFC 3264 §6).
fn fits(sent: &SessionDescription, answer: &SessionDescription) -> Result<(), SdpRejection> {
    let (offered, answered) = (sent.media.len(), answer.media.len());
    if offered != answered {
        let text = format!("offered {offered} streams; the answer has {answered}");
        return Err(SdpRejection { warn_code: 399, text });
    }
    for (offered, answered) in sent.media.iter().zip(&answer.media) {
        let running = offered.port != 0 && answered.port != 0;
        // Variants with or without feedback and SRTP are accepted as equal; SRTP is checked separately.
        let secure = |media: &MediaDescription| RtpProfile::from_transport(&media.proto).map(|profile| profile.secure);
        let same_transport = offered.proto.eq_ignore_ascii_case(&answered.proto)
            || secure(answered).is_some_and(|answered| !answered || secure(offered) == Some(true));
        if !offered.kind.eq_ignore_ascii_case(&answered.kind) || (running && !same_transport) {
            let text = format!("offered {}; the answer has {}", stream_name(offered), stream_name(answered));
            return Err(SdpRejection { warn_code: 304, text });
        }
    }
    Ok(())
}

fn nothing_offered(offer: &SessionDescription, policy: &CodecPolicy) -> SdpRejection {
    let streams = anchored_streams(offer);
    if !streams.is_empty() {
        let offered = streams.iter().filter_map(|index| offer.media.get(*index)).flat_map(format_names);
        return format_refusal(offered, policy);
    }
    let live = || offer.media.iter().filter(|media| media.port != 0);
    let names = if live().next().is_none() { "no stream".to_owned() } else { list(live().map(stream_name)) };
    SdpRejection { warn_code: 304, text: format!("offered {names}; allowed audio RTP/AVP") }
}

/// Returns whether an answer has an address of another family than our offer, to which our socket cannot send. An
/// answerer must use the family of the offer (RFC 6157 §4).
fn is_foreign(sent: Option<&ConnectionData>, answered: Option<&ConnectionData>) -> bool {
    let ip = |connection: Option<&ConnectionData>| connection.and_then(ConnectionData::ip);
    let pair = ip(sent).zip(ip(answered).filter(|ip| !ip.is_unspecified()));
    pair.is_some_and(|(sent, answered)| sent.is_ipv4() != answered.is_ipv4())
}

/// Rejects (port 0) the sections of an offer with a media address of another family than ours, to which our socket
/// cannot send (RFC 6157 §4).
///
/// # Errors
/// Fails with [`SdpRejection`] if no stream is left.
pub fn keep_family(offer: &mut SessionDescription, ours: IpAddr) -> Result<(), SdpRejection> {
    let is_foreign = |media: &MediaDescription| {
        let ip = offer.connection_of(media).and_then(ConnectionData::ip).filter(|ip| !ip.is_unspecified());
        media.port != 0 && ip.is_some_and(|ip| ip.to_canonical().is_ipv4() != ours.is_ipv4())
    };
    let foreign: Vec<bool> = offer.media.iter().map(is_foreign).collect();
    if !foreign.contains(&true) {
        return Ok(());
    }
    let refused = offer.media.iter_mut().zip(foreign).filter(|(_, is_foreign)| *is_foreign);
    refused.for_each(|(media, _)| media.port = 0);
    if offer.media.iter().any(|media| media.port != 0) {
        return Ok(());
    }
    let text = if ours.is_ipv4() { "offered IP6; allowed IP4" } else { "offered IP4; allowed IP6" };
    Err(SdpRejection { warn_code: 301, text: text.to_owned() })
}

fn nothing_answered(sent: &SessionDescription, answer: &SessionDescription) -> SdpRejection {
    fn live(description: &SessionDescription) -> Vec<MediaDescription> {
        description.media.iter().filter(|media| media.port != 0).cloned().collect()
    }
    let (ours, theirs) = (live(sent), live(answer));
    let connection = sent.connection.as_ref();
    if theirs.iter().any(|media| is_foreign(connection, answer.connection_of(media))) {
        let is_four = connection.and_then(ConnectionData::ip).is_some_and(|ip| ip.is_ipv4());
        let text = if is_four { "offered IP4; answered IP6" } else { "offered IP6; answered IP4" };
        return SdpRejection { warn_code: 301, text: text.to_owned() };
    }
    let names = |of: &[MediaDescription], than: &[MediaDescription]| {
        list(of.iter().flat_map(|media| compared_names(media, than)))
    };
    SdpRejection {
        warn_code: 305,
        text: format!("offered {}; answered {}", names(&ours, &theirs), names(&theirs, &ours)),
    }
}

/// Returns the names of a section's codecs for the text of an [`SdpRejection`]. If the other side has the same codec,
/// the name includes what differs: the clock rate, or the `fmtp` parameters.
fn compared_names(media: &MediaDescription, others: &[MediaDescription]) -> Vec<String> {
    let others: Vec<PayloadFormat> = others.iter().flat_map(payloads).collect();
    let mut names = format_names(media);
    for (name, format) in names.iter_mut().zip(&media.formats) {
        let number = payload_number(format);
        let Some((number, map)) = number.and_then(|number| Some((number, media.rtpmap(number)?))) else { continue };
        let alike = || others.iter().filter(|other| other.map.is(&map.encoding));
        if let Some(other) = alike().find(|other| other.map.is_same_encoding(&map)) {
            let own = media.fmtp(number);
            for parameter in differing(&map.encoding, own, other.fmtp.as_deref()) {
                name.push(' ');
                name.push_str(&parameter.shown(own));
            }
        } else if alike().next().is_some() {
            *name = plain(&map.to_string());
        }
    }
    names
}
