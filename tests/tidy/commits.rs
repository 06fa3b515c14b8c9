//! Subjects of the last commits: short, about one thing, and with the area first. Without git, the test is skipped; in
//! a shallow clone, the available commits are checked.

use std::process::Command;

use regex::Regex;

use super::tree::{report, root};

const LAST: &str = "20";
const SUBJECT_CHARACTERS: usize = 72;

/// Returns the last commits that are no merges, newest first, each with its short hash and subject.
fn last_commits() -> Vec<(String, String)> {
    // In an archive of the tree, git would find a repository that contains the folder.
    if !root().join(".git").exists() {
        return Vec::new();
    }
    let log = Command::new("git")
        .args(["log", "--no-merges", "--max-count", LAST, "--format=%h %s"])
        .current_dir(root())
        .output();
    match log {
        Ok(log) if log.status.success() => String::from_utf8_lossy(&log.stdout)
            .lines()
            .filter_map(|line| line.split_once(' '))
            .map(|(hash, subject)| (hash.to_owned(), subject.to_owned()))
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the fault of a commit's subject, if it has one.
fn fault(subject: &str) -> Option<String> {
    let area = Regex::new(r"^[a-z0-9][a-z0-9_/.-]*(, [a-z0-9][a-z0-9_/.-]*)*: \S").unwrap();
    let characters = subject.chars().count();
    if characters > SUBJECT_CHARACTERS {
        return Some(format!("{characters} characters, {SUBJECT_CHARACTERS} at most"));
    }
    if !area.is_match(subject) {
        return Some("no area first, as in `call: …`".to_owned());
    }
    if subject.contains("; ") {
        return Some("two subjects: make two commits".to_owned());
    }
    subject.ends_with('.').then(|| "a full stop at the end".to_owned())
}

#[test]
fn subjects_of_the_last_commits_are_short_and_begin_with_an_area() {
    let broken = last_commits()
        .into_iter()
        .filter_map(|(hash, subject)| fault(&subject).map(|fault| format!("{hash} {subject}: {fault}")));
    report("a subject is `area: verb object`, about one thing, of 72 characters at most", broken.collect());
}

#[test]
fn faults_of_a_subject_are_found() {
    let longest = format!("call: {}", "x".repeat(SUBJECT_CHARACTERS - 6));
    for (subject, expected) in [
        ("call: find the party of a REFER by its leg", None),
        ("tests, tls: wait for the listener", None),
        ("docs/guides: name the account of sipgate", None),
        (longest.as_str(), None),
        (&format!("{longest}x"), Some("73 characters")),
        ("Find the party of a REFER", Some("no area")),
        ("Call: find the party", Some("no area")),
        ("call:find the party", Some("no area")),
        ("call: ", Some("no area")),
        ("call: find the party; docs: the same", Some("two subjects")),
        ("call: find the party.", Some("full stop")),
        ("", Some("no area")),
    ] {
        let found = fault(subject);
        let is_right = match expected {
            None => found.is_none(),
            Some(expected) => found.as_ref().is_some_and(|found| found.contains(expected)),
        };
        assert!(is_right, "{subject:?}: {found:?}");
    }
}
