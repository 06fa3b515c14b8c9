//! libopus as the reference for ropus: the codec's tests with the feature `libopus`, which ordinary test runs omit
//! because it needs cmake.

use anyhow::{Context as _, bail};

use crate::interop::Setting;
use crate::interop::edge::cargo;
use crate::interop::install;

/// Builds libopus and runs the tests of the codec.
pub(crate) fn run(setting: &Setting) -> anyhow::Result<String> {
    install::packages(&[("cmake", "cmake")])?;
    let mut command = cargo();
    command.args(["test", "--quiet", "--package", "trunkgate-media", "--features", "libopus"]);
    command.args(["--test", "it", "--", "libopus::"]);
    if setting.sabotage {
        command.env("TRUNKGATE_SABOTAGE", "opus");
    }
    let output = command.output().context("cargo")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let result = text.lines().find(|line| line.starts_with("test result:"));
    match result {
        Some(result) if output.status.success() && !result.contains(" 0 passed") => Ok(result.to_owned()),
        _ => bail!("{text}\n{}", String::from_utf8_lossy(&output.stderr)),
    }
}
