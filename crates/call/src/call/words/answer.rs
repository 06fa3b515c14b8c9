//! Final answers to a caller: how a target's code is seen, which of several is best, what headers go with it.

use std::time::Instant;

use trunkgate_media::agent::Loss;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{RETRY_AFTER_SECONDS, SESSION_LEAST_SECONDS};
use trunkgate_resources::lookups::sip::extra;
use trunkgate_sdp::Refusal;
use trunkgate_sip::{Answer, ServerId};
use trunkgate_story::Said;
use trunkgate_story::reason::{ReasonSlug, q850_of_code};

/// Header that tells a caller what is wrong with its location (RFC 6442 §4.3).
pub(crate) const GEOLOCATION_ERROR: &str = "Geolocation-Error";

/// A refusal of the caller's INVITE, or of a re-INVITE.
#[derive(Debug, Clone)]
pub(crate) struct FinalAnswer {
    /// Status code, 300 to 699.
    pub(crate) code: u16,
    /// Reason phrase; empty: the standard one.
    pub(crate) phrase: String,
    /// Why.
    pub(crate) reason: ReasonSlug,
    /// ITU-T Q.850 cause.
    pub(crate) q850: u8,
    /// What goes into Warning (RFC 3261 §20.43).
    pub(crate) warning: Option<Refusal>,
    /// What a target says of the caller's location (RFC 6442 §4.3).
    pub(crate) location_error: Option<String>,
}

impl FinalAnswer {
    /// A code and its reason.
    pub(crate) fn new(code: u16, reason: ReasonSlug) -> FinalAnswer {
        FinalAnswer { code, phrase: String::new(), reason, q850: reason.q850(), warning: None, location_error: None }
    }
    /// 400 that names the part in its phrase.
    pub(crate) fn bad_request(part: &str) -> FinalAnswer {
        let phrase = format!("Bad Request: {part}");
        FinalAnswer { phrase, ..FinalAnswer::new(400, ReasonSlug::BadMedia) }
    }
    /// 488 with its Warning.
    pub(crate) fn not_acceptable(reason: ReasonSlug, warning: Refusal) -> FinalAnswer {
        FinalAnswer { warning: Some(warning), ..FinalAnswer::new(488, reason) }
    }
    /// As the endpoint sends it.
    pub(crate) fn to_sip(&self) -> Answer {
        let mut headers = vec![extra("Reason", self.reason.header(self.q850))];
        if let Some(warning) = &self.warning {
            let text = warning.text.replace(['"', '\\', '\r', '\n'], " ");
            headers.push(extra("Warning", format!("{} Trunkgate \"{text}\"", warning.warn_code)));
        }
        headers.extend(self.location_error.as_ref().map(|error| extra(GEOLOCATION_ERROR, error)));
        if self.reason == ReasonSlug::Draining {
            headers.push(extra("Retry-After", RETRY_AFTER_SECONDS.to_string()));
        }
        if self.code == 422 {
            headers.push(extra("Min-SE", SESSION_LEAST_SECONDS.to_string()));
        }
        Answer { code: self.code, reason: self.phrase.clone(), headers, ..Answer::default() }
    }
}

/// Why a target, or one way to it, did not get the call.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    /// The code it answered, as the caller may see it; `None` where it was not reached.
    pub(crate) code: Option<u16>,
    /// Why.
    pub(crate) reason: ReasonSlug,
    /// The Q.850 cause it gave.
    pub(crate) q850: Option<u8>,
    /// What goes into Warning.
    pub(crate) warning: Option<Refusal>,
    /// What it says of the caller's location.
    pub(crate) location_error: Option<String>,
    /// How an agent was lost.
    pub(crate) loss: Option<Loss>,
    /// The code that it really answered, with its words.
    pub(crate) said: Option<Box<Said>>,
    /// What is wrong with what it was shown of us; the sentence of the reason where nothing more is known.
    pub(crate) detail: Option<String>,
    /// The trace has it already, with more than its reason says.
    pub(crate) is_told: bool,
}

impl Failure {
    /// A target that was not reached.
    pub(crate) fn unreached(reason: ReasonSlug) -> Failure {
        Failure {
            code: None,
            reason,
            q850: None,
            warning: None,
            location_error: None,
            loss: None,
            said: None,
            detail: None,
            is_told: false,
        }
    }
    /// An agent that could not be had, or is lost.
    pub(crate) fn of_loss(loss: Loss) -> Failure {
        Failure { loss: Some(loss), ..Failure::unreached(ReasonSlug::of_loss(loss)) }
    }
    /// One that counts with a code.
    pub(crate) fn with_code(code: u16, reason: ReasonSlug) -> Failure {
        Failure { code: Some(code), ..Failure::unreached(reason) }
    }
    /// The same where the trace has it.
    pub(crate) fn told(self) -> Failure {
        Failure { is_told: true, ..self }
    }
    /// One whose session description, or ours to it, could not be used: 488.
    pub(crate) fn unusable(reason: ReasonSlug, warning: Refusal) -> Failure {
        Failure { warning: Some(warning), ..Failure::with_code(488, reason) }
    }
    /// The same with what the far end really answered, and what is known of why.
    pub(crate) fn said(self, said: Said, detail: Option<String>) -> Failure {
        Failure { said: Some(Box::new(said)), detail, ..self }
    }
    /// The code that the far end really answered.
    pub(crate) fn answered(&self) -> Option<u16> {
        self.said.as_ref().map(|said| said.code)
    }
    /// It in words, behind the name of who failed.
    pub(crate) fn told_of(&self, name: &str) -> String {
        let why = match (&self.detail, self.loss, &self.warning) {
            (Some(detail), _, _) => detail.clone(),
            (None, Some(loss), _) => loss.to_string(),
            (None, None, Some(warning)) => format!("{}: {}", self.reason.sentence(), warning.text),
            (None, None, None) => self.reason.sentence().to_owned(),
        };
        match (self.answered(), self.code) {
            (Some(answered), _) => format!("{name} answered {answered}: {why}"),
            (None, Some(code)) if self.loss.is_none() => format!("{name}: {why} ({code})"),
            (None, _) => format!("{name}: {why}"),
        }
    }
    /// What the caller is told.
    pub(crate) fn answer(self) -> FinalAnswer {
        let code = self.code.unwrap_or(503);
        let q850 = self.q850.unwrap_or(match self.code {
            Some(code) => q850_of_code(code),
            None => self.reason.q850(),
        });
        let (reason, warning, location_error) = (self.reason, self.warning, self.location_error);
        // Carriers mean Too Many Requests; the phrase of RFC 3892 would mislead.
        let own = self.said.filter(|said| code == 429 && said.code == 429).map(|said| said.phrase);
        let phrase = own.filter(|phrase| phrase.bytes().all(|byte| (0x20..0x7f).contains(&byte))).unwrap_or_default();
        FinalAnswer { code, phrase, reason, q850, warning, location_error }
    }
    /// Whether the target could not serve the call now: it was not reached, or answered 503.
    fn is_unavailable(&self) -> bool {
        self.code.is_none() || self.answered() == Some(503)
    }
    /// Whether the called side was busy.
    pub(crate) fn is_busy(&self) -> bool {
        matches!(self.code, Some(486 | 600))
    }
}

/// A target's final code as the caller may see it. What only makes sense between the target and us (a challenge, a
/// redirection, an extension that it asks of us, its own overload) is seen as 500; 487 to an INVITE that we did not
/// withdraw as 480.
pub(crate) const fn seen_code(code: u16) -> u16 {
    match code {
        300..=399 | 401 | 407 | 420 | 421 | 422 | 494 | 503 => 500,
        487 => 480,
        400..=699 => code,
        _ => 500,
    }
}

/// The best answer of the targets that failed (RFC 3261 §16.7 step 6): all busy is 486; a 6xx wins; else the lowest
/// class, in 4xx first those that tell the caller what to change. Nothing reached, or nothing but 503: 503, on which the caller's
/// network tries its next address (RFC 3263 §4.3).
pub(crate) fn best(failures: Vec<Failure>) -> FinalAnswer {
    let last_reason = failures.last().map_or(ReasonSlug::Unreachable, |f| f.reason);
    let is_unavailable = failures.iter().all(Failure::is_unavailable);
    let reached: Vec<Failure> = failures.into_iter().filter(|f| f.code.is_some()).collect();
    if !reached.is_empty() && reached.iter().all(Failure::is_busy) {
        return FinalAnswer::new(486, ReasonSlug::TargetBusy);
    }
    match reached.into_iter().min_by_key(rank) {
        Some(failure) if is_unavailable => Failure { code: Some(503), ..failure }.answer(),
        Some(failure) => failure.answer(),
        None => Failure::unreached(last_reason).answer(),
    }
}

/// The lower, the better an answer to the caller: a 6xx, then what tells it what to change, then by class; last of all a
/// target that was not reached.
pub(crate) fn rank(failure: &Failure) -> u16 {
    match failure.code {
        Some(600..=699) => 0,
        Some(415 | 420 | 484) => 1,
        Some(code) => code / 100,
        None => u16::MAX,
    }
}

/// Returns the refusal of a request, with this code.
pub(crate) fn refused<T>(code: u16, reason: ReasonSlug) -> Result<T, Box<FinalAnswer>> {
    Err(Box::new(FinalAnswer::new(code, reason)))
}

/// Returns the failure of a description that cannot be used: seen as 488 with Warning 399.
pub(crate) fn bad_media(text: &str) -> Failure {
    Failure::unusable(ReasonSlug::BadMedia, Refusal { warn_code: 399, text: text.to_owned() })
}

/// Returns the failure of an offer without a codec in common.
pub(crate) fn unusable(refusal: Refusal) -> Failure {
    Failure::unusable(ReasonSlug::CodecMismatch, refusal)
}

/// Refuses a request inside a dialog.
pub(crate) fn refuse_request(now: Instant, edge: &mut Edge, server: ServerId, code: u16) {
    edge.respond(now, server, Answer { code, ..Answer::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(codes: &[Option<u16>]) -> Vec<Failure> {
        let one = |code: &Option<u16>| Failure { code: *code, ..Failure::unreached(ReasonSlug::TargetRejected) };
        codes.iter().map(one).collect()
    }

    #[test]
    fn rfc_3261_16_7_best_answer() {
        for (codes, expected) in [
            (&[][..], 503),
            (&[None, None], 503),
            (&[Some(500), None], 500),
            (&[Some(480), Some(500)], 480),
            (&[Some(500), Some(404)], 404),
            (&[Some(404), Some(484)], 484),
            (&[Some(404), Some(603)], 603),
            (&[Some(480), Some(404)], 480),
            (&[Some(486), Some(600)], 486),
            (&[Some(600)], 486),
            (&[Some(486), None], 486),
            (&[Some(502), Some(500)], 502),
        ] {
            assert_eq!(best(failures(codes)).code, expected, "{codes:?}");
        }
    }

    #[test]
    fn rfc3263_4_3_a_caller_whose_targets_are_all_unavailable_gets_503() {
        let of = |code: u16| {
            let said = Said { code, ..Said::default() };
            Failure::with_code(seen_code(code), ReasonSlug::TargetRejected).said(said, None)
        };
        let silent = || Failure::unreached(ReasonSlug::NoResponse);
        for (all, expected) in [
            (vec![of(503)], 503),
            (vec![of(503), of(503)], 503),
            (vec![silent(), of(503)], 503),
            (vec![of(503), of(500)], 500),
            (vec![of(503), of(302)], 500),
            (vec![of(503), of(404)], 404),
        ] {
            let said = format!("{all:?}");
            let answer = best(all);
            assert_eq!(answer.code, expected, "{said}");
            assert!(answer.to_sip().headers.iter().all(|header| header.name != "Retry-After"));
        }
    }

    #[test]
    fn what_concerns_only_us_and_the_target_is_not_shown() {
        for (code, seen) in
            [(302, 500), (401, 500), (407, 500), (503, 500), (487, 480), (404, 404), (603, 603), (501, 501), (799, 500)]
        {
            assert_eq!(seen_code(code), seen);
        }
    }

    #[test]
    fn retry_after_only_when_draining() {
        let has = |reason| FinalAnswer::new(503, reason).to_sip().headers.iter().any(|h| h.name == "Retry-After");
        assert!(has(ReasonSlug::Draining));
        assert!(!has(ReasonSlug::LimitCalls) && !has(ReasonSlug::Unreachable));
    }

    #[test]
    fn a_warning_is_one_quoted_string() {
        let refusal = Refusal { warn_code: 305, text: "a\"b\\c\r\nd".into() };
        let answer = FinalAnswer::not_acceptable(ReasonSlug::CodecMismatch, refusal).to_sip();
        let warning = answer.headers.iter().find(|h| h.name == "Warning").unwrap();
        assert_eq!(warning.value, "305 Trunkgate \"a b c  d\"");
    }
}
