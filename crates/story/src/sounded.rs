//! Audio quality of one party of an ended call: score and cause.

/// Packet loss from which loss is reported as the cause of poor audio, in percent.
const LOSSY_PERCENT: f64 = 1.0;
/// Jitter from which jitter is reported as the cause, in milliseconds: more than a usual jitter buffer compensates.
const JITTERY_MS: f64 = 30.0;
/// Round-trip time from which delay is reported as the cause, in milliseconds: twice the one-way limit of ITU-T G.114.
const FAR_MS: f64 = 300.0;

/// Quality of the audio that a party sent in one call.
#[derive(Debug, Clone, PartialEq)]
pub struct AudioQuality {
    /// Mean opinion score.
    pub mos: f64,
    /// Packets lost on the way to the edge.
    pub lost: u64,
    /// Packets received.
    pub received: u64,
    /// Interarrival jitter.
    pub jitter_ms: f64,
    /// RTCP round-trip time, if known.
    pub rtt_ms: Option<f64>,
    /// Name of the codec.
    pub codec: String,
}

impl AudioQuality {
    fn lost_percent(&self) -> f64 {
        let expected = (self.lost + self.received).max(1);
        self.lost as f64 * 100.0 / expected as f64
    }

    /// Formats score, loss, jitter, round-trip time and codec as text.
    pub fn figures(&self) -> String {
        let rtt = self.rtt_ms.map(|ms| format!(", round trip {ms:.0} ms")).unwrap_or_default();
        let (lost, jitter) = (self.lost_percent(), self.jitter_ms);
        format!("MOS {:.1}, {lost:.1} % packet loss, jitter {jitter:.0} ms{rtt}, codec {}", self.mos, self.codec)
    }

    /// Returns the fix for the first figure that is bad enough: loss, jitter, round-trip time; else for the codec.
    pub fn fix(&self) -> String {
        if self.lost_percent() >= LOSSY_PERCENT {
            "find where packets are lost: `mtr -u ADDRESS` from this machine; a full uplink, Wi-Fi or a VPN on the side of the trunk"
                .to_owned()
        } else if self.jitter_ms >= JITTERY_MS {
            "look for a saturated link between this machine and the trunk, and give RTP priority on it (DSCP EF)"
                .to_owned()
        } else if self.rtt_ms.is_some_and(|ms| ms >= FAR_MS) {
            "shorten the path: a peer of the carrier that is nearer to this machine, no VPN, no satellite link"
                .to_owned()
        } else {
            format!("prefer a better codec than {} in `codecs` of the trunk", self.codec)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fix_follows_from_the_figure_that_is_bad() {
        let call = |lost, jitter_ms, rtt_ms| AudioQuality {
            mos: 2.4,
            lost,
            received: 900,
            jitter_ms,
            rtt_ms,
            codec: "G729".to_owned(),
        };
        let lossy = call(100, 60.0, Some(480.4));
        assert_eq!(lossy.figures(), "MOS 2.4, 10.0 % packet loss, jitter 60 ms, round trip 480 ms, codec G729");
        assert!(lossy.fix().contains("mtr"), "{}", lossy.fix());
        assert!(call(0, 60.0, Some(480.4)).fix().contains("DSCP EF"));
        assert!(call(0, 5.0, Some(480.4)).fix().starts_with("shorten the path"));
        assert!(call(0, 5.0, None).fix().contains("G729"));
        assert_eq!(call(0, 5.0, None).figures(), "MOS 2.4, 0.0 % packet loss, jitter 5 ms, codec G729");
    }
}
