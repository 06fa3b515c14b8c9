//! Alarms: a limit that is reached and a number that is refused are counted, and told in the log, no more than once a minute
//! each, so that whoever tries numbers all night long is seen in the morning.

use std::sync::Arc;
use std::time::{Duration, Instant};

use trunkgate_story::reason::ReasonSlug;

use crate::edge::Edge;
use crate::limits::ALARM_SECONDS;

impl Edge {
    /// A call of a trunk, or to it, was refused for what the file says.
    pub fn alarm(&mut self, now: Instant, call: &str, trunk: &Arc<str>, reason: ReasonSlug, what: &str) {
        let key = (trunk.clone(), reason.as_str());
        *self.metrics.limits_reached.entry(key.clone()).or_default() += 1;
        let again = Duration::from_secs(ALARM_SECONDS);
        let is_fresh = self.alarms.get(&key).is_some_and(|told| now.saturating_duration_since(*told) < again);
        let text = format!("trunk {trunk}: {} ({what})", reason.sentence());
        self.trunks.problem(now, trunk, text.clone());
        if !is_fresh {
            self.alarms.insert(key, now);
            self.warn(call, format!("alarm: {text}"), Some(reason));
        }
    }
}
