//! Every key with its type, its default and a line of text, as the Markdown of docs/keys.md.

use super::keys::{Absent, Key, Kind, ROOT};

const HEAD: &str = "# All keys\n\n\
    Every key of the configuration with what may stand there and what holds where nothing does, made by `trunkgate config \
    schema --markdown` of the lists that the file is read by. What each does in full: [configuration.md](configuration.md). \
    For editors and CI the same is there as JSON Schema: `trunkgate config schema`.\n";

/// The whole page.
pub fn markdown() -> String {
    let mut out = HEAD.to_owned();
    for key in ROOT {
        let Some(keys) = key.kind.keys() else { continue };
        let title = if matches!(key.kind, Kind::Named(_)) {
            format!("[{}.NAME]", key.name)
        } else if matches!(key.kind, Kind::Rows(_)) {
            format!("[[{}]]", key.name)
        } else {
            format!("[{}]", key.name)
        };
        out.push_str(&format!("\n## `{title}`\n{}.\n", capital(key.about)));
        table(keys, &mut out);
        let mut parts: Vec<(Vec<&str>, &[Key])> = Vec::new();
        collect(keys, &mut parts);
        for (names, keys) in parts {
            let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
            out.push_str(&format!("\n### {} of `{title}`\n", names.join(", ")));
            table(keys, &mut out);
        }
    }
    out
}

fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

fn table(keys: &[Key], out: &mut String) {
    out.push_str("| key | type | default | |\n| --- | --- | --- | --- |\n");
    for Key { name, kind, default, about } in keys {
        if matches!(kind, Kind::Later(_)) {
            continue;
        }
        let beside = default.beside.map_or(String::new(), |other| format!(", with `{other}`"));
        let default = match default.is {
            Absent::Value(value) => format!("`{value}`{beside}"),
            Absent::Told(words) => words.to_owned(),
            Absent::Required => "must be there".to_owned(),
        };
        out.push_str(&format!("| `{name}` | {} | {default} | {about} |\n", words(*kind)));
    }
}

/// Tables inside of keys, each list once, with the keys that have it.
fn collect<'a>(keys: &'a [Key], parts: &mut Vec<(Vec<&'a str>, &'a [Key])>) {
    for key in keys {
        let Some(inner) = inner(key.kind) else { continue };
        match parts.iter_mut().find(|(_, known)| std::ptr::eq(*known, inner)) {
            Some((names, _)) => names.push(key.name),
            None => {
                parts.push((vec![key.name], inner));
                collect(inner, parts);
            }
        }
    }
}

/// The keys of a table that may stand there.
pub(super) fn inner(kind: Kind) -> Option<&'static [Key]> {
    if let Kind::List(item) | Kind::Many(item) | Kind::Map(item) = kind {
        return inner(*item);
    }
    if let Kind::Either(kinds) = kind {
        return kinds.iter().find_map(|kind| inner(*kind));
    }
    kind.keys()
}

fn words(kind: Kind) -> String {
    let quoted = |words: &[&str]| words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    match kind {
        Kind::Text(what) => what.to_owned(),
        Kind::Name => "name".to_owned(),
        Kind::Url => "URL".to_owned(),
        Kind::Secret => "secret".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Boolean => "boolean".to_owned(),
        Kind::Integer(0, u32::MAX) => "integer".to_owned(),
        Kind::Integer(least, u32::MAX) => format!("integer from {least}"),
        Kind::Integer(least, most) => format!("{least} to {most}"),
        Kind::Share => "0 to 1".to_owned(),
        Kind::Choice(numbers) => numbers.iter().map(u32::to_string).collect::<Vec<_>>().join(", "),
        Kind::Word(known) => quoted(known),
        Kind::List(item) => format!("list: {}", words(*item)),
        Kind::Many(item) => format!("{}, or a list", words(*item)),
        Kind::Map(item) => format!("names with {}", words(*item)),
        Kind::Table(_) | Kind::Named(_) | Kind::Rows(_) => "table".to_owned(),
        Kind::Either(kinds) => kinds.iter().map(|kind| words(*kind)).collect::<Vec<_>>().join("; "),
        Kind::OnlyText(text) => format!("`{text}`"),
        Kind::OnlyFalse => "`false`".to_owned(),
        Kind::Later(feature) => feature.to_owned(),
    }
}
