//! Every row of the table has a behaviour that shows it, and docs/reference/twilio-compat.md is made from the table.

use std::collections::BTreeSet;

use trunkgate_twiml::compat::{ElementSupport, FeatureSupport, MESSAGING, SEMANTICS, VOICE, markdown};
use trunkgate_twiml::{VerbKind, parse};

use super::{audio, conferences, dial, documents, failures, gather, messaging, queues, recordings, streams, transfers};

fn shown() -> BTreeSet<String> {
    let all = [
        audio::ROWS,
        conferences::ROWS,
        dial::ROWS,
        documents::ROWS,
        failures::ROWS,
        gather::ROWS,
        messaging::ROWS,
        queues::ROWS,
        recordings::ROWS,
        streams::ROWS,
        transfers::ROWS,
    ];
    all.into_iter().flatten().map(|(row, _)| (*row).to_owned()).collect()
}

/// Returns the rows that are supported.
fn rows(prefix: &str, table: &[ElementSupport]) -> BTreeSet<String> {
    let mut rows = BTreeSet::new();
    for entry in table.iter().filter(|entry| entry.is_supported()) {
        rows.insert(format!("{prefix}{}", entry.path));
        let supported = entry.attributes.iter().filter(|(_, state)| !matches!(state, FeatureSupport::NotSupported(_)));
        rows.extend(supported.map(|(name, _)| format!("{prefix}{}@{name}", entry.path)));
    }
    rows
}

#[test]
fn each_supported_row_is_shown_by_a_test_and_each_test_names_rows() {
    let mut promised = rows("", VOICE);
    promised.extend(rows("messages:", MESSAGING));
    let kept = SEMANTICS.iter().filter(|rule| !matches!(rule.state, FeatureSupport::NotSupported(_)));
    promised.extend(kept.map(|rule| format!("rule:{}", rule.name)));
    let shown = shown();
    let missing: Vec<&String> = promised.difference(&shown).collect();
    assert!(missing.is_empty(), "rows without a test: {missing:#?}");
    let unknown: Vec<&String> = shown.difference(&promised).collect();
    assert!(unknown.is_empty(), "tests of rows that are not in the table: {unknown:#?}");
}

/// Returns a document with an element at its path, and with an attribute.
fn document(path: &str, attribute: &str) -> String {
    let names: Vec<&str> = path.split('/').collect();
    let (last, around) = names.split_last().unwrap();
    let open: String = around.iter().map(|name| format!("<{name}>")).collect();
    let close: String = around.iter().rev().map(|name| format!("</{name}>")).collect();
    let url = if *last == "Stream" && path != "Stop/Stream" && !attribute.starts_with(" url=") {
        " url='wss://a.example/'"
    } else {
        ""
    };
    format!("<Response>{open}<{last}{url}{attribute}>5551234</{last}>{close}</Response>")
}

#[test]
fn verbs_and_nouns_that_are_not_supported_are_refused_by_name() {
    let refused: Vec<&ElementSupport> = VOICE.iter().filter(|entry| !entry.is_supported()).collect();
    assert!(refused.len() > 15);
    for entry in refused {
        let parsed = parse(&document(entry.path, "")).unwrap();
        let [verb] = &parsed.verbs[..] else { panic!("{}: {parsed:?}", entry.path) };
        assert!(matches!(&verb.kind, VerbKind::Refused(refused) if refused.what == entry.path), "{verb:?}");
    }
}

#[test]
fn attributes_that_are_not_supported_are_skipped_with_a_warning_that_names_them() {
    let mut found = 0;
    for entry in VOICE.iter().filter(|entry| entry.is_supported()) {
        let skipped = entry.attributes.iter().filter_map(|(name, state)| match state {
            FeatureSupport::NotSupported(text) => Some((name, text)),
            FeatureSupport::Supported | FeatureSupport::Differs(_) => None,
        });
        for (name, text) in skipped {
            found += 1;
            let parsed = parse(&document(entry.path, &format!(" {name}='something'"))).unwrap();
            let warned = parsed.warnings.list.iter().any(|warning| {
                warning.code == 12200
                    && warning.message.contains(&format!("\"{name}\""))
                    && warning.message.contains(text)
            });
            assert!(warned, "{}@{name}: {:?}", entry.path, parsed.warnings);
        }
    }
    assert!(found > 30, "{found} attributes");
}

#[test]
fn supported_elements_and_attributes_are_known() {
    for entry in VOICE.iter().filter(|entry| entry.is_supported()) {
        let supported = entry.attributes.iter().filter(|(_, state)| !matches!(state, FeatureSupport::NotSupported(_)));
        let names = supported.map(|(name, _)| *name).filter(|name| !name.starts_with('('));
        for attribute in names.map(|name| format!(" {name}='1'")).chain([String::new()]) {
            let warnings = parse(&document(entry.path, &attribute)).unwrap().warnings.list;
            let unknown = warnings
                .iter()
                .any(|warning| warning.message.contains("unknown") && !warning.message.contains("unknown event"));
            assert!(!unknown, "{}{attribute}: {warnings:?}", entry.path);
        }
    }
}

#[test]
fn the_page_is_made_from_the_table() {
    let page = include_str!("../../../../docs/reference/twilio-compat.md");
    assert!(
        page == markdown(),
        "docs/reference/twilio-compat.md is not what the table says; print it with `cargo run -p xtask -- twiml --page`"
    );
}
