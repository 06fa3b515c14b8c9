//! `trunkgate check`: reports all errors of the configuration file at once.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use trunkgate_route::TargetSpec;

use crate::announced;
use trunkgate_config::{self as config, Config};
use trunkgate_runtime::settings::ResolvedServers;
use trunkgate_system::terminal;
use trunkgate_system::text::number;

/// Maximum number of routes listed in the note on missing fallbacks.
const NAMED: usize = 5;

/// Checks the file and prints the errors and warnings. Exit code 0 if the file is usable, 2 for errors, and 1 for
/// warnings with `strict`.
///
/// Diagnostics go to stderr, followed by one line on stdout if the file is usable; with `json`, stdout has the list of
/// diagnostics, which may be empty.
pub fn run(path: &Path, strict: bool, json: bool) -> ExitCode {
    let result = config::load(path);
    // Source of the quoted lines; empty if the file cannot be read.
    let source = config::text(path).unwrap_or_default();
    let (Ok((_, found)) | Err(found)) = &result;
    if json {
        // A closed stdout is not an error; the exit code has the result.
        let _ = write!(std::io::stdout(), "{}", terminal::json(&config::to_json(path, &source, found)));
    } else {
        terminal::print_error(&config::render(path, &source, found));
    }
    match &result {
        Err(_) => ExitCode::from(2),
        Ok((config, warnings)) => {
            let is_refused = strict && !warnings.is_empty();
            if is_refused && !json {
                terminal::print_error(&format!(
                    "failed: --strict accepts no warnings, and the file has {}",
                    number(warnings.len(), "warning")
                ));
            } else if !json {
                let lines = config.routes.iter().filter_map(|route| route.file.as_ref());
                let lines = lines.map(|file| format!(", {} of {}", number(file.len(), "line"), file.file()));
                println!("ok: {}{}", config.parts_in_words(), lines.collect::<String>());
                let announced = announced::in_words(&announced::of_config(config, &ResolvedServers::new()));
                let announced = announced.iter().map(|one| format!("note: announced on this machine: {one}"));
                announced.chain(without_fallback(config)).for_each(|note| terminal::print_error(&note));
            }
            if is_refused { ExitCode::from(1) } else { ExitCode::SUCCESS }
        }
    }
}

/// Returns a note on routes whose only target is an agent, because their callers are lost if the agent fails; `None`
/// without such routes.
fn without_fallback(config: &Config) -> Option<String> {
    let is_agent = |target: &TargetSpec| matches!(target, TargetSpec::Agent(_));
    let routes = config.routes.iter().filter(|route| matches!(route.connect.as_slice(), [only] if is_agent(only)));
    let names: Vec<&str> = routes.map(|route| &*route.name).collect();
    let more = if names.len() > NAMED { ", …" } else { "" };
    let told = names.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let text = format!("note: no fallback after the agent of {told}{more}: if it fails, callers get 503");
    (!names.is_empty()).then_some(text)
}
