//! Files under `deploy/` and Docker files, each checked by its own tool. A tool that is not available is reported, but
//! is no failure.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, ensure};

use crate::commands::output;
use crate::interop::{SKIPPED, Setting, install, python};

/// Returns the top folder of the tree.
pub(super) fn root() -> PathBuf {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    folder.canonicalize().unwrap_or(folder)
}

/// Returns the path of a file below `deploy/`.
pub(super) fn deploy(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}

/// Returns `None` if these programs, given with their packages, are installed; otherwise the text that the case reports
/// instead of a figure.
pub(super) fn needs(wanted: &[(&str, &str)]) -> Option<String> {
    let missing = install::packages(wanted).err()?;
    let reason = format!("{missing:#}").lines().next().unwrap_or_default().to_owned();
    Some(format!("{SKIPPED}{} cannot be had here: {reason}", wanted.first()?.0))
}

/// Runs a program; returns its stdout and stderr.
pub(super) fn said(command: &mut Command) -> anyhow::Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{}: {stdout}{stderr}", output.status);
    Ok(format!("{stdout}{stderr}"))
}

/// Checks the form of both compose files, and that the files they mount exist.
pub(crate) fn compose(setting: &Setting) -> anyhow::Result<String> {
    let plugin = Command::new("docker").args(["compose", "version"]).stdin(Stdio::null()).output();
    let tool: &[&str] = match plugin {
        Ok(output) if output.status.success() => &["docker", "compose"],
        _ => match needs(&[("docker-compose", "docker-compose")]) {
            Some(skipped) => return Ok(skipped),
            None => &["docker-compose"],
        },
    };
    let (program, first) = tool.split_first().context("a program")?;
    let mut mounts = 0;
    for name in ["docker-compose.yml", "deploy/docker-compose.yml"] {
        let file = root().join(name);
        let broken = file.with_file_name("docker-compose.sabotaged.yml");
        if setting.sabotage {
            std::fs::write(&broken, std::fs::read_to_string(&file)?.replace("network_mode", "network_mood"))?;
        }
        let read = if setting.sabotage { &broken } else { &file };
        let config = output(Command::new(program).args(first).arg("-f").arg(read).arg("config"));
        if setting.sabotage {
            std::fs::remove_file(&broken)?;
        }
        let config = config.with_context(|| name.to_owned())?;
        let root = root();
        let inside = root.to_str().context("a path in UTF-8")?;
        for word in config.split([' ', ':', '\n']).filter(|word| word.starts_with(inside)) {
            ensure!(std::path::Path::new(word).exists(), "{name}: {word} is not there");
            mounts += 1;
        }
    }
    ensure!(mounts >= 7, "only {mounts} files of the tree are mounted");
    Ok(format!("two files by {}, {mounts} mounted paths are there; no container was started", tool.join(" ")))
}

/// Dockerfiles of the tree.
const DOCKERFILES: [&str; 3] = ["Dockerfile", "examples/sipp/Dockerfile", "examples/echo_agent.Dockerfile"];

/// Checks that hadolint finds nothing in the Dockerfiles.
pub(crate) fn dockerfile(setting: &Setting) -> anyhow::Result<String> {
    let hadolint = match python::hadolint() {
        Ok(program) => program,
        Err(error) => return Ok(format!("{SKIPPED}hadolint cannot be had here: {error:#}")),
    };
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("Dockerfile");
    for name in DOCKERFILES {
        let mut text = std::fs::read_to_string(root().join(name))?;
        if setting.sabotage {
            text.push_str("USER root\nRUN cd /tmp && sudo true\n");
        }
        std::fs::write(&file, text)?;
        let found = said(Command::new(&hadolint).args(["--failure-threshold", "info"]).arg(&file))?;
        ensure!(found.trim().is_empty(), "{name}: {found}");
    }
    Ok(format!("hadolint finds nothing in {} files; no image was built", DOCKERFILES.len()))
}

/// Shell scripts for users.
const SCRIPTS: [&str; 2] = ["ci/trunkgate-ci.sh", "install.sh"];

/// Checks that shellcheck finds nothing in the scripts.
pub(crate) fn scripts(setting: &Setting) -> anyhow::Result<String> {
    let shellcheck = match python::shellcheck() {
        Ok(program) => program,
        Err(error) => return Ok(format!("{SKIPPED}shellcheck cannot be had here: {error:#}")),
    };
    let folder = tempfile::tempdir()?;
    let mut lines = Vec::new();
    for script in SCRIPTS {
        let file = folder.path().join(script.replace('/', "-"));
        let mut text = std::fs::read_to_string(deploy(script))?;
        if setting.sabotage {
            // Broken: words of a file name are split.
            text.push_str("rm -r $results\n");
        }
        lines.push(format!("{} lines of {script}", text.lines().count()));
        std::fs::write(&file, text)?;
        let found = said(Command::new(&shellcheck).args(["--shell", "sh"]).arg(&file))?;
        ensure!(found.trim().is_empty(), "{script}: {found}");
    }
    Ok(format!("shellcheck finds nothing in {}", lines.join(" and ")))
}
