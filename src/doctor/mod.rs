//! `trunkgate doctor`: what `check` says, then the world around the edge: sockets, the machine's limits, names, each
//! peer's answer to OPTIONS, certificates, agents. Each line is ok, warn or FAIL, with what would help.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};

#[cfg(test)]
use crate::config;
use crate::config::Config;
use crate::transport::Settings;
use crate::{client, run};

mod machine;
mod peers;

/// How a line turned out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warn,
    Fail,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Level::Ok => "ok",
            Level::Warn => "warn",
            Level::Fail => "FAIL",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    level: Level,
    /// What was looked at.
    name: String,
    /// What was seen.
    text: String,
    /// What would help; empty: nothing need be done.
    fix: String,
}

impl Finding {
    fn ok(name: impl Into<String>, text: impl Into<String>) -> Finding {
        Finding { level: Level::Ok, name: name.into(), text: text.into(), fix: String::new() }
    }
    fn warn(name: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Warn, name: name.into(), text: text.into(), fix: fix.into() }
    }
    fn fail(name: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding { level: Level::Fail, ..Finding::warn(name, text, fix) }
    }
}

/// Looks at everything; exit 1 where a line is FAIL, 2 for a file with mistakes.
pub fn run(given: Option<&Path>, json: bool) -> ExitCode {
    let Some((config, warnings)) = run::load(given, true) else { return ExitCode::from(run::USAGE) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let findings = match runtime {
        Ok(runtime) => {
            let findings = runtime.block_on(examine(&Arc::new(config), warnings));
            runtime.shutdown_background();
            findings
        }
        Err(error) => {
            eprintln!("error[TG0203]: {error}");
            return ExitCode::from(run::USAGE);
        }
    };
    client::say(&if json { format!("{:#}\n", as_json(&findings)) } else { as_text(&findings) });
    let failed = findings.iter().any(|finding| finding.level == Level::Fail);
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn examine(config: &Arc<Config>, warnings: usize) -> Vec<Finding> {
    let (settings, faults) = Settings::read(config, &Settings::default());
    let certificates = peers::certificates(config, &settings, faults);
    let settings = Arc::new(settings);
    let ((peers, addresses), agents) = tokio::join!(peers::examine(config, &settings), peers::agents(config));
    let mut all = vec![of_file(config, warnings)];
    all.extend(machine::examine(config, &addresses).await);
    all.extend(certificates.into_iter().chain(peers).chain(agents));
    all
}

fn of_file(config: &Config, warnings: usize) -> Finding {
    let file = config.path.display();
    let (trunks, routes) = (number(config.trunks.len(), "trunk"), number(config.routes.len(), "route"));
    let text = format!("{file}, {trunks}, {routes}");
    match warnings {
        0 => Finding::ok("config", text),
        _ => Finding::warn("config", format!("{text}, {}", number(warnings, "warning")), "trunkgate check"),
    }
}

fn as_text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for Finding { level, name, text, fix } in findings {
        out.push_str(&format!("  {:<4}  {name:<width$}  {text}\n", level.as_str()));
        if !fix.is_empty() {
            out.push_str(&format!("  {:<4}  {:<width$}  fix: {fix}\n", "", ""));
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    let (failures, warnings) = (number(count(Level::Fail), "failure"), number(count(Level::Warn), "warning"));
    let exit = if count(Level::Fail) > 0 { " (exit 1)" } else { "" };
    out.push_str(&format!("{failures}, {warnings}{exit}\n"));
    out
}

/// `1 warning`, `2 warnings`
fn number(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

fn as_json(findings: &[Finding]) -> Value {
    let one = |finding: &Finding| {
        json!({
            "level": finding.level.as_str().to_lowercase(),
            "name": finding.name,
            "text": finding.text,
            "fix": Some(&finding.fix).filter(|fix| !fix.is_empty()),
        })
    };
    findings.iter().map(one).collect()
}

/// A configuration for tests.
#[cfg(test)]
fn configured(text: &str) -> Config {
    config::parse(Path::new("t.toml"), text).unwrap().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_stand_under_each_other_with_what_would_help() {
        let findings = [
            Finding::ok("config", "f.toml, 2 trunks, 1 routes"),
            Finding::warn("udp buffers", "rmem_max 212992 bytes", "sysctl -w net.core.rmem_max=4194304"),
            Finding::fail("dns", "no address", "the name"),
        ];
        let expected = "  ok    config       f.toml, 2 trunks, 1 routes\n  \
                        warn  udp buffers  rmem_max 212992 bytes\n                     \
                        fix: sysctl -w net.core.rmem_max=4194304\n  \
                        FAIL  dns          no address\n                     fix: the name\n\
                        1 failure, 1 warning (exit 1)\n";
        assert_eq!(as_text(&findings), expected);
        let json = as_json(&findings);
        assert_eq!((json[2]["level"].as_str(), json[0]["fix"].is_null()), (Some("fail"), true));
    }
}
