//! Whether the two sides of an answered call are heard: told in its trace, log and verdict, and kept for its trunks.

use std::net::SocketAddr;
use std::time::Instant;

use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::LegId;
use trunkgate_story::change::{Change, Happening};
use trunkgate_story::diagnosis::{Cause, Diagnosis, Look, Side};
use trunkgate_story::trace::TraceItem;

use crate::call::Call;
use crate::call::legs::leg::{Leg, StreamEnd};

/// What a side's media is judged by.
fn look(leg: &Leg) -> Option<Look> {
    leg.ends.iter().find(|slot| slot.remote.is_some()).map(|slot| Look::at(&slot.counters))
}

pub(crate) fn heard(end: &StreamEnd) -> bool {
    end.counters.rx_packets.get() > 0
}

impl Call {
    /// What is known of a side's media, by its first stream; `None` for an agent, and before it is described.
    fn media_side<'a>(
        &'a self,
        edge: &Edge,
        leg: LegId,
        name: &'a str,
        stranger: Option<SocketAddr>,
    ) -> Option<Side<'a>> {
        let side = &self.legs[leg];
        let slot = side.ends.iter().find(|slot| slot.remote.is_some())?;
        let signalling = side.signalling();
        let wire = self.media.wires.get(slot.end).map(|(_, wire)| wire);
        let converted = wire.and_then(|wire| wire.transcode.as_ref()).into_iter().flat_map(|spec| &spec.from);
        let agreed = wire.into_iter().flat_map(|wire| &wire.payloads).map(|(from, _)| *from);
        let other =
            self.legs.other(leg).and_then(|other| self.legs[other].ends.iter().find_map(|end| end.remote.as_ref()));
        Some(Side {
            name,
            trunk: side.trunk_name(),
            remote: slot.remote.as_ref()?,
            counters: &slot.counters,
            signalling,
            is_local: edge.addressing.local_networks.iter().any(|network| network.contains(&signalling.to_canonical())),
            told: SocketAddr::new(side.media_ip, slot.bind.port()),
            is_own: edge.addressing.is_of_this_machine(side.media_ip),
            ports: edge.config.media_ports,
            stranger,
            agreed: agreed.chain(converted.map(|(from, _)| *from)).collect(),
            codec: &side.codec,
            is_wanted: other.is_none_or(|remote| remote.may_receive && remote.rtp.is_some()),
            before: None,
        })
    }

    fn why_unheard(&self, edge: &Edge, leg: LegId, stranger: Option<SocketAddr>) -> Option<Box<Diagnosis>> {
        let name = self.legs.name_of(leg);
        let side = self.media_side(edge, leg, &name, stranger)?;
        // What was told at once is not forgotten where the end has seen less since.
        side.why_unheard().map(Box::new)
    }

    /// An end has not been heard since its side should send; `stranger` sent there instead.
    pub(crate) fn unheard(&mut self, now: Instant, edge: &mut Edge, end: EndId, stranger: Option<SocketAddr>) {
        let Some(leg) = self.legs.leg_of(end) else { return };
        // Another of its streams is heard: it is there.
        if self.legs[leg].ends.iter().any(|slot| slot.end != end && heard(slot)) {
            return;
        }
        let Some(found) = self.why_unheard(edge, leg, stranger) else { return };
        let first = self.legs[leg].unheard.is_none();
        let line = format!("no RTP for 5 s: {}; try: {}", found.text, found.fix);
        edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text: line });
        let (text, fix) = (found.text.clone(), found.fix.clone());
        self.legs[leg].unheard = Some(found);
        self.judge(now, edge, leg, true);
        let other = self.legs.other(leg).filter(|other| self.legs[*other].agent.is_none());
        let both = other.is_some_and(|other| {
            let ends = &self.legs[other].ends;
            ends.iter().any(|end| end.remote.as_ref().is_some_and(|r| r.watch_idle)) && !ends.iter().any(heard)
        });
        let counted = both && other.is_some_and(|other| self.legs[other].unheard.is_some());
        if !first || counted {
            return;
        }
        let silent = match (both, leg) {
            (true, _) => "both",
            (false, LegId::CALLER) => "caller",
            (false, _) => "callee",
        };
        let trunk = self.legs[leg].trunk.as_ref().map_or_else(|| "".into(), |t| t.name.clone());
        *edge.metrics.media_one_way.entry((trunk.clone(), silent)).or_default() += 1;
        let name = edge.shown_name(&self.legs.name_of(leg));
        let which = if both { "no media from either side".to_owned() } else { format!("no media from {name}") };
        let sid = self.legs.sid().to_owned();
        let line = format!("{which} 5 s after it should have come; of {name}: {text}");
        let change = self.change_for(Happening::MediaOneWay, &line, None);
        edge.changed(Change { trunk: Some(trunk.to_string()), fix: Some(fix), ..change });
        edge.warn(&sid, line, None);
    }

    /// What is heard of each side is looked at: each kind of fault is told once, while it lasts.
    pub(crate) fn look_for_flaws(&mut self, now: Instant, edge: &mut Edge) {
        for leg in [Some(self.legs.near), self.legs.callee].into_iter().flatten() {
            // Not in the first interval: a side that is not heard is told then.
            if self.story.series.is_past_the_first() {
                self.judge(now, edge, leg, false);
            }
            let found = self.flaw(edge, leg, Some(now));
            self.legs[leg].looked = look(&self.legs[leg]).map(|look| (look, now));
            if let Some(found) = &found
                && self.legs[leg].flaw.as_ref().is_none_or(|before| before.cause != found.cause)
            {
                let text = format!("{}; try: {}", found.text, found.fix);
                edge.trace(now, self.key, TraceItem::Media { leg: leg.index(), text });
                // A hold and a muted phone are no faults by themselves.
                if !matches!(found.cause, Cause::OnHold | Cause::Silence | Cause::Ceased) {
                    let sid = self.legs.sid().to_owned();
                    edge.warn(&sid, found.text.clone(), None);
                }
            }
            self.set_flaw(now, edge, leg, found);
        }
    }

    /// What is wrong with a side; looked at `now`, also what was not so at the last look.
    fn flaw(&self, edge: &Edge, leg: LegId, now: Option<Instant>) -> Option<Box<Diagnosis>> {
        let name = self.legs.name_of(leg);
        let side = self.media_side(edge, leg, &name, None)?;
        let looked = now.zip(self.legs[leg].looked);
        let before = looked.map(|(now, (look, at))| (look, now.saturating_duration_since(at)));
        Side { before, ..side }.flaw().map(Box::new)
    }

    /// A flaw, where there is one, takes the place of the one before; its trunk learns of it.
    fn set_flaw(&mut self, now: Instant, edge: &mut Edge, leg: LegId, found: Option<Box<Diagnosis>>) {
        if let (Some(found), Some(trunk)) = (&found, self.legs[leg].trunk.clone()) {
            self.tell_fault(now, edge, &trunk.name, found);
        }
        self.legs[leg].flaw = found;
    }

    /// The last look at each side's media, before its ends are closed. In a call too short for the worker's word a side is
    /// unheard where the other one was heard.
    pub(crate) fn settle_hearing(&mut self, now: Instant, edge: &mut Edge) {
        if self.times.answered.is_none() {
            return;
        }
        let silent = self.legs.silent_leg();
        for leg in [Some(self.legs.near), self.legs.callee].into_iter().flatten() {
            let is_heard = self.legs[leg].view().rtp.rx_packets > 0;
            if !is_heard && (self.legs[leg].unheard.is_some() || silent == Some(leg)) {
                let told = self.legs[leg].unheard.take();
                let found = self.why_unheard(edge, leg, None);
                // The last word counts, but for one that has forgotten who sent instead.
                let keeps = |told: &Diagnosis, found: &Diagnosis| {
                    told.cause == Cause::UnexpectedSource && found.cause == told.cause
                };
                self.legs[leg].unheard = match (told, found) {
                    (Some(told), Some(found)) if keeps(&told, &found) => Some(told),
                    (told, found) => found.or(told),
                };
                self.legs[leg].flaw = None;
            } else {
                // What was so at the last look has hardly ended just before the call, unless something has come since.
                let is_silent =
                    look(&self.legs[leg]).map(Look::heard) == self.legs[leg].looked.map(|(look, _)| look.heard());
                let lasts = |cause| cause == Cause::Unsent || (cause == Cause::Ceased && is_silent);
                let found = self.flaw(edge, leg, None).or_else(|| self.legs[leg].flaw.take_if(|one| lasts(one.cause)));
                self.set_flaw(now, edge, leg, found);
            }
            self.judge(now, edge, leg, false);
        }
    }

    /// Its trunk learns, once a leg, whether it was heard; `is_told`: whoever watches is told by other means.
    fn judge(&mut self, now: Instant, edge: &mut Edge, leg: LegId, is_told: bool) {
        let side = &mut self.legs[leg];
        if side.agent.is_some() || std::mem::replace(&mut side.is_judged, true) {
            return;
        }
        let side = &self.legs[leg];
        edge.trunks.listened(now, side.trunk_name(), self.legs.sid(), side.unheard.as_deref());
        if let (Some(found), Some(trunk)) = (side.unheard.clone(), side.trunk.clone()) {
            if is_told {
                self.count_fault(now, edge, &trunk.name, &found, false);
            } else {
                self.tell_fault(now, edge, &trunk.name, &found);
            }
        }
    }
}
