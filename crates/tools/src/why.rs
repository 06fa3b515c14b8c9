//! `trunkgate why`: explains the routing of a call by the configuration file or by a running edge.

use std::path::Path;
use std::process::ExitCode;

use jiff::tz::TimeZone;
use serde_json::Value;

use crate::cli::WhyArgs;
use crate::client;
use trunkgate_boot::run;
use trunkgate_explain::why::{CallQuestion, explain, text};
use trunkgate_runtime::settings::ResolvedServers;
use trunkgate_system::terminal;

/// Indentation of a wrapped line, in characters.
const INDENT: usize = 2;

/// Explains a call by the configuration file, as `check` reads it (host names of peers are not resolved), with the
/// targets' states if the edge of the file is running. With `--url`, the edge at that URL explains the call by its own
/// configuration.
pub fn run(given: Option<&Path>, verb: &WhyArgs) -> ExitCode {
    let (from, called, caller) = (verb.from.clone(), verb.called.clone(), verb.caller.clone());
    let header = (!verb.header.is_empty()).then(|| verb.header.join("\n"));
    let question = CallQuestion { from, called, caller, at: verb.at.clone(), header };
    let show = |answer: &Value| {
        if verb.json {
            return client::raw(answer);
        }
        terminal::folded(&text(&terminal::harmless_json(answer), verb.all), INDENT, terminal::width())
    };
    if let Err(error) = question.moment(&TimeZone::UTC).map(drop).and_then(|()| question.headers().map(drop)) {
        return run::refuse(&format!("error: {error}"));
    }
    if verb.remote.url.is_some() {
        return client::why(given, &verb.remote, &question, show);
    }
    let Some((config, _)) = run::load(given, false) else {
        let url = client::url_of(given).unwrap_or_else(|| "http://ADDRESS".to_owned());
        let (from, called) = (terminal::harmless(&verb.from), terminal::harmless(&verb.called));
        return run::refuse(&format!(
            "hint: a running edge evaluates the configuration that it has in force: trunkgate why --url {url} --from {from} --called {called}"
        ));
    };
    let status = client::states_of(&config.http);
    match explain(
        &config.table(&ResolvedServers::new()),
        &config,
        &question,
        status.as_ref().and_then(|status| status.as_ref().ok()),
    ) {
        Ok(mut answer) => {
            if let Some(Err(why)) = status {
                answer["edge_error"] = why.into();
            }
            client::say(&show(&answer));
            ExitCode::SUCCESS
        }
        Err(error) => run::refuse(&format!("error: {error}")),
    }
}
