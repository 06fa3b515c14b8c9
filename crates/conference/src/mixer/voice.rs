//! Voice activity of one party: speech detection, noise gate, loudness, and the gain that brings all parties to about
//! the same level.

use crate::limits::{GATE_TICKS, SPEECH_TICKS};

use super::level::SILENT_DB;

/// Initial estimate of the noise floor.
const FLOOR_DB: f32 = -60.0;
/// Increase of the noise floor per tick below the input level: 3 dB a second. Speech has pauses, noise has none.
const FLOOR_RISE_DB: f32 = 0.06;
/// Minimum level of speech above the noise floor, in dB.
const SPEECH_ABOVE_DB: f32 = 9.0;
/// Minimum level of speech, in dBFS.
const SPEECH_LEAST_DB: f32 = -50.0;
/// Minimum level above the noise floor that opens the gate, in dB.
const GATE_ABOVE_DB: f32 = 6.0;
/// Maximum noise floor for the gate, in dBFS: louder noise may be a sound of interest, such as music.
const GATE_FLOOR_MOST_DB: f32 = -44.0;
/// Minimum level that opens the gate, in dBFS.
const GATE_LEAST_DB: f32 = -56.0;
/// Consecutive ticks of voice that begin speech.
const SPEECH_BEGINS: u32 = 3;

/// Level to which speech is brought, in dBFS.
const TARGET_DB: f32 = -22.0;
/// Minimum and maximum gain of the leveller, in dB.
const LEAST_GAIN_DB: f32 = -18.0;
const MOST_GAIN_DB: f32 = 8.0;
/// Deviation from the target level within which the gain is kept, in dB.
const NEAR_DB: f32 = 3.0;
/// Maximum level to which noise may be amplified, in dBFS.
const NOISE_MOST_DB: f32 = -45.0;
/// Change of the gain per tick of speech: 6 dB a second down, 2 dB a second up.
const DOWN_DB: f32 = 0.12;
const UP_DB: f32 = 0.04;
/// Level below the voice's at which a frame lies between syllables, in dB.
const DIP_DB: f32 = 12.0;
/// Ticks of speech before the measured level is used.
const MEASURED_TICKS: u32 = 15;

/// Voice activity detector and leveller of one party.
#[derive(Debug)]
pub(super) struct VoiceActivity {
    floor_db: f32,
    /// Consecutive ticks of speech; `quiet` counts consecutive ticks without.
    voiced: u32,
    quiet: u32,
    speaks: bool,
    /// Remaining ticks for which the gate is open.
    open: u32,
    /// Level of recent speech, in dBFS.
    loudness_db: f32,
    /// Number of ticks of speech in `loudness_db`.
    measured: u32,
    gain_db: f32,
}

impl VoiceActivity {
    pub(super) fn new() -> VoiceActivity {
        VoiceActivity {
            floor_db: FLOOR_DB,
            voiced: 0,
            quiet: 0,
            speaks: false,
            open: 0,
            loudness_db: SILENT_DB,
            measured: 0,
            gain_db: 0.0,
        }
    }

    /// Adds the level of a tick; `is_echo` if the frame is not the party's own voice. Returns true if the party began
    /// to speak, false if it stopped.
    pub(super) fn add_level(&mut self, level_db: f32, is_echo: bool) -> Option<bool> {
        let gate = (self.floor_db.min(GATE_FLOOR_MOST_DB) + GATE_ABOVE_DB).max(GATE_LEAST_DB);
        self.open = if level_db > gate { GATE_TICKS } else { self.open.saturating_sub(1) };
        let is_speech = !is_echo && level_db > (self.floor_db + SPEECH_ABOVE_DB).max(SPEECH_LEAST_DB);
        self.follow_floor(level_db);
        if is_speech {
            (self.voiced, self.quiet) = (self.voiced + 1, 0);
            self.measure(level_db);
        } else {
            (self.voiced, self.quiet) = (0, self.quiet.saturating_add(1));
        }
        let speaks = if self.speaks { self.quiet < SPEECH_TICKS } else { self.voiced >= SPEECH_BEGINS };
        let changed = speaks != self.speaks;
        self.speaks = speaks;
        changed.then_some(speaks)
    }

    /// Resets the speech state of a party that is no longer heard; returns whether it was speaking.
    pub(super) fn reset_speech(&mut self) -> bool {
        (self.voiced, self.open) = (0, 0);
        std::mem::take(&mut self.speaks)
    }

    pub(super) fn speaks(&self) -> bool {
        self.speaks
    }

    /// Returns whether the gate is open; if so, the party is in the mix.
    pub(super) fn is_open(&self) -> bool {
        self.open > 0
    }

    pub(super) fn loudness_db(&self) -> f32 {
        self.loudness_db
    }

    pub(super) fn gain_db(&self) -> f32 {
        self.gain_db
    }

    fn follow_floor(&mut self, level_db: f32) {
        let level_db = level_db.max(-75.0);
        if level_db < self.floor_db {
            self.floor_db += (level_db - self.floor_db) * 0.3;
        } else {
            self.floor_db = (self.floor_db + FLOOR_RISE_DB).min(level_db);
        }
    }

    fn measure(&mut self, level_db: f32) {
        // Levels between syllables are not part of the voice's level.
        if self.measured >= MEASURED_TICKS && level_db < self.loudness_db - DIP_DB {
            return;
        }
        self.measured = self.measured.saturating_add(1);
        let weight = (1.0 / self.measured as f32).max(0.04);
        self.loudness_db += (level_db - self.loudness_db) * weight;
        if self.measured < MEASURED_TICKS {
            return;
        }
        let wanted = (TARGET_DB - self.loudness_db).min((NOISE_MOST_DB - self.floor_db).max(0.0));
        let wanted = wanted.clamp(LEAST_GAIN_DB, MOST_GAIN_DB);
        // The gain stays unchanged within the tolerated deviation.
        let (least, most) = (wanted - NEAR_DB, wanted + NEAR_DB);
        if self.gain_db > most {
            self.gain_db -= DOWN_DB.min(self.gain_db - most);
        } else if self.gain_db < least {
            self.gain_db += UP_DB.min(least - self.gain_db);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns levels of speech: syllables of 160 ms with dips, words of 2 s with pauses at the noise level.
    fn speech(level_db: f32, noise_db: f32, tick: u32) -> f32 {
        let level = match tick % 150 {
            0..100 if tick % 10 < 8 => level_db,
            0..100 => level_db - 20.0,
            _ => noise_db,
        };
        level.max(noise_db)
    }

    fn after(ticks: u32, level: impl Fn(u32) -> f32) -> (VoiceActivity, Vec<(u32, bool)>) {
        let mut voice = VoiceActivity::new();
        let changes = (0..ticks).filter_map(|tick| Some((tick, voice.add_level(level(tick), false)?))).collect();
        (voice, changes)
    }

    #[test]
    fn a_word_begins_and_stops_once() {
        let (_, changes) =
            after(300, |tick| if (50..150).contains(&tick) { speech(-20.0, -70.0, tick - 50) } else { -70.0 });
        assert_eq!(changes.len(), 2, "{changes:?}");
        assert!(changes[0].0 == 52 && changes[0].1);
        assert!((185..195).contains(&changes[1].0) && !changes[1].1, "{changes:?}");
    }

    #[test]
    fn speech_is_told_from_noise_of_any_level() {
        for noise in [-70.0, -50.0, -40.0, -30.0] {
            let (voice, changes) = after(3000, |tick| speech(noise + 25.0, noise, tick));
            let begun = changes.iter().filter(|(_, speaks)| *speaks).count();
            assert!((16..=21).contains(&begun), "{noise}: {begun}");
            assert!(voice.floor_db < noise + 4.0, "{noise}: {}", voice.floor_db);
        }
    }

    #[test]
    fn steady_noise_is_no_speech_after_a_while_and_never_the_loudest_for_ever() {
        for noise in [-40.0, -20.0, 0.0] {
            let (voice, changes) = after(1500, |_| noise);
            assert!(!voice.speaks() && changes.len() == 2, "{noise}: {changes:?}");
        }
    }

    #[test]
    fn a_click_is_no_speech() {
        let (_, changes) = after(200, |tick| if tick % 20 == 0 { -10.0 } else { -65.0 });
        assert!(changes.is_empty(), "{changes:?}");
    }

    #[test]
    fn the_gate_opens_at_once_and_closes_late() {
        let mut voice = VoiceActivity::new();
        voice.add_level(-75.0, false);
        assert!(!voice.is_open());
        voice.add_level(-40.0, false);
        assert!(voice.is_open(), "no syllable is cut");
        (0..GATE_TICKS).for_each(|_| assert!(voice.add_level(-75.0, false).is_none()));
        assert!(!voice.is_open());
    }

    /// Quiet background noise stays out of the mix; louder sounds such as music are included, however steady.
    #[test]
    fn the_gate_keeps_quiet_noise_out_and_loud_sounds_in() {
        for (level, open) in [(-75.0, false), (-58.0, false), (-46.0, false), (-36.0, true), (-20.0, true)] {
            assert_eq!(after(3000, |_| level).0.is_open(), open, "{level}");
        }
    }

    #[test]
    fn quiet_and_loud_speakers_come_near_the_target() {
        for (level, gain) in [(-40.0, 5.0), (-30.0, 5.0), (-24.0, 0.0), (-20.0, 0.0), (-6.0, -13.0), (0.0, -15.0)] {
            let (voice, _) = after(3000, |tick| speech(level, -75.0, tick));
            assert!((voice.gain_db() - gain).abs() < 1.5, "{level}: {} of {gain}", voice.gain_db());
        }
    }

    #[test]
    fn the_gain_changes_slowly_and_rests_in_pauses() {
        let mut voice = VoiceActivity::new();
        let mut before = 0.0;
        for tick in 0..3000 {
            // Whispers and shouts in turn, every ten seconds.
            let level = if tick / 500 % 2 == 0 { -38.0 } else { -8.0 };
            let level = speech(level, -75.0, tick);
            voice.add_level(level, false);
            let change = voice.gain_db() - before;
            assert!((-DOWN_DB - 1e-4..=UP_DB + 1e-4).contains(&change), "{change}");
            assert!(level > -70.0 || change == 0.0, "no change in a pause");
            before = voice.gain_db();
        }
    }

    #[test]
    fn noise_is_not_raised_with_the_voice() {
        let (voice, _) = after(3000, |tick| speech(-35.0, -48.0, tick));
        assert!(voice.gain_db() <= 3.5, "{}", voice.gain_db());
    }

    #[test]
    fn an_echo_is_no_speech() {
        let mut voice = VoiceActivity::new();
        assert!((0..300).all(|tick| voice.add_level(speech(-20.0, -70.0, tick), true).is_none()));
        assert_eq!(voice.gain_db(), 0.0);
    }

    #[test]
    fn hushed_it_does_not_speak() {
        let (mut voice, _) = after(50, |_| -20.0);
        assert!(voice.reset_speech() && !voice.speaks() && !voice.is_open() && !voice.reset_speech());
    }
}
