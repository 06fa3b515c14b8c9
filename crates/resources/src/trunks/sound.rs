//! Audio quality of a trunk in the last hour.

use std::time::Instant;

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::sounded::AudioQuality;
use trunkgate_story::view::TrunkQuality;

use crate::limits::{HEARD_AGAIN, POOR_TRUNK_MOS};

/// Mean opinion scores of one trunk's calls.
#[derive(Debug, Default)]
pub(crate) struct TrunkScores {
    /// Calls, the sum of their scores in hundredths, and calls with a poor score.
    scores: LastHour<3>,
    /// Most recent call with a poor score, and its SID.
    poor: Option<(AudioQuality, String)>,
    /// Consecutive calls without a poor score since the most recent poor call.
    good: u64,
}

impl TrunkScores {
    /// Counts the quality of a call; a score below [`POOR_TRUNK_MOS`] is poor.
    pub(crate) fn note(&mut self, now: Instant, sid: &str, call: AudioQuality) {
        let is_poor = call.mos < POOR_TRUNK_MOS;
        self.scores.add(now, [1, (call.mos * 100.0).round() as u64, u64::from(is_poor)]);
        if is_poor {
            (self.poor, self.good) = (Some((call, sid.to_owned())), 0);
        } else {
            self.good = self.good.saturating_add(1);
        }
    }

    /// Treats poor calls as solved, until the next one.
    pub(crate) fn withdraw(&mut self) {
        self.good = self.good.saturating_add(HEARD_AGAIN);
    }

    /// Returns the quality of the last hour; `None` if no call had a score.
    pub(crate) fn view(&self, now: Instant) -> Option<TrunkQuality> {
        let [calls, sum, poor] = self.scores.sums(now);
        let mos = (sum as f64 / calls.max(1) as f64).round() / 100.0;
        let last = self.poor.as_ref().filter(|_| poor > 0);
        (calls > 0).then(|| TrunkQuality {
            mos,
            calls,
            poor,
            is_poor: mos < POOR_TRUNK_MOS,
            still: poor > 0 && self.good < HEARD_AGAIN,
            good_since: self.good,
            cause: last.map(|(call, _)| call.figures()),
            fix: last.map(|(call, _)| call.fix()),
            last_sid: last.map(|(_, sid)| sid.clone()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn call(mos: f64) -> AudioQuality {
        AudioQuality { mos, lost: 0, received: 500, jitter_ms: 45.0, rtt_ms: None, codec: "PCMU".to_owned() }
    }

    #[test]
    #[allow(clippy::disallowed_methods)] // only the start of virtual time
    fn poor_calls_are_shown_with_the_mean_until_three_good_ones_came() {
        let (mut sound, now) = (TrunkScores::default(), Instant::now());
        assert_eq!(sound.view(now), None);
        for (n, mos) in [2.0, 2.5, 3.1].into_iter().enumerate() {
            sound.note(now, &format!("CA{n}"), call(mos));
        }
        let view = sound.view(now).unwrap();
        assert_eq!((view.mos, view.calls, view.poor, view.still), (2.53, 3, 2, true));
        assert!(view.is_poor);
        assert_eq!(view.last_sid.as_deref(), Some("CA1"));
        assert!(view.cause.unwrap().starts_with("MOS 2.5, ") && view.fix.unwrap().contains("DSCP EF"));
        (0..2).for_each(|_| sound.note(now, "CA8", call(4.3)));
        assert!(!sound.view(now).unwrap().still, "three good calls in a row");
        sound.note(now, "CA9", call(1.4));
        assert!(sound.view(now).unwrap().still);
        assert_eq!(sound.view(now + Duration::from_secs(7_200)), None);
    }
}
