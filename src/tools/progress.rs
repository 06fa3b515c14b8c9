//! What is going on, on stderr: a bar that moves on a terminal, plain lines elsewhere.

use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

/// Width of the bar, in characters.
const BAR: usize = 30;

/// Shows progress.
#[derive(Debug)]
pub(crate) struct Progress {
    began: Instant,
    terminal: bool,
    bar_shown: bool,
}

impl Progress {
    /// Begins now.
    pub(crate) fn new() -> Progress {
        Progress { began: Instant::now(), terminal: std::io::stderr().is_terminal(), bar_shown: false }
    }
    /// One line that stays.
    pub(crate) fn say(&mut self, what: &str) {
        self.clear();
        let _ = writeln!(std::io::stderr(), "{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }
    /// The bar: `share` of `what` is done, between 0 and 1. Only on a terminal.
    pub(crate) fn bar(&mut self, what: &str, share: f64) {
        if self.terminal {
            let seconds = self.began.elapsed().as_secs_f64();
            let _ = write!(std::io::stderr(), "\r\x1b[K{seconds:6.1} s  {} {what}", bar(share));
            let _ = std::io::stderr().flush();
            self.bar_shown = true;
        }
    }
    /// Nothing more is to come.
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

fn bar(share: f64) -> String {
    let full = (share.clamp(0.0, 1.0) * BAR as f64).round() as usize;
    format!("▕{}{}▏", "█".repeat(full), " ".repeat(BAR - full))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills() {
        assert_eq!(bar(0.0).matches('█').count(), 0);
        assert_eq!(bar(0.5).matches('█').count(), BAR / 2);
        assert_eq!(bar(7.0).matches('█').count(), BAR);
    }
}
