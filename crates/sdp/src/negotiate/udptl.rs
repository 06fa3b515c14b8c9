//! Fax by T.38 (`m=image … udptl t38`, ITU-T T.38 annex D): a section whose datagrams the edge passes as they are. Only
//! the address in it is ours; the parameters are settled by the two fax machines.

use super::section::{bandwidths, far, narrowed};
use super::terms::{AgreedStream, Far};
use crate::description::passing::pass;
use crate::description::{Attribute, Description, Media};
use crate::direction::Direction;
use crate::limits;

/// An offered section as the other side sees it.
pub(crate) fn offered_section(offer: &Description, media: &Media, port: u16) -> Option<Media> {
    section(media, media, port, media.formats.clone(), offer.direction_of(media))
}

/// An answered section as the offerer sees it, with the stream that was agreed; `None` where it is refused.
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
    // Fax machines write no direction, and some take none.
    if direction != Direction::SendRecv {
        section.attributes.push(Attribute::flag(direction.as_str()));
    }
    section.other.extend(bandwidths(&source.other));
    Some(section)
}
