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
}
