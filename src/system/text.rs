//! Words that people read.

/// `1 warning`, `2 warnings`
pub(crate) fn number(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}
