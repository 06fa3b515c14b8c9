//! Which numbers are shown as the caller's: the ones that a trunk may have, and the one in the place of any other.

use crate::number::Number;
use crate::pattern::Pattern;

/// What may be shown as the caller's number on one side of a trunk.
#[derive(Debug, Clone, Default)]
pub struct CallerIdRule {
    /// Numbers that are shown as they are; none: only the default.
    pub allow: Vec<Pattern>,
    /// Shown in the place of any other; `None`: a call with another is refused.
    pub default: Option<Number>,
}

/// What a rule makes of a caller's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// It is shown as it is.
    AsIs,
    /// Another is shown in its place.
    Instead(&'a Number),
    /// It may not be shown, and nothing is there in its place.
    Refused,
}

impl CallerIdRule {
    /// What is shown for a number.
    pub fn judge(&self, number: &Number) -> Shown<'_> {
        match &self.default {
            _ if self.allows(&number.text) => Shown::AsIs,
            Some(default) => Shown::Instead(default),
            None => Shown::Refused,
        }
    }

    /// Whether a number, normalised, is shown as it is.
    pub fn allows(&self, number: &str) -> bool {
        self.allow.iter().any(|pattern| pattern.matches(number))
            || self.default.as_ref().is_some_and(|default| default.text == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::number::Numbers;

    #[test]
    fn a_number_is_shown_replaced_or_refused() {
        let number = |text: &str| Numbers::default().normalise_caller(text, None);
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
                Shown::AsIs => Ok(None),
                Shown::Instead(other) => Ok(Some(other.text.as_str())),
                Shown::Refused => Err(()),
            };
            assert_eq!(found, shown, "{}", caller.text);
        }
    }
}
