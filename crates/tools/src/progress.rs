//! Progress on stderr: a moving bar on a terminal, plain lines otherwise.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use trunkgate_system::terminal;

/// Width of the bar, in characters.
const BAR: usize = 30;
/// Width of the elapsed time before a line, in characters.
const TIME: usize = 10;
/// Minimum width of the text beside the bar, in characters; on a narrower terminal the bar is omitted.
const TEXT: usize = 24;

/// Progress output of a verb on stderr. A moving line is cut to the terminal's width, because a wrapped line cannot be
/// overwritten.
#[derive(Debug)]
pub(crate) struct ProgressOutput {
    began: Instant,
    terminal: bool,
    bar_shown: bool,
}

impl ProgressOutput {
    /// Creates the output; its elapsed time begins now.
    pub(crate) fn new() -> ProgressOutput {
        ProgressOutput { began: Instant::now(), terminal: std::io::stderr().is_terminal(), bar_shown: false }
    }

    /// Prints a line that stays.
    pub(crate) fn say(&mut self, what: &str) {
        self.clear();
        let line = format!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
        let mut stderr = std::io::stderr();
        let lines = terminal::wrapped(&line, TIME, terminal::width_of(&stderr));
        let _ = stderr.write_all(lines.as_bytes());
    }

    /// Draws the bar with a text; `share` is the progress, 0 to 1. Does nothing without a terminal.
    pub(crate) fn bar(&mut self, what: &str, share: f64) {
        if self.terminal {
            let seconds = self.began.elapsed().as_secs_f64();
            let line = moving_line(seconds, what, share, terminal::width_of(&std::io::stderr()));
            let _ = write!(std::io::stderr(), "\r\x1b[K{line}");
            let _ = std::io::stderr().flush();
            self.bar_shown = true;
        }
    }

    /// Removes the bar.
    pub(crate) fn done(&mut self) {
        self.clear();
    }

    fn clear(&mut self) {
        if self.bar_shown {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
            self.bar_shown = false;
        }
    }
}

/// Formats a line to be overwritten, one column shorter than the terminal, because some terminals wrap after the last
/// column.
fn moving_line(seconds: f64, what: &str, share: f64, width: Option<usize>) -> String {
    let most = width.unwrap_or(80).saturating_sub(1);
    let line = match most >= BAR + TEXT {
        true => format!("{seconds:6.1} s  {} {what}", bar(share)),
        false => format!("{seconds:6.1} s  {:3.0} % {what}", share.clamp(0.0, 1.0) * 100.0),
    };
    match line.chars().count() > most {
        true => line.chars().take(most.saturating_sub(1)).chain(['…']).collect(),
        false => line,
    }
}

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("▕{}{}▏", "█".repeat(full), " ".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU16;

    use super::*;

    #[test]
    fn a_moving_line_never_wraps_and_leaves_nothing_behind() {
        let title = "call 2: the agent is killed while it speaks, and its caller goes on to the PBX in the same dialog";
        for width in [20, 40, 80, 200].map(|width| NonZeroU16::new(width).unwrap()) {
            let mut screen = vt100::Parser::new(NonZeroU16::new(24).unwrap(), width, 0);
            for step in 0..=100 {
                let line =
                    moving_line(f64::from(step) / 7.0, title, f64::from(step) / 100.0, Some(usize::from(width.get())));
                screen.process(format!("\r\x1b[K{line}").as_bytes());
            }
            let rows: Vec<String> = screen.screen().rows(0, width.get()).filter(|row| !row.is_empty()).collect();
            assert_eq!(rows.len(), 1, "{width} columns: {rows:?}");
            assert_eq!(rows[0].contains(title), width.get() == 200, "{rows:?}");
        }
        assert!(moving_line(1.0, "short", 0.5, None).ends_with("▏ short"));
    }

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0.0).matches('█').count(), 0);
        assert_eq!(bar(0.5).matches('█').count(), BAR / 2);
        assert_eq!(bar(7.0).matches('█').count(), BAR);
    }
}
