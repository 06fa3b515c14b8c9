//! Agents in Node: independent packages, installed by npm in a folder below the target folder.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::python::{Script, run};
use crate::commands;

/// Set of npm packages. The versions are in docs/reference/interop.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packages {
    /// The package `ws`.
    Base,
    /// `ws` and OpenAI's agents SDK.
    OpenAi,
    /// Packages for browser automation.
    Browser,
    /// Twilio's library.
    Twilio,
    /// Twilio's library in a commonly pinned version.
    Pinned,
    /// Twilio's library in its newest version, for the list of parameters.
    Newest,
    /// Twilio's command-line program.
    Cli,
    /// Twilio's library, Express and a logger for applications.
    Express,
}

impl Packages {
    const fn list(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Packages::Base => ("base", &["ws@8.23.0"]),
            Packages::Browser => ("browser", &["playwright-core@1.65.1"]),
            Packages::Twilio => ("twilio", &["twilio@6.2.0"]),
            Packages::Pinned => ("pinned", &["twilio@4.23.0"]),
            Packages::Newest => ("newest", &["twilio@6.3.1"]),
            Packages::Cli => ("cli", &["twilio-cli@6.2.4"]),
            Packages::Express => ("express", &["twilio@6.2.0", "express@5.3.0", "body-parser@2.4.0", "pino@10.4.0"]),
            Packages::OpenAi => {
                ("openai", &["ws@8.23.0", "zod@4.6.7", "@openai/agents@0.18.0", "@openai/agents-extensions@0.18.0"])
            }
        }
    }
}

/// Starts a script that uses these packages.
pub(crate) fn start(packages: Packages, script: &Path, flags: &[&str]) -> anyhow::Result<Script> {
    let mut command = Command::new("node");
    command.env("NODE_PATH", modules(packages)?);
    Script::start_by(command, script, flags)
}

/// Installs packages, for a script that will run without network.
pub(crate) fn install(packages: Packages) -> anyhow::Result<()> {
    modules(packages).map(drop)
}

/// Runs a script to its end; returns its output, or an error that contains it.
pub(crate) fn output(packages: Packages, script: &Path, flags: &[&str]) -> anyhow::Result<String> {
    commands::output(Command::new("node").env("NODE_PATH", modules(packages)?).arg(script).args(flags)).context("node")
}

/// Returns the folder of the packages, which are installed unless a file confirms exactly these.
pub(crate) fn modules(packages: Packages) -> anyhow::Result<PathBuf> {
    super::install::packages(&[("node", "nodejs"), ("npm", "npm")])?;
    let (name, packages) = packages.list();
    let folder = super::edge::target().join("interop-node").join(name);
    let (list, installed) = (packages.join("\n"), folder.join("installed.txt"));
    // Cases that run side by side use the same packages.
    let _lock = super::install::lock()?;
    if !std::fs::read_to_string(&installed).is_ok_and(|text| text == list) {
        println!("      installing {}", packages.join(" "));
        std::fs::create_dir_all(&folder)?;
        let flags = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts", "--prefix", "."];
        run(Command::new("npm").args(flags).args(packages).current_dir(&folder))
            .with_context(|| format!("npm install {}", packages.join(" ")))?;
        std::fs::write(&installed, list)?;
    }
    Ok(folder.join("node_modules").canonicalize()?)
}

/// Returns the path of a script in the folder next to this file.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/interop/node").join(name)
}
