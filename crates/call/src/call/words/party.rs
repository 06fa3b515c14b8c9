//! The parties of a call, as requests name them.

/// A party of a call between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallParty {
    /// The one that called, or that took its place.
    Caller,
    /// The one that was called.
    Callee,
}

impl CallParty {
    /// Both.
    pub const ALL: [CallParty; 2] = [CallParty::Caller, CallParty::Callee];

    /// Name in requests and traces.
    pub const fn name(self) -> &'static str {
        match self {
            CallParty::Caller => "caller",
            CallParty::Callee => "callee",
        }
    }
}
