//! Addresses in sentences of the log and of traces, without what in them may be a secret: a password, what a web address has
//! before its `@` and behind its path, and parameters. Agents and far ends choose what they are called by.

use std::borrow::Cow;

/// What stands behind an address in a sentence.
const PUNCTUATION: [char; 7] = [',', '.', ':', ';', ')', '>', '`'];
/// A parameter that says no more than how an address is reached.
const TRANSPORT: &str = ";transport=";

/// What stands around an address in a document: quotes and the brackets of tags.
const DELIMITERS: [char; 4] = ['"', '\'', '<', '>'];
/// What ends host and port of a web address.
const PATH_BEGINS: [char; 3] = ['/', '?', '#'];
/// How documents write the three characters that tell what of an address is secret, apart from as they are: XML, JSON, forms, and forms in forms.
const ESCAPES: [(char, &[&str]); 3] = [
    ('@', &["&#64;", "&#x40;", "&commat;", "\\u0040", "%40", "%2540"]),
    (':', &["&#58;", "&#x3a;", "&colon;", "\\u003a", "%3a", "%253a"]),
    ('/', &["&#47;", "&#x2f;", "&sol;", "\\u002f", "\\/", "%2f", "%252f"]),
];
/// Characters of a text with an address, or with one that is escaped or in a comment.
const SIGNS: &[u8] = b"@%&\\?";
/// Attribute whose value is a secret.
const SECRET: &str = "password=";

/// Returns a sentence or document without what in its addresses may be a secret. Where an `@` is escaped, addresses are shown unescaped;
/// comments in XML, which may split one, are left out.
pub fn addresses(text: String) -> String {
    // Each line of a log or trace comes here.
    let has_sign = text.bytes().any(|byte| SIGNS.contains(&byte));
    if !has_sign && !["://", "tel:", SECRET].iter().any(|mark| text.contains(mark)) {
        return text;
    }
    let text = if text.contains("<!--") || text.contains("<?") { without_comments(&text) } else { text };
    text.split_inclusive(char::is_whitespace).map(|text| word(&unescaped(text))).collect()
}

/// Leaves out comments and processing instructions; the declaration of a document stays.
fn without_comments(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("<!--").into_iter().chain(rest.find("<?")).min() {
        let (front, from) = rest.split_at(at);
        shown.push_str(front);
        let end = if from.starts_with("<!--") { "-->" } else { "?>" };
        // Cut in the middle, it may have hidden anything.
        let length = from.find(end).map_or(from.len(), |at| at + end.len());
        let (one, further) = from.split_at(length);
        if one.starts_with("<?xml ") {
            shown.push_str(one);
        }
        rest = further;
    }
    shown + rest
}

/// Undoes the escapes of a word that has an escaped `@`.
fn unescaped(text: &str) -> Cow<'_, str> {
    let lower = text.to_ascii_lowercase();
    let [(_, at), ..] = ESCAPES;
    if !at.iter().any(|escape| lower.contains(escape)) {
        return Cow::Borrowed(text);
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
    Cow::Owned(plain)
}

fn word(text: &str) -> String {
    let bare = text.trim_end();
    let (_, space) = text.split_at(bare.len());
    let inside = bare.trim_end_matches(PUNCTUATION);
    let (_, behind) = bare.split_at(inside.len());
    let (mut shown, mut rest) = (String::with_capacity(text.len()), inside);
    while !rest.is_empty() {
        let (piece, further) = rest.split_at(piece_end(rest));
        let is_secret = shown.trim_end_matches(['"', '\'']).to_ascii_lowercase().ends_with(SECRET);
        shown.push_str(&if is_secret && !piece.is_empty() { "…".to_owned() } else { address(piece) });
        let delimiter = further.chars().next();
        shown.extend(delimiter);
        rest = further.get(delimiter.map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    shown + behind + space
}

/// Returns where the first address of a word ends: at a delimiter that is no part of what a web address has before its `@`.
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

/// What stands between the scheme and the path of a web address.
fn authority(rest: &str) -> &str {
    rest.split(PATH_BEGINS).next().unwrap_or_default()
}

/// One address, or a word that is none.
fn address(text: &str) -> String {
    match text.split_once("://") {
        Some((front, rest)) => format!("{}://{}", sip(front), web(rest)),
        None if text.starts_with('/') => text.split('?').next().unwrap_or_default().to_owned(),
        None => sip(text),
    }
}

/// Host and path; a path may have an address of its own.
fn web(rest: &str) -> String {
    let rest = without_broken_user(rest);
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    // Behind the last `@`, also where one stands in the path: nobody knows what that is.
    let at = authority(place).rfind('@').map_or(0, |at| at + 1);
    let shown = place.get(at..).unwrap_or_default();
    match shown.split_once("://") {
        Some((front, behind)) => format!("{front}://{}", web(behind)),
        None => shown.to_owned(),
    }
}

/// Leaves out what stands before the last `@` of an address whose password has a `/`, `?` or `#` that was not escaped: it seems to end the
/// authority, and what is left has no port behind its colon.
fn without_broken_user(rest: &str) -> &str {
    let authority = authority(rest);
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|_| !host.starts_with('['));
    let is_broken = port.is_some_and(|port| port.is_empty() || port.bytes().any(|byte| !byte.is_ascii_digit()));
    rest.rsplit_once('@').filter(|_| is_broken).map_or(rest, |(_, behind)| behind)
}

/// User and host, with the transport.
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

/// What is before an `@`: a scheme, where there is one, and a user.
fn without_password(text: &str) -> &str {
    let lower = text.to_ascii_lowercase();
    // The first one: a user may be called so, too.
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
            // Passwords with what ends an authority.
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

    /// What stands around two addresses.
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
    }
}
