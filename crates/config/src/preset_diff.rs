//! Differences of trunks from their preset.

use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::diagnostic::line_and_column;
use super::keys::{EmptyScope, TRUNK};
use super::preset::{Preset, PresetValue};
use super::section::{Section, SpannedValue};
use super::show;

/// Trunk of the configuration that uses a preset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresetUse {
    /// Name of the trunk.
    pub name: String,
    /// Line of the `preset` key, from 1.
    pub line: usize,
    /// Column of the `preset` key, from 1.
    pub column: usize,
    /// Number of values that the preset sets for this trunk.
    pub values: usize,
    /// Overridden values, in the order of the preset.
    pub changed: Vec<OverriddenValue>,
}

/// Key of a preset for which a trunk sets another value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverriddenValue {
    /// Name of the key.
    pub key: String,
    /// The preset's value, as TOML.
    pub preset: String,
    /// Value of the trunk as TOML, without secrets.
    pub written: String,
    /// Document or web page from which the value of the preset is taken.
    pub source: String,
    /// Line of the trunk's value, from 1.
    pub line: usize,
    /// Column of the trunk's value, from 1.
    pub column: usize,
}

/// Returns the trunks of a file that use a preset, in file order. The caller has loaded the file before, so an
/// unreadable one returns no trunks.
pub fn uses(source: &str, preset: &Preset) -> Vec<PresetUse> {
    let (document, _) = DeTable::parse_recoverable(source);
    let parts = EmptyScope::of(Path::new(""));
    let trunks = document.get_ref().get("trunk").and_then(|trunks| trunks.get_ref().as_table());
    let mut found: Vec<(usize, PresetUse)> = trunks
        .into_iter()
        .flatten()
        .filter_map(|(name, trunk)| {
            let scope = parts.scope(Path::new(""));
            let own = Section::of_judged("", trunk.get_ref().as_table()?, trunk.span(), scope);
            let named = own.get("preset").filter(|named| named.get_ref().as_str() == Some(preset.name))?;
            let (line, column) = line_and_column(source, named.span().start);
            let values = preset.values_for(&own);
            let changed = values.iter().filter_map(|value| changed(source, &own, value)).collect();
            let name = name.get_ref().to_string();
            Some((named.span().start, PresetUse { name, line, column, values: values.len(), changed }))
        })
        .collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, trunk)| trunk).collect()
}

fn changed(source: &str, own: &Section<'_>, value: &PresetValue) -> Option<OverriddenValue> {
    let written = own.get(&value.key)?;
    let kind = TRUNK.iter().find(|key| key.name == value.key)?.kind;
    let text = |value: &SpannedValue<'_>| show::complete(kind, value).to_toml();
    let (preset, said) = (text(&DeValue::parse(value.text).ok()?), text(written));
    if preset == said {
        return None;
    }
    let (line, column) = line_and_column(source, written.span().start);
    Some(OverriddenValue { key: value.key.clone(), preset, written: said, source: value.source.clone(), line, column })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::preset;

    #[test]
    fn what_a_trunk_says_otherwise_is_found_where_it_is_written() {
        let text = "[trunk.second]\npreset = 'twilio'\nsecure = false\ndomain = 'b.pstn.twilio.com'\nsrtp = 'required'\n\
                    [trunk.other]\npreset = 'carrier'\ndtmf = 'info'\n\
                    [trunk.first]\npreset = 'twilio'\ndomain = 'a.pstn.twilio.com'\ncodecs = [ 'PCMA' ]\nsrtp = 'required'\n\
                    dtmf = \"rfc4733\"\nmax_calls = 5\n";
        let found = uses(text, preset::find("twilio").unwrap());
        let names: Vec<_> = found.iter().map(|one| (one.name.as_str(), one.line, one.column)).collect();
        assert_eq!(names, [("second", 2, 10), ("first", 10, 10)]);
        let told = |at: usize| -> Vec<String> {
            let one = |one: &OverriddenValue| {
                format!("{}: {} -> {} at {}:{}", one.key, one.preset, one.written, one.line, one.column)
            };
            found[at].changed.iter().map(one).collect()
        };
        assert_eq!(told(0), ["srtp: \"off\" -> \"required\" at 5:8"], "that of a trunk without TLS");
        assert_eq!(
            told(1),
            ["codecs: [\"PCMU\", \"PCMA\"] -> [\"PCMA\"] at 12:10"],
            "the same, in other quotes, is none"
        );
        assert!(found[0].values > 5 && found[1].changed[0].source.starts_with("https://"));
        assert_eq!(uses(text, preset::find("3cx").unwrap()), []);
        let of_domain = "[trunk.byoc]\npreset = 'twilio'\ndomain = 'a.sip.twilio.com'\ncongested_on = [503]\n";
        let of_domain = uses(of_domain, preset::find("twilio").unwrap());
        assert_eq!(of_domain[0].changed, [], "a value for trunks is none of a SIP domain's");
        assert!(of_domain[0].values < found[1].values);
    }

    #[test]
    fn a_trunk_is_compared_with_the_values_of_its_region() {
        let text = "[trunk.one]\npreset = 'telnyx'\nregion = 'eu'\npeers = ['sip:sip.telnyx.eu']\n\
                    [trunk.two]\npreset = 'telnyx'\npeers = ['sip:sip.telnyx.eu']\n";
        let found = uses(text, preset::find("telnyx").unwrap());
        assert_eq!(found[0].changed, []);
        let changed: Vec<_> = found[1].changed.iter().map(|one| (one.key.as_str(), one.preset.as_str())).collect();
        assert_eq!(changed, [("peers", "[\"sip:sip.telnyx.com\"]")]);
        assert_eq!(found[0].values, found[1].values);
    }
}
