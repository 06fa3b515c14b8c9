//! Assertions of a load test: `mos.p5>4.0,loss<0.1%,setup.p99<50ms`. Each has a metric, a statistic for metrics with
//! many values, a comparison, and a number with the metric's unit.

use std::fmt;

/// Metrics by name with their units, in the order of the manual.
const METRICS: [(&str, Metric, MetricUnit); 17] = [
    ("setup", Metric::Setup, MetricUnit::Time),
    ("pdd", Metric::PostDial, MetricUnit::Time),
    ("delay", Metric::Delay, MetricUnit::Time),
    ("jitter", Metric::Jitter, MetricUnit::Time),
    ("mos", Metric::Mos, MetricUnit::Score),
    ("loss", Metric::Loss, MetricUnit::Share),
    ("late", Metric::Late, MetricUnit::Share),
    ("harmed", Metric::Harmed, MetricUnit::Share),
    ("answered", Metric::Answered, MetricUnit::Share),
    ("failed", Metric::Failed, MetricUnit::Count),
    ("dropped", Metric::Dropped, MetricUnit::Count),
    ("duplicates", Metric::Duplicates, MetricUnit::Count),
    ("reordered", Metric::Reordered, MetricUnit::Count),
    ("foreign", Metric::Foreign, MetricUnit::Count),
    ("retransmissions", Metric::Retransmissions, MetricUnit::Count),
    ("held", Metric::Held, MetricUnit::Count),
    ("audible", Metric::Audible, MetricUnit::Share),
];

/// Metric of an assertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    /// Time from the INVITE to the 200 response.
    Setup,
    /// Post-dial delay: time from INVITE to the first provisional response above 100.
    PostDial,
    /// Delay of packets through the edge in one direction.
    Delay,
    /// Jitter of each direction of a call.
    Jitter,
    /// MOS of each direction of a call.
    Mos,
    /// Share of packets that were lost.
    Loss,
    /// Packets that arrived too late to be played.
    Late,
    /// Packets with a changed payload.
    Harmed,
    /// Share of calls that were answered.
    Answered,
    /// Calls that were not answered.
    Failed,
    /// Answered calls that ended before the test's caller hung up.
    Dropped,
    /// Packets received more than once.
    Duplicates,
    /// Packets received after a later one.
    Reordered,
    /// Packets that no phone of the test sent.
    Foreign,
    /// SIP messages retransmitted by either side.
    Retransmissions,
    /// Maximum number of calls active at the same time.
    Held,
    /// Answered calls of a scenario in which the callee received audio.
    Audible,
}

impl Metric {
    /// Returns whether a load test measures the metric. `by_scenario`: SIPp places the calls, which limits the metrics.
    fn is_measured(self, by_scenario: bool) -> bool {
        match self {
            Metric::Jitter | Metric::Mos | Metric::Loss | Metric::Answered | Metric::Failed => true,
            Metric::Duplicates | Metric::Reordered | Metric::Retransmissions => true,
            Metric::Audible => by_scenario,
            Metric::Setup | Metric::PostDial | Metric::Delay | Metric::Late | Metric::Harmed => !by_scenario,
            Metric::Dropped | Metric::Foreign | Metric::Held => !by_scenario,
        }
    }
}

/// Unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricUnit {
    /// Time, in milliseconds.
    Time,
    /// Fraction from 0 to 1, written as a percentage.
    Share,
    /// MOS, 1 to 5.
    Score,
    /// Whole number.
    Count,
}

/// Statistic of a metric with many values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MetricStatistic {
    /// Value that this percentage of all values does not exceed.
    Percentile(f64),
    Min,
    Max,
    Mean,
    /// Metric as a whole; for distributions, the mean.
    Whole,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Equal,
    NotEqual,
}

/// Assertion about a metric.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Assertion {
    /// Assertion as written on the command line.
    pub(super) text: String,
    pub(super) metric: Metric,
    pub(super) kind: MetricUnit,
    pub(super) stat: MetricStatistic,
    comparison: Comparison,
    /// Limit in the metric's unit: milliseconds, fraction, MOS or count.
    bound: f64,
}

impl Assertion {
    /// Returns whether the assertion holds for a measured value.
    pub(super) fn holds(&self, value: f64) -> bool {
        match self.comparison {
            Comparison::Less => value < self.bound,
            Comparison::LessOrEqual => value <= self.bound,
            Comparison::Greater => value > self.bound,
            Comparison::GreaterOrEqual => value >= self.bound,
            Comparison::Equal => value == self.bound,
            Comparison::NotEqual => value != self.bound,
        }
    }
}

impl MetricUnit {
    /// Formats a value with its unit.
    pub(super) fn show(self, value: f64) -> String {
        match self {
            MetricUnit::Time => format!("{value:.2} ms"),
            // Five digits, so that a value below a limit is not shown as equal to the limit.
            MetricUnit::Share => format!("{} %", (value * 1e7).round() / 1e5),
            MetricUnit::Score => format!("{value:.2}"),
            MetricUnit::Count => format!("{value}"),
        }
    }
}

/// Syntax error in an assertion.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AssertionSyntaxError {
    text: String,
    /// Column of the error in characters, from 1.
    column: usize,
    what: String,
}

impl fmt::Display for AssertionSyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let AssertionSyntaxError { text, column, what } = self;
        write!(f, "--assert, column {column}: {what}\n  {text}\n  {:>column$}", "^")
    }
}

/// Parses a comma-separated list of assertions.
///
/// # Errors
/// Returns the first syntax error with its column.
pub(super) fn parse(text: &str) -> Result<Vec<Assertion>, AssertionSyntaxError> {
    let mut found = Vec::new();
    let mut at = 0;
    for part in text.split(',') {
        let written = part.trim();
        let reader = AssertionParser { text, rest: part, at };
        found.push(reader.assertion(written)?);
        at += part.len() + 1;
    }
    Ok(found)
}

/// Rejects assertions on metrics that the load test does not measure.
///
/// # Errors
/// Returns a message with the first such assertion and the measured metrics.
pub(super) fn check_measured(assertions: &[Assertion], by_scenario: bool) -> Result<(), String> {
    let Some(odd) = assertions.iter().find(|one| !one.metric.is_measured(by_scenario)) else { return Ok(()) };
    let measured = METRICS.iter().filter(|(_, metric, _)| metric.is_measured(by_scenario));
    let names: Vec<&str> = measured.map(|(name, ..)| *name).collect();
    let mode = if by_scenario { "with --scenario" } else { "without --scenario" };
    Err(format!("--assert {}: not measured {mode}: use {}", odd.text, names.join(", ")))
}

/// Parser of one assertion.
struct AssertionParser<'a> {
    /// Complete list of assertions, for errors.
    text: &'a str,
    rest: &'a str,
    /// Offset of `rest` in `text`, in bytes.
    at: usize,
}

impl<'a> AssertionParser<'a> {
    fn assertion(mut self, written: &str) -> Result<Assertion, AssertionSyntaxError> {
        let (at, name) = self.word(|c| c.is_ascii_alphabetic());
        let Some((_, metric, kind)) = METRICS.iter().find(|(known, ..)| *known == name).copied() else {
            let all = METRICS.map(|(known, ..)| known).join(", ");
            return Err(match name {
                "" => self.mistake(at, format!("expected a metric: {all}")),
                name => self.mistake(at, format!("`{name}` is not a metric: use {all}")),
            });
        };
        let stat = self.stat(name, metric)?;
        let comparison = self.comparison()?;
        let bound = self.bound(kind)?;
        let (at, more) = self.word(|_| true);
        if !more.is_empty() {
            return Err(self.mistake(at, "expected a comma between two assertions".to_owned()));
        }
        Ok(Assertion { text: written.to_owned(), metric, kind, stat, comparison, bound })
    }

    /// Parses the statistic after the dot.
    fn stat(&mut self, name: &str, metric: Metric) -> Result<MetricStatistic, AssertionSyntaxError> {
        let many = matches!(metric, Metric::Setup | Metric::PostDial | Metric::Delay | Metric::Jitter | Metric::Mos);
        let Some(rest) = self.rest.strip_prefix('.') else {
            return match many {
                true => {
                    Err(self.mistake(self.at, format!("`{name}` needs a statistic: `{name}.p99`, .min, .max or .mean")))
                }
                false => Ok(MetricStatistic::Whole),
            };
        };
        (self.rest, self.at) = (rest, self.at + 1);
        let (at, stat) = self.word(|c| c.is_ascii_alphanumeric() || c == '.');
        if !many {
            return Err(self.mistake(at, format!("`{name}` is a single value: remove `.{stat}`")));
        }
        let percentile = || stat.strip_prefix('p')?.parse().ok().filter(|p| (0.0..=100.0).contains(p));
        match stat {
            "min" => Ok(MetricStatistic::Min),
            "max" => Ok(MetricStatistic::Max),
            "mean" => Ok(MetricStatistic::Mean),
            _ => match percentile() {
                Some(percentile) => Ok(MetricStatistic::Percentile(percentile)),
                None => Err(self.mistake(at, format!("`{stat}` is not p0 to p100, min, max or mean"))),
            },
        }
    }

    fn comparison(&mut self) -> Result<Comparison, AssertionSyntaxError> {
        let (at, sign) = self.word(|c| "<>=!".contains(c));
        Ok(match sign {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            "=" | "==" => Comparison::Equal,
            "!=" => Comparison::NotEqual,
            _ => return Err(self.mistake(at, "expected a comparison: <, <=, >, >=, = or !=".to_owned())),
        })
    }

    /// Parses the number and its unit.
    fn bound(&mut self, kind: MetricUnit) -> Result<f64, AssertionSyntaxError> {
        let (at, digits) = self.word(|c| c.is_ascii_digit() || c == '.');
        let Ok(number) = digits.parse::<f64>() else {
            return Err(self.mistake(at, "expected a number".to_owned()));
        };
        let (at, unit) = self.word(|c| c.is_alphabetic() || c == '%' || c == 'µ');
        let (factor, example) = match (kind, unit) {
            (MetricUnit::Time, "us" | "µs") => (Some(0.001), ""),
            (MetricUnit::Time, "ms") => (Some(1.0), ""),
            (MetricUnit::Time, "s") => (Some(1000.0), ""),
            (MetricUnit::Time, _) => (None, "a time needs a unit (us, ms or s): 50ms"),
            (MetricUnit::Share, "%") => (Some(0.01), ""),
            (MetricUnit::Share, _) => (None, "write a share in percent: 0.1%"),
            (MetricUnit::Score | MetricUnit::Count, "") => (Some(1.0), ""),
            (MetricUnit::Score | MetricUnit::Count, _) => (None, "this metric has no unit"),
        };
        factor.map(|factor| number * factor).ok_or_else(|| self.mistake(at, example.to_owned()))
    }

    /// Returns the next word of accepted characters, skipping blanks, and its offset in bytes.
    fn word(&mut self, is_of_it: impl Fn(char) -> bool) -> (usize, &'a str) {
        let bare = self.rest.trim_start();
        let at = self.at + self.rest.len() - bare.len();
        let end = bare.find(|c| !is_of_it(c)).unwrap_or(bare.len());
        let (word, rest) = bare.split_at(end);
        (self.rest, self.at) = (rest, at + end);
        (at, word.trim_end())
    }

    fn mistake(&self, at: usize, what: String) -> AssertionSyntaxError {
        let column = self.text.get(..at).map_or(0, |before| before.chars().count()) + 1;
        AssertionSyntaxError { text: self.text.to_owned(), column, what }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_manual_is_read() {
        let all = parse("mos.p5>4.0, loss<0.1% ,setup.p99 < 50ms").unwrap();
        let read: Vec<_> = all.iter().map(|one| (one.metric, one.stat, one.comparison, one.bound)).collect();
        assert_eq!(
            read,
            [
                (Metric::Mos, MetricStatistic::Percentile(5.0), Comparison::Greater, 4.0),
                (Metric::Loss, MetricStatistic::Whole, Comparison::Less, 0.001),
                (Metric::Setup, MetricStatistic::Percentile(99.0), Comparison::Less, 50.0),
            ]
        );
        assert_eq!(all[2].text, "setup.p99 < 50ms");
    }

    #[test]
    fn units_and_comparisons_mean_what_they_say() {
        let one = |text: &str| parse(text).unwrap().remove(0);
        assert!(one("delay.max<=0.5s").holds(500.0) && !one("delay.max<500ms").holds(500.0));
        assert!(one("delay.p99.9<250us").holds(0.2) && !one("delay.p99.9<250us").holds(0.3));
        assert!(one("answered=100%").holds(1.0) && !one("answered=100%").holds(0.999));
        assert!(one("failed!=0").holds(1.0) && one("held>=20").holds(20.0) && !one("held > 20").holds(20.0));
        assert_eq!(
            (MetricUnit::Share.show(0.001), MetricUnit::Share.show(0.0009999)),
            ("0.1 %".into(), "0.09999 %".into())
        );
    }

    #[test]
    fn a_metric_that_the_test_does_not_measure_is_refused() {
        let check = |text: &str, by_scenario| check_measured(&parse(text).unwrap(), by_scenario);
        assert_eq!((check("failed=0,loss<1%", true), check("failed=0,loss<1%", false)), (Ok(()), Ok(())));
        assert_eq!((check("audible=100%", true), check("setup.p99<1s", false)), (Ok(()), Ok(())));
        let refused = check("failed=0,delay.max<5ms", true).unwrap_err();
        assert!(refused.starts_with("--assert delay.max<5ms: not measured with --scenario: use jitter, mos, loss"));
        let refused = check("audible=100%", false).unwrap_err();
        assert!(refused.contains("not measured without --scenario") && !refused.contains("held, audible"), "{refused}");
    }

    #[test]
    fn a_mistake_is_shown_with_its_column() {
        let wrong = |text: &str| {
            let mistake = parse(text).unwrap_err();
            (mistake.column, mistake.what)
        };
        for (text, column, part) in [
            ("", 1, "expected a metric"),
            ("loss<0.1%,", 11, "expected a metric"),
            ("loss<0.1%,jiter.p99<3ms", 11, "`jiter` is not a metric"),
            ("mos>4", 4, "`mos` needs a statistic: `mos.p99`"),
            ("loss.p99<1%", 6, "`loss` is a single value"),
            ("mos.p101>4", 5, "p0 to p100"),
            ("mos.best>4", 5, "`best` is not p0"),
            ("mos.p5 4", 8, "a comparison"),
            ("mos.p5=>4", 7, "a comparison"),
            ("mos.p5>", 8, "a number"),
            ("mos.p5>4.0.0", 8, "a number"),
            ("setup.p99<50", 13, "a time needs a unit"),
            ("loss<0.1", 9, "percent"),
            ("mos.p5>4ms", 9, "no unit"),
            ("loss<0.1% late<1%", 11, "a comma"),
        ] {
            let (at, what) = wrong(text);
            assert!(at == column && what.contains(part), "{text}: {at} {what}");
        }
        let shown = parse("loss<0.1%,x").unwrap_err().to_string();
        assert!(shown.ends_with("\n  loss<0.1%,x\n            ^"), "{shown}");
    }
}
