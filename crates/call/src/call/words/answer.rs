//! Final responses to a caller: mapping of a target's status code, choice of the best response, and its headers.

use std::time::Instant;

use trunkgate_media::agent::StreamLoss;
use trunkgate_resources::edge::Edge;
use trunkgate_resources::limits::{RETRY_AFTER_SECONDS, SESSION_LEAST_SECONDS};
use trunkgate_resources::lookups::sip::extra;
use trunkgate_route::is_busy;
use trunkgate_sdp::SdpRejection;
use trunkgate_sip::{ResponseSpec, ServerId};
use trunkgate_story::FailureResponse;
use trunkgate_story::reason::{ReasonSlug, q850_of_code};

/// Header that reports a problem with the caller's location (RFC 6442 §4.3).
pub(crate) const GEOLOCATION_ERROR: &str = "Geolocation-Error";

/// Refusal of the caller's INVITE or of a re-INVITE.
#[derive(Debug, Clone)]
pub(crate) struct FinalAnswer {
    /// Status code, 300 to 699.
    pub(crate) code: u16,
    /// Reason phrase; empty for the standard one.
    pub(crate) phrase: String,
    /// Reason for the refusal.
    pub(crate) reason: ReasonSlug,
    /// ITU-T Q.850 cause for the Reason header.
    pub(crate) q850: u8,
    /// Content of the Warning header (RFC 3261 §20.43).
    pub(crate) warning: Option<SdpRejection>,
    /// Geolocation-Error of a target (RFC 6442 §4.3).
    pub(crate) location_error: Option<String>,
}

impl FinalAnswer {
    /// Creates a refusal with the Q.850 cause of its reason.
    pub(crate) fn new(code: u16, reason: ReasonSlug) -> FinalAnswer {
        FinalAnswer { code, phrase: String::new(), reason, q850: reason.q850(), warning: None, location_error: None }
    }

    /// Creates a 400 that names the faulty part in its phrase.
    pub(crate) fn bad_request(part: &str) -> FinalAnswer {
        let phrase = format!("Bad Request: {part}");
        FinalAnswer { phrase, ..FinalAnswer::new(400, ReasonSlug::BadMedia) }
    }

    /// Creates a 488 with a Warning.
    pub(crate) fn not_acceptable(reason: ReasonSlug, warning: SdpRejection) -> FinalAnswer {
        FinalAnswer { warning: Some(warning), ..FinalAnswer::new(488, reason) }
    }

    /// Converts the refusal into a response of the SIP endpoint.
    pub(crate) fn to_sip(&self) -> ResponseSpec {
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
        ResponseSpec { code: self.code, reason: self.phrase.clone(), headers, ..ResponseSpec::default() }
    }
}

/// Failure of a target, or of one of its candidates.
#[derive(Debug, Clone)]
pub(crate) struct TargetFailure {
    /// Status code as seen by the caller; `None` if the target was not reached.
    pub(crate) code: Option<u16>,
    /// Reason for the failure.
    pub(crate) reason: ReasonSlug,
    /// Q.850 cause that the target gave.
    pub(crate) q850: Option<u8>,
    /// Content of the Warning header for the caller.
    pub(crate) warning: Option<SdpRejection>,
    /// Geolocation-Error of the target.
    pub(crate) location_error: Option<String>,
    /// Kind of loss, if the target is an agent that was unreachable or lost.
    pub(crate) loss: Option<StreamLoss>,
    /// Response of the target, with its original status code.
    pub(crate) said: Option<Box<FailureResponse>>,
    /// Further explanation, which replaces the sentence of the reason.
    pub(crate) detail: Option<String>,
    /// True if the trace already has a more detailed entry.
    pub(crate) is_told: bool,
}

impl TargetFailure {
    /// Creates the failure of a target that was not reached.
    pub(crate) fn unreached(reason: ReasonSlug) -> TargetFailure {
        TargetFailure {
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

    /// Creates the failure of an agent that was unreachable or lost.
    pub(crate) fn of_loss(loss: StreamLoss) -> TargetFailure {
        TargetFailure { loss: Some(loss), ..TargetFailure::unreached(ReasonSlug::of_loss(loss)) }
    }

    /// Creates a failure with a status code.
    pub(crate) fn with_code(code: u16, reason: ReasonSlug) -> TargetFailure {
        TargetFailure { code: Some(code), ..TargetFailure::unreached(reason) }
    }

    /// Marks the failure as already traced.
    pub(crate) fn told(self) -> TargetFailure {
        TargetFailure { is_told: true, ..self }
    }

    /// Creates a 488 for an unusable session description.
    pub(crate) fn unusable(reason: ReasonSlug, warning: SdpRejection) -> TargetFailure {
        TargetFailure { warning: Some(warning), ..TargetFailure::with_code(488, reason) }
    }

    /// Adds the target's original response and a further explanation.
    pub(crate) fn said(self, said: FailureResponse, detail: Option<String>) -> TargetFailure {
        TargetFailure { said: Some(Box::new(said)), detail, ..self }
    }

    /// Returns the original status code of the target; `None` if it sent no final response.
    pub(crate) fn answered(&self) -> Option<u16> {
        self.said.as_ref().map(|said| said.code)
    }

    /// Describes the failure in a sentence that begins with the name of the target.
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

    /// Converts the failure into the final response for the caller.
    pub(crate) fn answer(self) -> FinalAnswer {
        let code = self.code.unwrap_or(503);
        let q850 = self.q850.unwrap_or(match self.code {
            Some(code) => q850_of_code(code),
            None => self.reason.q850(),
        });
        let (reason, warning, location_error) = (self.reason, self.warning, self.location_error);
        // Carriers use 429 for Too Many Requests; the phrase of RFC 3892 would mislead.
        let own = self.said.filter(|said| code == 429 && said.code == 429).map(|said| said.phrase);
        let phrase = own.filter(|phrase| phrase.bytes().all(|byte| (0x20..0x7f).contains(&byte))).unwrap_or_default();
        FinalAnswer { code, phrase, reason, q850, warning, location_error }
    }

    /// Returns whether the target could not serve the call now: it was not reached, or sent 503.
    fn is_unavailable(&self) -> bool {
        self.code.is_none() || self.answered() == Some(503)
    }

    /// Returns whether the called side was busy.
    pub(crate) fn is_busy(&self) -> bool {
        self.code.is_some_and(is_busy)
    }
}

/// Maps a target's final status code for the caller. Codes that concern only the target and the edge (challenge,
/// redirection, extension, overload) become 500, and a 487 to an INVITE that was not canceled becomes 480.
pub(crate) const fn seen_code(code: u16) -> u16 {
    match code {
        300..=399 | 401 | 407 | 420 | 421 | 422 | 494 | 503 => 500,
        487 => 480,
        400..=699 => code,
        _ => 500,
    }
}

/// Chooses the best response of failed targets (RFC 3261 §16.7 step 6): 486 if all are busy, else a 6xx, else the
/// lowest class; among 4xx, codes on which the caller can act come first. The result is 503 if no target was reached or
/// all sent 503, so that the caller's network tries its next address (RFC 3263 §4.3).
pub(crate) fn best(failures: Vec<TargetFailure>) -> FinalAnswer {
    let last_reason = failures.last().map_or(ReasonSlug::Unreachable, |f| f.reason);
    let is_unavailable = failures.iter().all(TargetFailure::is_unavailable);
    let reached: Vec<TargetFailure> = failures.into_iter().filter(|f| f.code.is_some()).collect();
    if !reached.is_empty() && reached.iter().all(TargetFailure::is_busy) {
        return FinalAnswer::new(486, ReasonSlug::TargetBusy);
    }
    match reached.into_iter().min_by_key(rank) {
        Some(failure) if is_unavailable => TargetFailure { code: Some(503), ..failure }.answer(),
        Some(failure) => failure.answer(),
        None => TargetFailure::unreached(last_reason).answer(),
    }
}

/// Ranks a failure for the caller, the best one lowest: a 6xx, then codes on which the caller can act, then by class. A
/// target that was not reached comes last.
pub(crate) fn rank(failure: &TargetFailure) -> u16 {
    match failure.code {
        Some(600..=699) => 0,
        Some(415 | 420 | 484) => 1,
        Some(code) => code / 100,
        None => u16::MAX,
    }
}

/// Returns a final response with this code as an error.
pub(crate) fn refused<T>(code: u16, reason: ReasonSlug) -> Result<T, Box<FinalAnswer>> {
    Err(Box::new(FinalAnswer::new(code, reason)))
}

/// Returns the failure for an unusable description: 488 with Warning 399.
pub(crate) fn bad_media(text: &str) -> TargetFailure {
    TargetFailure::unusable(ReasonSlug::BadMedia, SdpRejection { warn_code: 399, text: text.to_owned() })
}

/// Returns the failure for an offer without a common codec.
pub(crate) fn unusable(refusal: SdpRejection) -> TargetFailure {
    TargetFailure::unusable(ReasonSlug::CodecMismatch, refusal)
}

/// Refuses a request within a dialog.
pub(crate) fn refuse_request(now: Instant, edge: &mut Edge, server: ServerId, code: u16) {
    edge.respond(now, server, ResponseSpec { code, ..ResponseSpec::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failures(codes: &[Option<u16>]) -> Vec<TargetFailure> {
        let one =
            |code: &Option<u16>| TargetFailure { code: *code, ..TargetFailure::unreached(ReasonSlug::TargetRejected) };
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
            let said = FailureResponse { code, ..FailureResponse::default() };
            TargetFailure::with_code(seen_code(code), ReasonSlug::TargetRejected).said(said, None)
        };
        let silent = || TargetFailure::unreached(ReasonSlug::NoResponse);
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
        let refusal = SdpRejection { warn_code: 305, text: "a\"b\\c\r\nd".into() };
        let answer = FinalAnswer::not_acceptable(ReasonSlug::CodecMismatch, refusal).to_sip();
        let warning = answer.headers.iter().find(|h| h.name == "Warning").unwrap();
        assert_eq!(warning.value, "305 Trunkgate \"a b c  d\"");
    }
}
