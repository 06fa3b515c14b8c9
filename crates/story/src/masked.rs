//! Masking of SIP messages. Keys, passwords, digest responses and digits are overwritten octet by octet with `*`
//! (base64 keys with `X`, so that SDP parsers still accept them), which preserves lengths and Content-Length. Parts
//! of a body not known to be harmless are masked entirely.

mod description;
mod telling;
#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use memchr::{memchr, memchr2, memrchr};
use telling::KeywordSearch;

/// Replacement of a masked octet.
const MASK: u8 = b'*';
/// Replacement of a masked octet in base64.
const KEY_MASK: u8 = b'X';
/// Maximum nesting of multipart bodies that is parsed; deeper body parts are masked.
const DEPTH: usize = 3;
/// Digest parameters that reveal nothing (RFC 7616 §3.4); values of other parameters are masked.
const DIGEST_SHOWN: [&str; 11] =
    ["realm", "username", "username*", "userhash", "nonce", "nextnonce", "uri", "algorithm", "qop", "nc", "opaque"];
/// Maximum length of the name of an unlisted digest parameter; a longer name may be a value.
const DIGEST_NAME_CHARS: usize = 12;
/// Maximum digits of a DTMF duration in milliseconds.
const DURATION_DIGITS: usize = 5;
/// Substrings of secret header and parameter names; `postd` holds digits (RFC 3966 §3).
const SECRET_PARTS: [&str; 17] = [
    "authorization",
    "bearer",
    "jwt",
    "password",
    "passwd",
    "passcode",
    "passphrase",
    "pincode",
    "pwd",
    "secret",
    "token",
    "api-key",
    "apikey",
    "cookie",
    "credential",
    "dtmf",
    "postd",
];
/// Secret words within names, delimited by `-`, `_` and `.`; `prid` identifies the device of a push notification (RFC
/// 8599 §4.1).
const SECRET_WORDS: [&str; 9] = ["key", "pin", "pw", "pass", "auth", "body", "otp", "prid", "digits"];
/// Endings of words in names of secrets.
const SECRET_ENDS: [&str; 2] = ["key", "pin"];

/// Search for any of these words or those of an SDP: most messages have none and are scanned only once.
static TELLING: LazyLock<KeywordSearch> = LazyLock::new(|| {
    let all = [&SECRET_PARTS.map(str::as_bytes)[..], &SECRET_WORDS.map(str::as_bytes), &description::SECRET_WORDS];
    KeywordSearch::new(&all.concat())
});

/// Credential schemes that are shown; an unknown first word may itself be a credential.
const SCHEMES_SHOWN: [&str; 3] = ["basic", "bearer", "negotiate"];
/// Headers of a body part that are shown.
const PART_HEADERS: [&str; 6] = [
    "content-type",
    "content-disposition",
    "content-id",
    "content-length",
    "content-transfer-encoding",
    "content-language",
];
/// Schemes of addresses between `<` and `>`.
const SCHEMES: [&[u8]; 6] = [b"sip", b"sips", b"tel", b"http", b"https", b"mailto"];
/// Prefix of an SDES key (RFC 4568 §6.1).
const INLINE: &[u8] = b"inline";

/// Returns a case-insensitive search for the first of these words; at equal positions the first of the list wins.
fn searched<W: AsRef<[u8]>>(words: &[W]) -> Option<AhoCorasick> {
    let mut builder = AhoCorasick::builder();
    // The table is small for so few words.
    builder.kind(Some(AhoCorasickKind::DFA)).match_kind(MatchKind::LeftmostFirst);
    builder.ascii_case_insensitive(true).build(words).ok()
}

/// Returns whether a text may contain the name of a secret.
fn may_contain_secret(text: &[u8]) -> bool {
    memchr(b'%', text).is_some() || TELLING.is_in(text)
}

/// Masks a complete or truncated message in place; its length does not change.
pub fn mask(message: &mut [u8]) {
    let (whole, quiet) = (0..message.len(), !may_contain_secret(message));
    MaskedText { bytes: message, quiet }.message(whole, DEPTH);
}

/// A message that is being masked. Ranges beyond its end are empty.
struct MaskedText<'a> {
    bytes: &'a mut [u8],
    /// True if [`may_contain_secret`] returned false for the message; if so, its lines need no search.
    quiet: bool,
}

impl MaskedText<'_> {
    fn get(&self, at: &Range<usize>) -> &[u8] {
        self.bytes.get(at.clone()).unwrap_or_default()
    }

    /// Overwrites everything except white space.
    fn hide(&mut self, at: Range<usize>) {
        for byte in self.bytes.get_mut(at).unwrap_or_default() {
            if !byte.is_ascii_whitespace() {
                *byte = MASK;
            }
        }
    }

    /// Overwrites a base64 key with [`KEY_MASK`], except its padding and white space.
    fn hide_key(&mut self, at: Range<usize>) {
        for byte in self.bytes.get_mut(at).unwrap_or_default() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' => *byte = KEY_MASK,
                b'=' => {}
                _ if byte.is_ascii_whitespace() => {}
                _ => *byte = MASK,
            }
        }
    }

    /// Returns the line that begins at `from` without its terminator, and the start of the next line. A lone CR or LF
    /// also ends a line, since some parsers treat it so.
    fn line(&self, from: usize, end: usize) -> (Range<usize>, usize) {
        let rest = self.get(&(from..end));
        let Some(length) = memchr2(b'\r', b'\n', rest) else { return (from..end, end) };
        let ends = if rest.get(length..length + 2) == Some(b"\r\n") { 2 } else { 1 };
        (from..from + length, from + length + ends)
    }

    /// Returns the position of the first matching octet in a range.
    fn find(&self, at: &Range<usize>, mut is_it: impl FnMut(u8) -> bool) -> Option<usize> {
        self.get(at).iter().position(|byte| is_it(*byte)).map(|found| at.start + found)
    }

    fn trimmed(&self, at: Range<usize>) -> Range<usize> {
        let text = self.get(&at);
        let before = text.len() - text.trim_ascii_start().len();
        let length = text.trim_ascii().len();
        at.start + before..at.start + before + length
    }

    /// Masks a start line, headers and a body.
    fn message(&mut self, at: Range<usize>, depth: usize) {
        // Empty lines before a message are skipped (RFC 3261 §7.5).
        let start = self.find(&at, |byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(at.end);
        let (first, next) = self.line(start, at.end);
        self.plain(&first);
        let (kind, body) = self.headers(next..at.end);
        self.body(body, kind, depth);
    }

    /// Masks headers up to an empty line. Returns the value of Content-Type, and the range of the body.
    fn headers(&mut self, at: Range<usize>) -> (Option<Range<usize>>, Range<usize>) {
        let (mut kind, mut from) = (None, at.start);
        while from < at.end {
            let (mut line, mut next) = self.line(from, at.end);
            if line.is_empty() {
                return (kind, next..at.end);
            }
            // A folded header continues in the next line (RFC 3261 §7.3.1).
            while matches!(self.get(&(next..at.end)).first(), Some(b' ' | b'\t')) {
                let (more, after) = self.line(next, at.end);
                (line.end, next) = (more.end, after);
            }
            let said = self.header(line);
            kind = match (kind, said) {
                // Conflicting content types are not trusted.
                (Some(first), Some(said)) if self.get(&first) != self.get(&said) => Some(at.end..at.end),
                (kind, said) => kind.or(said),
            };
            from = next;
        }
        (kind, at.end..at.end)
    }

    /// Masks one header. Returns its value if it is the Content-Type.
    fn header(&mut self, line: Range<usize>) -> Option<Range<usize>> {
        let Some(colon) = memchr(b':', self.get(&line)).map(|found| line.start + found) else {
            // Not a header: the content is unknown.
            self.hide(line);
            return None;
        };
        let value = self.trimmed(colon + 1..line.end);
        let name = self.get(&(line.start..colon)).trim_ascii();
        if !self.quiet && may_contain_secret(name) {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            match &*name {
                "authorization" | "proxy-authorization" => self.credentials(value),
                "authentication-info" | "proxy-authentication-info" => self.digest(value),
                name if is_secret(name) => self.hide(value),
                _ => self.plain(&value),
            }
            return None;
        }
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let (is_type, is_packing) = (is("content-type") || is("c"), is("content-encoding") || is("e"));
        // Encoded content cannot be inspected, regardless of its type.
        if is_packing && !self.get(&value).eq_ignore_ascii_case(b"identity") {
            return Some(value.end..value.end);
        }
        self.plain(&value);
        is_type.then_some(value)
    }

    /// Masks passwords, keys and secret parameters in a header value; they may occur in any header.
    fn plain(&mut self, at: &Range<usize>) {
        self.uris(at);
        self.parameters(at);
    }

    /// Masks credentials: for Digest by parameter, for other schemes entirely.
    fn credentials(&mut self, value: Range<usize>) {
        let scheme = self.find(&value, |byte| byte.is_ascii_whitespace()).unwrap_or(value.end);
        let name = self.get(&(value.start..scheme));
        if name.eq_ignore_ascii_case(b"Digest") {
            return self.digest(scheme..value.end);
        }
        let is_known =
            scheme < value.end && SCHEMES_SHOWN.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        self.hide(if is_known { scheme } else { value.start }..value.end);
    }

    /// Masks comma-separated digest parameters. After an invalid parameter everything is masked, since other parsers
    /// may read it differently.
    fn digest(&mut self, value: Range<usize>) {
        let mut from = value.start;
        while from < value.end {
            let end = self.item(from, value.end);
            let item = self.trimmed(from..end);
            let Some(equals) = self.find(&item, |byte| byte == b'=') else {
                if !item.is_empty() {
                    return self.hide(item.start..value.end);
                }
                from = end + 1;
                continue;
            };
            let name = self.get(&self.trimmed(item.start..equals));
            let said = self.get(&self.trimmed(equals + 1..item.end));
            let shown = DIGEST_SHOWN.iter().any(|shown| name.eq_ignore_ascii_case(shown.as_bytes()));
            if !is_token(name) || !(shown || name.len() <= DIGEST_NAME_CHARS) {
                return self.hide(item.start..value.end);
            }
            if !is_token(said) && !is_quoted(said) {
                return self.hide(equals + 1..value.end);
            }
            match shown {
                // A copied Request-URI is masked like the original.
                true => {
                    let quotes = usize::from(is_quoted(said));
                    let (start, end) = (self.trimmed(equals + 1..item.end).start + quotes, item.end - quotes);
                    self.plain(&(start..end));
                }
                false => self.hide(equals + 1..item.end),
            }
            from = end + 1;
        }
    }

    /// Returns the end of an item: a comma outside quotes.
    fn item(&self, from: usize, end: usize) -> usize {
        let (mut quoted, mut escaped) = (false, false);
        for (at, byte) in self.get(&(from..end)).iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' if quoted => escaped = true,
                b'"' => quoted = !quoted,
                b',' if !quoted => return from + at,
                _ => {}
            }
        }
        end
    }

    /// Masks passwords in URIs of any scheme (RFC 3261 §19.1.1, RFC 3986 §3.2.1), and misplaced keys.
    fn uris(&mut self, at: &Range<usize>) {
        let end = self.stray_key(at);
        if at.end < self.bytes.len() && is_plain_address(self.get(at)) {
            return;
        }
        self.passwords(at.start..end);
    }

    /// Masks passwords in the words of a text.
    fn passwords(&mut self, at: Range<usize>) {
        let mut from = at.start;
        while from < at.end {
            let mut angled = false;
            let is_end = |byte: u8| {
                angled |= byte == b'<';
                byte == b'>' || byte.is_ascii_whitespace() && !angled
            };
            let word = from..self.find(&(from..at.end), is_end).unwrap_or(at.end);
            from = word.end + 1;
            self.userinfo(word);
        }
    }

    /// Masks `user:password@` in a word, from the colon to the last `@`, or to the end of a truncated text.
    fn userinfo(&mut self, word: Range<usize>) {
        let text = self.get(&word);
        let until = match memrchr(b'@', text) {
            Some(at) => at,
            None if word.end == self.bytes.len() => text.len(),
            None => return,
        };
        if has_no_password(text.get(..until).unwrap_or_default()) {
            return;
        }
        let (mut first, mut scheme, mut angle) = (None, false, None);
        for (at, byte) in text.iter().enumerate().take(until) {
            match byte {
                // A display name ends before an address.
                b'<' => (first, scheme, angle) = (None, false, Some(at)),
                b':' if first.is_some() => return self.hide(word.start + at + 1..word.start + until),
                b':' if scheme => first = Some(at),
                b':' => {}
                _ => scheme |= byte.is_ascii_alphabetic(),
            }
        }
        // An address without a scheme: its colon follows a user.
        if let (Some(colon), Some(angle)) = (first, angle)
            && let Some(scheme) = text.get(angle + 1..colon)
            && !SCHEMES.iter().any(|known| scheme.trim_ascii().eq_ignore_ascii_case(known))
        {
            self.hide(word.start + colon + 1..word.start + until);
        }
    }

    /// Masks everything after `inline:` or `inline=` in a range. Returns the start of the masked part.
    fn stray_key(&mut self, at: &Range<usize>) -> usize {
        if self.quiet {
            return at.end;
        }
        let text = self.get(at);
        let found = memchr::memchr2_iter(b'i', b'I', text).find_map(|begin| {
            let (word, behind) = text.get(begin..)?.split_at_checked(INLINE.len())?;
            let mark = behind.trim_ascii_start();
            let length = match mark {
                _ if !word.eq_ignore_ascii_case(INLINE) => return None,
                [b':' | b'=', ..] => 1,
                [b'%', b'3', b'a' | b'A' | b'd' | b'D', ..] => 3,
                _ => return None,
            };
            Some(begin + INLINE.len() + behind.len() - mark.len() + length)
        });
        let Some(from) = found.map(|found| at.start + found) else { return at.end };
        self.hide_key(from..at.end);
        from
    }

    /// Masks secret parameters: a secret name with `=` or `:` after it, also in URI escapes.
    fn parameters(&mut self, at: &Range<usize>) {
        if self.quiet || !may_contain_secret(self.get(at)) {
            return;
        }
        let mut from = at.start;
        while let Some((mark, length)) = self.separator(from..at.end) {
            from = self.parameter(from..mark, mark + length..at.end);
        }
    }

    /// Returns position and length of the next `=` or `:`, which may be a URI escape (`%3d`, `%3a`).
    fn separator(&self, at: Range<usize>) -> Option<(usize, usize)> {
        let text = self.get(&at);
        (0..text.len()).find_map(|place| match text.get(place..)? {
            [b'=' | b':', ..] => Some((at.start + place, 1)),
            [b'%', b'3', b'a' | b'A' | b'd' | b'D', ..] => Some((at.start + place, 3)),
            _ => None,
        })
    }

    /// Masks the value of a parameter with a secret name. Returns the position at which the search continues.
    fn parameter(&mut self, before: Range<usize>, value: Range<usize>) -> usize {
        let text = self.get(&before).trim_ascii_end();
        let bare = text.strip_suffix(b"\"").unwrap_or(text);
        let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'%');
        let length = bare.iter().rev().take_while(|byte| is_of_name(byte)).count();
        let (front, name) = bare.split_at(bare.len() - length);
        let of_uri = matches!(front.last(), Some(b'?' | b'&')) || name.contains(&b'%');
        let name = unescaped(name);
        // A host may be named `key`, with a port after it.
        let of_host =
            self.get(&(before.end..before.end + 1)) == b":" && bare.len() == text.len() && self.is_port(&value);
        if !(is_secret(&name) && !of_host || has_secret(&name)) {
            return value.start;
        }
        let is_body = name.ends_with("body");
        let ends = |byte: u8| match byte {
            b'>' => true,
            b'&' => !is_body,
            // A comma may be part of the value.
            b';' => !of_uri,
            _ => byte.is_ascii_whitespace(),
        };
        // The value may be on a folded line.
        let start = self.find(&value, |byte| !byte.is_ascii_whitespace()).unwrap_or(value.end);
        let (from, is_closed) = match self.get(&(start..value.end)).first().copied() {
            Some(quote @ (b'"' | b'\'')) => {
                let close = self.closing(start + 1..value.end, quote);
                self.hide(start + 1..close);
                ((close + 1).min(value.end), true)
            }
            _ => (start, false),
        };
        let is_over = is_closed && !of_uri && self.get(&(from..value.end)).first() == Some(&b',');
        let end = if is_over { from } else { self.find(&(from..value.end), ends).unwrap_or(value.end) };
        self.hide(from..end);
        end
    }

    /// Returns whether a parameter's value is only a port number.
    fn is_port(&self, value: &Range<usize>) -> bool {
        let text = self.get(value);
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        (1..=5).contains(&digits) && text.get(digits).is_none_or(|byte| !byte.is_ascii_alphanumeric())
    }

    /// Returns the position of the closing quotation mark.
    fn closing(&self, at: Range<usize>, quote: u8) -> usize {
        let mut escaped = false;
        let closes = |byte: &u8| {
            let closes = !escaped && *byte == quote;
            escaped = !escaped && *byte == b'\\';
            closes
        };
        self.get(&at).iter().position(closes).map_or(at.end, |found| at.start + found)
    }

    /// Masks a body by its content type.
    fn body(&mut self, at: Range<usize>, kind: Option<Range<usize>>, depth: usize) {
        let value = kind.map(|kind| self.get(&kind).to_vec()).unwrap_or_default();
        let media = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match &*media {
            b"application/sdp" => self.description(at),
            b"" if self.get(&at).starts_with(b"v=") => self.description(at),
            b"application/dtmf-relay" => self.relayed_keys(at),
            b"message/sipfrag" if depth > 0 && is_start_line(self.get(&self.line(at.start, at.end).0)) => {
                self.message(at, depth - 1);
            }
            _ if media.starts_with(b"multipart/") && depth > 0 => self.parts(at, &value, depth - 1),
            _ => self.hide(at),
        }
    }

    /// Masks the parts of a multipart body, each with its own headers (RFC 2046 §5.1). Preamble and epilogue are
    /// masked.
    fn parts(&mut self, at: Range<usize>, kind: &[u8], depth: usize) {
        let Some(delimiter) = boundary(kind).map(|boundary| [b"--", boundary].concat()) else { return self.hide(at) };
        let (mut begins, mut from) = (None, at.start);
        while from < at.end {
            let (line, next) = self.line(from, at.end);
            if self.get(&line).starts_with(&delimiter) {
                match begins {
                    None => self.hide(at.start..from),
                    Some(begins) => self.part(begins..from, depth),
                }
                let behind = line.start + delimiter.len();
                let closes = self.get(&(behind..line.end)).starts_with(b"--");
                self.hide(behind + if closes { 2 } else { 0 }..line.end);
                if closes {
                    return self.hide(next..at.end);
                }
                begins = Some(next);
            }
            from = next;
        }
        match begins {
            None => self.hide(at),
            Some(begins) => self.part(begins..at.end, depth),
        }
    }

    /// Masks one part of a multipart body; only known part headers are shown.
    fn part(&mut self, at: Range<usize>, depth: usize) {
        let (mut from, mut shown) = (at.start, false);
        loop {
            if from >= at.end {
                // No end of headers: the text may be a body.
                return self.hide(at);
            }
            let (line, next) = self.line(from, at.end);
            let text = self.get(&line);
            match text.first() {
                None => break,
                Some(b' ' | b'\t') => {}
                Some(_) => {
                    let name = text.split(|byte| *byte == b':').next().unwrap_or_default().trim_ascii();
                    shown = PART_HEADERS.iter().any(|header| name.eq_ignore_ascii_case(header.as_bytes()));
                }
            }
            if !shown {
                self.hide(line);
            }
            from = next;
        }
        match self.headers(at) {
            (Some(kind), body) => self.body(body, Some(kind), depth),
            (None, body) => self.hide(body),
        }
    }

    /// Masks a DTMF relay body such as `Signal=5`, `Duration=160`; the duration is not a secret.
    fn relayed_keys(&mut self, at: Range<usize>) {
        let mut seen = false;
        self.each_line(at, |text, line| {
            let equals = text.find(&line, |byte| byte == b'=');
            let name = equals.map(|equals| text.get(&(line.start..equals)).trim_ascii().to_ascii_lowercase());
            match (equals, name.as_deref()) {
                (Some(equals), Some(b"duration")) => {
                    let value = text.get(&(equals + 1..line.end)).trim_ascii();
                    let shown = !seen && value.len() <= DURATION_DIGITS && value.iter().all(u8::is_ascii_digit);
                    seen = true;
                    if !shown {
                        text.hide(equals + 1..line.end);
                    }
                }
                (Some(equals), Some(b"signal")) => text.hide(equals + 1..line.end),
                _ => text.hide(line),
            }
        });
    }

    fn each_line(&mut self, at: Range<usize>, mut act: impl FnMut(&mut MaskedText<'_>, Range<usize>)) {
        let mut from = at.start;
        while from < at.end {
            let (line, next) = self.line(from, at.end);
            act(self, line);
            from = next;
        }
    }
}

/// Returns whether a value cannot contain a password, however it is split into words: the usual case, without a look
/// at each octet.
fn is_plain_address(text: &[u8]) -> bool {
    let Some(at) = memrchr(b'@', text) else { return true };
    text.get(..at).is_some_and(has_no_password)
}

/// Returns whether the text before an `@` is at most a scheme, one colon and a user.
fn has_no_password(head: &[u8]) -> bool {
    let Some(colon) = memchr(b':', head) else { return true };
    if memchr(b':', head.get(colon + 1..).unwrap_or_default()).is_some() {
        return false;
    }
    let Some(angle) = memrchr(b'<', head) else { return true };
    // If the last address begins after the colon, the colon belongs to another one.
    let scheme = head.get(angle + 1..colon).map(<[u8]>::trim_ascii);
    scheme.is_some_and(|scheme| SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)))
}

fn has_secret(name: &str) -> bool {
    SECRET_PARTS.iter().any(|part| name.contains(part))
}

/// Returns whether the name of a header or parameter, in lower case, is that of a secret.
pub(crate) fn is_secret(name: &str) -> bool {
    let is_telling = |word: &str| SECRET_WORDS.contains(&word) || SECRET_ENDS.iter().any(|end| word.ends_with(end));
    has_secret(name) || name.split(|char: char| !char.is_ascii_alphanumeric()).any(is_telling)
}

/// Returns a name in lower case with URI escapes decoded.
fn unescaped(name: &[u8]) -> String {
    let (mut text, mut rest) = (String::new(), name);
    while let Some((first, behind)) = rest.split_first() {
        let code = behind.get(..2).filter(|_| *first == b'%').and_then(|code| std::str::from_utf8(code).ok());
        let octet = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        text.push(char::from(octet.unwrap_or(*first)).to_ascii_lowercase());
        rest = if octet.is_some() { behind.get(2..).unwrap_or_default() } else { behind };
    }
    text
}

/// Returns whether a text is a token (RFC 3261 §25.1).
fn is_token(text: &[u8]) -> bool {
    let is_of_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(byte);
    !text.is_empty() && text.iter().all(is_of_token)
}

/// Returns whether a text is a single quoted string.
fn is_quoted(text: &[u8]) -> bool {
    let Some(inside) = text.strip_prefix(b"\"").and_then(|text| text.strip_suffix(b"\"")) else { return false };
    let mut bytes = inside.iter();
    while let Some(byte) = bytes.next() {
        if *byte == b'"' || (*byte == b'\\' && bytes.next().is_none()) {
            return false;
        }
    }
    true
}

/// Returns whether a line is a request line or status line (RFC 3261 §7).
fn is_start_line(line: &[u8]) -> bool {
    let words: Vec<&[u8]> = line.splitn(3, |byte| *byte == b' ').collect();
    match &*words {
        [b"SIP/2.0", code, _] => code.len() == 3 && code.iter().all(u8::is_ascii_digit),
        [method, uri, b"SIP/2.0"] => method.iter().all(u8::is_ascii_uppercase) && uri.contains(&b':'),
        _ => false,
    }
}

/// Returns the boundary of a Content-Type.
fn boundary(kind: &[u8]) -> Option<&[u8]> {
    let mut parameters = kind.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    let named =
        parameters.find(|parameter| parameter.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"boundary=")))?;
    let value = named.get(9..)?.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(bare.unwrap_or(value)).filter(|value| !value.is_empty())
}
