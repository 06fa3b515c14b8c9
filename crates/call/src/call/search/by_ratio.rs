//! `order = "asr"`: trunks that stand side by side are tried in the order of how they have done lately, and what an attempt that
//! is over says of its trunk.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_route::{Figures, Plan, Rank, Target, Trunk};

use crate::call::Call;
use crate::call::search::answer::Failure;
use crate::call::search::attempt::Attempt;
use crate::resources::edge::Edge;
use crate::resources::key::Branch;
use crate::resources::key::CallKey;
use crate::resources::limits::{PROBED_ONE_IN, SILENT_SECONDS};
use trunkgate_story::reason::ReasonSlug;

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

/// What is known of a trunk when its place is looked for.
struct Known {
    figures: Figures,
    is_down: bool,
}

impl Known {
    fn rank(&self) -> Rank {
        self.figures.rank(self.is_down)
    }
}

impl Edge {
    /// Puts the trunks of a plan that go by their ratio in order, and tells the trace. `may_probe`: now and then one that has
    /// done badly comes first, to see whether it still does.
    pub(crate) fn by_ratio(&mut self, now: Instant, key: CallKey, plan: &mut Plan, may_probe: bool) {
        if plan.by_ratio.is_empty() {
            return;
        }
        let runs = plan.by_ratio.clone();
        let trunks = runs.iter().filter_map(|run| plan.targets.get(run.clone())).flatten().filter_map(Target::trunk);
        let known = |trunk: &Arc<Trunk>| {
            let is_down = self.is_trunk_up(trunk) == Some(false);
            (trunk.name.clone(), Known { figures: self.trunks.figures(now, &trunk.name), is_down })
        };
        let known: BTreeMap<Arc<str>, Known> = trunks.map(known).collect();
        plan.sort(|trunk| known.get(&trunk.name).map(Known::rank));
        for run in runs {
            let Some(run) = plan.targets.get_mut(run) else { continue };
            let probed = may_probe && self.probe(now, run, &known);
            let of = |target: &Target| {
                let trunk = target.trunk()?;
                let Known { figures, is_down } = known.get(&trunk.name)?;
                let down = if *is_down { "down, " } else { "" };
                Some(format!("{} ({down}{figures})", trunk.name))
            };
            let order = run.iter().filter_map(of).collect::<Vec<_>>().join(", ");
            let why = if probed { "; tried first to measure it again" } else { "" };
            self.decide(now, key, format!("order asr: {order}{why}"));
        }
    }

    /// Puts one of those first that stand behind the first for what they have done, where it is time for that.
    fn probe(&mut self, now: Instant, run: &mut [Target], known: &BTreeMap<Arc<str>, Known>) -> bool {
        let of = |target: &Target| known.get(&target.trunk()?.name);
        let Some(best) = run.first().and_then(of).map(Known::rank) else { return false };
        let is_worse = |target: &Target| of(target).is_some_and(|known| !known.is_down && known.rank() > best);
        let may = |target: &Target| target.trunk().is_some_and(|trunk| self.trunks.may_probe(now, &trunk.name));
        let worse = run.iter().enumerate().filter(|(_, target)| is_worse(target) && may(target));
        let worse: Vec<usize> = worse.map(|(at, _)| at).collect();
        if worse.is_empty() || self.below(PROBED_ONE_IN) != 0 {
            return false;
        }
        let chosen = self.below(u32::try_from(worse.len()).unwrap_or(1));
        let chosen = usize::try_from(chosen).ok().and_then(|chosen| worse.get(chosen).copied()).unwrap_or(0);
        if let Some(part) = run.get_mut(..=chosen) {
            part.rotate_right(1);
        }
        if let Some(trunk) = run.first().and_then(Target::trunk) {
            self.trunks.probed(now, &trunk.name);
        }
        true
    }
}

impl Call {
    /// An attempt is over without an answer to the caller: what that says of its trunk.
    pub(crate) fn rate(&self, now: Instant, edge: &mut Edge, branch: Branch, failure: &Failure) {
        let Some(attempt) = self.attempt(branch) else { return };
        let Some(trunk) = attempt.trunk.as_ref().filter(|_| is_trunks_doing(now, attempt, failure)) else { return };
        let caller = self.caller.known_number().unwrap_or_default();
        edge.trunks.let_down(now, &trunk.name, caller, &self.called.text);
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
