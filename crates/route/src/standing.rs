//! How a trunk has done lately: what became of the calls that it was given, and how they sounded. By this `order = "asr"`
//! decides who is tried first.
//!
//! The ratio is the answer-seizure ratio (ITU-T E.411) without what the called party has done to it, as in the network
//! effectiveness ratio (ITU-T E.425): a call that rang in vain, was busy, or went to a number that does not exist says nothing of
//! its trunk. Old calls fade (half of their weight in ten minutes, thirty calls at most), and a few imaginary ones, nine of ten of
//! which were answered, stand beside them: a trunk with one call is neither good nor bad.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// In this time a call loses half of its weight.
const HALF_LIFE: Duration = Duration::from_secs(600);
/// Calls that count at most: of a busy trunk the newest.
const MOST: f64 = 30.0;
/// Imaginary calls, and how many of them were answered.
const IMAGINED: f64 = 10.0;
const IMAGINED_ANSWERED: f64 = 9.0;
/// With less than this much weight of calls nothing is known.
const FORGOTTEN: f64 = 0.5;
/// Where a trunk of which nothing is known stands, in tenths.
const AT_FIRST: u8 = 9;
/// A score below this is poor, and from that on no longer: R = 70, "many users dissatisfied" (ITU-T G.109), and a little more.
const POOR_BELOW: f64 = 3.6;
const POOR_UNTIL: f64 = 3.8;
/// Weight of scores that must be known.
const SCORED: f64 = 2.5;

/// A sum that fades.
#[derive(Debug, Clone, Copy, Default)]
struct Fading {
    good: f64,
    all: f64,
}

impl Fading {
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

/// What has become of a trunk's calls.
#[derive(Debug, Clone)]
pub struct Standing {
    calls: Fading,
    scores: Fading,
    faded: Option<Instant>,
    /// In tenths; follows the ratio once that is a whole tenth away, so that two trunks that are alike do not change places
    /// with every call.
    grade: u8,
    is_poor: bool,
}

/// A trunk's standing at one moment.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Figures {
    /// Calls that were answered of those that count, imaginary ones apart: 0 to 1, to thousandths; `None` where nothing is known.
    pub ratio: Option<f64>,
    /// How many calls that is made of, old ones in part, to tenths.
    pub calls: f64,
    /// Mean opinion score of what it sent in answered calls; `None` where too few are known.
    pub mos: Option<f64>,
    /// Where it stands, in tenths.
    pub grade: u8,
    /// Whether its audio is poor: then it comes behind its equals.
    pub poor_audio: bool,
}

impl Default for Standing {
    fn default() -> Standing {
        let nothing = Fading::default();
        Standing { calls: nothing, scores: nothing, faded: None, grade: AT_FIRST, is_poor: false }
    }
}

impl Standing {
    /// A call to it was answered, or failed for what the trunk has done.
    pub fn count(&mut self, now: Instant, answered: bool) {
        self.fade(now);
        self.calls.add(f64::from(u8::from(answered)));
        self.settle();
    }

    /// An answered call has ended, and what the trunk sent had this score.
    pub fn scored(&mut self, now: Instant, mos: f64) {
        self.fade(now);
        self.scores.add(mos.clamp(1.0, 5.0));
        self.settle();
    }

    /// How it stands.
    pub fn figures(&self, now: Instant) -> Figures {
        let mut then = self.clone();
        then.fade(now);
        then.settle();
        let to = |value: f64, parts: f64| (value * parts).round() / parts;
        Figures {
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

    fn settle(&mut self) {
        let tenths = self.ratio() * 10.0;
        if self.calls.all < FORGOTTEN {
            self.grade = AT_FIRST;
        } else if (tenths - f64::from(self.grade)).abs() >= 1.0 {
            // From 0 to 10.
            self.grade = tenths.round() as u8;
        }
        self.is_poor = match self.mos() {
            Some(mos) if self.is_poor => mos < POOR_UNTIL,
            Some(mos) => mos < POOR_BELOW,
            None => false,
        };
    }
}

/// In which order trunks are tried, `false` and small first; equals stay as they are written.
pub type Rank = (bool, Reverse<u8>, bool);

impl Figures {
    /// Its place among others; `is_down`: none of its addresses answers.
    pub fn rank(&self, is_down: bool) -> Rank {
        (is_down, Reverse(self.grade), self.poor_audio)
    }
}

impl Figures {
    /// Returns the grade and the sound in words: `grade 9, MOS 4.1`.
    pub fn standing(&self) -> String {
        format!("grade {}{}", self.grade, self.sound())
    }

    fn sound(&self) -> String {
        match self.mos {
            Some(mos) if self.poor_audio => format!(", MOS {mos:.1} (poor)"),
            Some(mos) => format!(", MOS {mos:.1}"),
            None => String::new(),
        }
    }
}

/// `answered 87 % of 23, grade 9, MOS 4.1`
impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.ratio {
            Some(ratio) => {
                write!(f, "answered {:.0} % of {:.0}, {}", ratio * 100.0, self.calls, self.standing())
            }
            None => write!(f, "no recent calls{}", self.sound()),
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

    fn after(standing: &mut Standing, at: Instant, outcomes: &[bool]) -> Figures {
        outcomes.iter().for_each(|answered| standing.count(at, *answered));
        standing.figures(at)
    }

    #[test]
    fn one_failure_is_chance_and_two_are_not() {
        let (mut standing, now) = (Standing::default(), start());
        let new = standing.figures(now);
        assert_eq!((new.grade, new.to_string().as_str()), (9, "no recent calls"));
        assert_eq!(after(&mut standing, now, &[false]).grade, 9);
        let failed = after(&mut standing, now, &[false]);
        assert!(failed.grade < 9, "{failed}");
        assert!(new.rank(false) < failed.rank(false) && failed.rank(false) < new.rank(true));
    }

    #[test]
    fn who_always_answers_is_no_better_than_who_is_new() {
        let (mut standing, now) = (Standing::default(), start());
        assert_eq!(after(&mut standing, now, &[true; 500]).grade, 9);
    }

    #[test]
    fn who_fails_falls_within_a_few_calls_and_comes_back() {
        let (mut standing, now) = (Standing::default(), start());
        after(&mut standing, now, &[true; 500]);
        let fell = (1..).find(|_| after(&mut standing, now, &[false]).grade < 9).unwrap();
        assert!((5..=12).contains(&fell), "{fell}");
        assert!(after(&mut standing, now, &[false; 100]).grade <= 3);
        let rose = (1..).find(|_| after(&mut standing, now, &[true]).grade == 9).unwrap();
        assert!((10..=150).contains(&rose), "{rose}");
    }

    #[test]
    fn what_was_long_ago_is_forgotten() {
        let (mut standing, now) = (Standing::default(), start());
        assert!(after(&mut standing, now, &[false; 50]).grade < 4);
        let later = now + HALF_LIFE * 3;
        assert!(standing.figures(later).grade < 9, "{}", standing.figures(later));
        let much_later = now + HALF_LIFE * 8;
        let forgotten = standing.figures(much_later);
        assert_eq!((forgotten.grade, forgotten.to_string().as_str()), (9, "no recent calls"));
    }

    #[test]
    fn poor_audio_comes_behind_its_equals_and_is_no_matter_of_one_call() {
        let (mut standing, now) = (Standing::default(), start());
        standing.scored(now, 1.5);
        assert!(!standing.figures(now).poor_audio);
        (0..5).for_each(|_| standing.scored(now, 3.2));
        let poor = standing.figures(now);
        assert!(poor.poor_audio && poor.to_string().ends_with("(poor)"), "{poor}");
        let fine = Standing::default().figures(now);
        assert!(fine.rank(false) < poor.rank(false));
        // A trunk that fails is worse than one that sounds bad.
        let mut fails = Standing::default();
        assert!(poor.rank(false) < after(&mut fails, now, &[false; 3]).rank(false));
        (0..50).for_each(|_| standing.scored(now, 4.3));
        assert!(!standing.figures(now).poor_audio);
    }

    proptest! {
        #[test]
        fn figures_stay_in_their_bounds_and_the_grade_near_the_ratio(
            events in proptest::collection::vec((0_u64..2_000, 0_u8..4, -10.0_f64..10.0), 0..400)
        ) {
            let (mut standing, mut now) = (Standing::default(), start());
            for (seconds, kind, mos) in events {
                now += Duration::from_secs(seconds);
                match kind {
                    0 => standing.count(now, true),
                    1 => standing.count(now, false),
                    2 => standing.scored(now, mos),
                    _ => {}
                }
                let figures = standing.figures(now);
                prop_assert!(figures.ratio.is_none_or(|ratio| (0.0..=1.0).contains(&ratio)));
                prop_assert!(figures.calls <= MOST && figures.grade <= 10);
                prop_assert!(figures.mos.is_none_or(|mos| (1.0..=5.0).contains(&mos)));
                let calls = figures.calls;
                let near = |ratio: f64| {
                    let smoothed = (ratio * calls + IMAGINED_ANSWERED) / (calls + IMAGINED);
                    // A whole tenth, and what is rounded away.
                    (smoothed * 10.0 - f64::from(figures.grade)).abs() < 1.1
                };
                prop_assert!(figures.ratio.map_or(figures.grade == AT_FIRST, near), "{figures:?}");
            }
        }
    }
}
