//! Input queue of one party: bounded, with concealment of lost frames and drift correction.

use crate::limits::{CONCEALED_FRAMES, SURPLUS_TICKS, WAITING_FRAMES};

use super::level::level_db;

/// Maximum level at which a frame may be skipped, in dBFS.
const SKIPPED_DB: f32 = -50.0;
/// Fraction of a frame for the transition from concealed to real audio: one eighth, 2.5 ms.
const JOINT: usize = 8;

/// Statistics of the frames received from a party.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IntakeStats {
    /// Frames dropped because the queue was full.
    pub dropped: u64,
    /// Frames that were reported as lost before they reached the mixer.
    pub lost: u64,
    /// Ticks without a frame of the party that were concealed; longer silence is not counted.
    pub absent: u64,
    /// Frames skipped in silence, because the party's clock is fast or late frames have caught up.
    pub skipped: u64,
    /// Frames rejected because of a wrong length.
    pub refused: u64,
}

/// Origin of the audio that a party contributes to a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FrameOrigin {
    /// The frame is the party's own.
    Own,
    /// The frame was made up to conceal a lost one.
    MadeUp,
    /// There is no frame; the audio is silence.
    Nothing,
}

/// Queue of one party's frames between their arrival and the tick.
#[derive(Debug)]
pub(super) struct PartyIntake {
    /// Number of samples of a frame.
    frame: usize,
    /// Ring of queued frames.
    samples: Box<[i16]>,
    /// Whether each queued frame is lost.
    lost: [bool; WAITING_FRAMES],
    first: usize,
    waiting: usize,
    /// Last real frame; `made_up` is the number of frames concealed since.
    last: Box<[i16]>,
    made_up: u32,
    /// Whether frames were dropped; if so, the next frame does not continue the last one.
    broken: bool,
    /// Minimum number of frames left in the queue after recent ticks; `observed` is the number of these ticks.
    left_over: usize,
    observed: u32,
    /// Number of frames to skip in the next quiet moments.
    surplus: usize,
    intaken: IntakeStats,
}

impl PartyIntake {
    pub(super) fn new(frame: usize) -> PartyIntake {
        PartyIntake {
            frame,
            samples: vec![0; frame * WAITING_FRAMES].into(),
            lost: [false; WAITING_FRAMES],
            first: 0,
            waiting: 0,
            last: vec![0; frame].into(),
            // No frame is concealed before the first one.
            made_up: CONCEALED_FRAMES,
            broken: false,
            left_over: usize::MAX,
            observed: 0,
            surplus: 0,
            intaken: IntakeStats::default(),
        }
    }

    pub(super) fn intaken(&self) -> IntakeStats {
        self.intaken
    }

    /// Adds a frame; `None` stands for a lost one.
    pub(super) fn push(&mut self, samples: Option<&[i16]>) {
        if samples.is_some_and(|samples| samples.len() != self.frame) {
            self.intaken.refused += 1;
            return;
        }
        if self.waiting == WAITING_FRAMES {
            self.drop_first();
            self.intaken.dropped += 1;
        }
        let place = (self.first + self.waiting) % WAITING_FRAMES;
        self.waiting += 1;
        if let Some(lost) = self.lost.get_mut(place) {
            *lost = samples.is_none();
        }
        match samples {
            Some(samples) => {
                if let Some(to) = self.samples.get_mut(place * self.frame..(place + 1) * self.frame) {
                    to.copy_from_slice(samples);
                }
            }
            None => self.intaken.lost += 1,
        }
    }

    /// Writes the frame of a tick into `out`; returns its origin.
    pub(super) fn next_frame(&mut self, out: &mut [i16]) -> FrameOrigin {
        self.correct_drift();
        let is_there = self.waiting > 0;
        let is_lost = !is_there || self.lost.get(self.first).copied().unwrap_or(true);
        let made = if is_lost { self.conceal(out) } else { self.play(out) };
        if is_there {
            self.drop_first_silently();
            self.observe();
        } else if made == FrameOrigin::MadeUp {
            self.intaken.absent += 1;
            // The party or its network is late, so later frames are not surplus.
            (self.surplus, self.observed, self.left_over) = (0, 0, usize::MAX);
        }
        made
    }

    fn first_frame(&self) -> &[i16] {
        self.samples.get(self.first * self.frame..(self.first + 1) * self.frame).unwrap_or_default()
    }

    fn play(&mut self, out: &mut [i16]) -> FrameOrigin {
        out.iter_mut().zip(self.first_frame()).for_each(|(to, from)| *to = *from);
        let joint = self.frame / JOINT;
        if self.made_up > 0 || self.broken {
            for (at, sample) in out.iter_mut().take(joint).enumerate() {
                let rising = (at + 1) as f32 / (joint + 1) as f32;
                *sample = (f32::from(*sample) * rising + self.concealed_sample(at) * (1.0 - rising)) as i16;
            }
        }
        (self.made_up, self.broken) = (0, false);
        let first = self.first * self.frame;
        if let Some(from) = self.samples.get(first..first + self.frame) {
            self.last.copy_from_slice(from);
        }
        FrameOrigin::Own
    }

    fn conceal(&mut self, out: &mut [i16]) -> FrameOrigin {
        if self.made_up >= CONCEALED_FRAMES {
            out.fill(0);
            return FrameOrigin::Nothing;
        }
        for (at, sample) in out.iter_mut().enumerate() {
            *sample = self.concealed_sample(at) as i16;
        }
        self.made_up += 1;
        FrameOrigin::MadeUp
    }

    /// Returns a sample of the next concealed frame: the last frame is played backwards, forwards, and so on, which
    /// avoids steps, with decreasing volume.
    fn concealed_sample(&self, at: usize) -> f32 {
        if self.made_up >= CONCEALED_FRAMES {
            return 0.0;
        }
        let from = if self.made_up.is_multiple_of(2) { self.frame - 1 - at.min(self.frame - 1) } else { at };
        let passed = self.made_up as f32 + (at as f32 + 1.0) / self.frame as f32;
        let gain = 1.0 - passed / CONCEALED_FRAMES as f32;
        f32::from(self.last.get(from).copied().unwrap_or(0)) * gain
    }

    /// Skips a quiet or lost frame, at most one per tick, of a party with a persistent surplus.
    fn correct_drift(&mut self) {
        if self.surplus == 0 || self.waiting < 2 {
            return;
        }
        let is_lost = self.lost.get(self.first).copied().unwrap_or(true);
        if is_lost || level_db(self.first_frame()) <= SKIPPED_DB {
            self.drop_first();
            self.surplus -= 1;
            self.intaken.skipped += 1;
        }
    }

    /// Records the number of frames left after a tick, to find a persistent surplus.
    fn observe(&mut self) {
        self.left_over = self.left_over.min(self.waiting);
        self.observed += 1;
        if self.observed >= SURPLUS_TICKS {
            self.surplus = self.left_over;
            (self.observed, self.left_over) = (0, usize::MAX);
        }
    }

    fn drop_first(&mut self) {
        self.broken = true;
        self.drop_first_silently();
    }

    fn drop_first_silently(&mut self) {
        self.first = (self.first + 1) % WAITING_FRAMES;
        self.waiting = self.waiting.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    const FRAME: usize = 160;

    fn tone(frame: usize) -> Vec<i16> {
        let at = |n: usize| TAU * 300.0 * (frame * FRAME + n) as f64 / 8000.0;
        (0..FRAME).map(|n| (12_000.0 * at(n).sin()) as i16).collect()
    }

    fn largest_step(samples: &[i16]) -> i32 {
        samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
    }

    /// Plays frames, `None` for a lost one; returns the resulting audio.
    fn heard(frames: impl IntoIterator<Item = Option<Vec<i16>>>) -> (Vec<i16>, Vec<FrameOrigin>) {
        let mut intake = PartyIntake::new(FRAME);
        let mut all = Vec::new();
        let pulled = frames.into_iter().map(|frame| {
            intake.push(frame.as_deref());
            let mut out = [0; FRAME];
            let pulled = intake.next_frame(&mut out);
            all.extend(out);
            pulled
        });
        let pulled = pulled.collect();
        (all, pulled)
    }

    #[test]
    fn frames_come_out_as_they_went_in() {
        let (all, pulled) = heard((0..10).map(|frame| Some(tone(frame))));
        // The first frame rises within 2.5 ms.
        assert_eq!(all[20..], (0..10).flat_map(tone).collect::<Vec<_>>()[20..]);
        assert_eq!(pulled, [FrameOrigin::Own; 10]);
    }

    #[test]
    fn lost_frames_fade_to_silence_and_nothing_clicks() {
        for lost in 1..5 {
            let frames = (0..12).map(|frame| (!(4..4 + lost).contains(&frame)).then(|| tone(frame)));
            let (all, pulled) = heard(frames);
            assert_eq!(pulled[4], FrameOrigin::MadeUp);
            assert_eq!(pulled[4 + lost], FrameOrigin::Own);
            // The tone itself has steps of 2,830; a transition adds to them.
            assert!(largest_step(&all) < 4500, "{lost}: {}", largest_step(&all));
            let level = |frame: usize| level_db(&all[frame * FRAME..(frame + 1) * FRAME]);
            assert!(level(4) < level(3) - 1.0 && level(4) > level(3) - 6.0, "the first is nearly as loud");
            if lost > 1 {
                assert!(level(5) < level(4) - 3.0);
            }
            if lost > 2 {
                assert_eq!(pulled[6], FrameOrigin::Nothing);
                assert!(all[6 * FRAME..7 * FRAME].iter().all(|sample| *sample == 0));
            }
        }
    }

    #[test]
    fn a_party_without_a_frame_is_concealed_and_then_silent() {
        let mut intake = PartyIntake::new(FRAME);
        let mut out = [7; FRAME];
        assert_eq!(intake.next_frame(&mut out), FrameOrigin::Nothing);
        assert_eq!((out, intake.intaken()), ([0; FRAME], IntakeStats::default()));
        intake.push(Some(&tone(0)));
        let pulled: Vec<_> = (0..5).map(|_| intake.next_frame(&mut out)).collect();
        assert_eq!(
            pulled,
            [FrameOrigin::Own, FrameOrigin::MadeUp, FrameOrigin::MadeUp, FrameOrigin::Nothing, FrameOrigin::Nothing]
        );
        assert_eq!(intake.intaken(), IntakeStats { absent: 2, ..IntakeStats::default() });
    }

    /// Audio at three times real time: the queue is bounded, the oldest frames are dropped, and transitions have no
    /// step.
    #[test]
    fn a_party_that_is_too_fast_loses_the_oldest() {
        let mut intake = PartyIntake::new(FRAME);
        let mut all = Vec::new();
        for tick in 0..100 {
            (0..3).for_each(|n| intake.push(Some(&tone(3 * tick + n))));
            let mut out = [0; FRAME];
            assert_eq!(intake.next_frame(&mut out), FrameOrigin::Own);
            assert!(intake.waiting <= WAITING_FRAMES);
            all.extend(out);
        }
        assert_eq!(intake.intaken().dropped, 300 - 100 - 5);
        assert!(largest_step(&all[FRAME..]) < 4500, "{}", largest_step(&all[FRAME..]));
    }

    /// Checks that with a clock drift of 0.1 % the delay stays within two frames, and all corrections are in silence.
    #[test]
    fn drift_is_corrected_in_silence() {
        for per_thousand in [1001_u64, 999] {
            let mut intake = PartyIntake::new(FRAME);
            let (mut sent, mut silent_made_up) = (0, 0);
            for tick in 0..20_000_u64 {
                while sent * 1000 < tick * per_thousand {
                    // Words of a second, with pauses of a second.
                    let speaks = sent / 50 % 2 == 0;
                    let frame = if speaks { tone(usize::try_from(sent).unwrap()) } else { vec![0; FRAME] };
                    intake.push(Some(&frame));
                    sent += 1;
                }
                let mut out = [0; FRAME];
                silent_made_up += u64::from(intake.next_frame(&mut out) == FrameOrigin::MadeUp);
                assert!(intake.waiting <= 2, "{per_thousand}: {} at {tick}", intake.waiting);
            }
            let intaken = intake.intaken();
            assert_eq!(intaken.dropped, 0);
            if per_thousand > 1000 {
                assert!((15..25).contains(&intaken.skipped), "{intaken:?}");
            } else {
                assert!((15..45).contains(&silent_made_up), "{silent_made_up} {intaken:?}");
            }
        }
    }

    /// Late frames that arrive in a burst stay as a reserve, and are removed when 5 s need none.
    #[test]
    fn a_burst_behind_a_gap_is_kept_as_a_cushion_for_a_while() {
        let mut intake = PartyIntake::new(FRAME);
        let mut out = [0; FRAME];
        intake.push(Some(&tone(0)));
        intake.next_frame(&mut out);
        intake.next_frame(&mut out);
        intake.push(Some(&tone(1)));
        for _ in 0..SURPLUS_TICKS {
            intake.push(Some(&[0; FRAME]));
            intake.next_frame(&mut out);
        }
        assert_eq!((intake.waiting, intake.intaken().skipped), (1, 0));
        (0..2).for_each(|_| {
            intake.push(Some(&[0; FRAME]));
            intake.next_frame(&mut out);
        });
        assert_eq!((intake.waiting, intake.intaken().skipped), (0, 1));
    }

    #[test]
    fn a_frame_of_another_length_is_refused() {
        let mut intake = PartyIntake::new(FRAME);
        [0, 1, 159, 161, 960].into_iter().for_each(|len| intake.push(Some(&vec![9; len])));
        assert_eq!((intake.waiting, intake.intaken().refused), (0, 5));
    }
}
