//! Parts common to all our descriptions: anchored m-lines, RTCP multiplexing, the remote media endpoint of a section,
//! session-level lines, and the text of rejections.

use std::net::SocketAddr;

use super::terms::{CodecPolicy, LocalOrigin, MediaEndpoint};
use crate::description::passing::pass;
use crate::description::{Attribute, ConnectionData, MediaDescription, Origin, SessionDescription, payload_number};
use crate::direction::MediaDirection;
use crate::keying::RtpProfile;
use crate::limits;
use crate::refusal::{SdpRejection, list, plain};

/// Returns the indexes of the m-lines that the edge anchors: active RTP, SRTP or UDPTL sections, at most
/// [`ANCHORED_STREAMS`](crate::limits::ANCHORED_STREAMS). Each needs a local port pair on each side.
pub fn anchored_streams(offer: &SessionDescription) -> Vec<usize> {
    let anchored = |media: &MediaDescription| {
        media.port != 0 && (RtpProfile::from_transport(&media.proto).is_some() || media.is_udptl())
    };
    let streams = offer.media.iter().enumerate().filter(|(_, media)| anchored(media));
    streams.map(|(index, _)| index).take(limits::ANCHORED_STREAMS).collect()
}

/// Returns whether RTCP may share the RTP port: it is offered, and no payload type can be mistaken for RTCP (RFC 5761
/// §4).
pub(crate) fn may_mux(media: &MediaDescription) -> bool {
    media.rtcp_mux() && !media.payloads().iter().any(|number| (64..=95).contains(number))
}

/// Adds `rtcp-mux` to a section of ours if agreed.
pub(crate) fn multiplex(section: &mut MediaDescription, agreed: bool) {
    if agreed {
        section.attributes.push(Attribute::flag("rtcp-mux"));
    }
}

/// Creates a description of ours with these sections.
pub(crate) fn build_description(
    identity: &LocalOrigin,
    attributes: Vec<Attribute>,
    media: Vec<MediaDescription>,
) -> SessionDescription {
    let address = identity.ip.to_string();
    SessionDescription {
        origin: Origin {
            username: "-".to_owned(),
            session_id: identity.session_id,
            version: identity.version,
            address: address.clone(),
        },
        name: "-".to_owned(),
        connection: Some(ConnectionData { address }),
        attributes,
        other: vec!["t=0 0".to_owned()],
        media,
    }
}

/// Returns the session-level attributes that are forwarded; directions are written into each section instead.
pub(crate) fn session_attributes(from: &SessionDescription) -> Vec<Attribute> {
    from.attributes.iter().filter_map(|attribute| pass(attribute, |_| None)).collect()
}

pub(crate) fn bandwidths(lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().filter(|line| line.starts_with("b=")).cloned()
}

/// Returns the remote media endpoint of a section.
pub fn remote_endpoint(
    description: &SessionDescription,
    media: &MediaDescription,
    direction: MediaDirection,
) -> MediaEndpoint {
    let ip = description.connection_of(media).and_then(ConnectionData::ip).filter(|ip| !ip.is_unspecified());
    let rtp = ip.filter(|_| media.port != 0).map(|ip| SocketAddr::new(ip, media.port));
    let rtcp = rtp.and_then(|rtp| match media.rtcp() {
        Some((0, _)) => None,
        Some((port, None)) => Some(SocketAddr::new(rtp.ip(), port)),
        Some((port, Some(connection))) => {
            let ip = connection.ip().filter(|ip| !ip.is_unspecified());
            ip.map(|ip| SocketAddr::new(ip, port))
        }
        None => rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port)),
    });
    MediaEndpoint { rtp, rtcp, rtcp_mux: false, udptl: false, direction }
}

/// Returns the wanted direction without what an offer does not permit (RFC 3264 §6.1).
pub(crate) fn narrowed(wanted: MediaDirection, offered: MediaDirection) -> MediaDirection {
    MediaDirection::new(wanted.sends() && offered.receives(), wanted.receives() && offered.sends())
}

/// Creates a rejection that lists the offered and the allowed formats.
pub(crate) fn format_refusal(offered: impl Iterator<Item = String>, policy: &CodecPolicy) -> SdpRejection {
    // With transcoding, the codecs need to match only their own side's policy.
    let codecs = if policy.from.is_empty() { &policy.codecs } else { &policy.from };
    let allowed = list(codecs.iter().map(|codec| plain(codec)));
    SdpRejection { warn_code: 305, text: format!("offered {}; allowed {allowed}", list(offered)) }
}

/// Returns the encoding names of a section for a message, or the payload type if it has no name.
pub(crate) fn format_names(media: &MediaDescription) -> Vec<String> {
    let name = |format: &String| {
        let map = payload_number(format).and_then(|number| media.rtpmap(number));
        map.map_or_else(|| plain(format), |map| plain(&map.encoding))
    };
    media.formats.iter().map(name).collect()
}

/// Lists the audio codecs of a section for messages and reports, without telephone-event and comfort noise.
pub fn codec_names(media: &MediaDescription) -> String {
    let is_content = |name: &String| !["telephone-event", "CN"].iter().any(|other| name.eq_ignore_ascii_case(other));
    list(format_names(media).into_iter().filter(is_content))
}

pub(crate) fn stream_name(media: &MediaDescription) -> String {
    format!("{} {}", plain(&media.kind), plain(&media.proto))
}
