//! T.38 fax sections (`m=image … udptl t38`, ITU-T T.38 annex D). The edge relays the datagrams unchanged and replaces
//! only the address; the fax terminals negotiate the parameters.

use super::section::{bandwidths, far, narrowed};
use super::terms::{AgreedStream, Far};
use crate::description::passing::pass;
use crate::description::{Attribute, Description, Media};
use crate::direction::Direction;
use crate::limits;

/// Returns an offered section as sent to the other leg.
pub(crate) fn offered_section(offer: &Description, media: &Media, port: u16) -> Option<Media> {
    section(media, media, port, media.formats.clone(), offer.direction_of(media))
}

/// Returns an answered section as sent to the offerer, with the agreed stream, or `None` if the section is rejected.
pub(crate) fn answered_section(
    (offer, offered): (&Description, &Media),
    sent: &Media,
    (answer, answered): (&Description, &Media),
    port: u16,
) -> Option<(Media, AgreedStream)> {
    if sent.port == 0 || answered.port == 0 || !answered.is_udptl() {
        return None;
    }
    let sent_too = |format: &&String| sent.formats.iter().any(|ours| ours.eq_ignore_ascii_case(format));
    let formats: Vec<String> = answered.formats.iter().filter(sent_too).cloned().collect();
    let direction = narrowed(answer.direction_of(answered), offer.direction_of(offered));
    let codec = formats.first()?.to_ascii_uppercase();
    let section = section(offered, answered, port, formats, direction)?;
    let datagrams = |far: Far| Far { rtcp: None, udptl: true, ..far };
    let stream = AgreedStream {
        index: 0,
        offerer: datagrams(far(offer, offered, direction.reversed())),
        answerer: datagrams(far(answer, answered, direction)),
        payloads: Vec::new(),
        clocks: Vec::new(),
        codec,
        converted: None,
        own_events: None,
    };
    Some((section, stream))
}

fn section(shape: &Media, source: &Media, port: u16, formats: Vec<String>, direction: Direction) -> Option<Media> {
    if formats.is_empty() {
        return None;
    }
    let mut section = Media::new(&shape.kind, port, &shape.proto);
    section.formats = formats;
    section.attributes.extend(source.attributes.iter().filter_map(|attribute| pass(attribute, |_| None)));
    section.attributes.truncate(limits::ATTRIBUTES - 1);
    // Fax terminals write no direction, and some reject one.
    if direction != Direction::SendRecv {
        section.attributes.push(Attribute::flag(direction.as_str()));
    }
    section.other.extend(bandwidths(&source.other));
    Some(section)
}
