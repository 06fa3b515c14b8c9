//! `completions SHELL` and `man DIR`: what a shell and a reader of manuals are given of the verbs and flags.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::client;

/// Prints the script that a shell completes by.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trunkgate", &mut script);
    client::say(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Writes a manual page for the program and one for each verb into a folder.
pub fn manual(folder: &Path) -> ExitCode {
    match write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}: {error}", folder.display());
            ExitCode::FAILURE
        }
    }
}

fn write(folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Cli::command(), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_page_for_every_verb() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let page = std::fs::read_to_string(folder.path().join(format!("trunkgate-{}.1", verb.get_name()))).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
        }
        assert!(folder.path().join("trunkgate.1").exists());
    }
}
