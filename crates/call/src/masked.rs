//! What of a message may be shown: keys, passwords, digest responses and digits are overwritten, each octet by a `*` (of a key
//! in base64 by an `X`, which readers of descriptions can decode), so that its length and its Content-Length stay true. What is not known to be harmless in a body is hidden as a whole.

mod description;
#[cfg(test)]
mod tests;

use std::ops::Range;

/// What stands in place of each octet that is not shown.
const MASK: u8 = b'*';
/// The same in base64.
const KEY_MASK: u8 = b'X';
/// Parts of a multipart body inside of others that are looked into; what is deeper is hidden.
const DEPTH: usize = 3;
/// Parameters of a digest that give nothing away (RFC 7616 §3.4): of others in such a header the value is hidden.
const DIGEST_SHOWN: [&str; 11] =
    ["realm", "username", "username*", "userhash", "nonce", "nextnonce", "uri", "algorithm", "qop", "nc", "opaque"];
/// Headers with these in their names are hidden.
const SECRET_HEADERS: [&str; 10] =
    ["authorization", "password", "passwd", "secret", "token", "api-key", "apikey", "cookie", "credential", "dtmf"];
/// Parameters with these in their names are hidden, in any header and description; `postd` are digits (RFC 3966 §3).
const SECRET_PARAMETERS: [&str; 9] =
    ["authorization", "password", "passwd", "pwd", "secret", "token", "api-key", "apikey", "postd"];
/// Parameters of just these names too.
const SECRET_NAMES: [&str; 3] = ["key", "pin", "pw"];
/// How a key is announced (RFC 4568 §6.1).
const INLINE: &[u8] = b"inline";

/// A message, or the beginning of one, as it may be shown: as long as it was.
pub(crate) fn masked(message: &[u8]) -> Vec<u8> {
    let mut text = Text(message.to_vec());
    let whole = 0..message.len();
    text.message(whole, DEPTH);
    text.0
}

/// A message that is being gone through. Ranges beyond its end are empty.
struct Text(Vec<u8>);

impl Text {
    fn get(&self, at: &Range<usize>) -> &[u8] {
        self.0.get(at.clone()).unwrap_or_default()
    }

    /// Overwrites what is no white space.
    fn hide(&mut self, at: Range<usize>) {
        for byte in self.0.get_mut(at).unwrap_or_default() {
            if !byte.is_ascii_whitespace() {
                *byte = MASK;
            }
        }
    }

    /// Overwrites a key; its padding stays.
    fn hide_key(&mut self, at: Range<usize>) {
        for byte in self.0.get_mut(at).unwrap_or_default() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'+' | b'/' => *byte = KEY_MASK,
                b'=' => {}
                _ if byte.is_ascii_whitespace() => {}
                _ => *byte = MASK,
            }
        }
    }

    /// Where the line that begins at `from` ends, without its end and with it. A lone CR or LF ends one too: who reads it
    /// may think so.
    fn line(&self, from: usize, end: usize) -> (Range<usize>, usize) {
        let rest = self.get(&(from..end));
        let Some(length) = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else { return (from..end, end) };
        let ends = if rest.get(length..length + 2) == Some(b"\r\n") { 2 } else { 1 };
        (from..from + length, from + length + ends)
    }

    /// The place of a mark in a range.
    fn find(&self, at: &Range<usize>, is_it: impl Fn(u8) -> bool) -> Option<usize> {
        self.get(at).iter().position(|byte| is_it(*byte)).map(|found| at.start + found)
    }

    fn trimmed(&self, at: Range<usize>) -> Range<usize> {
        let text = self.get(&at);
        let before = text.len() - text.trim_ascii_start().len();
        let length = text.trim_ascii().len();
        at.start + before..at.start + before + length
    }

    /// A start line, headers and a body.
    fn message(&mut self, at: Range<usize>, depth: usize) {
        // Empty lines before it are skipped (RFC 3261 §7.5).
        let start = self.find(&at, |byte| !matches!(byte, b'\r' | b'\n')).unwrap_or(at.end);
        let (first, next) = self.line(start, at.end);
        self.uris(&first);
        self.parameters(&first);
        let (kind, body) = self.headers(next..at.end);
        self.body(body, kind, depth);
    }

    /// Headers up to an empty line; their Content-Type, and what is behind that line.
    fn headers(&mut self, at: Range<usize>) -> (Option<Range<usize>>, Range<usize>) {
        let (mut kind, mut from) = (None, at.start);
        while from < at.end {
            let (mut line, mut next) = self.line(from, at.end);
            if line.is_empty() {
                return (kind, next..at.end);
            }
            // A folded one goes on in the next line (RFC 3261 §7.3.1).
            while matches!(self.get(&(next..at.end)).first(), Some(b' ' | b'\t')) {
                let (more, after) = self.line(next, at.end);
                (line.end, next) = (more.end, after);
            }
            kind = self.header(line).or(kind);
            from = next;
        }
        (kind, at.end..at.end)
    }

    /// One header; its value where it is the Content-Type.
    fn header(&mut self, line: Range<usize>) -> Option<Range<usize>> {
        let Some(colon) = self.find(&line, |byte| byte == b':') else {
            // No header at all: nobody knows what it was to be.
            self.hide(line);
            return None;
        };
        let name = String::from_utf8_lossy(self.get(&(line.start..colon))).trim().to_ascii_lowercase();
        let value = self.trimmed(colon + 1..line.end);
        match &*name {
            "authorization" | "proxy-authorization" => self.credentials(value),
            "authentication-info" | "proxy-authentication-info" => self.digest(value),
            "content-type" | "c" => return Some(value),
            name if SECRET_HEADERS.iter().any(|secret| name.contains(secret)) => self.hide(value),
            _ => {
                self.uris(&value);
                self.parameters(&value);
            }
        }
        None
    }

    /// A scheme and what it says: of Digest its parameters, of others nothing.
    fn credentials(&mut self, value: Range<usize>) {
        let scheme = self.find(&value, |byte| byte.is_ascii_whitespace()).unwrap_or(value.end);
        if self.get(&(value.start..scheme)).eq_ignore_ascii_case(b"Digest") {
            self.digest(scheme..value.end);
        } else {
            self.hide(scheme..value.end);
            if scheme == value.end {
                self.hide(value);
            }
        }
    }

    /// Parameters between commas.
    fn digest(&mut self, value: Range<usize>) {
        let mut from = value.start;
        while from < value.end {
            let end = self.item(from, value.end);
            let equals = self.find(&(from..end), |byte| byte == b'=');
            let name = equals.map(|equals| self.trimmed(from..equals));
            let shown = name.is_some_and(|name| {
                let name = self.get(&name);
                DIGEST_SHOWN.iter().any(|shown| name.eq_ignore_ascii_case(shown.as_bytes()))
            });
            match equals {
                Some(_) if shown => self.uris(&(from..end)),
                Some(equals) => self.hide(equals + 1..end),
                None => self.hide(from..end),
            }
            from = end + 1;
        }
    }

    /// Where an item ends: at a comma outside of quotes.
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

    /// Passwords in URIs of any scheme (RFC 3261 §19.1.1, RFC 3986 §3.2.1), and keys that stand where none should.
    fn uris(&mut self, at: &Range<usize>) {
        let end = self.stray_key(at);
        let mut from = at.start;
        while from < end {
            let word = from..self.find(&(from..end), |byte| byte.is_ascii_whitespace() || byte == b'>').unwrap_or(end);
            from = word.end + 1;
            self.userinfo(word);
        }
    }

    /// `user:password@` in a word: hidden is all from the colon to the last `@`, and to the end where the text was cut before one.
    fn userinfo(&mut self, word: Range<usize>) {
        let text = self.get(&word);
        let until = match text.iter().rposition(|byte| *byte == b'@') {
            Some(at) => at,
            None if word.end == self.0.len() => text.len(),
            None => return,
        };
        let (mut colons, mut scheme) = (0, false);
        for (at, byte) in text.iter().enumerate().take(until) {
            match byte {
                // A name before an address is over.
                b'<' if colons < 2 => (colons, scheme) = (0, false),
                b':' if colons == 1 => return self.hide(word.start + at + 1..word.start + until),
                b':' if scheme => colons = 1,
                b':' => {}
                _ => scheme |= byte.is_ascii_alphabetic(),
            }
        }
    }

    /// Hides what is behind `inline:`, wherever it stands; where that begins.
    fn stray_key(&mut self, at: &Range<usize>) -> usize {
        let text = self.get(at);
        let found = text.windows(INLINE.len()).enumerate().find_map(|(begin, word)| {
            let behind = text.get(begin + INLINE.len()..).filter(|_| word.eq_ignore_ascii_case(INLINE))?;
            let mark = behind.trim_ascii_start();
            let length = match mark {
                [b':', ..] => 1,
                [b'%', b'3', b'a' | b'A', ..] => 3,
                _ => return None,
            };
            Some(begin + INLINE.len() + behind.len() - mark.len() + length)
        });
        let Some(from) = found.map(|found| at.start + found) else { return at.end };
        self.hide_key(from..at.end);
        from
    }

    /// Parameters whose names say that they are secret.
    fn parameters(&mut self, at: &Range<usize>) {
        let mut from = at.start;
        while let Some(equals) = self.find(&(from..at.end), |byte| byte == b'=') {
            let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let name: Vec<u8> = self
                .get(&(from..equals))
                .iter()
                .rev()
                .copied()
                .skip_while(u8::is_ascii_whitespace)
                .take_while(is_of_name)
                .collect();
            from = equals + 1;
            let name: String = name.iter().rev().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
            let by_part = SECRET_PARAMETERS.iter().any(|secret| name.contains(secret));
            if by_part || SECRET_NAMES.contains(&&*name) {
                let start = self.find(&(from..at.end), |byte| !matches!(byte, b' ' | b'\t' | b'"')).unwrap_or(at.end);
                let quoted = self.get(&(from..start)).contains(&b'"');
                let ends = |byte: u8| match quoted {
                    true => byte == b'"',
                    false => byte.is_ascii_whitespace() || matches!(byte, b';' | b',' | b'>' | b'&' | b'"'),
                };
                from = self.find(&(start..at.end), ends).unwrap_or(at.end);
                self.hide(start..from);
            }
        }
    }

    /// A body of a type.
    fn body(&mut self, at: Range<usize>, kind: Option<Range<usize>>, depth: usize) {
        let value = kind.map(|kind| self.get(&kind).to_vec()).unwrap_or_default();
        let media = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii().to_ascii_lowercase();
        match &*media {
            b"application/sdp" => self.description(at),
            b"" if self.get(&at).starts_with(b"v=") => self.description(at),
            b"application/dtmf-relay" => self.relayed_keys(at),
            b"message/sipfrag" if depth > 0 => self.message(at, depth - 1),
            _ if media.starts_with(b"multipart/") && depth > 0 => self.parts(at, &value, depth - 1),
            _ => self.hide(at),
        }
    }

    /// The parts of a body, each with headers of its own (RFC 2046 §5.1).
    fn parts(&mut self, at: Range<usize>, kind: &[u8], depth: usize) {
        let Some(delimiter) = boundary(kind).map(|boundary| [b"--", boundary].concat()) else { return self.hide(at) };
        let (mut begins, mut from) = (None, at.start);
        loop {
            let (line, next) = self.line(from, at.end);
            let is_end = from >= at.end;
            if is_end || self.get(&line).starts_with(&delimiter) {
                match begins {
                    // What is before the first part is for nobody.
                    None => self.hide(at.start..from),
                    Some(begins) => {
                        let (kind, body) = self.headers(begins..from);
                        match kind {
                            Some(kind) => self.body(body, Some(kind), depth),
                            None => self.hide(body),
                        }
                    }
                }
                begins = Some(next);
            }
            if is_end {
                return;
            }
            from = next;
        }
    }

    /// `Signal=5`, `Duration=160`: how long a key was held is no secret.
    fn relayed_keys(&mut self, at: Range<usize>) {
        self.each_line(at, |text, line| {
            let equals = text.find(&line, |byte| byte == b'=');
            let name = equals.map(|equals| text.get(&(line.start..equals)).trim_ascii().to_ascii_lowercase());
            match (equals, name.as_deref()) {
                (Some(_), Some(b"duration")) => {}
                (Some(equals), Some(b"signal")) => text.hide(equals + 1..line.end),
                _ => text.hide(line),
            }
        });
    }

    fn each_line(&mut self, at: Range<usize>, mut act: impl FnMut(&mut Text, Range<usize>)) {
        let mut from = at.start;
        while from < at.end {
            let (line, next) = self.line(from, at.end);
            act(self, line);
            from = next;
        }
    }
}

/// The boundary that a Content-Type names.
fn boundary(kind: &[u8]) -> Option<&[u8]> {
    let mut parameters = kind.split(|byte| *byte == b';').skip(1).map(<[u8]>::trim_ascii);
    let named =
        parameters.find(|parameter| parameter.get(..9).is_some_and(|name| name.eq_ignore_ascii_case(b"boundary=")))?;
    let value = named.get(9..)?.trim_ascii();
    let bare = value.strip_prefix(b"\"").and_then(|value| value.strip_suffix(b"\""));
    Some(bare.unwrap_or(value)).filter(|value| !value.is_empty())
}
