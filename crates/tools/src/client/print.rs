//! Responses of an edge as text: aligned columns, colours only on a terminal.

use std::io::IsTerminal;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use trunkgate_call::turns::LegTurnView;

use super::glance::{at_a_glance, in_line, is_note};
use super::ignored::ignored_parameters;
use super::page::{newest_that_fit, no_calls, since};
use crate::announced;
use trunkgate_admin::MARKED;
use trunkgate_delivery::sinks::records::csv;
use trunkgate_explain::ladder::party_line;
use trunkgate_system::clock;
use trunkgate_system::terminal::{self, wrapped};
use trunkgate_system::text::number;
use trunkgate_system::text::span;

/// Column heads of the trunk table; `help` explains them.
const TRUNK_HEADS: [&str; 8] = ["TRUNK", "STATE", "CALLS", "CPS", "EVER ANSWERED", "MOS", "LATELY", "LAST PROBLEM"];
/// Minimum number of calls in an hour for the grade of a trunk to be meaningful.
const GRADED: u64 = 10;
/// Column heads of the peer table.
const PEER_HEADS: [&str; 6] = ["PEER", "TRUNK", "STATE", "ADDRESS", "LAST OPTIONS", "RTT"];
/// Column heads of the agent table.
const AGENT_HEADS: [&str; 8] =
    ["AGENT", "STATE", "SESSIONS", "LOST", "PROBE MS", "TURN P50/P95", "LAST PROBLEM", "URL"];
/// Column heads of `calls` and `top`.
pub(crate) const CALL_HEADS: [&str; 11] =
    ["SID", "STARTED", "FROM", "TO", "ROUTE", "LEGS", "STATE", "CODE", "TIME", "MOS", "REASON"];
/// Column heads of the legs of a call.
const LEG_HEADS: [&str; 13] =
    ["LEG", "PARTY", "STATE", "REMOTE", "CODEC", "SRTP", "RX", "LOST", "JITTER", "MOS", "TX", "FAR MOS", "RTT"];
/// All column heads, for tests.
#[cfg(test)]
pub(crate) const HEADS: [&[&str]; 6] =
    [&TRUNK_HEADS, &PEER_HEADS, &AGENT_HEADS, &CALL_HEADS, &LEG_HEADS, &super::recordings::RECORDING_HEADS];
/// Length of an abbreviated SID in characters, enough to identify a call.
pub(crate) const SHORT_SID: usize = 10;
/// Number of lost calls that `status` names.
const LOST_CALLS_NAMED: usize = 5;

/// Returns the page of `status`; tables wider than the terminal become sentences.
pub(super) fn status(answer: &Value, width: Option<usize>) -> String {
    let answer = &terminal::harmless_json(answer);
    let text = |value: &Value| value.as_str().unwrap_or("–").to_owned();
    let config = &answer["config"];
    let since_start = format!(
        "{}   up {}   config loaded {} ago ({}, {})",
        text(&answer["version"]),
        span(answer["uptime_seconds"].as_u64().unwrap_or(0)),
        since(config["loaded_at"].as_str()).map_or_else(|| "–".into(), span),
        text(&config["path"]),
        count(&config["warnings"], "warning"),
    );
    let name = paint(&text(&answer["edge"]), BOLD);
    let mut out = wrapped(&format!("{name}   {}", at_a_glance(answer)), 2, width);
    out.push_str(&wrapped(&since_start, 2, width));
    out.push_str(&problems(answer, width));
    let listeners = answer["listeners"].as_array().into_iter().flatten().map(|listener| {
        let (name, place) = (text(&listener["name"]), [text(&listener["transport"]), text(&listener["address"])]);
        // An unnamed listener has its address as its name.
        let place = if name == place.join(":") { place.join(" ") } else { format!("{name} {}", place.join(" ")) };
        match listener["certificate_days"].as_i64() {
            Some(1) => format!("{place} (certificate: 1 day left)"),
            Some(days) if days < 0 => format!("{place} (certificate: {})", paint("expired", RED)),
            Some(days) => format!("{place} (certificate: {})", days_left(days)),
            None => place,
        }
    });
    out.push_str(&wrapped(&format!("LISTENERS  {}", listeners.collect::<Vec<_>>().join("   ")), 11, width));
    let announced = announced::in_words(&announced::of_status(&answer["trunks"]));
    if !announced.is_empty() {
        out.push_str(&wrapped(&format!("ANNOUNCED  {}", announced.join("   ")), 11, width));
    }
    let media = &answer["media"];
    out.push_str(&format!("MEDIA      {} of {} ports\n", media["ports_in_use"], media["ports"]));
    // An edge of an earlier version reports no limit.
    let limit = answer["calls_limit"].as_u64().map(|limit| format!(" / {limit}")).unwrap_or_default();
    out.push_str(&format!("CALLS      {}{limit}\n", answer["calls"]));
    if let Some(conferences) = answer["conferences"].as_u64().filter(|conferences| *conferences > 0) {
        let parties = answer["conference_parties"].as_u64().unwrap_or_default();
        out.push_str(&format!("CONFERENCES {conferences}, parties {parties}\n"));
    }
    if let Some(waiting) = answer["queued_calls"].as_u64().filter(|waiting| *waiting > 0) {
        let (queues, longest) = (&answer["queues"], &answer["queue_longest_wait_seconds"]);
        out.push_str(&format!("QUEUES     {queues}, waiting {waiting}, longest {longest} s\n"));
    }
    if let Some(line) = taken_over(&answer["taken_over"]) {
        out.push_str(&wrapped(&format!("TAKEN OVER {line}"), 11, width));
    }
    for set in config["number_overrides"].as_array().into_iter().flatten() {
        out.push_str(&wrapped(&format!("NUMBER     {}: {}", text(&set["number"]), text(&set["text"])), 11, width));
    }
    out.push_str(&ignored_parameters(answer, width));
    out.push_str(&trunks(answer, width));
    registrations(answer).lines().for_each(|line| out.push_str(&wrapped(line, 4, width)));
    out.push_str(&agents(answer, width));
    out
}

/// Returns the calls of an earlier process in words; `None` if there was none.
fn taken_over(report: &Value) -> Option<String> {
    let cause = match report["after"].as_str()? {
        "crash" => "after a crash",
        _ => "at an upgrade",
    };
    let when = since(report["at"].as_str()).map_or_else(|| "–".into(), span);
    if let Some(why) = report["refused"].as_str() {
        return Some(format!("no calls {cause} {when} ago: the saved state is not used, because {why}"));
    }
    let mut line = format!("{} {cause} {when} ago", count(&report["continued"], "call"));
    let lost = report["lost"].as_u64().unwrap_or_default();
    if lost > 0 {
        let named = |call: &Value| format!("{} ({})", shown(&call["sid"]), shown(&call["reason"]));
        let calls = report["lost_calls"].as_array().into_iter().flatten();
        let named: Vec<String> = calls.take(LOST_CALLS_NAMED).map(named).collect();
        line.push_str(&format!("; {} {lost}: {}", paint("lost", RED), named.join(", ")));
        if lost > named.len() as u64 {
            line.push_str(", …");
        }
    }
    Some(line)
}

/// Lists the problems of `status`; fix and command are on their own lines.
fn problems(answer: &Value, width: Option<usize>) -> String {
    let mut out = String::new();
    for problem in answer["problem_details"].as_array().into_iter().flatten() {
        let [headline, evidence, fix, command] =
            ["headline", "evidence", "fix", "command"].map(|part| problem[part].as_str());
        let since = lasting(problem, clock::now());
        let sign = if is_note(problem) { "i".to_owned() } else { paint("!", RED) };
        let headline = headline.unwrap_or("–");
        // The evidence of a silent party is long, so it follows on its own lines.
        match (problem["cause"].as_str(), evidence) {
            (Some(cause), Some(evidence)) => {
                out.push_str(&wrapped(&format!("{sign} {}", in_line(headline, cause, &since)), 2, width));
                out.push_str(&wrapped(&format!("  {evidence}"), 2, width));
            }
            (_, evidence) => {
                let evidence = evidence.map(|evidence| format!(": {evidence}")).unwrap_or_default();
                out.push_str(&wrapped(&format!("{sign} {headline}{evidence}{since}"), 2, width));
            }
        }
        for (word, next) in [("try", fix), ("see", command)] {
            out.push_str(&next.map(|next| wrapped(&format!("  {word}: {next}"), 7, width)).unwrap_or_default());
        }
    }
    out
}

/// Lists the trunks of `status`, and each address of their peers.
fn trunks(answer: &Value, width: Option<usize>) -> String {
    let text = |value: &Value| value.as_str().unwrap_or("–").to_owned();
    let mut rows = vec![TRUNK_HEADS.map(str::to_owned).to_vec()];
    let mut peers = vec![PEER_HEADS.map(str::to_owned).to_vec()];
    for trunk in answer["trunks"].as_array().into_iter().flatten() {
        let limit =
            trunk["max_calls"].as_u64().filter(|limit| *limit > 0).map_or("–".into(), |limit| limit.to_string());
        let tried = &trunk["tried"];
        let answered = trunk["answered_ratio"].as_f64();
        let answered = answered.map_or("–".into(), |ratio| format!("{:.0} % of {tried}", ratio * 100.0));
        for peer in trunk["peers"].as_array().into_iter().flatten() {
            let head = |state: &Value| vec![text(&peer["uri"]), text(&trunk["name"]), text(state)];
            let addresses = peer["addresses"].as_array().into_iter().flatten();
            let row = |address: &Value| {
                let asked = since(address["last_options"].as_str()).map(|seconds| format!("{} ago", span(seconds)));
                let place = format!("{} {}", text(&address["transport"]), text(&address["address"]));
                let rtt = address["rtt_ms"].as_f64().map_or("–".into(), |ms| format!("{ms:.1} ms"));
                let state = match address["rests_seconds"].as_u64() {
                    Some(seconds) if is_alone(trunk, address) => format!("back-off {seconds} s, still tried").into(),
                    Some(seconds) => format!("back-off {seconds} s").into(),
                    None => address["state"].clone(),
                };
                [head(&state), vec![place, asked.unwrap_or_else(|| "–".into()), rtt]].concat()
            };
            let found: Vec<Vec<String>> = addresses.map(row).collect();
            let unknown = || vec![[head(&peer["state"]), vec!["–".to_owned(); 3]].concat()];
            peers.extend(if found.is_empty() { unknown() } else { found });
        }
        rows.push(vec![
            text(&trunk["name"]),
            text(&trunk["state"]),
            format!("{} / {limit}", trunk["calls"]),
            trunk["cps"].to_string(),
            answered,
            mos(&trunk["quality"]),
            lately(trunk),
            problem(trunk),
        ]);
    }
    let peers = if peers.len() == 1 { String::new() } else { fitting(&peers, width) };
    fitting(&rows, width) + &peers
}

/// Returns whether calls are still sent to an address that backs off, because every other address of the trunk is down
/// or backs off.
pub(crate) fn is_alone(trunk: &Value, address: &Value) -> bool {
    let peers = trunk["peers"].as_array().into_iter().flatten();
    let mut addresses = peers.filter_map(|peer| peer["addresses"].as_array()).flatten();
    addresses.all(|other| other == address || other["state"] == "down" || other["rests_seconds"].is_u64())
}

/// Formats the time until a certificate expires: in days up to ten years, then in years.
fn days_left(days: i64) -> String {
    match days / 365 {
        ..10 => format!("{days} days left"),
        10..100 => format!("{} years left", days / 365),
        100.. => "no expiry within 100 years".to_owned(),
    }
}

/// Formats the mean MOS of a trunk in the last hour, marked if it is poor.
fn mos(quality: &Value) -> String {
    let Some(mos) = quality["mos"].as_f64() else { return "–".to_owned() };
    format!("{mos:.1}{}", if quality["is_poor"] == true { " poor" } else { "" })
}

/// Formats the answered calls of a trunk in the last hour, and its grade.
fn lately(trunk: &Value) -> String {
    let Ok(figures) = trunkgate_route::PerformanceFigures::deserialize(&trunk["lately"]) else { return "–".into() };
    let [tried, answered] = ["tried", "answered"].map(|key| trunk["last_hour"][key].as_u64());
    match (tried, answered) {
        (Some(0), _) => "no calls to it".to_owned(),
        // The grade starts from nine assumed answers, which would hide the failures of a trunk with few calls.
        (Some(tried @ ..GRADED), Some(answered)) if !figures.poor_audio => format!("answered {answered} of {tried}"),
        (Some(tried), Some(answered)) => format!("answered {answered} of {tried}, {}", figures.standing()),
        // An edge of an earlier version reports no counts.
        _ => figures.to_string(),
    }
}

/// Formats the last problem of a trunk, peer or agent, and its age.
fn problem(of: &Value) -> String {
    let Some(text) = of["last_problem"].as_str() else { return "–".into() };
    match since(of["last_problem_at"].as_str()) {
        Some(seconds) => format!("{text} ({} ago)", span(seconds)),
        None => text.to_owned(),
    }
}

/// Lists registrations of the edge and phones registered with it, one per line.
fn registrations(answer: &Value) -> String {
    let line = |trunk: &Value| {
        let registration = &trunk["registration"];
        let state = registration["state"].as_str()?;
        let (registrar, name) = (shown(&registration["registrar"]), shown(&trunk["name"]));
        Some(match registration["expires_at"].as_str() {
            Some(until) => format!("{name}: {state} with {registrar} until {until}\n"),
            None => format!("{name}: {state}, {registrar}\n"),
        })
    };
    let phones = |trunk: &Value| {
        let name = shown(&trunk["name"]);
        let phones = trunk["phones"].as_array()?;
        let line = |phone: &Value| {
            let [transport, address, until] = ["transport", "address", "expires_at"].map(|key| shown(&phone[key]));
            format!("{name}: a phone at {transport} {address} is registered until {until}\n")
        };
        Some(if phones.is_empty() {
            format!("{name}: no phone is registered\n")
        } else {
            phones.iter().map(line).collect()
        })
    };
    let trunks = || answer["trunks"].as_array().into_iter().flatten();
    trunks().filter_map(line).chain(trunks().filter_map(phones)).collect()
}

/// Lists the agents of `status`; empty without agents.
fn agents(answer: &Value, width: Option<usize>) -> String {
    let mut rows = vec![AGENT_HEADS.map(str::to_owned).to_vec()];
    for agent in answer["agents"].as_array().into_iter().flatten() {
        let [name, state, lost, probe, url] =
            ["name", "state", "lost", "probe_ms", "url"].map(|key| shown(&agent[key]));
        rows.push(vec![name, state, sessions(agent), lost, probe, turns(agent), problem(agent), url]);
    }
    if rows.len() == 1 { String::new() } else { fitting(&rows, width) }
}

/// Formats the response time of an agent: median and 95th percentile.
fn turns(agent: &Value) -> String {
    let [p50, p95] = ["p50", "p95"].map(|share| agent["turn_ms"][share].as_u64());
    p50.zip(p95).map_or_else(|| "–".into(), |(p50, p95)| format!("{p50}/{p95} ms"))
}

/// Formats the open sessions of an agent; with a limit, also the limit and the number of waiting calls.
fn sessions(agent: &Value) -> String {
    match agent["max_sessions"].as_u64() {
        None | Some(0) => shown(&agent["sessions"]),
        Some(most) => match agent["waiting"].as_u64().unwrap_or_default() {
            0 => format!("{}/{most}", shown(&agent["talking"])),
            waiting => format!("{}/{most}, {waiting} wait", shown(&agent["talking"])),
        },
    }
}

/// Returns `calls ls --csv` in the format of [`trunkgate_delivery::sinks::records::csv`], with the header even without
/// calls.
pub(super) fn calls_as_csv(answer: &Value) -> String {
    let rows = answer["calls"].as_array().into_iter().flatten().map(csv::row);
    let bytes: Vec<u8> = std::iter::once(csv::head()).chain(rows).flatten().collect();
    // The bytes are valid UTF-8.
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Returns `calls ls`: a table, or two lines for each call with an abbreviated SID if the table is too wide. Limited to
/// `rows` lines, newest calls first.
pub(super) fn calls(answer: &Value, width: Option<usize>, rows: Option<usize>, filters: &[(&str, &str)]) -> String {
    let answer = &terminal::harmless_json(answer);
    let mut cells = vec![CALL_HEADS.map(str::to_owned).to_vec()];
    cells.extend(newest_first(answer).into_iter().map(|call| call_row(call).to_vec()));
    if cells.len() == 1 {
        return no_calls(answer, filters);
    }
    let all = table(&cells);
    if fits(&all, width) {
        let mut lines = all.split_inclusive('\n').map(str::to_owned);
        let head = lines.next().unwrap_or_default();
        return newest_that_fit(head, lines.collect(), rows);
    }
    let two_lines = cells.iter().skip(1).filter_map(|row| {
        let [sid, started, from, to, route, legs, state, code, time, mos, reason] = row.as_slice() else { return None };
        let sid: String = sid.chars().take(SHORT_SID).collect();
        let mos = if mos == UNKNOWN { String::new() } else { format!("MOS {mos}  ") };
        let (head, rest) = (
            format!("{sid}  {started}  {state} {code}  {time}  {mos}{reason}"),
            format!("  {from} → {to}  {route}  {legs}"),
        );
        Some(wrapped(&head, 2, width) + &wrapped(&rest, 4, width))
    });
    newest_that_fit(String::new(), two_lines.collect(), rows)
}

/// Returns the calls by start time, newest first; the edge lists them by their end.
pub(crate) fn newest_first(answer: &Value) -> Vec<&Value> {
    let mut calls: Vec<&Value> = answer["calls"].as_array().into_iter().flatten().collect();
    // RFC 3339 times in UTC with equal precision sort as text.
    calls.sort_by(|a, b| b["started_at"].as_str().cmp(&a["started_at"].as_str()));
    calls
}

/// Cell of an unknown or inapplicable value.
const UNKNOWN: &str = "–";

/// Returns the cells of a call, in the order of [`CALL_HEADS`].
pub(crate) fn call_row(call: &Value) -> [String; 11] {
    let is_over = !call["outcome"].is_null() && call["state"] == "ended";
    [
        shown(&call["sid"]),
        started(call, clock::now()),
        shown(&call["from"]),
        shown(&call["to"]),
        shown(&call["route"]),
        parties(call),
        shown(if is_over { &call["outcome"] } else { &call["state"] }) + &marks(call),
        code(call),
        duration(call),
        worst_mos(call),
        shown(&call["reason"]),
    ]
}

/// Returns the lower MOS of the two directions of a call; `–` if one direction had no audio, which the score of the
/// other direction would hide.
fn worst_mos(call: &Value) -> String {
    if call["flags"].as_array().is_some_and(|flags| flags.iter().any(|flag| flag == "one_way")) {
        return UNKNOWN.to_owned();
    }
    let legs = call["legs"].as_array().into_iter().flatten();
    let scores = legs.flat_map(|leg| [leg["rtp"]["mos"].as_f64(), leg["rtp"]["far"]["mos"].as_f64()]).flatten();
    scores.reduce(f64::min).map_or_else(|| UNKNOWN.to_owned(), |mos| format!("{mos:.1}"))
}

/// Returns the status code sent to the caller; for a rejected call after that of the last target, if it differs.
fn code(call: &Value) -> String {
    let ours = &call["sip_code"];
    let legs = call["legs"].as_array().into_iter().flatten();
    match legs.filter_map(|leg| leg["sip_code"].as_u64()).next_back() {
        Some(theirs) if ours.as_u64().is_some_and(|ours| ours >= 300 && ours != theirs) => {
            format!("{theirs}→{}", shown(ours))
        }
        Some(_) | None => shown(ours),
    }
}

/// Returns the marks appended to the state of a call: ` !silent`, ` !codecs`.
fn marks(call: &Value) -> String {
    let flags = call["flags"].as_array().map(Vec::as_slice).unwrap_or_default();
    let marks = MARKED.iter().filter(|(flag, _)| flags.iter().any(|has| has == flag));
    marks.map(|(_, word)| format!(" !{word}")).collect()
}

/// Returns whether every line of a text fits into the terminal's width.
fn fits(text: &str, width: Option<usize>) -> bool {
    width.is_none_or(|width| text.lines().all(|line| line.chars().count() <= width))
}

/// Returns the jitter of a leg; `–` for agents and for legs without received packets.
fn jitter(leg: &Value) -> String {
    let rtp = &leg["rtp"];
    let is_heard = leg["kind"] != "agent" && rtp["rx_packets"].as_u64().is_some_and(|packets| packets > 0);
    let ms = rtp["jitter_ms"].as_f64().filter(|_| is_heard);
    ms.map_or_else(|| "–".into(), |ms| format!("{ms:.1} ms"))
}

/// Returns `calls show`; a table of legs wider than the terminal becomes sentences.
pub(super) fn call(call: &Value, width: Option<usize>) -> String {
    let call = &terminal::harmless_json(call);
    let mut out = String::new();
    let lines = [
        "sid",
        "state",
        "outcome",
        "reason",
        "sip_code",
        "route",
        "from",
        "to",
        "started_at",
        "answered_at",
        "ended_at",
    ];
    for key in lines {
        out.push_str(&format!("{key:<12} {}\n", shown(&call[key])));
    }
    let flags: Vec<String> = call["flags"].as_array().into_iter().flatten().map(shown).collect();
    out.push_str(&format!("{:<12} {}\n", "flags", if flags.is_empty() { "–".to_owned() } else { flags.join(", ") }));
    if let Some(verdict) = call["verdict"].as_str().filter(|verdict| !verdict.is_empty()) {
        out.push_str(&wrapped(&format!("{:<12} {verdict}", "verdict"), 13, width));
    }
    let mut rows = vec![LEG_HEADS.map(str::to_owned).to_vec()];
    let answers: Vec<String> = call["legs"].as_array().into_iter().flatten().filter_map(rejected).collect();
    answers.iter().for_each(|answer| out.push_str(&format!("{:<12} {answer}\n", "rejected")));
    for leg in call["legs"].as_array().into_iter().flatten() {
        if let Some(id) = leg["sip_call_id"].as_str().filter(|id| !id.is_empty()) {
            out.push_str(&wrapped(&format!("{:<12} {} {id}", "call_id", party(leg)), 13, width));
        }
    }
    out.push_str(&answered(call, width));
    for leg in call["legs"].as_array().into_iter().flatten() {
        let rtp = &leg["rtp"];
        rows.push(vec![
            shown(&leg["direction"]),
            party(leg),
            shown(&leg["state"]),
            format!("{} {}", shown(&leg["transport"]), shown(&leg["remote"])),
            codec(leg),
            shown(&leg["srtp"]),
            rtp["rx_packets"].to_string(),
            rtp["lost"].to_string(),
            jitter(leg),
            score(&rtp["mos"]),
            match rtp["tx_refused"].as_u64() {
                None | Some(0) => rtp["tx_packets"].to_string(),
                Some(refused) => format!("{} ({refused} not sent)", rtp["tx_packets"]),
            },
            score(&rtp["far"]["mos"]),
            rtp["rtt_ms"].as_f64().map_or_else(|| "–".into(), |ms| format!("{ms:.1} ms")),
        ]);
    }
    let all = table(&rows);
    if fits(&all, width) {
        return out + &all;
    }
    for row in rows.iter().skip(1) {
        let [leg, party, state, remote, codec, srtp, rx, lost, jitter, mos, tx, far, rtt] = row.as_slice() else {
            continue;
        };
        out.push_str(&wrapped(&format!("{leg} {party}, {state}, {remote}, {codec}, SRTP {srtp}"), 2, width));
        let heard = format!("received {rx}, {lost} lost, jitter {jitter}, MOS {mos}");
        out.push_str(&wrapped(&format!("  {heard}; sent {tx}, MOS {far}; round trip {rtt}"), 4, width));
    }
    out
}

/// Returns the response times of the call's agents.
fn answered(call: &Value, width: Option<usize>) -> String {
    let legs = call["legs"].as_array().into_iter().flatten();
    let turns = legs.filter_map(|leg| Some((leg, LegTurnView::deserialize(&leg["turn_ms"]).ok()?)));
    turns.map(|(leg, turns)| wrapped(&format!("{:<12} {}: {turns}", "turns", party(leg)), 13, width)).collect()
}

/// Formats the party of a leg with the status code and text of its SIP response; `None` without a response.
fn rejected(leg: &Value) -> Option<String> {
    let code = leg["sip_code"].as_u64()?;
    let text = leg["sip_text"].as_str().map(|text| format!(" {text}")).unwrap_or_default();
    Some(format!("{} answered {code}{text}", party(leg)))
}

/// Formats the codec of a leg, and the codec that its audio is converted to, if any.
fn codec(leg: &Value) -> String {
    match leg["converted_to"].as_str() {
        Some(into) => format!("{} → {into}", shown(&leg["codec"])),
        None => shown(&leg["codec"]),
    }
}

fn score(mos: &Value) -> String {
    mos.as_f64().map_or_else(|| "–".into(), |mos| format!("{mos:.2}"))
}

/// Formats the result of `upgrade`: the running version, its process and the number of calls handed over.
pub(super) fn upgraded(begun: &Value, version: &str) -> String {
    let calls = begun["calls"].as_u64().map(|calls| format!(", {} handed over", number(calls as usize, "call")));
    let process = begun["pid"].as_u64().map(|pid| format!(" in process {pid}"));
    let (calls, process) = (calls.unwrap_or_default(), process.unwrap_or_default());
    format!("version {} runs{process}{calls}\n", shown(&Value::from(version)))
}

pub(super) fn reloaded(answer: &Value) -> String {
    let answer = &terminal::harmless_json(answer);
    let counts = ["trunk", "route", "warning"].map(|word| count(&answer[format!("{word}s")], word)).join(", ");
    let mut out = format!("reloaded: {counts}\n");
    match answer["changed"].as_array().map(Vec::as_slice) {
        Some([]) => out.push_str("  nothing changed\n"),
        Some(all) => all.iter().for_each(|one| out.push_str(&format!("  {}\n", shown(one)))),
        None => {}
    }
    for section in answer["needs_restart"].as_array().into_iter().flatten() {
        out.push_str(&format!("{} {} requires a restart\n", paint("!", RED), shown(section)));
    }
    out
}

/// Returns a table; if it is wider than the terminal, one sentence for each row instead: the first two cells, then the
/// other cells that are not empty.
pub(super) fn fitting(rows: &[Vec<String>], width: Option<usize>) -> String {
    let all = table(rows);
    let bare = |text: &str| width.is_none_or(|width| text.trim_end().chars().count() <= width);
    let (Some(head), true) = (rows.first(), width.is_some()) else { return all };
    // The head may contain colour codes, which have no width.
    if all.lines().skip(1).all(bare) {
        return all;
    }
    let sentence = |row: &Vec<String>| {
        let others = head.iter().zip(row).skip(2).filter(|(_, cell)| *cell != "–");
        let others = others.map(|(label, cell)| format!("{} {cell}", label.to_lowercase()));
        let first = row.iter().take(2).cloned().collect::<Vec<_>>().join(" ");
        wrapped(&std::iter::once(first).chain(others).collect::<Vec<_>>().join(", "), 4, width)
    };
    let kind = head.first().map_or("", String::as_str);
    format!("{}\n", paint(kind, BOLD)) + &rows.iter().skip(1).map(sentence).collect::<String>()
}

/// Returns a table with columns as wide as their widest cell; the first row is the head.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for (position, row) in rows.iter().enumerate() {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}   "));
        }
        let line = line.trim_end();
        out.push_str(&if position == 0 { paint(line, BOLD) } else { line.to_owned() });
        out.push('\n');
    }
    out
}

/// Formats a JSON number with its noun: `1 warning`, `2 warnings`.
fn count(number: &Value, word: &str) -> String {
    format!("{number} {word}{}", if *number == 1 { "" } else { "s" })
}

pub(super) fn shown(value: &Value) -> String {
    match value.as_str() {
        Some("") => "–".into(),
        Some(text) => text.to_owned(),
        None if value.is_null() => "–".into(),
        None => value.to_string(),
    }
}

/// Returns all parties of a call in order; applications, conferences and mailboxes as written in a route.
fn parties(call: &Value) -> String {
    let legs = call["legs"].as_array().into_iter().flatten().map(party).collect();
    party_line(legs, [&call["app"], &call["conference"]["name"], &call["voicemail"]].map(Value::as_str))
}

/// Returns the trunk or agent of a leg.
fn party(leg: &Value) -> String {
    shown(if leg["kind"] == "agent" { &leg["agent"] } else { &leg["trunk"] })
}

/// Formats the duration of a call, from the answer (otherwise the start) to the end (otherwise now).
fn duration(call: &Value) -> String {
    let at = |key: &str| call[key].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(from) = at("answered_at").or_else(|| at("started_at")) else { return "–".into() };
    let to = at("ended_at").unwrap_or_else(clock::now);
    span(u64::try_from(to.as_second() - from.as_second()).unwrap_or(0))
}

/// Returns the start time of a call in UTC, with the date if it is not today.
pub(super) fn started(call: &Value, now: Timestamp) -> String {
    let Some(at) = call["started_at"].as_str().and_then(|text| text.parse::<Timestamp>().ok()) else {
        return "–".into();
    };
    let is_today = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    at.strftime(if is_today { "%T" } else { "%m-%d %T" }).to_string()
}

/// Returns the start and age of a problem: ` (since 12:58:16 UTC, 3 min 4 s)`; empty if unknown.
pub(crate) fn lasting(problem: &Value, now: Timestamp) -> String {
    let Some(since) = problem["since"].as_str().and_then(|since| since.parse::<Timestamp>().ok()) else {
        return String::new();
    };
    let seconds = u64::try_from(now.as_second() - since.as_second()).unwrap_or_default();
    let form = if seconds < DAY_SECONDS { "%H:%M:%S UTC" } else { "%Y-%m-%d %H:%M UTC" };
    format!(" (since {}, {})", since.strftime(form), span(seconds))
}

/// Age above which a start time is shown with its date, in seconds.
const DAY_SECONDS: u64 = 86_400;

pub(super) const BOLD: &str = "1";
pub(super) const RED: &str = "31";
pub(super) const GREEN: &str = "32";

pub(super) fn paint(text: &str, colour: &str) -> String {
    if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
        format!("\x1b[{colour}m{text}\x1b[0m")
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_start_has_its_date_where_that_is_another_day() {
        let now: Timestamp = "2026-01-02T00:10:00Z".parse().unwrap();
        for (at, says) in [
            (json!("2026-01-02T00:09:08.5Z"), "00:09:08"),
            (json!("2026-01-01T23:59:59Z"), "01-01 23:59:59"),
            (Value::Null, "–"),
        ] {
            assert_eq!(started(&json!({ "started_at": at }), now), says);
        }
    }

    #[test]
    fn the_days_of_a_certificate_are_counted_for_ten_years() {
        for (days, says) in [
            (61, "61 days left"),
            (3_649, "3649 days left"),
            (3_650, "10 years left"),
            (755_726, "no expiry within 100 years"),
        ] {
            assert_eq!(days_left(days), says);
        }
    }

    #[test]
    fn the_call_that_began_last_stands_first() {
        let call = |sid: &str, at: &str| json!({"sid": sid, "started_at": at, "state": "ended"});
        let answer = json!({"calls": [call("CA1", "2026-01-01T23:40:29.9Z"), call("CA2", "2026-01-01T23:40:31.0Z")]});
        let shown = calls(&answer, None, None, &[]);
        assert!(shown.find("CA2").unwrap() < shown.find("CA1").unwrap(), "{shown}");
    }

    #[test]
    fn one_of_a_thing_has_no_plural() {
        assert_eq!((count(&json!(1), "route"), count(&json!(0), "route")), ("1 route".into(), "0 routes".into()));
    }

    #[test]
    fn a_leg_shows_both_ends_of_what_it_hears_in_any_width() {
        let rtp = json!({"rx_packets": 500, "tx_packets": 501, "lost": 3, "jitter_ms": 1.26, "rtt_ms": 20.0, "mos": 4.2,
            "far": {"lost": 0, "jitter_ms": 0.5, "mos": 3.9}});
        let leg = json!({"kind": "sip", "direction": "inbound", "trunk": "carrier", "state": "answered", "transport": "tls",
            "sip_call_id": "a1@198.51.100.7", "remote": "198.51.100.7:5061", "codec": "PCMU", "srtp": "AES_CM_128_HMAC_SHA1_80", "rtp": rtp});
        let mut converted = leg.clone();
        converted["converted_to"] = "opus".into();
        let shown = call(&json!({"sid": "CA1", "legs": [converted]}), None);
        assert!(shown.contains("   PCMU → opus   "), "{shown}");
        assert!(shown.contains("call_id      carrier a1@198.51.100.7\n"), "{shown}");
        let mut agent = json!({"kind": "agent", "agent": "desk", "rtp": rtp});
        agent["turn_ms"] =
            json!({"turns": 12, "p50": 812, "p95": 1320, "hops": {"edge": 11.0, "network": null, "agent": null}});
        let shown = call(&json!({"sid": "CA1", "legs": [leg, agent]}), None);
        let turns = "turns        desk: 12 turns, p50 812 ms, p95 1320 ms; median by hop: edge 11 ms\n";
        assert!(shown.contains(turns), "{shown}");
        let answer = json!({"sid": "CA1", "legs": [leg]});
        let wide = call(&answer, None);
        assert!(!wide.contains("turns"), "{wide}");
        assert!(wide.contains("FAR MOS") && wide.lines().last().unwrap().contains("4.20   501   3.90"), "{wide}");
        let narrow = call(&answer, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let words = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            words.contains("received 500, 3 lost, jitter 1.3 ms, MOS 4.20; sent 501, MOS 3.90; round trip 20.0 ms")
        );
        let jitter_of =
            |kind: &str, packets: u64| jitter(&json!({"kind": kind, "rtp": {"rx_packets": packets, "jitter_ms": 0.0}}));
        assert_eq!([jitter_of("sip", 1), jitter_of("sip", 0), jitter_of("agent", 1)], ["0.0 ms", "–", "–"]);
    }

    #[test]
    fn a_problem_has_the_time_since_which_it_exists() {
        let now: Timestamp = "2026-11-24T13:00:16Z".parse().unwrap();
        let of = |since: Value| lasting(&json!({"headline": "trunk a is down", "since": since}), now);
        assert_eq!(of(json!("2026-11-24T12:58:16.5Z")), " (since 12:58:16 UTC, 2 min 0 s)");
        assert_eq!(of(json!("2026-11-22T12:58:16Z")), " (since 2026-11-22 12:58 UTC, 2 d 0 h)");
        assert_eq!(of(json!("2026-11-24T13:00:20Z")), " (since 13:00:20 UTC, 0 s)", "another clock");
        assert_eq!(of(Value::Null), "");
    }

    #[test]
    fn a_problem_has_its_age() {
        let hour_ago = Timestamp::now() - jiff::SignedDuration::from_secs(3600 + 5 * 60 + 5);
        let trunk = json!({"last_problem": "503 to INVITE", "last_problem_at": hour_ago.to_string()});
        assert_eq!(problem(&trunk), "503 to INVITE (1 h 5 min ago)");
        assert_eq!(
            (problem(&json!({"last_problem": "x"})), problem(&json!({"last_problem": null}))),
            ("x".into(), "–".into())
        );
    }

    #[test]
    fn status_fits_into_a_narrow_terminal() {
        let long = "503 Service Unavailable to INVITE, and before it nobody answered there for a quarter of an hour";
        let address = json!({"transport": "udp", "address": "198.51.100.17:5060", "state": "up", "rtt_ms": 12.5});
        let peer = json!({"uri": "sip:edge-one.carrier.example.com:5060", "state": "up", "addresses": [address]});
        let trunk = json!({"name": "carrier", "state": "up", "calls": 3, "cps": 0, "answered_ratio": 0.5, "tried": 8, "peers": [peer],
            "last_problem": long});
        let agent = json!({"name": "desk", "state": "down", "sessions": 2, "lost": 1, "last_problem": long,
            "turn_ms": {"turns": 12, "p50": 812, "p95": 1320}, "url": "wss://agents.example.com/media/of/the/desk"});
        let listener = |name: &str| json!({"name": name, "transport": "udp", "address": "203.0.113.10:5060"});
        let config = json!({"path": "/etc/trunkgate/trunkgate.toml", "warnings": 2});
        let answer = json!({"edge": "edge-1", "version": "1.0.0", "state": "ready", "uptime_seconds": 400_000, "calls": 3,
            "config": config, "listeners": [listener("outside"), listener("inside"), listener("third")],
            "media": {"ports_in_use": 12, "ports": 16384}, "trunks": [trunk], "agents": [agent], "problems": [long]});
        let narrow = status(&answer, Some(80));
        assert!(narrow.lines().all(|line| line.chars().count() <= 80), "{narrow}");
        let words = narrow.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(words.contains("carrier up, calls 3 / –, cps 0, ever answered 50 % of 8, last problem"), "{words}");
        assert!(
            words.contains("desk down, sessions 2, lost 1, turn p50/p95 812/1320 ms, last problem 503")
                && words.contains("url wss://"),
            "{words}"
        );
        assert!(status(&answer, None).contains("TRUNK     STATE   CALLS"));
    }

    #[test]
    fn calls_of_an_earlier_process_are_in_words() {
        let at = (clock::now() - jiff::SignedDuration::from_secs(125)).to_string();
        let lost = json!([{"sid": "CA1", "reason": "it could not be restored"}]);
        let crash = json!({"after": "crash", "at": at, "continued": 60, "lost": 1, "lost_calls": lost});
        let words = taken_over(&crash).unwrap();
        assert!(words.starts_with("60 calls after a crash 2 min") && words.contains("CA1 (it could not"), "{words}");
        let upgrade = json!({"after": "upgrade", "at": at, "continued": 1, "lost": 0, "lost_calls": []});
        assert!(taken_over(&upgrade).unwrap().starts_with("1 call at an upgrade"));
        let refused = json!({"after": "crash", "at": at, "continued": 0, "lost": null, "refused": "it is damaged"});
        assert!(taken_over(&refused).unwrap().ends_with("because it is damaged"));
        assert_eq!(taken_over(&Value::Null), None);
    }

    #[test]
    fn parties_are_in_order_and_two_legs_of_one_trunk_are_two() {
        let of = |legs: &[&str], more: Value| {
            let mut call = more;
            call["legs"] = legs.iter().map(|trunk| json!({ "trunk": trunk })).collect();
            parties(&call)
        };
        assert_eq!(of(&["carrier", "carrier"], json!({"app": "ivr"})), "carrier → app:ivr → carrier");
        assert_eq!(of(&["carrier"], json!({"app": "ivr"})), "carrier → app:ivr");
        assert_eq!(of(&["carrier", "carrier"], json!({})), "carrier ×2");
        let all = of(&["carrier", "pbx", "pbx"], json!({"app": "ivr", "voicemail": "sales"}));
        assert_eq!(all, "carrier → app:ivr → pbx ×2 → voicemail:sales");
        assert_eq!(of(&["carrier"], json!({"conference": {"name": "daily"}})), "carrier → conference:daily");
    }

    #[test]
    fn the_first_line_of_status_has_the_number_of_problems_and_the_first() {
        let first = |state: &str, headlines: &[&str]| {
            // The kind of a problem without a party is the word of its headline.
            let problems: Vec<Value> =
                headlines.iter().map(|headline| json!({ "headline": headline, "kind": headline })).collect();
            let answer = json!({"edge": "edge-1", "state": state, "problem_details": problems});
            status(&answer, None).lines().next().unwrap().to_owned()
        };
        assert_eq!(first("ready", &[]), "edge-1   taking calls, no problems");
        let two = first(
            "ready",
            &["trunk carrier rejected 16 of 16 calls in the last hour", "changed keys wait for a restart"],
        );
        assert_eq!(two, "edge-1   taking calls, 2 problems: trunk carrier rejected 16 of 16 calls in the last hour");
        // The decisive word may follow the list of offered codecs.
        let shown = "carrier accepts no offered codec (488: it was offered PCMU, PCMA, opus by RTP/AVP, Warning: 304 sip.carrier.example \"G729 only\")";
        let codecs = json!([{"headline": "codecs do not match in 5 of 8 calls", "harm": "calls", "evidence": shown}]);
        let named = status(&json!({"edge": "edge-1", "state": "ready", "problem_details": codecs}), None);
        assert!(named.lines().next().unwrap().ends_with("\"G729 only\")"), "{named}");
        let stray = json!([{"headline": "SIP from unknown sources is dropped", "harm": "strangers", "evidence": "1 message", "fix": "add"}]);
        let noted = status(&json!({"edge": "edge-1", "state": "ready", "problem_details": stray}), None);
        let line = "edge-1   taking calls, no problems; SIP from unknown sources is dropped: 1 message";
        assert!(noted.starts_with(&format!("{line}\n")) && noted.contains("\ni SIP from unknown"), "{noted}");
        let without = json!({"edge": "edge-1", "state": "ready", "without_target": true, "problem_details": [{"headline": "trunk carrier is down"}]});
        let named = status(&without, None);
        assert!(
            named.starts_with("edge-1   ready, but no route has a target that takes calls, 1 problem: trunk"),
            "{named}"
        );
        assert_eq!(first("draining", &["draining"]), "edge-1   draining, 1 problem");
        assert_eq!(
            first("draining", &["draining", "trunk pbx is down"]),
            "edge-1   draining, 2 problems: trunk pbx is down"
        );
    }

    #[test]
    fn a_back_off_says_whether_the_address_is_tried_nevertheless() {
        let address = |n: u8, rests: Value, state: &str| json!({"address": format!("192.0.2.{n}:5060"), "transport": "udp", "state": state, "rests_seconds": rests});
        let shown = |addresses: Vec<Value>| {
            let trunk = json!({"name": "carrier", "state": "up", "peers": [{"uri": "sip:a", "addresses": addresses}]});
            status(&json!({ "trunks": [trunk] }), None)
        };
        let alone = "back-off 30 s, still tried";
        assert!(shown(vec![address(1, json!(30), "up")]).contains(alone), "its only address");
        assert!(shown(vec![address(1, json!(30), "up"), address(2, Value::Null, "down")]).contains(alone));
        let two = shown(vec![address(1, json!(30), "up"), address(2, Value::Null, "up")]);
        assert!(two.contains("back-off 30 s ") && !two.contains("tried"), "{two}");
    }

    #[test]
    fn a_trunk_with_poor_audio_is_marked_in_its_row() {
        let row = |quality: Value| {
            let trunk = json!({"name": "carrier", "state": "up", "quality": quality});
            status(&json!({"trunks": [trunk]}), None)
                .lines()
                .find(|line| line.starts_with("carrier"))
                .unwrap()
                .to_owned()
        };
        assert!(row(json!({"mos": 2.44, "is_poor": true})).contains("   2.4 poor   "));
        assert!(row(json!({"mos": 4.31, "is_poor": false})).contains("   4.3   "));
        assert!(!row(Value::Null).contains("poor"));
    }

    #[test]
    fn calls_as_csv_have_the_columns_of_records_and_no_formula() {
        let call = json!({"sid": "CA1", "from": "=HYPERLINK(1)", "to": "+2", "route": "a \"b\", c", "state": "ended",
            "outcome": "answered", "reason": "caller_hung_up", "legs": [{"trunk": "a"}], "started_at": "2026-01-01T00:00:00Z",
            "answered_at": "2026-01-01T00:00:02Z", "ended_at": "2026-01-01T00:01:07Z", "flags": ["one_way", "unsent"]});
        let live = json!({"sid": "CA2", "from": "+1", "to": "+2", "route": "r", "state": "ringing", "outcome": null, "reason": null,
            "legs": [], "started_at": "2026-01-01T00:00:00Z", "answered_at": null, "ended_at": null});
        let text = calls_as_csv(&json!({ "calls": [call, live] }));
        let lines: Vec<&str> = text.split("\r\n").collect();
        assert!(lines.len() == 4 && lines[3].is_empty(), "{text}");
        assert!(
            lines[0].starts_with("sid,started_at,answered_at,")
                && lines[0].ends_with(",mos_avg,flags,turn_p50_ms,turn_p95_ms,target,codec,ended_by,legs"),
            "{text}"
        );
        let ended = "CA1,2026-01-01T00:00:00Z,2026-01-01T00:00:02Z,2026-01-01T00:01:07Z,65.000,ended,answered,caller_hung_up,\
                     \"a \"\"b\"\", c\",a,'=HYPERLINK(1),+2,,,,,,,one_way unsent,,,,,,\"[{\"\"trunk\"\":\"\"a\"\"}]\"";
        assert_eq!(lines[1], ended);
        assert_eq!(lines[2], "CA2,2026-01-01T00:00:00Z,,,,ringing,,,r,,+1,+2,,,,,,,,,,,,,[]");
        assert_eq!(calls_as_csv(&json!({ "calls": [] })), format!("{}\r\n", lines[0]));
    }

    #[test]
    fn a_targets_own_code_stands_before_another_that_the_caller_got() {
        let call = |code: u16, legs: Value| json!({"sip_code": code, "legs": legs});
        assert_eq!(code(&call(500, json!([{"sip_code": null}, {"sip_code": 503}]))), "503→500");
        assert_eq!(code(&call(403, json!([{}, {"sip_code": 403}]))), "403");
        assert_eq!(code(&call(200, json!([{}, {"sip_code": 503}, {}]))), "200");
    }

    #[test]
    fn a_call_with_faults_has_its_worst_score_and_fits_a_terminal_of_80_columns() {
        let leg = |trunk: &str, mos: f64, far: f64| json!({"trunk": trunk, "rtp": {"mos": mos, "far": {"mos": far}}});
        let mut call = json!({"sid": "CAf15dff013a24b89345a0940165982d8b", "from": "+14155550102", "to": "+14155550123",
            "route": "reception", "state": "ended", "outcome": "answered", "reason": "caller_hung_up", "sip_code": 200, "flags": ["loss"],
            "legs": [leg("carrier", 4.4, 4.1), leg("pbx", 4.3, 2.26)],
            "started_at": "2026-01-01T14:08:12Z", "answered_at": "2026-01-01T14:08:14Z", "ended_at": "2026-01-01T14:09:17Z"});
        call["started_at"] = json!(Timestamp::now().strftime("%FT00:00:00Z").to_string());
        let narrow = calls(&json!({ "calls": [call] }), Some(80), None, &[]);
        assert_eq!(
            narrow.lines().nth(1),
            Some("  +14155550102 → +14155550123  reception  carrier → pbx"),
            "each call has two lines: {narrow}"
        );
        assert!(
            narrow.starts_with("CAf15dff01  00:00:00  answered !loss 200  1 min 3 s  MOS 2.3  caller_hung_up\n"),
            "{narrow}"
        );
        let silent = json!({"flags": ["one_way"], "legs": [{"rtp": {"mos": 4.4}}, {"rtp": {"mos": null}}]});
        assert_eq!(worst_mos(&silent), "–", "a party was not heard at all");
        assert_eq!(worst_mos(&json!({"legs": [{"rtp": {"mos": null, "far": null}}, {}]})), "–");
    }

    #[test]
    fn a_call_is_one_row() {
        let call = json!({"sid": "CA1", "from": "+1", "to": "+2", "route": "r", "state": "ended", "outcome": "answered",
            "reason": "caller_hung_up", "sip_code": 200, "legs": [{"trunk": "a"}, {"trunk": "b"}],
            "started_at": "2026-01-01T00:00:00Z", "answered_at": "2026-01-01T00:00:02Z", "ended_at": "2026-01-01T00:01:07Z"});
        let text = calls(&json!({ "calls": [call.clone()] }), None, None, &[]);
        assert_eq!(text.lines().count(), 2);
        let row: Vec<&str> =
            text.lines().nth(1).unwrap().split("   ").map(str::trim).filter(|c| !c.is_empty()).collect();
        assert_eq!(
            row,
            ["CA1", "01-01 00:00:00", "+1", "+2", "r", "a → b", "answered", "200", "1 min 5 s", "–", "caller_hung_up"]
        );
        assert_eq!(calls(&json!({ "calls": [] }), None, None, &[]), "no calls\n");
        let narrow = calls(&json!({ "calls": [call] }), Some(60), None, &[]);
        assert_eq!(narrow, "CA1  01-01 00:00:00  answered 200  1 min 5 s  caller_hung_up\n  +1 → +2  r  a → b\n");
        let mut crowd = vec![json!({"trunk": "a"})];
        crowd.extend((0..30).map(|_| json!({"kind": "agent", "agent": "scribe"})));
        crowd.extend((0..12).map(|n| json!({"trunk": format!("target-{n}")})));
        let call = json!({"sid": format!("CA{}", "0".repeat(32)), "from": "+14155550123", "to": "+14155550199", "state": "answered",
            "route": "everything that comes", "legs": crowd});
        let narrow = calls(&json!({ "calls": [call] }), Some(80), None, &[]);
        assert!(narrow.lines().all(|line| line.chars().count() <= 80) && narrow.contains("scribe ×30"), "{narrow}");
    }
}
