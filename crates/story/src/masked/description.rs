//! Masking of session descriptions.

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::{MaskedText, searched};

/// Secret words in attributes: everything after one is masked (except known-harmless parts of `crypto`). A capability
/// contains other attributes (RFC 5939 §3.4.1), and a colon may be missing.
pub(super) const SECRET_WORDS: [&[u8]; 17] = [
    b"key-mgmt",
    b"mikey",
    b"crypto",
    b"inline",
    b"base64",
    b"password",
    b"passwd",
    b"pwd",
    b"secret",
    b"token",
    b"prompt",
    b"clear:",
    b"key",
    b"authorization",
    b"pass",
    b"auth:",
    b"pin:",
];
/// Secret words in lines other than attributes, in which more words are harmless.
pub(super) const KEY_WORDS: [&[u8]; 5] = [b"key-mgmt", b"mikey", b"crypto", b"inline", b"base64"];
/// Secret words, and a compiled search for the first of them in a line.
type KeywordSet = (&'static [&'static [u8]], Option<AhoCorasick>);

static OF_ATTRIBUTES: LazyLock<KeywordSet> = LazyLock::new(|| (&SECRET_WORDS, searched(&SECRET_WORDS)));
static OF_OTHERS: LazyLock<KeywordSet> = LazyLock::new(|| (&KEY_WORDS, searched(&KEY_WORDS)));
/// Key methods of `k=` (RFC 4566 §5.12).
const KEY_METHODS: [&[u8]; 4] = [b"clear", b"base64", b"uri", b"prompt"];
/// Crypto suites, by the registry of RFC 4568 §10.3.2.1.
const SUITES: [&[u8]; 16] = [
    b"AES_CM_128_HMAC_SHA1_80",
    b"AES_CM_128_HMAC_SHA1_32",
    b"F8_128_HMAC_SHA1_80",
    b"AES_192_CM_HMAC_SHA1_80",
    b"AES_192_CM_HMAC_SHA1_32",
    b"AES_256_CM_HMAC_SHA1_80",
    b"AES_256_CM_HMAC_SHA1_32",
    b"AES_CM_192_HMAC_SHA1_80",
    b"AES_CM_192_HMAC_SHA1_32",
    b"AES_CM_256_HMAC_SHA1_80",
    b"AES_CM_256_HMAC_SHA1_32",
    b"AEAD_AES_128_GCM",
    b"AEAD_AES_256_GCM",
    b"SEED_CTR_128_HMAC_SHA1_80",
    b"SEED_128_CCM_80",
    b"SEED_128_GCM_96",
];
/// Session parameters of a crypto attribute that have no value (RFC 4568 §6.3).
const SESSION_PARAMETERS: [&[u8]; 3] = [b"UNENCRYPTED_SRTP", b"UNENCRYPTED_SRTCP", b"UNAUTHENTICATED_SRTP"];
/// Maximum digits of the tag of a crypto attribute (RFC 4568 §9.2).
const TAG_DIGITS: usize = 9;
/// Maximum length of a lifetime after a key, with an MKI: `|2^48|4294967295:128`.
const LIFETIME_CHARS: usize = 20;

impl MaskedText<'_> {
    /// Masks a session description (RFC 8866): keys of SDES (RFC 4568), MIKEY (RFC 4567), `k=` and ICE.
    pub(super) fn description(&mut self, at: Range<usize>) {
        self.each_line(at, |text, line| {
            let shape = (text.get(&line).first().copied(), text.get(&line).get(1).copied());
            match shape {
                (Some(b'k' | b'K'), Some(b'=')) => text.key_line(line),
                (Some(b'a' | b'A'), Some(b'=')) => text.secrets(line, &OF_ATTRIBUTES),
                (Some(kind), Some(b'=')) if kind.is_ascii_alphabetic() => text.secrets(line, &OF_OTHERS),
                (None, _) => {}
                // Not a line of a session description.
                _ => text.hide(line),
            }
        });
    }

    /// Masks `k=base64:…` except a known method.
    fn key_line(&mut self, line: Range<usize>) {
        let from = line.start + 2;
        let ends = self.find(&(from..line.end), |byte| matches!(byte, b':' | b' ' | b'\t'));
        let method =
            |end: &usize| KEY_METHODS.iter().any(|method| self.get(&(from..*end)).eq_ignore_ascii_case(method));
        let hidden = ends.filter(method).map_or(from, |end| end + 1);
        self.hide(hidden..line.end);
    }

    /// Masks everything after the first secret word in a line.
    fn secrets(&mut self, line: Range<usize>, words: &KeywordSet) {
        if self.quiet {
            return self.plain(&line);
        }
        let text = self.get(&line);
        let found = words.1.as_ref().map(|searched| searched.find(text));
        let Some(found) = found else { return self.hide(line) };
        let word =
            found.and_then(|found| Some((line.start + found.start(), *words.0.get(found.pattern().as_usize())?)));
        let Some((at, word)) = word else { return self.plain(&line) };
        let behind = at + word.len();
        let separated = matches!(self.get(&(behind..line.end)).first(), Some(b':' | b'=' | b' ' | b'\t'));
        let value = behind + usize::from(separated)..line.end;
        match word {
            b"crypto" if separated => self.crypto(value),
            b"crypto" | b"inline" => self.hide_key(value),
            _ => self.hide(value),
        }
        self.plain(&(line.start..at));
    }

    /// Masks a crypto attribute except valid tag, suite and session parameters, and lifetime and MKI after a key.
    fn crypto(&mut self, value: Range<usize>) {
        let (mut from, mut number) = (value.start, 0);
        while let Some(start) = self.find(&(from..value.end), |byte| !byte.is_ascii_whitespace()) {
            from = self.find(&(start..value.end), |byte| byte.is_ascii_whitespace()).unwrap_or(value.end);
            let word = self.get(&(start..from));
            let shown = match number {
                0 => word.len() <= TAG_DIGITS && word.iter().all(u8::is_ascii_digit),
                1 => SUITES.contains(&word),
                2 => false,
                _ => is_session_parameter(word),
            };
            match number {
                _ if shown => {}
                0 | 1 => self.hide_key(start..from),
                _ => self.keys(start..from),
            }
            number += 1;
        }
    }

    /// Masks keys in `inline:KEY|LIFETIME|MKI;inline:…`.
    fn keys(&mut self, word: Range<usize>) {
        let mut from = word.start;
        while from < word.end {
            let end = self.find(&(from..word.end), |byte| byte == b';').unwrap_or(word.end);
            let method = self.get(&(from..end)).get(..7).is_some_and(|begin| begin.eq_ignore_ascii_case(b"inline:"));
            let key = if method { from + 7 } else { from };
            let until = self.find(&(key..end), |byte| byte == b'|').unwrap_or(end);
            let behind = self.get(&(until..end));
            let of_lifetime = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'|' | b':' | b'^');
            let shown = method && until > key && behind.len() <= LIFETIME_CHARS && behind.iter().all(of_lifetime);
            self.hide_key(key..if shown { until } else { end });
            from = end + 1;
        }
    }
}

/// Returns whether a word is a valid session parameter: `KDR=3`, `WSH=64`, or one without a value.
fn is_session_parameter(word: &[u8]) -> bool {
    let value = word.strip_prefix(b"KDR=").or_else(|| word.strip_prefix(b"WSH="));
    SESSION_PARAMETERS.contains(&word)
        || value.is_some_and(|value| value.len() <= 4 && value.iter().all(u8::is_ascii_digit))
}
