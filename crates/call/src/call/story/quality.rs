//! What a call sounds like: scores of its legs, counted for metrics and trunks.

use std::time::Instant;

use trunkgate_resources::edge::Edge;
use trunkgate_story::quality::Scored;

use crate::call::Call;
use crate::call::legs::leg::Leg;

impl Leg {
    /// Scores of what it sent; of a call that was too short for one, that of the whole.
    pub(crate) fn scores(&self) -> Scored {
        let mut all = self.scores;
        for end in &self.ends {
            all.add(Scored::of(&end.counters));
        }
        all.or_whole(self.view().rtp.mos)
    }
}

impl Call {
    /// What was heard of the two sides of an answered call.
    pub(crate) fn count_media(&self, now: Instant, edge: &mut Edge) {
        for leg in [Some(self.legs.near), self.legs.callee].into_iter().flatten() {
            let (heard, scores) = (self.legs[leg].view().rtp, self.legs[leg].scores());
            if heard.rx_packets > 0 {
                edge.metrics.rtp_jitter_seconds.observe(heard.jitter_ms / 1000.0);
            }
            if let Some(rtt) = heard.rtt_ms {
                edge.metrics.rtp_round_trip_seconds.observe(rtt / 1000.0);
            }
            if let Some(mean) = scores.mean() {
                edge.metrics.call_mos.observe(mean);
                if Some(leg) == self.legs.callee {
                    edge.trunks.scored(now, self.legs[leg].trunk_name(), mean);
                }
            }
        }
    }
}
