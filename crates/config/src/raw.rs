//! Digests of values as written, including secrets, for comparison only; never displayed.

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, DefaultHasher, Hash as _, Hasher as _, RandomState};
use std::io::Read as _;
use std::path::Path;
use std::sync::LazyLock;

use toml::de::DeValue;

use super::keys::{FILE, ValueKind};
use super::section::SpannedValue;
use super::values::relative_to;
use trunkgate_system::files;

/// Number of file bytes read at once.
const PIECE: usize = 1 << 16;

/// Random hash keys of this process, so that a digest reveals nothing about its value.
static DIGESTS: LazyLock<RandomState> = LazyLock::new(RandomState::new);

/// Value as written in the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RawValue {
    /// Digest of the whole value, by which changes are noticed.
    pub(super) digest: u64,
    /// Names of the files that the value refers to.
    pub(super) files: Vec<String>,
}

impl RawValue {
    pub(super) fn of(kind: ValueKind, value: &SpannedValue<'_>) -> RawValue {
        let mut hasher = DIGESTS.build_hasher();
        hash(value, &mut hasher);
        let mut files = Vec::new();
        name_files(kind, value, &mut files);
        RawValue { digest: hasher.finish(), files }
    }
}

fn hash(value: &SpannedValue<'_>, hasher: &mut DefaultHasher) {
    match value.get_ref() {
        DeValue::String(text) => ("string", text.as_ref()).hash(hasher),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok().hash(hasher),
        DeValue::Float(number) => number.as_str().hash(hasher),
        DeValue::Boolean(truth) => truth.hash(hasher),
        DeValue::Datetime(date) => date.to_string().hash(hasher),
        DeValue::Array(list) => {
            list.len().hash(hasher);
            list.iter().for_each(|one| hash(one, hasher));
        }
        DeValue::Table(table) => {
            table.len().hash(hasher);
            let mut entries: Vec<_> = table.iter().collect();
            entries.sort_by(|(one, _), (other, _)| one.get_ref().cmp(other.get_ref()));
            for (name, one) in entries {
                name.get_ref().hash(hasher);
                hash(one, hasher);
            }
        }
    }
}

fn name_files(kind: ValueKind, value: &SpannedValue<'_>, files: &mut Vec<String>) {
    match (kind, value.get_ref()) {
        (kind, DeValue::String(text)) if kind == FILE => files.push(text.to_string()),
        (ValueKind::Text("target"), DeValue::String(text)) => {
            files.extend(text.strip_prefix("play:").map(str::to_owned));
        }
        (ValueKind::Secret, DeValue::Table(table)) => {
            files.extend(table.get("file").and_then(|file| file.get_ref().as_str()).map(str::to_owned));
        }
        (ValueKind::List(item) | ValueKind::Many(item), DeValue::Array(list)) => {
            list.iter().for_each(|one| name_files(*item, one, files));
        }
        (ValueKind::Many(item), _) => name_files(*item, value, files),
        (ValueKind::Map(item), DeValue::Table(table)) => {
            table.iter().for_each(|(_, one)| name_files(*item, one, files))
        }
        (ValueKind::Table(keys), DeValue::Table(table)) => {
            for (name, one) in table.iter() {
                let key = keys.iter().find(|key| key.name == name.get_ref().as_ref());
                key.into_iter().for_each(|key| name_files(key.kind, one, files));
            }
        }
        (ValueKind::Either(kinds), _) => kinds.iter().for_each(|kind| name_files(*kind, value, files)),
        _ => {}
    }
}

/// Digest of each file by its name in the configuration; files that are not regular are left out.
pub(super) type FileDigests = BTreeMap<String, u64>;

/// Returns the digests of the current contents of these files.
pub(super) fn contents<'a>(files: impl Iterator<Item = &'a String>, folder: &Path) -> FileDigests {
    // A pipe can be read only once.
    let digest = |name: &String| digest_of(&relative_to(folder, name)).ok();
    files.filter_map(|name| Some((name.clone(), digest(name)?))).collect()
}

fn digest_of(path: &Path) -> std::io::Result<u64> {
    let (mut file, mut hasher) = (files::open_regular(path)?, DIGESTS.build_hasher());
    let mut piece = vec![0; PIECE];
    loop {
        let length = file.read(&mut piece)?;
        if length == 0 {
            return Ok(hasher.finish());
        }
        hasher.write(piece.get(..length).unwrap_or_default());
    }
}
