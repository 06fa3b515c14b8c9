//! Keys between two sides that press them in different ways: telephone-events (RFC 4733) are then agreed on with each side
//! by itself, and never pass from one to the other.

use serde::{Deserialize, Serialize};

use crate::convert::Audio;
use crate::format::Rtpmap;
use crate::negotiate::{Payload, Policy, free};
use crate::own::{EVENTS, TELEPHONE_EVENT, telephone_event};

/// How a side presses keys, and is told those of the other side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Dtmf {
    /// Telephone-events (RFC 4733).
    #[default]
    Events,
    /// INFO in the dialog.
    Info,
    /// Tones in the audio.
    Tones,
}

/// A side's telephone-events.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Events {
    /// The payload number that it wants them under.
    pub takes: u8,
    /// The numbers that it may send them under.
    pub sends: Vec<u8>,
    /// Their clock, in Hz.
    pub clock: u32,
}

/// The telephone-events of two sides that press keys in different ways.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnEvents {
    /// The offerer's, where it presses keys by them.
    pub offerer: Option<Events>,
    /// The answerer's.
    pub answerer: Option<Events>,
    /// Audio that passes as it is and that the edge could convert: as the offerer numbers it, and as the answerer does.
    #[serde(default)]
    pub audio: Vec<(Audio, Audio)>,
}

impl Policy {
    /// Whether the two sides press keys in different ways.
    pub(crate) fn parts_keys(&self) -> bool {
        self.dtmf_of_other.is_some_and(|other| other != self.dtmf)
    }
}

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
