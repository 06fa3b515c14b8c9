//! `trunkgate why`: which way a call would go by the file, and why not another.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::ExitCode;

use serde::Deserialize;
use serde_json::{Value, json};
use trunkgate_route::{CallInfo, Matched, Plan, Table, Target};

use crate::cli::Why;
use crate::names::Found;
use crate::{client, run};

/// Explains a call: by the file, as `check` reads it (host names of peers are not looked up), or with `--url` by the
/// configuration that an edge has in force.
pub fn run(config: Option<&Path>, verb: &Why) -> ExitCode {
    let question = Question { from: verb.from.clone(), called: verb.called.clone(), caller: verb.caller.clone() };
    let show = |answer: &Value| if verb.json { format!("{answer}\n") } else { text(answer) };
    if verb.at.is_some() {
        eprintln!("error[TG0190]: `--at`: routes by time (`when`) are not in this version");
        return ExitCode::from(run::USAGE);
    }
    if verb.remote.url.is_some() {
        return client::why(config, &verb.remote, &question, show);
    }
    let Some((config, _)) = run::load(config, false) else { return ExitCode::from(run::USAGE) };
    match explain(&Table::new(config.definition(&Found::new())), &question) {
        Ok(answer) => {
            client::say(&show(&answer));
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(run::USAGE)
        }
    }
}

/// The call that is asked about.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Question {
    /// A trunk's name, or the address that a request comes from.
    pub from: String,
    /// The called number as it would come in.
    pub called: String,
    /// The calling number; empty: none.
    #[serde(default)]
    pub caller: String,
}

/// `{called, caller, from, route, targets:[…], routes:[{name, matched, failed}]}`
///
/// # Errors
/// In words, where no trunk is meant or the number is none.
pub(crate) fn explain(table: &Table, question: &Question) -> Result<Value, String> {
    let from = trunk(table, &question.from)?;
    let called = table
        .numbers()
        .normalise(&question.called, None)
        .map_err(|_| format!("`{}` is an incomplete number: answered 484", question.called))?;
    let caller = match question.caller.as_str() {
        "" => String::new(),
        number => table.numbers().normalise_caller(number, None).text,
    };
    let call = CallInfo { from: &from, called: &called.text, caller: &caller };
    // Weights decide among equals by chance; here always the first.
    let plan = table.plan(&call, &mut |_| 0);
    let routes: Vec<Value> = table
        .explain(&call)
        .into_iter()
        .map(|verdict| {
            let failed = match verdict.matched {
                Matched::Yes => Value::Null,
                Matched::No(ref condition) => json!(condition),
                Matched::NotReached => json!("an earlier route took the call"),
            };
            json!({ "name": &*verdict.name, "matched": verdict.matched == Matched::Yes, "failed": failed })
        })
        .collect();
    Ok(json!({
        "from": from,
        "called": called.text,
        "caller": caller,
        "route": plan.as_ref().map(|plan| plan.route.name.to_string()),
        "targets": plan.as_ref().map(targets).unwrap_or_default(),
        "routes": routes,
    }))
}

/// A trunk by its name, or by an address that it sends from.
fn trunk(table: &Table, from: &str) -> Result<String, String> {
    if let Some(trunk) = table.trunk(from) {
        return Ok(trunk.name.to_string());
    }
    let address = from.parse::<SocketAddr>().ok().or_else(|| {
        let ip: IpAddr = from.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, 5060))
    });
    match address {
        Some(address) => match table.trunk_of(address) {
            Some(trunk) => Ok(trunk.name.to_string()),
            None => Err(format!("{from} is no trunk's address: what comes from there gets no answer")),
        },
        None => Err(format!("`{from}` is neither a trunk nor an address")),
    }
}

fn targets(plan: &Plan) -> Vec<String> {
    let target = |target: &Target| match target {
        Target::Trunk { trunk, number, .. } => match number {
            Some(number) => format!("trunk:{}/{number}", trunk.name),
            None => format!("trunk:{}", trunk.name),
        },
        Target::Uri { uri, .. } => uri.clone(),
        Target::Agent(agent) => format!("agent:{}", agent.name),
        Target::Reject(code) => format!("reject:{code}"),
    };
    plan.targets.iter().map(target).collect()
}

fn text(answer: &Value) -> String {
    let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut out = format!("from trunk {}, called {}", shown(&answer["from"]), shown(&answer["called"]));
    match answer["caller"].as_str() {
        Some("") | None => out.push('\n'),
        Some(caller) => out.push_str(&format!(", caller {caller}\n")),
    }
    let routes = answer["routes"].as_array().map(Vec::as_slice).unwrap_or_default();
    let width = routes.iter().filter_map(|route| route["name"].as_str()).map(|name| name.chars().count()).max();
    for (position, route) in routes.iter().enumerate() {
        let verdict = match route["failed"].as_str() {
            None => "yes".to_owned(),
            Some(failed) => format!("no   {failed}"),
        };
        let (name, width) = (shown(&route["name"]), width.unwrap_or(0));
        out.push_str(&format!("{:>3} {name:<width$}   {verdict}\n", position + 1));
    }
    let targets = answer["targets"].as_array().into_iter().flatten().map(&shown).collect::<Vec<_>>();
    match targets.is_empty() {
        true => out.push_str("→ 404: no route\n"),
        false => out.push_str(&format!("→ {}\n", targets.join(", then "))),
    }
    out
}
