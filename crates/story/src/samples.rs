//! Quality intervals of a leg as bytes: a call of ten minutes has 120 of them per leg, and they are read only when
//! the call is shown or has lost packets.

use trunkgate_media::AgentQueue;

use crate::kept_bytes;

/// Step in which the buffer grows: a few samples, since thousands of calls have them.
const STEP_BYTES: usize = 64;

const AGENT: u8 = 1;
const REPORTED: u8 = 2;

/// Counts of one interval. They cannot overflow: an interval of a whole day has 4 million packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct QualitySample {
    pub(crate) received: u32,
    pub(crate) lost: u32,
    pub(crate) sent: u32,
    pub(crate) far_lost: u32,
    pub(crate) link: LinkQuality,
}

/// State of a leg's network or agent in an interval. Both kinds share one compact type, so that neither needs more
/// memory because of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkQuality {
    /// A network, with figures from RTCP.
    Network {
        /// Jitter at the end of the interval; maximum of merged intervals.
        jitter_us: u32,
        /// Jitter reported by the remote party; maximum of merged intervals.
        far_jitter_us: u32,
        /// Round-trip time; maximum of merged intervals; 0: unknown.
        rtt_us: u32,
        /// Whether the remote party sent a report in the interval.
        reported: bool,
    },
    /// WebSocket of an agent.
    Agent {
        /// Audio of the agent that the caller had not heard at the end of the interval.
        unheard_ms: u32,
        /// Maximum of `unheard_ms` in the interval.
        most_unheard_ms: u32,
        /// Audio not yet sent to the agent at the end of the interval, in frames of 20 ms (at most 100).
        unsent: u16,
        /// Maximum of `unsent` in the interval.
        most_unsent: u16,
    },
}

impl Default for LinkQuality {
    fn default() -> LinkQuality {
        LinkQuality::Network { jitter_us: 0, far_jitter_us: 0, rtt_us: 0, reported: false }
    }
}

impl LinkQuality {
    /// Returns the state of two intervals merged into one.
    fn merged_with(self, next: LinkQuality) -> LinkQuality {
        match (self, next) {
            (
                LinkQuality::Network { jitter_us, far_jitter_us, rtt_us, reported },
                LinkQuality::Network { jitter_us: jitter, far_jitter_us: far, rtt_us: rtt, reported: too },
            ) => LinkQuality::Network {
                jitter_us: jitter_us.max(jitter),
                far_jitter_us: far_jitter_us.max(far),
                rtt_us: rtt_us.max(rtt),
                reported: reported || too,
            },
            (
                LinkQuality::Agent { most_unheard_ms: unheard, most_unsent: frames, .. },
                LinkQuality::Agent { unheard_ms, most_unheard_ms, unsent, most_unsent },
            ) => LinkQuality::Agent {
                unheard_ms,
                most_unheard_ms: unheard.max(most_unheard_ms),
                unsent,
                most_unsent: frames.max(most_unsent),
            },
            // The network state belongs to an interval without the agent.
            (agent @ LinkQuality::Agent { .. }, LinkQuality::Network { .. })
            | (LinkQuality::Network { .. }, agent @ LinkQuality::Agent { .. }) => agent,
        }
    }

    /// Returns the current state of an agent's queues.
    pub fn of_agent(queue: &AgentQueue) -> LinkQuality {
        let (unheard, unsent) = (&queue.unheard, &queue.unsent);
        LinkQuality::Agent {
            unheard_ms: unheard.now().try_into().unwrap_or(u32::MAX),
            most_unheard_ms: unheard.most().try_into().unwrap_or(u32::MAX),
            unsent: unsent.now().try_into().unwrap_or(u16::MAX),
            most_unsent: unsent.most().try_into().unwrap_or(u16::MAX),
        }
    }
}

impl QualitySample {
    /// Returns whether no packets were received, sent, lost or queued.
    pub(crate) fn is_empty(&self) -> bool {
        let waited = match self.link {
            LinkQuality::Network { reported, .. } => reported,
            LinkQuality::Agent { most_unheard_ms, most_unsent, .. } => most_unheard_ms > 0 || most_unsent > 0,
        };
        self.received == 0 && self.sent == 0 && self.lost == 0 && !waited
    }

    /// Returns two intervals merged into one.
    pub(crate) fn merged(self, next: QualitySample) -> QualitySample {
        QualitySample {
            received: self.received.saturating_add(next.received),
            lost: self.lost.saturating_add(next.lost),
            sent: self.sent.saturating_add(next.sent),
            far_lost: self.far_lost.saturating_add(next.far_lost),
            link: self.link.merged_with(next.link),
        }
    }
}

/// Quality intervals of a leg.
#[derive(Debug, Clone, Default)]
pub(crate) struct QualitySamples {
    /// Samples one after the other: flags, then the numbers of a sample in the order of [`numbers`].
    bytes: Vec<u8>,
    count: usize,
}

/// Returns the numbers of a sample in the order in which they are stored.
fn numbers(sample: &QualitySample) -> [u32; 8] {
    let QualitySample { received, lost, sent, far_lost, link: way } = *sample;
    let [first, second, third, fourth] = match way {
        LinkQuality::Network { jitter_us, far_jitter_us, rtt_us, .. } => [jitter_us, far_jitter_us, rtt_us, 0],
        LinkQuality::Agent { unheard_ms, most_unheard_ms, unsent, most_unsent } => {
            [unheard_ms, most_unheard_ms, unsent.into(), most_unsent.into()]
        }
    };
    [received, lost, sent, far_lost, first, second, third, fourth]
}

/// Returns the count of numbers in a sample with these flags.
fn count_of(flags: u8) -> usize {
    if flags & AGENT == 0 { 7 } else { 8 }
}

impl QualitySamples {
    /// Returns a buffer with these samples.
    pub(crate) fn of(samples: &[QualitySample]) -> QualitySamples {
        let mut kept = QualitySamples::default();
        samples.iter().for_each(|sample| kept.push(sample));
        kept
    }

    /// Returns the number of samples.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Returns whether there are no samples.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a sample.
    pub(crate) fn push(&mut self, sample: &QualitySample) {
        let flags = match sample.link {
            LinkQuality::Network { reported, .. } => u8::from(reported) * REPORTED,
            LinkQuality::Agent { .. } => AGENT,
        };
        kept_bytes::push(&mut self.bytes, &[flags], STEP_BYTES);
        for number in numbers(sample).into_iter().take(count_of(flags)) {
            kept_bytes::push_number(&mut self.bytes, number.into(), STEP_BYTES);
        }
        self.count += 1;
    }

    /// Returns the samples in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = QualitySample> {
        let mut bytes = self.bytes.as_slice();
        std::iter::from_fn(move || read(&mut bytes))
    }
}

fn read(bytes: &mut &[u8]) -> Option<QualitySample> {
    let (flags, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut numbers = [0_u32; 8];
    for number in numbers.iter_mut().take(count_of(*flags)) {
        *number = u32::try_from(kept_bytes::read_number(bytes)?).ok()?;
    }
    let [received, lost, sent, far_lost, first, second, third, fourth] = numbers;
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let way = if flags & AGENT == 0 {
        LinkQuality::Network { jitter_us: first, far_jitter_us: second, rtt_us: third, reported: flags & REPORTED != 0 }
    } else {
        LinkQuality::Agent {
            unheard_ms: first,
            most_unheard_ms: second,
            unsent: short(third),
            most_unsent: short(fourth),
        }
    };
    Some(QualitySample { received, lost, sent, far_lost, link: way })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_as_they_were_kept() {
        let network =
            |reported| LinkQuality::Network { jitter_us: 3_125, far_jitter_us: u32::MAX, rtt_us: 0, reported };
        let agent =
            LinkQuality::Agent { unheard_ms: 1_500, most_unheard_ms: u32::MAX, unsent: 3, most_unsent: u16::MAX };
        let all: Vec<QualitySample> = [network(false), network(true), agent, LinkQuality::default()]
            .into_iter()
            .map(|way| QualitySample { received: 250, lost: 0, sent: u32::MAX, far_lost: 7, link: way })
            .chain([QualitySample::default()])
            .collect();
        let kept = QualitySamples::of(&all);
        assert_eq!((kept.iter().collect::<Vec<_>>(), kept.len(), kept.is_empty()), (all, 5, false));
        assert!(QualitySamples::default().is_empty() && QualitySamples::default().iter().next().is_none());
    }

    #[test]
    fn ten_minutes_of_an_ordinary_leg_take_less_than_half_of_their_numbers() {
        let way = LinkQuality::Network { jitter_us: 2_000, far_jitter_us: 1_500, rtt_us: 20_000, reported: true };
        let kept =
            QualitySamples::of(&[QualitySample { received: 250, lost: 0, sent: 250, far_lost: 0, link: way }; 120]);
        assert!(kept.bytes.capacity() < 120 * size_of::<QualitySample>() / 2, "{} bytes", kept.bytes.capacity());
    }
}
