//! Parties of a recorded call for its recording servers: the leg of each, the stream with its voice, and the times at
//! which it joined and left.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use trunkgate_resources::limits::{NUMBER_CHARS, SIPREC_LEFT_PARTIES};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::random::Random;
use trunkgate_sip::Uri;
use trunkgate_story::numbers::plain;

use super::metadata::{self, ParticipantName, RecordedParticipant};
use crate::call::shared::CallCx;
use crate::call::words::state::CallState;

/// A party with the SID of its leg; `None` for the edge itself, when an application or a mailbox has the call.
pub(super) type LegParticipant = (Option<String>, ParticipantName);

/// The parties of a recording session.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct RecordedParties {
    list: Vec<ReportedParticipant>,
}

/// Participant that was reported to the recording server.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct ReportedParticipant {
    /// SID of the party's leg; `None` for the edge itself.
    leg: Option<String>,
    person: RecordedParticipant,
}

impl RecordedParties {
    /// Returns the parties of a call at the start of its recording; they count as present since the answer of the call.
    pub(super) fn begin(cx: &mut CallCx<'_>, answered: SystemTime, has_program: bool) -> RecordedParties {
        let mut parties = RecordedParties::default();
        let current = current(cx, has_program).unwrap_or_default();
        parties.update(answered, current, cx.edge.random_mut());
        parties
    }

    /// Returns the participants for the metadata, including those who have left.
    pub(super) fn people(&self) -> impl Iterator<Item = &RecordedParticipant> {
        self.list.iter().map(|known| &known.person)
    }

    /// Updates the present parties, the near side first; returns whether anything has changed.
    pub(super) fn update(
        &mut self,
        now: SystemTime,
        current: [Option<LegParticipant>; 2],
        random: &mut Random,
    ) -> bool {
        let mut is_new = false;
        let is_there = |leg: &Option<String>| current.iter().flatten().any(|(other, _)| other == leg);
        for known in self.list.iter_mut().filter(|known| known.person.left.is_none() && !is_there(&known.leg)) {
            known.person.left = Some(now);
            is_new = true;
        }
        for (stream, (leg, who)) in current.into_iter().enumerate().filter_map(|(at, party)| Some((at, party?))) {
            match self.list.iter_mut().find(|known| known.person.left.is_none() && known.leg == leg) {
                Some(known) if known.person.stream == stream => {}
                Some(known) => {
                    (known.person.stream, known.person.since) = (stream, now);
                    is_new = true;
                }
                None => {
                    let id = metadata::id(random);
                    self.list.push(ReportedParticipant {
                        leg,
                        person: RecordedParticipant { id, who, stream, joined: now, since: now, left: None },
                    });
                    is_new = true;
                }
            }
        }
        self.forget();
        is_new
    }

    /// Drops the parties that left first, beyond [`SIPREC_LEFT_PARTIES`] of them.
    fn forget(&mut self) {
        let mut over = self.people().filter(|person| person.left.is_some()).count().saturating_sub(SIPREC_LEFT_PARTIES);
        self.list.retain(|known| {
            let goes = known.person.left.is_some() && over > 0;
            over -= usize::from(goes);
            !goes
        });
    }
}

/// Returns the two parties that are connected with each other; `None` while a party is still being connected.
pub(super) fn current(cx: &CallCx<'_>, has_program: bool) -> Option<[Option<LegParticipant>; 2]> {
    let legs = &cx.call.legs;
    let of_leg = |leg: LegId| (Some(legs[leg].sid.clone()), participant(cx, leg));
    let near = Some(of_leg(legs.near));
    match (cx.call.state, legs.callee) {
        (CallState::Answered | CallState::Rerouting, Some(callee)) => Some([near, Some(of_leg(callee))]),
        (CallState::Answered | CallState::Rerouting, None) => Some([near, has_program.then(|| (None, edge(cx)))]),
        _ => None,
    }
}

/// Returns the party on a leg: its number at the address of the edge, or the name of its agent.
fn participant(cx: &CallCx<'_>, leg: LegId) -> ParticipantName {
    if leg == LegId::CALLER {
        return caller(cx);
    }
    let side = &cx.call.legs[leg];
    if let Some(agent) = &side.agent {
        return ParticipantName { name: agent.agent.name.to_string(), ..edge(cx) };
    }
    let dialled = side.sip.dialled.as_ref().map(|dialled| user_of(dialled.to()));
    let number = side.number.as_ref().map(|number| number.text.as_str()).or(dialled);
    match number.filter(|number| !number.is_empty()) {
        Some(number) => ParticipantName { aor: plain(number, NUMBER_CHARS), name: String::new() },
        // A party that has called the edge itself and has replaced another one.
        None => ParticipantName { aor: String::new(), name: cx.call.legs.name_of(leg) },
    }
}

/// Returns the user part of a URI, or a number unchanged.
fn user_of(called: &str) -> &str {
    let is_uri = called.get(..3).is_some_and(|scheme| scheme.eq_ignore_ascii_case("sip"));
    match Uri::parse(called.as_bytes()).filter(|_| is_uri) {
        Some(uri) => uri.user,
        None => called,
    }
}

fn caller(cx: &CallCx<'_>) -> ParticipantName {
    let caller = &cx.call.facts.caller;
    if caller.anonymous {
        return ParticipantName { aor: String::new(), name: "Anonymous".to_owned() };
    }
    ParticipantName { aor: plain(&caller.number.text, NUMBER_CHARS), name: caller.display.clone() }
}

/// Returns the edge as a party, with the number that the caller has dialled.
fn edge(cx: &CallCx<'_>) -> ParticipantName {
    match cx.call.is_requested() {
        true => caller(cx),
        false => ParticipantName { aor: plain(&cx.call.facts.called.text, NUMBER_CHARS), name: String::new() },
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    /// Streams of the near party and of the remote party that it hears.
    const NEAR: usize = 0;
    const FAR: usize = 1;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn party(leg: &str) -> Option<LegParticipant> {
        Some((Some(leg.to_owned()), ParticipantName { aor: leg.to_owned(), name: String::new() }))
    }

    /// Returns each party's address and stream, and the times at which it joined, began to speak in that stream, and
    /// left.
    fn shown(parties: &RecordedParties) -> Vec<(String, usize, [u64; 3])> {
        let seconds = |at: SystemTime| at.duration_since(UNIX_EPOCH).unwrap().as_secs();
        let one = |person: &RecordedParticipant| {
            let times = [seconds(person.joined), seconds(person.since), person.left.map_or(0, seconds)];
            (person.who.aor.clone(), person.stream, times)
        };
        parties.people().map(one).collect()
    }

    #[test]
    fn parties_come_change_sides_and_leave() {
        let (mut parties, mut random) = (RecordedParties::default(), Random::new([1; 32]));
        assert!(parties.update(at(1), [party("a"), party("b")], &mut random));
        assert!(!parties.update(at(2), [party("a"), party("b")], &mut random));
        // The caller connects the called party with a third one, whose voice replaces the called party's in its stream
        // from then on.
        assert!(parties.update(at(3), [party("b"), party("c")], &mut random));
        let expected = [("a", NEAR, [1, 1, 3]), ("b", NEAR, [1, 3, 0]), ("c", FAR, [3, 3, 0])];
        assert_eq!(shown(&parties), expected.map(|(who, stream, times)| (who.to_owned(), stream, times)));
        assert!(parties.update(at(4), [party("b"), None], &mut random));
        assert!(!parties.update(at(5), [party("b"), None], &mut random));
        assert_eq!(shown(&parties)[2], ("c".to_owned(), FAR, [3, 3, 4]));
        // A party that returns is a new participant.
        assert!(parties.update(at(6), [party("b"), party("c")], &mut random));
        let ids: std::collections::HashSet<&str> = parties.people().map(|person| person.id.as_str()).collect();
        assert_eq!((ids.len(), shown(&parties).len()), (4, 4));
    }

    #[test]
    fn few_of_those_who_left_are_kept() {
        let (mut parties, mut random) = (RecordedParties::default(), Random::new([1; 32]));
        for second in 1..=20 {
            parties.update(at(second), [party("a"), party(&format!("b{second}"))], &mut random);
        }
        let left: Vec<String> = shown(&parties).into_iter().map(|(who, ..)| who).collect();
        assert_eq!(left.len(), SIPREC_LEFT_PARTIES + 2);
        assert_eq!((left[0].as_str(), left.last().unwrap().as_str()), ("a", "b20"));
    }

    #[test]
    fn a_uri_is_shown_by_its_user_alone() {
        for (called, user) in [("+14155550100", "+14155550100"), ("sip:bob@192.0.2.1", "bob"), ("sip:192.0.2.1", "")] {
            assert_eq!(user_of(called), user);
        }
    }
}
