//! Speech of a Gather: what its recogniser has understood so far.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::step::{Note, Parameter, Purpose, RecognitionStep, Request, Step};
use super::steps::Steps;
use crate::document::{SpeechEnd, SpeechInput};
use crate::limits::SPEECH_CHARS;
use crate::location::Location;
use crate::problem::code;
use crate::secret::Secret;

/// Confidence 1, in parts per million.
pub(super) const PARTS: u32 = 1_000_000;

/// Speech of the caller, as far as it has been understood.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spoken {
    input: SpeechInput,
    /// Id of the recogniser that listens.
    listens: Option<u32>,
    /// Whether no recogniser listens any more, nor will.
    is_over: bool,
    /// Whether there was none from the beginning: silence is waited for all the same.
    #[serde(default)]
    is_unrecognised: bool,
    /// Receiver of partial results.
    partial_url: Option<String>,
    /// Number of the next report of a partial result.
    sequence: u32,
    /// Time of the first word.
    began: Option<Duration>,
    /// Final results, one behind the other.
    stable: Secret,
    /// The last partial result behind them.
    unstable: Secret,
    /// Sum of the confidences of final results, in parts per million, and the number of results that had one.
    confidence: (u64, u32),
}

/// A result of a recogniser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// Text.
    pub text: Secret,
    /// Whether the recogniser will not change it any more.
    pub is_final: bool,
    /// Confidence in parts per million, where the recogniser states one.
    pub confidence_ppm: Option<u32>,
}

/// The result of speech input.
#[derive(Debug)]
pub(super) struct SpeechResult {
    pub(super) text: Secret,
    pub(super) confidence: Option<String>,
    pub(super) language: String,
}

impl Spoken {
    /// Prepares for speech; a callback that leads nowhere is left out with a warning.
    pub(super) fn new(input: SpeechInput, line: u32, base: &Location, steps: &mut Steps) -> Self {
        let partial_url = input.partial_callback.as_deref().and_then(|reference| match base.resolve_url(reference) {
            Ok(url) => Some(url),
            Err(what) => {
                let text = format!("no partialResultCallback: {what}");
                steps.trace(line, "Gather", Note::Warning { code: code::BAD_URL, text });
                None
            }
        });
        Spoken {
            input,
            listens: None,
            is_over: false,
            is_unrecognised: false,
            partial_url,
            sequence: 0,
            began: None,
            stable: Secret::default(),
            unstable: Secret::default(),
            confidence: (0, 0),
        }
    }

    /// Returns speech input for which there is no recogniser: the caller is waited for, and nothing is understood.
    pub(super) fn unrecognised(self) -> Spoken {
        Spoken { is_over: true, is_unrecognised: true, ..self }
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

    /// Whether the input is waited for: a recogniser listens or may still be asked to, or there never was one.
    pub(super) fn is_awaited(&self) -> bool {
        !self.is_over || self.is_unrecognised
    }

    pub(super) fn has_final(&self) -> bool {
        !self.stable.reveal().is_empty()
    }

    /// Has a recogniser listen, unless one does or did.
    pub(super) fn start(&mut self, steps: &mut Steps) {
        if self.listens.is_none() && !self.is_over {
            let id = steps.id();
            self.listens = Some(id);
            steps.push(Step::StartRecognition(self.step(id)));
        }
    }

    /// The recogniser that listens, as it was asked for.
    pub(super) fn listening(&self) -> Option<RecognitionStep> {
        self.listens.map(|id| self.step(id))
    }

    fn step(&self, id: u32) -> RecognitionStep {
        let SpeechInput { language, hints, model, enhanced, profanity_filter, .. } = self.input.clone();
        RecognitionStep { id, language, hints, model, enhanced, profanity_filter }
    }

    /// Ends the recognition for good.
    pub(super) fn stop(&mut self, steps: &mut Steps) {
        self.is_over = true;
        if let Some(id) = self.listens.take() {
            steps.push(Step::StopRecognition { id });
        }
    }

    /// Notes that the recogniser is gone; false where it is another one.
    pub(super) fn fail(&mut self, id: u32) -> bool {
        let is_it = self.listens == Some(id);
        if is_it {
            (self.listens, self.is_over) = (None, true);
        }
        is_it
    }

    /// Takes a result; whether there is a new word in it.
    pub(super) fn hear(&mut self, now: Duration, id: u32, heard: &Heard, steps: &mut Steps) -> bool {
        let text = heard.text.reveal().split_whitespace().collect::<Vec<_>>().join(" ");
        if self.listens != Some(id) || text.is_empty() {
            return false;
        }
        let is_new = heard.is_final || self.unstable.reveal() != text;
        self.began.get_or_insert(now);
        if heard.is_final {
            self.unstable = Secret::default();
            let between = if self.has_final() { " " } else { "" };
            let all = format!("{}{between}{text}", self.stable.reveal());
            self.stable = Secret::new(all.chars().take(SPEECH_CHARS).collect::<String>());
            if let Some(confidence) = heard.confidence_ppm {
                let (sum, count) = self.confidence;
                self.confidence = (sum + u64::from(confidence.min(PARTS)), count + 1);
            }
        } else {
            self.unstable = Secret::new(text.chars().take(SPEECH_CHARS).collect::<String>());
        }
        if is_new && !self.ends_with(heard.is_final) {
            self.report(steps);
        }
        is_new
    }

    /// Whether a result ends the input.
    pub(super) fn ends_with(&self, is_final: bool) -> bool {
        is_final && self.input.ends == SpeechEnd::Auto
    }

    /// Returns when the input ends without a further word.
    pub(super) fn until(&self, now: Duration, timeout: Duration) -> Duration {
        let pause = match self.input.ends {
            SpeechEnd::After(pause) => pause,
            // A recogniser that never ends what it has begun.
            SpeechEnd::Auto => timeout.max(Duration::from_secs(1)),
        };
        let longest = self.began.unwrap_or(now).saturating_add(self.input.longest);
        now.saturating_add(pause).min(longest)
    }

    /// Reports a partial result.
    fn report(&mut self, steps: &mut Steps) {
        let Some(url) = self.partial_url.clone() else { return };
        let parameters = vec![
            Parameter::new("StableSpeechResult", self.stable.reveal()),
            Parameter::new("UnstableSpeechResult", self.unstable.reveal()),
            Parameter::new("SequenceNumber", self.sequence.to_string()),
            Parameter::new("Language", self.input.language.clone()),
        ];
        self.sequence = self.sequence.saturating_add(1);
        let method = self.input.partial_method;
        steps.push(Step::ReportPartial(Request {
            location: Location::Url(url),
            method,
            purpose: Purpose::Partial,
            parameters,
        }));
    }

    /// Returns what was said: the final results, and what was partial behind them.
    pub(super) fn result(&self) -> SpeechResult {
        let between = if self.has_final() && !self.unstable.reveal().is_empty() { " " } else { "" };
        let text = format!("{}{between}{}", self.stable.reveal(), self.unstable.reveal());
        let (sum, count) = self.confidence;
        let mean = u32::try_from(sum / u64::from(count.max(1))).unwrap_or(PARTS);
        SpeechResult {
            text: Secret::new(text),
            confidence: (count > 0).then(|| shown(mean)),
            language: self.input.language.clone(),
        }
    }

    /// Takes back that the caller has spoken.
    pub(super) fn forget(&mut self) {
        self.began = None;
    }

    /// Leaves out what was partial.
    pub(super) fn drop_partial(&mut self) {
        self.unstable = Secret::default();
    }
}

/// A confidence in digits, as Twilio writes it: `0.9254`, `1.0`.
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
