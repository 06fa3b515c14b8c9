//! Secrets in a value that may be an address. URLs are read by the URL standard (WHATWG), as the crate `url` does:
//! with missing, extra or reversed slashes, line breaks inside, and character references.

use std::ops::Range;

use super::document::{RedactedRange, SECTION, SECTION_END};

/// Characters that end host and port of a URL.
pub(super) const PATH_BEGINS: [char; 3] = ['/', '?', '#'];
/// Characters that precede an authority.
pub(super) const SLASHES: [char; 2] = ['/', '\\'];
/// Schemes with an authority after any number of slashes.
const SPECIAL: [&str; 6] = ["http", "https", "ws", "wss", "ftp", "file"];
/// Maximum length of a scheme, in characters.
const SCHEME_CHARS: usize = 32;
/// Named character references of HTML that may hide part of an address.
const NAMED: [(&str, char); 13] = [
    ("commat", '@'),
    ("colon", ':'),
    ("sol", '/'),
    ("bsol", '\\'),
    ("quest", '?'),
    ("num", '#'),
    ("semi", ';'),
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
];

/// Start of an address.
enum AddressStart {
    /// Authority of a URL, with the offset of the slashes before it.
    Authority(usize),
    /// Path on the document's host.
    Path,
    /// User of a SIP address.
    User,
}

/// Returns the secret parts of a value: user information and query of a URL, and the password of a SIP address. The
/// value is given as pieces of its document.
pub(super) fn secrets(document: &str, value: &[Range<usize>]) -> Vec<RedactedRange> {
    let mut rest = Characters { document, pieces: value, at: 0 };
    match rest.begin() {
        Some(AddressStart::Authority(from)) => rest.secrets_of_authority(from),
        Some(AddressStart::Path) => rest.query(&['?'], 0).into_iter().collect(),
        Some(AddressStart::User) => rest.password().into_iter().collect(),
        None => Vec::new(),
    }
}

/// Returns whether host and port are invalid: they belong to a password with an unescaped `/`, `?` or `#`.
pub(super) fn is_broken(host: &str) -> bool {
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|_| !host.starts_with('['));
    port.is_some_and(|port| port.is_empty() || port.bytes().any(|byte| !byte.is_ascii_digit()))
}

/// A character of a value, with its range in the document.
struct Character {
    sign: char,
    at: Range<usize>,
}

/// Characters of a value from an offset, with references resolved. Tabs and line breaks, which the standard ignores,
/// are omitted.
#[derive(Clone)]
struct Characters<'a> {
    document: &'a str,
    /// Pieces not completely read yet.
    pieces: &'a [Range<usize>],
    at: usize,
}

impl Iterator for Characters<'_> {
    type Item = Character;

    fn next(&mut self) -> Option<Character> {
        loop {
            let piece = self.pieces.first()?;
            let from = self.at.max(piece.start);
            let Some((sign, length)) = self.document.get(from..piece.end).and_then(first_character) else {
                self.pieces = self.pieces.get(1..).unwrap_or_default();
                continue;
            };
            self.at = from + length;
            if let Some(sign) = sign.filter(|sign| !matches!(sign, '\t' | '\n' | '\r')) {
                return Some(Character { sign, at: from..self.at });
            }
        }
    }
}

impl Characters<'_> {
    /// Skips matching characters. Returns their number.
    fn pass_over(&mut self, is_so: impl Fn(char) -> bool) -> usize {
        let mut count = 0;
        loop {
            let mut ahead = self.clone();
            if !ahead.next().is_some_and(|character| is_so(character.sign)) {
                return count;
            }
            *self = ahead;
            count += 1;
        }
    }

    /// Reads the start of an address up to its first part with a secret; `None` if the value is not an address.
    fn begin(&mut self) -> Option<AddressStart> {
        self.pass_over(|sign| sign.is_whitespace() || sign.is_control());
        let (mut ahead, mut scheme) = (self.clone(), String::new());
        let has_scheme = loop {
            match ahead.next()?.sign {
                ':' => break true,
                sign if scheme.len() < SCHEME_CHARS && (sign.is_ascii_alphanumeric() || "+-.".contains(sign)) => {
                    scheme.push(sign.to_ascii_lowercase());
                }
                _ => break false,
            }
        };
        if has_scheme {
            *self = ahead;
        }
        let first = self.clone().next()?;
        match (has_scheme, scheme.as_str()) {
            (true, "sip" | "sips") => Some(AddressStart::User),
            (true, special) if SPECIAL.contains(&special) => {
                self.pass_over(|sign| SLASHES.contains(&sign));
                Some(AddressStart::Authority(first.at.start))
            }
            (has_scheme, _) => match self.pass_over(|sign| SLASHES.contains(&sign)) {
                0 => None,
                1 => (!has_scheme && first.sign == '/').then_some(AddressStart::Path),
                _ => Some(AddressStart::Authority(first.at.start)),
            },
        }
    }

    /// Returns user information and query of an address with an authority. `from` is the offset of the slashes before
    /// it.
    fn secrets_of_authority(self, from: usize) -> Vec<RedactedRange> {
        let (mut host, mut is_over) = (String::new(), false);
        // Ends of the last `@` in the authority, and in the whole value.
        let (mut user, mut last) = (None, None);
        for Character { sign, at } in self.clone() {
            is_over |= PATH_BEGINS.contains(&sign);
            match sign {
                '@' if is_over => last = Some(at.end),
                '@' => {
                    (user, last) = (Some(at.end), Some(at.end));
                    host.clear();
                }
                _ if !is_over => host.push(sign),
                _ => {}
            }
        }
        let user = if is_broken(host.trim()) { last } else { user };
        let query = self.query(&['?', '#'], user.unwrap_or(from));
        user.map(|end| RedactedRange { at: from..end, shown: "//" }).into_iter().chain(query).collect()
    }

    /// Returns the query: from the first of the characters `signs` after an offset to the end, including white space.
    fn query(self, signs: &[char], behind: usize) -> Option<RedactedRange> {
        let mut rest = self.skip_while(|character| character.at.start < behind || !signs.contains(&character.sign));
        let first = rest.next()?.at;
        let last = rest.filter(|character| !character.sign.is_whitespace()).last();
        Some(RedactedRange { at: first.start..last.map_or(first.end, |last| last.at.end), shown: "" })
    }

    /// Returns the password of a SIP address with its colon, and the parameters of its user. `None` without an `@` or a
    /// password.
    fn password(self) -> Option<RedactedRange> {
        let (mut from, mut until) = (None, None);
        for Character { sign, at } in self {
            match sign {
                '@' => until = Some(at.start),
                ':' | ';' if until.is_none() => from = from.or(Some(at.start)),
                _ if until.is_some() && sign.is_whitespace() => break,
                _ => {}
            }
        }
        Some(RedactedRange { at: from?..until?, shown: "" })
    }
}

/// Returns the first character of a text with its length in bytes; no character for a section marker.
fn first_character(text: &str) -> Option<(Option<char>, usize)> {
    let sign = text.chars().next()?;
    let found = match sign {
        '&' => reference(text).map(|(sign, length)| (Some(sign), length)),
        '<' | ']' => {
            let mark = [SECTION, SECTION_END].into_iter().find(|mark| text.starts_with(mark));
            mark.map(|mark| (None, mark.len()))
        }
        _ => None,
    };
    Some(found.unwrap_or((Some(sign), sign.len_utf8())))
}

/// Returns the character of a reference at the start of a text, and the length of the reference. `None` if the text
/// begins with no complete reference.
fn reference(text: &str) -> Option<(char, usize)> {
    let inside = text.strip_prefix('&')?;
    let Some(number) = inside.strip_prefix('#') else {
        return NAMED.iter().find_map(|&(name, sign)| {
            inside.strip_prefix(name)?.strip_prefix(';')?;
            Some((sign, name.len() + 2))
        });
    };
    let (digits, radix) = number.strip_prefix(['x', 'X']).map_or((number, 10), |digits| (digits, 16));
    let length = digits.bytes().take_while(|byte| char::from(*byte).is_digit(radix)).count();
    let (written, behind) = digits.split_at_checked(length)?;
    let sign = u32::from_str_radix(written.trim_start_matches('0'), radix).ok().and_then(char::from_u32)?;
    let behind = behind.strip_prefix(';').unwrap_or(behind);
    Some((sign, text.len() - behind.len()))
}
