//! Echo detection for one party: audio that it sends back with a delay. Causes are loudspeakers, and two conferences
//! connected by two calls.
//! The level changes of the frames that a party sends are correlated with those of the frames sent to it, at every
//! delay up to two seconds. If they agree at one delay for long enough, frames no louder than the expected echo are
//! attenuated; the party's own voice, which is louder, passes. A loop through two conferences thus loses level with
//! each round.

use crate::limits::ECHO_TICKS;

use super::level::SILENT_DB;

/// Floor of all levels, in dBFS: noise carries no information about an echo.
const LEAST_DB: f32 = -60.0;
/// Weight of the current tick in the running averages: a time constant of 3 s.
const WEIGHT: f32 = 1.0 / 150.0;
/// Ticks before a correlation is used: 2 s.
const WARM_TICKS: u32 = 100;
/// Correlation from which an echo is detected, and the one below which it is gone. A delay between two frames yields
/// 0.7 with each of them.
const ECHO_AT: f32 = 0.55;
const NO_ECHO_AT: f32 = 0.35;
/// Ticks for which the maximum correlation must stay at one delay, or be gone: 1 s.
const STEADY_TICKS: u32 = 50;
/// Minimum variance of the changes, in dB²: steady tones all resemble each other.
const LEAST_VARIANCE: f32 = 6.0;
/// Minimum effective number of changes of similar size: two parties that begin or fall silent together a few times, as
/// after a short network failure, are not an echo of each other.
const LEAST_CHANGES: f32 = 6.0;
/// Maximum size of a change, in dB, so that a start from silence counts no more than a syllable.
const CHANGE_MOST_DB: f32 = 12.0;
/// Minimum level of frames by which the loudness of an echo is estimated, in dBFS.
const TELLING_DB: f32 = -45.0;
/// Steps of the echo level estimate, in dB: frames with the party's own voice are louder.
const DOWN_DB: f32 = 0.2;
const UP_DB: f32 = 0.1;
/// Maximum level of an echo above the sent audio.
const COUPLING_MOST_DB: f32 = 9.0;
/// Level above the expected echo from which a frame is the party's own voice.
const MARGIN_DB: f32 = 6.0;
/// Gain applied to an echo.
const SUPPRESSED_DB: f32 = -24.0;

/// Echo detector of one party.
#[derive(Debug)]
pub(super) struct EchoDetector {
    /// Levels sent to the party, as a ring with the newest before `next`; `sent_changes` has their changes.
    sent: [f32; ECHO_TICKS],
    sent_changes: [f32; ECHO_TICKS],
    next: usize,
    sent_variance: f32,
    level_db: f32,
    variance: f32,
    /// Moments of the level changes received from the party. They show whether many changes or only a few large ones
    /// make up the variance.
    changes: ChangeMoments,
    /// Covariance at each delay; the first is one tick.
    covariance: [f32; ECHO_TICKS],
    observed: u32,
    /// Delay of the maximum correlation, in ticks; `steady` is the number of ticks for which it has not changed.
    best: usize,
    steady: u32,
    /// Delay of a detected echo, at least one tick.
    found: Option<usize>,
    /// Ticks for which a detected echo has been missing.
    gone: u32,
    /// Level of the echo relative to the audio sent to the party, in dB.
    coupling_db: f32,
}

/// Means of the second and the fourth power of changes limited to [`CHANGE_MOST_DB`]; the fourth is relatively large if
/// few changes dominate.
#[derive(Debug, Default)]
struct ChangeMoments {
    second: f32,
    fourth: f32,
}

impl ChangeMoments {
    fn add_change(&mut self, change: f32) {
        let second = change.clamp(-CHANGE_MOST_DB, CHANGE_MOST_DB).powi(2);
        self.second += (second - self.second) * WEIGHT;
        self.fourth += (second * second - self.fourth) * WEIGHT;
    }

    fn is_widespread(&self) -> bool {
        self.second * self.second > LEAST_CHANGES * WEIGHT * self.fourth
    }
}

impl EchoDetector {
    pub(super) fn new() -> EchoDetector {
        EchoDetector {
            sent: [LEAST_DB; ECHO_TICKS],
            sent_changes: [0.0; ECHO_TICKS],
            next: 0,
            sent_variance: 0.0,
            level_db: LEAST_DB,
            variance: 0.0,
            changes: ChangeMoments::default(),
            covariance: [0.0; ECHO_TICKS],
            observed: 0,
            best: 0,
            steady: 0,
            found: None,
            gone: 0,
            coupling_db: SILENT_DB,
        }
    }

    /// Adds the level sent to the party in this tick.
    pub(super) fn add_sent_level(&mut self, level_db: f32) {
        let level_db = level_db.max(LEAST_DB);
        let change = level_db - self.sent_before(0);
        if let (Some(level), Some(place)) = (self.sent.get_mut(self.next), self.sent_changes.get_mut(self.next)) {
            (*level, *place) = (level_db, change);
        }
        self.next = (self.next + 1) % ECHO_TICKS;
        self.sent_variance += (change * change - self.sent_variance) * WEIGHT;
    }

    /// Adds the level of a frame from the party; returns whether the frame is an echo, to be attenuated.
    pub(super) fn detect_echo(&mut self, level_db: f32) -> bool {
        let level_db = level_db.max(LEAST_DB);
        let change = level_db - self.level_db;
        self.level_db = level_db;
        self.correlate(change);
        self.update_detection();
        let Some(delay) = self.found else { return false };
        let around = [delay.saturating_sub(1), delay, delay + 1];
        let sent = around.into_iter().map(|delay| self.sent_before(delay)).fold(LEAST_DB, f32::max);
        let at_delay = self.sent_before(delay);
        if at_delay > TELLING_DB {
            let step = if level_db - at_delay < self.coupling_db { -DOWN_DB } else { UP_DB };
            self.coupling_db = (self.coupling_db + step).min(COUPLING_MOST_DB);
        }
        level_db <= sent + self.coupling_db + MARGIN_DB
    }

    /// Returns the gain for a frame that is an echo, in dB.
    pub(super) const fn gain_db() -> f32 {
        SUPPRESSED_DB
    }

    /// Returns whether the party has a detected echo.
    pub(super) fn is_found(&self) -> bool {
        self.found.is_some()
    }

    /// Returns the level sent `ticks` ticks before the last one.
    fn sent_before(&self, ticks: usize) -> f32 {
        let at = (self.next + 2 * ECHO_TICKS - 1 - ticks.min(ECHO_TICKS - 1)) % ECHO_TICKS;
        self.sent.get(at).copied().unwrap_or(LEAST_DB)
    }

    fn correlate(&mut self, change: f32) {
        self.variance += (change * change - self.variance) * WEIGHT;
        self.changes.add_change(change);
        self.observed = self.observed.saturating_add(1);
        // The ring is read backwards from `next`, so that the newest change comes first.
        let (new, old) = self.sent_changes.split_at(self.next.min(ECHO_TICKS));
        let newest_first = new.iter().rev().chain(old.iter().rev());
        for (covariance, sent) in self.covariance.iter_mut().zip(newest_first) {
            *covariance += (change * sent - *covariance) * WEIGHT;
        }
    }

    fn update_detection(&mut self) {
        let scale = (self.variance * self.sent_variance).sqrt();
        let is_telling = self.observed >= WARM_TICKS
            && self.variance.min(self.sent_variance) > LEAST_VARIANCE
            && self.changes.is_widespread();
        let all = self.covariance.iter().enumerate();
        let (best, most) =
            all.fold((0, 0.0_f32), |most, (delay, one)| if *one > most.1 { (delay, *one) } else { most });
        let is_same = best.abs_diff(self.best) <= 1;
        let is_echo = is_telling && most > ECHO_AT * scale;
        self.steady = if is_echo && is_same { self.steady + 1 } else { 0 };
        self.best = best;
        if self.steady >= STEADY_TICKS {
            if self.found.is_none_or(|found| found.abs_diff(best) > 1) {
                self.coupling_db = 0.0;
            }
            (self.found, self.gone) = (Some(best), 0);
        }
        let Some(found) = self.found else { return };
        let around = [found.saturating_sub(1), found, found + 1];
        let now =
            around.into_iter().filter_map(|delay| self.covariance.get(delay)).fold(0.0_f32, |most, one| most.max(*one));
        self.gone = if is_telling && now < NO_ECHO_AT * scale { self.gone + 1 } else { 0 };
        if self.gone >= STEADY_TICKS {
            (self.found, self.gone, self.steady) = (None, 0, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    use super::*;

    /// Simulated speech levels: syllables and pauses of random length.
    struct Talk {
        random: ChaCha8Rng,
        left: u32,
        level_db: f32,
    }

    impl Talk {
        fn new(seed: u64) -> Talk {
            Talk { random: ChaCha8Rng::seed_from_u64(seed), left: 0, level_db: LEAST_DB }
        }
        fn below(&mut self, most: u32) -> u32 {
            self.random.next_u32() % most
        }
        fn next(&mut self) -> f32 {
            if self.left == 0 {
                let (syllable, long) = (self.below(3) > 0, self.below(10) == 0);
                self.left = if syllable { 4 + self.below(12) } else { 2 + self.below(6) + if long { 60 } else { 0 } };
                self.level_db = if syllable { -30.0 + self.below(16) as f32 } else { -58.0 };
            }
            self.left -= 1;
            self.level_db + self.below(4) as f32
        }
    }

    #[test]
    fn an_echo_is_found_at_any_delay_and_level() {
        for (delay, coupling) in [(1, 0.0), (4, -6.0), (15, -15.0), (50, -3.0), (98, 0.0)] {
            let (mut echo, mut talk) = (EchoDetector::new(), Talk::new(7));
            let mut sent = vec![LEAST_DB; delay];
            let (mut loud, mut suppressed) = (0, 0);
            for tick in 0..1000 {
                let level = talk.next();
                sent.push(level);
                echo.add_sent_level(level);
                let heard = (sent[sent.len() - 1 - delay] + coupling).max(-65.0);
                let is_echo = echo.detect_echo(heard);
                assert!(tick > 100 || !is_echo);
                if tick >= 500 && heard > -52.0 {
                    (loud, suppressed) = (loud + 1, suppressed + u32::from(is_echo));
                }
            }
            assert!(echo.is_found(), "{delay} {coupling}");
            assert!(loud > 100 && suppressed * 10 > loud * 9, "{delay} {coupling}: {suppressed} of {loud}");
        }
    }

    /// Ten hours of conversation: no voice is detected as an echo of an independent one.
    #[test]
    fn voices_that_know_nothing_of_each_other_are_no_echo() {
        for seed in 0..60 {
            let (mut echo, mut one, mut other) = (EchoDetector::new(), Talk::new(seed), Talk::new(seed + 1000));
            for tick in 0..3000 {
                // In turns of three seconds, or both at once.
                let in_turns = seed % 2 == 0;
                let first = tick / 150 % 2 == 0;
                echo.add_sent_level(if in_turns && !first { LEAST_DB } else { one.next() });
                let is_echo = echo.detect_echo(if in_turns && first { LEAST_DB } else { other.next() });
                assert!(!is_echo, "seed {seed}, tick {tick}");
            }
        }
    }

    #[test]
    fn steady_sounds_on_both_sides_are_no_echo() {
        let mut echo = EchoDetector::new();
        assert!((0..2000).all(|tick| {
            echo.add_sent_level(-20.0 + (tick % 3) as f32);
            !echo.detect_echo(-20.0 + (tick % 3) as f32)
        }));
    }

    #[test]
    fn two_that_begin_and_stop_together_a_few_times_are_no_echo() {
        let mut echo = EchoDetector::new();
        assert!((0..3000).all(|tick| {
            // Silence for a third of a second every two seconds, and once in a minute.
            let level = if tick < 1500 && tick % 100 < 16 || tick == 2000 { LEAST_DB } else { -16.0 };
            echo.add_sent_level(level);
            !echo.detect_echo(level)
        }));
    }

    /// A party with a loudspeaker that speaks is audible; afterwards its echo is attenuated again.
    #[test]
    fn a_voice_above_its_echo_passes() {
        let (mut echo, mut talk, mut own) = (EchoDetector::new(), Talk::new(3), Talk::new(4));
        let mut sent = vec![LEAST_DB; 10];
        let (mut passed, mut spoken) = (0, 0);
        for tick in 0..2000 {
            let level = talk.next();
            sent.push(level);
            echo.add_sent_level(level);
            let back = sent[sent.len() - 11] - 20.0;
            let speaks = tick >= 1000 && own.next() > -50.0;
            let is_echo = echo.detect_echo(if speaks { -22.0 } else { back });
            if speaks {
                (spoken, passed) = (spoken + 1, passed + u32::from(!is_echo));
            }
        }
        assert!(spoken > 300 && passed * 10 > spoken * 9, "{passed} of {spoken}");
    }

    #[test]
    fn an_echo_that_has_gone_is_forgotten() {
        let (mut echo, mut talk, mut own) = (EchoDetector::new(), Talk::new(5), Talk::new(6));
        let mut sent = vec![LEAST_DB; 10];
        for tick in 0..3000 {
            let level = talk.next();
            sent.push(level);
            echo.add_sent_level(level);
            echo.detect_echo(if tick < 1000 { sent[sent.len() - 11] } else { own.next() });
            assert!(tick != 999 || echo.is_found());
        }
        assert!(!echo.is_found());
    }
}
