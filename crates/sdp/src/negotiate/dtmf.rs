//! DTMF between two sides with different methods: telephone-events (RFC 4733) are negotiated with each side separately
//! and never relayed.

use super::payload::{EVENTS, PayloadFormat, TELEPHONE_EVENT, free_payload_type, telephone_event};
use super::terms::EventPayloads;
use crate::description::{Attribute, SessionDescription};
use crate::format::Rtpmap;

/// Dynamic payload types (RFC 3551 §6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;

/// Returns the telephone-event payloads offered to a side that negotiates them separately: one per clock rate of its
/// offered codecs.
pub(crate) fn own_events(passed: &[PayloadFormat]) -> Vec<PayloadFormat> {
    let mut events: Vec<PayloadFormat> = Vec::new();
    for clock in passed.iter().filter(|payload| payload.map.is_content()).map(|payload| payload.map.clock) {
        let known = events.iter().any(|each| each.map.clock == clock);
        if let Some(number) = free_payload_type(TELEPHONE_EVENT, passed, &events).filter(|_| !known) {
            events.push(PayloadFormat { number, map: telephone_event(clock), fmtp: Some(EVENTS.to_owned()) });
        }
    }
    events
}

/// Adds telephone-event to active audio sections of an offer that lack it, for an edge that handles the digits itself.
/// Returns whether any was added.
pub fn offer_events(offer: &mut SessionDescription) -> bool {
    let mut added = false;
    for media in offer.media.iter_mut().filter(|media| media.port != 0 && media.kind.eq_ignore_ascii_case("audio")) {
        let known = media.payloads();
        let maps: Vec<Rtpmap> = known.iter().filter_map(|number| media.rtpmap(*number)).collect();
        let number = std::iter::once(TELEPHONE_EVENT).chain(DYNAMIC).find(|number| !known.contains(number));
        let Some((number, first)) = number.zip(maps.first()).filter(|_| !maps.iter().any(is_events)) else { continue };
        let map = format!("{number} telephone-event/{}", first.clock);
        media.formats.push(number.to_string());
        media.attributes.push(Attribute::new("rtpmap", map));
        media.attributes.push(Attribute::new("fmtp", format!("{number} {EVENTS}")));
        added = true;
    }
    added
}

/// Removes telephone-events from the offered payloads.
pub(crate) fn without_events(mut offered: Vec<PayloadFormat>) -> Vec<PayloadFormat> {
    offered.retain(|payload| !is_events(&payload.map));
    offered
}

/// Returns the offerer's telephone-event payload for audio at this clock rate, as written in our answer.
pub(crate) fn of_offerer(offered: &[PayloadFormat], clock: u32) -> Option<PayloadFormat> {
    on_clock(offered.iter().filter(|payload| is_events(&payload.map)), clock, |payload| payload.map.clock).cloned()
}

/// Returns the answerer's telephone-events for audio at this clock rate, from the pairs of payloads in our offer and
/// its answer.
pub(crate) fn of_answerer(pairs: &[(PayloadFormat, PayloadFormat)], clock: u32) -> Option<EventPayloads> {
    let events = pairs.iter().filter(|(ours, _)| is_events(&ours.map));
    let (ours, theirs) = on_clock(events, clock, |(ours, _)| ours.map.clock)?;
    let mut sends = vec![theirs.number];
    // RFC 3264 §6.1: an answerer should send with the payload types of the offer.
    if !pairs.iter().any(|(_, other)| other.number == ours.number) {
        sends.push(ours.number);
    }
    Some(EventPayloads { takes: theirs.number, sends, clock: ours.map.clock })
}

fn is_events(map: &Rtpmap) -> bool {
    map.is("telephone-event")
}

/// Returns the item with this clock rate, or else the first.
fn on_clock<T>(mut each: impl Iterator<Item = T> + Clone, clock: u32, clock_of: impl Fn(&T) -> u32) -> Option<T> {
    each.clone().find(|one| clock_of(one) == clock).or_else(|| each.next())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(media: &str) -> SessionDescription {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\n{media}");
        SessionDescription::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn events_are_added_where_there_are_none() {
        let mut plain = offer("m=audio 4000 RTP/AVP 0\r\n");
        assert!(offer_events(&mut plain));
        let media = &plain.media[0];
        assert_eq!((media.formats.join(" "), media.fmtp(101)), ("0 101".to_owned(), Some("0-15")));
        assert!(media.rtpmap(101).is_some_and(|map| is_events(&map) && map.clock == 8_000));
        assert!(!offer_events(&mut plain), "once");
        let mut opus = offer("m=audio 4000 RTP/AVP 101\r\na=rtpmap:101 opus/48000/2\r\n");
        assert!(offer_events(&mut opus));
        assert_eq!(opus.media[0].rtpmap(96).map(|map| map.clock), Some(48_000));
        assert!(!offer_events(&mut offer("m=image 4000 udptl t38\r\nm=audio 0 RTP/AVP 0\r\n")));
    }
}
