//! Shell completions and manual pages: bash completes by the script, mandoc finds each page valid, and man shows it.

use std::process::Command;

use anyhow::ensure;

use super::deploy_files::{needs, said};
use crate::commands::output;
use crate::interop::Setting;
use crate::interop::edge::binary;

/// Words typed so far, and a completion expected for them.
const COMPLETED: [(&[&str], &str); 5] = [
    (&["trunkgate", "sta"], "status"),
    (&["trunkgate", "config", "sc"], "schema"),
    (&["trunkgate", "completions", "z"], "zsh"),
    (&["trunkgate", "status", "--js"], "--json"),
    (&["trunkgate", "agent", "te"], "test"),
];

/// Tests the completion script in bash; the scripts for other shells exist and are not empty.
pub(crate) fn completions(setting: &Setting) -> anyhow::Result<String> {
    let folder = tempfile::tempdir()?;
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = output(Command::new(binary()).args(["completions", shell]))?;
        ensure!(script.contains("trunkgate") && script.len() > 1_000, "{shell}: {} bytes", script.len());
        // Broken: the script has a misspelt command.
        let script = if setting.sabotage { script.replace("status", "statsu") } else { script };
        std::fs::write(folder.path().join(shell), script)?;
    }
    let script = folder.path().join("bash").display().to_string();
    for (words, expected) in COMPLETED {
        let line = words.join(" ");
        let (array, last) = (words.join("' '"), words.len() - 1);
        let bash = format!(
            "source '{script}'; COMP_WORDS=('{array}'); COMP_CWORD={last}; COMP_LINE='{line}'; COMP_POINT={}; \
             f=$(complete -p trunkgate | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
             $f trunkgate '{}' '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            line.len(),
            words.last().unwrap_or(&""),
            words.get(last - 1).unwrap_or(&""),
        );
        let offered = output(Command::new("bash").args(["--norc", "-c", &bash]))?;
        ensure!(offered.lines().any(|word| word.trim() == expected), "{line}: bash offers {offered:?}");
    }
    Ok(format!("bash completes {} lines; scripts for zsh, fish, elvish and PowerShell", COMPLETED.len()))
}

/// Checks every manual page by mandoc and man.
pub(crate) fn manual(setting: &Setting) -> anyhow::Result<String> {
    if let Some(skipped) = needs(&[("mandoc", "mandoc"), ("man", "man-db")]) {
        return Ok(skipped);
    }
    let folder = tempfile::tempdir()?;
    output(Command::new(binary()).arg("man").arg(folder.path()))?;
    let mut pages = 0;
    for entry in std::fs::read_dir(folder.path())? {
        let page = entry?.path();
        if setting.sabotage {
            std::fs::write(&page, ".TH\n.XYZZY\n")?;
        }
        said(Command::new("mandoc").args(["-T", "lint", "-W", "error"]).arg(&page))?;
        let shown = output(Command::new("man").arg("-l").arg(&page).env("MANPAGER", "cat").env("MANWIDTH", "80"))?;
        let sections = ["NAME", "SYNOPSIS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"];
        ensure!(sections.iter().all(|section| shown.contains(section)), "{}: {shown}", page.display());
        pages += 1;
    }
    ensure!(pages > 20, "{pages} pages");
    Ok(format!("{pages} pages: no error by mandoc, shown by man"))
}
