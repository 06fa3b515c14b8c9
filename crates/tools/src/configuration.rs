//! `trunkgate config show | schema`: prints the effective configuration, or all keys that may be set.

use std::path::Path;
use std::process::ExitCode;

use crate::cli::Configuration;
use crate::client;
use trunkgate_boot::run;
use trunkgate_config::{self as config, Shown};
use trunkgate_system::terminal;

/// Prints the configuration or the schema; exit code 2 if the file is unusable.
pub fn run(file: Option<&Path>, what: &Configuration) -> ExitCode {
    let text = match what {
        Configuration::Schema { markdown: true } => config::markdown(),
        Configuration::Schema { markdown: false } => format!("{:#}\n", config::json_schema()),
        Configuration::Show { defaults: true, json } => printed(&Shown::defaults(), *json),
        Configuration::Show { defaults: false, json } => {
            let Some(path) = config::find(file) else { return run::no_config() };
            let source = config::text(&path).unwrap_or_default();
            match config::load(&path) {
                Ok((config, _)) => printed(&Shown::of(&config, &source), *json),
                Err(found) => {
                    return run::refuse(&config::render(&path, &source, &found));
                }
            }
        }
    };
    client::say(&text);
    ExitCode::SUCCESS
}

fn printed(shown: &Shown, json: bool) -> String {
    if json { terminal::json(&shown.to_json()) } else { shown.to_toml() }
}
