//! Active speaker of a conference: the loudest speaking party, with hysteresis so that a single syllable changes
//! nothing.

use crate::limits::SPEAKER_TICKS;

use super::party::PartyId;

/// Level by which a party must exceed the active speaker to replace it, in dB.
const LOUDER_DB: f32 = 3.0;

/// Selects the active speaker.
#[derive(Debug, Default)]
pub(super) struct SpeakerSelector {
    active: Option<PartyId>,
    challenger: Option<PartyId>,
    /// Ticks for which the challenger has been louder than the active speaker.
    ticks: u32,
}

impl SpeakerSelector {
    pub(super) fn active(&self) -> Option<PartyId> {
        self.active
    }

    /// Updates the selection from the speaking parties with their loudness; returns whether the active speaker changed.
    pub(super) fn choose(&mut self, speakers: impl Iterator<Item = (PartyId, f32)> + Clone) -> bool {
        let loudest = speakers.clone().max_by(|one, other| one.1.total_cmp(&other.1));
        let own = speakers.clone().find(|(id, _)| Some(*id) == self.active).map(|(_, loudness)| loudness);
        let Some(own) = own else {
            let next = loudest.map(|(id, _)| id);
            let changed = next != self.active;
            *self = SpeakerSelector { active: next, challenger: None, ticks: 0 };
            return changed;
        };
        let louder = loudest.filter(|(_, loudness)| *loudness > own + LOUDER_DB).map(|(id, _)| id);
        if louder.is_none() || louder != self.challenger {
            (self.challenger, self.ticks) = (louder, 0);
        }
        if louder.is_none() {
            return false;
        }
        self.ticks += 1;
        if self.ticks < SPEAKER_TICKS {
            return false;
        }
        *self = SpeakerSelector { active: louder, challenger: None, ticks: 0 };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(index: usize) -> PartyId {
        PartyId::new(index, 0)
    }

    fn choose(speaker: &mut SpeakerSelector, speakers: &[(usize, f32)]) -> Option<usize> {
        speaker.choose(speakers.iter().map(|(index, loudness)| (id(*index), *loudness)));
        speaker.active().map(PartyId::index)
    }

    #[test]
    fn the_first_who_speaks_is_active_until_it_stops() {
        let mut speaker = SpeakerSelector::default();
        assert_eq!(choose(&mut speaker, &[]), None);
        assert_eq!(choose(&mut speaker, &[(3, -30.0)]), Some(3));
        assert_eq!(choose(&mut speaker, &[(3, -30.0), (4, -28.0)]), Some(3));
        assert_eq!(choose(&mut speaker, &[(4, -28.0)]), Some(4));
        assert_eq!(choose(&mut speaker, &[]), None);
    }

    #[test]
    fn of_several_who_begin_at_once_the_loudest_is_active() {
        assert_eq!(choose(&mut SpeakerSelector::default(), &[(1, -30.0), (2, -20.0), (3, -25.0)]), Some(2));
    }

    #[test]
    fn a_louder_one_takes_over_after_half_a_second_and_not_by_a_syllable() {
        let mut speaker = SpeakerSelector::default();
        choose(&mut speaker, &[(1, -30.0)]);
        for _ in 0..5 {
            for _ in 0..SPEAKER_TICKS - 1 {
                assert_eq!(choose(&mut speaker, &[(1, -30.0), (2, -20.0)]), Some(1));
            }
            assert_eq!(choose(&mut speaker, &[(1, -30.0), (2, -28.0)]), Some(1), "no louder: counts from zero");
        }
        (1..SPEAKER_TICKS).for_each(|_| assert_eq!(choose(&mut speaker, &[(1, -30.0), (2, -20.0)]), Some(1)));
        assert_eq!(choose(&mut speaker, &[(1, -30.0), (2, -20.0)]), Some(2));
        assert_eq!(choose(&mut speaker, &[(1, -30.0), (2, -20.0)]), Some(2));
    }
}
