//! Fast search for words of secrets, applied to each message before it is kept: most messages have none, so that this
//! search determines the cost.

use aho_corasick::AhoCorasick;
use aho_corasick::packed::Searcher;
use memchr::memmem::Finder;

use super::searched;

/// Minimum length of words for the fast search; shorter words are searched one by one.
const FINGERPRINT: usize = 3;

/// Case-insensitive search for any of many words.
pub(super) struct KeywordSearch {
    /// Search for words of at least [`FINGERPRINT`] octets, at least sixteen octets of lower-case text per step;
    /// `None`: the processor lacks the instructions.
    quick: Option<Searcher>,
    /// Searches for words shorter than [`FINGERPRINT`].
    short: Vec<Finder<'static>>,
    /// Fallback search, octet by octet, if the processor lacks the instructions.
    plain: Option<AhoCorasick>,
}

impl KeywordSearch {
    /// Returns a search for words in lower case.
    pub(super) fn new(words: &[&[u8]]) -> KeywordSearch {
        // A word that contains another one needs no search: `key` also finds `apikey`.
        let has_other = |word: &[u8]| words.iter().any(|other| *other != word && contains_word(word, other));
        let least = || words.iter().filter(|word| !has_other(word));
        let (long, short): (Vec<&[u8]>, Vec<&[u8]>) = least().partition(|word| word.len() >= FINGERPRINT);
        let quick = Searcher::new(long);
        let plain = if quick.is_none() { searched(words) } else { None };
        KeywordSearch { quick, short: short.into_iter().map(|word| Finder::new(word).into_owned()).collect(), plain }
    }

    /// Returns whether a word occurs in the text; `true` if the search is unavailable.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        match (&self.quick, &self.plain) {
            (Some(quick), _) => {
                let text = text.to_ascii_lowercase();
                quick.find(&text).is_some() || self.short.iter().any(|word| word.find(&text).is_some())
            }
            (None, Some(plain)) => plain.is_match(text),
            (None, None) => true,
        }
    }
}

fn contains_word(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let words: [&[u8]; 5] = [b"api-key", b"key", b"pw", b"auth:", b"inline"];
        let quick = KeywordSearch::new(&words);
        let plain = KeywordSearch { quick: None, short: Vec::new(), plain: searched(&words) };
        let none = KeywordSearch { quick: None, short: Vec::new(), plain: None };
        let front = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK ";
        for (word, is_there) in [
            ("Key", true),
            ("PW", true),
            ("auth", false),
            ("AUTH:", true),
            ("InLine", true),
            ("inlin", false),
            ("", false),
        ] {
            for before in 0..=front.len() {
                for behind in ["", " a word behind it that is none of them"] {
                    let text = [&front[..before], word, behind].concat();
                    assert_eq!(quick.is_in(text.as_bytes()), is_there, "{text}");
                    assert_eq!(plain.is_in(text.as_bytes()), is_there, "{text}");
                    assert!(none.is_in(text.as_bytes()));
                }
            }
        }
    }
}
