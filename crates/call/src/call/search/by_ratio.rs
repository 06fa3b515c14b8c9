//! What an attempt that is over says of its trunk, for `order = "asr"`.

use std::time::{Duration, Instant};

use trunkgate_resources::edge::Edge;
use trunkgate_resources::key::Branch;
use trunkgate_resources::limits::SILENT_SECONDS;
use trunkgate_story::reason::ReasonSlug;

use crate::call::Call;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::Attempt;

/// Answers that are the called party's word, or the called number's: another trunk would have said the same. As in the network
/// effectiveness ratio (ITU-T E.425), which counts user busy, ring no answer and terminal rejection as delivered. And what a
/// caller brings about by what it sends: with that it could turn calls away from a trunk.
const CALLED_PARTY: [u16; 32] = [
    400, 404, 406, 410, 413, 414, 415, 416, 420, 421, 428, 433, 436, 437, 438, 480, 482, 483, 484, 485, 486, 487, 488,
    493, 494, 513, 600, 603, 604, 606, 607, 608,
];

/// What else a trunk answers for.
const LET_DOWN: [ReasonSlug; 5] = [
    ReasonSlug::NoResponse,
    ReasonSlug::Unreachable,
    ReasonSlug::TlsFailed,
    ReasonSlug::NameNotFound,
    ReasonSlug::CredentialsRefused,
];

/// Ends of an attempt for which nobody has said anything.
const GIVEN_UP: [ReasonSlug; 4] =
    [ReasonSlug::RingTimeout, ReasonSlug::SearchTimeout, ReasonSlug::CallerCanceled, ReasonSlug::AnsweredElsewhere];

impl Call {
    /// An attempt is over without an answer to the caller: what that says of its trunk.
    pub(crate) fn rate(&self, now: Instant, edge: &mut Edge, branch: Branch, failure: &Failure) {
        let Some(attempt) = self.attempt(branch) else { return };
        let Some(trunk) = attempt.trunk.as_ref().filter(|_| is_trunks_doing(now, attempt, failure)) else { return };
        let caller = self.facts.caller.known_number().unwrap_or_default();
        edge.trunks.let_down(now, &trunk.name, caller, &self.facts.called.text);
    }
}

/// Whether the trunk, and not whom it should have reached or what is ours, has let the call down.
fn is_trunks_doing(now: Instant, attempt: &Attempt, failure: &Failure) -> bool {
    if failure.reason == ReasonSlug::TargetRejected {
        return failure.answered.or(failure.code).is_some_and(|code| code >= 400 && !CALLED_PARTY.contains(&code));
    }
    // Given up by somebody: a trunk that has not even made it ring by then has not delivered it.
    let waited = attempt.called_at.map(|at| now.saturating_duration_since(at)).unwrap_or_default();
    let is_late = !attempt.has_rung && waited >= Duration::from_secs(SILENT_SECONDS);
    LET_DOWN.contains(&failure.reason) || (GIVEN_UP.contains(&failure.reason) && is_late)
}
