//! Caller ID policy of a trunk: the permitted numbers, and the replacement for all others.

use crate::number::Number;
use crate::pattern::Pattern;

/// Caller IDs permitted in one direction of a trunk.
#[derive(Debug, Clone, Default)]
pub struct CallerIdRule {
    /// Patterns of permitted numbers; if empty, only the default is permitted.
    pub allow: Vec<Pattern>,
    /// Number shown instead of one that is not permitted; `None` rejects the call.
    pub default: Option<Number>,
}

/// Result of applying a caller ID policy to a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallerIdDecision<'a> {
    /// The number is permitted and is kept.
    AsIs,
    /// The number is replaced by this default.
    Instead(&'a Number),
    /// The number is not permitted and has no replacement: the call is rejected.
    Refused,
}

impl CallerIdRule {
    /// Applies the policy to a caller's number.
    pub fn judge(&self, number: &Number) -> CallerIdDecision<'_> {
        match &self.default {
            _ if self.allows(&number.text) => CallerIdDecision::AsIs,
            Some(default) => CallerIdDecision::Instead(default),
            None => CallerIdDecision::Refused,
        }
    }

    /// Returns whether the policy permits a normalised number.
    pub fn allows(&self, number: &str) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(number))
            || self.default.as_ref().is_some_and(|default| default.text == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::NumberingPlan;

    #[test]
    fn a_number_is_shown_replaced_or_refused() {
        let number = |text: &str| NumberingPlan::default().normalise_caller(text, None);
        let rule = |allow: &[&str], default: Option<&str>| CallerIdRule {
            allow: allow.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
            default: default.map(number),
        };
        let listed = rule(&["+14155550100", "+1212555*"], None);
        let replaced = rule(&["+14155550100", "+1212555*"], Some("+14155550199"));
        let always = rule(&[], Some("+14155550199"));
        let instead = Some("+14155550199");
        for (rule, caller, shown) in [
            (&listed, "+14155550100", Ok(None)),
            (&listed, "415 555 0100", Ok(None)),
            (&listed, "+12125550000", Ok(None)),
            (&listed, "+14155550101", Err(())),
            (&listed, "1001", Err(())),
            (&listed, "+14155550100;x=1", Err(())),
            (&replaced, "+12125550000", Ok(None)),
            (&replaced, "+442079460018", Ok(instead)),
            (&replaced, "1001", Ok(instead)),
            (&replaced, "+14155550199", Ok(None)),
            (&always, "+12125550000", Ok(instead)),
        ] {
            let caller = number(caller);
            let found = match rule.judge(&caller) {
                CallerIdDecision::AsIs => Ok(None),
                CallerIdDecision::Instead(other) => Ok(Some(other.text.as_str())),
                CallerIdDecision::Refused => Err(()),
            };
            assert_eq!(found, shown, "{}", caller.text);
        }
    }
}
