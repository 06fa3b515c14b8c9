//! Commands that pages show with their output print this output, if they need no edge, network or terminal.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Commands that have the same output in any environment.
const VERBS: [&str; 5] = ["check", "config", "help", "init", "why"];

/// Returns the texts of the pages, by path.
fn pages() -> Vec<(PathBuf, String)> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let folders = ["start", "guides", "configure", "operate", "reference"].map(|folder| docs.join(folder));
    let files = folders.into_iter().flat_map(|folder| std::fs::read_dir(folder).unwrap());
    let pages = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let mut pages: Vec<_> = pages.map(|path| (path.clone(), std::fs::read_to_string(path).unwrap())).collect();
    pages.sort();
    pages
}

/// Runs a command in a folder; returns the lines of stdout and stderr, or with `jq -r PATH` the value at this path.
fn run(command: &str, folder: &Path) -> Vec<String> {
    let (command, filter) = command.split_once(" | jq -r .").map_or((command, None), |(one, path)| (one, Some(path)));
    // As in a shell, quotation marks keep blanks.
    let words = command.split('"').enumerate();
    let words = words.flat_map(|(at, part)| if at % 2 == 1 { vec![part] } else { part.split_whitespace().collect() });
    let output = Command::new(env!("CARGO_BIN_EXE_trunkgate"))
        .args(words.skip(1))
        .current_dir(folder)
        .env_remove("TRUNKGATE_CONFIG")
        .output()
        .unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    if let Some(path) = filter {
        let path = format!("/{}", path.replace(['.', '['], "/").replace(']', ""));
        let json: Value = serde_json::from_str(&stdout).unwrap();
        return vec![json.pointer(&path).and_then(Value::as_str).unwrap_or_default().to_owned()];
    }
    let stderr = String::from_utf8(output.stderr).unwrap();
    stdout.lines().chain(stderr.lines()).map(str::to_owned).collect()
}

/// Returns whether a line is as the page shows it; a final `…` stands for any rest.
fn is_shown(shown: &str, line: &str) -> bool {
    match shown.strip_suffix('…') {
        Some(beginning) => line.starts_with(beginning.trim_end()),
        None => shown.trim_end() == line.trim_end(),
    }
}

#[test]
fn commands_of_pages_print_what_the_pages_show() {
    let (mut commands, mut wrong) = (0, Vec::new());
    for (path, text) in pages() {
        let mut before = "";
        for (at, block) in text.split("```").enumerate() {
            let Some((language, block)) = block.split_once('\n').filter(|_| at % 2 == 1) else { continue };
            if language == "toml" {
                before = block;
                continue;
            }
            for shown in format!("\n{block}").split("\n$ ").skip(1) {
                let (command, output) = shown.split_once('\n').unwrap_or((shown, ""));
                let words: Vec<&str> = command.split_whitespace().collect();
                let is_named = words.get(1).is_some_and(|word| *word == "--config");
                let verb = words.get(if is_named { 3 } else { 1 }).copied().unwrap_or_default();
                let is_whole = before.contains("[trunk.") && before.contains("[[route]]");
                if words[0] != "trunkgate" || !VERBS.contains(&verb) || !(is_named || is_whole || verb == "init") {
                    continue;
                }
                commands += 1;
                let folder = tempfile::tempdir().unwrap();
                if verb != "init" {
                    std::fs::write(folder.path().join("trunkgate.toml"), before).unwrap();
                }
                let root = Path::new(env!("CARGO_MANIFEST_DIR"));
                let lines = run(command, if is_named { root } else { folder.path() });
                let missing = output.lines().filter(|shown| !lines.iter().any(|line| is_shown(shown, line)));
                wrong.extend(missing.map(|shown| format!("{}: {command}: {shown}\n  of {lines:#?}", path.display())));
            }
        }
    }
    assert!(commands >= 3, "{commands}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
