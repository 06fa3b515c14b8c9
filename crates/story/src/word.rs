//! Static strings of views (states, reasons, codecs), read back from stored JSON.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// A static string. The alias keeps serde from borrowing it from the input.
pub type Word = &'static str;

/// Maximum number of strings read back; there are about 150.
const WORDS: usize = 1024;
/// Maximum length of a string, in bytes.
const WORD_BYTES: usize = 64;

/// Strings read back so far.
static READ: Mutex<BTreeSet<Word>> = Mutex::new(BTreeSet::new());

/// Returns a static copy of a string, made once per distinct string; `None` if the string or the number of copies is
/// too large.
fn lasting(text: &str) -> Option<Word> {
    let mut read = READ.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(word) = read.get(text) {
        return Some(word);
    }
    if text.len() > WORD_BYTES || read.len() >= WORDS {
        return None;
    }
    let word: Word = Box::leak(text.to_owned().into_boxed_str());
    read.insert(word);
    Some(word)
}

/// Deserializes a static string.
///
/// # Errors
/// The string is none of the words of a call.
pub(crate) fn one<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    lasting(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("no word of a call"))
}

/// Deserializes a static string or `null`.
///
/// # Errors
/// The string is none of the words of a call.
pub(crate) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Word>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| lasting(&text).ok_or_else(|| D::Error::custom("no word of a call"))).transpose()
}

/// Deserializes a list of static strings.
///
/// # Errors
/// A string is none of the words of a call.
pub(crate) fn many<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Word>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| lasting(text).ok_or_else(|| D::Error::custom("no word of a call"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_kept_once_and_a_long_one_not_at_all() {
        let (one, other) = (lasting("no_answer").unwrap(), lasting("no_answer").unwrap());
        assert!(std::ptr::eq(one, other));
        assert_eq!(lasting(&"x".repeat(WORD_BYTES + 1)), None);
    }
}
