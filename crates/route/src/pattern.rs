//! Patterns in `to` and `caller`: an exact number, a prefix `+1415*`, or a regular expression `/^…$/`.

use std::fmt;

use crate::expression::Expression;

/// Compiled pattern for numbers, names or header values.
#[derive(Debug, Clone)]
pub enum Pattern {
    /// Text that must be equal.
    Exact(String),
    /// Prefix, written in the configuration before `*`.
    Prefix(String),
    /// Regular expression, written between slashes; it matches anywhere in a text unless anchored.
    Regex(Expression),
}

/// Reason why a pattern is invalid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    /// Description of the problem, for the error of `check`.
    pub message: String,
}

impl Pattern {
    /// Parses a pattern as written in the configuration.
    ///
    /// # Errors
    /// Fails with [`PatternError`] for an empty pattern, a `*` other than at the end, or an invalid regular
    /// expression.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        if text.is_empty() {
            return Err(PatternError { message: "an empty pattern matches nothing".into() });
        }
        if let Some(rest) = text.strip_prefix('/') {
            let Some(expression) = rest.strip_suffix('/') else {
                return Err(PatternError { message: "a regular expression ends with `/`".into() });
            };
            if expression.is_empty() {
                return Err(PatternError { message: "an empty regular expression matches everything".into() });
            }
            return match Expression::new(expression) {
                Ok(expression) => Ok(Pattern::Regex(expression)),
                Err(message) => Err(PatternError { message }),
            };
        }
        // RFC 3261 §25.1: a user part cannot contain these characters unescaped, so the pattern could never match.
        if let Some(stray) = text.chars().find(|c| "[]{}<>\"\\^|`".contains(*c)) {
            let message = format!(
                "`{stray}` cannot occur in a number: write digits with `*` at the end, or /a regular expression/"
            );
            return Err(PatternError { message });
        }
        match text.find('*') {
            None => Ok(Pattern::Exact(text.to_owned())),
            Some(at) if at + 1 == text.len() => Ok(Pattern::Prefix(text.trim_end_matches('*').to_owned())),
            Some(_) => Err(PatternError {
                message: "`*` is allowed at the end only; for a literal `*` use a regular expression".into(),
            }),
        }
    }

    /// Returns whether the pattern matches a number or other text.
    pub fn matches(&self, number: &str) -> bool {
        match self {
            Pattern::Exact(text) => text == number,
            Pattern::Prefix(text) => number.starts_with(text.as_str()),
            Pattern::Regex(regex) => regex.is_match(number),
        }
    }

    /// Returns the literals with which every text that matches a regular expression begins, or `None` if they are not
    /// fixed.
    pub(crate) fn beginnings(&self) -> Option<&[String]> {
        if let Pattern::Regex(expression) = self { expression.beginnings() } else { None }
    }

    /// Returns whether this pattern matches every text that `other` matches; `false` if this cannot be determined.
    pub fn covers(&self, other: &Pattern) -> bool {
        match (self, other) {
            (_, Pattern::Exact(text)) => self.matches(text),
            (Pattern::Prefix(wide), Pattern::Prefix(narrow)) => narrow.starts_with(wide.as_str()),
            (Pattern::Prefix(wide), Pattern::Regex(_)) => wide.is_empty(),
            (Pattern::Regex(one), Pattern::Regex(two)) => one.as_str() == two.as_str(),
            (Pattern::Exact(_), Pattern::Prefix(_) | Pattern::Regex(_)) | (Pattern::Regex(_), Pattern::Prefix(_)) => {
                false
            }
        }
    }
}

/// Formats the pattern as written in the configuration.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Exact(text) => f.write_str(text),
            Pattern::Prefix(text) => write!(f, "{text}*"),
            Pattern::Regex(regex) => write!(f, "/{regex}/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> Pattern {
        Pattern::parse(text).unwrap()
    }

    #[test]
    fn exact_prefix_and_regular_expression() {
        let table = [
            ("+14155551234", "+14155551234", true),
            ("+14155551234", "+141555512345", false),
            ("911", "911", true),
            ("service", "service", true),
            ("+1415*", "+14155551234", true),
            ("+1415*", "+1415", true),
            ("+1415*", "+1416", false),
            ("*", "anything", true),
            (r"/^\+44(?<rest>\d+)$/", "+442079460018", true),
            (r"/^\+44(?<rest>\d+)$/", "+14155551234", false),
            ("/555/", "+14155551234", true),
            (r"/^\*98$/", "*98", true),
        ];
        for (text, number, expected) in table {
            assert_eq!(pattern(text).matches(number), expected, "{text} {number}");
            assert_eq!(pattern(text).to_string(), text);
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        for (text, part) in [
            ("", "empty"),
            ("+1*415", "at the end only"),
            ("*98", "regular expression"),
            ("+1**", "at the end only"),
            ("/", "ends with"),
            ("//", "empty"),
            ("1999[", "`[` cannot occur in a number"),
            ("/^+1", "ends with"),
            ("/(/", "unclosed group"),
        ] {
            let message = Pattern::parse(text).unwrap_err().message;
            assert!(message.contains(part), "{text}: {message}");
            assert!(!message.contains('\n'), "{text}: {message}");
        }
    }

    #[test]
    fn a_regular_expression_may_have_fixed_beginnings() {
        for (text, expected) in [
            (r"/^\+44(?<rest>\d+)$/", Some(vec!["+44"])),
            (r"/^\+44?1/", Some(vec!["+441", "+41"])),
            (r"/^(\+49|0049)30/", Some(vec!["+4930", "004930"])),
            (r"/^\+44|^\+1/", Some(vec!["+44", "+1"])),
            (r"/^\+44|\+1/", None),
            (r"/\+44/", None),
            (r"/^\d+$/", None),
            (r"/(?m)^\+44/", None),
            ("+44*", None),
        ] {
            let pattern = pattern(text);
            let found = pattern.beginnings().map(|all| all.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn covers_only_what_it_surely_covers() {
        for (wide, narrow, expected) in [
            ("+1*", "+14155551234", true),
            ("+1*", "+1415*", true),
            ("+1415*", "+1*", false),
            ("*", "/^x/", true),
            ("/^\\+1/", "+14155551234", true),
            ("/^\\+1/", "+1415*", false),
            ("/^\\+1/", "/^\\+1/", true),
            ("911", "911", true),
            ("911", "9*", false),
        ] {
            assert_eq!(pattern(wide).covers(&pattern(narrow)), expected, "{wide} {narrow}");
        }
    }
}
