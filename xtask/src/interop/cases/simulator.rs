//! Simulator in an optimised build: many more seeds than `cargo test` has time for.

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::edge::{PROFILE, cargo, target};

/// Runs the simulator with many seeds, and returns its summary.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    let built = cargo().args(["build", "--profile", PROFILE, "--quiet", "--package", "trunkgate-sim"]).status()?;
    if !built.success() {
        bail!("the simulator does not build");
    }
    let seeds = if setting.quick { "1000" } else { "10000" };
    let mut simulator = Command::new(target().join(PROFILE).join("trunkgate-sim"));
    simulator.args(["--seeds", seeds]);
    // Broken: the edge never receives a BYE.
    if setting.sabotage {
        simulator.arg("--sabotage");
    }
    let output = simulator.output().context("the simulator does not start")?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!("{}", text.lines().take(40).collect::<Vec<_>>().join("\n"));
    }
    let summary = text.lines().last().unwrap_or_default();
    let figure = summary.split_once(';').map_or(summary, |(figure, _)| figure);
    Ok(figure.to_owned())
}
