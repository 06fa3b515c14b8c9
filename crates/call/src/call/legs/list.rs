//! The legs of a call.

use std::ops::{Index, IndexMut};
use std::slice::{Iter, IterMut};
use std::sync::Arc;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use trunkgate_media::{EndId, MediaId};
use trunkgate_resources::edge::Edge;
use trunkgate_resources::lookups::index::Place;
use trunkgate_resources::lookups::key::{CallKey, LegId};
use trunkgate_sip::{DialogId, ServerId};
use trunkgate_story::few::Few;
use trunkgate_story::quality::Scored;
use trunkgate_story::reason::ReasonSlug;

use crate::call::legs::hold::{Hold, HoldKind};
use crate::call::legs::leg::{Leg, LegState};
use crate::call::legs::leg_end::EndedBy;
use crate::call::legs::snapshot::{FormerAgentSnapshot, LegSnapshot};
use crate::call::words::answer::{FinalAnswer, refuse_request};

/// The legs of a call: the caller's first, then one for each attempt. The list is never shortened, so that an id stays good.
#[derive(Debug)]
pub(crate) struct Legs {
    /// The call.
    pub(super) key: CallKey,
    list: Vec<Leg>,
    /// The leg that is answered or connected: the caller's, unless the caller has sent the other side on.
    pub(crate) near: LegId,
    /// The leg that has it.
    pub(crate) callee: Option<LegId>,
    /// The leg that answered first.
    pub(crate) answered_by: Option<LegId>,
    /// Holds that end here, by the legs that hold the other one.
    pub(crate) holds: Few<LegId, Hold>,
}

/// The sides of an answered call in plain data. It does not carry legs that are no side of the call, and sounds and players of holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct LegsSnapshot {
    /// The caller's leg, then the callee's where that is a remote party.
    kept: Vec<LegSnapshot>,
    /// Holds that end here, by the places of their legs in `kept`.
    holds: Vec<(usize, HoldKind)>,
    /// The agent that had the caller.
    former: Option<FormerAgentSnapshot>,
}

impl LegsSnapshot {
    /// Whether the caller talks with a remote party.
    pub(crate) fn has_callee(&self) -> bool {
        self.kept.len() > 1
    }

    /// Whether a leg that is kept has this end.
    pub(crate) fn has_end(&self, end: EndId) -> bool {
        self.kept.iter().flat_map(|leg| &leg.ends).any(|kept| kept.end == end)
    }
}

impl Legs {
    /// Returns the legs of a new call: its caller's, with room for a callee's.
    pub(crate) fn of_caller(key: CallKey, leg: Leg) -> Legs {
        let mut legs = Vec::with_capacity(2);
        legs.push(leg);
        Legs { key, list: legs, near: LegId::CALLER, callee: None, answered_by: None, holds: Few::default() }
    }

    /// Writes the sides of an answered call down; `None` where one has no confirmed dialog. `under_way`: ends that are not agreed upon yet.
    pub(crate) fn snapshot(&self, now: Instant, edge: &Edge, under_way: &[EndId]) -> Option<LegsSnapshot> {
        let Legs { list: _, near, callee, answered_by, holds, key: _ } = self;
        let callee_kept = callee.filter(|leg| self[*leg].agent.is_none());
        let kept = [Some(*near), callee_kept].into_iter().flatten();
        let mut kept: Vec<LegSnapshot> =
            kept.map(|leg| self[leg].snapshot(now, edge, under_way)).collect::<Option<_>>()?;
        // The call's own: of one that its caller has transferred, the caller's leg is not kept.
        self.sid().clone_into(&mut kept.first_mut()?.sid);
        Some(LegsSnapshot {
            kept,
            holds: holds.iter().map(|(leg, hold)| (usize::from(leg != *near), hold.kind)).collect(),
            former: callee.or(*answered_by).and_then(|leg| self[leg].former_snapshot()),
        })
    }

    /// Makes the legs again, and their dialogs; what plays to a held side is made later.
    pub(crate) fn restore(
        now: Instant,
        edge: &mut Edge,
        key: CallKey,
        session: MediaId,
        snapshot: LegsSnapshot,
    ) -> Legs {
        let LegsSnapshot { kept, holds: held, former } = snapshot;
        let callee = (kept.len() > 1).then_some(LegId::nth(1));
        let mut holds = Few::default();
        for (leg, kind) in held.into_iter().filter(|(leg, _)| *leg < kept.len()) {
            holds.insert(LegId::nth(leg), Hold::of(kind));
        }
        let place = |at| Place { key, leg: LegId::nth(at) };
        let kept = kept.into_iter().enumerate();
        let mut list: Vec<Leg> = kept.map(|(at, leg)| Leg::restore(now, edge, place(at), session, leg)).collect();
        list.extend(former.map(|former| Leg::restore_former(now, edge, former)));
        let answered_by = (list.len() > 1).then(|| LegId::nth(1));
        Legs { key, list, near: LegId::CALLER, callee, answered_by, holds }
    }

    /// Adds a leg.
    pub(crate) fn push(&mut self, leg: Leg) -> LegId {
        self.list.push(leg);
        LegId::nth(self.list.len() - 1)
    }

    /// Returns the id that the next leg gets.
    pub(crate) fn next_id(&self) -> LegId {
        LegId::nth(self.list.len())
    }

    /// Returns the number of legs, those included that are over.
    pub(crate) fn len(&self) -> usize {
        self.list.len()
    }

    /// Returns the music that a leg's trunk has for a side that it holds.
    pub(crate) fn music_of(&self, holder: LegId) -> Option<Arc<[u8]>> {
        self[holder].trunk.as_ref().and_then(|trunk| trunk.hold_music.clone())
    }

    /// Whether it has a leg of this id.
    pub(crate) fn has(&self, id: LegId) -> bool {
        id.index() < self.list.len()
    }

    /// Makes room for one more leg, and for no others.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.list.reserve_exact(more);
    }

    /// Gives room back that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.list.shrink_to_fit();
    }

    /// Returns the leg of this id, where there is one.
    pub(crate) fn get(&self, id: LegId) -> Option<&Leg> {
        self.list.get(id.index())
    }

    /// Returns the leg of this id, to be changed.
    pub(crate) fn get_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.list.get_mut(id.index())
    }

    /// Returns the leg that is answered or connected.
    pub(crate) fn near_leg(&self) -> &Leg {
        &self[self.near]
    }

    /// Returns the leg that is answered or connected, to be changed.
    pub(crate) fn near_leg_mut(&mut self) -> &mut Leg {
        let near = self.near;
        &mut self[near]
    }

    /// Returns every leg, the caller's first.
    pub(crate) fn iter(&self) -> Iter<'_, Leg> {
        self.list.iter()
    }

    /// Returns every leg, to be changed.
    pub(crate) fn iter_mut(&mut self) -> IterMut<'_, Leg> {
        self.list.iter_mut()
    }

    /// Returns the id of every leg.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LegId> + use<> {
        (0..self.list.len()).map(LegId::nth)
    }

    /// Returns every leg with its id.
    pub(crate) fn with_ids(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        self.ids().zip(&self.list)
    }

    /// Returns the first leg that is so.
    pub(crate) fn find(&self, is_so: impl FnMut(&Leg) -> bool) -> Option<LegId> {
        self.list.iter().position(is_so).map(LegId::nth)
    }

    /// The call's sid: its first leg's.
    pub(crate) fn sid(&self) -> &str {
        &self[LegId::CALLER].sid
    }

    /// A leg's place in the look-ups.
    pub(crate) fn place(&self, leg: LegId) -> Place {
        Place { key: self.key, leg }
    }

    /// A leg's name in sentences.
    pub(crate) fn name_of(&self, leg: LegId) -> String {
        let leg = &self[leg];
        if let Some(side) = &leg.agent {
            return side.agent.shown().to_owned();
        }
        if leg.trunk.is_some() { leg.trunk_name().to_owned() } else { leg.peer.clone() }
    }

    /// The leg on the other side of an answered call.
    pub(crate) fn other(&self, leg: LegId) -> Option<LegId> {
        if leg == self.near { self.callee } else { Some(self.near).filter(|_| self.callee == Some(leg)) }
    }

    /// Whether a leg is one of the two sides.
    pub(crate) fn is_side(&self, leg: LegId) -> bool {
        leg == self.near || self.callee == Some(leg)
    }

    /// The leg that an end belongs to.
    pub(crate) fn leg_of(&self, end: EndId) -> Option<LegId> {
        self.find(|leg| leg.ends.iter().any(|e| e.end == end))
    }

    /// The legs of far ends that have answered.
    pub(crate) fn talking(&self) -> impl Iterator<Item = LegId> + '_ {
        let talks = |leg: &Leg| leg.state == LegState::Answered && leg.sip.dialog.is_some() && !leg.records();
        self.ids().filter(move |at| talks(&self[*at]))
    }

    /// Whether the caller's ports are known to be ours.
    pub(crate) fn is_bound(&self) -> bool {
        self[LegId::CALLER].ends.iter().all(|end| end.is_bound)
    }

    /// The side of an answered call of which no media has come while the other side's has.
    pub(crate) fn silent_leg(&self) -> Option<LegId> {
        let callee = self.callee?;
        let heard = |leg: LegId| self[leg].rtp().rx_packets > 0;
        match (heard(self.near), heard(callee)) {
            (true, false) => Some(callee),
            (false, true) => Some(self.near),
            (true, true) | (false, false) => None,
        }
    }

    /// Scores of all sides.
    pub(crate) fn scores(&self) -> Scored {
        let mut all = Scored::default();
        for leg in self {
            all.add(leg.scores());
        }
        all
    }

    /// Says of each leg that has not ended on its own that the call's end ended it.
    pub(crate) fn end_legs_with(&mut self, reason: ReasonSlug) {
        let by_caller = matches!(reason, ReasonSlug::CallerHungUp | ReasonSlug::CallerCanceled);
        for (at, leg) in self.ids().zip(self) {
            leg.end_with(reason, if at == LegId::CALLER && by_caller { EndedBy::FarEnd } else { EndedBy::Edge });
        }
    }

    /// A target has answered: an earlier one that has been withdrawn, and still only now gives a sign of life, is told so.
    pub(crate) fn completed(&self, edge: &mut Edge) {
        let withdrawn = self.iter().filter(|leg| leg.state == LegState::Canceling);
        withdrawn.filter_map(|leg| leg.sip.invite).for_each(|client| edge.answered_elsewhere(client));
    }

    /// A withdrawn INVITE is final.
    pub(crate) fn withdrawn(&mut self, edge: &mut Edge, leg: LegId) {
        if self[leg].state == LegState::Canceling {
            self.leg_gone(edge, leg);
        }
    }

    /// Notes when calls to parties were answered and ended.
    pub(crate) fn note_times(&mut self, edge: &Edge, now: Instant) {
        for leg in &mut self.list {
            let state = leg.state;
            if let Some(dialled) = leg.sip.dialled.as_mut().filter(|dialled| dialled.lacks_time_of(state)) {
                dialled.reach(state, edge.date(now));
            }
        }
    }

    /// Nothing is left of a leg.
    pub(crate) fn leg_gone(&mut self, edge: &mut Edge, leg: LegId) {
        let leg = &mut self[leg];
        leg.enter(LegState::Ended);
        if let Some(dialog) = leg.sip.dialog.take() {
            edge.index_mut().dialogs.remove(&dialog);
        }
    }

    /// Enters a leg's dialog.
    pub(crate) fn own_dialog(&mut self, edge: &mut Edge, leg: LegId, dialog: DialogId) {
        if let Some(before) = self[leg].sip.dialog.replace(dialog).filter(|before| *before != dialog) {
            edge.index_mut().dialogs.remove(&before);
        }
        edge.index_mut().dialogs.insert(dialog, self.place(leg));
    }

    /// The caller's 2xx waits for a PRACK, and is not to go out any more: the INVITE is refused instead. Whether that was so.
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

    /// Gives the place at the limits of its trunk back that a leg had.
    pub(crate) fn leave_trunk(&self, edge: &mut Edge, leg: LegId) {
        if let Some(trunk) = self[leg].limited_by() {
            edge.end_trunk_call(&trunk.name);
        }
    }

    /// Refuses a change of a leg that is no side of the call now.
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
