//! Calls of the last hour that a limit refused: limits of the edge (`[limits]`), limits of trunks, and denied
//! numbers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::reason::ReasonSlug;
use trunkgate_story::view::LimitView;

use crate::failures::concerned::ConfigChangeScope;

/// A limit that has refused a call.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct CallLimit {
    /// Trunk to which the limit belongs; `None` if it belongs to the edge.
    pub trunk: Option<Arc<str>>,
    /// Whether the refused call was outbound to the trunk.
    pub outbound: bool,
    /// Reason of the refusal.
    pub reason: ReasonSlug,
}

impl CallLimit {
    /// Reasons that count as limits: number and rate of calls, and permitted numbers.
    pub const REASONS: [ReasonSlug; 6] = [
        ReasonSlug::LimitCalls,
        ReasonSlug::LimitRate,
        ReasonSlug::LimitDay,
        ReasonSlug::LimitEmergency,
        ReasonSlug::Denied,
        ReasonSlug::HighRisk,
    ];

    /// Returns the limit behind a refusal; `None` if the reason is not a limit.
    pub fn from_reason(trunk: Option<&Arc<str>>, outbound: bool, reason: ReasonSlug) -> Option<CallLimit> {
        let limit = || CallLimit { trunk: trunk.cloned(), outbound, reason };
        CallLimit::REASONS.contains(&reason).then(limit)
    }
}

/// Refusals by one limit.
#[derive(Debug)]
struct LimitRefusals {
    calls: LastHour<1>,
    /// Configuration key of the limit with its value.
    key: String,
    at: Instant,
    /// SID of the most recent refused call that has a trace.
    sid: Option<String>,
}

/// Refusals of all limits. Bounded by the trunks that had a call refused within an hour.
#[derive(Debug, Default)]
pub struct RefusalsByLimit {
    by_limit: BTreeMap<CallLimit, LimitRefusals>,
}

impl RefusalsByLimit {
    /// Counts a refused call. `key` is the configuration key of the limit with its value; `sid` is the SID of the call,
    /// if it has a trace.
    pub fn count_refusal(&mut self, now: Instant, limit: CallLimit, key: &str, sid: Option<&str>) {
        if !self.by_limit.contains_key(&limit) {
            self.by_limit.retain(|_, refused| refused.calls.sums(now) != [0]);
        }
        let new = || LimitRefusals { calls: LastHour::default(), key: String::new(), at: now, sid: None };
        let refused = self.by_limit.entry(limit).or_insert_with(new);
        refused.calls.count(now, [true]);
        refused.at = now;
        if refused.key != key {
            key.clone_into(&mut refused.key);
        }
        if let Some(sid) = sid {
            refused.sid = Some(sid.to_owned());
        }
    }

    /// Forgets refusals by the limits of the edge, after their values have changed.
    pub(crate) fn edge_reconfigured(&mut self) {
        self.by_limit.retain(|limit, _| limit.trunk.is_some());
    }

    /// Forgets refusals by limits of trunks with changed keys.
    pub fn reconfigured(&mut self, concerned: &ConfigChangeScope) {
        let is_kept = |limit: &CallLimit| limit.trunk.as_ref().is_none_or(|trunk| !concerned.calls.contains(trunk));
        self.by_limit.retain(|limit, _| is_kept(limit));
    }

    /// Returns the refusals of the last hour by limit, those of the edge first.
    pub fn views(&self, now: Instant) -> Vec<LimitView> {
        let view = |(limit, refused): (&CallLimit, &LimitRefusals)| {
            let ([calls], [recent]) = (refused.calls.sums(now), refused.calls.recent(now));
            (calls > 0).then(|| LimitView {
                trunk: limit.trunk.as_ref().map(|trunk| trunk.to_string()),
                outbound: limit.outbound,
                reason: limit.reason.as_str(),
                sentence: limit.reason.sentence(),
                key: refused.key.clone(),
                calls,
                recent,
                seconds_ago: now.saturating_duration_since(refused.at).as_secs(),
                last_sid: refused.sid.clone(),
            })
        };
        self.by_limit.iter().filter_map(view).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_limit_refused_is_shown_for_an_hour_or_until_it_has_another_value() {
        let start = Instant::now();
        let (pbx, carrier) = (Arc::from("pbx"), Arc::from("carrier"));
        let of = |trunk, reason| CallLimit::from_reason(trunk, false, reason).unwrap();
        let mut limited = RefusalsByLimit::default();
        assert_eq!(CallLimit::from_reason(Some(&pbx), false, ReasonSlug::NoRoute), None);
        limited.count_refusal(start, of(None, ReasonSlug::LimitCalls), "`calls = 2` of [limits]", Some("CA1"));
        limited.count_refusal(start, of(None, ReasonSlug::LimitCalls), "`calls = 2` of [limits]", None);
        limited.count_refusal(start, of(Some(&pbx), ReasonSlug::LimitRate), "`calls_per_second = 1`", None);
        limited.count_refusal(start, of(Some(&carrier), ReasonSlug::LimitDay), "`calls_per_day = 9`", None);
        let seen = |limited: &RefusalsByLimit, seconds| {
            let views = limited.views(start + Duration::from_secs(seconds));
            views.into_iter().map(|one| (one.trunk, one.calls, one.recent, one.last_sid)).collect::<Vec<_>>()
        };
        let edge = (None, 2, 2, Some("CA1".to_owned()));
        assert_eq!(
            seen(&limited, 10),
            [edge, (Some("carrier".to_owned()), 1, 1, None), (Some("pbx".to_owned()), 1, 1, None)]
        );
        assert_eq!(seen(&limited, 900)[0], (None, 2, 0, Some("CA1".to_owned())));
        let named = |view: &LimitView| view.named();
        let names: Vec<String> = limited.views(start).iter().map(named).collect();
        let expected = [
            "`calls = 2` of [limits]",
            "`calls_per_day = 9` of [trunk.carrier]",
            "`calls_per_second = 1` of [trunk.pbx]",
        ];
        assert_eq!(names, expected);
        limited.reconfigured(&ConfigChangeScope { calls: ["pbx".into()].into(), ..ConfigChangeScope::default() });
        assert_eq!(seen(&limited, 10).len(), 2);
        limited.edge_reconfigured();
        assert_eq!(seen(&limited, 10), [(Some("carrier".to_owned()), 1, 1, None)]);
        assert_eq!(seen(&limited, 3_700), []);
        limited.count_refusal(start + Duration::from_secs(7_200), of(None, ReasonSlug::LimitCalls), "", None);
        assert_eq!(limited.by_limit.len(), 1, "what is older than an hour is not kept");
    }
}
