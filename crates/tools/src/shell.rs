//! `completions SHELL` and `man DIR`: shell completions and manual pages.

use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Cli;
use crate::{client, manual};
use trunkgate_system::terminal;

/// Prints the completion script for a shell.
pub fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "trunkgate", &mut script);
    client::say(&String::from_utf8_lossy(&script));
    ExitCode::SUCCESS
}

/// Writes the manual pages into a directory; without one, lists them on stdout.
pub fn manual(folder: Option<&Path>) -> ExitCode {
    let Some(folder) = folder else {
        client::say(&terminal::folded(&list(), 0, terminal::width()));
        return ExitCode::SUCCESS;
    };
    match manual::write(folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::print_error(&format!("error: {}: {error}", folder.display()));
            ExitCode::FAILURE
        }
    }
}

/// Lists the manual pages with their titles, and how to install them.
fn list() -> String {
    let mut program = Cli::command();
    program.build();
    let mut pages = Vec::new();
    add_pages(&program, &mut pages);
    let width = pages.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let lines: String = pages.iter().map(|(name, about)| format!("{name:<width$}  {about}\n")).collect();
    format!(
        "{lines}\ninstall them: trunkgate man /usr/local/share/man/man1\nread without installing: trunkgate man DIR && \
         man -l DIR/trunkgate.1\n"
    )
}

/// Appends a command's page and those of its subcommands, named as by [`manual::write`].
fn add_pages(command: &clap::Command, pages: &mut Vec<(String, String)>) {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    pages.push((format!("{name}(1)"), about));
    for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
        add_pages(verb, pages);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual::{DATE, write};

    #[test]
    fn there_is_a_page_for_every_verb() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        for verb in Cli::command().get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let page = std::fs::read_to_string(folder.path().join(format!("trunkgate-{}.1", verb.get_name()))).unwrap();
            assert!(page.contains(".SH NAME") && page.contains(".SH SYNOPSIS"), "{page}");
            let head =
                format!(".TH trunkgate-{} 1 {DATE} \"trunkgate {}\"", verb.get_name(), env!("CARGO_PKG_VERSION"));
            assert!(page.contains(&head), "{head}: {page}");
        }
        assert!(folder.path().join("trunkgate.1").exists());
    }

    #[test]
    fn the_list_has_every_page_and_how_to_install_them() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path()).unwrap();
        let files =
            std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
        let mut files: Vec<String> = files.map(|name| name.replace(".1", "(1)")).collect();
        let text = list();
        let mut listed: Vec<String> =
            text.lines().map_while(|line| Some(line.split_once("  ")?.0.to_owned())).collect();
        files.sort();
        listed.sort();
        assert_eq!(listed, files, "{text}");
        assert!(text.contains("\ntrunkgate-doctor(1) ") && text.contains("install them: trunkgate man /"), "{text}");
    }

    #[test]
    fn pages_have_the_date_of_the_version() {
        let package = include_str!("../../../deploy/debian/changelog");
        let date = package.lines().find_map(|line| line.split_once(">  ").map(|(_, date)| date)).unwrap();
        let date = jiff::fmt::rfc2822::parse(date).unwrap();
        assert_eq!(date.strftime("%Y-%m-%d").to_string(), DATE);
    }
}
