//! State of a call.

/// State of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallState {
    /// The caller's INVITE has no final response yet.
    Searching,
    /// The caller has its 2xx and is connected.
    Answered,
    /// The caller has its 2xx, but no target for good: the search continues, or an application has the call.
    Rerouting,
    /// No target is left, and the caller hears a goodbye.
    Leaving,
    /// The call is recorded; legs may still wait for their last responses.
    Ended,
}

impl CallState {
    /// Returns whether a call may enter this state. An unusable first answer returns the call to an earlier state.
    pub(crate) const fn may_become(self, next: CallState) -> bool {
        match self {
            CallState::Searching | CallState::Answered | CallState::Rerouting => true,
            CallState::Leaving => matches!(next, CallState::Ended),
            CallState::Ended => false,
        }
    }
}
