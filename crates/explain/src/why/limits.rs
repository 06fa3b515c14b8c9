//! Limits of trunks that apply to a call.

use serde_json::{Value, json};
use trunkgate_route::{Number, NumberingPlan, Quota, SendNumbers, Trunk};

/// Formats a quota of a trunk, e.g. `to +44*: 5 at once, 1 a second, 100 a day`.
fn of_quota(quota: &Quota) -> Value {
    let numbers = [(quota.max_calls, "at once"), (quota.calls_per_second, "a second"), (quota.calls_per_day, "a day")];
    let numbers: Vec<String> =
        numbers.iter().filter(|(number, _)| *number > 0).map(|(number, what)| format!("{number} {what}")).collect();
    json!(format!("{quota}: {}", numbers.join(", ")))
}

/// Returns the limits of the caller's trunk, which are checked before any route. None applies to an emergency number.
pub(super) fn of_caller(trunk: &Trunk, numbers: &NumberingPlan, called: &Number, caller: &str) -> Vec<Value> {
    of(trunk, &[("calls_per_second.in", trunk.calls_per_second_in)], (numbers, called, SendNumbers::AsIs), caller)
}

/// Returns the limits of a target's trunk. None applies to an emergency number.
pub(super) fn of_target(trunk: &Trunk, numbers: &NumberingPlan, called: &Number, caller: &str) -> Vec<Value> {
    let of_way =
        [("calls_per_second.out", trunk.calls_per_second_out), ("peer_calls_per_second", trunk.peer_calls_per_second)];
    of(trunk, &of_way, (numbers, called, trunk.send_numbers), caller)
}

/// Returns the limits of a trunk: those of one direction (`of_way`), then the entries of its `limits` that cover the
/// call.
fn of(
    trunk: &Trunk,
    of_way: &[(&str, u32)],
    (numbers, called, form): (&NumberingPlan, &Number, SendNumbers),
    caller: &str,
) -> Vec<Value> {
    if numbers.is_emergency(called) {
        return Vec::new();
    }
    let both = [("max_calls", trunk.max_calls), ("calls_per_second", trunk.calls_per_second)];
    let own = both.iter().chain(of_way).filter(|(_, limit)| *limit > 0);
    let own = own.map(|(key, limit)| json!(format!("{key} {limit}")));
    let ways = numbers.spoken_forms(called, form);
    own.chain(trunk.quotas.iter().filter(|quota| quota.covers(&ways, caller)).map(of_quota)).collect()
}

/// Formats the limits of a trunk as a line; empty without limits.
pub(super) fn text(trunk: &str, limits: &Value) -> String {
    let limits: Vec<&str> = limits.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if limits.is_empty() {
        return String::new();
    }
    format!("limits of {trunk}: {} (503 beyond them)\n", limits.join("; "))
}
