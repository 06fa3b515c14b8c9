//! Return of an ended call's resources: its slots at trunks and limits, and its index entries.

use trunkgate_resources::lookups::key::LegId;

use crate::call::legs::leg::Leg;
use crate::call::parts::CallParts;
use crate::call::shared::CallCx;

/// Releases an ended call's slots at admission, quotas and trunks, and counts the call in the metrics. `legs` are the
/// legs that count as calls of their trunks.
pub(crate) fn release_slots(cx: &mut CallCx<'_>, legs: Vec<LegId>) {
    cx.edge.admission_mut().end(cx.call.legs.get(LegId::CALLER).map_or("", Leg::trunk_name));
    cx.edge.quotas_mut().end_call(cx.call.key);
    cx.edge.admission_mut().emergencies.end_call(cx.call.key);
    cx.edge.unproven_early_mut().release(cx.now, cx.call.key);
    for leg in legs {
        if let Some(trunk) = cx.call.legs[leg].limited_by() {
            cx.edge.end_trunk_call(&trunk.name);
        }
    }
    if let Some(ending) = cx.call.ending {
        let trunk = cx.call.legs[LegId::CALLER].trunk.as_ref().map_or_else(|| "".into(), |t| t.name.clone());
        *cx.edge.metrics_mut().calls.entry((trunk, cx.call.facts.route.clone(), ending.outcome)).or_default() += 1;
    }
    if let Some(seconds) = cx.call.talked_seconds() {
        cx.edge.metrics_mut().call_duration_seconds.observe(seconds);
        cx.count_media();
    }
}

/// Removes an ended call from the look-ups, with its timers.
pub(crate) fn forget(parts: &CallParts, cx: &mut CallCx<'_>) {
    while let Some(timer) = cx.call.deadlines.first() {
        cx.disarm(timer);
    }
    for (at, leg) in cx.call.legs.with_ids() {
        if let Some(server) = leg.sip.server {
            cx.edge.index_mut().servers.remove(&server);
        }
        for client in leg.sip.invite.into_iter().chain(leg.sip.bye) {
            cx.edge.index_mut().clients.remove(&client);
        }
        if let Some(dialog) = leg.sip.dialog {
            cx.edge.index_mut().dialogs.remove(&dialog);
        }
        if let Some(flow) = leg.flow {
            cx.edge.index_mut().leave(leg.sip.call_id.as_bytes(), cx.call.legs.place(at), flow.remote.ip());
        }
    }
    let refreshes = cx.call.legs.iter().filter_map(|leg| leg.timer.refresh);
    let asked = parts.bridge.negotiation.asked();
    for client in asked.chain(refreshes).chain(parts.transfers.notifies()).chain(parts.recorders.siprec.pending()) {
        cx.edge.index_mut().clients.remove(&client);
    }
    cx.edge.index_mut().sids.remove(cx.call.legs.sid());
}
