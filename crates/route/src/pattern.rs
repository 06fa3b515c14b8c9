//! What `to` and `caller` may hold: an exact number, a prefix `+1415*`, a regular expression `/^…$/`.

/// One pattern, compiled once.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// The whole text.
    Exact(String),
    /// What stands before `*`.
    Prefix(String),
    /// Between slashes; searched, not anchored.
    Regex(regex::Regex),
}

/// Why a pattern cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// What is wrong.
    pub message: String,
}

impl Pattern {
    /// Reads a pattern as written in the file.
    ///
    /// # Errors
    /// [`PatternError`] for an empty one, a `*` anywhere but at the end, a bad regular expression.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let _ = text;
        unimplemented!()
    }
    /// Whether `number` matches.
    pub fn matches(&self, number: &str) -> bool {
        let _ = number;
        unimplemented!()
    }
}
