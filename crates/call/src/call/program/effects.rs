//! The parts of a call below a program, and the effects that a program returns to the call above it.

use trunkgate_story::reason::ReasonSlug;

use crate::call::negotiation::Bridge;
use crate::call::recorders::CallRecorders;
use crate::call::search::Search;
use crate::call::search::controller::TargetResult;
use crate::call::shared::CallEffect;
use crate::call::words::answer::FinalAnswer;

/// The parts of a call on which a program, a transfer or a requested call acts directly.
#[derive(Debug)]
pub(crate) struct LowerParts<'a> {
    /// Bridge between the caller and the side that has the call.
    pub(crate) bridge: &'a mut Bridge,
    /// Search for the parties that the program dials.
    pub(crate) search: &'a mut Search,
    /// Recordings, detections and recording sessions (SIPREC).
    pub(crate) recorders: &'a mut CallRecorders,
}

impl<'a> LowerParts<'a> {
    /// Bundles bridge, search and recorders.
    pub(crate) fn of(
        bridge: &'a mut Bridge,
        search: &'a mut Search,
        recorders: &'a mut CallRecorders,
    ) -> LowerParts<'a> {
        LowerParts { bridge, search, recorders }
    }
}

/// Effect of a program, or of a part of it, on the call; carried out once the program's own work is done.
#[derive(Debug)]
#[must_use]
pub(crate) enum ProgramEffect {
    /// No effect: only the program's own state has changed.
    Stay,
    /// The interpreter has an input: the program's steps must be carried out.
    Run,
    /// The call ends, its caller is refused, or the remaining targets are tried.
    Next(CallEffect),
    /// The search continues with the controller's next step.
    Advance,
    /// The search continues after a target that was not connected.
    NotConnected(Box<TargetResult>),
    /// The target that is tried alone has failed.
    TargetFailed(Box<TargetResult>),
    /// The connected party has left.
    SideLeft(ReasonSlug),
}

impl ProgramEffect {
    /// Returns the effect that ends the answered call.
    pub(crate) fn end(reason: ReasonSlug) -> ProgramEffect {
        ProgramEffect::Next(CallEffect::End(reason))
    }

    /// Returns the effect that refuses the caller's INVITE.
    pub(crate) fn refuse(answer: FinalAnswer) -> ProgramEffect {
        ProgramEffect::Next(CallEffect::Refuse(Box::new(answer)))
    }

    /// Returns the effect that tries the remaining targets for an answered caller.
    pub(crate) fn search_on() -> ProgramEffect {
        ProgramEffect::Next(CallEffect::Search)
    }

    /// Returns this effect, or [`ProgramEffect::Run`] if it is [`ProgramEffect::Stay`].
    pub(crate) fn or_run(self) -> ProgramEffect {
        if self.is_own() { ProgramEffect::Run } else { self }
    }

    /// Returns whether the effect concerns only the program; if so, its next step may follow at once.
    pub(crate) fn is_own(&self) -> bool {
        match self {
            ProgramEffect::Stay | ProgramEffect::Run => true,
            ProgramEffect::Next(CallEffect::Stay) => true,
            ProgramEffect::Next(_)
            | ProgramEffect::Advance
            | ProgramEffect::NotConnected(_)
            | ProgramEffect::TargetFailed(_)
            | ProgramEffect::SideLeft(_) => false,
        }
    }
}
