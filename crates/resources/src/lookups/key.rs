//! Names by which what calls share knows them: calls, and attempts of a call.

/// A call, numbered in the order of arrival; never used again, so that a stale deadline or look-up meets nobody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallKey(pub u64);

/// Which of the attempts of a call that run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Branch(u8);

impl Branch {
    /// A target that is tried alone; an agent always is.
    pub const ALONE: Branch = Branch(0);

    /// Returns the attempt of this number among those that run at once.
    pub const fn nth(number: u8) -> Branch {
        Branch(number)
    }

    /// Returns its number.
    pub fn place(self) -> usize {
        usize::from(self.0)
    }
}

/// A question to the name service, or of a call's application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u64);

/// A leg of a call, numbered in the order in which legs came to it; never used again within the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LegId(u16);

impl LegId {
    /// The leg by which the call came.
    pub const CALLER: LegId = LegId(0);

    /// Returns the leg at a place in the list of its call; a call has far fewer than 65,536.
    pub fn nth(place: usize) -> LegId {
        LegId(u16::try_from(place).unwrap_or(u16::MAX))
    }

    /// Returns its place in the list of its call.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}
