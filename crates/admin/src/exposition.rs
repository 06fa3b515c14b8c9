//! Prometheus text format, version 0.0.4: metric families, samples and histograms.

use std::fmt::Write;

use trunkgate_call::metrics::Histogram;

/// Type of a Prometheus metric family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MetricKind {
    Counter,
    Gauge,
    Histogram,
}

/// Prometheus metrics text under construction.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    text: String,
}

impl Exposition {
    /// Begins a metric family; the samples follow.
    pub(super) fn family(&mut self, name: &str, kind: MetricKind, help: &str) {
        let kind = match kind {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        };
        let _ = write!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
    }

    /// Writes one sample of the current family.
    pub(super) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        for (position, (label, text)) in labels.iter().enumerate() {
            self.text.push(if position == 0 { '{' } else { ',' });
            let _ = write!(self.text, "{label}=\"{}\"", escape(text));
        }
        if !labels.is_empty() {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {value}");
    }

    /// Writes a family with a single unlabelled sample.
    pub(super) fn single(&mut self, name: &str, kind: MetricKind, help: &str, value: f64) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    /// Writes a histogram with cumulative buckets.
    pub(super) fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.buckets(name, help, histogram.bounds, &histogram.counts, histogram.sum);
    }

    /// Writes a histogram from its parts. `counts` are not cumulative and have one more entry than `bounds`.
    pub(super) fn buckets(&mut self, name: &str, help: &str, bounds: &[f64], counts: &[u64], sum: f64) {
        self.family(name, MetricKind::Histogram, help);
        self.labelled_buckets(name, &[], (bounds, counts), sum);
    }

    /// Writes a histogram with labels, in a family that has already begun.
    pub(super) fn labelled_buckets(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        (bounds, counts): (&[f64], &[u64]),
        sum: f64,
    ) {
        let bucket = format!("{name}_bucket");
        let mut total = 0;
        for (position, count) in counts.iter().enumerate() {
            total += count;
            let le = bounds.get(position).map_or_else(|| "+Inf".to_owned(), f64::to_string);
            self.sample(&bucket, &[labels, &[("le", &le)]].concat(), total as f64);
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.sample(&format!("{name}_count"), labels, total as f64);
    }

    /// Returns the complete metrics text.
    pub(super) fn finish(self) -> String {
        self.text
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histograms_add_up_and_end_at_infinity() {
        let mut histogram = Histogram::new(&[0.1, 1.0]);
        for value in [0.05, 0.5, 0.6, 7.0] {
            histogram.observe(value);
        }
        let mut text = Exposition::default();
        text.histogram("x_seconds", "Time.", &histogram);
        let expected = "# HELP x_seconds Time.\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{le=\"0.1\"} 1\nx_seconds_bucket{le=\"1\"} 3\nx_seconds_bucket{le=\"+Inf\"} 4\n\
            x_seconds_sum 8.15\nx_seconds_count 4\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn histograms_of_a_family_differ_by_their_labels() {
        let mut text = Exposition::default();
        text.family("x_seconds", MetricKind::Histogram, "Time.");
        text.labelled_buckets("x_seconds", &[("agent", "desk")], (&[0.5], &[2, 1]), 3.5);
        let expected = "# HELP x_seconds Time.\n# TYPE x_seconds histogram\n\
            x_seconds_bucket{agent=\"desk\",le=\"0.5\"} 2\nx_seconds_bucket{agent=\"desk\",le=\"+Inf\"} 3\n\
            x_seconds_sum{agent=\"desk\"} 3.5\nx_seconds_count{agent=\"desk\"} 3\n";
        assert_eq!(text.finish(), expected);
    }

    #[test]
    fn label_values_are_escaped() {
        let mut text = Exposition::default();
        text.sample("x", &[("trunk", "a\"b\\c\nd"), ("code", "200")], 2.0);
        assert_eq!(text.finish(), "x{trunk=\"a\\\"b\\\\c\\nd\",code=\"200\"} 2\n");
    }
}
