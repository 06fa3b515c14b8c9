//! What a part of a program asks for once its own work is done.

/// A consequence that a part of a program returns: what it wants of the program, which is above it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(crate) enum ProgramEffect {
    /// Nothing: it has changed only its own state.
    Stay,
    /// The interpreter has an input: its steps are carried out.
    Run,
}
