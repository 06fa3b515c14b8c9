//! Addresses in sentences of the log and of traces, without what in them may be a secret: a password, what a web address has
//! before its `@` and behind its path, and parameters. Agents and far ends choose what they are called by.

/// What stands behind an address in a sentence.
const PUNCTUATION: [char; 7] = [',', '.', ':', ';', ')', '>', '`'];
/// A parameter that says no more than how an address is reached.
const TRANSPORT: &str = ";transport=";

/// Returns a sentence without what in its addresses may be a secret.
pub fn addresses(text: String) -> String {
    if !text.contains('@') && !text.contains("://") && !text.contains("tel:") {
        return text;
    }
    text.split_inclusive(char::is_whitespace).map(word).collect()
}

fn word(text: &str) -> String {
    let bare = text.trim_end();
    let (_, space) = text.split_at(bare.len());
    let inside = bare.trim_end_matches(PUNCTUATION);
    let (_, behind) = bare.split_at(inside.len());
    let shown = match inside.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", web(rest)),
        None => sip(inside),
    };
    format!("{shown}{behind}{space}")
}

/// Host and path.
fn web(rest: &str) -> &str {
    let place = rest.split(['?', '#']).next().unwrap_or_default();
    let authority = place.split('/').next().unwrap_or_default();
    // Behind the last `@`, also where one stands in the path: nobody knows what that is.
    let at = if authority.contains('@') { authority.rfind('@') } else { None };
    place.get(at.map_or(0, |at| at + 1)..).unwrap_or_default()
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
        ] {
            assert_eq!(addresses(text.to_owned()), shown);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_told(text: String, user in "[a-z]{1,5}", secret in "[A-Z0-9]{6,9}") {
            addresses(text);
            for address in [format!("sip:{user}:{secret}@h"), format!("wss://{user}:{secret}@h/x?{secret}")] {
                let shown = addresses(format!("to {address}: no"));
                prop_assert!(!shown.contains(&secret), "{}", shown);
            }
        }
    }
}
