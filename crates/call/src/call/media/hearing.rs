//! Whether the two sides of an answered call are heard: told in its trace, log and verdict, and kept for its trunks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::{Found, Kind};
use trunkgate_story::diagnosis::{Cause, Diagnosis, Look, Side};
use trunkgate_story::impairment::Stopped;
use trunkgate_story::trace::TraceItem;

use crate::call::legs::leg::{Leg, StreamEnd};
use crate::call::media::CallMedia;
use crate::call::shared::{Cx, Shared};
use crate::call::story::noted::ONE_WAY_LEAST;
use crate::call::story::{losses, silent_agent};

/// What a side's media is judged by.
fn look(leg: &Leg) -> Option<Look> {
    leg.ends.iter().find(|slot| slot.remote.is_some()).map(|slot| Look::at(&slot.counters))
}

pub(crate) fn heard(end: &StreamEnd) -> bool {
    end.counters.rx_packets.get() > 0
}

impl CallMedia {
    /// What is known of a side's media, by its first stream; `None` for an agent, and before it is described.
    fn media_side<'a>(
        &'a self,
        call: &'a Shared,
        edge: &Edge,
        leg: LegId,
        name: &'a str,
        stranger: Option<SocketAddr>,
    ) -> Option<Side<'a>> {
        let side = &call.legs[leg];
        let slot = side.ends.iter().find(|slot| slot.remote.is_some())?;
        let signalling = side.signalling();
        let wire = self.wires.get(slot.end).map(|(_, wire)| wire);
        let converted = wire.and_then(|wire| wire.transcode.as_ref()).into_iter().flat_map(|spec| &spec.from);
        let agreed = wire.into_iter().flat_map(|wire| &wire.payloads).map(|(from, _)| *from);
        let other =
            call.legs.other(leg).and_then(|other| call.legs[other].ends.iter().find_map(|end| end.remote.as_ref()));
        Some(Side {
            name,
            trunk: side.trunk_name(),
            remote: slot.remote.as_ref()?,
            counters: &slot.counters,
            signalling,
            is_local: edge
                .addressing()
                .local_networks
                .iter()
                .any(|network| network.contains(&signalling.to_canonical())),
            told: SocketAddr::new(side.sdp.media_ip, slot.bind.port()),
            is_own: edge.addressing().is_of_this_machine(side.sdp.media_ip),
            ports: edge.config().media_ports,
            stranger,
            agreed: agreed.chain(converted.map(|(from, _)| *from)).collect(),
            codec: &side.codec,
            is_wanted: other.is_none_or(|remote| remote.may_receive && remote.rtp.is_some()),
            before: None,
        })
    }

    fn why_unheard(
        &self,
        call: &Shared,
        edge: &Edge,
        leg: LegId,
        stranger: Option<SocketAddr>,
    ) -> Option<Box<Diagnosis>> {
        let name = call.legs.name_of(leg);
        let side = self.media_side(call, edge, leg, &name, stranger)?;
        // What was told at once is not forgotten where the end has seen less since.
        side.why_unheard().map(Box::new)
    }

    /// An end has not been heard since its side should send; `stranger` sent there instead.
    pub(crate) fn unheard(&self, cx: &mut Cx<'_>, end: EndId, stranger: Option<SocketAddr>) {
        let Some(leg) = cx.call.legs.leg_of(end) else { return };
        // Another of its streams is heard: it is there.
        if cx.call.legs[leg].ends.iter().any(|slot| slot.end != end && heard(slot)) {
            return;
        }
        let Some(found) = self.why_unheard(cx.call, cx.edge, leg, stranger) else { return };
        let first = cx.call.legs[leg].quality.unheard.is_none();
        let line = format!("no RTP for 5 s: {}; try: {}", found.text, found.fix);
        cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
        let (text, fix) = (found.text.clone(), found.fix.clone());
        cx.call.legs[leg].quality.unheard = Some(found);
        cx.judge(leg, true);
        let other = cx.call.legs.other(leg).filter(|other| cx.call.legs[*other].agent.is_none());
        let both = other.is_some_and(|other| {
            let ends = &cx.call.legs[other].ends;
            ends.iter().any(|end| end.remote.as_ref().is_some_and(|r| r.watch_idle)) && !ends.iter().any(heard)
        });
        let counted = both && other.is_some_and(|other| cx.call.legs[other].quality.unheard.is_some());
        if !first || counted {
            return;
        }
        let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
        let which = if both { "no media from either side".to_owned() } else { format!("no media from {name}") };
        let line = format!("{which} 5 s after it should have come; of {name}: {text}");
        cx.count_one_way(leg, both, line, fix);
    }

    /// The continuous stream of an end stopped `silent` ago, while something is sent to it: one-way audio from then on.
    pub(crate) fn stopped(&self, cx: &mut Cx<'_>, end: EndId, silent: Duration) {
        let Some(leg) = cx.call.legs.leg_of(end) else { return };
        let Some(other) = cx.call.legs.other(leg).filter(|_| cx.call.legs.holds.is_empty()) else { return };
        // Video, or text, that stops is no silence.
        let is_audio =
            cx.call.legs[leg].ends.iter().find(|slot| slot.remote.is_some()).is_some_and(|slot| slot.end == end);
        let is_agent = cx.call.legs[other].agent.is_some();
        let name = cx.call.legs.name_of(leg);
        let Some(side) = self.media_side(cx.call, cx.edge, leg, &name, None) else { return };
        if !is_audio || !(is_agent || side.is_wanted) {
            return;
        }
        let before = cx.call.legs[leg].quality.looked.map(|(look, at)| (look, cx.now.saturating_duration_since(at)));
        let received = side.counters.rx_packets.get();
        let found = Side { before, ..side }.why_stopped(silent);
        let at = cx.since_answer().saturating_sub(silent);
        let first = cx.call.legs[leg].quality.stopped().is_none();
        let stopped = Stopped { at, until: None, received, found };
        let line = stopped.sentence(&name);
        cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
        if first {
            let line = stopped.sentence(&cx.edge.shown_name(&name));
            let fix = stopped.found.fix.clone();
            cx.count_one_way(leg, false, line, fix);
        }
        // One that stops again has its fault still.
        if let Some(trunk) = cx.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) {
            cx.count_found(&trunk, Found { kind: Kind::Stopped, what: &stopped.found }, false);
        }
        cx.call.legs[leg].quality.faults.get_or_insert_default().stopped = Some(stopped);
    }

    /// Notes that a stream which had stopped has come again.
    fn look_for_resumption(&self, cx: &mut Cx<'_>, leg: LegId) {
        let now = cx.since_answer();
        let quality = &mut cx.call.legs[leg].quality;
        let received = quality.looked.map_or(0, |(look, _)| look.heard());
        if let Some(stopped) = quality.faults.as_mut().and_then(|faults| faults.stopped.as_mut())
            && received > stopped.received
        {
            stopped.until.get_or_insert(now);
        }
    }

    /// What is heard of each side is looked at: each kind of fault is told once, while it lasts.
    pub(crate) fn look_for_flaws(&self, cx: &mut Cx<'_>) {
        silent_agent::look(cx);
        for leg in [Some(cx.call.legs.near), cx.call.legs.callee].into_iter().flatten() {
            // Not in the first interval: a side that is not heard is reported then. One that sends only digital silence may speak later.
            if cx.call.story.series.is_past_the_first() && !cx.call.legs[leg].has_only_silence() {
                cx.judge(leg, false);
            }
            let found = self.flaw(cx.call, cx.edge, leg, Some(cx.now));
            cx.call.legs[leg].quality.looked = look(&cx.call.legs[leg]).map(|look| (look, cx.now));
            if let Some(found) = &found
                && !cx.call.legs[leg].quality.tells(found.cause)
            {
                let text = format!("{}; try: {}", found.text, found.fix);
                cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text });
                // A hold and a muted phone are no faults by themselves.
                if !matches!(found.cause, Cause::OnHold | Cause::Silence | Cause::Ceased) {
                    let sid = cx.call.legs.sid().to_owned();
                    cx.edge.warn(&sid, found.text.clone(), None);
                }
            }
            cx.set_flaw(leg, found);
            self.look_for_resumption(cx, leg);
            losses::look(cx, leg, false);
            cx.count_packets(leg);
        }
    }

    /// What is wrong with a side; looked at `now`, also what was not so at the last look.
    fn flaw(&self, call: &Shared, edge: &Edge, leg: LegId, now: Option<Instant>) -> Option<Box<Diagnosis>> {
        let name = call.legs.name_of(leg);
        let side = self.media_side(call, edge, leg, &name, None)?;
        let looked = now.zip(call.legs[leg].quality.looked);
        let before = looked.map(|(now, (look, at))| (look, now.saturating_duration_since(at)));
        Side { before, ..side }.flaw().map(Box::new)
    }

    /// A side that was not heard until the call's end, which came before the worker's word.
    fn count_unheard(&self, cx: &mut Cx<'_>, leg: LegId) {
        let Some(found) = cx.call.legs[leg].quality.unheard.clone() else { return };
        let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
        let line = format!("no media from {name} until the end of the call: {}", found.text);
        cx.count_one_way(leg, false, line, found.fix);
    }

    /// The last look at each side's media, before its ends are closed. In a call too short for the worker's word a side is
    /// unheard where the other one was heard.
    pub(crate) fn settle_hearing(&self, cx: &mut Cx<'_>) {
        if cx.call.times.answered.is_none() {
            return;
        }
        let silent = cx.call.legs.silent_leg();
        cx.call.story.both_silent = cx.call.is_mute();
        silent_agent::settle(cx);
        for leg in [Some(cx.call.legs.near), cx.call.legs.callee].into_iter().flatten() {
            let is_heard = cx.call.legs[leg].rtp().rx_packets > 0;
            if !is_heard && (cx.call.legs[leg].quality.unheard.is_some() || silent == Some(leg)) {
                let told = cx.call.legs[leg].quality.unheard.take();
                let is_told = told.is_some();
                let found = self.why_unheard(cx.call, cx.edge, leg, None);
                // The last word counts, but for one that has forgotten who sent instead.
                let keeps = |told: &Diagnosis, found: &Diagnosis| {
                    told.cause == Cause::UnexpectedSource && found.cause == told.cause
                };
                cx.call.legs[leg].quality.unheard = match (told, found) {
                    (Some(told), Some(found)) if keeps(&told, &found) => Some(told),
                    (told, found) => found.or(told),
                };
                cx.call.legs[leg].quality.flaw = None;
                if !is_told && cx.since_answer() >= ONE_WAY_LEAST {
                    self.count_unheard(cx, leg);
                }
            } else {
                // What was so at the last look has hardly ended just before the call, unless something has come since.
                let is_silent = look(&cx.call.legs[leg]).map(Look::heard)
                    == cx.call.legs[leg].quality.looked.map(|(look, _)| look.heard());
                let lasts = |cause| cause == Cause::Unsent || (cause == Cause::Ceased && is_silent);
                let found = self
                    .flaw(cx.call, cx.edge, leg, None)
                    .or_else(|| cx.call.legs[leg].quality.flaw.take_if(|one| lasts(one.cause)));
                cx.set_flaw(leg, found);
            }
            cx.judge(leg, false);
            losses::look(cx, leg, true);
            // A stream that had just ceased may have stopped.
            let has_ceased = cx.call.legs[leg].quality.flaw.as_ref().is_some_and(|flaw| flaw.cause == Cause::Ceased);
            if is_heard && !has_ceased {
                cx.count_without(leg, Kind::LATE);
            }
            cx.count_packets(leg);
        }
    }
}
