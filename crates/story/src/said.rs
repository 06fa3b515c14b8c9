//! What a far end says as it rejects a call: its code, and its words.

use std::fmt;

/// A final response that is no 2xx.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Said {
    /// Its code.
    pub code: u16,
    /// Its reason phrase, as it came.
    pub phrase: String,
    /// What it says besides: texts of Reason, Warning and headers of its own. No secrets and no whole numbers.
    pub texts: Vec<String>,
    /// Seconds of its Retry-After.
    pub retry_after: Option<u32>,
}

impl Said {
    /// Its words without the code; `None`: there are none.
    pub fn words(&self) -> Option<String> {
        let texts = self.texts.iter().map(|text| format!("\"{text}\""));
        let phrase = Some(self.phrase.clone()).filter(|phrase| !phrase.is_empty());
        let words: Vec<String> = phrase.into_iter().chain(texts).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.words().map_or(Ok(()), |words| write!(f, " {words}"))?;
        self.retry_after.map_or(Ok(()), |seconds| write!(f, " (Retry-After {seconds})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_a_code_and_the_words_that_there_are() {
        let said = |phrase: &str, texts: &[&str]| Said {
            code: 403,
            phrase: phrase.into(),
            texts: texts.iter().map(ToString::to_string).collect(),
            retry_after: None,
        };
        assert_eq!(
            said("Forbidden", &["Call Rejected", "no such CLI"]).to_string(),
            "403 Forbidden \"Call Rejected\" \"no such CLI\""
        );
        assert_eq!((said("", &[]).to_string(), said("", &[]).words()), ("403".to_owned(), None));
        let full = Said { retry_after: Some(30), ..said("Busy", &[]) };
        assert_eq!(full.to_string(), "403 Busy (Retry-After 30)");
    }
}
