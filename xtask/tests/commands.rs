//! Commands that documents name.

#![allow(clippy::unwrap_used, clippy::panic)] // a test may panic

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Returns the text that the tasks print for these arguments.
fn print(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the documents that name commands, by path.
fn documents() -> Vec<(PathBuf, String)> {
    let folders = ["", "start", "guides", "configure", "operate", "reference", "internals", "internals/evidence"];
    let folders = folders.map(|folder| root().join("docs").join(folder));
    let files = [root()].into_iter().chain(folders).flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let pages = files.map(|file| file.unwrap().path());
    // The change log describes earlier versions.
    let pages =
        pages.filter(|path| path.extension().is_some_and(|kind| kind == "md") && !path.ends_with("CHANGELOG.md"));
    pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect()
}

/// Returns the rest of each command in a text that begins with `start`: up to the end of its code span, line or
/// comment.
fn named<'a>(text: &'a str, start: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).map(|rest| rest.split(['`', '\n', '#', '(', '|']).next().unwrap_or_default().trim())
}

#[test]
fn tasks_that_documents_name_exist_and_take_their_flags() {
    let mut helps: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    let cases = print(&["interop", "--list"]);
    let mut commands = 0;
    let documents = documents();
    for (path, text) in &documents {
        for command in named(text, "cargo xtask ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            let is_verb = |word: &&&str| {
                word.chars().all(|sign| sign.is_ascii_lowercase() || sign == '-') && !word.starts_with('-')
            };
            let mut verbs: Vec<&str> = words.iter().take_while(is_verb).copied().collect();
            // The first words of prose that follows, as in a heading, are not commands.
            verbs.truncate(if verbs.first() == Some(&"bench") { 2 } else { 1 });
            let help = helps.entry(verbs.clone()).or_insert_with(|| {
                let mut arguments = verbs.clone();
                arguments.push("--help");
                print(&arguments)
            });
            let place = format!("{}: cargo xtask {command}", path.display());
            assert!(help.contains("Usage: xtask"), "{place}: no such task");
            commands += 1;
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(help.contains(*flag), "{place}: {flag} is not in\n{help}");
            }
            if verbs == ["interop"] {
                let only = words.windows(2).filter(|two| ["--only", "--sabotage"].contains(&two[0])).map(|two| two[1]);
                for name in only
                    .filter(|name| name.chars().all(|sign| sign.is_ascii_lowercase() || "-0123456789".contains(sign)))
                {
                    assert!(
                        cases.lines().any(|line| line.split(' ').next().is_some_and(|case| case.contains(name))),
                        "{place}"
                    );
                }
            }
        }
    }
    assert!(commands > 50, "{commands}");
}

#[test]
fn benches_that_documents_name_exist() {
    let mut folders = vec![root().join("benches")];
    folders
        .extend(std::fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path().join("benches")));
    let mut benches = 0;
    for (path, text) in documents() {
        for command in named(&text, "cargo bench ") {
            let words: Vec<&str> = command.split_whitespace().collect();
            let names = words.windows(2).filter(|two| two[0] == "--bench").map(|two| two[1]);
            for name in names.filter(|name| *name != "NAME") {
                benches += 1;
                let file = format!("{name}.rs");
                assert!(folders.iter().any(|folder| folder.join(&file).exists()), "{}: {name}", path.display());
            }
        }
    }
    assert!(benches > 1, "{benches}");
}

#[test]
fn page_of_json_is_that_of_the_types() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask")).args(["json", "--check"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}
