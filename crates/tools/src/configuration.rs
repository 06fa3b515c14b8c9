//! `trunkgate config show | schema`: prints the effective configuration, or all keys that may be set.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::ConfigVerb;
use crate::client;
use trunkgate_boot::run;
use trunkgate_config::{self as config, ConfigDisplay};
use trunkgate_system::terminal;

/// Prints the configuration or the schema; exit code 2 if the file is unusable.
pub fn run(file: Option<&Path>, what: &ConfigVerb) -> ExitCode {
    let text = match what {
        ConfigVerb::Schema { markdown: true } => config::markdown(),
        ConfigVerb::Schema { markdown: false } => format!("{:#}\n", config::json_schema()),
        ConfigVerb::Show { defaults: true, json } => printed(&ConfigDisplay::defaults(), *json),
        ConfigVerb::Show { defaults: false, json } => {
            let Some(path) = config::find(file) else { return run::no_config() };
            let source = config::text(&path).unwrap_or_default();
            match config::load(&path) {
                Ok((config, _)) => printed(&ConfigDisplay::of(&config, &source), *json),
                Err(found) => {
                    return run::refuse(&config::render(&path, &source, &found));
                }
            }
        }
    };
    client::say(&text);
    ExitCode::SUCCESS
}

fn printed(shown: &ConfigDisplay, json: bool) -> String {
    if json { terminal::json(&shown.to_json()) } else { shown.to_toml() }
}
