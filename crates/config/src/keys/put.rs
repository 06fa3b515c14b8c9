//! Setters for configuration values. A key that is decided by its value alone has its setter in its line of the key
//! table; keys that depend on others have readers.

use std::path::Path;
use std::time::Duration;

use toml::Spanned;
use toml::de::DeValue;

use super::{AbsentMeaning, ConfigKey, ValueKind};
use crate::diagnostic::Findings;
use crate::section::Section;
use crate::sounds::SoundCache;
use crate::targets::TargetGroups;
use crate::types::{EdgeConfig, Secret};
use crate::values::KeyReader;

/// Setter for a field of `T`, by the kind of the key.
pub(crate) enum FieldSetter<T> {
    /// Sets a [`ValueKind::Duration`].
    Duration(fn(&mut T, Duration)),
    /// Sets a [`ValueKind::Duration`] and warns, with this reason, if it is shorter than the minimum but not 0.
    DurationFrom((Duration, &'static str), fn(&mut T, Duration)),
    /// Sets a [`ValueKind::Integer`].
    Integer(fn(&mut T, u32)),
    /// Sets a [`ValueKind::Boolean`].
    Boolean(fn(&mut T, bool)),
    /// Sets a [`ValueKind::Word`] to one of the words of the key.
    Word(fn(&mut T, &'static str)),
    /// Sets a list of SIP response codes.
    Codes(fn(&mut T, Vec<u16>)),
    /// Sets a [`ValueKind::Secret`].
    Secret(fn(&mut T, Secret)),
    /// Sets the result of a custom reader, see [`read`](super::read).
    Read(ValueReader<T>),
}

/// Reads a value with a custom syntax and stores the result.
pub(crate) type ValueReader<T> = fn(&mut T, &mut KeyReader<'_>);

/// Configuration that readers of values refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadScope<'a> {
    /// Folder to which relative paths refer.
    pub(crate) folder: &'a Path,
    /// Settings of `[edge]`: local networks, rules for numbers, calendar.
    pub(crate) edge: &'a EdgeConfig,
    /// Sound files that the configuration has named so far.
    pub(crate) sounds: &'a SoundCache,
    /// Groups; `None` where a target cannot be a group.
    pub(crate) groups: Option<&'a TargetGroups>,
    /// Value of `allow_prefixes` in `[sms]`.
    pub(crate) texts_to: &'a [String],
}

/// Owner of the parts of a [`ReadScope`] before `[edge]` is read.
#[derive(Debug)]
pub(crate) struct EmptyScope {
    edge: EdgeConfig,
    sounds: SoundCache,
}

impl EmptyScope {
    /// Returns the parts for a configuration in a folder.
    pub(crate) fn of(folder: &Path) -> EmptyScope {
        EmptyScope { edge: EdgeConfig::default(), sounds: SoundCache::below(folder) }
    }

    /// Returns the scope; paths are relative to `folder`.
    pub(crate) fn scope<'a>(&'a self, folder: &'a Path) -> ReadScope<'a> {
        ReadScope { folder, edge: &self.edge, sounds: &self.sounds, groups: None, texts_to: &[] }
    }
}

impl<T> FieldSetter<T> {
    /// Stores a value, or reports it if it is invalid.
    fn put(&self, kind: ValueKind, to: &mut T, reader: &mut KeyReader<'_>) {
        match (self, kind) {
            (FieldSetter::Duration(set), _) => reader.duration().into_iter().for_each(|read| set(to, read)),
            (FieldSetter::DurationFrom(least, set), _) => {
                reader.duration_of(*least).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Integer(set), ValueKind::Integer(least, most)) => {
                reader.integer(least..=most).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Boolean(set), _) => reader.boolean().into_iter().for_each(|read| set(to, read)),
            (FieldSetter::Word(set), ValueKind::Word(words)) => {
                let words: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
                reader.one_of(&words).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Codes(set), ValueKind::List(ValueKind::Integer(least, most))) => {
                if let Some(read) = reader.list_items(|reader| reader.integer(*least..=*most)) {
                    set(to, read.into_iter().filter_map(|code| u16::try_from(code).ok()).collect());
                }
            }
            (FieldSetter::Secret(set), _) => reader.secret().into_iter().for_each(|read| set(to, read)),
            (FieldSetter::Read(read), _) => read(to, reader),
            // A test checks that every kind has a setter.
            (FieldSetter::Integer(_) | FieldSetter::Word(_) | FieldSetter::Codes(_), _) => {}
        }
    }
}

/// Stores the values of a section in `to`, and the default of each key that is not set.
pub(crate) fn fill<T>(
    (keys, puts): (&[ConfigKey], &[(&str, FieldSetter<T>)]),
    section: &Section<'_>,
    to: &mut T,
    findings: &mut Findings,
) {
    let scope = section.scope();
    for (name, put) in puts {
        let Some(key) = keys.iter().find(|key| key.name == *name) else { continue };
        if let AbsentMeaning::Value(default) = key.default.is
            && let Ok(value) = DeValue::parse(default)
        {
            let (value, mut unread) = (Spanned::new(0..0, value.into_inner()), Findings::default());
            put.put(key.kind, to, &mut KeyReader { key: name, value: &value, scope, findings: &mut unread });
        }
        if let Some(value) = section.get(name) {
            put.put(key.kind, to, &mut KeyReader { key: name, value, scope, findings });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::*;

    /// Returns the names of keys with a setter of the wrong kind or without an entry in the table.
    fn wrong<T>(keys: &[ConfigKey], puts: &[(&'static str, FieldSetter<T>)]) -> Vec<&'static str> {
        let fits = |name: &str, put: &FieldSetter<T>| {
            let kind = keys.iter().find(|key| key.name == name).map(|key| key.kind);
            matches!(
                (put, kind),
                (FieldSetter::Duration(_) | FieldSetter::DurationFrom(..), Some(ValueKind::Duration))
                    | (FieldSetter::Integer(_), Some(ValueKind::Integer(..)))
                    | (FieldSetter::Boolean(_), Some(ValueKind::Boolean))
                    | (FieldSetter::Word(_), Some(ValueKind::Word(_)))
                    | (FieldSetter::Codes(_), Some(ValueKind::List(ValueKind::Integer(..))))
                    | (FieldSetter::Secret(_), Some(ValueKind::Secret))
                    | (FieldSetter::Read(_), Some(_))
            )
        };
        puts.iter().filter(|(name, put)| !fits(name, put)).map(|(name, _)| *name).collect()
    }

    #[test]
    fn each_place_is_for_the_kind_of_its_key() {
        assert_eq!(wrong(TRUNK, PUT_TRUNK), [""; 0]);
        assert_eq!(wrong(SIPREC, PUT_SIPREC), [""; 0]);
        assert_eq!(wrong(AGENT, PUT_AGENT), [""; 0]);
        assert_eq!(wrong(MEDIA, PUT_MEDIA), [""; 0]);
        assert_eq!(wrong(LIMITS, PUT_LIMITS), [""; 0]);
        assert_eq!(wrong(BAN, PUT_BAN), [""; 0]);
        assert_eq!(wrong(HTTP, PUT_HTTP), [""; 0]);
        assert_eq!(wrong(LOG, PUT_LOG), [""; 0]);
        assert_eq!(wrong(CDR, PUT_CDR), [""; 0]);
        assert_eq!(wrong(RECORDING, PUT_RECORDING), [""; 0]);
        assert_eq!(wrong(HEP, PUT_HEP), [""; 0]);
        assert_eq!(wrong(ACME, PUT_ACME), [""; 0]);
        assert_eq!(wrong(OTEL, PUT_OTEL), [""; 0]);
        assert_eq!(wrong(API, PUT_API), [""; 0]);
        assert_eq!(wrong(APP, PUT_APP), [""; 0]);
        assert_eq!(wrong(RECOGNITION, PUT_RECOGNITION), [""; 0]);
        assert_eq!(wrong(TWILIO, PUT_TWILIO), [""; 0]);
        assert_eq!(wrong(SMS, PUT_SMS), [""; 0]);
        assert_eq!(wrong(REPLIES, PUT_REPLIES), [""; 0]);
    }
}
