//! Keys between two sides that press them in different ways: telephone-events (RFC 4733) are then agreed on with each side
//! by itself, and never pass from one to the other.

use super::payload::{EVENTS, Payload, TELEPHONE_EVENT, free, telephone_event};
use super::terms::Events;
use crate::format::Rtpmap;

/// What is offered of keys to a side of its own: on the clock of each codec that it is offered.
pub(crate) fn own_events(passed: &[Payload]) -> Vec<Payload> {
    let mut events: Vec<Payload> = Vec::new();
    for clock in passed.iter().filter(|payload| payload.map.is_content()).map(|payload| payload.map.clock) {
        let known = events.iter().any(|each| each.map.clock == clock);
        if let Some(number) = free(TELEPHONE_EVENT, passed, &events).filter(|_| !known) {
            events.push(Payload { number, map: telephone_event(clock), fmtp: Some(EVENTS.to_owned()) });
        }
    }
    events
}

/// Takes telephone-events out of what was offered.
pub(crate) fn without_events(mut offered: Vec<Payload>) -> Vec<Payload> {
    offered.retain(|payload| !is_events(&payload.map));
    offered
}

/// The offerer's telephone-events for audio on this clock, as our answer has them.
pub(crate) fn of_offerer(offered: &[Payload], clock: u32) -> Option<Payload> {
    on_clock(offered.iter().filter(|payload| is_events(&payload.map)), clock, |payload| payload.map.clock).cloned()
}

/// The answerer's, as our offer and its answer number them.
pub(crate) fn of_answerer(pairs: &[(Payload, Payload)], clock: u32) -> Option<Events> {
    let events = pairs.iter().filter(|(ours, _)| is_events(&ours.map));
    let (ours, theirs) = on_clock(events, clock, |(ours, _)| ours.map.clock)?;
    let mut sends = vec![theirs.number];
    // RFC 3264 §6.1: an answerer should send under the offer's numbers.
    if !pairs.iter().any(|(_, other)| other.number == ours.number) {
        sends.push(ours.number);
    }
    Some(Events { takes: theirs.number, sends, clock: ours.map.clock })
}

fn is_events(map: &Rtpmap) -> bool {
    map.is("telephone-event")
}

/// The one on this clock, or else the first.
fn on_clock<T>(mut each: impl Iterator<Item = T> + Clone, clock: u32, clock_of: impl Fn(&T) -> u32) -> Option<T> {
    each.clone().find(|one| clock_of(one) == clock).or_else(|| each.next())
}
