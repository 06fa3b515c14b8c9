//! Setters for configuration values. A key that is decided by its value alone has its setter in its line of the key
//! table; keys that depend on others have readers.

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;
use trunkgate_route::NumberingPlan;

use super::{AbsentMeaning, ConfigKey, ValueKind};
use crate::diagnostic::Findings;
use crate::section::{Section, SpannedValue};
use crate::types::Secret;
use crate::values;

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
pub(crate) type ValueReader<T> = fn(&mut T, &str, &SpannedValue<'_>, ReadScope<'_>, &mut Findings);

/// Configuration that readers of values refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReadScope<'a> {
    /// Base of relative paths.
    pub(crate) folder: &'a Path,
    /// Networks that may be contacted without TLS.
    pub(crate) local_networks: &'a [IpNet],
    /// Rules to normalise phone numbers.
    pub(crate) numbers: &'a NumberingPlan,
}

impl<T> FieldSetter<T> {
    /// Stores a value, or reports it if it is invalid.
    fn put(
        &self,
        key: &ConfigKey,
        value: &SpannedValue<'_>,
        to: &mut T,
        around: ReadScope<'_>,
        findings: &mut Findings,
    ) {
        match (self, key.kind) {
            (FieldSetter::Duration(set), _) => {
                values::duration(key.name, value, findings).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::DurationFrom(least, set), _) => {
                values::duration_of(key.name, value, *least, findings).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Integer(set), ValueKind::Integer(least, most)) => {
                values::integer(key.name, value, findings, least..=most).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Boolean(set), _) => {
                values::boolean(key.name, value, findings).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Word(set), ValueKind::Word(words)) => {
                let words: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
                values::one_of(key.name, value, findings, &words).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Codes(set), ValueKind::List(ValueKind::Integer(least, most))) => {
                let code = |key: &str, value: &SpannedValue<'_>, findings: &mut Findings| {
                    values::integer(key, value, findings, *least..=*most)
                };
                if let Some(read) = values::list(key.name, value, findings, code) {
                    set(to, read.into_iter().filter_map(|(code, _)| u16::try_from(code).ok()).collect());
                }
            }
            (FieldSetter::Secret(set), _) => {
                values::secret(key.name, value, findings, around.folder).into_iter().for_each(|read| set(to, read));
            }
            (FieldSetter::Read(read), _) => read(to, key.name, value, around, findings),
            // A test checks that every kind has a setter.
            (FieldSetter::Integer(_) | FieldSetter::Word(_) | FieldSetter::Codes(_), _) => {}
        }
    }
}

/// Stores the values of a section in `to`, and the default of each key that is not set; without a section, stores all
/// defaults.
pub(crate) fn fill<T>(
    (keys, puts): (&[ConfigKey], &[(&str, FieldSetter<T>)]),
    section: Option<&Section<'_>>,
    to: &mut T,
    around: ReadScope<'_>,
    findings: &mut Findings,
) {
    for (name, put) in puts {
        let Some(key) = keys.iter().find(|key| key.name == *name) else { continue };
        if let AbsentMeaning::Value(default) = key.default.is
            && let Ok(value) = DeValue::parse(default)
        {
            put.put(key, &Spanned::new(0..0, value.into_inner()), to, around, &mut Findings::default());
        }
        if let Some(value) = section.and_then(|section| section.get(name)) {
            put.put(key, value, to, around, findings);
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
