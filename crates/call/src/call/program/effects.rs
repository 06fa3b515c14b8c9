//! What a program acts on below it, and what it returns to the call above it.

use trunkgate_story::reason::ReasonSlug;

use crate::call::negotiation::Bridge;
use crate::call::recorders::Recorders;
use crate::call::search::Search;
use crate::call::search::controller::TargetResult;
use crate::call::shared::Next;
use crate::call::words::answer::FinalAnswer;

/// The parts of a call that a program, a transfer or a requested call acts on directly: those below it.
#[derive(Debug)]
pub(crate) struct LowerParts<'a> {
    /// The bridge between the caller and the side that has the call.
    pub(crate) bridge: &'a mut Bridge,
    /// The search for the parties that the program dials.
    pub(crate) search: &'a mut Search,
    /// The recorders.
    pub(crate) recorders: &'a mut Recorders,
}

impl<'a> LowerParts<'a> {
    /// Takes the three.
    pub(crate) fn of(bridge: &'a mut Bridge, search: &'a mut Search, recorders: &'a mut Recorders) -> LowerParts<'a> {
        LowerParts { bridge, search, recorders }
    }
}

/// A consequence that a program, or a part of it, returns: it is carried out once its own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum ProgramEffect {
    /// Nothing: only its own state has changed.
    Stay,
    /// The interpreter has an input: its steps are carried out.
    Run,
    /// The call ends, its caller is refused, or the targets that are left are tried.
    Next(Next),
    /// The controller of the search is asked what is next.
    Advance,
    /// The same, after a target that was not connected.
    NotConnected(Box<TargetResult>),
    /// The target that is tried alone has failed.
    TargetFailed(Box<TargetResult>),
    /// The connected party has left, for this reason.
    SideLeft(ReasonSlug),
}

impl ProgramEffect {
    /// The answered call ends.
    pub(crate) fn end(reason: ReasonSlug) -> ProgramEffect {
        ProgramEffect::Next(Next::End(reason))
    }

    /// The caller's INVITE is refused.
    pub(crate) fn refuse(answer: FinalAnswer) -> ProgramEffect {
        ProgramEffect::Next(Next::Refuse(Box::new(answer)))
    }

    /// The targets that are left are tried for a caller that has its answer.
    pub(crate) fn search_on() -> ProgramEffect {
        ProgramEffect::Next(Next::Search)
    }

    /// Returns it with the program's steps behind it.
    pub(crate) fn or_run(self) -> ProgramEffect {
        if self.is_own() { ProgramEffect::Run } else { self }
    }

    /// Returns whether the program's next step follows at once.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            ProgramEffect::Stay | ProgramEffect::Run => true,
            ProgramEffect::Next(Next::Stay) => true,
            ProgramEffect::Next(_)
            | ProgramEffect::Advance
            | ProgramEffect::NotConnected(_)
            | ProgramEffect::TargetFailed(_)
            | ProgramEffect::SideLeft(_) => false,
        }
    }
}
