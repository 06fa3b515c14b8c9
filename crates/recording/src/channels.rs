//! Mixing of both parties into the channels of a recording.

use trunkgate_terms::Channels;

/// Appends stereo samples, caller first, in the channels of the recording.
///
/// Mono is the saturating sum of both: a party that speaks alone keeps its level, as in Twilio's mono recordings, while
/// an average would halve it.
pub fn mix(channels: Channels, stereo: &[i16], to: &mut Vec<i16>) {
    match channels {
        Channels::Dual => to.extend_from_slice(stereo),
        Channels::Mono => to.extend(stereo.as_chunks::<2>().0.iter().map(|[left, right]| left.saturating_add(*right))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mono_keeps_the_level_of_a_single_speaker_and_saturates_where_both_speak() {
        let mut mono = Vec::new();
        mix(Channels::Mono, &[1000, 0, 0, -7, 30_000, 30_000, i16::MIN, -1], &mut mono);
        assert_eq!(mono, [1000, -7, i16::MAX, i16::MIN]);
    }
}
