//! Hides secrets of a service's URL and token in messages that come from the service: some services repeat the secrets,
//! and logs are read by more people than the configuration.

use trunkgate_call::numbers::mask;
use trunkgate_call::sentence::without_numbers;
use url::Url;

/// Number of consecutive characters of a secret from which they are hidden in a text; a shorter secret is hidden if it
/// is complete.
const PIECE: usize = 8;
/// Minimum length of a query value that counts as a secret, in characters.
const VALUE: usize = 4;

/// Returns a message of the service at `url` with an ellipsis in place of pieces of the token and of the URL's query
/// values.
pub fn covered(what: &str, url: &str, token: Option<&str>) -> String {
    let text: Vec<char> = what.chars().collect();
    let mut hidden = vec![false; text.len()];
    for secret in secrets(url, token) {
        hide(&text, &secret, &mut hidden);
    }
    let mut covered = String::new();
    let mut before = false;
    for (c, hidden) in text.into_iter().zip(hidden) {
        match (hidden, before) {
            (true, false) => covered.push('…'),
            (true, true) => {}
            (false, _) => covered.push(c),
        }
        before = hidden;
    }
    covered
}

/// Returns a message with phone numbers masked as in logs and the contents of long quotations removed, because services
/// repeat data that they received.
pub fn without_call_data(what: &str) -> String {
    let chars: Vec<char> = without_quotations(what).chars().collect();
    let (mut shown, mut at) = (String::new(), 0);
    while let Some(c) = chars.get(at) {
        let length = number_at(chars.get(at..).unwrap_or_default());
        let digits: String = chars.iter().skip(at).take(length).filter(|c| !SEPARATORS.contains(c)).collect();
        if length == 0 {
            shown.push(*c);
            at += 1;
        } else if digits.trim_start_matches('+').len() < NUMBER_DIGITS {
            shown.extend(chars.iter().skip(at).take(length));
            at += length;
        } else {
            shown.push_str(&mask(&digits));
            at += length;
        }
    }
    // The numbers left have other forms, such as spaces or no `+`.
    without_numbers(&shown)
}

/// Minimum number of digits of a phone number.
const NUMBER_DIGITS: usize = 7;
/// Characters that may separate groups of digits in a phone number.
const SEPARATORS: [char; 4] = [' ', '-', '(', ')'];
/// Maximum length of a quotation that is shown, in characters.
const QUOTED_CHARACTERS: usize = 32;

/// Returns the length in characters of the digits at the start of a text, with `+` and separators as in a phone number;
/// 0 if there are none.
fn number_at(text: &[char]) -> usize {
    let digits_at = |at: usize| text.iter().skip(at).take_while(|c| c.is_ascii_digit()).count();
    let is_international = text.first() == Some(&'+');
    let mut end = usize::from(is_international);
    let first = digits_at(end);
    if first == 0 {
        return 0;
    }
    end += first;
    loop {
        let between = text.iter().skip(end).take(2).take_while(|c| SEPARATORS.contains(c)).count();
        let next = digits_at(end + between);
        // A status code followed by a number counts as two numbers.
        let is_apart = text.get(end) == Some(&' ') && !is_international;
        if between == 0 || next == 0 || is_apart {
            return end;
        }
        end += between + next;
    }
}

fn without_quotations(what: &str) -> String {
    let mut shown = String::new();
    let mut rest = what;
    while let Some(begin) = rest.find('"') {
        let (before, quoted) = rest.split_at(begin + 1);
        shown.push_str(before);
        let Some(end) = quoted.find('"') else {
            rest = quoted;
            break;
        };
        let (inner, behind) = quoted.split_at(end);
        shown.push_str(if inner.chars().count() > QUOTED_CHARACTERS { "…" } else { inner });
        shown.push('"');
        rest = behind.get(1..).unwrap_or_default();
    }
    shown.push_str(rest);
    shown
}

fn secrets(url: &str, token: Option<&str>) -> Vec<Vec<char>> {
    let url = Url::parse(url).ok();
    let decoded = url
        .iter()
        .flat_map(Url::query_pairs)
        .map(|(name, value)| if value.is_empty() { name.into_owned() } else { value.into_owned() });
    let query = url.as_ref().and_then(Url::query).unwrap_or_default();
    let written = query.split('&').map(|pair| pair.split_once('=').map_or(pair, |(_, value)| value).to_owned());
    let values = decoded.chain(written).map(|value| value.chars().collect::<Vec<_>>());
    let token = token.into_iter().map(|token| token.chars().collect());
    values.filter(|value| value.len() >= VALUE).chain(token).collect()
}

/// Marks the pieces of a secret in a text as hidden, ignoring case; a secret shorter than [`PIECE`] only if complete.
fn hide(text: &[char], secret: &[char], hidden: &mut [bool]) {
    let least = secret.len().clamp(1, PIECE);
    // For each prefix of the secret: the length of its longest suffix that ends at this character of the text.
    let mut ends = vec![0; secret.len()];
    for (at, c) in text.iter().enumerate() {
        let mut before = 0;
        for (end, own) in ends.iter_mut().zip(secret) {
            let longer = if c.eq_ignore_ascii_case(own) { before + 1 } else { 0 };
            before = std::mem::replace(end, longer);
            if longer >= least
                && let Some(piece) = hidden.get_mut(at + 1 - least..=at)
            {
                piece.fill(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_what_was_said_are_not_repeated() {
        for (what, shown) in [
            ("cannot read: +14155550100 said hello", "cannot read: +1415****100 said hello"),
            ("550 5.7.1 message from +1 (415) 555-0100 refused", "550 5.7.1 message from +1415****100 refused"),
            ("no such user 4155550100", "no such user ****"),
            ("550 415-555-0100 is spam", "550 **** is spam"),
            ("no such user 415 555 0100 here", "no such user **** here"),
            (
                "answered 429 Too Many Requests, 5000 of 6000 at 10.0.0.5:8443",
                "answered 429 Too Many Requests, 5000 of 6000 at 10.0.0.5:8443",
            ),
            ("bad \"my card number is four one four one, call me\" in \"model\"", "bad \"…\" in \"model\""),
            ("an open \"quotation", "an open \"quotation"),
        ] {
            assert_eq!(without_call_data(what), shown);
        }
    }

    #[test]
    fn no_piece_of_a_secret_is_told() {
        let of = |url: &'static str, token: &'static str| (url, Some(token).filter(|token| !token.is_empty()));
        let usual = of("https://a.example/speech", "sk-SECRETTOKEN0123456789abcdef");
        let query = of("https://a.example/v1?key=QUERY%2FSECRET&api=v1&TOKENALONE", "");
        for (what, (url, token), expected) in [
            ("bad sk-SECRETTOKEN0123456789abcdef.", usual, "bad …."),
            ("bad sk-SECRETTOKEN0123456789abcde", usual, "bad …"),
            ("bad k-secrettoken01, or 456789abcdef", usual, "bad …, or …"),
            ("a TOKEN is wanted", usual, "a TOKEN is wanted"),
            ("bad /v1?key=QUERY%2FSECRET&api=v1", query, "bad /v1?key=…&api=v1"),
            ("bad QUERY/SECRET and TOKENALONE", query, "bad … and …"),
            ("bad abc", of("https://a.example/", "abc"), "bad …"),
            ("nothing", of("https://a.example/", ""), "nothing"),
            ("", usual, ""),
        ] {
            assert_eq!(covered(what, url, token), expected, "{what}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_stands_around_a_token_it_is_hidden(around in ".{0,40}", token in "[!-~]{8,40}", tail in ".{0,40}") {
            let covered = covered(&[around, token.clone(), tail].concat(), "https://a.example/", Some(&token));
            proptest::prop_assert!(!covered.contains(&token));
        }
    }
}
