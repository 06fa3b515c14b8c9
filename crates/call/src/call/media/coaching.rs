//! Coaching by an agent that has transferred its caller to a party. Caller and party hear each other, the agent hears
//! both, and only the party hears the agent.
//!
//! The party's audio is relayed to the caller unchanged. In the other direction each of the three is connected to a
//! mixer, and the party hears the mix instead of the caller's stream. The wire from the caller to the party stays
//! stored, so that it is in force again after the agent has left, also after a restart.

use trunkgate_conference::{ConferenceId, NodeCommand, NodeEvent, ParticipantId, ParticipantRole, SamplingRate};
use trunkgate_media::{EndId, MediaCommand};
use trunkgate_resources::io::GatewayOutput;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::spoken::{AudioAgreement, mixer_wire, wire_to_caller};
use crate::call::media::CallMedia;
use crate::call::media::local::digits_of;
use crate::call::media::mixer::{MixerEnd, rate_of};
use crate::call::shared::CallCx;

/// First mixer id of coached calls; conferences count from 0, queues from 1 << 63.
const FIRST: u64 = 1 << 62;
/// Mixer ids per call: four for each possible transfer.
const PER_CALL: u64 = 256;

/// Coached connection of a caller and a party.
#[derive(Debug)]
pub(crate) struct Coaching {
    /// Leg of the agent.
    agent: LegId,
    /// Leg of the party.
    party: LegId,
    /// Media ends of the caller and of the party.
    ends: [EndId; 2],
    /// Codecs and payload types of the caller and of the party.
    spoken: [AudioAgreement; 2],
    /// Mixer inputs of the caller, the party and the agent.
    seats: [MixerEnd; 3],
    seat_ids: [ParticipantId; 3],
}

impl Coaching {
    /// Keeps an agent as the coach of a party that is wired to the caller.
    ///
    /// # Errors
    /// The caller and the party have no audio, the edge cannot decode a codec, or the session has too many streams: the
    /// reason as a message.
    pub(crate) fn begin(
        media: &mut CallMedia,
        cx: &mut CallCx<'_>,
        (agent, party): (LegId, LegId),
        (target, number): (&str, u64),
    ) -> Result<(), &'static str> {
        let near = cx.call.legs.near;
        let deaf = "the edge cannot decode the codec";
        let [caller_end, party_end] = ends(media, cx, party).ok_or("the two have no audio")?;
        let spoken = |leg: LegId| cx.call.legs.offer_of(leg).and_then(|(_, spoken)| spoken).ok_or(deaf);
        let spoken = [spoken(near)?, spoken(party)?];
        let first = FIRST + cx.call.key.0 * PER_CALL + number * 4;
        let (conference, ids) = (ConferenceId(first), [0, 1, 2].map(|n| ParticipantId(first + n)));
        let mut add = |seat: ParticipantId, rate: SamplingRate| MixerEnd::add(cx, (conference, seat), rate);
        let [caller_rate, party_rate] = spoken.map(|spoken| rate_of(spoken.coding));
        let seats = [add(ids[0], caller_rate)?, add(ids[1], party_rate)?, add(ids[2], SamplingRate::Narrow)?];
        for (seat, part) in
            ids.into_iter().zip([ParticipantRole::Speaker, ParticipantRole::Speaker, ParticipantRole::Coach(ids[1])])
        {
            cx.edge.output(GatewayOutput::Conference(Box::new(NodeCommand::Part { seat, part })));
        }
        let ends = [caller_end, party_end];
        media.coaching = Some(Box::new(Coaching { agent, party, ends, spoken, seats, seat_ids: ids }));
        mix(media, cx);
        cx.tell_coach(agent, target);
        let Some(side) = cx.call.legs[agent].agent.as_ref().map(|side| side.end) else { return Ok(()) };
        if let Some(seat) = media.coaching.as_ref().map(|coaching| coaching.seats[2].id()) {
            media.connect_ends(cx, side, seat, mixer_wire());
            media.connect_ends(cx, seat, side, mixer_wire());
        }
        media.tap_caller(cx);
        Ok(())
    }

    /// Returns the leg of the agent.
    pub(crate) fn agent(&self) -> LegId {
        self.agent
    }

    /// Returns the leg of the party if `end` is the caller's, so that the caller's digits are sent to the party.
    pub(crate) fn party_of(&self, end: EndId) -> Option<LegId> {
        (self.ends[0] == end).then_some(self.party)
    }

    /// Returns whether the mixer replaces the wire between these ends: from the caller to the party.
    pub(crate) fn replaces(&self, from: EndId, to: EndId) -> bool {
        self.ends == [from, to]
    }

    /// Returns whether a leg is that of the caller or the party.
    pub(crate) fn is_between(&self, near: LegId, leg: LegId) -> bool {
        leg == self.party || leg == near
    }

    /// Sends the current audio of caller and party to their mixer inputs.
    pub(crate) fn tap(media: &mut CallMedia, cx: &mut CallCx<'_>) {
        let Some((session, coaching)) = cx.call.session.zip(media.coaching.as_ref()) else { return };
        let legs = [cx.call.legs.near, coaching.party];
        let heard = legs.map(|leg| media.audio_of(cx.call, leg));
        let Some(coaching) = &mut media.coaching else { return };
        for (seat, heard) in coaching.seats.iter_mut().zip(&heard) {
            if let Some(tap) = heard.as_ref().and_then(|heard| seat.listen_to(heard)) {
                cx.edge.media(session, tap);
            }
        }
    }

    /// Disconnects the party from its mix when the two sides are separated for a hold.
    pub(crate) fn part(media: &CallMedia, cx: &mut CallCx<'_>, legs: [LegId; 2]) {
        let Some((session, coaching)) = cx.call.session.zip(media.coaching.as_ref()) else { return };
        if legs.into_iter().any(|leg| coaching.is_between(cx.call.legs.near, leg)) {
            cx.edge.media(session, MediaCommand::Unwire { from: coaching.seats[1].id() });
        }
    }

    /// Ends coaching: closes the agent's stream, and connects caller and party directly again.
    pub(crate) fn end(media: &mut CallMedia, cx: &mut CallCx<'_>, (reason, by): (ReasonSlug, EndedBy)) {
        let Some(coaching) = media.coaching.take() else { return };
        for (seat, end) in coaching.seat_ids.into_iter().zip(&coaching.seats) {
            cx.edge.output(GatewayOutput::Conference(Box::new(NodeCommand::Leave { seat })));
            media.drop_seat(cx, end.id());
        }
        let [caller_end, party_end] = coaching.ends;
        let wire = media.wires.get(caller_end).filter(|(to, _)| *to == party_end).map(|(_, wire)| wire.clone());
        if let Some((session, wire)) = cx.call.session.zip(wire) {
            cx.edge.media(session, MediaCommand::Wire { from: caller_end, to: party_end, wire });
        }
        let agent = coaching.agent;
        cx.edge.decide(cx.now, cx.call.key, format!("{} stopped coaching", cx.call.legs.name_of(agent)));
        cx.call.legs.agent_went_well(cx.edge, agent);
        cx.call.legs[agent].end_with(reason, by);
        media.close_agent(cx, agent);
    }

    /// Returns the call to which a refused or lost mixer input belongs. `None` for other events and for inputs that do
    /// not belong to coaching.
    pub(crate) fn lost(event: NodeEvent) -> Option<CallKey> {
        let (NodeEvent::Refused(ParticipantId(seat)) | NodeEvent::Gone(ParticipantId(seat))) = event else {
            return None;
        };
        let number = seat.checked_sub(FIRST).filter(|number| *number < FIRST)?;
        Some(CallKey(number / PER_CALL))
    }
}

/// Connects the party to the mix, and the caller's stream to the caller's mixer input.
pub(crate) fn mix(media: &CallMedia, cx: &mut CallCx<'_>) {
    let Some((session, coaching)) = cx.call.session.zip(media.coaching.as_ref()) else { return };
    let ([caller_end, party_end], [caller, party]) = (coaching.ends, coaching.spoken);
    let [caller_seat, party_seat, _] = coaching.seats.each_ref().map(MixerEnd::id);
    let wire = digits_of(caller, cx.call.legs.near_leg().dtmf());
    cx.edge.media(session, MediaCommand::Wire { from: caller_end, to: caller_seat, wire });
    cx.edge.media(session, MediaCommand::Wire { from: party_seat, to: party_end, wire: wire_to_caller(party) });
}

/// Returns the media ends of the caller and of a party that are wired to each other. `None` if they are not connected.
fn ends(media: &CallMedia, cx: &CallCx<'_>, party: LegId) -> Option<[EndId; 2]> {
    let is_party = |end: EndId| cx.call.legs[party].ends.iter().any(|slot| slot.end == end);
    let callers = cx.call.legs.near_leg().ends.iter().map(|slot| slot.end);
    callers.filter_map(|end| Some([end, media.wires.get(end)?.0])).find(|[_, to]| is_party(*to))
}
