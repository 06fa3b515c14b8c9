//! `order = "asr"`: trunks that stand side by side are tried in the order of their recent answer ratio.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_route::{Figures, Plan, Rank, Target, Trunk};

use crate::edge::Edge;
use crate::key::CallKey;
use crate::limits::PROBED_ONE_IN;

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
    pub fn by_ratio(&mut self, now: Instant, key: CallKey, plan: &mut Plan, may_probe: bool) {
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
