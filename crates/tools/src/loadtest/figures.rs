//! Distribution of a metric's values, with percentiles for the report.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use super::assertion::{MetricStatistic, MetricUnit};

/// Resolution of stored values: thousandths of a millisecond or of a MOS.
const UNITS: f64 = 1000.0;
/// Maximum stored time, 10 minutes, in microseconds; longer times count as this.
const MOST: u64 = 600_000_000;
/// Number of significant digits stored of each value.
const DIGITS: u8 = 3;

/// Distribution of a metric's values in milliseconds or MOS, stored in thousandths.
#[derive(Debug, Clone)]
pub(super) struct ValueDistribution {
    all: Histogram<u64>,
}

impl ValueDistribution {
    /// Creates an empty distribution.
    pub(super) fn new() -> Result<ValueDistribution, String> {
        // The constant bounds are valid.
        Histogram::new_with_bounds(1, MOST, DIGITS)
            .map(|all| ValueDistribution { all })
            .map_err(|error| error.to_string())
    }

    /// Adds a value, in milliseconds or as a MOS.
    pub(super) fn add(&mut self, value: f64) {
        self.all.saturating_record((value * UNITS).round().max(0.0) as u64);
    }

    /// Returns the number of values.
    pub(super) fn count(&self) -> u64 {
        self.all.len()
    }

    /// Returns a statistic in milliseconds or MOS; `None` without values.
    pub(super) fn get(&self, stat: MetricStatistic) -> Option<f64> {
        let found = match stat {
            MetricStatistic::Percentile(percentile) => self.all.value_at_percentile(percentile) as f64,
            MetricStatistic::Min => self.all.min() as f64,
            MetricStatistic::Max => self.all.max() as f64,
            MetricStatistic::Mean | MetricStatistic::Whole => self.all.mean(),
        };
        (self.count() > 0).then_some(found / UNITS)
    }

    /// Returns count, minimum, maximum, mean and four percentiles by name; `null` without values.
    pub(super) fn as_json(&self) -> Value {
        let [p5, p50, p95, p99] = [5.0, 50.0, 95.0, 99.0].map(|p| self.get(MetricStatistic::Percentile(p)));
        let [min, max, mean] =
            [MetricStatistic::Min, MetricStatistic::Max, MetricStatistic::Mean].map(|stat| self.get(stat));
        json!({"count": self.count(), "min": min, "p5": p5, "p50": p50, "p95": p95, "p99": p99, "max": max, "mean": mean})
    }

    /// Formats the given statistics for a row of the table.
    pub(super) fn row(&self, kind: MetricUnit, stats: &[MetricStatistic]) -> Vec<String> {
        stats.iter().map(|stat| self.get(*stat).map_or_else(|| "–".to_owned(), |value| kind.show(value))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_values() {
        let mut figures = ValueDistribution::new().unwrap();
        assert_eq!((figures.get(MetricStatistic::Max), figures.get(MetricStatistic::Percentile(50.0))), (None, None));
        (1..=100).for_each(|ms| figures.add(f64::from(ms)));
        let near = |stat, wanted: f64| (figures.get(stat).unwrap() - wanted).abs() < 0.1;
        assert!(
            near(MetricStatistic::Percentile(50.0), 50.0) && near(MetricStatistic::Percentile(99.0), 99.0),
            "{figures:?}"
        );
        assert!(
            near(MetricStatistic::Min, 1.0) && near(MetricStatistic::Max, 100.0) && near(MetricStatistic::Mean, 50.5),
            "{figures:?}"
        );
        assert_eq!(figures.as_json()["count"], 100);
    }

    #[test]
    fn a_score_keeps_its_digits() {
        let mut figures = ValueDistribution::new().unwrap();
        figures.add(4.409);
        assert_eq!(figures.row(MetricUnit::Score, &[MetricStatistic::Max]), ["4.41"]);
    }
}
