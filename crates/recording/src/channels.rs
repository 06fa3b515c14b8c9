//! Channels of a recording, and the mix of both parties into one.

/// Channels of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channels {
    /// One channel with both parties.
    Mono,
    /// Caller left, everything that the caller hears right.
    Dual,
}

impl Channels {
    /// Returns how many there are.
    pub const fn count(self) -> u16 {
        match self {
            Channels::Mono => 1,
            Channels::Dual => 2,
        }
    }

    /// Returns the channels of this number; `None` where no recording has as many.
    pub const fn of(count: u16) -> Option<Channels> {
        match count {
            1 => Some(Channels::Mono),
            2 => Some(Channels::Dual),
            _ => None,
        }
    }

    /// Appends stereo samples, caller first, as this recording has them.
    ///
    /// Mono is the sum of both, limited to the range of a sample: a party that speaks alone keeps its level, as in Twilio's mono
    /// recordings, where an average would halve it.
    pub(crate) fn take(self, stereo: &[i16], to: &mut Vec<i16>) {
        match self {
            Channels::Dual => to.extend_from_slice(stereo),
            Channels::Mono => {
                to.extend(stereo.as_chunks::<2>().0.iter().map(|[left, right]| left.saturating_add(*right)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_keeps_the_level_of_a_single_speaker_and_saturates_where_both_speak() {
        let mut mono = Vec::new();
        Channels::Mono.take(&[1000, 0, 0, -7, 30_000, 30_000, i16::MIN, -1], &mut mono);
        assert_eq!(mono, [1000, -7, i16::MAX, i16::MIN]);
        assert_eq!(
            (Channels::of(1), Channels::of(2), Channels::of(3)),
            (Some(Channels::Mono), Some(Channels::Dual), None)
        );
    }
}
