//! Order of targets with `order = "asr"`, from the statistics of a running edge.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use trunkgate_route::{CallTarget, PerformanceFigures, RoutePlan};

/// Recent statistics of each trunk, with whether it is down, by name.
pub(super) type TrunkStatistics = BTreeMap<String, (PerformanceFigures, bool)>;

/// Reads the statistics of trunks from the status of a running edge.
pub(super) fn lately(status: &Value) -> TrunkStatistics {
    let of = |trunk: &Value| {
        let figures = serde_json::from_value(trunk["lately"].clone()).ok()?;
        Some((trunk["name"].as_str()?.to_owned(), (figures, trunk["state"] == "down")))
    };
    status["trunks"].as_array().into_iter().flatten().filter_map(of).collect()
}

/// Sorts the targets as the edge would now, and returns the reasons; `null` if no trunk is sorted by ASR.
pub(super) fn sorted(plan: &mut RoutePlan, known: Option<&TrunkStatistics>) -> Value {
    if plan.by_ratio.is_empty() {
        return Value::Null;
    }
    let known = |name: &str| known?.get(name).copied();
    plan.sort(|trunk| known(&trunk.name).map(|(figures, is_down)| figures.rank(is_down)));
    let one = |target: &CallTarget| {
        let name = &*target.trunk()?.name;
        let known = known(name);
        Some(json!({
            "trunk": name,
            "lately": known.map(|(figures, _)| figures),
            "down": known.map(|(_, is_down)| is_down),
            "why": known.map(|(figures, _)| figures.to_string()),
        }))
    };
    let runs = plan.by_ratio.iter().filter_map(|run| plan.targets.get(run.clone()));
    runs.map(|run| run.iter().filter_map(one).collect::<Vec<Value>>()).collect()
}

/// Formats one line for each group of sorted trunks.
pub(super) fn text(order: &Value) -> String {
    let one = |trunk: &Value| {
        let name = trunk["trunk"].as_str().unwrap_or_default();
        let down = if trunk["down"] == true { "down, " } else { "" };
        match trunk["why"].as_str() {
            Some(why) => format!("{name} ({down}{why})"),
            None => name.to_owned(),
        }
    };
    let line = |run: &Value| {
        let all: Vec<String> = run.as_array().into_iter().flatten().map(one).collect();
        let open = run[0]["why"].is_null();
        let note = if open { ": as listed; only a running edge has statistics" } else { "" };
        format!("  order asr: {}{note}\n", all.join(", "))
    };
    order.as_array().into_iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use trunkgate_route::{
        CallInfo, NumberingPlan, Route, RoutingTable, TableDefinition, TargetSpec, Trunk, TrunkOrder, TrunkPerformance,
    };

    use super::*;

    #[test]
    fn targets_stand_as_a_running_edge_would_try_them() {
        let now = std::time::Instant::now();
        let to = |name: &str| TargetSpec::Trunk { name: name.into(), number: None, weight: None };
        let route = Route { order: TrunkOrder::AnswerRatio, ..Route::named("r", vec![to("a"), to("b"), to("c")]) };
        let trunks = ["a", "b", "c"].map(Trunk::named).into();
        let (numbers, agents) = (NumberingPlan::new("US").unwrap(), Vec::new());
        let table = RoutingTable::new(TableDefinition { numbers, trunks, agents, routes: vec![route] });
        let mut plan = table.plan(&CallInfo::default(), &mut |_| 0).unwrap();
        let open = text(&sorted(&mut plan, None));
        assert_eq!(open, "  order asr: a, b, c: as listed; only a running edge has statistics\n");
        let of = |name: &str, is_down, answers: &[bool]| {
            let mut standing = TrunkPerformance::default();
            answers.iter().for_each(|answered| standing.count(now, *answered));
            (name.to_owned(), (standing.figures(now), is_down))
        };
        let known =
            TrunkStatistics::from([of("a", false, &[false; 4]), of("b", true, &[]), of("c", false, &[true; 9])]);
        let told = text(&sorted(&mut plan, Some(&known)));
        assert_eq!(
            told,
            "  order asr: c (answered 100 % of 9, grade 9), a (answered 0 % of 4, grade 7), b (down, no recent calls)\n"
        );
    }
}
