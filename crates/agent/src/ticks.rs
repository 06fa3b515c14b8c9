//! Clock of 20 ms ticks. Each deadline is computed from the start, not from the previous one, so that lateness does
//! not accumulate.

use std::time::{Duration, Instant};

use crate::limits::{CATCH_UP_TICKS, FRAME};

/// Tick that is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick {
    /// Number of ticks since the start, including skipped ones; media time is this many frames.
    pub index: u64,
    /// Number of ticks skipped before this one because the clock was not read for too long; their media time passed
    /// unsent.
    pub skipped: u64,
}

/// Generator of a tick every 20 ms.
#[derive(Debug, Clone, Copy)]
pub struct TickGenerator {
    start: Instant,
    next: u64,
}

impl TickGenerator {
    /// Creates a clock with the first tick at `start`.
    pub fn new(start: Instant) -> TickGenerator {
        TickGenerator { start, next: 0 }
    }

    /// Returns the time of the next tick.
    pub fn next_due(&self) -> Instant {
        let after = u64::try_from(FRAME.as_millis()).unwrap_or(0).saturating_mul(self.next);
        self.start.checked_add(Duration::from_millis(after)).unwrap_or(self.start)
    }

    /// Takes the next tick if it is due; call it until `None`. A late caller gets every missed tick, one per call; if
    /// more than [`CATCH_UP_TICKS`] were missed, all of them are skipped.
    pub fn take_tick(&mut self, now: Instant) -> Option<Tick> {
        let late = now.checked_duration_since(self.next_due())?;
        let behind = u64::try_from(late.as_millis() / FRAME.as_millis()).unwrap_or(u64::MAX);
        let skipped = if behind > CATCH_UP_TICKS { behind } else { 0 };
        let index = self.next.saturating_add(skipped);
        self.next = index.saturating_add(1);
        Some(Tick { index, skipped })
    }

    /// Moves the first tick to `now` if it is later than that and was not taken yet.
    pub fn begin_by(&mut self, now: Instant) {
        if self.next == 0 {
            self.start = self.start.min(now);
        }
    }

    /// Delays all further ticks, by less than a frame, so that they coincide with `phase` and multiples of 20 ms from
    /// it.
    pub fn align(&mut self, phase: Instant) {
        let (next, frame) = (self.next_due(), FRAME.as_nanos());
        let ahead = phase.saturating_duration_since(next).as_nanos() % frame;
        let behind = next.saturating_duration_since(phase).as_nanos() % frame;
        let later = u64::try_from((ahead + frame - behind) % frame).unwrap_or(0);
        self.start = self.start.checked_add(Duration::from_nanos(later)).unwrap_or(self.start);
    }

    /// Takes the next tick before it is due.
    pub fn take_early(&mut self) -> Tick {
        let index = self.next;
        self.next = index.saturating_add(1);
        Tick { index, skipped: 0 }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn an_hour_without_drift() {
        let start = Instant::now();
        let mut ticks = TickGenerator::new(start);
        let mut now = start;
        let mut late_ms = 0;
        for index in 0..180_000_u64 {
            let due = ticks.next_due();
            assert_eq!(due - start, MS * u32::try_from(index).unwrap() * 20);
            // The loop wakes 0 to 19 ms late each time.
            late_ms = (late_ms * 7 + 3) % 20;
            now = now.max(due + MS * late_ms);
            assert_eq!(ticks.take_tick(now), Some(Tick { index, skipped: 0 }));
            assert_eq!(ticks.take_tick(due), None);
        }
    }

    #[test]
    fn the_first_tick_is_brought_forward_and_no_other() {
        let now = Instant::now();
        let mut ticks = TickGenerator::new(now + MS * 20);
        ticks.begin_by(now + MS * 30);
        assert_eq!(ticks.next_due(), now + MS * 20);
        ticks.begin_by(now + MS * 3);
        assert_eq!(ticks.take_tick(now + MS * 3), Some(Tick { index: 0, skipped: 0 }));
        ticks.begin_by(now + MS * 4);
        assert_eq!(ticks.next_due(), now + MS * 23);
    }

    #[test]
    fn a_late_caller_makes_up_for_some() {
        let start = Instant::now();
        let mut ticks = TickGenerator::new(start);
        assert_eq!(ticks.take_tick(start), Some(Tick { index: 0, skipped: 0 }));
        let now = start + FRAME * u32::try_from(CATCH_UP_TICKS + 1).unwrap();
        let mut taken = 0;
        while let Some(tick) = ticks.take_tick(now) {
            taken += 1;
            assert_eq!(tick, Tick { index: taken, skipped: 0 });
        }
        assert_eq!(taken, CATCH_UP_TICKS + 1);
    }

    #[test]
    fn a_very_late_caller_skips() {
        let start = Instant::now();
        let mut ticks = TickGenerator::new(start);
        assert!(ticks.take_tick(start).is_some());
        let now = start + Duration::from_secs(3600) + MS;
        assert_eq!(ticks.take_tick(now), Some(Tick { index: 180_000, skipped: 179_999 }));
        assert_eq!(ticks.take_tick(now), None);
        assert_eq!(ticks.next_due(), start + Duration::from_secs(3600) + FRAME);
    }

    #[test]
    fn nothing_before_the_start() {
        let start = Instant::now() + FRAME;
        assert_eq!(TickGenerator::new(start).take_tick(start - MS), None);
    }

    #[test]
    fn ticks_are_aligned_by_less_than_a_frame() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        for (taken, phase_ms, due_ms) in
            [(0, 0, 0), (0, 7, 7), (3, 7, 67), (3, 60, 60), (3, 1000, 60), (3, 1019, 79), (0, 45, 5), (5, 99, 119)]
        {
            let mut ticks = TickGenerator::new(start);
            (0..taken).for_each(|index| assert_eq!(ticks.take_early().index, index));
            ticks.align(start + ms(phase_ms));
            assert_eq!(ticks.next_due(), start + ms(due_ms), "{taken} {phase_ms}");
            let index = ticks.take_tick(start + ms(due_ms)).map(|tick| (tick.index, tick.skipped));
            assert_eq!(index, Some((taken, 0)), "no tick is left out");
            assert_eq!(ticks.next_due(), start + ms(due_ms + 20));
        }
    }
}
