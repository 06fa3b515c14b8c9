//! Code and texts of a remote party's response that rejects a call.

use std::fmt;

use crate::q850;
use crate::status::{StatusExplanation, status};

/// Fix for a 403 to a request with credentials.
const OF_THE_ACCOUNT: &str = "The credentials of `auth` were accepted (not challenged again), so ask the carrier whether the account may call this \
     number and show this caller ID (`caller_id` of the route, `send_numbers` of the trunk); some PBXs send 403 for a wrong password, too";

/// Fix for a 403 of a trunk that answers other calls.
const OF_SOME: &str = "The trunk answers other calls, so it accepts your address: compare called numbers and caller IDs of those that it rejects (`trunkgate calls --code 403`) \
     with others, then the account's permissions for these; else ask its operator which of its servers rejects them, with the Call-ID that the trace shows";

/// Phrase for a 403 about the account, as the end of a sentence.
pub const TO_CREDENTIALS: &str = "to a request with credentials";

/// A final response other than 2xx.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FailureResponse {
    /// Status code.
    pub code: u16,
    /// Reason phrase as received.
    pub phrase: String,
    /// Texts of Reason, Warning and proprietary headers, without secrets and complete numbers.
    pub texts: Vec<String>,
    /// Retry-After, in seconds.
    pub retry_after: Option<u32>,
    /// Whether the request had credentials that this response does not challenge.
    pub had_credentials: bool,
    /// Cause of the response's Q.850 Reason.
    pub q850: Option<u8>,
    /// Whether the trunk answers other calls, and therefore accepts the edge's address.
    pub answers_others: bool,
}

impl FailureResponse {
    /// Formats phrase, texts and Q.850 cause of the response, without the status code; `None` if it has none of them.
    pub fn words(&self) -> Option<String> {
        let texts = self.texts.iter().map(|text| format!("\"{text}\""));
        let phrase = Some(self.phrase.clone()).filter(|phrase| !phrase.is_empty());
        let is_said =
            |cause| q850::name(cause).is_some_and(|name| self.texts.iter().any(|text| text.eq_ignore_ascii_case(name)));
        let cause = self.q850.map(|cause| match is_said(cause) {
            true => format!("(Q.850 {cause})"),
            false => format!("({})", q850::words(cause)),
        });
        let words: Vec<String> = phrase.into_iter().chain(texts).chain(cause).collect();
        (!words.is_empty()).then(|| words.join(" "))
    }

    /// Returns whether the response concerns the account, not its password or the edge's address (RFC 3261 §21.4.4).
    pub const fn is_of_the_account(&self) -> bool {
        self.code == 403 && self.had_credentials
    }

    /// Returns the fix, as the end of a sentence; `None` if there is none.
    pub fn advice(&self) -> Option<&'static str> {
        match (self.is_of_the_account(), self.code) {
            (true, _) => Some(OF_THE_ACCOUNT),
            (false, 403) if self.answers_others => Some(OF_SOME),
            (false, code) => status(code)?.advice(),
        }
    }

    /// Returns the fix like [`advice`](Self::advice), but without the advice to add a target: for a trunk that rejects
    /// calls which another target then accepts.
    pub fn advice_beside_a_target(&self) -> Option<&'static str> {
        if self.is_of_the_account() || self.code == 403 && self.answers_others {
            self.advice()
        } else {
            status(self.code).and_then(StatusExplanation::advice_beside_a_target)
        }
    }
}

impl fmt::Display for FailureResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        self.words().map_or(Ok(()), |words| write!(f, " {words}"))?;
        if self.is_of_the_account() {
            write!(f, " {TO_CREDENTIALS}")?;
        }
        self.retry_after.map_or(Ok(()), |seconds| write!(f, " (Retry-After {seconds})"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejection_is_a_code_and_the_words_that_there_are() {
        let said = |phrase: &str, texts: &[&str]| FailureResponse {
            code: 403,
            phrase: phrase.into(),
            texts: texts.iter().map(ToString::to_string).collect(),
            retry_after: None,
            had_credentials: false,
            q850: None,
            answers_others: false,
        };
        assert_eq!(
            said("Forbidden", &["Call Rejected", "no such CLI"]).to_string(),
            "403 Forbidden \"Call Rejected\" \"no such CLI\""
        );
        assert_eq!((said("", &[]).to_string(), said("", &[]).words()), ("403".to_owned(), None));
        let of_cause = FailureResponse { q850: Some(34), ..said("Service Unavailable", &[]) };
        assert_eq!(of_cause.to_string(), "403 Service Unavailable (Q.850 34, no circuit available)");
        let full = FailureResponse { retry_after: Some(30), ..said("Busy", &[]) };
        assert_eq!(full.to_string(), "403 Busy (Retry-After 30)");
    }

    #[test]
    fn a_403_to_credentials_is_about_the_account() {
        let said = |code, had_credentials| FailureResponse { code, had_credentials, ..FailureResponse::default() };
        assert_eq!(said(403, true).to_string(), "403 to a request with credentials");
        for advice in [said(403, true).advice(), said(403, true).advice_beside_a_target()] {
            assert!(advice.unwrap().contains("whether the account may call this number"), "{advice:?}");
        }
        assert!(said(403, false).advice().unwrap().starts_with("Check the allow list"));
        for other in [said(403, false), said(404, true)] {
            assert_eq!(other.advice(), status(other.code).unwrap().advice());
            assert_eq!(other.advice_beside_a_target(), status(other.code).unwrap().advice_beside_a_target());
        }
    }

    #[test]
    fn a_trunk_that_answers_other_calls_accepts_our_address() {
        let said = |answers_others| FailureResponse { code: 403, answers_others, ..FailureResponse::default() };
        assert!(said(false).advice().unwrap().starts_with("Check the allow list"));
        let advice = said(true).advice().unwrap();
        assert!(advice.contains("accepts your address") && advice.contains("--code 403"), "{advice}");
        assert_eq!(said(true).advice_beside_a_target(), said(true).advice());
    }
}
