//! Words of web services without the secrets of their address and token: some repeat them, and logs go further than the configuration.

use url::Url;

/// So many characters of a secret, one after the other, are hidden wherever they stand.
const PIECE: usize = 8;
/// A shorter value of a query is no secret.
const VALUE: usize = 4;

/// Returns words of the service at `url` without any piece of the token or of the values in the URL's query.
pub(crate) fn covered(what: &str, url: &str, token: Option<&str>) -> String {
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

/// Marks what of the text is a piece of the secret, or all of it where that is short; capitals or not.
fn hide(text: &[char], secret: &[char], hidden: &mut [bool]) {
    let least = secret.len().clamp(1, PIECE);
    // How much of the secret, up to each of its characters, ends at the present one of the text.
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
