//! Limits of a trunk for some calls of it: by the called and the calling number, at once, a second, a day.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::pattern::Pattern;

/// One limit. Each number is that of all these calls together; 0: none.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Called numbers that it is for; empty: any.
    pub to: Vec<Pattern>,
    /// Calling numbers that it is for; empty: any.
    pub caller: Vec<Pattern>,
    /// Calls at once.
    pub max_calls: u32,
    /// New calls a second.
    pub calls_per_second: u32,
    /// New calls a day.
    pub calls_per_day: u32,
    /// By whose clocks a day ends.
    pub zone: TimeZone,
}

impl Quota {
    /// Whether it is for a call to a number that may be read in each of these ways ([`crate::Numbers::ways`]); an anonymous
    /// caller has no number.
    pub fn covers(&self, called: &[String], caller: &str) -> bool {
        let is_called = |pattern: &Pattern| called.iter().any(|number| pattern.matches(number));
        (self.to.is_empty() || self.to.iter().any(is_called))
            && (self.caller.is_empty() || self.caller.iter().any(|pattern| pattern.matches(caller)))
    }

    /// The day of a moment.
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// Whether it counts the same calls as another, whatever its numbers are.
    pub fn counts_as(&self, other: &Quota) -> bool {
        let same = |one: &[Pattern], two: &[Pattern]| {
            one.iter().map(Pattern::to_string).eq(two.iter().map(Pattern::to_string))
        };
        same(&self.to, &other.to) && same(&self.caller, &other.caller)
    }
}

/// `to +44* caller +1415*`; `all calls`.
impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |patterns: &[Pattern]| patterns.iter().map(Pattern::to_string).collect::<Vec<_>>().join(", ");
        match (self.to.is_empty(), self.caller.is_empty()) {
            (true, true) => f.write_str("all calls"),
            (false, true) => write!(f, "to {}", list(&self.to)),
            (true, false) => write!(f, "caller {}", list(&self.caller)),
            (false, false) => write!(f, "to {} caller {}", list(&self.to), list(&self.caller)),
        }
    }
}
