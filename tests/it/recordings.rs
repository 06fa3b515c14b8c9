//! Recordings of the real binary: an edge whose directory of recordings cannot be used runs, says so, and goes on once it can.

#![allow(clippy::unwrap_used)] // helpers of tests are not `#[test]` themselves

use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Process, config, until};

fn metric(edge: &Process, name: &str) -> String {
    let text = edge.get("/metrics").1;
    text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap().to_owned()
}

#[test]
fn a_directory_that_becomes_unusable_is_a_problem_until_it_is_usable_again() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("recordings");
    let edge = Process::start(&config(&format!("[recording]\ndirectory = '{}'\n", directory.display())));
    until("the edge has tried the directory", || directory.is_dir().then_some(()));
    assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::remove_dir(&directory).unwrap();
    std::fs::write(&directory, "in its place").unwrap();
    let problem = until("status says so", || {
        let problems = edge.json("/v1/status")["problems"].clone();
        let mine = problems.as_array().unwrap().iter().find(|one| one.as_str().unwrap().starts_with("recordings"));
        mine.map(|one| one.as_str().unwrap().to_owned())
    });
    assert!(problem.starts_with("recordings are not written: ") && problem.contains("irectory"), "{problem}");
    assert_eq!(metric(&edge, "trunkgate_recording_failing"), "1");
    assert_ne!(metric(&edge, "trunkgate_recording_disk_errors_total"), "0");
    std::fs::remove_file(&directory).unwrap();
    until("it is over", || (metric(&edge, "trunkgate_recording_failing") == "0").then_some(()));
    assert!(directory.is_dir());
}
