//! Parties of a call, as named in requests.

/// Party of a call between two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallParty {
    /// Calling party, or the party that took its place.
    Caller,
    /// Called party.
    Callee,
}

impl CallParty {
    /// Both parties.
    pub const ALL: [CallParty; 2] = [CallParty::Caller, CallParty::Callee];

    /// Returns the name of the party in requests and traces.
    pub const fn name(self) -> &'static str {
        match self {
            CallParty::Caller => "caller",
            CallParty::Callee => "callee",
        }
    }
}
