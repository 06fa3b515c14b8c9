//! Parts that every description of ours is built with: which m-lines are anchored, RTCP on the ports of RTP, the far end
//! that a section names, the session level, and the text of refusals.

use std::net::SocketAddr;

use super::terms::{Far, Identity, Policy};
use crate::description::passing::pass;
use crate::description::{Attribute, Connection, Description, Media, Origin, payload_number};
use crate::direction::Direction;
use crate::keying::Profile;
use crate::limits;
use crate::refusal::{Refusal, list, plain};

/// The m-lines of an offer that the edge anchors: sections of RTP, SRTP or UDPTL with a port, at most
/// [`ANCHORED_STREAMS`](crate::limits::ANCHORED_STREAMS). One local port pair is needed for each, on each side.
pub fn anchored_streams(offer: &Description) -> Vec<usize> {
    let anchored = |media: &Media| media.port != 0 && (Profile::of(&media.proto).is_some() || media.is_udptl());
    let streams = offer.media.iter().enumerate().filter(|(_, media)| anchored(media));
    streams.map(|(index, _)| index).take(limits::ANCHORED_STREAMS).collect()
}

/// Whether RTCP may share the ports of RTP: where that is offered, and no payload number looks like RTCP (RFC 5761 §4).
pub(crate) fn may_mux(media: &Media) -> bool {
    media.rtcp_mux() && !media.payloads().iter().any(|number| (64..=95).contains(number))
}

/// Says in a section of ours that they do.
pub(crate) fn multiplex(section: &mut Media, agreed: bool) {
    if agreed {
        section.attributes.push(Attribute::flag("rtcp-mux"));
    }
}

/// A description of ours around `media`.
pub(crate) fn ours(identity: &Identity, attributes: Vec<Attribute>, media: Vec<Media>) -> Description {
    let address = identity.ip.to_string();
    Description {
        origin: Origin {
            username: "-".to_owned(),
            session_id: identity.session_id,
            version: identity.version,
            address: address.clone(),
        },
        name: "-".to_owned(),
        connection: Some(Connection { address }),
        attributes,
        other: vec!["t=0 0".to_owned()],
        media,
    }
}

/// Session-level attributes that the other side may see; a direction is written into each section instead.
pub(crate) fn session_attributes(from: &Description) -> Vec<Attribute> {
    from.attributes.iter().filter_map(|attribute| pass(attribute, |_| None)).collect()
}

pub(crate) fn bandwidths(lines: &[String]) -> impl Iterator<Item = String> {
    lines.iter().filter(|line| line.starts_with("b=")).cloned()
}

/// A far end from its description.
pub fn far(description: &Description, media: &Media, direction: Direction) -> Far {
    let ip = description.connection_of(media).and_then(Connection::ip).filter(|ip| !ip.is_unspecified());
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
    Far { rtp, rtcp, rtcp_mux: false, udptl: false, direction }
}

/// What of `wanted` an offer leaves to its answerer (RFC 3264 §6.1).
pub(crate) fn narrowed(wanted: Direction, offered: Direction) -> Direction {
    Direction::new(wanted.sends() && offered.receives(), wanted.receives() && offered.sends())
}

/// The refusal that names what was offered and what the policy allows.
pub(crate) fn format_refusal(offered: impl Iterator<Item = String>, policy: &Policy) -> Refusal {
    // What is converted need only suit its own side.
    let codecs = if policy.from.is_empty() { &policy.codecs } else { &policy.from };
    let allowed = list(codecs.iter().map(|codec| plain(codec)));
    Refusal { warn_code: 305, text: format!("offered {}; allowed {allowed}", list(offered)) }
}

/// Encoding names of a section for people; the number where it has none.
pub(crate) fn format_names(media: &Media) -> Vec<String> {
    let name = |format: &String| {
        let map = payload_number(format).and_then(|number| media.rtpmap(number));
        map.map_or_else(|| plain(format), |map| plain(&map.encoding))
    };
    media.formats.iter().map(name).collect()
}

/// Encoding names of what a section has for audio, without keys and comfort noise, for people: both lists where no codec
/// suits two sides, and what a target was offered.
pub fn codec_names(media: &Media) -> String {
    let is_content = |name: &String| !["telephone-event", "CN"].iter().any(|other| name.eq_ignore_ascii_case(other));
    list(format_names(media).into_iter().filter(is_content))
}

pub(crate) fn stream_name(media: &Media) -> String {
    format!("{} {}", plain(&media.kind), plain(&media.proto))
}
