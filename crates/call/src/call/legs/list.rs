//! Legs of a call.

use std::ops::{Index, IndexMut};
use std::slice::{Iter, IterMut};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, MediaId};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::LegRef;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sip::{DialogId, ServerId};
use trunkgate_story::few::SmallMap;
use trunkgate_story::quality::ScoreSum;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::hold::{HoldKind, LegHold};
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::snapshot::{FormerAgentSnapshot, LegSnapshot};
use crate::call::words::answer::{FinalAnswer, refuse_request};
use crate::call::words::crash_gap::CrashGap;

/// Legs of a call: the caller's first, then one for each attempt. Legs are never removed, so ids stay valid.
#[derive(Debug)]
pub(crate) struct Legs {
    pub(super) key: CallKey,
    list: Vec<Leg>,
    /// Leg that is answered or connected: the caller's, unless the caller has transferred the other side.
    pub(crate) near: LegId,
    /// Leg on the other side of `near`; `None` while no target is connected.
    pub(crate) callee: Option<LegId>,
    /// Leg that answered first.
    pub(crate) answered_by: Option<LegId>,
    /// Holds handled by the edge, keyed by the leg that holds the other one.
    pub(crate) holds: SmallMap<LegId, LegHold>,
}

/// Sides of an answered call in plain data. Other legs, and the sounds and players of holds, are not included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegsSnapshot {
    /// The caller's leg, then the callee's if that is a remote party.
    kept: Vec<LegSnapshot>,
    /// Holds handled by the edge, with the index of their leg in `kept`.
    holds: Vec<(usize, HoldKind)>,
    former: Option<FormerAgentSnapshot>,
    /// Legs of recording servers.
    servers: Vec<LegSnapshot>,
    /// Ids of `servers` in the process that made the snapshot, in the same order.
    #[serde(skip)]
    server_ids: Vec<LegId>,
}

impl LegsSnapshot {
    /// Returns whether the caller talks to a remote party.
    pub(crate) fn has_callee(&self) -> bool {
        self.kept.len() > 1
    }

    /// Returns whether a stored leg has this media end.
    pub(crate) fn has_end(&self, end: EndId) -> bool {
        self.kept.iter().chain(&self.servers).flat_map(|leg| &leg.ends).any(|kept| kept.end == end)
    }

    /// Prepares the SRTP state of all legs to continue in this process. The sequence numbers of each remote party may
    /// have rolled over up to `rolled` times.
    pub(crate) fn resume_srtp(&mut self, rolled: u64) {
        self.kept.iter_mut().chain(&mut self.servers).for_each(|leg| leg.resume_srtp(rolled));
    }

    /// Skips numbers that crashed processes may have used in the dialogs and descriptions of the legs.
    pub(crate) fn skip_numbers(&mut self, gap: CrashGap) {
        self.kept.iter_mut().chain(&mut self.servers).for_each(|leg| leg.skip_numbers(gap));
    }

    /// Returns the index in `servers` of a recording server, given by its id in the process that made the snapshot.
    pub(crate) fn server(&self, leg: LegId) -> Option<usize> {
        self.server_ids.iter().position(|id| *id == leg)
    }
}

impl Legs {
    /// Creates the legs of a new call: its caller's, with room for a callee's.
    pub(crate) fn of_caller(key: CallKey, leg: Leg) -> Legs {
        let mut legs = Vec::with_capacity(2);
        legs.push(leg);
        Legs { key, list: legs, near: LegId::CALLER, callee: None, answered_by: None, holds: SmallMap::default() }
    }

    /// Returns whether the dialogs of both sides are confirmed.
    pub(crate) fn are_confirmed(&self, edge: &Edge) -> bool {
        let callee = self.callee.filter(|leg| self[*leg].agent.is_none());
        let dialogs = [Some(self.near), callee].into_iter().flatten().map(|leg| self[leg].sip.dialog);
        dialogs.into_iter().all(|dialog| dialog.is_some_and(|dialog| edge.endpoint().is_settled(dialog)))
    }

    /// Returns the sides of an answered call in plain data; `None` if one has no confirmed dialog. `under_way` are ends
    /// that are not agreed on yet, `servers` the legs of recording servers that continue.
    pub(crate) fn snapshot(
        &self,
        now: Instant,
        edge: &Edge,
        under_way: &[EndId],
        servers: &[LegId],
    ) -> Option<LegsSnapshot> {
        let Legs { list: _, near, callee, answered_by, holds, key: _ } = self;
        let callee_kept = callee.filter(|leg| self[*leg].agent.is_none());
        let kept = [Some(*near), callee_kept].into_iter().flatten();
        let mut kept: Vec<LegSnapshot> =
            kept.map(|leg| self[leg].snapshot(now, edge, under_way)).collect::<Option<_>>()?;
        // A call keeps its SID even if its caller's leg is gone after a transfer.
        self.sid().clone_into(&mut kept.first_mut()?.sid);
        let server = |leg: &LegId| Some((self[*leg].snapshot(now, edge, &[])?, *leg));
        let (servers, server_ids) = servers.iter().filter_map(server).unzip();
        Some(LegsSnapshot {
            kept,
            servers,
            server_ids,
            holds: holds.iter().map(|(leg, hold)| (usize::from(leg != *near), hold.kind)).collect(),
            former: callee.or(*answered_by).and_then(|leg| self[leg].former_snapshot()),
        })
    }

    /// Restores the legs and their dialogs; players for held sides are added later.
    pub(crate) fn restore(
        now: Instant,
        edge: &mut Edge,
        key: CallKey,
        session: MediaId,
        snapshot: LegsSnapshot,
    ) -> Legs {
        let LegsSnapshot { kept, holds: held, former, servers, server_ids: _ } = snapshot;
        let callee = (kept.len() > 1).then_some(LegId::nth(1));
        let mut holds = SmallMap::default();
        for (leg, kind) in held.into_iter().filter(|(leg, _)| *leg < kept.len()) {
            holds.insert(LegId::nth(leg), LegHold::of(kind));
        }
        let place = |at| LegRef { key, leg: LegId::nth(at) };
        let kept = kept.into_iter().enumerate();
        let mut list: Vec<Leg> = kept.map(|(at, leg)| Leg::restore(now, edge, place(at), session, leg)).collect();
        list.extend(former.map(|former| Leg::restore_former(now, edge, former)));
        let answered_by = (list.len() > 1).then(|| LegId::nth(1));
        for server in servers {
            list.push(Leg::restore(now, edge, place(list.len()), session, server));
        }
        Legs { key, list, near: LegId::CALLER, callee, answered_by, holds }
    }

    /// Returns the id of a recording server in restored legs: the last `servers` legs are those of recording servers,
    /// `at` is the index among them.
    pub(crate) fn nth_server(&self, at: usize, servers: usize) -> LegId {
        LegId::nth(self.list.len().saturating_sub(servers) + at)
    }

    /// Adds a leg and returns its id.
    pub(crate) fn push(&mut self, leg: Leg) -> LegId {
        self.list.push(leg);
        LegId::nth(self.list.len() - 1)
    }

    /// Returns the id of the next leg to be added.
    pub(crate) fn next_id(&self) -> LegId {
        LegId::nth(self.list.len())
    }

    /// Returns the number of legs, including ended ones.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the hold music of a leg's trunk.
    pub(crate) fn music_of(&self, holder: LegId) -> Option<Arc<[u8]>> {
        self[holder].trunk.as_ref().and_then(|trunk| trunk.hold_music.clone())
    }

    /// Returns whether a leg has this id.
    pub(crate) fn has(&self, id: LegId) -> bool {
        id.index() < self.list.len()
    }

    /// Reserves memory for exactly `more` legs.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.list.reserve_exact(more);
    }

    /// Releases unused memory.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Returns the leg with this id, if there is one.
    pub(crate) fn get(&self, id: LegId) -> Option<&Leg> {
        self.list.get(id.index())
    }

    /// Returns the leg with this id for modification.
    pub(crate) fn get_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.list.get_mut(id.index())
    }

    /// Returns the leg that is answered or connected.
    pub(crate) fn near_leg(&self) -> &Leg {
        &self[self.near]
    }

    /// Returns the leg that is answered or connected for modification.
    pub(crate) fn near_leg_mut(&mut self) -> &mut Leg {
        let near = self.near;
        &mut self[near]
    }

    /// Iterates over all legs, the caller's first.
    pub(crate) fn iter(&self) -> Iter<'_, Leg> {
        self.list.iter()
    }

    /// Iterates over all legs for modification.
    pub(crate) fn iter_mut(&mut self) -> IterMut<'_, Leg> {
        self.list.iter_mut()
    }

    /// Iterates over the ids of all legs.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LegId> + use<> {
        (0..self.list.len()).map(LegId::nth)
    }

    /// Iterates over all legs with their ids.
    pub(crate) fn with_ids(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        self.ids().zip(&self.list)
    }

    /// Returns the first leg that matches `is_so`.
    pub(crate) fn find(&self, is_so: impl FnMut(&Leg) -> bool) -> Option<LegId> {
        self.list.iter().position(is_so).map(LegId::nth)
    }

    /// Returns the SID of the call, which is that of its first leg.
    pub(crate) fn sid(&self) -> &str {
        &self[LegId::CALLER].sid
    }

    /// Returns the reference to a leg of this call, as used in look-ups.
    pub(crate) fn place(&self, leg: LegId) -> LegRef {
        LegRef { key: self.key, leg }
    }

    /// Returns the name of a leg for messages: agent, trunk, or peer.
    pub(crate) fn name_of(&self, leg: LegId) -> String {
        let leg = &self[leg];
        if let Some(side) = &leg.agent {
            return side.agent.shown().to_owned();
        }
        if leg.trunk.is_some() { leg.trunk_name().to_owned() } else { leg.peer.clone() }
    }

    /// Returns the leg on the other side of an answered call; `None` if `leg` is not a side of it.
    pub(crate) fn other(&self, leg: LegId) -> Option<LegId> {
        if leg == self.near { self.callee } else { Some(self.near).filter(|_| self.callee == Some(leg)) }
    }

    /// Returns whether a leg is one of the two connected sides.
    pub(crate) fn is_side(&self, leg: LegId) -> bool {
        leg == self.near || self.callee == Some(leg)
    }

    /// Returns the leg of a media end.
    pub(crate) fn leg_of(&self, end: EndId) -> Option<LegId> {
        self.find(|leg| leg.ends.iter().any(|e| e.end == end))
    }

    /// Iterates over the answered legs of remote parties.
    pub(crate) fn talking(&self) -> impl Iterator<Item = LegId> + '_ {
        let talks = |leg: &Leg| leg.state == LegState::Answered && leg.sip.dialog.is_some() && !leg.records();
        self.ids().filter(move |at| talks(&self[*at]))
    }

    /// Returns whether the caller's ports are known to be bound.
    pub(crate) fn is_bound(&self) -> bool {
        self[LegId::CALLER].ends.iter().all(|end| end.is_bound)
    }

    /// Returns the side of an answered call that has sent no media, if the other side has.
    pub(crate) fn silent_leg(&self) -> Option<LegId> {
        let callee = self.callee?;
        let heard = |leg: LegId| self[leg].rtp().rx_packets > 0;
        match (heard(self.near), heard(callee)) {
            (true, false) => Some(callee),
            (false, true) => Some(self.near),
            (true, true) | (false, false) => None,
        }
    }

    /// Returns the combined scores of all legs.
    pub(crate) fn scores(&self) -> ScoreSum {
        let mut all = ScoreSum::default();
        for leg in self {
            all.add(leg.scores());
        }
        all
    }

    /// Sets the end of the call as reason for every leg that has not ended on its own.
    pub(crate) fn end_legs_with(&mut self, reason: ReasonSlug) {
        let by_caller = matches!(reason, ReasonSlug::CallerHungUp | ReasonSlug::CallerCanceled);
        for (at, leg) in self.ids().zip(self) {
            leg.end_with(reason, if at == LegId::CALLER && by_caller { EndedBy::FarEnd } else { EndedBy::Edge });
        }
    }

    /// Marks canceled INVITEs as answered elsewhere, for CANCELs that are sent only later, after a first response.
    pub(crate) fn completed(&self, edge: &mut Edge) {
        let withdrawn = self.iter().filter(|leg| leg.state == LegState::Canceling);
        withdrawn.filter_map(|leg| leg.sip.invite).for_each(|client| edge.answered_elsewhere(client));
    }

    /// Ends a canceled leg; does nothing for any other leg.
    pub(crate) fn withdrawn(&mut self, edge: &mut Edge, leg: LegId) {
        if self[leg].state == LegState::Canceling {
            self.leg_gone(edge, leg);
        }
    }

    /// Records the times of answer and end of calls to parties.
    pub(crate) fn note_times(&mut self, edge: &Edge, now: Instant) {
        for leg in &mut self.list {
            let state = leg.state;
            if let Some(dialled) = leg.sip.dialled.as_mut().filter(|dialled| dialled.lacks_time_of(state)) {
                dialled.reach(state, edge.date(now));
            }
        }
    }

    /// Ends a leg and removes its dialog from the index.
    pub(crate) fn leg_gone(&mut self, edge: &mut Edge, leg: LegId) {
        let leg = &mut self[leg];
        leg.enter(LegState::Ended);
        if let Some(dialog) = leg.sip.dialog.take() {
            edge.index_mut().dialogs.remove(&dialog);
        }
    }

    /// Sets a leg's dialog and adds it to the index.
    pub(crate) fn own_dialog(&mut self, edge: &mut Edge, leg: LegId, dialog: DialogId) {
        if let Some(before) = self[leg].sip.dialog.replace(dialog).filter(|before| *before != dialog) {
            edge.index_mut().dialogs.remove(&before);
        }
        edge.index_mut().dialogs.insert(dialog, self.place(leg));
    }

    /// Refuses the caller's INVITE if its 2xx is still held back for a PRACK. Returns whether it was.
    pub(crate) fn refuse_held_back(&mut self, now: Instant, edge: &mut Edge, leg: LegId, reason: ReasonSlug) -> bool {
        let Some(server) = self[leg].sip.server.filter(|server| edge.endpoint().holds_back(*server)) else {
            return false;
        };
        self[leg].sip.server = None;
        edge.index_mut().servers.remove(&server);
        edge.respond(now, server, FinalAnswer::new(480, reason).to_sip());
        self.leg_gone(edge, leg);
        true
    }

    /// Removes a leg from the count of live calls of its trunk.
    pub(crate) fn leave_trunk(&self, edge: &mut Edge, leg: LegId) {
        if let Some(trunk) = self[leg].limited_by() {
            edge.end_trunk_call(&trunk.name);
        }
    }

    /// Refuses a request with 491 if its leg is not one of the two connected sides. Returns whether it was refused.
    pub(crate) fn refuse_outsider(&self, now: Instant, edge: &mut Edge, leg: LegId, server: ServerId) -> bool {
        let is_outsider = !self.is_side(leg);
        if is_outsider {
            refuse_request(now, edge, server, 491);
        }
        is_outsider
    }
}

impl Index<LegId> for Legs {
    type Output = Leg;

    fn index(&self, id: LegId) -> &Leg {
        &self.list[id.index()]
    }
}

impl IndexMut<LegId> for Legs {
    fn index_mut(&mut self, id: LegId) -> &mut Leg {
        &mut self.list[id.index()]
    }
}

impl<'a> IntoIterator for &'a Legs {
    type Item = &'a Leg;
    type IntoIter = Iter<'a, Leg>;

    fn into_iter(self) -> Iter<'a, Leg> {
        self.list.iter()
    }
}

impl<'a> IntoIterator for &'a mut Legs {
    type Item = &'a mut Leg;
    type IntoIter = IterMut<'a, Leg>;

    fn into_iter(self) -> IterMut<'a, Leg> {
        self.list.iter_mut()
    }
}
