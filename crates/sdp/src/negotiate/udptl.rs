//! T.38 fax sections (`m=image … udptl t38`, ITU-T T.38 annex D). The edge relays the datagrams unchanged and replaces
//! only the address; the fax terminals negotiate the parameters.

use super::section::{bandwidths, narrowed, remote_endpoint};
use super::terms::{AgreedStream, MediaEndpoint};
use crate::description::passing::pass;
use crate::description::{Attribute, MediaDescription, SessionDescription};
use crate::direction::MediaDirection;
use crate::limits;

/// Returns an offered section as sent to the other leg, or `None` if it has no formats.
pub(crate) fn offered_section(
    offer: &SessionDescription,
    media: &MediaDescription,
    port: u16,
) -> Option<MediaDescription> {
    section(media, media, port, media.formats.clone(), offer.direction_of(media))
}

/// Returns an answered section as sent to the offerer, with the agreed stream, or `None` if the section is rejected.
pub(crate) fn answered_section(
    (offer, offered): (&SessionDescription, &MediaDescription),
    sent: &MediaDescription,
    (answer, answered): (&SessionDescription, &MediaDescription),
    port: u16,
) -> Option<(MediaDescription, AgreedStream)> {
    if sent.port == 0 || answered.port == 0 || !answered.is_udptl() {
        return None;
    }
    let sent_too = |format: &&String| sent.formats.iter().any(|ours| ours.eq_ignore_ascii_case(format));
    let formats: Vec<String> = answered.formats.iter().filter(sent_too).cloned().collect();
    let direction = narrowed(answer.direction_of(answered), offer.direction_of(offered));
    let codec = formats.first()?.to_ascii_uppercase();
    let section = section(offered, answered, port, formats, direction)?;
    let datagrams = |far: MediaEndpoint| MediaEndpoint { rtcp: None, udptl: true, ..far };
    let stream = AgreedStream {
        index: 0,
        offerer: datagrams(remote_endpoint(offer, offered, direction.reversed())),
        answerer: datagrams(remote_endpoint(answer, answered, direction)),
        payloads: Vec::new(),
        clocks: Vec::new(),
        codec,
        converted: None,
        own_events: None,
    };
    Some((section, stream))
}

fn section(
    shape: &MediaDescription,
    source: &MediaDescription,
    port: u16,
    formats: Vec<String>,
    direction: MediaDirection,
) -> Option<MediaDescription> {
    if formats.is_empty() {
        return None;
    }
    let mut section = MediaDescription::new(&shape.kind, port, &shape.proto);
    section.formats = formats;
    section.attributes.extend(source.attributes.iter().filter_map(|attribute| pass(attribute, |_| None)));
    section.attributes.truncate(limits::ATTRIBUTES - 1);
    // Fax terminals write no direction, and some reject one.
    if direction != MediaDirection::SendRecv {
        section.attributes.push(Attribute::flag(direction.as_str()));
    }
    section.other.extend(bandwidths(&source.other));
    Some(section)
}
