//! Identifiers of calls, attempts, queries and legs.

/// A call, numbered in order of arrival; never reused, so that stale deadlines and look-ups find no call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

/// Number of one of the concurrent attempts of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch(u8);

impl Branch {
    /// Number of an attempt at a target that is tried alone; agents always are.
    pub const ALONE: Branch = Branch(0);

    /// Returns the concurrent attempt with this number.
    pub const fn nth(number: u8) -> Branch {
        Branch(number)
    }

    /// Returns the number as an index.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// A DNS query, or a query of a call's application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A leg of a call, numbered in the order in which legs were added; never reused within the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(u16);

impl LegId {
    /// Leg of the caller.
    pub const CALLER: LegId = LegId(0);

    /// Returns the leg at an index in the list of its call; a call has far fewer than 65,536.
    pub fn nth(place: usize) -> LegId {
        LegId(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// Returns the index in the list of its call.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
