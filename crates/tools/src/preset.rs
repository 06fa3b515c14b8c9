//! `trunkgate preset list | show | diff`: lists presets, shows the values of one with their sources, and shows how
//! trunks of the configuration differ from it.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use trunkgate_route::nearest;

use crate::cli::PresetVerb;
use crate::client;
use trunkgate_boot::run;
use trunkgate_config as config;
use trunkgate_config::preset::{self, DomainForm, Preset, PresetDomain, PresetValue, UnsetPresetKey};
use trunkgate_config::preset_diff::{self, OverriddenValue, PresetUse};
use trunkgate_system::terminal;

/// Runs the verb; exit code 2 for an unknown preset or an unusable file.
pub fn run(file: Option<&Path>, what: &PresetVerb, json: bool) -> ExitCode {
    let named = |name: &str| {
        let found = preset::find(name);
        if found.is_none() {
            let names: Vec<&str> = preset::all().iter().map(|preset| preset.name).collect();
            let meant = nearest(name, names.iter().copied())
                .or_else(|| names.iter().copied().find(|known| name.len() > 2 && known.contains(name)))
                .map_or_else(String::new, |meant| format!("; did you mean {meant}?"));
            terminal::print_error(&format!("error: unknown preset: {name}: {}{meant}", names.join(", ")));
        }
        found
    };
    let text = match what {
        PresetVerb::Diff { name } => {
            let Some(preset) = named(name) else { return ExitCode::from(run::USAGE) };
            let Some(path) = config::find(file) else { return run::no_config() };
            let source = config::text(&path).unwrap_or_default();
            if let Err(found) = config::load(&path) {
                return run::refuse(&config::render(&path, &source, &found));
            }
            let trunks = preset_diff::uses(&source, preset);
            if json { format!("{:#}\n", diff_as_json(preset, &path, &trunks)) } else { diff(preset, &path, &trunks) }
        }
        PresetVerb::List if json => {
            let one = |preset: &Preset| json!({ "name": preset.name, "title": preset.title });
            format!("{:#}\n", preset::all().iter().map(one).collect::<Value>())
        }
        PresetVerb::List => list(),
        PresetVerb::Show { name } => match named(name) {
            Some(preset) if json => format!("{:#}\n", as_json(preset)),
            Some(preset) => as_text(preset),
            None => return ExitCode::from(run::USAGE),
        },
    };
    client::say(&text);
    ExitCode::SUCCESS
}

fn list() -> String {
    let all = preset::all();
    let width = all.iter().map(|preset| preset.name.len()).max().unwrap_or(0);
    all.iter().map(|preset| format!("{:<width$}  {}\n", preset.name, preset.title)).collect()
}

/// Formats a preset as keys of a trunk, each value below its source.
fn as_text(preset: &Preset) -> String {
    let mut out = format!("# {}: {}\n# Keys of the trunk override these.\n", preset.name, preset.title);
    out.push_str(&format!("[trunk.NAME]\npreset = \"{}\"\n", preset.name));
    let forms = preset.domain.as_ref().map_or(&[][..], |domain| domain.forms.as_slice());
    for (at, form) in forms.iter().enumerate() {
        let (ends, at_edge) = (&form.ends, &form.at_edge);
        let comment = if at == 0 { "" } else { "# " };
        out.push_str(&format!("\n# {}\n{comment}domain = \"acme{ends}\"   # its peer: sip:acme{ends}\n", form.source));
        out.push_str(&format!("# edges = [{}]\n", quoted(&form.edges)));
        out.push_str(&format!("#   locations to try, in order: sip:acme{at_edge}\n"));
    }
    if !forms.is_empty() {
        out.push_str("\n# secure = true   # TLS and SRTP; false: UDP without SRTP\n");
    }
    if let Some(first) = preset.regions.first() {
        out.push_str(&format!("# region = \"{first}\"   # the default; or one of {}\n", quoted(&preset.regions[1..])));
    }
    for value in &preset.values {
        out.push('\n');
        if !value.note.is_empty() {
            out.push_str(&format!("# {}\n", value.note));
        }
        out.push_str(&format!("# {} (read {})\n", value.source, value.date));
        let form = forms.iter().find(|form| form.name == value.domain);
        let only = form.map(|form| format!("   # only for a domain in {}", form.ends)).unwrap_or_default();
        match condition(preset, value) {
            Some(condition) => out.push_str(&format!("# {} = {}   # with {condition}\n", value.key, value.text)),
            None => out.push_str(&format!("{} = {}{only}\n", value.key, value.text)),
        }
    }
    if !preset.left_out.is_empty() {
        out.push_str("\n# Left to you:\n");
        for one in &preset.left_out {
            let source = if one.source.is_empty() { String::new() } else { format!(" ({})", one.source) };
            out.push_str(&format!("# {}: {}{source}\n", one.key, one.note));
        }
    }
    for header in &preset.own_headers {
        out.push_str(&format!("\n# {}\n# {}: removed from messages of all other trunks\n", header.source, header.name));
    }
    out
}

/// Returns the setting that a value depends on; `None` for a value that always applies.
fn condition(preset: &Preset, value: &PresetValue) -> Option<String> {
    let is_elsewhere = !value.region.is_empty() && preset.regions.first() != Some(&value.region);
    let usual = preset.domain.as_ref().and_then(|domain| domain.forms.first()).map(|form| &form.name);
    let is_of_other_form = !value.domain.is_empty() && usual != Some(&value.domain);
    match value.secure {
        Some(false) => Some("secure = false".to_owned()),
        Some(true) | None if is_of_other_form => Some(format!("a domain of the form {}", value.domain)),
        Some(true) | None => is_elsewhere.then(|| format!("region = \"{}\"", value.region)),
    }
}

/// Lists each trunk that uses the preset with the values that it overrides, and the lines of the file.
fn diff(preset: &Preset, path: &Path, trunks: &[PresetUse]) -> String {
    if trunks.is_empty() {
        return format!("no trunk in {} has preset = \"{}\"\n", path.display(), preset.name);
    }
    let mut out = String::new();
    for trunk in trunks {
        let place = format!("{}:{}:{}", path.display(), trunk.line, trunk.column);
        let of = format!("of {} values of the preset", trunk.values);
        if trunk.changed.is_empty() {
            out.push_str(&format!("[trunk.{}]  {place}: none {of} is changed\n", trunk.name));
            continue;
        }
        out.push_str(&format!("[trunk.{}]  {place}: {} {of} changed\n", trunk.name, trunk.changed.len()));
        for one in &trunk.changed {
            out.push_str(&format!("  {}:{}:{}\n", path.display(), one.line, one.column));
            out.push_str(&format!("  - {} = {}\n  + {} = {}\n", one.key, one.preset, one.key, one.written));
        }
    }
    out
}

fn diff_as_json(preset: &Preset, path: &Path, trunks: &[PresetUse]) -> Value {
    let changed = |one: &OverriddenValue| {
        json!({
            "key": one.key,
            "preset": one.preset,
            "written": one.written,
            "source": one.source,
            "line": one.line,
            "column": one.column,
        })
    };
    let trunk = |trunk: &PresetUse| {
        json!({
            "name": trunk.name,
            "line": trunk.line,
            "column": trunk.column,
            "values": trunk.values,
            "changed": trunk.changed.iter().map(changed).collect::<Value>(),
        })
    };
    json!({
        "preset": preset.name,
        "file": path.display().to_string(),
        "trunks": trunks.iter().map(trunk).collect::<Value>(),
    })
}

fn quoted(texts: &[String]) -> String {
    texts.iter().map(|text| format!("\"{text}\"")).collect::<Vec<_>>().join(", ")
}

/// Returns the default form of a preset's domain and all its forms, as JSON.
fn domain_as_json(domain: &PresetDomain) -> Option<Value> {
    let form = |form: &DomainForm| {
        json!({
            "name": form.name,
            "ends": form.ends,
            "at_edge": form.at_edge,
            "edges": form.edges,
            "source": form.source,
        })
    };
    let mut first = form(domain.forms.first()?);
    first["forms"] = domain.forms.iter().map(form).collect();
    Some(first)
}

fn as_json(preset: &Preset) -> Value {
    let value = |value: &PresetValue| {
        let parsed = toml::from_str::<toml::Table>(&format!("value = {}", value.text)).ok();
        json!({
            "key": value.key,
            "value": parsed.and_then(|mut table| table.remove("value")),
            "secure": value.secure,
            "region": value.region,
            "domain": value.domain,
            "note": value.note,
            "source": value.source,
            "date": value.date,
        })
    };
    let left_out = |one: &UnsetPresetKey| json!({ "key": one.key, "note": one.note, "source": one.source });
    json!({
        "name": preset.name,
        "title": preset.title,
        "keys": preset.keys,
        "regions": preset.regions,
        "domain": preset.domain.as_ref().and_then(domain_as_json),
        "own_headers": preset.own_headers.iter().map(|header| json!({
            "name": header.name,
            "source": header.source,
        })).collect::<Value>(),
        "values": preset.values.iter().map(value).collect::<Value>(),
        "left_out": preset.left_out.iter().map(left_out).collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use trunkgate_config as config;

    #[test]
    fn what_is_shown_is_a_trunk_that_can_be_used() {
        for preset in preset::all() {
            let shown = as_text(preset);
            let peers = if preset.needs_peers() { "peers = ['sip:10.0.0.5']\n" } else { "" };
            let host = preset.left_out.iter().any(|one| one.is_required && one.key == "contact_host");
            let own = format!("{peers}{}", if host { "contact_host = 'sbc.example.com'\n" } else { "" });
            let text = format!("{}\n{own}", shown.replace("NAME", "x"));
            let (config, warnings) = config::parse(Path::new("t.toml"), &text)
                .unwrap_or_else(|found| panic!("{}", config::render(Path::new("t.toml"), &text, &found)));
            let short = format!("[trunk.x]\npreset = '{}'\n{own}", preset.name);
            let short =
                if preset.domain.is_some() { format!("{short}domain = 'acme.pstn.twilio.com'\n") } else { short };
            let (again, _) = config::parse(Path::new("t.toml"), &short).unwrap();
            assert_eq!(format!("{:?}", config.trunks), format!("{:?}", again.trunks), "{warnings:?}");
            let json = as_json(preset);
            assert_eq!(json["values"].as_array().unwrap().len(), preset.values.len());
            assert_eq!(json["left_out"].as_array().unwrap().len(), preset.left_out.len());
            for one in &preset.left_out {
                assert!(shown.contains(&format!("\n# {}: {}", one.key, one.note)), "{shown}");
            }
        }
        assert_eq!(list().lines().count(), preset::all().len());
    }
}
