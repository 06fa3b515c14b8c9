//! Text formatting for people: counts, hexadecimal, durations, capitals.

/// Formats a count with its noun: `1 warning`, `2 warnings`.
pub fn number(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// Returns bytes in hexadecimal, in lower case.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |hex, byte| hex + &format!("{byte:02x}"))
}

/// Formats a duration in its two largest units: `2 min 3 s`.
pub fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// Returns a text with its first letter capitalized.
pub fn capital(text: &str) -> String {
    let mut rest = text.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_have_two_digits_each() {
        assert_eq!((hex(&[]), hex(&[0, 10, 255])), (String::new(), "000aff".to_owned()));
    }

    #[test]
    fn spans_have_two_units() {
        assert_eq!(span(5), "5 s");
        assert_eq!(span(65), "1 min 5 s");
        assert_eq!(span(3 * 3600 + 60), "3 h 1 min");
        assert_eq!(span(12 * 86_400 + 4 * 3600), "12 d 4 h");
    }
}
