//! Many values of one thing: their percentiles, and as they are printed.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::assertion::{Kind, Stat};

/// Values are kept to three digits, from a microsecond (of a score: a thousandth) on.
const UNITS: f64 = 1000.0;
/// The longest time that is told from a longer one: 10 minutes, in microseconds.
const MOST: u64 = 600_000_000;
/// Digits that are kept.
const DIGITS: u8 = 3;

/// Many values of one thing.
#[derive(Debug, Clone)]
pub(super) struct Figures {
    all: Histogram<u64>,
}

impl Figures {
    /// None yet.
    pub(super) fn new() -> Result<Figures, String> {
        // What is named by constants can be made.
        Histogram::new_with_bounds(1, MOST, DIGITS).map(|all| Figures { all }).map_err(|error| error.to_string())
    }

    /// One more, in milliseconds or as a score.
    pub(super) fn add(&mut self, value: f64) {
        self.all.saturating_record((value * UNITS).round().max(0.0) as u64);
    }

    /// How many there are.
    pub(super) fn count(&self) -> u64 {
        self.all.len()
    }

    /// One of them; `None` where there are none.
    pub(super) fn get(&self, stat: Stat) -> Option<f64> {
        let found = match stat {
            Stat::Percentile(percentile) => self.all.value_at_percentile(percentile) as f64,
            Stat::Min => self.all.min() as f64,
            Stat::Max => self.all.max() as f64,
            Stat::Mean | Stat::Whole => self.all.mean(),
        };
        (self.count() > 0).then_some(found / UNITS)
    }

    /// The usual ones, by name; `null` where there are none.
    pub(super) fn as_json(&self) -> Value {
        let [p5, p50, p95, p99] = [5.0, 50.0, 95.0, 99.0].map(|p| self.get(Stat::Percentile(p)));
        let [min, max, mean] = [Stat::Min, Stat::Max, Stat::Mean].map(|stat| self.get(stat));
        json!({"count": self.count(), "min": min, "p5": p5, "p50": p50, "p95": p95, "p99": p99, "max": max, "mean": mean})
    }

    /// Those of a row of the table.
    pub(super) fn row(&self, kind: Kind, stats: &[Stat]) -> Vec<String> {
        stats.iter().map(|stat| self.get(*stat).map_or_else(|| "–".to_owned(), |value| kind.show(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut figures = Figures::new().unwrap();
        assert_eq!((figures.get(Stat::Max), figures.get(Stat::Percentile(50.0))), (None, None));
        (1..=100).for_each(|ms| figures.add(f64::from(ms)));
        let near = |stat, wanted: f64| (figures.get(stat).unwrap() - wanted).abs() < 0.1;
        assert!(near(Stat::Percentile(50.0), 50.0) && near(Stat::Percentile(99.0), 99.0), "{figures:?}");
        assert!(near(Stat::Min, 1.0) && near(Stat::Max, 100.0) && near(Stat::Mean, 50.5), "{figures:?}");
        assert_eq!(figures.as_json()["count"], 100);
    }

    #[test]
    fn a_score_keeps_its_digits() {
        let mut figures = Figures::new().unwrap();
        figures.add(4.409);
        assert_eq!(figures.row(Kind::Score, &[Stat::Max]), ["4.41"]);
    }
}
