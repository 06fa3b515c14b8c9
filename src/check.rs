//! `trunkgate check`: every error of the file at once.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use crate::config;

/// Checks the file and prints what is wrong; exit 0, or 2 for errors (also 1 for warnings with `strict`).
///
/// A person is told on stderr, with one line on stdout where the file can be used; with `json`, stdout gets the list of
/// all that was found, empty where nothing was.
pub fn run(path: &Path, strict: bool, json: bool) -> ExitCode {
    let result = config::load(path);
    // For the quoted lines; a file that cannot be read has none.
    let source = std::fs::read_to_string(path).unwrap_or_default();
    let (Ok((_, found)) | Err(found)) = &result;
    if json {
        // Whoever reads may have gone: the exit code still tells.
        let _ = writeln!(std::io::stdout(), "{:#}", config::to_json(path, &source, found));
    } else {
        eprint!("{}", config::render(path, &source, found));
    }
    match &result {
        Err(_) => ExitCode::from(2),
        Ok((config, warnings)) => {
            if !json {
                let count = |number: usize, word: &str| match number {
                    1 => format!("1 {word}"),
                    _ => format!("{number} {word}s"),
                };
                let agents = match config.agents.len() {
                    0 => String::new(),
                    number => format!("{}, ", count(number, "agent")),
                };
                let (trunks, routes) = (count(config.trunks.len(), "trunk"), count(config.routes.len(), "route"));
                let lines = config.routes.iter().filter_map(|route| route.file.as_ref());
                let lines = lines.map(|file| format!(", {} of {}", count(file.len(), "line"), file.file()));
                println!("ok: {trunks}, {agents}{routes}{}", lines.collect::<String>());
            }
            if strict && !warnings.is_empty() { ExitCode::from(1) } else { ExitCode::SUCCESS }
        }
    }
}
