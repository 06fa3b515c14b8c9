//! Conferences that are parties of each other: echo decays, and levels stay bounded.

use std::collections::VecDeque;

use trunkgate_conference::{Mixer, PartyId, SamplingRate};

use crate::support::{Talker, heard, level_db};

/// Two conferences connected by several lines, with a person in each.
struct Pair {
    mixers: [Mixer; 2],
    people: [PartyId; 2],
    lines: Vec<[PartyId; 2]>,
    /// Frames in transit, for each line and direction.
    on_the_way: Vec<[VecDeque<Vec<i16>>; 2]>,
}

impl Pair {
    /// Creates the pair; `delays` is the delay of each line, in frames.
    fn new(delays: &[usize]) -> Pair {
        let mut mixers = [Mixer::new(), Mixer::new()];
        let people = mixers.each_mut().map(|mixer| mixer.join(SamplingRate::Narrow).unwrap());
        let lines =
            delays.iter().map(|_| mixers.each_mut().map(|mixer| mixer.join(SamplingRate::Narrow).unwrap())).collect();
        let silent = |delay: &usize| VecDeque::from(vec![vec![0; 160]; *delay]);
        let on_the_way = delays.iter().map(|delay| [silent(delay), silent(delay)]).collect();
        Pair { mixers, people, lines, on_the_way }
    }

    /// Runs one tick with the audio of the two persons; returns the audio that they hear.
    fn tick(&mut self, said: [&[i16]; 2]) -> [Vec<i16>; 2] {
        for (side, said) in said.iter().enumerate() {
            self.mixers[side].push(self.people[side], said);
            for (line, on_the_way) in self.lines.iter().zip(&mut self.on_the_way) {
                let frame = on_the_way[side].pop_front().unwrap();
                self.mixers[side].push(line[side], &frame);
            }
        }
        self.mixers.iter_mut().for_each(Mixer::tick);
        for (line, on_the_way) in self.lines.iter().zip(&mut self.on_the_way) {
            for side in 0..2 {
                on_the_way[1 - side].push_back(heard(&self.mixers[side], line[side], SamplingRate::Narrow));
            }
        }
        [0, 1].map(|side| heard(&self.mixers[side], self.people[side], SamplingRate::Narrow))
    }
}

#[test]
fn over_one_line_each_hears_the_other_and_not_itself() {
    let mut pair = Pair::new(&[4]);
    let mut talker = Talker::new(1, 700.0, 6000.0);
    let (mut own, mut other) = (Vec::new(), Vec::new());
    for _ in 0..1500 {
        let [one, two] = pair.tick([&talker.frame(SamplingRate::Narrow), &[0; 160]]);
        own.extend(one);
        other.extend(two);
    }
    assert!(level_db(&own) < -90.0, "no echo: {}", level_db(&own));
    assert!(level_db(&other) > -25.0, "{}", level_db(&other));
}

/// Two lines form a loop that returns all audio; speech circulates in it at an ever lower level.
#[test]
fn over_two_lines_echo_does_not_run_away() {
    for delays in [[4, 4], [2, 9], [10, 31]] {
        let mut pair = Pair::new(&delays);
        let mut talker = Talker::new(2, 700.0, 9000.0);
        let mut levels = Vec::new();
        // A minute of speech, then 20 s of silence.
        for at in 0..4000 {
            let said = if at < 3000 { talker.frame(SamplingRate::Narrow) } else { vec![0; 160] };
            let both = pair.tick([&said, &[0; 160]]);
            assert!(both.iter().flatten().all(|sample| sample.unsigned_abs() < 29_300));
            levels.push(level_db(&both[0]));
        }
        let mean = |range: std::ops::Range<usize>| levels[range.clone()].iter().sum::<f64>() / range.len() as f64;
        assert!(mean(3500..4000) < -80.0, "{delays:?}: it dies away: {}", mean(3500..4000));
        let loudest = levels[1000..3000].iter().fold(-99.0_f64, |most, level| most.max(*level));
        assert!(loudest < -25.0, "{delays:?}: the echo of a voice at -14 dB is {loudest} dB");
    }
}

/// Noise in a loop, which resembles itself at every delay, is bounded by the limiter and decays when it stops.
#[test]
fn a_loop_without_speech_is_bounded() {
    let mut pair = Pair::new(&[3, 5, 7]);
    let mut talkers = [Talker::new(3, 500.0, 20_000.0), Talker::new(4, 900.0, 20_000.0)];
    let mut last = 0.0;
    for at in 0..3000 {
        let said =
            talkers.each_mut().map(|talker| if at < 1500 { talker.frame(SamplingRate::Narrow) } else { vec![0; 160] });
        let both = pair.tick([&said[0], &said[1]]);
        assert!(both.iter().flatten().all(|sample| sample.unsigned_abs() < 29_300));
        last = level_db(&both[1]);
    }
    assert!(last < -80.0, "{last}");
}
