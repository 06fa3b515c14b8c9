//! Notes in a call's trace about audio discarded by an agent's `clear`: at most one line per second, and after a
//! maximum number of lines one summary at the end.

use std::time::{Duration, Instant};

use crate::limits::AGENT_CLEARS_TOLD;

/// Minimum interval between two trace lines about clears.
const APART: Duration = Duration::from_secs(1);

/// Counts an agent's clears and limits their lines in the call's trace.
#[derive(Debug, Default)]
pub(super) struct ClearLog {
    noted: usize,
    last: Option<Instant>,
    waiting: ClearTotals,
}

#[derive(Debug, Default)]
struct ClearTotals {
    times: u64,
    dropped_ms: u64,
    marks: u64,
}

impl ClearLog {
    /// Counts a clear that discarded `dropped_ms` of audio and returned `marks` marks; a clear that discarded no audio
    /// is ignored.
    pub(super) fn note_clear(&mut self, dropped_ms: u64, marks: u64) {
        if dropped_ms > 0 {
            self.waiting.times += 1;
            self.waiting.dropped_ms += dropped_ms;
            self.waiting.marks += marks;
        }
    }

    /// Removes and returns the trace line about the clears since the last line; `None` if there were none, the last
    /// line is less than [`APART`] old, or the maximum number of lines is reached.
    pub(super) fn due_summary(&mut self, now: Instant) -> Option<String> {
        let is_soon = self.last.is_some_and(|last| now.saturating_duration_since(last) < APART);
        if self.waiting.times == 0 || is_soon || self.noted >= AGENT_CLEARS_TOLD {
            return None;
        }
        self.noted += 1;
        self.last = Some(now);
        Some(std::mem::take(&mut self.waiting).text(""))
    }

    /// Removes and returns the final trace line, about the clears without a line; `None` if there are none.
    pub(super) fn sum_up(&mut self) -> Option<String> {
        let waiting = std::mem::take(&mut self.waiting);
        let more = if self.noted >= AGENT_CLEARS_TOLD { " more" } else { "" };
        (waiting.times > 0).then(|| waiting.text(more))
    }
}

impl ClearTotals {
    fn text(&self, more: &str) -> String {
        let times = match (self.times, more) {
            (1, _) => String::new(),
            (times, more) => format!(", {} times{more}", grouped(times)),
        };
        let marks = match self.marks {
            0 => String::new(),
            1 => ", 1 mark returned".to_owned(),
            marks => format!(", {} marks returned", grouped(marks)),
        };
        format!("clear{times}: {} ms not played{marks}", grouped(self.dropped_ms))
    }
}

/// Formats a number with commas between groups of three digits: `12,345`.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn a_clear_that_met_audio_is_told_with_how_much() {
        let (start, mut clears) = (Instant::now(), ClearLog::default());
        clears.note_clear(0, 3);
        assert_eq!((clears.due_summary(start), clears.sum_up()), (None, None), "nothing was thrown away");
        clears.note_clear(1_240, 0);
        assert_eq!(clears.due_summary(start).as_deref(), Some("clear: 1,240 ms not played"));
        clears.note_clear(20, 1);
        clears.note_clear(1_000_000, 1);
        assert_eq!(clears.due_summary(start + Duration::from_millis(999)), None);
        let both = "clear, 2 times: 1,000,020 ms not played, 2 marks returned";
        assert_eq!(clears.due_summary(start + APART).as_deref(), Some(both));
        clears.note_clear(7, 1);
        assert_eq!(clears.sum_up().as_deref(), Some("clear: 7 ms not played, 1 mark returned"));
        assert_eq!(clears.sum_up(), None);
    }

    #[test]
    fn a_flood_is_a_few_lines() {
        let (start, mut clears) = (Instant::now(), ClearLog::default());
        let lines = (0..1_000_000u64).filter(|ms| {
            clears.note_clear(1, 0);
            clears.due_summary(start + Duration::from_millis(*ms)).is_some()
        });
        assert_eq!(lines.count(), AGENT_CLEARS_TOLD);
        // One in the first second, then a thousand every second.
        let more = 1_000_000 - 1 - 1_000 * (AGENT_CLEARS_TOLD as u64 - 1);
        let more = grouped(more);
        assert_eq!(clears.sum_up(), Some(format!("clear, {more} times more: {more} ms not played")));
    }
}
