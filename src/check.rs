//! `trunkgate check`: every error of the file at once.

use std::path::Path;
use std::process::ExitCode;

/// Checks the file and prints what is wrong; exit 0, or 2 for errors (also 1 for warnings with `strict`).
pub fn run(path: &Path, strict: bool, json: bool) -> ExitCode {
    let _ = (path, strict, json);
    unimplemented!()
}
