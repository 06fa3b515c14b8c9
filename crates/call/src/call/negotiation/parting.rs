//! Separation of an answered callee from its caller, while the callee answers a prompt or hears a document.

use trunkgate_media::{EndId, WireSpec};
use trunkgate_resources::lookups::key::LegId;
use trunkgate_sdp::{MediaDescription, SessionDescription};

use crate::call::negotiation::Bridge;
use crate::call::shared::CallCx;

/// Disconnects an answered callee from its caller, and returns the wires that will connect them later. The wires omit
/// telephone-events that only the callee supports, because its digits are meant for the edge only.
pub(crate) fn part_from_caller(
    bridge: &mut Bridge,
    cx: &mut CallCx<'_>,
    leg: LegId,
) -> Vec<(EndId, (EndId, WireSpec))> {
    let near = cx.call.legs.near;
    let is_theirs = |end| [near, leg].iter().any(|at| cx.call.legs[*at].ends.iter().any(|slot| slot.end == end));
    let wires = bridge.media.wires.iter().filter(|(from, _)| is_theirs(*from));
    let mut wires: Vec<_> = wires.map(|(from, to)| (from, to.clone())).collect();
    if let Some(number) = added_events(cx, leg, bridge.negotiation.offer.as_ref()) {
        wires.iter_mut().for_each(|(_, (_, wire))| wire.payloads.retain(|(from, to)| [*from, *to] != [number; 2]));
    }
    bridge.media.part(cx, [near, leg]);
    wires
}

/// Returns the payload type of telephone-events that the callee was offered although its caller has none. Once the
/// offer is forgotten, the callee's answer is searched instead. `None` if the caller has telephone-events, or none were
/// added.
fn added_events(cx: &CallCx<'_>, leg: LegId, offer: Option<&SessionDescription>) -> Option<u8> {
    let (own, spoken) = cx.call.legs.offer_of(cx.call.legs.near)?;
    if spoken.is_some_and(|spoken| spoken.presses.is_some()) {
        return None;
    }
    let known: Vec<u8> = own.media.iter().flat_map(|media| media.payloads()).collect();
    let is_added = |media: &MediaDescription, number: u8| {
        !known.contains(&number) && media.rtpmap(number).is_some_and(|map| map.is("telephone-event"))
    };
    let offer = offer.cloned().or_else(|| cx.call.legs[leg].theirs())?;
    let media = offer.media.iter().filter(|media| media.port != 0);
    media
        .flat_map(|media| media.payloads().into_iter().filter(|number| is_added(media, *number)).collect::<Vec<_>>())
        .next()
}
