//! Setters for configuration values. A key that is decided by its value alone has its setter in its line of the key
//! table; keys that depend on others have readers.

use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use toml::Spanned;
use toml::de::DeValue;
use trunkgate_route::Numbers;

use super::{Absent, Key, Kind};
use crate::diagnostic::Findings;
use crate::section::{Section, Value};
use crate::types::Secret;
use crate::values;

/// Setter for a field of `T`, by the kind of the key.
pub(crate) enum Put<T> {
    /// Sets a [`Kind::Duration`].
    Duration(fn(&mut T, Duration)),
    /// Sets a [`Kind::Duration`] and warns, with this reason, if it is shorter than the minimum but not 0.
    DurationFrom((Duration, &'static str), fn(&mut T, Duration)),
    /// Sets a [`Kind::Integer`].
    Integer(fn(&mut T, u32)),
    /// Sets a [`Kind::Boolean`].
    Boolean(fn(&mut T, bool)),
    /// Sets a [`Kind::Word`] to one of the words of the key.
    Word(fn(&mut T, &'static str)),
    /// Sets a list of SIP response codes.
    Codes(fn(&mut T, Vec<u16>)),
    /// Sets a [`Kind::Secret`].
    Secret(fn(&mut T, Secret)),
    /// Sets the result of a custom reader, see [`read`](super::read).
    Read(Reader<T>),
}

/// Reads a value with a custom syntax and stores the result.
pub(crate) type Reader<T> = fn(&mut T, &str, &Value<'_>, Around<'_>, &mut Findings);

/// Configuration that readers of values refer to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Around<'a> {
    /// Base of relative paths.
    pub(crate) folder: &'a Path,
    /// Networks that may be contacted without TLS.
    pub(crate) local_networks: &'a [IpNet],
    /// Rules to normalise phone numbers.
    pub(crate) numbers: &'a Numbers,
}

impl<T> Put<T> {
    /// Stores a value, or reports it if it is invalid.
    fn put(&self, key: &Key, value: &Value<'_>, to: &mut T, around: Around<'_>, findings: &mut Findings) {
        match (self, key.kind) {
            (Put::Duration(set), _) => {
                values::duration(key.name, value, findings).into_iter().for_each(|read| set(to, read));
            }
            (Put::DurationFrom(least, set), _) => {
                values::duration_of(key.name, value, *least, findings).into_iter().for_each(|read| set(to, read));
            }
            (Put::Integer(set), Kind::Integer(least, most)) => {
                values::integer(key.name, value, findings, least..=most).into_iter().for_each(|read| set(to, read));
            }
            (Put::Boolean(set), _) => {
                values::boolean(key.name, value, findings).into_iter().for_each(|read| set(to, read));
            }
            (Put::Word(set), Kind::Word(words)) => {
                let words: Vec<(&str, &'static str)> = words.iter().map(|word| (*word, *word)).collect();
                values::one_of(key.name, value, findings, &words).into_iter().for_each(|read| set(to, read));
            }
            (Put::Codes(set), Kind::List(Kind::Integer(least, most))) => {
                let code = |key: &str, value: &Value<'_>, findings: &mut Findings| {
                    values::integer(key, value, findings, *least..=*most)
                };
                if let Some(read) = values::list(key.name, value, findings, code) {
                    set(to, read.into_iter().filter_map(|(code, _)| u16::try_from(code).ok()).collect());
                }
            }
            (Put::Secret(set), _) => {
                values::secret(key.name, value, findings, around.folder).into_iter().for_each(|read| set(to, read));
            }
            (Put::Read(read), _) => read(to, key.name, value, around, findings),
            // A test checks that every kind has a setter.
            (Put::Integer(_) | Put::Word(_) | Put::Codes(_), _) => {}
        }
    }
}

/// Stores the values of a section in `to`, and the default of each key that is not set; `None`: all defaults.
pub(crate) fn fill<T>(
    (keys, puts): (&[Key], &[(&str, Put<T>)]),
    section: Option<&Section<'_>>,
    to: &mut T,
    around: Around<'_>,
    findings: &mut Findings,
) {
    for (name, put) in puts {
        let Some(key) = keys.iter().find(|key| key.name == *name) else { continue };
        if let Absent::Value(default) = key.default.is
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
    fn wrong<T>(keys: &[Key], puts: &[(&'static str, Put<T>)]) -> Vec<&'static str> {
        let fits = |name: &str, put: &Put<T>| {
            let kind = keys.iter().find(|key| key.name == name).map(|key| key.kind);
            matches!(
                (put, kind),
                (Put::Duration(_) | Put::DurationFrom(..), Some(Kind::Duration))
                    | (Put::Integer(_), Some(Kind::Integer(..)))
                    | (Put::Boolean(_), Some(Kind::Boolean))
                    | (Put::Word(_), Some(Kind::Word(_)))
                    | (Put::Codes(_), Some(Kind::List(Kind::Integer(..))))
                    | (Put::Secret(_), Some(Kind::Secret))
                    | (Put::Read(_), Some(_))
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
