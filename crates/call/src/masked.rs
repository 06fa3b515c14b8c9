//! What of a message may be shown: keys, passwords, digest responses and digits are overwritten, each octet by a `*` (of a key
//! in base64 by an `X`, which readers of descriptions can decode), so that its length and its Content-Length stay true. What is not known to be harmless in a body is hidden as a whole.

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
/// Longer words behind the keys of a `crypto` attribute are no session parameters (RFC 4568 §6.3).
const SESSION_PARAMETER_CHARS: usize = 24;

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
        let (first, next) = self.line(at.start, at.end);
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

    /// Passwords in SIP URIs (RFC 3261 §19.1.1), and keys that stand where none should.
    fn uris(&mut self, at: &Range<usize>) {
        let mut from = at.start;
        while let Some(colon) = self.find(&(from..at.end), |byte| byte == b':') {
            from = colon + 1;
            let before = self.get(&(at.start..colon));
            if ends_with(before, b"inline") {
                self.inline(from..at.end);
            } else if ends_with(before, b"sip") || ends_with(before, b"sips") {
                let stops = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'@' | b'<' | b'>' | b'"' | b',');
                let end = self.find(&(from..at.end), stops).filter(|end| self.get(&(*end..*end + 1)) == b"@");
                if let Some(end) = end
                    && let Some(second) = self.find(&(from..end), |byte| byte == b':')
                {
                    self.hide(second + 1..end);
                }
            }
        }
    }

    /// What is behind `inline:`, wherever it stands: a key up to what may follow one.
    fn inline(&mut self, at: Range<usize>) {
        let from = self.find(&at, |byte| !matches!(byte, b' ' | b'\t')).unwrap_or(at.end);
        let ends = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'|' | b';');
        let end = self.find(&(from..at.end), ends).unwrap_or(at.end);
        self.hide_key(from..end);
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

    /// A session description (RFC 8866): its keys by SDES (RFC 4568), MIKEY (RFC 4567), `k=` and ICE.
    fn description(&mut self, at: Range<usize>) {
        self.each_line(at, |text, line| {
            let shape = (text.get(&line).first().copied(), text.get(&line).get(1).copied());
            match shape {
                (Some(b'k'), Some(b'=')) => {
                    let from = text.find(&line, |byte| byte == b':').unwrap_or(line.start + 1);
                    text.hide(from + 1..line.end);
                }
                (Some(b'a'), Some(b'=')) => text.attribute(line),
                (Some(kind), Some(b'=')) if kind.is_ascii_alphabetic() => text.uris(&line),
                (None, _) => {}
                // No line of a description.
                _ => text.hide(line),
            }
        });
    }

    fn attribute(&mut self, line: Range<usize>) {
        let colon = self.find(&line, |byte| byte == b':').unwrap_or(line.end);
        let name = self.get(&(line.start + 2..colon)).trim_ascii().to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        let value = (colon + 1).min(line.end)..line.end;
        if name.starts_with("crypto") {
            return self.crypto(value);
        }
        let secret = ["key", "pwd", "password", "secret", "token"];
        if secret.iter().any(|secret| name.contains(secret)) {
            return self.hide(value);
        }
        self.uris(&line);
        self.parameters(&line);
    }

    /// Tag and suite are shown, and what follows a key: its lifetime, its MKI, session parameters.
    fn crypto(&mut self, value: Range<usize>) {
        let mut words = Vec::new();
        let mut from = value.start;
        while let Some(start) = self.find(&(from..value.end), |byte| !byte.is_ascii_whitespace()) {
            from = self.find(&(start..value.end), |byte| byte.is_ascii_whitespace()).unwrap_or(value.end);
            words.push(start..from);
        }
        for (at, word) in words.into_iter().enumerate() {
            match at {
                0 | 1 if self.find(&word, |byte| byte == b':').is_none() && word.len() <= 48 => {}
                0..=2 => self.keys(word),
                _ if word.len() > SESSION_PARAMETER_CHARS || self.find(&word, |byte| byte == b':').is_some() => {
                    self.keys(word);
                }
                _ => {}
            }
        }
    }

    /// `inline:KEY|LIFETIME|MKI;inline:…`
    fn keys(&mut self, word: Range<usize>) {
        let mut from = word.start;
        while from < word.end {
            let end = self.find(&(from..word.end), |byte| byte == b';').unwrap_or(word.end);
            let method = self.get(&(from..end)).iter().take(7).eq(b"inline:".iter());
            let key = if method { from + 7 } else { from };
            let until = self.find(&(key..end), |byte| byte == b'|').unwrap_or(end);
            self.hide_key(key..until);
            from = end + 1;
        }
    }
}

fn ends_with(text: &[u8], word: &[u8]) -> bool {
    text.len().checked_sub(word.len()).and_then(|at| text.get(at..)).is_some_and(|end| end.eq_ignore_ascii_case(word))
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

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj";

    fn shown(text: &str) -> String {
        let shown = String::from_utf8(masked(text.as_bytes())).unwrap();
        assert_eq!(shown.len(), text.len());
        assert_eq!(shown, String::from_utf8(masked(shown.as_bytes())).unwrap(), "what is masked stays as it is");
        shown
    }

    fn request(headers: &str, kind: &str, body: &str) -> String {
        let length = body.len();
        format!("INVITE sip:b@h SIP/2.0\r\n{headers}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}")
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_was() {
        let headers = "Via: SIP/2.0/UDP h:5060;branch=z9hG4bK1;rport\r\nFrom: \"A: B\" <sip:+14155550100@h:5060;user=phone>;tag=1\r\n\
            To: <sip:b@h>;tag=key\r\nContact: <sip:a@h:5060;transport=tcp>\r\nContact: sip:h:5060\r\n\
            WWW-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", opaque=\"o\"\r\nReplaces: 1;to-tag=2;from-tag=3\r\n\
            Subject: a\r\n long=one\r\nX-Route: alias=1\r\n";
        let sdp = "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0 101\r\n\
            a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na=sendrecv\r\na=setup:actpass\r\n";
        let whole = request(headers, "application/sdp", sdp);
        assert_eq!(shown(&whole), whole);
        let untyped = format!("SIP/2.0 200 OK\r\n\r\n{sdp}");
        assert_eq!(shown(&untyped), untyped);
    }

    #[test]
    fn keys_of_descriptions_are_hidden() {
        let (marks, stars) = ("X".repeat(KEY.len()), "*".repeat(KEY.len()));
        for (line, expected) in [
            (
                format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}"),
                format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{marks}"),
            ),
            (
                format!(
                    "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^20|1:4;inline:{KEY}|2^20|2:4 UNENCRYPTED_SRTCP KDR=3"
                ),
                format!(
                    "a=crypto:1 AES_CM_128_HMAC_SHA1_32 inline:{marks}|2^20|1:4;inline:{marks}|2^20|2:4 UNENCRYPTED_SRTCP KDR=3"
                ),
            ),
            (format!("k=base64:{KEY}"), format!("k=base64:{stars}")),
            ("k=secret".to_owned(), "k=******".to_owned()),
            (format!("a=key-mgmt:mikey {KEY}"), format!("a=key-mgmt:***** {stars}")),
            ("a=ice-pwd:abc".to_owned(), "a=ice-pwd:***".to_owned()),
            ("nonsense".to_owned(), "********".to_owned()),
        ] {
            let text = request("", "application/sdp", &format!("v=0\r\n{line}\r\na=sendrecv\r\n"));
            assert!(shown(&text).contains(&format!("v=0\r\n{expected}\r\na=sendrecv\r\n")), "{}", shown(&text));
        }
    }

    #[test]
    fn no_damage_brings_a_key_to_light() {
        let crypto = format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}");
        for body in [
            format!("v=0\r{crypto}\r"),
            format!("v=0\nm=audio 1 RTP/SAVP 0 {crypto}"),
            format!("v=0\r\nm=audio 4 RTP/SAVP inline:{KEY}\r\n"),
            format!("v=0\r\na=crypto:inline:{KEY}\r\n"),
            format!("v=0\r\na=crypto:1 inline:{KEY}\r\n"),
            format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 {KEY}\r\n"),
            format!("v=0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 INLINE: {KEY}\r\n"),
            format!("v=0\r\n a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"),
            format!("v=0\r\nA=CRYPTO:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"),
        ] {
            for kind in ["application/sdp", "text/plain", "multipart/mixed;boundary=x", "multipart/mixed", ""] {
                let text = shown(&request("", kind, &body));
                assert!(!text.contains(&KEY[..12]) && !text.contains(&KEY[28..]), "{kind}: {text}");
            }
        }
        let text = shown(&format!("INVITE sip:b@h SIP/2.0\r\n{crypto}\r\n\r\n"));
        assert!(!text.contains(KEY), "{text}");
    }

    #[test]
    fn whoever_answers_a_challenge_is_shown_and_the_answer_is_not() {
        let digest = "Digest username=\"al,ice\", realm=\"r\", nonce=\"n\", uri=\"sip:b@h\", response=\"0123\", cnonce=\"ab\\\"cd\", \
            algorithm=MD5, qop=auth, nc=00000001, extension=1";
        let expected = "Digest username=\"al,ice\", realm=\"r\", nonce=\"n\", uri=\"sip:b@h\", response=******, cnonce=********, \
            algorithm=MD5, qop=auth, nc=00000001, extension=*";
        for name in ["Authorization", "Proxy-Authorization", "AUTHORIZATION "] {
            let text = shown(&request(&format!("{name}: {digest}\r\n"), "application/sdp", ""));
            assert!(text.contains(&format!("{name}: {expected}\r\n")), "{text}");
        }
        for (header, expected) in [
            ("Authorization: Basic YWxpY2U6c2VjcmV0", "Authorization: Basic ****************"),
            ("Authorization: YWxpY2U6", "Authorization: ********"),
            (
                "Authorization: Digest realm=\"r\",\r\n response=\"01\"",
                "Authorization: Digest realm=\"r\",\r\n response=****",
            ),
            ("Authentication-Info: rspauth=\"01\", qop=auth", "Authentication-Info: rspauth=****, qop=auth"),
            ("X-Auth-Token: abc", "X-Auth-Token: ***"),
            ("X-DTMF: 12#", "X-DTMF: ***"),
            ("From: <sip:alice:secret@h:5060>;tag=1", "From: <sip:alice:******@h:5060>;tag=1"),
            ("To: <sip:b@h;password=xyz;user=phone>", "To: <sip:b@h;password=***;user=phone>"),
            ("X-App: a=1;api_token=\"x y\";b=2", "X-App: a=1;api_token=\"* *\";b=2"),
            ("To: <tel:+14155550100;postd=12p34>", "To: <tel:+14155550100;postd=*****>"),
            (
                "Refer-To: <sip:b@h?Authorization=Digest%20x&Subject=y>",
                "Refer-To: <sip:b@h?Authorization=**********&Subject=y>",
            ),
            ("Subject: a\rAuthorization: Basic YWxpY2U6", "Subject: a\rAuthorization: Basic ********"),
        ] {
            let text = shown(&request(&format!("{header}\r\n"), "application/sdp", ""));
            assert!(text.contains(&format!("{expected}\r\n")), "{text}");
        }
        let line = shown("REGISTER sip:alice:secret@h SIP/2.0\r\n\r\n");
        assert_eq!(line, "REGISTER sip:alice:******@h SIP/2.0\r\n\r\n");
    }

    #[test]
    fn digits_are_hidden_and_so_is_what_nobody_knows() {
        for (kind, body, expected) in [
            ("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", "Signal=*\r\nDuration=160\r\n"),
            ("application/dtmf-relay", "signal = 5\nother=7\n", "signal = *\n*******\n"),
            ("application/dtmf", "5", "*"),
            ("audio/telephone-event", "1", "*"),
            ("text/plain", "1234\r\n", "****\r\n"),
            ("application/kpml-response+xml", "<x digits=\"12\"/>", "** *************"),
            ("", "Signal=5", "********"),
            ("message/sipfrag", "SIP/2.0 200 OK\r\n", "SIP/2.0 200 OK\r\n"),
        ] {
            let text = shown(&request("", kind, body));
            assert!(text.ends_with(&format!("\r\n\r\n{expected}")), "{kind}: {text}");
        }
    }

    #[test]
    fn each_part_of_a_body_goes_by_its_own_type() {
        let body = format!(
            "5\r\n--x y\r\nContent-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 S inline:{KEY}\r\n--x y\r\n\
             Content-Type: application/dtmf-relay\r\n\r\nSignal=5\r\n--x y\r\n\r\n123\r\n--x y--\r\n456"
        );
        let text = shown(&request("", "multipart/mixed; boundary=\"x y\"", &body));
        let expected = format!(
            "*\r\n--x y\r\nContent-Type: application/sdp\r\n\r\nv=0\r\na=crypto:1 S inline:{}\r\n--x y\r\n\
             Content-Type: application/dtmf-relay\r\n\r\nSignal=*\r\n--x y\r\n\r\n***\r\n--x y--\r\n***",
            "X".repeat(KEY.len())
        );
        assert!(text.ends_with(&expected), "{text}");
    }

    #[test]
    fn any_bytes_keep_their_length() {
        for text in ["", "\r\n", ":", "a", "a\r\n\r\n", "=\r\n=:=\r\n\r\n=", "a\r\nc:multipart/x;boundary=\r\n\r\n--"] {
            shown(text);
        }
        assert_eq!(masked(&[0xff, b'\n', 0xfe, b':', 0x80]).len(), 5);
    }
}
