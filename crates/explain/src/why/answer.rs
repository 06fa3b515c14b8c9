//! SIP response to the caller if no target of the route can be called.

use serde_json::Value;

/// Returns whether the edge rejects a target before calling it, because of the number, the caller or the agent.
pub(super) fn is_refused(attempt: &Value) -> bool {
    match attempt["ring_all"].as_array() {
        Some(members) => members.iter().all(is_refused),
        None => attempt["denied"].is_object() || attempt["shown"].is_u64() || attempt["refused"].is_u64(),
    }
}

/// Returns the SIP code for the caller; `None` if any target is called.
pub(super) fn of(attempts: &[Value]) -> Option<u64> {
    for attempt in attempts {
        // The search ends with an agent that refuses.
        if let Some(code) = attempt["refused"].as_u64().or_else(|| attempt["code"].as_u64()) {
            return Some(code);
        }
        if !is_refused(attempt) {
            return None;
        }
    }
    Some(403)
}

/// Returns whether a target before the last one is called; if so, the time limit of the search may end it.
pub(super) fn has_search(attempts: &[Value]) -> bool {
    let before = attempts.split_last().map_or(&[][..], |(_, before)| before);
    let until = before.iter().position(|attempt| attempt["refused"].is_u64()).unwrap_or(before.len());
    before.iter().take(until).any(|attempt| !is_refused(attempt))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_answer_where_nobody_is_called() {
        let (denied, hidden) = (json!({ "denied": { "by": "x" } }), json!({ "shown": 403 }));
        let (agent, reject, called) =
            (json!({ "refused": 486 }), json!({ "code": 480 }), json!({ "target": "trunk:a" }));
        let all = json!({ "ring_all": [denied, hidden] });
        let some = json!({ "ring_all": [denied, called] });
        for (attempts, answer, search) in [
            (vec![denied.clone(), hidden.clone(), all.clone()], Some(403), false),
            (vec![denied.clone(), agent.clone(), called.clone()], Some(486), false),
            (vec![denied.clone(), reject.clone()], Some(480), false),
            (vec![denied.clone(), called.clone()], None, false),
            (vec![called.clone(), denied.clone()], None, true),
            (vec![some.clone(), called.clone()], None, true),
            (vec![all, some], None, false),
            (vec![called], None, false),
        ] {
            assert_eq!((of(&attempts), has_search(&attempts)), (answer, search), "{attempts:?}");
        }
    }
}
