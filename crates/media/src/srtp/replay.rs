//! Replay window: the highest packet index seen, and a bit mask of the indices behind it (RFC 3711 §3.3.2).

use crate::limits::SRTP_REPLAY_PACKETS;

/// Replay window of one stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(from = "StoredWindow", into = "StoredWindow")]
pub(super) struct ReplayWindow {
    highest: Option<u64>,
    /// Bit mask of seen indices; bit n stands for `highest - n`.
    seen: u128,
}

/// Serialized form in a snapshot: the highest index and the mask, upper half first.
type StoredWindow = (Option<u64>, [u64; 2]);

impl From<StoredWindow> for ReplayWindow {
    fn from((highest, [high, low]): StoredWindow) -> ReplayWindow {
        ReplayWindow { highest, seen: u128::from(high) << 64 | u128::from(low) }
    }
}

impl From<ReplayWindow> for StoredWindow {
    fn from(window: ReplayWindow) -> StoredWindow {
        // Truncation is intended: the mask is stored in two halves.
        (window.highest, [(window.seen >> 64) as u64, window.seen as u64])
    }
}

impl ReplayWindow {
    /// Returns the highest index seen.
    pub(super) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Returns whether an index was not seen before and lies within the window or ahead of it.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.highest {
            None => true,
            Some(highest) if index > highest => true,
            Some(highest) => {
                let behind = highest - index;
                behind < u64::from(SRTP_REPLAY_PACKETS) && self.seen >> behind & 1 == 0
            }
        }
    }

    /// Returns whether an index lies within the window or ahead of it.
    pub(super) fn reaches(&self, index: u64) -> bool {
        self.highest.is_none_or(|highest| highest.saturating_sub(index) < u64::from(SRTP_REPLAY_PACKETS))
    }

    /// Returns the window moved ahead to the index `highest`; unchanged if that is not ahead of the window.
    pub(super) fn advanced(mut self, highest: Option<u64>) -> ReplayWindow {
        if let Some((to, from)) = highest.zip(self.highest).filter(|(to, from)| to > from) {
            let moved = u32::try_from(to - from).ok().and_then(|ahead| self.seen.checked_shl(ahead));
            (self.highest, self.seen) = (highest, moved.unwrap_or(0));
        }
        self
    }

    /// Marks an index as seen; [`Self::is_new`] must hold for it.
    pub(super) fn see(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => self.seen |= 1u128.checked_shl((highest - index) as u32).unwrap_or(0),
            before => {
                let ahead = before.map_or(u64::from(SRTP_REPLAY_PACKETS), |highest| index - highest);
                let moved = u32::try_from(ahead).ok().and_then(|ahead| self.seen.checked_shl(ahead));
                self.seen = moved.unwrap_or(0) | 1;
                self.highest = Some(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_of_128_packets() {
        let mut window = ReplayWindow::default();
        assert!(window.is_new(1000));
        window.see(1000);
        for (index, is_new) in [(1000, false), (1001, true), (873, true), (872, false), (0, false)] {
            assert_eq!((window.is_new(index), window.reaches(index)), (is_new, index > 872), "{index}");
        }
        window.see(873);
        assert!(!window.is_new(873));
        window.see(1001);
        assert!(!window.is_new(873) && !window.reaches(873) && !window.is_new(1000) && window.is_new(874));
        window.see(u64::MAX);
        assert!(!window.is_new(1001) && window.is_new(u64::MAX - 127));
    }

    #[test]
    fn one_who_has_come_further_has_seen_the_same() {
        let mut window = ReplayWindow::default();
        for index in [90, 100] {
            window.see(index);
        }
        let further = window.advanced(Some(150));
        let seen =
            |window: &ReplayWindow| (0..=150).filter(|n| window.reaches(*n) && !window.is_new(*n)).collect::<Vec<_>>();
        assert_eq!((further.highest(), seen(&further)), (Some(150), vec![90, 100]));
        assert!(further.is_new(150) && !further.is_new(22));
        assert_eq!((window.advanced(Some(99)), window.advanced(None)), (window, window));
        assert_eq!(seen(&window.advanced(Some(1000))), Vec::<u64>::new());
        assert_eq!(ReplayWindow::default().advanced(Some(7)), ReplayWindow::default());
    }

    proptest! {
        #[test]
        fn nothing_is_seen_twice_and_nothing_near_is_refused(steps in proptest::collection::vec(-140i64..200, 1..400)) {
            let (mut window, mut seen, mut highest) = (ReplayWindow::default(), BTreeSet::new(), 5000u64);
            window.see(highest);
            seen.insert(highest);
            for step in steps {
                let index = highest.saturating_add_signed(step);
                let expected = !seen.contains(&index) && (index > highest || highest - index < 128);
                prop_assert_eq!(window.is_new(index), expected);
                if expected {
                    window.see(index);
                    seen.insert(index);
                    highest = highest.max(index);
                }
                prop_assert_eq!(window.highest(), Some(highest));
            }
        }
    }
}
