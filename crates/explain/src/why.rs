//! Routing of a call by the configuration, with the reasons why other routes do not match (`trunkgate why`).

mod answer;
mod api;
mod caller;
mod limits;
mod media;
mod order;
mod present;

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};
use trunkgate_call::trunk_of_uri;
use trunkgate_route::{
    CallInfo, CallTarget, HoldMode, MatchResult, Number, NumberingPlan, Peer, Route, RoutePlan, RoutingTable,
    ScreeningReason, SendNumbers, Trunk, nearest,
};

use trunkgate_config::Config;
use trunkgate_system::clock;
use trunkgate_system::text::number;

/// Call that is to be explained.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallQuestion {
    /// Name of a trunk or address of a source; `api`: a request to the API.
    pub from: String,
    /// Called number as received, or a URI with it.
    pub called: String,
    /// Calling number; empty if there is none.
    #[serde(default)]
    pub caller: String,
    /// Time of the call: RFC 3339, or date and time in the edge's time zone; `None` for the current time.
    #[serde(default)]
    pub at: Option<String>,
    /// Header fields of the INVITE, one `NAME: VALUE` on each line.
    #[serde(default)]
    pub header: Option<String>,
}

/// Returns the number in a pasted text: the user part of a `sip:`, `sips:` or `tel:` URI, with or without angle
/// brackets, or the text itself.
///
/// # Errors
/// Returns a message if digits of the number are masked.
fn number_of(text: &str) -> Result<String, String> {
    let uri = text.trim();
    let uri = uri.split_once('<').map_or(uri, |(_, rest)| rest.split('>').next().unwrap_or(rest));
    let is_scheme = |scheme: &&str| ["sip", "sips", "tel"].iter().any(|known| known.eq_ignore_ascii_case(scheme));
    let named = uri.split_once(':').filter(|(scheme, _)| is_scheme(scheme)).map(|(_, rest)| rest);
    let number = named.map_or(text, |rest| rest.split(['@', ';', '?']).next().unwrap_or(rest));
    if number.contains("****") {
        return Err(format!("`{number}` is masked: give all digits of the number"));
    }
    Ok(number.to_owned())
}

impl CallQuestion {
    /// Returns the question with URIs replaced by their numbers.
    ///
    /// # Errors
    /// Returns a message if digits of a number are masked.
    fn plain(&self) -> Result<CallQuestion, String> {
        let (called, caller) = (number_of(&self.called)?, number_of(&self.caller)?);
        Ok(CallQuestion { called, caller, ..self.clone() })
    }

    /// Returns the time of the call; `None` if none is given. A time without an offset is in `zone`.
    ///
    /// # Errors
    /// Returns a message if the text is not a time.
    pub fn moment(&self, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
        let Some(text) = self.at.as_deref() else { return Ok(None) };
        let civil = || text.parse::<DateTime>().ok()?.to_zoned(zone.clone()).ok();
        let moment = text.parse::<Timestamp>().ok().or_else(|| civil().map(|zoned| zoned.timestamp()));
        moment
            .map(Some)
            .ok_or_else(|| format!("`{text}` is not a time: use 2026-11-20T09:00, or with an offset (+01:00)"))
    }

    /// Returns the header fields of the INVITE as names and values.
    ///
    /// # Errors
    /// Returns a message if a line is not of the form `NAME: VALUE`.
    pub fn headers(&self) -> Result<Vec<(String, String)>, String> {
        let lines = self.header.iter().flat_map(|text| text.lines()).filter(|line| !line.trim().is_empty());
        let split = |line: &str| {
            let (name, value) = line.split_once(':').filter(|(name, _)| !name.trim().is_empty())?;
            Some((name.trim().to_owned(), value.trim().to_owned()))
        };
        lines
            .map(|line| split(line).ok_or_else(|| format!("`{line}` is not a header: use \"X-Tenant: acme\"")))
            .collect()
    }
}

/// Explains the routing of a call. Returns `{called, caller, from, source, media, limits, at, override, route, answer,
/// search_timeout, order, edge, targets:[…], attempts:[…], routes:[{name, matched, failed, because, place}],
/// api:{status, code, message}}`.
///
/// `status` is the state of a running edge, if there is one: `{edge, trunks, agents}` of `/v1/status`.
///
/// # Errors
/// Returns a message if `from` names no trunk, or the number is invalid.
pub fn explain(
    table: &RoutingTable,
    config: &Config,
    question: &CallQuestion,
    status: Option<&Value>,
) -> Result<Value, String> {
    if api::is_meant(table, &question.from) {
        return api::explain(table, config, question, status);
    }
    let question = &question.plain()?;
    let zone = &config.edge.calendar.zone;
    let (at, headers) = (question.moment(zone)?, question.headers()?);
    let (from, source) = origin(table, config, &question.from)?;
    let numbers = table.numbers();
    let called = numbers.normalise(&question.called, None);
    let called = called.map_err(|_| format!("`{}` is an incomplete number: answered 484", question.called))?;
    let calling = numbers.normalise_caller(&question.caller, None);
    let screened = caller::screened(table, &from, calling, &called);
    let (calling, refused) = (screened.number, screened.refused);
    let caller = calling.text.clone();
    let now = || Timestamp::try_from(clock::wall()).unwrap_or_default();
    let call = CallInfo {
        from: &from,
        called: &called.text,
        caller: &caller,
        at: at.unwrap_or_else(now),
        headers: &headers,
        draw: None,
    };
    // Chance decides between targets of equal priority by their weights; this explanation takes the first one.
    let mut plan = table.plan(&call, &mut |_| 0).filter(|_| !refused);
    let order = plan.as_mut().map(|plan| order::sorted(plan, status.map(order::lately).as_ref()));
    let routes = routes(table, config, &call, plan.as_ref());
    let own = plan.as_ref().and_then(|plan| plan.route.caller_id.as_deref());
    let asked =
        QuestionNumbers { called: &called, caller: &calling, own, from: table.trunk(&from).map(|trunk| &**trunk) };
    let mut attempts: Vec<Value> =
        plan.iter().flat_map(|plan| &plan.targets).map(|target| attempt(table, &asked, target)).collect();
    attempts.iter_mut().for_each(|attempt| present::add(attempt, status));
    present::add_waits(&mut attempts, table, status);
    let code = if plan.is_some() { answer::of(&attempts) } else { Some(if refused { 403 } else { 404 }) };
    let is_recorded = plan.as_ref().is_some_and(|plan| plan.route.record) && !numbers.is_emergency(&called);
    let unrecorded = status.filter(|_| is_recorded).and_then(unrecorded);
    let timeout = plan.as_ref().and_then(|plan| plan.search_timeout()).filter(|_| answer::has_search(&attempts));
    Ok(json!({
        "from": from,
        "source": source,
        "media": asked.from.map(media::of_trunk),
        "from_now": present::of_caller(status, &from),
        "limits": asked.from.map(|trunk| limits::of_caller(trunk, numbers, &called, &caller)),
        "called": called.text,
        "caller": caller,
        "emergency": numbers.is_emergency(&called),
        "claimed": screened.claimed,
        "caller_refused": refused.then_some(403),
        "at": at.map(|at| at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
        "headers": headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(),
        "override": overridden(status, &called.text),
        "route": plan.as_ref().map(|plan| plan.route.name.to_string()),
        "answer": if unrecorded.is_some() { Some(503) } else { code },
        "unrecorded": unrecorded,
        "search_timeout": timeout.map(|timeout| timeout.as_secs_f64()),
        "order": order,
        "edge": status.map(|status| &status["edge"]),
        "targets": plan.as_ref().map(targets).unwrap_or_default(),
        "attempts": attempts,
        "routes": routes,
        "api": null,
    }))
}

/// Returns the reason why the running edge cannot record, and therefore rejects calls to be recorded; `None` if it can.
fn unrecorded(status: &Value) -> Option<&str> {
    // The status lists this as a problem.
    let is_it = |problem: &&Value| problem["kind"] == "calls_refused";
    let problem = || status["problem_details"].as_array()?.iter().find(is_it)?["evidence"].as_str()?.split(';').next();
    status["unrecorded"].as_str().or_else(problem)
}

/// Returns the override of a called number, set through the API of the running edge; `None` if there is none.
fn overridden(status: Option<&Value>, called: &str) -> Option<Value> {
    let all = status?["config"]["number_overrides"].as_array()?;
    all.iter().find(|one| one["number"] == called).map(|one| one["text"].clone())
}

/// Explains each route in order: whether it matches, otherwise its first condition that failed.
fn routes(table: &RoutingTable, config: &Config, call: &CallInfo<'_>, plan: Option<&RoutePlan>) -> Vec<Value> {
    let verdicts = table.explain(call).into_iter().zip(table.routes()).enumerate();
    verdicts
        .map(|(position, (verdict, route))| {
            let (matched, failed) = match verdict.matched {
                MatchResult::Yes => (true, Value::Null),
                MatchResult::Share(share) => {
                    (false, json!(format!("share: {share} % of calls, the others continue with the next route")))
                }
                MatchResult::No(ref condition) => (false, json!(condition)),
                MatchResult::NotReached => (false, json!(NOT_REACHED)),
            };
            json!({
                "name": &*verdict.name,
                "matched": matched,
                "failed": failed,
                "because": matched.then(|| because(plan.map_or(route, |plan| &plan.route), call)),
                "place": place(config, config.places.route(position)),
            })
        })
        .collect()
}

fn because(route: &Route, call: &CallInfo<'_>) -> String {
    route.matched_conditions(call).unwrap_or_else(|| "any call".to_owned())
}

/// Formats a line of the configuration as `FILE:LINE`.
fn place(config: &Config, line: Option<usize>) -> Option<String> {
    line.map(|line| format!("{}:{line}", config.path.display()))
}

/// Finds a trunk by its name or by a source address. Also returns the configuration key that assigns the address.
///
/// # Errors
/// Returns a message if `from` is neither a trunk nor an address, or no trunk has the address.
fn origin(table: &RoutingTable, config: &Config, from: &str) -> Result<(String, Value), String> {
    if let Some(trunk) = table.trunk(from) {
        let source = json!({ "address": null, "by": null, "place": place(config, config.places.trunk(from)) });
        return Ok((trunk.name.to_string(), source));
    }
    let address = from.parse::<SocketAddr>().ok().or_else(|| {
        let ip: IpAddr = from.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, 5060))
    });
    let address = address.ok_or_else(|| {
        let names = table.trunks().iter().map(|trunk| &*trunk.name);
        let meant = match nearest(from, names.clone()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("the trunks are {}", some_of(names)),
        };
        format!("`{from}` is neither a trunk nor an address: {meant}")
    })?;
    let nobody = || format!("{from} belongs to no trunk: SIP from there is dropped without a reply");
    let (trunk, by) = table.known(address).ok_or_else(nobody)?;
    let (key, written, line) = config.places.source(trunk, address, by);
    let source = json!({ "address": from, "by": format!("{key} {written}"), "place": place(config, line) });
    Ok((trunk.name.to_string(), source))
}

/// Lists at most ten names, with an ellipsis if there are more.
fn some_of<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 10;
    let mut all: Vec<&str> = names.take(MOST + 1).collect();
    if all.len() > MOST {
        all.truncate(MOST);
        all.push("…");
    }
    all.join(", ")
}

fn targets(plan: &RoutePlan) -> Vec<String> {
    plan.targets.iter().map(name).collect()
}

/// Formats a target as in the configuration.
fn name(target: &CallTarget) -> String {
    match target {
        CallTarget::Trunk { trunk, number: Some(number), .. } => format!("trunk:{}/{number}", trunk.name),
        CallTarget::Trunk { trunk, .. } => format!("trunk:{}", trunk.name),
        CallTarget::Uri { uri, .. } => uri.clone(),
        CallTarget::Agent(agent) => format!("agent:{}", agent.name),
        CallTarget::App(app) => app.target(),
        CallTarget::Reject(code) => format!("reject:{code}"),
        CallTarget::RingAll(targets) => {
            let names: Vec<String> = targets.iter().map(|target| format!("\"{}\"", name(target))).collect();
            format!("{{ ring_all = [{}] }}", names.join(", "))
        }
    }
}

/// Numbers of the call, with its trunk.
struct QuestionNumbers<'a> {
    called: &'a Number,
    caller: &'a Number,
    /// Caller ID that the route sets.
    own: Option<&'a Number>,
    /// Trunk from which the call comes.
    from: Option<&'a Trunk>,
}

/// Explains one target: its destination, the number sent, and whether its trunk permits the call.
fn attempt(table: &RoutingTable, asked: &QuestionNumbers<'_>, target: &CallTarget) -> Value {
    let mut value = json!({ "target": name(target) });
    match target {
        CallTarget::Trunk { trunk, number, peers } => {
            let other = number.as_deref().map(|number| table.numbers().normalise_caller(number, None));
            let number = other.as_ref().unwrap_or(asked.called);
            value["number"] = json!(table.numbers().format(number, trunk.send_numbers));
            value["peers"] = peers.iter().map(peer).collect();
            value["accept_register"] = json!(trunk.accept_register);
            on_trunk(&mut value, table.numbers(), trunk, (number, trunk.send_numbers), asked);
        }
        CallTarget::Uri { uri, .. } => {
            if let (Some(trunk), Some(number)) = trunk_of_uri(uri, table) {
                // A number in a URI is sent as written.
                on_trunk(&mut value, table.numbers(), trunk, (&number, SendNumbers::AsIs), asked);
            }
        }
        CallTarget::Agent(agent) => {
            value["url"] = json!(agent.url);
            value["format"] = json!(agent.format);
            value["refused"] = json!((!agent.allows(asked.caller)).then_some(486));
        }
        CallTarget::App(app) => value["document"] = json!(app.place()),
        CallTarget::Reject(code) => value["code"] = json!(code),
        CallTarget::RingAll(targets) => {
            value["ring_all"] = targets.iter().map(|target| attempt(table, asked, target)).collect();
        }
    }
    value
}

/// Adds the effects of a target's trunk to its explanation: media, number format, caller ID, refusal, limits.
fn on_trunk(
    value: &mut Value,
    numbers: &NumberingPlan,
    trunk: &Trunk,
    (number, form): (&Number, SendNumbers),
    asked: &QuestionNumbers<'_>,
) {
    value["trunk"] = json!(&*trunk.name);
    if let (Some(value), Value::Object(side)) = (value.as_object_mut(), media::of_trunk(trunk)) {
        value.extend(side);
    }
    value["media"] = json!(asked.from.map(|from| media::between(from, trunk)));
    value["hold"] = json!(match trunk.hold {
        HoldMode::Relay => "relay",
        HoldMode::Local => "local",
    });
    value["send_numbers"] = json!(match trunk.send_numbers {
        SendNumbers::E164 => "e164",
        SendNumbers::PlusLess => "plus-less",
        SendNumbers::National => "national",
        SendNumbers::AsIs => "as-is",
    });
    let is_emergency = numbers.is_emergency(number);
    let shown = caller::shown(trunk.caller_id.as_ref(), asked.own, asked.caller);
    value["shown"] = if is_emergency && shown.is_u64() { Value::Null } else { shown };
    let denied = trunk.denied_as(numbers, number, form);
    value["denied"] = json!(
        denied.map(|denied| json!({ "number": denied.number, "by": by(&denied.by), "why": denied.by.to_string() }))
    );
    value["limits"] = json!(limits::of_target(trunk, numbers, number, &asked.caller.text));
}

/// Returns the entry of `deny`, or the other key, that refuses a number.
fn by(denied: &ScreeningReason) -> String {
    match denied {
        ScreeningReason::Deny(pattern) => pattern.clone(),
        ScreeningReason::Allow => "allow_prefixes".to_owned(),
        ScreeningReason::HighRisk(_) => "high_risk".to_owned(),
    }
}

fn peer(peer: &Peer) -> Value {
    let addresses = peer.servers.iter().flat_map(|server| {
        server.sockets().map(|socket| format!("{} {socket}", server.transport.as_str())).collect::<Vec<_>>()
    });
    json!({ "uri": peer.uri, "addresses": addresses.collect::<Vec<_>>() })
}

/// Text for routes after the matching one.
const NOT_REACHED: &str = "an earlier route matched";

/// Maximum number of non-matching routes that are listed; further ones are only counted.
const LISTED: usize = 8;

/// Formats an explanation as text, the result first, then the reasons. With `is_whole` every route is listed.
pub fn text(answer: &Value, is_whole: bool) -> String {
    if let Some(text) = api::text(answer) {
        return text;
    }
    let source = &answer["source"];
    let from = shown(&answer["from"]);
    let mut out = match (source["address"].as_str(), source["by"].as_str()) {
        (Some(address), Some(by)) => format!("source {address} → trunk {from} ({by}{})\n", behind(&source["place"])),
        _ => format!("from trunk {from}{}\n", source["place"].as_str().map(|p| format!(" ({p})")).unwrap_or_default()),
    };
    out.push_str(&format!("called {}", shown(&answer["called"])));
    if answer["emergency"] == true {
        out.push_str(" (emergency: exempt from limits)");
    }
    match answer["caller"].as_str() {
        Some("") | None => out.push('\n'),
        Some(caller) => out.push_str(&format!(", caller {caller}\n")),
    }
    if let Some(claimed) = answer["claimed"].as_str() {
        out.push_str(&format!(
            "caller ID {claimed} is not allowed from {from} (caller_id_in): {} is used\n",
            shown(&answer["caller"])
        ));
    }
    if answer["caller_refused"].is_u64() {
        let caller = shown(&answer["caller"]);
        return format!("{out}→ 403: caller ID {caller} is not allowed from {from} (caller_id_in)\n");
    }
    if let Some(at) = answer["at"].as_str() {
        out.push_str(&format!("at {at}\n"));
    }
    out.push_str(&result(answer));
    if answer["media"].is_object() {
        out.push_str(&format!("{from} has {}\n", media::side(&answer["media"])));
        out.push_str(&present::of_caller_text(&answer["from_now"]));
    }
    out.push_str(&limits::text(&from, &answer["limits"]));
    out.push_str(&routes_text(answer, is_whole));
    out
}

/// Formats the result: the matching route with its targets, or the rejection.
fn result(answer: &Value) -> String {
    let mut out = String::new();
    let attempts = answer["attempts"].as_array().map(Vec::as_slice).unwrap_or_default();
    out.push_str(&override_line(answer, attempts));
    match answer["route"].is_null() {
        true if answer["override"].is_string() => {
            out.push_str("→ 404 without this override: no route of the file matches\n")
        }
        true => out.push_str("→ 404: no route\n"),
        false => {
            let because = answer["routes"].as_array().into_iter().flatten().find(|route| route["matched"] == true);
            out.push_str(&because.map(|route| format!("route {}\n", taken_by(route))).unwrap_or_default());
            attempts.iter().for_each(|attempt| out.push_str(&line_of(attempt)));
        }
    }
    out.push_str(&present::note(answer));
    // A target that rejects has a line of its own.
    let own = |code: &u64| !attempts.is_empty() && attempts.iter().all(|attempt| attempt["code"] != *code);
    if let Some(why) = answer["unrecorded"].as_str() {
        out.push_str(&format!(
            "→ 503 now: the call cannot be recorded ({why}), and `on_full = \"refuse_calls\"` of [recording] refuses it: no target is called\n"
        ));
    } else if let Some(code) = answer["answer"].as_u64().filter(own) {
        out.push_str(&format!("→ {code}: no target is called\n"));
    } else if let Some(code) = present::rejection(attempts) {
        out.push_str(&format!("→ {code} now, unless a target is reached: each is down or skipped\n"));
    }
    out.push_str(&order::text(&answer["order"]));
    if let Some(seconds) = answer["search_timeout"].as_f64() {
        out.push_str(&format!("  the last target is tried after at most {seconds} s\n"));
    }
    out
}

/// Formats the matching route: its name, the reason, and the line in the file.
fn taken_by(route: &Value) -> String {
    let because = route["because"].as_str().map(|because| format!(": {because}")).unwrap_or_default();
    let place = route["place"].as_str().map(|place| format!(" ({place})")).unwrap_or_default();
    format!("{}{because}{place}", shown(&route["name"]))
}

/// Formats the number of non-matching routes, grouped by the first condition that failed.
fn counted(routes: &[Value]) -> String {
    let mut by_key: Vec<(&str, usize)> = Vec::new();
    for failed in routes.iter().filter_map(|route| route["failed"].as_str()) {
        let key = failed.split(':').next().unwrap_or(failed);
        match by_key.iter_mut().find(|(known, _)| *known == key) {
            Some((_, count)) => *count += 1,
            None => by_key.push((key, 1)),
        }
    }
    by_key.sort_by_key(|(_, count)| usize::MAX - count);
    let counts: Vec<String> = by_key.iter().map(|(key, count)| format!("{count} by {key}")).collect();
    format!(
        "{} do not match ({}): --all lists them\n",
        number(by_key.iter().map(|(_, count)| count).sum(), "route"),
        counts.join(", ")
    )
}

/// Formats the routes up to the matching one, one on each line; if too many do not match, they are counted.
fn routes_text(answer: &Value, is_whole: bool) -> String {
    let mut out = String::new();
    let routes = answer["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = routes.iter().filter_map(|route| route["name"].as_str()).map(|name| name.chars().count()).max();
    // The search ends at the matching route, so later ones are not listed.
    let asked = routes.iter().position(|route| route["failed"] == NOT_REACHED).unwrap_or(routes.len());
    let unmatched = routes.iter().take(asked).filter(|route| route["failed"].is_string()).count();
    if unmatched > LISTED && !is_whole {
        return counted(routes.get(..asked).unwrap_or_default());
    }
    for (position, route) in routes.iter().enumerate().take(asked) {
        let verdict = match (route["failed"].as_str(), route["because"].as_str()) {
            (Some(failed), _) => format!("no   {failed}"),
            (None, Some(because)) => {
                format!("yes  {because}{}", route["place"].as_str().map(|p| format!(" ({p})")).unwrap_or_default())
            }
            (None, None) => "yes".to_owned(),
        };
        let (name, width) = (shown(&route["name"]), width.unwrap_or(0));
        out.push_str(&format!("{:>3} {name:<width$}   {verdict}\n", position + 1));
    }
    match (asked + 1, routes.len()) {
        (first, last) if first > last => {}
        (first, last) if first == last => out.push_str(&format!("{first:>3} not evaluated\n")),
        (first, last) => out.push_str(&format!("{first:>3} to {last} not evaluated\n")),
    }
    out
}

/// Formats the line on an override of the called number; empty if there is none.
fn override_line(answer: &Value, attempts: &[Value]) -> String {
    let Some(set) = answer["override"].as_str() else { return String::new() };
    // Overrides exist only in a running edge, not in the configuration file.
    let is_in_force = attempts.iter().any(|one| shown(&one["target"]).starts_with("app:api:"));
    let elsewhere = if is_in_force { "" } else { "; for the path of its calls, query the running edge with --url" };
    format!("number {}: {set}{elsewhere}\n", shown(&answer["called"]))
}

fn shown(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn behind(place: &Value) -> String {
    place.as_str().map(|place| format!(", {place}")).unwrap_or_default()
}

/// Formats one target, or several that ring at the same time, as one line.
fn line_of(attempt: &Value) -> String {
    if let Some(targets) = attempt["ring_all"].as_array() {
        let lines = targets.iter().map(|target| format!("  {}", line_of(target)));
        return std::iter::once("→ ring simultaneously:\n".to_owned()).chain(lines).collect();
    }
    let target = shown(&attempt["target"]);
    if let (Some(number), Some(by)) = (attempt["denied"]["number"].as_str(), attempt["denied"]["why"].as_str()) {
        let trunk = shown(&attempt["trunk"]);
        return format!("✗ {target}  403: trunk {trunk} does not allow calls to {number} ({by})\n");
    }
    if let Some(code) = attempt["shown"].as_u64() {
        let trunk = shown(&attempt["trunk"]);
        return format!("✗ {target}  {code}: the caller ID is not allowed to {trunk} (caller_id)\n");
    }
    if let Some(code) = attempt["refused"].as_u64() {
        return format!("✗ {target}  {code}, and the call ends: the caller is not in allow_callers\n");
    }
    let mut parts = Vec::new();
    for peer in attempt["peers"].as_array().into_iter().flatten() {
        let addresses = peer["addresses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        // An address has the form `udp 10.0.0.5:5060`; a peer that was not looked up has none.
        let behind = |address: &str| address.split_once(' ').map(|(transport, at)| format!("{at} {transport}"));
        let found: Vec<String> = addresses.filter_map(behind).collect();
        parts.push(if found.is_empty() { shown(&peer["uri"]) } else { found.join(", ") });
    }
    if attempt["accept_register"] == true {
        parts.push("any registered phone".to_owned());
    }
    if let Some(number) = attempt["number"].as_str() {
        parts.push(format!("number {number}"));
    }
    if let Some(number) = attempt["shown"].as_str() {
        parts.push(format!("caller ID sent: {number}"));
    }
    let limits = attempt["limits"].as_array().into_iter().flatten().filter_map(Value::as_str);
    parts.extend(limits.map(|limit| format!("limit {limit}")));
    if attempt["codecs"].is_array() {
        parts.push(format!("{}, hold {}", media::side(attempt), shown(&attempt["hold"])));
    }
    parts.extend([&attempt["url"], &attempt["format"]].into_iter().filter_map(Value::as_str).map(str::to_owned));
    // A sound target is its own document, so only applications name one.
    parts.extend(attempt["document"].as_str().filter(|_| target.starts_with("app:")).map(str::to_owned));
    let media = attempt["media"].is_object().then(|| format!("; {}", media::told(&attempt["media"])));
    let target = target.strip_prefix("trunk:").and_then(|name| name.split('/').next()).unwrap_or(&target);
    let line = format!("→ {}{}\n", format!("{target} {}", parts.join(", ")).trim_end(), media.unwrap_or_default());
    line + &present::text(attempt)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use trunkgate_config as config;
    use trunkgate_runtime::settings::ResolvedServers;

    #[test]
    fn a_call_that_cannot_be_recorded_is_refused_by_either_page() {
        let page = json!({"problem_details": [{"kind": "other"}, {"kind": "calls_refused", "evidence": "disk full; 0 active"}]});
        assert_eq!(unrecorded(&page), Some("disk full"));
        assert_eq!(unrecorded(&json!({"unrecorded": "disk full"})), Some("disk full"));
        assert_eq!(unrecorded(&json!({"problem_details": [{"kind": "recordings_not_written"}]})), None);
    }

    fn asked(text: &str, from: &str, called: &str) -> Value {
        let (config, _) = config::parse(Path::new("t.toml"), text).unwrap();
        let question =
            CallQuestion { from: from.into(), called: called.into(), caller: String::new(), at: None, header: None };
        explain(&config.table(&ResolvedServers::new()), &config, &question, None).unwrap()
    }

    const FILE: &str = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\naccept_from = ['198.51.100.0/24']\n\
                        [trunk.pbx]\npeers = ['sip:10.0.0.5', 'sip:pbx.example;transport=tls']\ndeny = ['+4930*']\n\
                        [[route]]\nname = 'support-line'\nto = ['+49301234567']\nconnect = ['reject:603']\n\
                        [[route]]\nname = 'in'\nfrom = ['carrier']\nto = ['+49*', '+1*']\nconnect = ['trunk:pbx']\n";

    #[test]
    fn the_page_is_as_the_sketch_of_it() {
        let answer = asked(FILE, "198.51.100.9", "+1 415 555 0123");
        let expected = "source 198.51.100.9 → trunk carrier (accept_from 198.51.100.0/24, t.toml:3)\n\
                        called +14155550123\n\
                        route in: from carrier, to +1* (t.toml:12)\n\
                        → pbx 10.0.0.5:5060 udp, sip:pbx.example;transport=tls, number +14155550123, \
                        codecs PCMU PCMA opus, srtp off, dtmf rfc4733, hold relay; audio relayed if both sides support one of \
                        PCMU PCMA opus, otherwise transcoded; keys relayed\n  \
                        states of the targets are unknown: running edge not queried\n\
                        carrier has codecs PCMU PCMA opus, srtp off, dtmf rfc4733\n  \
                        1 support-line   no   to: +14155550123 matches none of +49301234567\n  \
                        2 in             yes  from carrier, to +1* (t.toml:12)\n";
        assert_eq!(text(&answer, false), expected);
    }

    #[test]
    fn a_number_may_be_pasted_as_a_uri() {
        for called in
            ["sip:+14155550123@carrier.example;user=phone", "\"Al\" <SIPS:+14155550123@[::1]>", "tel:+14155550123"]
        {
            assert_eq!(asked(FILE, "carrier", called)["called"], "+14155550123", "{called}");
        }
        assert_eq!(number_of("+1312****105").unwrap_err(), "`+1312****105` is masked: give all digits of the number");
        assert_eq!(number_of("**61*1").unwrap(), "**61*1");
    }

    #[test]
    fn an_edge_that_does_not_answer_is_named() {
        let mut answer = asked(FILE, "198.51.100.9", "+1 415 555 0123");
        answer["edge_error"] = json!("no edge at http://127.0.0.1:8080: Connection refused");
        let line = "\n  states of the targets are unknown: no edge at http://127.0.0.1:8080: Connection refused\n";
        assert!(text(&answer, false).contains(line));
    }

    #[test]
    fn routes_behind_the_one_that_takes_the_call_are_one_line() {
        let more = "[[route]]\nname = 'a'\nconnect = ['trunk:pbx']\n[[route]]\nname = 'b'\nconnect = ['trunk:pbx']\n";
        let page = |file: &str| text(&asked(file, "carrier", "+14155550123"), false);
        let two = page(&format!("{FILE}{more}"));
        assert!(two.ends_with("t.toml:12)\n  3 to 4 not evaluated\n"), "{two}");
        let one = page(&format!("{FILE}[[route]]\nname = 'a'\nconnect = ['trunk:pbx']\n"));
        assert!(one.ends_with("t.toml:12)\n  3 not evaluated\n"), "{one}");
    }

    #[test]
    fn many_routes_that_do_not_match_are_counted_behind_the_result() {
        let other = |n: usize| format!("[[route]]\nname = 'other{n}'\nto = ['+4411{n}']\nconnect = ['trunk:pbx']\n");
        let own = "[[route]]\nname = 'pbx'\nfrom = ['pbx']\nconnect = ['trunk:carrier']\n";
        let file = format!("{FILE}{}{own}", (0..LISTED).map(other).collect::<String>());
        let answer = asked(&file, "carrier", "+81355550123");
        let page = text(&answer, false);
        assert!(page.contains("called +81355550123\n→ 404: no route\ncarrier has "), "{page}");
        assert!(page.ends_with("\n11 routes do not match (10 by to, 1 by from): --all lists them\n"), "{page}");
        assert!(text(&answer, true).contains("\n 11 pbx            no   from: carrier matches none of pbx\n"));
    }

    #[test]
    fn a_denied_number_is_told_with_what_denies_it() {
        let answer = asked(FILE, "carrier", "+493099887766");
        assert_eq!(
            answer["attempts"][0]["denied"],
            json!({ "number": "+493099887766", "by": "+4930*", "why": "deny +4930*" })
        );
        let page = text(&answer, false);
        let denied = "✗ trunk:pbx  403: trunk pbx does not allow calls to +493099887766 (deny +4930*)\n\
                      → 403: no target is called\n";
        assert!(page.starts_with("from trunk carrier (t.toml:1)\n") && page.contains(denied), "{page}");
        // A URI that leads to the trunk cannot evade its `deny`.
        let by_uri = FILE.replace("'trunk:pbx'", "'sip:+4930555@10.0.0.5'");
        assert_eq!(asked(&by_uri, "carrier", "+14155550123")["attempts"][0]["denied"]["by"], "+4930*");
    }

    #[test]
    fn both_sides_media_and_what_is_between() {
        let file = FILE.replace("deny =", "codecs = ['G722', 'PCMA']\ndtmf = 'info'\ndeny =");
        let answer = asked(&file, "carrier", "+14155550123");
        let from = json!({ "codecs": ["PCMU", "PCMA", "opus"], "srtp": "off", "dtmf": "rfc4733" });
        assert_eq!(answer["media"], from);
        let one = &answer["attempts"][0];
        assert_eq!((&one["dtmf"], &one["codecs"]), (&json!("info"), &json!(["G722", "PCMA"])));
        assert_eq!(one["media"], json!({ "audio": "relayed_if_common", "common": ["PCMA"], "keys": "converted" }));
        let page = text(&answer, false);
        for part in [
            "\ncarrier has codecs PCMU PCMA opus, srtp off, dtmf rfc4733\n",
            "codecs G722 PCMA, srtp off, dtmf info, hold relay; audio relayed if both sides support one of PCMA, otherwise \
             transcoded; keys converted\n",
        ] {
            assert!(page.contains(part), "{page}");
        }
    }

    #[test]
    fn where_every_target_refuses_the_answer_is_told_and_no_search() {
        let file = FILE.replace("connect = ['trunk:pbx']", "connect = ['trunk:pbx', 'trunk:pbx/+49301']");
        let answer = asked(&file, "carrier", "+493099887766");
        assert_eq!((&answer["answer"], &answer["search_timeout"]), (&json!(403), &Value::Null));
        let page = text(&answer, false);
        assert!(page.contains("(deny +4930*)\n→ 403: no target is called\n"), "{page}");
        assert_eq!(asked(FILE, "carrier", "+14155550123")["answer"], Value::Null);
        assert_eq!(asked(FILE, "pbx", "+14155550123")["answer"], 404);
        assert_eq!(asked(FILE, "pbx", "+49301234567")["answer"], 603);
        let page = text(&asked(FILE, "pbx", "+49301234567"), false);
        assert!(page.contains("(t.toml:8)\n→ reject:603\npbx has "), "{page}");
    }

    #[test]
    fn those_that_ring_at_once_have_a_line_each() {
        let file =
            FILE.replace("['trunk:pbx']", "[{ ring_all = ['trunk:pbx', 'trunk:carrier/+49301'] }, 'reject:480']");
        let answer = asked(&file, "carrier", "+14155550123");
        assert_eq!(answer["targets"][0], "{ ring_all = [\"trunk:pbx\", \"trunk:carrier/+49301\"] }");
        assert_eq!(answer["attempts"][0]["ring_all"][1]["number"], "+49301");
        let page = text(&answer, false);
        let (_, targets) = page.split_once("t.toml:12)\n").unwrap();
        let (targets, _) = targets.split_once("carrier has ").unwrap();
        let starts = [
            "→ ring simultaneously:",
            "  → pbx 10.0.0.5:5060 udp",
            "  → carrier 198.51.100.7:5060",
            "→ reject:480",
            "  states of the targets are unknown",
            "  the last target is tried after at most 120 s",
        ];
        assert_eq!(targets.lines().count(), starts.len(), "{page}");
        for (line, start) in targets.lines().zip(starts) {
            assert!(line.starts_with(start), "{page}");
        }
    }

    #[test]
    fn a_caller_whom_an_agent_does_not_take_is_told_so() {
        let file = "[trunk.carrier]\npeers = ['sip:198.51.100.7']\n[agent.bot]\nurl = 'ws://127.0.0.1/'\n\
                    allow_callers = ['+14155551234']\n[[route]]\nconnect = ['agent:bot', 'trunk:carrier']\n";
        let (config, _) = config::parse(Path::new("t.toml"), file).unwrap();
        let table = config.table(&ResolvedServers::new());
        let ask = |caller: &str| {
            let question = CallQuestion {
                from: "carrier".into(),
                called: "100".into(),
                caller: caller.into(),
                at: None,
                header: None,
            };
            explain(&table, &config, &question, None).unwrap()
        };
        for (caller, allowed) in [
            ("(415) 555-1234", true),
            ("+14155551234", true),
            ("+14155551235", false),
            ("anonymous", false),
            ("", false),
        ] {
            let answer = ask(caller);
            assert_eq!(answer["attempts"][0]["refused"].is_null(), allowed, "{caller}");
            let told = text(&answer, false)
                .contains("✗ agent:bot  486, and the call ends: the caller is not in allow_callers");
            assert_eq!(told, !allowed, "{caller}");
        }
    }

    #[test]
    fn a_time_is_a_time() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let at = |text: &str| {
            let question = CallQuestion {
                from: String::new(),
                called: String::new(),
                caller: String::new(),
                at: Some(text.into()),
                header: None,
            };
            question.moment(&berlin).map(|moment| moment.unwrap().to_string())
        };
        assert_eq!(at("2026-11-20T09:00"), Ok("2026-11-20T08:00:00Z".into()));
        assert_eq!(at("2026-11-20 09:00:00+01:00"), Ok("2026-11-20T08:00:00Z".into()));
        assert!(at("mon 09:00").unwrap_err().contains("is not a time"));
    }
}
