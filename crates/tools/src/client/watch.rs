//! `--watch`: polls the edge until interrupted. On a terminal each page replaces the previous one; with `--json` each
//! response is one line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use super::PolledEdge;
use crate::cli::EdgeArgs;
use trunkgate_boot::run::USAGE;
use trunkgate_system::terminal;

/// Moves the cursor to the upper left corner (ECMA-48 CUP).
const HOME: &str = "\x1b[H";
/// Clears the rest of the line (EL) and of the screen (ED).
const LINE_ENDS: &str = "\x1b[K\n";
const SCREEN_ENDS: &str = "\x1b[J";

/// Polls `path` until stdout is closed. Exit code 1 if the first request fails, 2 if it is invalid or no edge is named.
pub(super) fn watch(
    config: Option<&Path>,
    remote: &EdgeArgs,
    every: Duration,
    path: &str,
    json: bool,
    show: impl Fn(&Value) -> String,
) -> ExitCode {
    let Some(edge) = PolledEdge::new(config, remote) else { return ExitCode::from(USAGE) };
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            terminal::print_error(&format!("error: {error}"));
            return ExitCode::FAILURE;
        }
    };
    runtime.block_on(async {
        let mut has_answered = false;
        loop {
            let answer = edge.json(path).await;
            let goes_on = match answer {
                Ok(answer) if json => say(&super::raw(&answer)),
                Ok(answer) => say(&page(&show(&answer), terminal::size())),
                Err(error) if has_answered => {
                    // The edge may be restarting, so polling continues.
                    let told = format!("error: {}\n", terminal::harmless(&error));
                    match terminal::size() {
                        Some(size) if !json => say(&page(&told, Some(size))),
                        Some(_) | None => std::io::stderr().write_all(told.as_bytes()).is_ok(),
                    }
                }
                Err(error) => {
                    terminal::print_error(&format!("error: {}", terminal::harmless(&error)));
                    return ExitCode::from(edge.failure_code(&error));
                }
            };
            if !goes_on {
                return ExitCode::SUCCESS;
            }
            has_answered = true;
            tokio::time::sleep(every).await;
        }
    })
}

/// Prints a text; returns false if stdout is closed.
fn say(text: &str) -> bool {
    let mut stdout = std::io::stdout();
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).is_ok()
}

/// Formats a text to replace the previous page, cut to the rows of the terminal. Without a terminal, appends a line
/// end.
fn page(text: &str, size: Option<(usize, usize)>) -> String {
    let Some((_, rows)) = size else { return format!("{text}\n") };
    let all = text.lines().count();
    // The last row stays empty, because a line end there would scroll.
    let room = rows.saturating_sub(1).max(1);
    let shown = if all > room { room - 1 } else { all };
    let mut out = HOME.to_owned();
    for line in text.lines().take(shown) {
        out.push_str(line);
        out.push_str(LINE_ENDS);
    }
    if all > shown {
        out.push_str(&format!("… {} more lines{LINE_ENDS}", all - shown));
    }
    out + SCREEN_ENDS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_painted_over_the_one_before_and_never_scrolls() {
        assert_eq!(page("a\nb\n", None), "a\nb\n\n");
        assert_eq!(page("a\nb\n", Some((80, 24))), "\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        let long: String = (0..50).map(|n| format!("{n}\n")).collect();
        let painted = page(&long, Some((80, 24)));
        assert_eq!(painted.matches('\n').count(), 23);
        assert!(painted.contains("\n21\x1b[K\n… 28 more lines") && painted.ends_with("\x1b[J"), "{painted:?}");
        assert!(page(&long, Some((80, 1))).contains("… 50 more lines"));
    }
}
