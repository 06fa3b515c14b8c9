//! `/metrics` of the real binary, compared with its documentation: the table of docs/operate/metrics.md, alerts with
//! their tests and their sections of docs/operate/runbook.md, dashboards.

#![allow(clippy::unwrap_used, clippy::panic)] // helpers of tests are not `#[test]` themselves

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use crate::support::calls::{Call, Phone};
use crate::support::{Process, closed_address, config, until};
use regex::Regex;
use serde_json::Value;

/// Metric families by name, each with its type and the permitted labels of its samples.
type Families = BTreeMap<String, (String, BTreeSet<String>)>;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn regex(text: &str) -> Regex {
    Regex::new(text).unwrap()
}

/// Returns the families in the tables of docs/operate/metrics.md.
fn documented() -> Families {
    let row = regex(r"(?m)^\| `(\w+)` \| (counter|gauge|histogram) \|([^|]*)\| [^|]+ \|$");
    let label = regex(r"`(\w+)`");
    let text = read("docs/operate/metrics.md");
    let families: Families = row
        .captures_iter(&text)
        .map(|row| {
            let labels = label.captures_iter(&row[3]).map(|label| label[1].to_owned()).collect();
            (row[1].to_owned(), (row[2].to_owned(), labels))
        })
        .collect();
    assert_eq!(families.len(), text.lines().filter(|line| line.starts_with("| `")).count(), "a row is not read");
    families
}

/// Returns the metrics of an edge after a call that an agent failed to take and that a PBX answered.
fn exposed() -> String {
    let closed = closed_address();
    let (caller, callee) = (Phone::new("127.0.0.1"), Phone::new("127.0.0.2"));
    let edge = Process::start(&config(&format!(
        "{}{}[agent.bot]\nurl = \"ws://{closed}/\"\n\
         [[route]]\nfrom = [\"carrier\"]\nconnect = [\"agent:bot\", \"trunk:pbx\"]\n",
        caller.trunk("carrier"),
        callee.trunk("pbx") + "max_calls = 1\npace = \"0s\"\n",
    )));
    let call = Call::set_up(&edge, "one", &caller, &callee);
    let refused =
        caller.sip.request_with("INVITE", "+14155550124", call.sip, "two", (1, ""), &caller.description(1, ""));
    caller.sip.send(call.sip, &refused);
    caller.sip.receive("SIP/2.0 5");
    call.hang_up(2, &caller, &callee);
    until("the call is counted", || {
        let text = edge.get("/metrics").1;
        text.contains("{trunk=\"carrier\",route=\"route-1\",outcome=\"answered\"} 1\n").then_some(text)
    })
}

/// Returns the families in a Prometheus text, with the labels of their samples.
fn families(text: &str) -> Families {
    let mut all = Families::new();
    let (sample, label) = (regex(r"^(\w+)(?:\{(.*)\})? \S+$"), regex(r#"(\w+)="[^"]*""#));
    let mut family = String::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            name.clone_into(&mut family);
            assert!(all.insert(family.clone(), (kind.to_owned(), BTreeSet::new())).is_none(), "{name} twice");
        } else if !line.starts_with('#') {
            let parts = sample.captures(line).unwrap_or_else(|| panic!("no sample: {line}"));
            assert!(parts[1].starts_with(&family), "{line} stands below {family}");
            let labels = parts.get(2).map_or("", |labels| labels.as_str());
            let labels = label.captures_iter(labels).map(|label| label[1].to_owned()).filter(|label| label != "le");
            all.get_mut(&family).unwrap().1.extend(labels);
        }
    }
    all
}

#[test]
fn the_table_of_metrics_is_what_the_edge_says() {
    let (said, written) = (families(&exposed()), documented());
    let names = |families: &Families| families.iter().map(|(name, (kind, _))| format!("{name} {kind}")).collect();
    let (said_names, written_names): (BTreeSet<String>, BTreeSet<String>) = (names(&said), names(&written));
    let only_said: Vec<_> = said_names.difference(&written_names).collect();
    let only_written: Vec<_> = written_names.difference(&said_names).collect();
    assert!(only_said.is_empty() && only_written.is_empty(), "undocumented {only_said:?}, gone {only_written:?}");
    let mut with_samples = 0;
    for (name, (_, labels)) in &said {
        let (_, documented) = &written[name];
        assert!(labels.is_subset(documented), "{name} has {labels:?}, documented are {documented:?}");
        // A family without samples has no labels; one with mutually exclusive labels has some of them.
        assert!(labels.is_empty() || labels == documented, "{name} has {labels:?}, documented are {documented:?}");
        with_samples += usize::from(!labels.is_empty());
    }
    assert!(with_samples >= 20, "{with_samples}");
}

/// Returns the metrics in an expression, each with the labels used.
fn used(expression: &str) -> Vec<(String, Vec<String>)> {
    static METRIC: LazyLock<Regex> = LazyLock::new(|| regex(r"\b((?:trunkgate|process)_\w+)(?:\{([^}]*)\})?"));
    static LABEL: LazyLock<Regex> = LazyLock::new(|| regex(r"(\w+)\s*(?:=~|!~|!=|=)"));
    let labels = |text: &str| LABEL.captures_iter(text).map(|label| label[1].to_owned()).collect();
    let found = METRIC.captures_iter(expression);
    found.map(|found| (found[1].to_owned(), labels(found.get(2).map_or("", |labels| labels.as_str())))).collect()
}

/// Fails if an expression uses a metric or label that does not exist.
fn assert_known(families: &Families, expression: &str, place: &str) {
    for (metric, labels) in used(expression) {
        let of = |suffix: &str| metric.strip_suffix(suffix).and_then(|name| families.get(name));
        let histogram = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| of(suffix));
        let known = families.get(&metric).filter(|(kind, _)| kind != "histogram");
        let known = known.or(histogram.filter(|(kind, _)| kind == "histogram"));
        let (_, known) = known.unwrap_or_else(|| panic!("{place}: no metric {metric} in {expression}"));
        for label in labels {
            let added = ["job", "instance", "le"].contains(&label.as_str());
            assert!(added || known.contains(&label), "{place}: {metric} has no label {label}");
        }
    }
}

#[test]
fn alerts_ask_for_metrics_that_are_there_and_each_has_a_test_and_a_section_of_the_runbook() {
    let (families, rules, tests) =
        (documented(), read("deploy/prometheus/alerts.yml"), read("deploy/prometheus/alerts_test.yml"));
    assert_known(&families, &rules, "alerts.yml");
    assert_known(&families, &tests, "alerts_test.yml");
    let alerts: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let sections = read("docs/operate/runbook.md");
    let headings: Vec<&str> = sections.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let links: Vec<&str> = rules.lines().filter_map(|line| line.trim().strip_prefix("runbook_url: ")).collect();
    assert!(alerts.len() > 30);
    assert_eq!(alerts.iter().collect::<BTreeSet<_>>(), headings.iter().collect::<BTreeSet<_>>());
    let wanted: Vec<String> =
        alerts.iter().map(|name| format!("docs/operate/runbook.md#{}", name.to_lowercase())).collect();
    assert_eq!(links, wanted);
    for alert in alerts {
        let fires = regex(&format!(r"alertname: {alert}\n\s+exp_alerts:\n\s+- exp_labels"));
        assert!(fires.is_match(&tests), "no test in which {alert} fires");
        assert!(tests.contains(&format!("alertname: {alert}, exp_alerts: []")), "no test in which {alert} is quiet");
    }
    for section in sections.split("\n## ").skip(1) {
        for part in ["**Means**", "**Look at**", "**Do**"] {
            assert!(section.contains(part), "{part} is missing: {section}");
        }
    }
}

#[test]
fn what_is_recorded_asks_for_metrics_that_are_there_and_each_has_an_example() {
    let (families, rules, tests) =
        (documented(), read("deploy/prometheus/recording.yml"), read("deploy/prometheus/recording_test.yml"));
    let record = regex(r"(?s)- record: (\S+)\n\s+expr: (.*?)(?:\n\s+- |\z)");
    // The end of one rule begins the next.
    let rules: Vec<String> = rules.split("      - record: ").skip(1).map(|rule| format!("- record: {rule}")).collect();
    assert!(rules.len() > 20);
    for rule in &rules {
        let found = record.captures(rule).unwrap_or_else(|| panic!("{rule}"));
        let (name, expression) = (&found[1], &found[2]);
        assert!(!used(expression).is_empty(), "{name}: {expression}");
        assert_known(&families, expression, name);
        assert!(tests.contains(&format!("- expr: {name}\n")), "no example of {name}");
    }
    assert!(read("deploy/prometheus/prometheus.yml").contains("recording.yml"));
}

#[test]
fn dashboards_are_whole_and_ask_for_metrics_that_are_there() {
    let families = documented();
    for name in ["overview", "media", "agents"] {
        let text = read(&format!("deploy/grafana/dashboards/{name}.json"));
        let dashboard: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(dashboard["uid"], format!("trunkgate-{name}"));
        let (mut ids, mut places) = (BTreeSet::new(), BTreeSet::new());
        for panel in dashboard["panels"].as_array().unwrap() {
            let title = panel["title"].as_str().unwrap();
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{name}: {title} has the id of another panel");
            let place = &panel["gridPos"];
            let (x, y, w) = (&place["x"], &place["y"], &place["w"]);
            assert!(places.insert((x.as_u64(), y.as_u64())), "{name}: {title} stands on another panel");
            assert!(x.as_u64().unwrap() + w.as_u64().unwrap() <= 24, "{name}: {title} is too wide");
            if panel["type"] == "row" {
                continue;
            }
            let targets = panel["targets"].as_array().unwrap();
            assert!(!targets.is_empty(), "{name}: {title} is empty");
            for target in targets {
                assert_eq!(target["datasource"]["uid"], "${datasource}", "{name}: {title}");
                let expression = target["expr"].as_str().unwrap();
                assert!(!used(expression).is_empty(), "{name}: {title}: {expression}");
                assert!(
                    expression.matches("$instance").count() >= used(expression).len(),
                    "{name}: {title}: {expression}"
                );
                assert_known(&families, expression, &format!("{name}: {title}"));
            }
        }
    }
}
