//! Detection of one-way audio in an answered call, for its trace, log and verdict, and for the statistics of its
//! trunks.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use trunkgate_media::EndId;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::LegId;
use trunkgate_resources::trunks::{CallFault, FaultKind};
use trunkgate_story::diagnosis::{CounterSnapshot, Diagnosis, FaultCause, SideEvidence};
use trunkgate_story::impairment::StoppedStream;
use trunkgate_story::trace::TraceItem;

use crate::call::legs::leg::{Leg, StreamEnd};
use crate::call::media::CallMedia;
use crate::call::shared::{CallCx, SharedCallState};
use crate::call::story::noted::ONE_WAY_LEAST;
use crate::call::story::{losses, silent_agent};

/// Returns the counters by which a leg's audio is checked; `None` if no remote address is known.
fn look(leg: &Leg) -> Option<CounterSnapshot> {
    leg.ends.iter().find(|slot| slot.remote.is_some()).map(|slot| CounterSnapshot::at(&slot.counters))
}

pub(crate) fn heard(end: &StreamEnd) -> bool {
    end.counters.rx_packets.get() > 0
}

impl CallMedia {
    /// Returns the media facts of a side, from its first stream; `None` for an agent, and before its description.
    fn media_side<'a>(
        &'a self,
        call: &'a SharedCallState,
        edge: &Edge,
        leg: LegId,
        name: &'a str,
        stranger: Option<SocketAddr>,
    ) -> Option<SideEvidence<'a>> {
        let side = &call.legs[leg];
        let slot = side.ends.iter().find(|slot| slot.remote.is_some())?;
        let signalling = side.signalling();
        let wire = self.wires.get(slot.end).map(|(_, wire)| wire);
        let converted = wire.and_then(|wire| wire.transcode.as_ref()).into_iter().flat_map(|spec| &spec.from);
        let agreed = wire.into_iter().flat_map(|wire| &wire.payloads).map(|(from, _)| *from);
        let other =
            call.legs.other(leg).and_then(|other| call.legs[other].ends.iter().find_map(|end| end.remote.as_ref()));
        Some(SideEvidence {
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
            shown_address: SocketAddr::new(side.sdp.media_ip, slot.bind.port()),
            is_own: edge.addressing().is_of_this_machine(side.sdp.media_ip),
            ports: edge.config().media_ports,
            unexpected_source: stranger,
            agreed: agreed.chain(converted.map(|(from, _)| *from)).collect(),
            codec: &side.codec,
            is_wanted: other.is_none_or(|remote| remote.may_receive && remote.rtp.is_some()),
            before: None,
        })
    }

    fn why_unheard(
        &self,
        call: &SharedCallState,
        edge: &Edge,
        leg: LegId,
        stranger: Option<SocketAddr>,
    ) -> Option<Box<Diagnosis>> {
        let name = call.legs.name_of(leg);
        let side = self.media_side(call, edge, leg, &name, stranger)?;
        side.why_unheard().map(Box::new)
    }

    /// Reports an end that has received no media for 5 s; `stranger` is an unexpected source that sent to it.
    pub(crate) fn unheard(&self, cx: &mut CallCx<'_>, end: EndId, stranger: Option<SocketAddr>) {
        let Some(leg) = cx.call.legs.leg_of(end) else { return };
        // Another stream of this side is heard, so the party is connected.
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
        let line = match both {
            true => format!("no media from either side 5 s after it was expected; from {name}: {text}"),
            false => format!("no media from {name} 5 s after it was expected: {text}"),
        };
        cx.count_one_way(leg, both, line, fix);
    }

    /// Reports an end with a continuous stream that stopped `silent` ago although it should send: one-way audio from
    /// then on.
    pub(crate) fn stopped(&self, cx: &mut CallCx<'_>, end: EndId, silent: Duration) {
        let Some(leg) = cx.call.legs.leg_of(end) else { return };
        let Some(other) = cx.call.legs.other(leg).filter(|_| cx.call.legs.holds.is_empty()) else { return };
        // A video or text stream that stops is not silence.
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
        let found = SideEvidence { before, ..side }.why_stopped(silent);
        let at = cx.since_answer().saturating_sub(silent);
        let first = cx.call.legs[leg].quality.stopped().is_none();
        let stopped = StoppedStream { at, until: None, received, found };
        let line = stopped.sentence(&name);
        cx.edge.trace(cx.now, cx.call.key, TraceItem::Media { leg: leg.index(), text: line });
        if first {
            let line = stopped.sentence(&cx.edge.shown_name(&name));
            let fix = stopped.found.fix.clone();
            cx.count_one_way(leg, false, line, fix);
        }
        // A stream that stops again still has the same fault.
        if let Some(trunk) = cx.call.legs[leg].trunk.as_ref().map(|trunk| trunk.name.clone()) {
            cx.count_found(&trunk, CallFault { kind: FaultKind::Stopped, what: &stopped.found }, false);
        }
        cx.call.legs[leg].quality.faults.get_or_insert_default().stopped = Some(stopped);
    }

    /// Records the time when a stopped stream resumed.
    fn look_for_resumption(&self, cx: &mut CallCx<'_>, leg: LegId) {
        let now = cx.since_answer();
        let quality = &mut cx.call.legs[leg].quality;
        let received = quality.looked.map_or(0, |(look, _)| look.heard());
        if let Some(stopped) = quality.faults.as_mut().and_then(|faults| faults.stopped.as_mut())
            && received > stopped.received
        {
            stopped.until.get_or_insert(now);
        }
    }

    /// Checks the audio of both sides; each kind of fault is reported once while it lasts.
    pub(crate) fn look_for_flaws(&self, cx: &mut CallCx<'_>) {
        silent_agent::look(cx);
        for leg in [Some(cx.call.legs.near), cx.call.legs.callee].into_iter().flatten() {
            // Skips the first interval, because an unheard side is reported in it, and sides with digital silence,
            // which may still speak.
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
                // A hold or a muted phone is not a fault by itself.
                if !matches!(found.cause, FaultCause::OnHold | FaultCause::Silence | FaultCause::Ceased) {
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

    /// Returns the fault of a side; with `now`, also faults that began after the last check.
    fn flaw(&self, call: &SharedCallState, edge: &Edge, leg: LegId, now: Option<Instant>) -> Option<Box<Diagnosis>> {
        let name = call.legs.name_of(leg);
        let side = self.media_side(call, edge, leg, &name, None)?;
        let looked = now.zip(call.legs[leg].quality.looked);
        let before = looked.map(|(now, (look, at))| (look, now.saturating_duration_since(at)));
        SideEvidence { before, ..side }.flaw().map(Box::new)
    }

    /// Counts a side that was not heard until the end of a call too short for the media worker's report.
    fn count_unheard(&self, cx: &mut CallCx<'_>, leg: LegId) {
        let Some(found) = cx.call.legs[leg].quality.unheard.clone() else { return };
        let name = cx.edge.shown_name(&cx.call.legs.name_of(leg));
        let line = format!("no media from {name} until the end of the call: {}", found.text);
        cx.count_one_way(leg, false, line, found.fix);
    }

    /// Checks both sides a last time, before their media ends are closed. In a call too short for the media worker's
    /// report, a side is unheard if the other one was heard.
    pub(crate) fn settle_hearing(&self, cx: &mut CallCx<'_>) {
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
                // The last diagnosis counts, unless it has lost the unexpected source.
                let keeps = |told: &Diagnosis, found: &Diagnosis| {
                    told.cause == FaultCause::UnexpectedSource && found.cause == told.cause
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
                // A fault of the last check persists to the end, unless audio has arrived since.
                let is_silent = look(&cx.call.legs[leg]).map(CounterSnapshot::heard)
                    == cx.call.legs[leg].quality.looked.map(|(look, _)| look.heard());
                let lasts = |cause| cause == FaultCause::Unsent || (cause == FaultCause::Ceased && is_silent);
                let found = self
                    .flaw(cx.call, cx.edge, leg, None)
                    .or_else(|| cx.call.legs[leg].quality.flaw.take_if(|one| lasts(one.cause)));
                cx.set_flaw(leg, found);
            }
            cx.judge(leg, false);
            losses::look(cx, leg, true);
            // A stream that had just ceased may have stopped.
            let has_ceased =
                cx.call.legs[leg].quality.flaw.as_ref().is_some_and(|flaw| flaw.cause == FaultCause::Ceased);
            if is_heard && !has_ceased {
                cx.count_without(leg, FaultKind::LATE);
            }
            cx.count_packets(leg);
        }
    }
}
