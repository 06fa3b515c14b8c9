//! The legs of a call.

use std::ops::{Index, IndexMut};
use std::slice::{Iter, IterMut};

use trunkgate_resources::key::LegId;

use crate::call::legs::leg::Leg;

/// The legs of a call: the caller's first, then one for each attempt. The list is never shortened, so that an id stays good.
#[derive(Debug)]
pub(crate) struct Legs {
    list: Vec<Leg>,
    /// The leg that is answered or connected: the caller's, unless the caller has sent the other side on.
    pub(crate) near: LegId,
    /// The leg that has it.
    pub(crate) callee: Option<LegId>,
    /// The leg that answered first.
    pub(crate) answered_by: Option<LegId>,
}

impl Legs {
    /// Returns the legs of a new call: its caller's, with room for a callee's.
    pub(crate) fn of_caller(leg: Leg) -> Legs {
        let mut legs = Vec::with_capacity(2);
        legs.push(leg);
        Legs { list: legs, near: LegId::CALLER, callee: None, answered_by: None }
    }

    /// Returns the legs of a call that is restored.
    pub(crate) fn restored(list: Vec<Leg>, callee: Option<LegId>) -> Legs {
        let answered_by = (list.len() > 1).then(|| LegId::nth(1));
        Legs { list, near: LegId::CALLER, callee, answered_by }
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
    pub(crate) fn find(&self, mut is_so: impl FnMut(&Leg) -> bool) -> Option<LegId> {
        self.list.iter().position(|leg| is_so(leg)).map(LegId::nth)
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
