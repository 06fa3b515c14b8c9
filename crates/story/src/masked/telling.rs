//! The one search that each message goes through before it is kept: most have no word that tells of a secret, so it is this
//! search that has to be quick.

use aho_corasick::AhoCorasick;
use aho_corasick::packed::Searcher;
use memchr::memmem::Finder;

use super::searched;

/// Octets of a word by which its place is found quickly; one of fewer is searched for by itself.
const FINGERPRINT: usize = 3;

/// Finds out whether one of many words is in a text, in any case.
pub(super) struct Telling {
    /// Words of [`FINGERPRINT`] octets and more, sixteen octets and more of a text in small letters at a step; `None` where the processor
    /// has no such steps.
    quick: Option<Searcher>,
    /// The shorter ones.
    short: Vec<Finder<'static>>,
    /// Octet by octet.
    plain: Option<AhoCorasick>,
}

impl Telling {
    /// Of words in small letters.
    pub(super) fn new(words: &[&[u8]]) -> Telling {
        // Where `key` is found nobody need look for `apikey`.
        let has_other = |word: &[u8]| words.iter().any(|other| *other != word && has(word, other));
        let least = || words.iter().filter(|word| !has_other(word));
        let (long, short): (Vec<&[u8]>, Vec<&[u8]>) = least().partition(|word| word.len() >= FINGERPRINT);
        let quick = Searcher::new(long);
        let plain = if quick.is_none() { searched(words) } else { None };
        Telling { quick, short: short.into_iter().map(|word| Finder::new(word).into_owned()).collect(), plain }
    }

    /// Whether one is there; `true` where that cannot be found out.
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

fn has(text: &[u8], word: &[u8]) -> bool {
    memchr::memmem::find(text, word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_find_the_same() {
        let words: [&[u8]; 5] = [b"api-key", b"key", b"pw", b"auth:", b"inline"];
        let quick = Telling::new(&words);
        let plain = Telling { quick: None, short: Vec::new(), plain: searched(&words) };
        let none = Telling { quick: None, short: Vec::new(), plain: None };
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
