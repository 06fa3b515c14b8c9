//! Snapshots of answered calls as plain data, without a clock or index. Each part writes and restores its own state.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, RecordingId};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_resources::recordings::InterruptedRecording;
use trunkgate_route::TargetSpec;
use trunkgate_story::few::SmallMap;

use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::list::{Legs, LegsSnapshot};
use crate::call::media::CallMedia;
use crate::call::media::local::{ForkRequest, listeners};
use crate::call::media::wiring::CallMediaSnapshot;
use crate::call::negotiation::Bridge;
use crate::call::parts::requested::{CallRequestSnapshot, PendingCallRequest};
use crate::call::parts::{Call, CallParts};
use crate::call::program::snapshot::ProgramSnapshot;
use crate::call::recorders::{CallRecorders, RecordersSnapshot};
use crate::call::shared::listeners::CallerListeners;
use crate::call::shared::story::{CallNotes, CallNotesSnapshot};
use crate::call::shared::{CallFacts, CallTimes, MediaSessionSnapshot, SharedCallState, TimesSnapshot};
use crate::call::words::crash_gap::CrashGap;
use crate::call::words::state::CallState;

/// An answered call as plain data. Timers, pending requests between its legs and transfers are omitted; so is the
/// connection of an agent, which gets a new stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CallSnapshot {
    /// SID of the call.
    pub sid: String,
    facts: CallFacts,
    times: TimesSnapshot,
    story: CallNotesSnapshot,
    session: MediaSessionSnapshot,
    legs: LegsSnapshot,
    media: CallMediaSnapshot,
    recorders: RecordersSnapshot,
    program: ProgramSnapshot,
    /// Parts of the request that began the call that still apply, if there is one.
    requested: Option<CallRequestSnapshot>,
    /// Targets of a caller without a remote party: its agent or the target being tried, then the remaining targets.
    pub(crate) targets: Vec<TargetSpec>,
    pub(crate) listeners: Vec<ForkRequest>,
    /// Time since the snapshot was made; zero for one that crosses in an upgrade.
    #[serde(skip)]
    age: Duration,
}

/// Shortest time in which the sequence numbers of a stream roll over: 65,536 packets of 10 ms.
const ROLL_OVER: Duration = Duration::from_secs(655);

impl CallSnapshot {
    /// Makes this a snapshot that a crashed process has left. Leaves out the numbers that it, and later processes that
    /// have not written the call, may have used since then.
    pub fn outlive_crash(&mut self, gap: CrashGap) {
        self.age = gap.age();
        self.legs.skip_numbers(gap);
        self.program.skip_reports(gap);
    }

    /// Lists the recordings of the call that have not ended: id and SID.
    pub(crate) fn recordings(&self) -> impl Iterator<Item = (RecordingId, &str)> {
        self.recorders.recordings()
    }

    /// Lists the recordings of the call that a crash has interrupted.
    pub(crate) fn interrupted_recordings(&self) -> impl Iterator<Item = InterruptedRecording> {
        self.recorders.interrupted()
    }
}

impl Call {
    /// Returns whether a snapshot contains the call as it is: answered, with confirmed dialogs and without an open
    /// offer.
    pub(crate) fn is_settled(&self, edge: &Edge) -> bool {
        self.parts.bridge.negotiation.renegotiation.is_none() && !self.is_omitted(edge)
    }

    /// Returns whether a snapshot omits the call: it is being set up, has ended, or has unconfirmed dialogs.
    pub(crate) fn is_omitted(&self, edge: &Edge) -> bool {
        !(self.is_under_way() && self.shared.legs.are_confirmed(edge))
    }

    /// Returns whether the call is neither being set up nor ended.
    fn is_under_way(&self) -> bool {
        !matches!(self.shared.state, CallState::Searching | CallState::Ended)
    }

    /// Returns the call in plain data; `None` while it is being set up or ended.
    pub(crate) fn snapshot(&self, now: Instant, edge: &Edge) -> Option<CallSnapshot> {
        let Call { shared, parts } = self;
        let (key, legs) = (shared.key, &shared.legs);
        let CallParts { bridge, search, recorders, program, requested, transfers: _ } = parts;
        if !self.is_under_way() {
            return None;
        }
        let under_way: &[EndId] = bridge.negotiation.renegotiation.as_ref().map_or(&[], |pending| &pending.added);
        let servers: Vec<LegId> = recorders.siprec.servers().collect();
        let written = legs.snapshot(now, edge, under_way, &servers)?;
        let has_callee = written.has_callee();
        let targets = match program.run() {
            Some(run) => run.of_caller().targets_behind().collect(),
            None if has_callee => Vec::new(),
            None => search.targets_left(shared),
        };
        let request = requested.as_deref().zip(shared.origin.as_deref());
        Some(CallSnapshot {
            sid: legs.sid().to_owned(),
            facts: shared.facts.clone(),
            times: shared.times.snapshot()?,
            story: shared.story.snapshot(),
            session: MediaSessionSnapshot::of(edge, shared.session?, |end| written.has_end(end))?,
            media: bridge.media.snapshot(now, &written, program.parted_wires()),
            recorders: recorders.snapshot(&written),
            program: ProgramSnapshot::of((now, key), edge, program, (legs, has_callee)),
            requested: request.map(|(rest, origin)| rest.snapshot(now, origin)),
            targets,
            listeners: listeners(legs),
            legs: written,
            age: Duration::ZERO,
        })
    }

    /// Restores the call: enters dialogs and ports in the index, and sends the media worker its commands again.
    pub(crate) fn restore(now: Instant, edge: &mut Edge, key: CallKey, snapshot: CallSnapshot) -> Call {
        let CallSnapshot {
            sid,
            facts,
            times,
            story,
            session,
            mut legs,
            media,
            recorders,
            program,
            requested,
            age,
            // Agents and targets are connected once all calls are restored.
            targets: _,
            listeners: _,
        } = snapshot;
        // Timers count from the snapshot.
        let then = now.checked_sub(age).unwrap_or(now);
        let lived = CallTimes::since_answer(&times, edge.date(now));
        let rounds = lived.as_secs() / ROLL_OVER.as_secs() + 1;
        legs.resume_srtp(rounds);
        let session = session.restore(edge, key);
        let legs = Legs::restore(then, edge, key, session, legs);
        let media = CallMedia::restore(then, edge, session, media);
        let program = program.restore(then, edge, &sid);
        let recorders = CallRecorders::restore(edge, &legs, recorders);
        edge.begin_trace(now, key, &sid);
        edge.index_mut().sids.insert(sid, key);
        edge.decide(now, key, "the edge was restarted");
        let (origin, requested) = requested.map(|requested| PendingCallRequest::restore(then, requested)).unzip();
        let shared = SharedCallState {
            key,
            state: if legs.callee.is_some() { CallState::Answered } else { CallState::Rerouting },
            facts: CallFacts { record: false, ..facts },
            times: CallTimes::restore(then, times),
            deadlines: SmallMap::default(),
            ending: None,
            is_programmed: program.is_running(),
            awaits_verdict: false,
            origin,
            legs,
            session: Some(session),
            listeners: CallerListeners::default(),
            story: CallNotes::restore(story),
        };
        let bridge = Bridge { media, ..Bridge::default() };
        // Last, because nothing takes the call off these counts if this function panics.
        edge.admission_mut().begin(now, shared.legs.iter().next().map_or("", Leg::trunk_name));
        let live = shared.legs.iter().filter(|leg| leg.state == LegState::Answered);
        // A recording server is not a call of its trunk.
        let trunks = live.filter_map(Leg::limited_by).filter(|trunk| trunk.siprec.is_none());
        trunks.for_each(|trunk| edge.resume_trunk_call(&trunk.name));
        Call { shared, parts: CallParts { bridge, recorders, program, requested, ..CallParts::default() } }
    }
}
