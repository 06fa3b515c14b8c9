//! Execution of other programs.

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

/// Runs a program and returns its stdout; if it fails, the error contains its whole output.
pub(crate) fn output(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        bail!("{}: {stdout}{stderr}", output.status);
    }
    Ok(stdout.into_owned())
}
