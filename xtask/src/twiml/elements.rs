//! Elements and attributes of a document, parsed independently of the edge, with their rows in the table of support.

use std::collections::BTreeSet;

use trunkgate_twiml::compat::{ElementSupport, FeatureSupport, VOICE};

/// Element or attribute that a document uses.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Used {
    /// Name as in the table: `Dial/Number` or `Dial/Number@url`.
    pub(super) name: String,
    /// Row of the table for the element or attribute.
    pub(super) row: Row,
}

/// Extent of support, as the table states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Row {
    /// Supported as on Twilio.
    Supported,
    /// Supported, with this difference.
    Differs(&'static str),
    /// Not supported, for this reason.
    NotSupported(&'static str),
    /// The table has no row for the element or attribute.
    Missing,
}

impl Row {
    fn of(state: Option<FeatureSupport>) -> Row {
        match state {
            Some(FeatureSupport::Supported) => Row::Supported,
            Some(FeatureSupport::Differs(text)) => Row::Differs(text),
            Some(FeatureSupport::NotSupported(text)) => Row::NotSupported(text),
            None => Row::Missing,
        }
    }
}

/// Returns the elements and attributes of a document. SSML tags inside Say are covered by the row of Say; the content
/// of an unsupported element is covered by the row of that element.
pub(super) fn used(document: &str) -> BTreeSet<Used> {
    let (mut used, mut path): (BTreeSet<Used>, Vec<String>) = (BTreeSet::new(), Vec::new());
    let mut rest = document;
    while let Some((_, from)) = rest.split_once('<') {
        let (end, behind) = match from.strip_prefix("!--") {
            Some(comment) => ("", comment.split_once("-->").map_or("", |(_, behind)| behind)),
            None => split_tag(from),
        };
        rest = behind;
        if end.is_empty() || end.starts_with(['!', '?']) {
            continue;
        }
        if end.starts_with('/') {
            path.pop();
            continue;
        }
        let (name, attributes) = end.split_at(end.find(|c: char| c.is_whitespace() || c == '/').unwrap_or(end.len()));
        path.push(name.to_owned());
        note(&path, attributes, &mut used);
        if end.ends_with('/') {
            path.pop();
        }
    }
    used
}

/// Returns the inside of a tag, and the text after the tag; `>` in a quoted value does not end the tag.
fn split_tag(from: &str) -> (&str, &str) {
    let mut quote = None;
    for (at, c) in from.char_indices() {
        match (quote, c) {
            (None, '>') => return (from.get(..at).unwrap_or_default(), from.get(at + 1..).unwrap_or_default()),
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
    }
    ("", "")
}

fn note(path: &[String], attributes: &str, used: &mut BTreeSet<Used>) {
    let Some(inner) = path.get(1..).filter(|inner| !inner.is_empty()) else { return };
    let is_nested = |around: &str| inner.first().is_some_and(|first| first == around) && inner.len() > 1;
    if is_nested("Say") || is_nested("Gather") && inner.get(1).is_some_and(|verb| verb == "Say") && inner.len() > 2 {
        return;
    }
    // A prompt nested in a Gather counts as the verb itself.
    let inner = if is_nested("Gather") { inner.get(1..).unwrap_or_default() } else { inner };
    let around = (1..inner.len()).filter_map(|length| entry(&inner.get(..length)?.join("/")));
    if around.into_iter().any(|entry| !entry.is_supported()) {
        return;
    }
    let name = inner.join("/");
    let entry = entry(&name);
    used.insert(Used { row: Row::of(entry.map(|entry| entry.state)), name: name.clone() });
    let Some(entry) = entry.filter(|entry| entry.is_supported()) else { return };
    for attribute in names(attributes) {
        let row = Row::of(entry.attribute(&attribute));
        used.insert(Used { name: format!("{name}@{attribute}"), row });
    }
}

fn entry(path: &str) -> Option<&'static ElementSupport> {
    VOICE.iter().find(|entry| entry.path == path)
}

/// Returns the names of the attributes in a tag.
fn names(attributes: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), attributes);
    while let Some((name, value)) = rest.split_once('=') {
        names.push(name.trim().to_owned());
        let value = value.trim_start();
        let quote = value.chars().next().unwrap_or('"');
        rest = value.get(1..).and_then(|value| value.split_once(quote)).map_or("", |(_, behind)| behind);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_and_attributes_are_found_with_their_rows() {
        let text = "<?xml version='1.0'?><!-- <Play> --><Response><Gather action='/a?b=c>d' numDigits=\"1\"><Say voice='a'>\
                    <break time='1s'/></Say></Gather><Dial recordingConfigurationId='x'><Application url='false'>x</Application></Dial><New/></Response>";
        let found = used(text);
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        let expected = [
            "Dial",
            "Dial/Application",
            "Dial@recordingConfigurationId",
            "Gather",
            "Gather@action",
            "Gather@numDigits",
        ];
        assert_eq!(names, [&expected[..], &["New", "Say", "Say@voice"]].concat());
        let row = |name: &str| found.iter().find(|one| one.name == name).unwrap().row;
        assert_eq!((row("Gather@action"), row("New")), (Row::Supported, Row::Missing));
        assert!(
            matches!(row("Dial/Application"), Row::NotSupported(_))
                && matches!(row("Dial@recordingConfigurationId"), Row::NotSupported(_))
        );
    }
}
