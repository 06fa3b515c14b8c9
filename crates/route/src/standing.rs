//! Recent performance of a trunk: the results of its calls and their audio quality. With `order = "asr"`, trunks are
//! tried in the order of their performance.
//!
//! The ratio is the answer-seizure ratio (ITU-T E.411) without failures caused by the called party, as in the network
//! effectiveness ratio (ITU-T E.425): the trunk is not responsible for an unanswered or busy call, or one to a
//! non-existent number. Old calls decay (half of their weight in ten minutes, thirty calls at most). Ten imaginary
//! calls, nine of them answered, are added, so that a trunk with a single call is neither good nor bad.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// Time in which a call loses half of its weight.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Maximum total weight of calls; a busy trunk is judged only by its latest calls.
const MOST: f64 = 30.0;
/// Number of imaginary calls added to the ratio.
const IMAGINED: f64 = 10.0;
const IMAGINED_ANSWERED: f64 = 9.0;
/// Minimum weight of calls; with less, the ratio is unknown.
const FORGOTTEN: f64 = 0.5;
/// Grade of a trunk without calls, in tenths.
const AT_FIRST: u8 = 9;
/// MOS below which audio counts as poor (R = 70, "many users dissatisfied", ITU-T G.109), and MOS from which on it no
/// longer does.
const POOR_BELOW: f64 = 3.6;
const POOR_UNTIL: f64 = 3.8;
/// Minimum weight of audio scores; with less, the MOS is unknown.
const SCORED: f64 = 2.5;

/// Sum of values and total weight, both decaying exponentially with time; their quotient is the mean.
#[derive(Debug, Clone, Copy, Default)]
struct DecayingSum {
    good: f64,
    all: f64,
}

impl DecayingSum {
    fn fade(&mut self, by: f64) {
        self.good *= by;
        self.all *= by;
    }

    fn add(&mut self, good: f64) {
        if self.all > MOST - 1.0 {
            self.fade((MOST - 1.0) / self.all);
        }
        self.good += good;
        self.all += 1.0;
    }
}

/// Results and audio scores of a trunk's recent calls.
#[derive(Debug, Clone)]
pub struct TrunkPerformance {
    calls: DecayingSum,
    scores: DecayingSum,
    faded: Option<Instant>,
    /// Grade in tenths. It changes only when the ratio differs by a whole tenth, so that similar trunks do not swap
    /// places with every call.
    grade: u8,
    is_poor: bool,
}

/// Performance of a trunk at one point in time.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct PerformanceFigures {
    /// Answered share (0 to 1) of the recent calls that count; null if there are none.
    pub ratio: Option<f64>,
    /// Weighted number of the recent calls that count; a fraction, because old calls count in part.
    pub calls: f64,
    /// Mean MOS of the audio received in recent answered calls; null if there are too few.
    pub mos: Option<f64>,
    /// Grade (0 to 10) for the order of trunks: the answer ratio in tenths, smoothed. Higher grades are tried first;
    /// a trunk without recent calls has 9.
    pub grade: u8,
    /// Whether low audio quality ranks the trunk after others of its grade.
    pub poor_audio: bool,
}

impl Default for TrunkPerformance {
    fn default() -> TrunkPerformance {
        let nothing = DecayingSum::default();
        TrunkPerformance { calls: nothing, scores: nothing, faded: None, grade: AT_FIRST, is_poor: false }
    }
}

impl TrunkPerformance {
    /// Counts a call: answered, or failed because of the trunk.
    pub fn count(&mut self, now: Instant, answered: bool) {
        self.fade(now);
        self.calls.add(f64::from(u8::from(answered)));
        self.update_grade();
    }

    /// Adds the MOS of the audio that the trunk sent in a call that has ended.
    pub fn add_score(&mut self, now: Instant, mos: f64) {
        self.fade(now);
        self.scores.add(mos.clamp(1.0, 5.0));
        self.update_grade();
    }

    /// Returns the figures at `now`, with old calls decayed.
    pub fn figures(&self, now: Instant) -> PerformanceFigures {
        let mut then = self.clone();
        then.fade(now);
        then.update_grade();
        let to = |value: f64, parts: f64| (value * parts).round() / parts;
        PerformanceFigures {
            ratio: (then.calls.all >= FORGOTTEN).then(|| to(then.calls.good / then.calls.all, 1000.0)),
            calls: to(then.calls.all, 10.0),
            mos: then.mos().map(|mos| to(mos, 100.0)),
            grade: then.grade,
            poor_audio: then.is_poor,
        }
    }

    fn ratio(&self) -> f64 {
        (self.calls.good + IMAGINED_ANSWERED) / (self.calls.all + IMAGINED)
    }

    fn mos(&self) -> Option<f64> {
        (self.scores.all >= SCORED).then(|| self.scores.good / self.scores.all)
    }

    fn fade(&mut self, now: Instant) {
        let gone = self.faded.map_or(Duration::ZERO, |faded| now.saturating_duration_since(faded));
        self.faded = Some(self.faded.map_or(now, |faded| faded.max(now)));
        let by = (-gone.as_secs_f64() / HALF_LIFE.as_secs_f64()).exp2();
        self.calls.fade(by);
        self.scores.fade(by);
    }

    fn update_grade(&mut self) {
        let tenths = self.ratio() * 10.0;
        if self.calls.all < FORGOTTEN {
            self.grade = AT_FIRST;
        } else if (tenths - f64::from(self.grade)).abs() >= 1.0 {
            // The rounded value is from 0 to 10.
            self.grade = tenths.round() as u8;
        }
        self.is_poor = match self.mos() {
            Some(mos) if self.is_poor => mos < POOR_UNTIL,
            Some(mos) => mos < POOR_BELOW,
            None => false,
        };
    }
}

/// Sort key of a trunk, lowest first; equals keep their configured order.
pub type TrunkRank = (bool, Reverse<u8>, bool);

impl PerformanceFigures {
    /// Returns the trunk's sort key; `is_down` is set if no address of the trunk responds.
    pub fn rank(&self, is_down: bool) -> TrunkRank {
        (is_down, Reverse(self.grade), self.poor_audio)
    }
}

impl PerformanceFigures {
    /// Formats the grade and the audio quality: `grade 9, MOS 4.1`.
    pub fn standing(&self) -> String {
        format!("grade {}{}", self.grade, self.audio_quality())
    }

    fn audio_quality(&self) -> String {
        match self.mos {
            Some(mos) if self.poor_audio => format!(", MOS {mos:.1} (poor)"),
            Some(mos) => format!(", MOS {mos:.1}"),
            None => String::new(),
        }
    }
}

/// Formats the figures: `answered 87 % of 23, grade 9, MOS 4.1`.
impl std::fmt::Display for PerformanceFigures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ratio {
            Some(ratio) => {
                write!(f, "answered {:.0} % of {:.0}, {}", ratio * 100.0, self.calls, self.standing())
            }
            None => write!(f, "no recent calls{}", self.audio_quality()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn start() -> Instant {
        Instant::now()
    }

    fn after(standing: &mut TrunkPerformance, at: Instant, outcomes: &[bool]) -> PerformanceFigures {
        outcomes.iter().for_each(|answered| standing.count(at, *answered));
        standing.figures(at)
    }

    #[test]
    fn one_failure_is_chance_and_two_are_not() {
        let (mut standing, now) = (TrunkPerformance::default(), start());
        let new = standing.figures(now);
        assert_eq!((new.grade, new.to_string().as_str()), (9, "no recent calls"));
        assert_eq!(after(&mut standing, now, &[false]).grade, 9);
        let failed = after(&mut standing, now, &[false]);
        assert!(failed.grade < 9, "{failed}");
        assert!(new.rank(false) < failed.rank(false) && failed.rank(false) < new.rank(true));
    }

    #[test]
    fn who_always_answers_is_no_better_than_who_is_new() {
        let (mut standing, now) = (TrunkPerformance::default(), start());
        assert_eq!(after(&mut standing, now, &[true; 500]).grade, 9);
    }

    #[test]
    fn who_fails_falls_within_a_few_calls_and_comes_back() {
        let (mut standing, now) = (TrunkPerformance::default(), start());
        after(&mut standing, now, &[true; 500]);
        let fell = (1..).find(|_| after(&mut standing, now, &[false]).grade < 9).unwrap();
        assert!((5..=12).contains(&fell), "{fell}");
        assert!(after(&mut standing, now, &[false; 100]).grade <= 3);
        let rose = (1..).find(|_| after(&mut standing, now, &[true]).grade == 9).unwrap();
        assert!((10..=150).contains(&rose), "{rose}");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (mut standing, now) = (TrunkPerformance::default(), start());
        assert!(after(&mut standing, now, &[false; 50]).grade < 4);
        let later = now + HALF_LIFE * 3;
        assert!(standing.figures(later).grade < 9, "{}", standing.figures(later));
        let much_later = now + HALF_LIFE * 8;
        let forgotten = standing.figures(much_later);
        assert_eq!((forgotten.grade, forgotten.to_string().as_str()), (9, "no recent calls"));
    }

    #[test]
    fn poor_audio_comes_behind_its_equals_and_is_no_matter_of_one_call() {
        let (mut standing, now) = (TrunkPerformance::default(), start());
        standing.add_score(now, 1.5);
        assert!(!standing.figures(now).poor_audio);
        (0..5).for_each(|_| standing.add_score(now, 3.2));
        let poor = standing.figures(now);
        assert!(poor.poor_audio && poor.to_string().ends_with("(poor)"), "{poor}");
        let fine = TrunkPerformance::default().figures(now);
        assert!(fine.rank(false) < poor.rank(false));
        // A trunk that fails ranks behind one with poor audio.
        let mut fails = TrunkPerformance::default();
        assert!(poor.rank(false) < after(&mut fails, now, &[false; 3]).rank(false));
        (0..50).for_each(|_| standing.add_score(now, 4.3));
        assert!(!standing.figures(now).poor_audio);
    }

    proptest! {
        #[test]
        fn figures_stay_in_their_bounds_and_the_grade_near_the_ratio(
            events in proptest::collection::vec((0_u64..2_000, 0_u8..4, -10.0_f64..10.0), 0..400)
        ) {
            let (mut standing, mut now) = (TrunkPerformance::default(), start());
            for (seconds, kind, mos) in events {
                now += Duration::from_secs(seconds);
                match kind {
                    0 => standing.count(now, true),
                    1 => standing.count(now, false),
                    2 => standing.add_score(now, mos),
                    _ => {}
                }
                let figures = standing.figures(now);
                prop_assert!(figures.ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
                prop_assert!(figures.calls <= MOST && figures.grade <= 10);
                prop_assert!(figures.mos.is_none_or(|mos| (1.0..=5.0).contains(&mos)));
                let calls = figures.calls;
                let near = |ratio: f64| {
                    let smoothed = (ratio * calls + IMAGINED_ANSWERED) / (calls + IMAGINED);
                    // A whole tenth, plus the rounding error.
                    (smoothed * 10.0 - f64::from(figures.grade)).abs() < 1.1
                };
                prop_assert!(figures.ratio.map_or(figures.grade == AT_FIRST, near), "{figures:?}");
            }
        }
    }
}
