//! Packet loss of the two sides of an answered call: measured with its quality, and reported in trace, log and verdict.

use std::time::Duration;

use trunkgate_media::mos::MosCodec;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_story::diagnosis::Diagnosis;
use trunkgate_story::impairment::{MediaPath, StreamDirection};
use trunkgate_story::series::CounterReading;
use trunkgate_story::trace::TraceItem;

use crate::call::shared::{CallCx, SharedCallState};
use crate::call::story::noted::{reading, totals};

/// Checks the packet loss of a side, and reports each direction with too much loss once in trace and log. `ended` is
/// true if the call is over; the last, incomplete interval is then included.
pub(crate) fn look(cx: &mut CallCx<'_>, leg: LegId, ended: bool) {
    let side = &cx.call.legs[leg];
    let all = totals(side);
    if side.agent.is_some() || all.lost + all.far_lost == 0 {
        return;
    }
    let (series, other) = (&cx.call.story.series, cx.call.legs.other(leg));
    let of = (leg.index(), other.map(LegId::index));
    let mut readings = cx.call.legs.iter().map(reading);
    let open = series.open_for(cx.now);
    let rest = ended.then_some((open, &mut readings as &mut dyn Iterator<Item = CounterReading>));
    let name = cx.call.legs.name_of(leg);
    let path = path(cx.call, leg, &name);
    let found: Vec<(StreamDirection, Diagnosis)> = series.losses(of, path.codec, rest).found(&path).collect();
    for (direction, found) in found {
        let losses = &mut cx.call.legs[leg].quality.faults.get_or_insert_default().losses;
        match losses.iter_mut().find(|(known, _)| *known == direction) {
            Some(known) if known.1 == found => {}
            Some(known) => {
                known.1 = found.clone();
                if let Some(trunk) = cx.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) {
                    cx.tell_fault(&trunk, &found);
                }
            }
            None => {
                losses.push((direction, found.clone()));
                let line = format!("{}; try: {}", found.text, found.fix);
                cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
                if let Some(trunk) = cx.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) {
                    cx.tell_fault(&trunk, &found);
                }
                let sid = cx.call.legs.sid().to_owned();
                cx.edge.warn(&sid, found.text, None);
            }
        }
    }
}

/// Returns the properties of a side's media path.
fn path<'a>(call: &SharedCallState, leg: LegId, name: &'a str) -> MediaPath<'a> {
    let side = &call.legs[leg];
    let announced = side.ends.iter().find_map(|end| end.remote.as_ref()?.rtp);
    let rtp = side.rtp();
    let us = |ms: f64| (ms * 1000.0) as u64;
    MediaPath {
        name,
        address: side.latched.or(announced).map_or_else(|| side.signalling(), |rtp| rtp.ip()),
        codec: MosCodec::named(&side.codec),
        jitter_us: (us(rtp.jitter_ms), rtp.far.map_or(0, |far| us(far.jitter_ms))),
        rtt_us: rtp.rtt_ms.map_or(0, us),
        ended: call.talked_seconds().map(Duration::from_secs_f64),
    }
}
