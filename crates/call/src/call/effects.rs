//! The execution of what the parts of a call ask for: the only place that knows several of them.

use crate::call::Parts;
use crate::call::program::Runner;
use crate::call::program::effects::ProgramEffect;
use crate::call::shared::Cx;

impl ProgramEffect {
    /// Does what a part of a program has asked for.
    pub(crate) fn act(self, parts: &mut Parts, cx: &mut Cx<'_>) {
        match self {
            ProgramEffect::Stay => {}
            ProgramEffect::Run => Runner::of(parts).run_program(cx),
        }
    }
}
