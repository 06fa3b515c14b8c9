//! Text that must not appear in logs or panic messages: digits, speech, passwords.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Text that must stay secret: its `Debug` output shows only its length.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SensitiveText(String);

impl SensitiveText {
    /// Wraps a text that must stay secret.
    pub fn new(text: impl Into<String>) -> Self {
        SensitiveText(text.into())
    }

    /// Returns the secret text.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn push(&mut self, digit: char) {
        self.0.push(digit);
    }
}

impl fmt::Debug for SensitiveText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "({} characters)", self.0.chars().count())
    }
}
