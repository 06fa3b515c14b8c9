//! The state of a call.

/// Where a call stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// The caller's INVITE has no final answer yet.
    Searching,
    /// The caller has its 2xx and is connected.
    Answered,
    /// The caller has its 2xx, and the agent that it talked to no longer, or only until then: another target is searched for.
    Rerouting,
    /// No target is left: the caller hears a goodbye.
    Leaving,
    /// Recorded; legs may still wait for the last answers to what ended them.
    Ended,
}

impl State {
    /// Whether a call may go on to this state. Back to `Searching` and `Answered` leads a first answer that proves unusable.
    pub(crate) const fn may_become(self, next: State) -> bool {
        match self {
            State::Searching | State::Answered | State::Rerouting => true,
            State::Leaving => matches!(next, State::Ended),
            State::Ended => false,
        }
    }
}
