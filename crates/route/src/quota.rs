//! Limits on a subset of a trunk's calls, selected by called and calling number: concurrent, per second, per day.

use std::fmt;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::pattern::Pattern;

/// Limit on the calls that match the patterns, all counted together; 0 means no limit.
#[derive(Debug, Clone)]
pub struct Quota {
    /// Called numbers to which the limit applies; empty for any.
    pub to: Vec<Pattern>,
    /// Calling numbers to which the limit applies; empty for any.
    pub caller: Vec<Pattern>,
    /// Maximum concurrent calls; 0 for no limit.
    pub max_calls: u32,
    /// Maximum new calls per second; 0 for no limit.
    pub calls_per_second: u32,
    /// Maximum new calls per day; 0 for no limit.
    pub calls_per_day: u32,
    /// Time zone in which a day begins and ends.
    pub zone: TimeZone,
}

impl Quota {
    /// Returns whether the limit applies to a call. `called` lists all readings of the called number
    /// ([`crate::NumberingPlan::spoken_forms`]); an anonymous caller has no number.
    pub fn covers(&self, called: &[String], caller: &str) -> bool {
        let is_called = |pattern: &Pattern| called.iter().any(|number| pattern.matches(number));
        (self.to.is_empty() || self.to.iter().any(is_called))
            && (self.caller.is_empty() || self.caller.iter().any(|pattern| pattern.matches(caller)))
    }

    /// Returns the day of a point in time, in the limit's time zone.
    pub fn day(&self, at: Timestamp) -> Date {
        at.to_zoned(self.zone.clone()).date()
    }

    /// Returns whether two limits count the same calls, regardless of their maximum values.
    pub fn counts_as(&self, other: &Quota) -> bool {
        let same = |one: &[Pattern], two: &[Pattern]| {
            one.iter().map(Pattern::to_string).eq(two.iter().map(Pattern::to_string))
        };
        same(&self.to, &other.to) && same(&self.caller, &other.caller)
    }
}

/// Formats the calls that the limit counts: `to +44* caller +1415*`, or `all calls`.
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
