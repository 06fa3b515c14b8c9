//! `/v1/trunks`: calls and audio quality of each trunk and agent in the last hour.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use trunkgate_call::view::TrunkView;
use trunkgate_call::{CallView, Gateway, LegView};

use super::ApiError;
use trunkgate_runtime::handle::{EdgeHandle, SignallingEnded};
use trunkgate_system::clock;

/// Maximum number of rejection codes shown for a trunk.
const CODES_SHOWN: usize = 8;

/// Calls and audio quality of a trunk or an agent in the last hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Activity {
    /// Live calls from the trunk or agent.
    live_in: u64,
    /// Live calls to the trunk or agent.
    live_out: u64,
    /// Calls from the trunk or agent that ended in the last hour.
    calls_in: u64,
    /// Calls to the trunk or agent that ended in the last hour, including those that skipped it.
    calls_out: u64,
    /// SIP codes of 300 and above in these calls, the most frequent first, at most 8.
    codes: Vec<CodeCount>,
    /// Mean MOS of the audio received from the trunk or agent; null if unknown.
    mos: Option<f64>,
}

/// Sender of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum CodeDirection {
    /// Trunk or agent, in a call to it.
    Received,
    /// Edge, in a call from the trunk.
    Sent,
}

/// Calls that ended with the same code from the same side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct CodeCount {
    /// `received`: the trunk or agent rejected calls with the code; `sent`: the edge rejected calls from the trunk with
    /// it. `/v1/calls` with `trunk`, `code` and this [`direction`](http.md#filters) lists the calls.
    direction: CodeDirection,
    /// SIP code.
    code: u16,
    /// Number of calls with the code.
    calls: u64,
}

/// Counters from which the activity of a trunk or agent is computed.
#[derive(Debug, Default)]
struct ActivityCounts {
    activity: Activity,
    codes: BTreeMap<(u16, CodeDirection), u64>,
    mos_sum: f64,
    scored: u64,
}

/// Activity of all trunks and agents, by name.
#[derive(Debug, Default)]
pub(super) struct PartyActivities {
    by_name: BTreeMap<String, Activity>,
    /// Start of the counted period: an hour ago, or later if a busy edge no longer has older calls.
    pub(super) since: String,
}

impl PartyActivities {
    /// Requests live legs and ended calls from the signalling loop, and counts them on this thread.
    pub(super) async fn of(handle: &EdgeHandle) -> Result<PartyActivities, SignallingEnded> {
        let since = clock::now().saturating_sub(SignedDuration::from_hours(1)).unwrap_or(Timestamp::MIN);
        let (mut counts, ended) = handle.ask(|gateway, _| (live(gateway), gateway.ended_calls())).await?;
        let since = format!("{since:.3}");
        // The texts have one format, so they sort by time.
        let is_recent = |call: &&Arc<CallView>| call.ended_at.as_deref().is_some_and(|at| at >= since.as_str());
        for call in ended.newest_first().take_while(is_recent) {
            count(&mut counts, call);
        }
        let since = later(&since, ended.kept_since());
        Ok(PartyActivities {
            by_name: counts.into_iter().map(|(name, counts)| (name, counts.activity())).collect(),
            since,
        })
    }

    /// Removes and returns the activity of the trunk or agent with this name.
    pub(super) fn take(&mut self, name: &str) -> Activity {
        self.by_name.remove(name).unwrap_or_default()
    }
}

impl ActivityCounts {
    fn activity(self) -> Activity {
        let one = |((code, direction), calls)| CodeCount { direction, code, calls };
        let mut codes: Vec<CodeCount> = self.codes.into_iter().map(one).collect();
        codes.sort_by_key(|one| std::cmp::Reverse(one.calls));
        codes.truncate(CODES_SHOWN);
        Activity { codes, mos: (self.scored > 0).then(|| self.mos_sum / self.scored as f64), ..self.activity }
    }
}

/// Returns the later of two dates in text form.
fn later(since: &str, kept_since: Option<&str>) -> String {
    kept_since.map_or(since, |kept| kept.max(since)).to_owned()
}

/// Returns the name of a leg's trunk, or of its agent.
pub(super) fn party(leg: &LegView) -> &str {
    if leg.trunk.is_empty() { &leg.agent } else { &leg.trunk }
}

/// Counts the live legs of each trunk and agent.
fn live(gateway: &Gateway) -> BTreeMap<String, ActivityCounts> {
    let mut legs: BTreeMap<&str, [u64; 2]> = BTreeMap::new();
    for (name, is_from) in gateway.live_legs().filter(|(name, _)| !name.is_empty()) {
        let [live_out, live_in] = legs.entry(name).or_default();
        *(if is_from { live_in } else { live_out }) += 1;
    }
    let counts = |(name, [live_out, live_in]): (&str, [u64; 2])| {
        let activity = Activity { live_in, live_out, ..Activity::default() };
        (name.to_owned(), ActivityCounts { activity, ..ActivityCounts::default() })
    };
    legs.into_iter().map(counts).collect()
}

fn counts_of<'a>(counts: &'a mut BTreeMap<String, ActivityCounts>, name: &str) -> &'a mut ActivityCounts {
    counts.entry(name.to_owned()).or_default()
}

/// Counts an ended call once for each trunk and agent that it has a leg of or skipped.
fn count(counts: &mut BTreeMap<String, ActivityCounts>, call: &CallView) {
    let inbound = |leg: &&LegView| leg.direction == "inbound";
    let callers: BTreeSet<&str> = call.legs.iter().filter(inbound).map(party).collect();
    let targets = call.legs.iter().filter(|leg| !inbound(leg)).map(party);
    let targets: BTreeSet<&str> = targets.chain(call.passed_over.iter().map(|one| &*one.target)).collect();
    for name in callers.into_iter().filter(|name| !name.is_empty()) {
        counts_of(counts, name).activity.calls_in += 1;
    }
    for name in targets.into_iter().filter(|name| !name.is_empty()) {
        counts_of(counts, name).activity.calls_out += 1;
    }
    // A code is counted once for each trunk, because several of its peers may reject a call with it.
    let mut seen: Vec<(&str, (u16, CodeDirection))> = Vec::new();
    for leg in call.legs.iter().filter(|leg| !party(leg).is_empty()) {
        let counts = counts_of(counts, party(leg));
        let code = if leg.direction == "inbound" {
            call.sip_code.filter(|code| *code >= 300).map(|code| (code, CodeDirection::Sent))
        } else {
            leg.sip_code.map(|code| (code, CodeDirection::Received))
        };
        if let Some(code) = code.filter(|code| !seen.contains(&(party(leg), *code))) {
            seen.push((party(leg), code));
            *counts.codes.entry(code).or_default() += 1;
        }
        if let Some(mos) = leg.rtp.mos {
            counts.mos_sum += mos;
            counts.scored += 1;
        }
    }
}

/// State of a trunk, with its calls of the last hour.
#[derive(Debug, Serialize)]
pub(super) struct TrunkReport {
    /// State known to the gateway.
    #[serde(flatten)]
    trunk: TrunkView,
    /// Calls of the last hour; in `/v1/trunks` only.
    hour: Activity,
}

/// Response of `/v1/trunks`: `{"trunks":[…],"since":"…"}`.
#[derive(Debug, Serialize)]
pub(super) struct TrunksResponse {
    trunks: Vec<TrunkReport>,
    /// Start of the period counted in `hour`.
    since: String,
}

pub(super) async fn trunks(State(handle): State<EdgeHandle>) -> Result<Json<TrunksResponse>, ApiError> {
    let mut parties = PartyActivities::of(&handle).await?;
    let trunks = handle.status().await?.trunks.into_iter();
    let trunks = trunks.map(|trunk| TrunkReport { hour: parties.take(&trunk.name), trunk }).collect();
    Ok(Json(TrunksResponse { trunks, since: parties.since }))
}

#[cfg(test)]
mod tests {
    use trunkgate_call::view::PassedOverView;

    use super::*;
    use trunkgate_testing::views::began;
    use trunkgate_testing::views::leg;

    #[test]
    fn an_hour_of_more_calls_than_are_kept_begins_with_the_oldest() {
        let of = |kept| later("2026-11-20T09:00:00.000Z", kept);
        assert_eq!(of(Some("2026-11-20T09:56:00.000Z")), "2026-11-20T09:56:00.000Z");
        assert_eq!(of(Some("2026-11-20T08:56:00.000Z")), "2026-11-20T09:00:00.000Z");
        assert_eq!(of(None), "2026-11-20T09:00:00.000Z");
    }

    #[test]
    fn a_code_of_two_peers_counts_one_call() {
        let rejected = |n| LegView { sip_code: Some(486), ..leg(n, "sip", "pbx") };
        let legs = vec![leg(1, "sip", "carrier"), rejected(2), rejected(3)];
        let skipped = ["pbx", "dead", "dead"];
        let skipped = skipped.map(|name| PassedOverView { target: name.to_owned(), reason: "agent_skipped" });
        let mut counts = BTreeMap::new();
        count(&mut counts, &CallView { legs, passed_over: skipped.to_vec(), sip_code: Some(486), ..began("CA1") });
        assert_eq!(["carrier", "pbx", "dead"].map(|name| counts[name].activity.calls_out), [0, 1, 1]);
        assert_eq!(counts["carrier"].activity.calls_in, 1);
        let codes = |name: &str| counts[name].codes.clone();
        assert_eq!(codes("pbx"), BTreeMap::from([((486, CodeDirection::Received), 1)]));
        assert_eq!(codes("carrier"), BTreeMap::from([((486, CodeDirection::Sent), 1)]));
    }
}
