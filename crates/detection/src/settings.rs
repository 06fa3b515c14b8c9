//! Settings of a detection: Twilio's parameters, with their ranges and defaults.

use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Moment at which the detection of a machine is reported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DetectionMode {
    /// A machine is reported when it is detected.
    Enable,
    /// A machine is reported after the end of its message.
    DetectMessageEnd,
}

/// Detection threshold that an API request may set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThresholdParameter {
    /// Name of the REST parameter.
    pub name: &'static str,
    /// Range of permitted values, in units of `unit_ms`.
    pub range: RangeInclusive<u32>,
    /// Default value, in units of `unit_ms`.
    pub default: u32,
    /// Unit of the values, in milliseconds.
    pub unit_ms: u32,
}

/// Settings of an answering machine detection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DetectionSettings {
    /// Moment at which the detection of a machine is reported.
    pub mode: DetectionMode,
    /// Maximum duration of the detection.
    pub timeout: Duration,
    /// Minimum duration of speech that indicates a machine.
    pub speech_threshold: Duration,
    /// Duration of silence after which speech has ended.
    pub speech_end_threshold: Duration,
    /// Duration of initial silence after which the detection ends.
    pub silence_timeout: Duration,
}

impl DetectionMode {
    /// Both modes with their names in `MachineDetection`.
    pub const ALL: [(DetectionMode, &'static str); 2] =
        [(DetectionMode::Enable, "Enable"), (DetectionMode::DetectMessageEnd, "DetectMessageEnd")];

    /// Parses the value of `MachineDetection`; `None` if it is unknown.
    pub fn named(name: &str) -> Option<DetectionMode> {
        DetectionMode::ALL.into_iter().find(|(_, known)| *known == name).map(|(mode, _)| mode)
    }
}

impl ThresholdParameter {
    /// Maximum duration of a detection (`MachineDetectionTimeout`), in seconds.
    pub const TIMEOUT: ThresholdParameter =
        ThresholdParameter { name: "MachineDetectionTimeout", range: 3..=59, default: 30, unit_ms: 1_000 };
    /// Duration of speech that indicates a machine (`MachineDetectionSpeechThreshold`), in milliseconds.
    pub const SPEECH: ThresholdParameter = ThresholdParameter {
        name: "MachineDetectionSpeechThreshold",
        range: 1_000..=6_000,
        default: 2_400,
        unit_ms: 1,
    };
    /// Silence that ends speech (`MachineDetectionSpeechEndThreshold`), in milliseconds.
    pub const SPEECH_END: ThresholdParameter = ThresholdParameter {
        name: "MachineDetectionSpeechEndThreshold",
        range: 500..=5_000,
        default: 1_200,
        unit_ms: 1,
    };
    /// Initial silence that ends the detection (`MachineDetectionSilenceTimeout`), in milliseconds.
    pub const SILENCE: ThresholdParameter = ThresholdParameter {
        name: "MachineDetectionSilenceTimeout",
        range: 2_000..=10_000,
        default: 5_000,
        unit_ms: 1,
    };
    /// All thresholds, in the order of [`DetectionSettings::new`].
    pub const ALL: [ThresholdParameter; 4] = [
        ThresholdParameter::TIMEOUT,
        ThresholdParameter::SPEECH,
        ThresholdParameter::SPEECH_END,
        ThresholdParameter::SILENCE,
    ];

    /// Returns a value as a duration, clamped to the range.
    pub fn duration(&self, value: u32) -> Duration {
        let value = value.clamp(*self.range.start(), *self.range.end());
        Duration::from_millis(u64::from(value) * u64::from(self.unit_ms))
    }
}

impl DetectionSettings {
    /// Creates settings from values in the order of [`ThresholdParameter::ALL`]; `None` selects the default.
    pub fn new(mode: DetectionMode, values: [Option<u32>; 4]) -> DetectionSettings {
        let [timeout, speech, speech_end, silence] = values;
        let of =
            |threshold: ThresholdParameter, value: Option<u32>| threshold.duration(value.unwrap_or(threshold.default));
        DetectionSettings {
            mode,
            timeout: of(ThresholdParameter::TIMEOUT, timeout),
            speech_threshold: of(ThresholdParameter::SPEECH, speech),
            speech_end_threshold: of(ThresholdParameter::SPEECH_END, speech_end),
            silence_timeout: of(ThresholdParameter::SILENCE, silence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_twilio() {
        let default = DetectionSettings::new(DetectionMode::Enable, [None; 4]);
        let ms = |time: Duration| time.as_millis();
        assert_eq!((ms(default.timeout), ms(default.speech_threshold)), (30_000, 2_400));
        assert_eq!((ms(default.speech_end_threshold), ms(default.silence_timeout)), (1_200, 5_000));
        let bounded = DetectionSettings::new(DetectionMode::Enable, [Some(1), Some(9_000), Some(0), Some(u32::MAX)]);
        assert_eq!((ms(bounded.timeout), ms(bounded.speech_threshold)), (3_000, 6_000));
        assert_eq!((ms(bounded.speech_end_threshold), ms(bounded.silence_timeout)), (500, 10_000));
        assert_eq!(
            (DetectionMode::named("DetectMessageEnd"), DetectionMode::named("enable")),
            (Some(DetectionMode::DetectMessageEnd), None)
        );
    }
}
