//! Assignment of calls to the concurrent scripts of a sandbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use trunkgate_call::CallView;

/// Index of a script in the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScriptId(pub(super) usize);

/// Script that each SIP leg between edge and telephone belongs to, by Call-ID. Clones share the table.
#[derive(Debug, Clone, Default)]
pub(super) struct CallOwners(Arc<Mutex<BTreeMap<String, Option<ScriptId>>>>);

impl CallOwners {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<ScriptId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a leg of the telephone; `owner` is `None` if no script owns it.
    pub(super) fn add(&self, sip_call_id: &str, owner: Option<ScriptId>) {
        self.lock().insert(sip_call_id.to_owned(), owner);
    }

    /// Returns whether a leg with this Call-ID was added.
    pub(super) fn has(&self, sip_call_id: &str) -> bool {
        self.lock().contains_key(sip_call_id)
    }

    /// Returns the script of a call at the edge: that of its first leg with an owner.
    pub(super) fn script_of(&self, call: &CallView) -> Option<ScriptId> {
        let owners = self.lock();
        call.legs.iter().find_map(|leg| owners.get(&leg.sip_call_id).copied().flatten())
    }
}

/// Returns a calling number for each script: consecutive numbers from `first`, without those in `taken`.
pub(super) fn callers(first: &str, count: usize, taken: &[&str]) -> Vec<String> {
    let digits = first.trim_start_matches('+');
    let (width, number) = (digits.len(), digits.parse().unwrap_or(0_u64));
    let numbers = (0..).map(|more| format!("+{:0width$}", number.saturating_add(more)));
    numbers.filter(|number| number == first || !taken.contains(&number.as_str())).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_has_a_caller_s_number_that_nothing_else_has() {
        let taken = ["+14155550200", "+14155550199"];
        assert_eq!(callers("+14155550199", 3, &taken), ["+14155550199", "+14155550201", "+14155550202"]);
        assert_eq!(callers("+0000009", 2, &[]), ["+0000009", "+0000010"]);
    }

    #[test]
    fn calls_that_were_added_are_known() {
        let owners = CallOwners::default();
        owners.add("a", Some(ScriptId(1)));
        owners.clone().add("b", None);
        assert!(owners.has("a") && owners.has("b") && !owners.has("c"));
    }
}
