//! Event log: the last lines for the analysis of a failure, and a hash of all lines for the comparison of runs.

use std::collections::VecDeque;
use std::fmt;
use std::time::Instant;

/// Number of log lines kept for a failure.
pub(crate) const TAIL_LINES: usize = 160;

/// Event log of one run.
#[derive(Debug)]
pub struct RunLog {
    start: Instant,
    tail: VecDeque<String>,
    hash: u64,
    lines: u64,
    kept: usize,
}

impl RunLog {
    /// Returns an empty log, with times relative to `start`. With `is_whole`, all lines are kept.
    pub fn new(start: Instant, is_whole: bool) -> RunLog {
        let kept = if is_whole { usize::MAX } else { TAIL_LINES };
        RunLog { start, tail: VecDeque::with_capacity(TAIL_LINES), hash: 0xcbf2_9ce4_8422_2325, lines: 0, kept }
    }

    /// Adds a line with its time to the log and the hash.
    pub fn line(&mut self, now: Instant, text: fmt::Arguments<'_>) {
        let at = now.saturating_duration_since(self.start);
        let line = format!("{:>11.6} {text}", at.as_secs_f64());
        self.mix(line.as_bytes());
        self.lines += 1;
        if self.tail.len() == self.kept {
            self.tail.pop_front();
        }
        self.tail.push_back(line);
    }

    /// Adds bytes to the hash only.
    pub fn mix(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.hash = (self.hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// Returns the FNV-1a hash of all lines and bytes.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the number of lines logged so far.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Returns the lines that are kept, oldest first.
    pub fn tail(&self) -> Vec<String> {
        self.tail.iter().cloned().collect()
    }
}

/// Returns a SIP message as one line for the log: start line, Call-ID and CSeq.
pub fn describe(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default().trim_end();
    let call_id = lines
        .find_map(|line| line.split_once(':').filter(|(n, _)| n.trim().eq_ignore_ascii_case("Call-ID")))
        .map_or("", |(_, value)| value.trim());
    let cseq = text
        .lines()
        .find_map(|line| line.split_once(':').filter(|(n, _)| n.trim().eq_ignore_ascii_case("CSeq")))
        .map_or("", |(_, value)| value.trim());
    let short: String = first.chars().take(60).collect();
    let tail = call_id.get(call_id.len().saturating_sub(6)..).unwrap_or_default();
    format!("{short} [{tail} {cseq}]")
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a test's time has to begin somewhere
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_bounded_and_the_hash_covers_all() {
        let start = Instant::now();
        let (mut a, mut b) = (RunLog::new(start, false), RunLog::new(start, false));
        for n in 0..TAIL_LINES + 10 {
            a.line(start, format_args!("{n}"));
            b.line(start, format_args!("{}", if n == 0 { 99 } else { n }));
        }
        assert_eq!(a.tail().len(), TAIL_LINES);
        assert_eq!(a.tail(), b.tail());
        assert_ne!(a.hash(), b.hash());
    }
}
