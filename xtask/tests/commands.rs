//! The commands that documents name.

#![allow(clippy::unwrap_used)] // a test may panic

use std::process::Command;

#[test]
fn what_documents_name_is_there() {
    let help = Command::new(env!("CARGO_BIN_EXE_xtask")).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let documents = [include_str!("../../CONTRIBUTING.md"), include_str!("../../README.md")];
    let named = documents.iter().flat_map(|text| text.split("cargo xtask ").skip(1));
    let named: Vec<&str> =
        named.filter_map(|rest| rest.split(|c: char| !c.is_ascii_lowercase() && c != '-').next()).collect();
    assert!(!named.is_empty());
    for command in named {
        assert!(help.lines().any(|line| line.trim_start().starts_with(command)), "{command} in {help}");
    }
}
