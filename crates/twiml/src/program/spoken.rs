//! Speech input of a Gather: the results of the recogniser so far.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::step::{FetchPurpose, FetchRequest, ProgramStep, RecognitionStep, RequestParameter, TraceNote};
use super::steps::StepQueue;
use crate::document::{SpeechEnd, SpeechInput};
use crate::limits::SPEECH_CHARS;
use crate::location::DocumentLocation;
use crate::problem::code;
use crate::secret::SensitiveText;

/// Scale of confidences: parts per million, so that this value is a confidence of 1.
pub(super) const PARTS: u32 = 1_000_000;
/// Sequence numbers left out after a crash, because reports since the program was saved are unknown. Recognisers return
/// a few partial results a second.
const SEQUENCE_MARGIN: u32 = 32;

/// Speech input of a Gather with the results so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SpeechState {
    input: SpeechInput,
    /// Id of the active recogniser; `None` if none is active.
    listens: Option<u32>,
    /// True if the recogniser has ended and none will be started.
    is_over: bool,
    /// True if no recogniser is available; the input then waits for the timeout.
    #[serde(default)]
    is_unrecognised: bool,
    /// URL for partial results (`partialResultCallback`); `None` if partial results are not reported.
    partial_url: Option<String>,
    /// Sequence number of the next report of a partial result.
    sequence: u32,
    /// Time of the first recognised word; `None` before it.
    began: Option<Duration>,
    /// Concatenated final results.
    stable: SensitiveText,
    /// Latest partial result, which follows `stable`.
    unstable: SensitiveText,
    /// Sum of the confidences of final results in parts per million, and the number of results with a confidence.
    confidence: (u64, u32),
}

/// Interim or final transcript of a caller's speech, as the recogniser reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecogniserResult {
    /// Text that was recognised.
    pub text: SensitiveText,
    /// True if the recogniser will not change the text any more.
    pub is_final: bool,
    /// Confidence in parts per million; `None` if the recogniser does not report it.
    pub confidence_ppm: Option<u32>,
}

/// Result of the speech input of a Gather.
#[derive(Debug)]
pub(super) struct SpeechResult {
    pub(super) text: SensitiveText,
    pub(super) confidence: Option<String>,
    pub(super) language: String,
}

impl SpeechState {
    /// Creates speech input. An unresolvable callback is left out with a warning.
    pub(super) fn new(input: SpeechInput, line: u32, base: &DocumentLocation, steps: &mut StepQueue) -> Self {
        let partial_url = input.partial_callback.as_deref().and_then(|reference| match base.resolve_url(reference) {
            Ok(url) => Some(url),
            Err(what) => {
                let text = format!("no partialResultCallback: {what}");
                steps.trace(line, "Gather", TraceNote::Warning { code: code::BAD_URL, text });
                None
            }
        });
        SpeechState {
            input,
            listens: None,
            is_over: false,
            is_unrecognised: false,
            partial_url,
            sequence: 0,
            began: None,
            stable: SensitiveText::default(),
            unstable: SensitiveText::default(),
            confidence: (0, 0),
        }
    }

    /// Returns speech input without a recogniser: it waits for the timeout and understands nothing.
    pub(super) fn unrecognised(self) -> SpeechState {
        SpeechState { is_over: true, is_unrecognised: true, ..self }
    }

    pub(super) fn with_digits(&self) -> bool {
        self.input.with_digits
    }

    pub(super) fn barges_in(&self) -> bool {
        self.input.barge_in
    }

    pub(super) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// Returns whether to wait for input: a recogniser is active or may be started, or none is available at all.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_over || self.is_unrecognised
    }

    pub(super) fn has_final(&self) -> bool {
        !self.stable.reveal().is_empty()
    }

    /// Starts a recogniser, unless one is active or has ended.
    pub(super) fn start(&mut self, steps: &mut StepQueue) {
        if self.listens.is_none() && !self.is_over {
            let id = steps.id();
            self.listens = Some(id);
            steps.push(ProgramStep::StartRecognition(self.step(id)));
        }
    }

    /// Returns the request of the active recogniser, or `None` if none is active.
    pub(super) fn listening(&self) -> Option<RecognitionStep> {
        self.listens.map(|id| self.step(id))
    }

    fn step(&self, id: u32) -> RecognitionStep {
        let SpeechInput { language, hints, model, enhanced, profanity_filter, .. } = self.input.clone();
        RecognitionStep { id, language, hints, model, enhanced, profanity_filter }
    }

    /// Ends the recognition.
    pub(super) fn stop(&mut self, steps: &mut StepQueue) {
        self.is_over = true;
        if let Some(id) = self.listens.take() {
            steps.push(ProgramStep::StopRecognition { id });
        }
    }

    /// Handles the failure of recogniser `id`. Returns false if `id` is not that of the active recogniser.
    pub(super) fn fail(&mut self, id: u32) -> bool {
        let is_it = self.listens == Some(id);
        if is_it {
            (self.listens, self.is_over) = (None, true);
        }
        is_it
    }

    /// Handles a result of recogniser `id`. Returns true if the result contains a new word.
    pub(super) fn hear(&mut self, now: Duration, id: u32, heard: &RecogniserResult, steps: &mut StepQueue) -> bool {
        let text = heard.text.reveal().split_whitespace().collect::<Vec<_>>().join(" ");
        if self.listens != Some(id) || text.is_empty() {
            return false;
        }
        let is_new = heard.is_final || self.unstable.reveal() != text;
        self.began.get_or_insert(now);
        if heard.is_final {
            self.unstable = SensitiveText::default();
            let between = if self.has_final() { " " } else { "" };
            let all = format!("{}{between}{text}", self.stable.reveal());
            self.stable = SensitiveText::new(all.chars().take(SPEECH_CHARS).collect::<String>());
            if let Some(confidence) = heard.confidence_ppm {
                let (sum, count) = self.confidence;
                self.confidence = (sum + u64::from(confidence.min(PARTS)), count + 1);
            }
        } else {
            self.unstable = SensitiveText::new(text.chars().take(SPEECH_CHARS).collect::<String>());
        }
        if is_new && !self.ends_with(heard.is_final) {
            self.report(steps);
        }
        is_new
    }

    /// Returns whether a result ends the input.
    pub(super) fn ends_with(&self, is_final: bool) -> bool {
        is_final && self.input.ends == SpeechEnd::Auto
    }

    /// Returns the time at which the input ends if no further word follows.
    pub(super) fn until(&self, now: Duration, timeout: Duration) -> Duration {
        let pause = match self.input.ends {
            SpeechEnd::After(pause) => pause,
            // Guards against a recogniser that never sends a final result.
            SpeechEnd::Auto => timeout.max(Duration::from_secs(1)),
        };
        let longest = self.began.unwrap_or(now).saturating_add(self.input.longest);
        now.saturating_add(pause).min(longest)
    }

    /// Sends the results so far to the `partialResultCallback`, if there is one.
    fn report(&mut self, steps: &mut StepQueue) {
        let Some(url) = self.partial_url.clone() else { return };
        let parameters = vec![
            RequestParameter::new("StableSpeechResult", self.stable.reveal()),
            RequestParameter::new("UnstableSpeechResult", self.unstable.reveal()),
            RequestParameter::new("SequenceNumber", self.sequence.to_string()),
            RequestParameter::new("Language", self.input.language.clone()),
        ];
        self.sequence = self.sequence.saturating_add(1);
        let method = self.input.partial_method;
        steps.push(ProgramStep::ReportPartial(FetchRequest {
            location: DocumentLocation::Url(url),
            method,
            purpose: FetchPurpose::Partial,
            parameters,
        }));
    }

    /// Skips sequence numbers that crashed processes may have used: the margin as many times as given.
    pub(super) fn skip_partial_results(&mut self, margins: u32) {
        self.sequence = self.sequence.saturating_add(margins.saturating_mul(SEQUENCE_MARGIN));
    }

    /// Returns the final results followed by the latest partial one, with the mean confidence.
    pub(super) fn result(&self) -> SpeechResult {
        let between = if self.has_final() && !self.unstable.reveal().is_empty() { " " } else { "" };
        let text = format!("{}{between}{}", self.stable.reveal(), self.unstable.reveal());
        let (sum, count) = self.confidence;
        let mean = u32::try_from(sum / u64::from(count.max(1))).unwrap_or(PARTS);
        SpeechResult {
            text: SensitiveText::new(text),
            confidence: (count > 0).then(|| shown(mean)),
            language: self.input.language.clone(),
        }
    }

    /// Forgets the time of the first word, as if nothing had been said.
    pub(super) fn forget(&mut self) {
        self.began = None;
    }

    /// Discards the latest partial result.
    pub(super) fn drop_partial(&mut self) {
        self.unstable = SensitiveText::default();
    }
}

/// Formats a confidence in parts per million as Twilio does: `0.9254`, `1.0`.
fn shown(parts: u32) -> String {
    let digits = format!("{}.{:06}", parts / PARTS, parts % PARTS);
    let short = digits.trim_end_matches('0');
    if short.ends_with('.') { format!("{short}0") } else { short.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn confidences_have_at_least_one_digit_behind_the_point() {
        assert_eq!([0, 925_400, 5, PARTS].map(shown), ["0.0", "0.9254", "0.000005", "1.0"]);
    }
}
