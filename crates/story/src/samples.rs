//! The intervals of a leg's quality over time, as bytes: a call that is held for ten minutes has 120 of each leg, and they are read
//! where the call is shown or has lost packets.

use trunkgate_media::AgentQueue;

use crate::kept_bytes;

/// Bytes for which room is made at a time: a few samples, since thousands of calls have them.
const STEP_BYTES: usize = 64;

const AGENT: u8 = 1;
const REPORTED: u8 = 2;

/// What came in one interval. Truncation is not met: an interval of a whole day has 4 million packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) received: u32,
    pub(crate) lost: u32,
    pub(crate) sent: u32,
    pub(crate) far_lost: u32,
    pub(crate) way: Way,
}

/// What its packets came and went by: no larger for the one kind of leg because of the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// A network, which RTCP tells of.
    Network {
        /// As it stood at the end; of two intervals that became one, the larger.
        jitter_us: u32,
        /// The same, as the remote party reports it.
        far_jitter_us: u32,
        /// The same; 0: not known.
        rtt_us: u32,
        /// Whether the far end reported in it.
        reported: bool,
    },
    /// An agent's socket.
    Agent {
        /// What it said and its caller had not heard at the end …
        unheard_ms: u32,
        /// … and the most of it.
        most_unheard_ms: u32,
        /// The same of what it was to hear, in frames of 20 ms: a hundred at most.
        unsent: u16,
        /// The most of it.
        most_unsent: u16,
    },
}

impl Default for Way {
    fn default() -> Way {
        Way::Network { jitter_us: 0, far_jitter_us: 0, rtt_us: 0, reported: false }
    }
}

impl Way {
    /// Of two intervals as one.
    fn and(self, next: Way) -> Way {
        match (self, next) {
            (
                Way::Network { jitter_us, far_jitter_us, rtt_us, reported },
                Way::Network { jitter_us: jitter, far_jitter_us: far, rtt_us: rtt, reported: too },
            ) => Way::Network {
                jitter_us: jitter_us.max(jitter),
                far_jitter_us: far_jitter_us.max(far),
                rtt_us: rtt_us.max(rtt),
                reported: reported || too,
            },
            (
                Way::Agent { most_unheard_ms: unheard, most_unsent: frames, .. },
                Way::Agent { unheard_ms, most_unheard_ms, unsent, most_unsent },
            ) => Way::Agent {
                unheard_ms,
                most_unheard_ms: unheard.max(most_unheard_ms),
                unsent,
                most_unsent: frames.max(most_unsent),
            },
            // The network is that of an interval in which the agent was out.
            (agent @ Way::Agent { .. }, Way::Network { .. }) | (Way::Network { .. }, agent @ Way::Agent { .. }) => {
                agent
            }
        }
    }

    /// Returns the state of an agent's queues now.
    pub fn of_agent(queue: &AgentQueue) -> Way {
        let (unheard, unsent) = (&queue.unheard, &queue.unsent);
        Way::Agent {
            unheard_ms: unheard.now().try_into().unwrap_or(u32::MAX),
            most_unheard_ms: unheard.most().try_into().unwrap_or(u32::MAX),
            unsent: unsent.now().try_into().unwrap_or(u16::MAX),
            most_unsent: unsent.most().try_into().unwrap_or(u16::MAX),
        }
    }
}

impl Sample {
    /// Whether nothing came, went or waited.
    pub(crate) fn is_empty(&self) -> bool {
        let waited = match self.way {
            Way::Network { reported, .. } => reported,
            Way::Agent { most_unheard_ms, most_unsent, .. } => most_unheard_ms > 0 || most_unsent > 0,
        };
        self.received == 0 && self.sent == 0 && self.lost == 0 && !waited
    }
    /// Both as one interval.
    pub(crate) fn and(self, next: Sample) -> Sample {
        Sample {
            received: self.received.saturating_add(next.received),
            lost: self.lost.saturating_add(next.lost),
            sent: self.sent.saturating_add(next.sent),
            far_lost: self.far_lost.saturating_add(next.far_lost),
            way: self.way.and(next.way),
        }
    }
}

/// The samples of a leg.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    /// Of each: flags, then its numbers as they stand in [`numbers`].
    bytes: Vec<u8>,
    count: usize,
}

/// Returns the numbers of a sample.
fn numbers(sample: &Sample) -> [u32; 8] {
    let Sample { received, lost, sent, far_lost, way } = *sample;
    let [first, second, third, fourth] = match way {
        Way::Network { jitter_us, far_jitter_us, rtt_us, .. } => [jitter_us, far_jitter_us, rtt_us, 0],
        Way::Agent { unheard_ms, most_unheard_ms, unsent, most_unsent } => {
            [unheard_ms, most_unheard_ms, unsent.into(), most_unsent.into()]
        }
    };
    [received, lost, sent, far_lost, first, second, third, fourth]
}

/// How many of them stand in a sample with these flags.
fn count_of(flags: u8) -> usize {
    if flags & AGENT == 0 { 7 } else { 8 }
}

impl Samples {
    /// Keeps all of them.
    pub(crate) fn of(samples: &[Sample]) -> Samples {
        let mut kept = Samples::default();
        samples.iter().for_each(|sample| kept.push(sample));
        kept
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds one.
    pub(crate) fn push(&mut self, sample: &Sample) {
        let flags = match sample.way {
            Way::Network { reported, .. } => u8::from(reported) * REPORTED,
            Way::Agent { .. } => AGENT,
        };
        kept_bytes::push(&mut self.bytes, &[flags], STEP_BYTES);
        for number in numbers(sample).into_iter().take(count_of(flags)) {
            kept_bytes::push_number(&mut self.bytes, number.into(), STEP_BYTES);
        }
        self.count += 1;
    }

    /// All, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Sample> {
        let mut bytes = self.bytes.as_slice();
        std::iter::from_fn(move || read(&mut bytes))
    }
}

fn read(bytes: &mut &[u8]) -> Option<Sample> {
    let (flags, rest) = bytes.split_first()?;
    *bytes = rest;
    let mut numbers = [0_u32; 8];
    for number in numbers.iter_mut().take(count_of(*flags)) {
        *number = u32::try_from(kept_bytes::read_number(bytes)?).ok()?;
    }
    let [received, lost, sent, far_lost, first, second, third, fourth] = numbers;
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let way = if flags & AGENT == 0 {
        Way::Network { jitter_us: first, far_jitter_us: second, rtt_us: third, reported: flags & REPORTED != 0 }
    } else {
        Way::Agent { unheard_ms: first, most_unheard_ms: second, unsent: short(third), most_unsent: short(fourth) }
    };
    Some(Sample { received, lost, sent, far_lost, way })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_as_they_were_kept() {
        let network = |reported| Way::Network { jitter_us: 3_125, far_jitter_us: u32::MAX, rtt_us: 0, reported };
        let agent = Way::Agent { unheard_ms: 1_500, most_unheard_ms: u32::MAX, unsent: 3, most_unsent: u16::MAX };
        let all: Vec<Sample> = [network(false), network(true), agent, Way::default()]
            .into_iter()
            .map(|way| Sample { received: 250, lost: 0, sent: u32::MAX, far_lost: 7, way })
            .chain([Sample::default()])
            .collect();
        let kept = Samples::of(&all);
        assert_eq!((kept.iter().collect::<Vec<_>>(), kept.len(), kept.is_empty()), (all, 5, false));
        assert!(Samples::default().is_empty() && Samples::default().iter().next().is_none());
    }

    #[test]
    fn ten_minutes_of_an_ordinary_leg_take_less_than_half_of_their_numbers() {
        let way = Way::Network { jitter_us: 2_000, far_jitter_us: 1_500, rtt_us: 20_000, reported: true };
        let kept = Samples::of(&[Sample { received: 250, lost: 0, sent: 250, far_lost: 0, way }; 120]);
        assert!(kept.bytes.capacity() < 120 * size_of::<Sample>() / 2, "{} bytes", kept.bytes.capacity());
    }
}
