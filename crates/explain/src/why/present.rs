//! State of each target at a running edge: up or down and since when, the reason for skipping it, its probe, and the
//! calls that it has rejected.

use jiff::Timestamp;
use serde_json::{Value, json};
use trunkgate_route::{RoutingTable, host_of};

use super::answer::is_refused;
use trunkgate_system::clock;
use trunkgate_system::text::{number, span};

/// Start of the line on targets with an unknown state; the reason follows.
const UNKNOWN: &str = "  states of the targets are unknown";
/// Maximum number of addresses shown with their problems.
const SHOWN: usize = 3;

/// Adds `state` and `now` to an explained target. Without a running edge they are `null` and an empty list.
pub(super) fn add(attempt: &mut Value, status: Option<&Value>) {
    if let Some(targets) = attempt.get_mut("ring_all").and_then(Value::as_array_mut) {
        targets.iter_mut().for_each(|target| add(target, status));
        return;
    }
    if !has_state(attempt) && !is_app(attempt) {
        return;
    }
    let known = match (attempt["trunk"].as_str(), status) {
        (_, None) => None,
        (Some(name), Some(status)) => find(status, "trunks", name).map(|trunk| {
            let lost = find(status, "lost_names", name).and_then(|lost| lost["text"].as_str());
            let mut now = of_trunk(trunk);
            if let Some(words) = unanswered(trunk, status) {
                let is_unfound = |phrase: &&mut String| phrase.starts_with("no address: ");
                now.iter_mut().filter(is_unfound).for_each(|phrase| *phrase = format!("no address: {words}"));
            }
            (trunk, now.into_iter().chain(lost.map(str::to_owned)).collect())
        }),
        (None, Some(status)) if is_app(attempt) => {
            attempt["now"] = json!(of_app(attempt, status));
            return;
        }
        (None, Some(status)) => {
            let name = attempt["target"].as_str().and_then(|target| target.strip_prefix("agent:"));
            name.and_then(|name| find(status, "agents", name)).map(|agent| (agent, of_agent(agent)))
        }
    };
    let (state, now) = match known {
        Some((of, now)) => (of["state"].clone(), now),
        None if status.is_some() => (Value::Null, vec!["not in the configuration of the running edge".to_owned()]),
        None => (Value::Null, Vec::new()),
    };
    attempt["state"] = state;
    attempt["now"] = json!(now);
}

/// Adds the time that calls wait for each trunk that is down and is followed by another target.
pub(super) fn add_waits(attempts: &mut [Value], table: &RoutingTable, status: Option<&Value>) {
    let Some(last) = attempts.len().checked_sub(1) else { return };
    for attempt in attempts.iter_mut().take(last).filter(|attempt| attempt["state"] == "down") {
        let Some(name) = attempt["trunk"].as_str() else { continue };
        let known = status.and_then(|status| find(status, "trunks", name)).zip(table.trunk(name));
        let Some((trunk, one)) = known else { continue };
        let peers = trunk["peers"].as_array().into_iter().flatten();
        let addresses = peers.filter_map(|peer| peer["addresses"].as_array()).flatten();
        let silent = addresses.filter(|address| {
            let is_silent = |problem: &str| problem.starts_with("no answer to");
            address["state"] == "down" && address["last_problem"].as_str().is_none_or(is_silent)
        });
        let wait = one.no_response_timeout.saturating_mul(u32::try_from(silent.count()).unwrap_or(u32::MAX));
        if let Some(now) = attempt["now"].as_array_mut().filter(|_| !wait.is_zero()) {
            let wait = wait.as_secs_f64();
            now.push(json!(format!("each call waits {wait} s for it before the next target (`no_response_timeout`)")));
        }
    }
}

/// Returns the SIP code for the caller if all targets are down or skipped; `None` if any is not.
pub(super) fn rejection(attempts: &[Value]) -> Option<u64> {
    let is_out = |attempt: &&Value| matches!(attempt["state"].as_str(), Some("down" | "skipped"));
    let code = attempts.last()?["code"].as_u64();
    let targets = attempts.len() - usize::from(code.is_some());
    (targets > 0 && attempts.iter().filter(is_out).count() == targets).then_some(code.unwrap_or(503))
}

fn is_app(attempt: &Value) -> bool {
    attempt["target"].as_str().is_some_and(|target| target.starts_with("app:"))
}

/// Returns the failures of an application in the last hour; empty if there are none.
fn of_app(attempt: &Value, status: &Value) -> Vec<String> {
    let name = attempt["target"].as_str().and_then(|target| target.strip_prefix("app:")).unwrap_or_default();
    let Some(app) = find(status, "failing_apps", name) else { return Vec::new() };
    let since = if app["still"] == true { "" } else { ", but not in the latest calls" };
    let error = app["cause"].as_str().filter(|cause| !cause.is_empty()).map(|cause| format!(": {cause}"));
    let error = format!("error {}{}", app["code"], error.unwrap_or_default());
    vec![format!("failed in {} of {} calls in the last hour ({error}){since}", app["calls"], app["of"])]
}

/// Returns whether a target has a state: it is a trunk, an agent, or a group that contains one.
fn has_state(attempt: &Value) -> bool {
    match attempt["ring_all"].as_array() {
        Some(targets) => targets.iter().any(has_state),
        None => attempt["trunk"].is_string() || attempt["url"].is_string(),
    }
}

/// Formats the state of a target as the line below it; empty without a running edge.
pub(super) fn text(attempt: &Value) -> String {
    let phrases = attempt["now"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let all: Vec<&str> = attempt["state"].as_str().into_iter().chain(phrases).collect();
    if all.is_empty() { String::new() } else { format!("    now {}\n", all.join("; ")) }
}

/// Formats the line on targets with an unknown state; empty if all states are known.
pub(super) fn note(answer: &Value) -> String {
    let mut targets = answer["attempts"].as_array().into_iter().flatten();
    let is_unknown = answer["edge"].is_null() && targets.any(|one| has_state(one) && !is_refused(one));
    let why = answer["edge_error"].as_str().unwrap_or("running edge not queried");
    if is_unknown { format!("{UNKNOWN}: {why}\n") } else { String::new() }
}

/// Returns the DNS error of a trunk's peer that could not be resolved; `None` if there is none.
fn unanswered<'a>(trunk: &Value, status: &'a Value) -> Option<&'a str> {
    let names = status["unanswered_names"].as_array()?;
    let is_its =
        |name: &&Value, uri: &str| name["host"].as_str().is_some_and(|host| host.eq_ignore_ascii_case(host_of(uri)));
    let uris = trunk["peers"].as_array().into_iter().flatten().filter_map(|peer| peer["uri"].as_str());
    uris.filter_map(|uri| names.iter().find(|name| is_its(name, uri))).find_map(|name| name["words"].as_str())
}

fn find<'a>(status: &'a Value, list: &str, name: &str) -> Option<&'a Value> {
    status[list].as_array()?.iter().find(|one| one["name"] == name)
}

/// Returns the state of a trunk as phrases.
fn of_trunk(trunk: &Value) -> Vec<String> {
    let addresses: Vec<&Value> = trunk["peers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|peer| peer["addresses"].as_array())
        .flatten()
        .collect();
    let down: Vec<&Value> = addresses.iter().copied().filter(|address| address["state"] == "down").collect();
    let mut now = Vec::new();
    if trunk["state"] == "down" {
        let since = down.iter().filter_map(|address| address["down_since"].as_str()).max();
        now.extend(since.map(|since| format!("since {since}{}", ago(since))));
        now.extend(problems(&down));
        let has_no_phone = trunk["phones"].as_array().is_some_and(Vec::is_empty);
        now.push(match (addresses.is_empty(), has_no_phone) {
            (true, true) => "no phone is registered".to_owned(),
            (true, false) => "no address: DNS gives none for its name (`trunkgate status` has its answer)".to_owned(),
            (false, _) => "calls still try its addresses, because none is up".to_owned(),
        });
    } else {
        let rtt = addresses.iter().filter_map(|address| address["rtt_ms"].as_f64()).reduce(f64::min);
        now.extend(rtt.map(|ms| format!("OPTIONS answered in {ms:.1} ms")));
        now.extend(past_outage(trunk));
        if !down.is_empty() {
            let skipped = format!("{} of {} addresses skipped", down.len(), addresses.len());
            now.push(format!("{skipped}: {}", problems(&down).unwrap_or_default()));
        }
    }
    let rests = addresses.iter().filter(|address| address["rests_seconds"].is_u64());
    now.extend(rests.take(SHOWN).map(|address| {
        let (shown, seconds) = (shown(&address["address"]), &address["rests_seconds"]);
        let others = addresses.iter().filter(|other| *other != address);
        let is_alone = others.clone().all(|other| other["state"] == "down" || other["rests_seconds"].is_u64());
        if is_alone {
            format!("{shown} requested no calls for {seconds} s (Retry-After); still tried: the trunk has no other address to call")
        } else {
            format!("{shown} skipped for {seconds} s: it sent Retry-After")
        }
    }));
    now.extend(trunk["congested_seconds"].as_u64().map(|seconds| {
        format!("skipped for {seconds} s if the route has another target: it has too many calls (congested_on)")
    }));
    if let (Some(calls), Some(most @ 1..)) = (trunk["calls"].as_u64(), trunk["max_calls"].as_u64())
        && calls >= most
    {
        now.push(format!("full: {calls} of {most} calls (max_calls)"));
    }
    let registration = &trunk["registration"];
    if registration["state"] == "failed" {
        now.push(format!("not registered: {}", registration["last_problem"].as_str().unwrap_or("no answer")));
    }
    now.extend(rejected(&trunk["rejected"]));
    now.extend(faults(trunk));
    now
}

/// Returns the audio problems in a trunk's calls of the last hour, as phrases.
fn faults(trunk: &Value) -> impl Iterator<Item = String> {
    let known = [
        ("codec_mismatch", "codecs did not match"),
        ("unsent", "packets to it did not leave this machine"),
        ("unheard", "was not heard"),
        ("stopped", "its audio stopped in mid-call"),
        ("loss", "packets were lost"),
    ];
    known.into_iter().filter_map(|(key, what)| fault(&trunk[key], what))
}

/// Returns the audio problems in calls of the caller's trunk in the last hour, as phrases.
pub(super) fn of_caller(status: Option<&Value>, name: &str) -> Vec<String> {
    status.and_then(|status| find(status, "trunks", name)).map(|trunk| faults(trunk).collect()).unwrap_or_default()
}

/// Formats the line below the caller's trunk; empty without problems.
pub(super) fn of_caller_text(now: &Value) -> String {
    let faults: Vec<&str> = now.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if faults.is_empty() { String::new() } else { format!("    now {}\n", faults.join("; ")) }
}

/// Describes the calls of the last hour that could not reach a target, although it can be reached now; `None` if there
/// were none.
fn past_outage(of: &Value) -> Option<String> {
    let calls = of["unreached"].as_u64().filter(|calls| *calls > 0)?;
    let lost = match of["unreached_lost"].as_u64() {
        None | Some(0) => String::new(),
        Some(lost) if lost == calls => ", without another target".to_owned(),
        Some(lost) => format!(", {lost} of which had no other target"),
    };
    let calls = number(usize::try_from(calls).unwrap_or(usize::MAX), "call");
    Some(format!("earlier: {calls} of the last hour did not reach it{lost}"))
}

/// Describes a problem in calls of the last hour, if it persists.
fn fault(found: &Value, what: &str) -> Option<String> {
    let (calls, of) = (found["calls"].as_u64()?, found["of"].as_u64()?);
    let cause = found["cause"].as_str().filter(|cause| !cause.is_empty()).map(|cause| format!(": {cause}"));
    (found["still"] == true)
        .then(|| format!("{what} in {calls} of {of} calls of the last hour{}", cause.unwrap_or_default()))
}

/// Describes the calls that a trunk has rejected in the last hour, with their SIP codes; `None` without any.
fn rejected(rejected: &Value) -> Option<String> {
    let (calls, of) = (rejected["calls"].as_u64()?, rejected["of"].as_u64()?);
    let answers = rejected["answers"].as_array().into_iter().flatten().take(SHOWN);
    let answer = |one: &Value| {
        let text = one["text"].as_str().map(|text| format!(" {text}")).unwrap_or_default();
        let ends = if one["leads_on"] == false { ", on which no other target is tried" } else { "" };
        let wait = one["retry_after"].as_u64().map(|seconds| format!("Retry-After {seconds}"));
        let aside: Vec<String> = one["fault"].as_str().map(str::to_owned).into_iter().chain(wait).collect();
        let aside = if aside.is_empty() { String::new() } else { format!(" ({})", aside.join("; ")) };
        format!("{}× {}{text}{aside}{ends}", one["calls"], one["code"])
    };
    let answers: Vec<String> = answers.map(answer).collect();
    let since = if rejected["still"] == true { "" } else { ", but has answered calls since" };
    Some(format!("rejected {calls} of {of} calls in the last hour ({}){since}", answers.join(", ")))
}

/// Returns the state of an agent as phrases.
fn of_agent(agent: &Value) -> Vec<String> {
    let mut now = Vec::new();
    let problem = || agent["last_problem"].as_str().unwrap_or("no answer");
    let when = || agent["last_problem_at"].as_str().map(ago).unwrap_or_default();
    match agent["state"].as_str() {
        Some("down") => now.push(format!("{}{}", problem(), when())),
        Some("skipped") => {
            let next = agent["next_try_ms"].as_u64().map(|ms| format!(", next try in {} s", ms.div_ceil(1_000)));
            now.push(format!("it keeps failing{}: {}{}", next.unwrap_or_default(), problem(), when()));
        }
        _ => {}
    }
    // The last problem of an agent that is down may be the failed probe, which is named already.
    let is_told = agent["state"] == "down" && problem().starts_with("probe");
    if let Some(at) = agent["last_probe"].as_str() {
        match agent["probe_ms"].as_f64() {
            Some(ms) => now.push(format!("probe answered in {ms:.1} ms{}", ago(at))),
            None if is_told => {}
            None => now.push(format!("probe failed{}", ago(at))),
        }
    }
    if let (Some(talking), Some(most @ 1..)) = (agent["talking"].as_u64(), agent["max_sessions"].as_u64())
        && talking >= most
    {
        now.push(format!("full: {talking} of {most} sessions, {} waiting (max_sessions)", agent["waiting"]));
    }
    now.extend(fault(&agent["silent"], "sent no audio"));
    let failed = &agent["failed"];
    if failed.is_object() {
        let cause = failed["cause"].as_str().unwrap_or_default();
        let hung_up = failed["hung_up"].as_u64().filter(|callers| *callers > 0);
        let hung_up =
            hung_up.map(|callers| format!(", {callers} of which hung up on their callers")).unwrap_or_default();
        let since = if failed["still"] == true { "" } else { ", but not in the latest" };
        let (calls, of) = (&failed["calls"], &failed["of"]);
        now.push(format!("failed in {calls} of {of} calls of the last hour{hung_up}{since}: {cause}"));
    }
    now
}

/// Describes the last problems of addresses that are down; `None` without any.
fn problems(down: &[&Value]) -> Option<String> {
    let one = |address: &&Value| {
        format!("{}: {}", shown(&address["address"]), address["last_problem"].as_str().unwrap_or("no answer"))
    };
    let told: Vec<String> = down.iter().take(SHOWN).map(one).collect();
    let more = if down.len() > SHOWN { format!(", and {} more", down.len() - SHOWN) } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join(", ")))
}

/// Formats the time since an RFC 3339 timestamp, e.g. ` (2 min 3 s ago)`.
fn ago(at: &str) -> String {
    let seconds = at.parse::<Timestamp>().ok().map(|at| clock::now().as_second() - at.as_second());
    let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
    seconds.map(|seconds| format!(" ({} ago)", span(seconds))).unwrap_or_default()
}

fn shown(value: &Value) -> &str {
    value.as_str().unwrap_or("–")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status() -> Value {
        let address = |at: &str, state: &str, problem: Value| {
            json!({"address": at, "state": state, "last_problem": problem,
            "down_since": if state == "down" { json!("2099-01-01T00:00:00Z") } else { Value::Null }, "rtt_ms": 0.25})
        };
        let up = address("192.0.2.1:5060", "up", Value::Null);
        let down = address("192.0.2.2:5060", "down", json!("no answer to OPTIONS"));
        json!({"edge": "edge-1", "trunks": [
            {"name": "up", "state": "up", "calls": 2, "max_calls": 2, "congested_seconds": 4, "peers": [{"addresses": [up, down]}],
             "rejected": {"calls": 5, "of": 6, "still": true, "answers": [{"code": 403, "text": "Forbidden", "leads_on": false, "calls": 5}]}},
            {"name": "down", "state": "down", "peers": [{"addresses": [down]}]},
            {"name": "phones", "state": "down", "peers": [], "phones": []},
            {"name": "g729", "state": "up", "peers": [], "codec_mismatch": {"calls": 2, "of": 2, "still": true, "cause": "488"},
             "unheard": {"calls": 1, "of": 9, "still": false, "cause": "x"}},
            {"name": "stops", "state": "up", "peers": [], "stopped": {"calls": 4, "of": 9, "still": true, "cause": "no packets for 5 s"},
             "loss": {"calls": 3, "of": 9, "still": true, "cause": "26 % packet loss"}},
        ], "failing_apps": [
            {"name": "ivr", "calls": 2, "of": 3, "still": true, "code": 11_205, "cause": "connection refused"},
        ], "agents": [
            {"name": "skipped", "state": "skipped", "next_try_ms": 11_200, "last_problem": "connection refused"},
            {"name": "resets", "state": "up", "failed": {"calls": 3, "of": 4, "hung_up": 2, "still": true, "cause": "the connection was reset"}},
            {"name": "full", "state": "up", "talking": 2, "max_sessions": 2, "waiting": 1, "last_probe": "2099-01-01T00:00:00Z", "probe_ms": null},
        ]})
    }

    /// Returns the line shown below a target with this state.
    fn line(mut attempt: Value, status: Option<&Value>) -> String {
        add(&mut attempt, status);
        text(&attempt)
    }

    #[test]
    fn each_target_has_what_the_edge_knows_of_it_now() {
        let (status, trunk) = (status(), |name: &str| json!({"target": format!("trunk:{name}"), "trunk": name}));
        assert_eq!(
            line(trunk("up"), Some(&status)),
            "    now up; OPTIONS answered in 0.2 ms; 1 of 2 addresses skipped: 192.0.2.2:5060: no answer to OPTIONS; skipped for 4 s \
             if the route has another target: it has too many calls (congested_on); full: 2 of 2 calls (max_calls); rejected 5 of 6 \
             calls in the last hour (5× 403 Forbidden, on which no other target is tried)\n"
        );
        assert_eq!(
            line(trunk("down"), Some(&status)),
            "    now down; since 2099-01-01T00:00:00Z; 192.0.2.2:5060: no answer to OPTIONS; calls still try its \
             addresses, because none is up\n"
        );
        assert_eq!(line(trunk("phones"), Some(&status)), "    now down; no phone is registered\n");
        assert_eq!(line(trunk("else"), Some(&status)), "    now not in the configuration of the running edge\n");
        assert_eq!(
            line(trunk("g729"), Some(&status)),
            "    now up; codecs did not match in 2 of 2 calls of the last hour: 488\n"
        );
        assert_eq!(
            line(trunk("stops"), Some(&status)),
            "    now up; its audio stopped in mid-call in 4 of 9 calls of the last hour: no packets for 5 s; packets were lost in 3 of 9 \
             calls of the last hour: 26 % packet loss\n"
        );
        let agent = |name: &str| json!({"target": format!("agent:{name}"), "url": "ws://192.0.2.1/"});
        assert_eq!(
            line(agent("skipped"), Some(&status)),
            "    now skipped; it keeps failing, next try in 12 s: connection refused\n"
        );
        assert_eq!(
            line(agent("resets"), Some(&status)),
            "    now up; failed in 3 of 4 calls of the last hour, 2 of which hung up on their callers: the connection was reset\n"
        );
        let app = json!({"target": "app:ivr"});
        assert_eq!(
            line(app.clone(), Some(&status)),
            "    now failed in 2 of 3 calls in the last hour (error 11205: connection refused)\n"
        );
        assert_eq!(line(json!({"target": "app:other"}), Some(&status)), "");
        assert_eq!(line(app, None), "");
        assert_eq!(
            line(agent("full"), Some(&status)),
            "    now up; probe failed; full: 2 of 2 sessions, 1 waiting (max_sessions)\n"
        );
    }

    #[test]
    fn without_an_edge_no_state_is_claimed() {
        let mut all = json!({"ring_all": [{"target": "trunk:up", "trunk": "up"}]});
        add(&mut all, None);
        let one = &all["ring_all"][0];
        assert!(has_state(&all) && one["state"].is_null() && one["now"] == json!([]) && text(one).is_empty(), "{all}");
        add(&mut all, Some(&status()));
        assert_eq!(all["ring_all"][0]["state"], "up");
        let reject = json!({"target": "reject:603", "code": 603});
        assert!(!has_state(&reject) && line(reject, Some(&status())).is_empty());
    }
}
