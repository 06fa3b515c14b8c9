//! The legs of a call.

use std::ops::{Index, IndexMut};
use std::slice::{Iter, IterMut};

use trunkgate_resources::key::LegId;

use crate::call::legs::leg::Leg;

/// The legs of a call: the caller's first, then one for each attempt. The list is never shortened, so that an id stays good.
#[derive(Debug)]
pub(crate) struct Legs(Vec<Leg>);

impl Legs {
    /// Returns the legs of a new call: its caller's, with room for a callee's.
    pub(crate) fn of_caller(leg: Leg) -> Legs {
        let mut legs = Vec::with_capacity(2);
        legs.push(leg);
        Legs(legs)
    }

    /// Returns the legs of a call that is restored.
    pub(crate) fn restored(legs: Vec<Leg>) -> Legs {
        Legs(legs)
    }

    /// Adds a leg.
    pub(crate) fn push(&mut self, leg: Leg) -> LegId {
        self.0.push(leg);
        LegId::nth(self.0.len() - 1)
    }

    /// Returns the id that the next leg gets.
    pub(crate) fn next_id(&self) -> LegId {
        LegId::nth(self.0.len())
    }

    /// Returns the number of legs, those included that are over.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has a leg of this id.
    pub(crate) fn has(&self, id: LegId) -> bool {
        id.index() < self.0.len()
    }

    /// Makes room for one more leg, and for no others.
    pub(crate) fn reserve_exact(&mut self, more: usize) {
        self.0.reserve_exact(more);
    }

    /// Gives room back that is not used.
    pub(crate) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Returns the leg of this id, where there is one.
    pub(crate) fn get(&self, id: LegId) -> Option<&Leg> {
        self.0.get(id.index())
    }

    /// Returns the leg of this id, to be changed.
    pub(crate) fn get_mut(&mut self, id: LegId) -> Option<&mut Leg> {
        self.0.get_mut(id.index())
    }

    /// Returns every leg, the caller's first.
    pub(crate) fn iter(&self) -> Iter<'_, Leg> {
        self.0.iter()
    }

    /// Returns every leg, to be changed.
    pub(crate) fn iter_mut(&mut self) -> IterMut<'_, Leg> {
        self.0.iter_mut()
    }

    /// Returns the id of every leg.
    pub(crate) fn ids(&self) -> impl Iterator<Item = LegId> + use<> {
        (0..self.0.len()).map(LegId::nth)
    }

    /// Returns every leg with its id.
    pub(crate) fn with_ids(&self) -> impl Iterator<Item = (LegId, &Leg)> {
        self.ids().zip(&self.0)
    }

    /// Returns the first leg that is so.
    pub(crate) fn find(&self, mut is_so: impl FnMut(&Leg) -> bool) -> Option<LegId> {
        self.0.iter().position(|leg| is_so(leg)).map(LegId::nth)
    }
}

impl Index<LegId> for Legs {
    type Output = Leg;

    fn index(&self, id: LegId) -> &Leg {
        &self.0[id.index()]
    }
}

impl IndexMut<LegId> for Legs {
    fn index_mut(&mut self, id: LegId) -> &mut Leg {
        &mut self.0[id.index()]
    }
}

impl<'a> IntoIterator for &'a Legs {
    type Item = &'a Leg;
    type IntoIter = Iter<'a, Leg>;

    fn into_iter(self) -> Iter<'a, Leg> {
        self.0.iter()
    }
}

impl<'a> IntoIterator for &'a mut Legs {
    type Item = &'a mut Leg;
    type IntoIter = IterMut<'a, Leg>;

    fn into_iter(self) -> IterMut<'a, Leg> {
        self.0.iter_mut()
    }
}
