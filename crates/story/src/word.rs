//! Words of views (states, reasons, codecs), which the edge writes as static texts, read back from JSON that it has stored.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// A word. The alias keeps serde from borrowing it from what is read.
pub type Word = &'static str;

/// Words that are read back, in all: there are about 150.
const WORDS: usize = 1024;
/// Longest word, in bytes.
const WORD_BYTES: usize = 64;

/// Words that were read back so far.
static READ: Mutex<BTreeSet<Word>> = Mutex::new(BTreeSet::new());

/// Returns a word that lasts as long as the process.
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

/// Reads a word.
pub(crate) fn one<'de, D: Deserializer<'de>>(from: D) -> Result<Word, D::Error> {
    lasting(&String::deserialize(from)?).ok_or_else(|| D::Error::custom("no word of a call"))
}

/// Reads a word or `null`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Word>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    text.map(|text| lasting(&text).ok_or_else(|| D::Error::custom("no word of a call"))).transpose()
}

/// Reads a list of words.
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
