//! Removal of secrets from addresses in log and trace sentences: passwords, user information and query strings of
//! URLs, and parameters. Agents and remote parties choose the addresses, so any text may occur.

mod document;
mod reference;

use document::{passwords, values, without, without_comments};
use reference::{PATH_BEGINS, SLASHES, is_broken, secrets};

use crate::masked;

/// Punctuation that may follow an address in a sentence.
const PUNCTUATION: [char; 7] = [',', '.', ':', ';', ')', '>', '`'];
/// Parameter of SIP addresses that is shown, since it only names the transport.
const TRANSPORT: &str = ";transport=";

/// Delimiters around an address in an XML or JSON document: quotation marks and tag brackets.
const DELIMITERS: [char; 4] = ['"', '\'', '<', '>'];
/// Escapes of the three characters that delimit secrets in an address: XML, JSON, forms, and nested forms.
const ESCAPES: [(char, &[&str]); 3] = [
    ('@', &["&#64;", "&#x40;", "&commat;", "\\u0040", "%40", "%2540"]),
    (':', &["&#58;", "&#x3a;", "&colon;", "\\u003a", "%3a", "%253a"]),
    ('/', &["&#47;", "&#x2f;", "&sol;", "\\u002f", "\\/", "%2f", "%252f"]),
];
/// Characters of which at least one occurs in an address, an escape or a comment.
const SIGNS: &[u8] = b"@%&\\?";

/// Returns a sentence or document without secrets in its addresses, and without passwords in attributes. If an `@` is
/// escaped, the address is shown unescaped; XML comments, which may split an address, are removed.
pub fn addresses(text: String) -> String {
    // Fast path: every log and trace line is checked.
    let hidden = passwords(&text);
    let has_sign = text.bytes().any(|byte| SIGNS.contains(&byte));
    if hidden.is_empty() && !has_sign && !["://", "tel:"].iter().any(|mark| text.contains(mark)) {
        return text;
    }
    let mut text = without(&text, hidden);
    if text.contains("<!--") || text.contains("<?") {
        text = without_comments(&text);
        text = without(&text, passwords(&text));
    }
    if text.contains(['<', '"']) {
        let hidden = values(&text).iter().flat_map(|value| secrets(&text, value)).collect();
        text = without(&text, hidden);
    }
    text.split_inclusive(char::is_whitespace).map(shown_word).collect()
}

/// Returns a SIP address without its password, headers and secret parameters, for display and storage. Any other text
/// is returned unchanged.
pub fn sip_uri(text: &str) -> String {
    let is_sip = |scheme: &str| ["sip", "sips"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let Some((scheme, rest)) = text.split_once(':').filter(|(scheme, _)| is_sip(scheme)) else {
        return text.to_owned();
    };
    let (user, host) = match rest.rsplit_once('@') {
        Some((user, host)) => (user.split(':').next().map(without_secret_parameters), host),
        None => (None, rest),
    };
    let user = user.map(|user| user + "@").unwrap_or_default();
    format!("{scheme}:{user}{}", without_secret_parameters(host.split('?').next().unwrap_or_default()))
}

/// Returns a user part, or a host with its parameters, without secret parameters.
fn without_secret_parameters(text: &str) -> String {
    let mut parts = text.split(';');
    let first = parts.next().unwrap_or_default().to_owned();
    let name = |parameter: &str| parameter.split('=').next().unwrap_or_default().to_ascii_lowercase();
    let shown = parts.filter(|parameter| !masked::is_secret(&name(parameter)));
    shown.fold(first, |all, parameter| format!("{all};{parameter}"))
}

/// Returns a word without secrets, also in its unescaped form if it has an escaped `@`.
fn shown_word(text: &str) -> String {
    let shown = word(text);
    match unescaped(&shown) {
        Some(plain) => word(&plain),
        None => shown,
    }
}

/// Returns a word with its escapes undone; `None` if the word has no escaped `@`.
fn unescaped(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let [(_, at), ..] = ESCAPES;
    if !at.iter().any(|escape| lower.contains(escape)) {
        return None;
    }
    let mut plain = String::with_capacity(text.len());
    let mut place = 0;
    while let Some(rest) = lower.get(place..).filter(|rest| !rest.is_empty()) {
        let found = ESCAPES.iter().find_map(|(character, escapes)| {
            let escape = escapes.iter().find(|escape| rest.starts_with(**escape))?;
            Some((*character, escape.len()))
        });
        let (character, length) = found.unwrap_or_else(|| {
            let character = text.get(place..).and_then(|rest| rest.chars().next()).unwrap_or_default();
            (character, character.len_utf8())
        });
        plain.push(character);
        place += length;
    }
    Some(plain)
}

fn word(text: &str) -> String {
    let bare = text.trim_end();
    let (_, space) = text.split_at(bare.len());
    let inside = bare.trim_end_matches(PUNCTUATION);
    let (_, behind) = bare.split_at(inside.len());
    let (mut shown, mut rest) = (String::with_capacity(text.len()), inside);
    while !rest.is_empty() {
        let (piece, further) = rest.split_at(piece_end(rest));
        shown.push_str(&address(piece));
        let delimiter = further.chars().next();
        shown.extend(delimiter);
        rest = further.get(delimiter.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    shown + behind + space
}

/// Returns the end of the first address in a word: a delimiter outside the user information of a URL.
fn piece_end(text: &str) -> usize {
    let Some(end) = text.find(DELIMITERS) else { return text.len() };
    let scheme = text.get(..end).and_then(|piece| piece.find("://"));
    let authority = scheme.and_then(|at| text.get(at + 3..)).map(authority).unwrap_or_default();
    match (scheme, authority.rfind('@')) {
        (Some(at), Some(user)) if at + 3 + user > end => {
            let from = at + 3 + user;
            text.get(from..).and_then(|rest| rest.find(DELIMITERS)).map_or(text.len(), |further| from + further)
        }
        _ => end,
    }
}

/// Returns the authority of a URL: the part between scheme and path.
fn authority(rest: &str) -> &str {
    rest.split(PATH_BEGINS).next().unwrap_or_default()
}

/// Returns one address, or another word, without secrets.
fn address(text: &str) -> String {
    if let Some((front, rest)) = text.split_once("://") {
        return format!("{}://{}", sip(front), web(rest));
    }
    if !text.starts_with(['/', '\\', '&']) {
        return sip(text);
    }
    let whole = 0..text.len();
    let hidden = secrets(text, std::slice::from_ref(&whole));
    if hidden.is_empty() && !text.starts_with('/') {
        return sip(text);
    }
    without(text, hidden).split('?').next().unwrap_or_default().to_owned()
}

/// Returns host and path of a URL; the path may contain further addresses.
fn web(rest: &str) -> String {
    let host = host_begin(rest, 0, rest.rfind('@'));
    let place = rest.get(host..).and_then(|rest| rest.split(['?', '#']).next()).unwrap_or_default();
    let last = place.rfind('@');
    let (mut shown, mut from) = (String::with_capacity(place.len()), 0);
    while let Some(length) = place.get(from..).and_then(|rest| rest.find("://")) {
        let behind = from + length + 3;
        shown.push_str(place.get(from..behind).unwrap_or_default());
        from = host_begin(place, behind, last);
    }
    shown + place.get(from..).unwrap_or_default()
}

/// Returns the start of the host in an authority at a given offset: after the last `@` of the authority, or after the
/// last `@` of the text (`last`) if the password has an unescaped `/`, `?` or `#`. Such a character seems to end the
/// authority, and the remainder has no port after its colon.
fn host_begin(text: &str, from: usize, last: Option<usize>) -> usize {
    let rest = text.get(from..).unwrap_or_default();
    let inside = rest.trim_start_matches(SLASHES);
    let begin = text.len() - inside.len();
    let authority = authority(inside);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (Some(begin + user.len()), host),
        None => (None, authority),
    };
    let end = if is_broken(host) { last.filter(|last| *last >= begin) } else { user };
    end.map_or(from, |end| end + 1)
}

/// Returns user and host of a SIP address, with the transport.
fn sip(text: &str) -> String {
    let (front, host) = match text.rsplit_once('@') {
        Some((user, host)) => (format!("{}@", without_password(user)), host),
        None if text.contains("tel:") => (String::new(), text),
        None => return text.to_owned(),
    };
    let place = host.split([';', '?']).next().unwrap_or_default();
    let lower = host.to_ascii_lowercase();
    let transport = lower.find(TRANSPORT).and_then(|at| {
        let value = host.get(at + TRANSPORT.len()..)?;
        let length = value.bytes().take_while(u8::is_ascii_alphabetic).count();
        host.get(at..at + TRANSPORT.len() + length)
    });
    format!("{front}{place}{}", transport.unwrap_or_default())
}

/// Returns scheme and user before an `@`, without the password.
fn without_password(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    // The first match, since a user may also be named `sip`.
    let begins = |at: usize| !lower.get(..at).unwrap_or_default().ends_with(|c: char| c.is_ascii_alphanumeric());
    let schemes = ["sips:", "sip:"].into_iter().flat_map(|scheme| lower.match_indices(scheme));
    let user = schemes.filter(|(at, _)| begins(*at)).map(|(at, scheme)| at + scheme.len()).min();
    let from = user.or_else(|| Some(text.rfind('<')? + 1)).unwrap_or(0);
    let length = text.get(from..).and_then(|rest| rest.find([':', ';'])).unwrap_or(text.len() - from.min(text.len()));
    text.get(..from + length).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_address_is_told_without_its_secrets() {
        for (text, shown) in [
            ("all is well: 12.5 s; a:b", "all is well: 12.5 s; a:b"),
            ("target sip:bob:S3CR3T@h", "target sip:bob@h"),
            (
                "sip:bob:S3@nohost.invalid:5070;token=S3;transport=tcp?x=S3 is not a peer of a trunk: not followed",
                "sip:bob@nohost.invalid:5070;transport=tcp is not a peer of a trunk: not followed",
            ),
            (
                "transfer to wss://bot.example/x?token=S3: unknown target",
                "transfer to wss://bot.example/x: unknown target",
            ),
            (
                "transfer to agent:wss://u:S3@bot.example:1/x@y?a=S3, once",
                "transfer to agent:wss://bot.example:1/x@y, once",
            ),
            ("trunk:pbx/sip:+14155550100:S3@h", "trunk:pbx/sip:+14155550100@h"),
            ("to tel:+14155550100;postd=S3 it", "to tel:+14155550100 it"),
            ("<alice:S3@h>, then", "<alice@h>, then"),
            ("SIPS:bob;pw=S3@h", "SIPS:bob@h"),
            ("https://u:S3@h", "https://h"),
            ("sip:sip:S3@h", "sip:sip@h"),
            ("sip:sips:S3@h", "sip:sips@h"),
            ("gossip:S3@h", "gossip@h"),
            (
                "<Response><Play>https://u:S3@a/x?S3=S3</Play><Play>https://v:S3@b/y</Play></Response>",
                "<Response><Play>https://a/x</Play><Play>https://b/y</Play></Response>",
            ),
            (
                "<Gather action=\"https://u:S3@a/x?t=S3\" method='POST'><Say>a@b</Say><Sip>sip:bob:S3@h;x=S3</Sip>",
                "<Gather action=\"https://a/x\" method='POST'><Say>a@b</Say><Sip>sip:bob@h</Sip>",
            ),
            ("{\"a\":\"https://u:S3@a/x\",\"b\":\"wss://u:S3@b\"}", "{\"a\":\"https://a/x\",\"b\":\"wss://b\"}"),
            (
                "<![CDATA[https://u:S3@a/x]]><Play>https://v:S3\"S3<S3@b</Play>",
                "<![CDATA[https://a/x]]><Play>https://b</Play>",
            ),
            ("https://u:S3@a/x,https://v:S3@b/https://w:S3@c/z", "https://a/x,https://b/https://c/z"),
            ("Url=https%3A%2F%2Fu%3AS3%40a%2Fx", "Url=https://a/x"),
            ("back=https%3A//u%3AS3%40h", "back=https://h"),
            ("a=sip%3Abob%3AS3%40h", "a=sip:bob@h"),
            ("https:%2F%2Fu:S3@h sip:bob:S3%40h", "https@h sip:bob@h"),
            ("https%253A%252F%252Fu%253AS3%2540h", "https://h"),
            (
                "<Play>https://u:S3&#64;h/x</Play><Redirect>https:&#47;&#x2F;u:S3&#x40;h</Redirect>",
                "<Play>https://h/x</Play><Redirect>https://h</Redirect>",
            ),
            ("<Play>https://u:S3<!-- a b -->@h</Play><?x y?>", "<Play>https://h</Play>"),
            ("<?xml version=\"1.0\"?><Response/><!-- https://u:S3", "<?xml version=\"1.0\"?><Response/>"),
            ("{\"a\":\"https:\\/\\/u:S3\\u0040h\\/x\"}", "{\"a\":\"https://h/x\"}"),
            ("<Sip username='bob' password='S3'>sip:a@h</Sip>", "<Sip username='bob' password='…'>sip:a@h</Sip>"),
            ("<Redirect>/n?pw=S3</Redirect>", "<Redirect>/n</Redirect>"),
            // Passwords with characters that end an authority.
            ("https://u:S3/S3@h/x", "https://h/x"),
            ("<Play>https://u:S3?S3@h/x?y=S3</Play>", "<Play>https://h/x</Play>"),
            ("https://u:S3#/S3@h", "https://h"),
            ("https://ann@example.com:S3/S3@h/x", "https://h/x"),
            ("https://u:/S3@h", "https://h"),
            ("http://h:8080/a@b", "http://h:8080/a@b"),
            ("http://[::1]:8080/a@b", "http://[::1]:8080/a@b"),
            ("100 %40 of", "100 @ of"),
            ("100% of it", "100% of it"),
        ] {
            assert_eq!(addresses(text.to_owned()), shown);
        }
    }

    #[test]
    fn passwords_of_a_document_are_hidden_however_xml_writes_them() {
        let document = |attribute: &str| format!("<Dial><Sip username=\"u\" {attribute}>sip:b@h</Sip></Dial>");
        for (attribute, shown) in [
            ("password=\"S3\"", "password=\"…\""),
            ("password = \"S3\"", "password = \"…\""),
            ("password =\"S3\"", "password =\"…\""),
            ("password=\n\"S3\"", "password=\n\"…\""),
            ("PassWord\t=\r\n'S3'", "PassWord\t=\r\n'…'"),
            ("password=\"x S3\"", "password=\"…\""),
            ("password=\" S3\"", "password=\"…\""),
            ("password=\"\n S3\nS3 \"", "password=\"…\""),
            ("password='a\"S3'", "password='…'"),
            ("password=\"a'S3 > S3\"", "password=\"…\""),
            ("password=\"a&quot;S3\"", "password=\"…\""),
            ("password=\"\" url='/a'", "password=\"\" url='/a'"),
        ] {
            assert_eq!(addresses(document(attribute)), document(shown));
        }
        for text in [
            "<Sip password=\"S3",
            "<Sip password='password=\"S3'>sip:b@h</Sip>",
            "<Say>&lt;Sip password=&quot;S3 S3&quot;&gt;</Say>",
            "{\"twiml\":\"<Sip password=\\\"S3 S3\\\">\"}",
            // Text that resembles markup.
            "<Dial><Number>password=\"</Number><Sip password=\"S3\">sip:b@h</Sip></Dial>",
            "<Say><![CDATA[<?]]></Say><Sip password=\"?>S3\">sip:b@h</Sip>",
            "<Say><![CDATA[<!--]]></Say><Sip password=\"-->S3\">sip:b@h</Sip>",
            "<Say><![CDATA[<!--]]></Say><Redirect>//u:-->S3@h/</Redirect>",
            "<!--> //u:S3@h -->",
        ] {
            let shown = addresses(text.to_owned());
            assert!(!shown.contains("S3"), "{text}: {shown}");
        }
    }

    #[test]
    fn user_information_is_hidden_wherever_a_url_has_some() {
        for (text, shown) in [
            ("//u:S3@127.0.0.1:21090/x", "//127.0.0.1:21090/x"),
            ("http:///u:S3@127.0.0.1:21090/x", "http://127.0.0.1:21090/x"),
            ("/\\u:S3@h/", "//h/"),
            ("\\\\u:S3@h\\x?S3", "//h\\x"),
            ("/&#47;u:S3@h/", "//h/"),
            ("&sol;&#x2F;u&colon;S3&commat;h/", "//h/"),
            ("//u:S3&#64;h/", "//h/"),
            ("//u:S3&#0064;h/", "//h/"),
            ("http:////u:S3@h/", "http://h/"),
            ("HTTP:\\\\u:S3@h/", "HTTP://h/"),
            ("http:/u:S3@h/", "http://h/"),
            ("http:u:S3@h/", "http://h/"),
            ("http://u:a S3@h/", "http://h/"),
            ("\n http:/\n/u:1 S3\tS3@h/ ", "\n http://h/ "),
            ("ht&#10;tp://u:12 S3@h/x", "ht&#10;tp://h/x"),
            ("http://u:S3 S3/S3@h/x", "http://h/x"),
            ("http://u:12%2FS3%40x@h/", "http://h/"),
            ("//u:S3@h/x?t=S3 S3", "//h/x"),
            ("https://h/x?t=a b&amp;u=S3", "https://h/x"),
            ("/n?name=a b&amp;pin=S3", "/n"),
            ("sip:bob:a S3@h", "sip:bob@h"),
            ("/users/ann@example.com/x", "/users/ann@example.com/x"),
            ("//cdn.example.com/a@b", "//cdn.example.com/a@b"),
            ("http://h:8080/a@b", "http://h:8080/a@b"),
            ("Ask ann@example.com: a/b or c@d", "Ask ann@example.com: a/b or c@d"),
        ] {
            let in_documents = |text: &str| {
                [
                    format!("<Response><Redirect>{text}</Redirect></Response>"),
                    format!("<Response><Redirect><![CDATA[{text}]]></Redirect></Response>"),
                    format!("<Response><Gather action = '{text}' method=\"GET\"/></Response>"),
                    format!("{{\"url\": \"{text}\", \"a\":1}}"),
                ]
            };
            assert_eq!(in_documents(text).map(addresses), in_documents(shown), "{text}");
        }
        for (text, shown) in [
            ("<Redirect>//u:a\"S3 'S3@h/</Redirect>", "<Redirect>//h/</Redirect>"),
            ("<Redirect>//u:<![CDATA[S3]]>@h/</Redirect>", "<Redirect>//h/</Redirect>"),
            ("<Redirect>//u:S3<Say/>S3@h/</Redirect>", "<Redirect>//h/</Redirect>"),
            ("goes on to //u:S3@h/ or http:///u:S3@h, twice", "goes on to //h/ or http://h, twice"),
            ("https://h/x?y: 404 \"Not Found\"", "https://h/x: 404 \"Not Found\""),
        ] {
            assert_eq!(addresses(text.to_owned()), shown);
        }
    }

    #[test]
    fn long_documents_are_read_in_one_pass() {
        let marks = ["://", "http://a/", "x://a:b", ">//", "//a:b", "<![CDATA[", "<!--", "<?", "<a ", "<a>", "</a>"];
        for mark in
            marks.into_iter().chain(["password='", "password=\"", "\"", "&#64", "&#x40;", "\\", "@:/", "password "])
        {
            let long = mark.repeat(5_000);
            addresses(format!("={long}@?<a>{long}@</a><a b=\"{long}"));
        }
    }

    #[test]
    fn a_sip_address_is_shown_without_its_password() {
        for (text, shown) in [
            ("sip:u:S3@192.0.2.1:5070", "sip:u@192.0.2.1:5070"),
            (
                "SIPS:+14155550100;phone-context=a;postd=S3:S3@h;transport=tcp;token=S3?X-A=S3",
                "SIPS:+14155550100;phone-context=a@h;transport=tcp",
            ),
            ("sip:bob@[::1]:5070;user=phone", "sip:bob@[::1]:5070;user=phone"),
            ("sip:192.0.2.1:5070", "sip:192.0.2.1:5070"),
            ("+14155550100", "+14155550100"),
            ("client:ann:b@c", "client:ann:b@c"),
            ("", ""),
        ] {
            assert_eq!(sip_uri(text), shown);
        }
    }

    /// Text around two addresses.
    const DOCUMENTS: [[&str; 3]; 7] = [
        ["<Play>", "</Play><Play>", "</Play>"],
        ["<Gather action=\"", "\" url='", "'/>"],
        ["{\"a\":\"", "\",\"b\":\"", "\"}"],
        ["<![CDATA[", "]]><Play>", "</Play>"],
        ["", ",", ""],
        ["a=", "&b=", ""],
        ["(", ")(", ")"],
    ];

    proptest! {
        #[test]
        fn any_text_is_told(text: String, user in "[a-z]{1,5}", secret in "[A-Z0-9]{6,9}") {
            addresses(text);
            let all = [
                format!("sip:{user}:{secret}@h"),
                format!("wss://{user}:{secret}@h/x?{secret}"),
                format!("https%3A%2F%2F{user}%3A{secret}%40h"),
            ];
            for address in &all {
                let shown = addresses(format!("to {address}: no"));
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
            for [before, between, behind] in DOCUMENTS {
                for (first, second) in all.iter().flat_map(|first| all.iter().map(move |second| (first, second))) {
                    let shown = addresses(format!("{before}{first}{between}{second}{behind}"));
                    prop_assert!(!shown.contains(&secret), "{}", shown);
                }
            }
        }

        #[test]
        fn no_attribute_shows_its_password(
            blanks in "[ \t\r\n]{0,3}",
            quote in "[\"']",
            inside in "[ -~ä\t\n]{0,12}",
            secret in "[A-Z0-9]{6,9}",
        ) {
            let inside = inside.replace('<', "").replace(&quote, "");
            let value = format!("{inside}{secret}{inside}");
            let attribute = format!("password{blanks}={blanks}{quote}{value}{quote}");
            let shown = addresses(format!("<Dial><Sip username=\"u\" {attribute}>sip:b@h</Sip></Dial>"));
            prop_assert!(!shown.contains(&secret), "{}", shown);
        }

        #[test]
        fn no_url_shows_its_user_information(
            beginning in r"(http:|HTTPS:|wss:|)[/\\]{2,4}",
            user in "[a-z0-9 ]{1,5}(:|&#58;|&colon;)",
            inside in "[a-z0-9 :\t\n]{0,6}",
            secret in "[A-Z0-9]{6,9}",
            at in "(@|&#64;|&#x40;|&commat;)",
        ) {
            let address = format!("{beginning}{user}{inside}{secret}{inside}{at}h/x");
            for document in [
                format!("<Redirect>{address}</Redirect>"),
                format!("<Redirect><![CDATA[{address}]]></Redirect>"),
                format!("<Gather action=\"{address}\"/>"),
            ] {
                let shown = addresses(document);
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }
    }
}
