//! Rows of the page's tables, generated from the fields of types.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use syn::{Attribute, Expr, ExprLit, Field, Fields, GenericArgument, Item, ItemEnum, Lit, Meta, PathArguments, Type};

use super::sources::{Found, Sources};

/// Maximum number of words in a meaning that may share a line with others.
const SHORT: usize = 9;

/// Maximum number of fields that may share a line.
const MOST: usize = 4;

/// Row of a table, for a field in JSON.
#[derive(Debug, Clone)]
struct Row {
    name: String,
    kind: String,
    meaning: String,
    is_optional: bool,
}

impl Row {
    /// Returns the table cell for the field's type.
    fn cell(&self) -> String {
        format!("{}{}", self.kind, if self.is_optional { ", optional" } else { "" })
    }

    /// Returns whether the row may share a line with others.
    fn is_short(&self) -> bool {
        self.meaning.split(' ').count() <= SHORT && !self.meaning.contains(['.', ';', ':'])
    }

    /// Returns the object that contains the field.
    fn object(&self) -> &str {
        self.name.rsplit_once('.').map_or("", |(object, _)| object)
    }
}

/// JSON form of a Rust type.
struct Shape<'a> {
    /// Table cell that names the form.
    cell: String,
    /// Type whose fields are in the rows below; `None` if the form is not an object.
    object: Option<&'a Found>,
    /// Values of the enum; empty for other types.
    words: Vec<String>,
}

impl Shape<'_> {
    fn plain(cell: &str) -> Shape<'static> {
        Shape { cell: cell.to_owned(), object: None, words: Vec::new() }
    }
}

/// Serde attributes of a field, variant or type.
#[derive(Default)]
struct Serde {
    rename: Option<String>,
    rename_all: Option<String>,
    tag: Option<String>,
    with: Option<String>,
    is_skipped: bool,
    is_flat: bool,
    /// Whether the field is omitted under a condition.
    is_optional: bool,
}

/// Tables of the types that have a section in the page.
pub(super) struct Tables<'a> {
    sources: &'a Sources,
    /// Titles of sections, by file and name of the type.
    titles: BTreeMap<(String, String), String>,
}

impl<'a> Tables<'a> {
    pub(super) fn new(sources: &'a Sources) -> Tables<'a> {
        Tables { sources, titles: BTreeMap::new() }
    }

    /// Adds a section: fields of this type, or of a type that the section consists of, will link to it.
    pub(super) fn add_section(&mut self, title: &str, of: &'a Found) -> anyhow::Result<()> {
        self.titles.entry((of.path.clone(), of.name.clone())).or_insert_with(|| title.to_owned());
        if let Item::Struct(item) = &of.item {
            for field in &item.fields {
                if serde(&field.attrs)?.is_flat
                    && let Some(inner) = self.shape(&field.ty, "", &of.path)?.object
                {
                    self.add_section(title, inner)?;
                }
            }
        }
        Ok(())
    }

    /// Returns the table for the fields of a type.
    pub(super) fn table(&self, of: &'a Found) -> anyhow::Result<String> {
        let mut table = String::from("| field | type | meaning |\n| --- | --- | --- |\n");
        for rows in grouped(self.rows(of)?) {
            let names: Vec<String> = rows.iter().map(|row| format!("`{}`", row.name)).collect();
            let kinds = rows.first().map(Row::cell).unwrap_or_default();
            let meanings: Vec<String> = rows.iter().map(|row| in_sentence(&row.meaning)).collect();
            let cells = [names.join(", "), kinds, meanings.join("; ")];
            table.push_str(&format!("| {} |\n", cells.join(" | ")));
        }
        Ok(table)
    }

    fn rows(&self, of: &'a Found) -> anyhow::Result<Vec<Row>> {
        let place = || format!("{} of {}", of.name, of.path);
        match &of.item {
            Item::Struct(item) => self.fields(&item.fields, of).with_context(place),
            Item::Enum(item) => self.variants(item, of).with_context(place),
            _ => bail!("{} is neither a struct nor an enum", of.name),
        }
    }

    fn fields(&self, fields: &Fields, of: &'a Found) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for field in fields {
            let serde = serde(&field.attrs)?;
            if serde.is_skipped {
                continue;
            }
            let name = serde.rename.clone().unwrap_or_else(|| name(field));
            rows.append(&mut self.field(field, name, &serde, of)?);
        }
        Ok(rows)
    }

    fn field(&self, field: &Field, name: String, serde: &Serde, of: &'a Found) -> anyhow::Result<Vec<Row>> {
        let place = || format!("field {name}");
        let Shape { mut cell, object, words } = match serde.with.as_deref() {
            None => self.shape(&field.ty, &name, &of.path).with_context(place)?,
            Some("as_text") => Shape::plain(&text(&name)),
            Some("as_unmet") => Shape::plain("true"),
            // The fields of the variants are written by hand below the table.
            Some("as_word_and_fields") => {
                let (kind, meaning) = ("string".to_owned(), meaning(&field.attrs));
                return Ok(vec![Row { name, kind, meaning, is_optional: false }]);
            }
            Some(other) => bail!("{}: unknown serialiser {other}", place()),
        };
        if serde.is_optional {
            // A nested option is omitted or null.
            let is_null = cell.matches(" or null").count() > 1;
            cell = cell.replace(" or null", "");
            cell.push_str(if is_null { " or null" } else { "" });
        }
        let is_linked = cell.contains("](#");
        if serde.is_flat {
            let mut rows = self.rows(object.with_context(place)?)?;
            let is_option = last(&field.ty).is_some_and(|last| last.ident == "Option");
            rows.iter_mut().for_each(|row| row.is_optional |= is_option || serde.is_optional);
            return Ok(rows);
        }
        let meaning = with_words(meaning(&field.attrs), &words);
        let mut rows = vec![Row { name: name.clone(), kind: cell, meaning, is_optional: serde.is_optional }];
        if let Some(object) = object.filter(|_| !is_linked) {
            rows.extend(self.rows(object)?.into_iter().map(|row| Row { name: format!("{name}.{}", row.name), ..row }));
        }
        Ok(rows)
    }

    /// Returns the fields of all variants: with the tag for a tagged enum, otherwise by the names of the variants.
    fn variants(&self, item: &ItemEnum, of: &'a Found) -> anyhow::Result<Vec<Row>> {
        let of_enum = serde(&item.attrs)?;
        let Some(tag) = of_enum.tag.clone() else {
            let mut rows = Vec::new();
            for variant in &item.variants {
                let field = variant.fields.iter().next().context("a variant without a field")?;
                let shape = self.shape(&field.ty, "", &of.path)?;
                let name = word(&variant.ident.to_string(), of_enum.rename_all.as_deref());
                rows.push(Row { name, kind: shape.cell, meaning: meaning(&variant.attrs), is_optional: true });
            }
            return Ok(rows);
        };
        let kinds: Vec<String> = words(item)?;
        let mut rows: Vec<(Row, Vec<&str>)> = Vec::new();
        for (variant, kind) in item.variants.iter().zip(&kinds) {
            for row in self.fields(&variant.fields, of)? {
                match rows.iter_mut().find(|(known, _)| known.name == row.name) {
                    Some((_, of_kinds)) => of_kinds.push(kind),
                    None => rows.push((row, vec![kind])),
                }
            }
        }
        let mut all = vec![Row { name: tag, kind: "string".to_owned(), meaning: quoted(&kinds), is_optional: false }];
        for (mut row, of_kinds) in rows {
            if of_kinds.len() < kinds.len() {
                row.is_optional = true;
                row.meaning = format!("{} ({})", row.meaning, quoted(&of_kinds));
            }
            all.push(row);
        }
        Ok(all)
    }

    fn shape(&self, of: &Type, field: &str, from: &str) -> anyhow::Result<Shape<'a>> {
        match of {
            Type::Reference(reference) => return self.shape(&reference.elem, field, from),
            Type::Array(array) => return Ok(list(self.shape(&array.elem, "", from)?)),
            Type::Slice(slice) => return Ok(list(self.shape(&slice.elem, "", from)?)),
            _ => {}
        }
        let segment = last(of).context("a type without a name")?;
        let argument = |at: usize| match &segment.arguments {
            PathArguments::AngleBracketed(all) => all.args.iter().filter_map(argument_type).nth(at),
            _ => None,
        };
        let inner = |at: usize, field: &str| self.shape(argument(at).context("no argument")?, field, from);
        let name = segment.ident.to_string();
        Ok(match name.as_str() {
            "Option" => {
                let inner = inner(0, field)?;
                Shape { cell: format!("{} or null", inner.cell), ..inner }
            }
            "Box" | "Arc" | "Rc" => inner(0, field)?,
            "Vec" | "VecDeque" | "BTreeSet" => list(inner(0, "")?),
            "BTreeMap" | "HashMap" => Shape::plain(&format!("map of {}s", inner(1, "")?.cell)),
            "String" | "str" | "Word" | "SocketAddr" | "IpAddr" | "Bytes" | "Timestamp" => Shape::plain(&text(field)),
            "u8" | "u16" | "u32" | "u64" | "usize" | "i32" | "i64" | "f32" | "f64" => Shape::plain("number"),
            "LossRuns" => Shape::plain("list of numbers"),
            "bool" => Shape::plain("boolean"),
            "Value" => Shape::plain("anything"),
            _ => self.named(self.sources.find(&name, from)?)?,
        })
    }

    /// Returns the JSON form of a type found in the sources.
    fn named(&self, found: &'a Found) -> anyhow::Result<Shape<'a>> {
        if let Some(title) = self.titles.get(&(found.path.clone(), found.name.clone())) {
            let anchor = title.to_lowercase().replace(' ', "-");
            return Ok(Shape { cell: format!("[{title}](#{anchor})"), object: Some(found), words: Vec::new() });
        }
        Ok(match &found.item {
            Item::Enum(item) if item.variants.iter().all(|variant| variant.fields.is_empty()) => {
                Shape { cell: "string".to_owned(), object: None, words: words(item)? }
            }
            _ => Shape { cell: "object".to_owned(), object: Some(found), words: Vec::new() },
        })
    }
}

/// Returns a meaning for use within a sentence: the first word is in lower case, unless it is an abbreviation or a
/// name.
fn in_sentence(meaning: &str) -> String {
    let first = meaning.split(' ').next().unwrap_or_default();
    let mut signs = first.trim_end_matches([',', ':', ';']).chars();
    let is_word = signs.next().is_some_and(char::is_uppercase) && signs.all(|sign| sign.is_lowercase());
    match meaning.strip_prefix(first) {
        Some(rest) if is_word => format!("{}{rest}", first.to_lowercase()),
        Some(_) | None => meaning.to_owned(),
    }
}

/// Groups neighbouring rows of the same object and type if their meanings are short.
fn grouped(rows: Vec<Row>) -> Vec<Vec<Row>> {
    let mut groups: Vec<Vec<Row>> = Vec::new();
    for row in rows {
        let fits = |group: &&mut Vec<Row>| {
            group.len() < MOST
                && row.is_short()
                && group
                    .iter()
                    .all(|other| other.is_short() && other.cell() == row.cell() && other.object() == row.object())
        };
        match groups.last_mut().filter(fits) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups
}

fn argument_type(argument: &GenericArgument) -> Option<&Type> {
    match argument {
        GenericArgument::Type(of) => Some(of),
        _ => None,
    }
}

fn last(of: &Type) -> Option<&syn::PathSegment> {
    match of {
        Type::Path(path) => path.path.segments.last(),
        _ => None,
    }
}

fn list(inner: Shape<'_>) -> Shape<'_> {
    let cell = match inner.cell.as_str() {
        "object" | "string" | "number" => format!("list of {}s", inner.cell),
        other => format!("list of {other}"),
    };
    Shape { cell, ..inner }
}

/// Returns the JSON type of a text: `time` if the field's name is that of a time, otherwise `string`.
fn text(field: &str) -> String {
    let ends = ["_at", "_since"].iter().any(|end| field.ends_with(end)) || ["at", "since"].contains(&field);
    if ends { "time" } else { "string" }.to_owned()
}

fn name(field: &Field) -> String {
    field.ident.as_ref().map(|name| name.to_string().trim_start_matches("r#").to_owned()).unwrap_or_default()
}

/// Returns the words of an enum's variants.
fn words(item: &ItemEnum) -> anyhow::Result<Vec<String>> {
    let of_enum = serde(&item.attrs)?;
    let word = |variant: &syn::Variant| {
        let of_variant = serde(&variant.attrs)?;
        let word = of_variant.rename.unwrap_or_else(|| word(&variant.ident.to_string(), of_enum.rename_all.as_deref()));
        Ok((!of_variant.is_skipped).then_some(word))
    };
    item.variants.iter().filter_map(|variant| word(variant).transpose()).collect()
}

fn word(variant: &str, rename_all: Option<&str>) -> String {
    let between = match rename_all {
        Some("snake_case") => "_",
        Some("kebab-case") => "-",
        Some("lowercase") => "",
        _ => return variant.to_owned(),
    };
    let mut word = String::new();
    for sign in variant.chars() {
        if sign.is_uppercase() && !word.is_empty() {
            word.push_str(between);
        }
        word.extend(sign.to_lowercase());
    }
    word
}

fn quoted<T: AsRef<str>>(words: &[T]) -> String {
    words.iter().map(|word| format!("`{}`", word.as_ref())).collect::<Vec<_>>().join(", ")
}

/// Adds the values of an enum to a meaning, unless the meaning names them.
fn with_words(meaning: String, words: &[String]) -> String {
    match (words.is_empty() || words.iter().any(|word| meaning.contains(&format!("`{word}`"))), meaning.is_empty()) {
        (true, _) => meaning,
        (false, true) => quoted(words),
        (false, false) => format!("{meaning}: {}", quoted(words)),
    }
}

/// Returns the text of a doc comment in one line, without a final period.
fn meaning(attributes: &[Attribute]) -> String {
    let line = |attribute: &Attribute| match &attribute.meta {
        Meta::NameValue(pair) if pair.path.is_ident("doc") => match &pair.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
            _ => None,
        },
        _ => None,
    };
    let lines: Vec<String> = attributes.iter().filter_map(line).collect();
    let text = lines.join(" ").replace('|', "\\|");
    text.strip_suffix('.').unwrap_or(&text).to_owned()
}

fn serde(attributes: &[Attribute]) -> anyhow::Result<Serde> {
    let mut found = Serde::default();
    for attribute in attributes.iter().filter(|attribute| attribute.path().is_ident("serde")) {
        attribute.parse_nested_meta(|meta| {
            let value = match meta.value() {
                Ok(value) => Some(value.parse::<syn::LitStr>()?.value()),
                Err(_) => None,
            };
            let key = meta.path.get_ident().map(ToString::to_string).unwrap_or_default();
            match (key.as_str(), value) {
                ("rename", value) => found.rename = value,
                ("rename_all", value) => found.rename_all = value,
                ("tag", value) => found.tag = value,
                ("serialize_with", value) => found.with = value,
                ("skip" | "skip_serializing", None) => found.is_skipped = true,
                ("flatten", None) => found.is_flat = true,
                ("skip_serializing_if", Some(_)) => found.is_optional = true,
                ("default" | "deserialize_with" | "deny_unknown_fields" | "skip_deserializing", _) => {}
                (other, _) => return Err(meta.error(format!("serde({other}) is not known here"))),
            }
            Ok(())
        })?;
    }
    Ok(found)
}
