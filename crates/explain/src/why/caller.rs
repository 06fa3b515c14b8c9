//! Caller ID in `why`: the numbers that the caller's trunk may show, and the number shown to each target.

use serde_json::{Value, json};
use trunkgate_route::{CallerIdDecision, CallerIdRule, Number, RoutingTable};

/// Calling number after the rules of the caller's trunk.
pub(super) struct ScreenedCaller {
    pub(super) number: Number,
    /// Number that the caller claimed; `None` if it was not replaced.
    pub(super) claimed: Option<String>,
    /// Whether the edge rejects the call with 403.
    pub(super) refused: bool,
}

/// Applies the rules of the caller's trunk to the calling number.
pub(super) fn screened(table: &RoutingTable, from: &str, number: Number, called: &Number) -> ScreenedCaller {
    let rule = table.trunk(from).and_then(|trunk| trunk.caller_id_in.as_ref());
    match judged(rule, &number) {
        CallerIdDecision::AsIs => ScreenedCaller { number, claimed: None, refused: false },
        CallerIdDecision::Instead(other) => {
            ScreenedCaller { claimed: Some(number.text), number: other.clone(), refused: false }
        }
        CallerIdDecision::Refused => {
            ScreenedCaller { number, claimed: None, refused: !table.numbers().is_emergency(called) }
        }
    }
}

/// Returns the number that a target's trunk is shown: `null` for the caller's own, another number, or 403.
pub(super) fn shown(rule: Option<&CallerIdRule>, own: Option<&Number>, caller: &Number) -> Value {
    let number = if is_hidden(caller) { caller } else { own.unwrap_or(caller) };
    match judged(rule, number) {
        CallerIdDecision::AsIs => json!((number.text != caller.text).then_some(&number.text)),
        CallerIdDecision::Instead(other) => json!(other.text),
        CallerIdDecision::Refused => json!(403),
    }
}

fn judged<'a>(rule: Option<&'a CallerIdRule>, number: &Number) -> CallerIdDecision<'a> {
    rule.filter(|_| !is_hidden(number)).map_or(CallerIdDecision::AsIs, |rule| rule.judge(number))
}

/// Returns whether the caller hides its number (anonymous).
fn is_hidden(number: &Number) -> bool {
    number.text.is_empty() || number.text.eq_ignore_ascii_case("anonymous")
}

#[cfg(test)]
mod tests {
    use trunkgate_route::NumberingPlan;

    use super::*;

    #[test]
    fn what_a_target_is_shown() {
        let number = |text: &str| NumberingPlan::default().normalise_caller(text, None);
        let rule = CallerIdRule { allow: Vec::new(), default: Some(number("+14155550199")) };
        let own = number("+14155550188");
        for (rule, own, caller, expected) in [
            (None, None, "+14155550100", Value::Null),
            (Some(&rule), None, "+14155550100", json!("+14155550199")),
            (Some(&rule), Some(&own), "+14155550100", json!("+14155550199")),
            (None, Some(&own), "+14155550100", json!("+14155550188")),
            (Some(&rule), Some(&own), "anonymous", Value::Null),
            (Some(&CallerIdRule::default()), None, "+14155550100", json!(403)),
        ] {
            assert_eq!(shown(rule, own, &number(caller)), expected, "{caller}");
        }
    }
}
