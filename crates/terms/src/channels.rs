//! Channels of a recording.

use serde::{Deserialize, Serialize};

/// Number and content of the channels of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Channels {
    /// One channel with both parties.
    Mono,
    /// Caller on the left channel, audio sent to the caller on the right one.
    Dual,
}

impl Channels {
    /// Returns the number of channels.
    pub const fn count(self) -> u16 {
        match self {
            Channels::Mono => 1,
            Channels::Dual => 2,
        }
    }

    /// Returns the layout with `count` channels; `None` unless `count` is 1 or 2.
    pub const fn of(count: u16) -> Option<Channels> {
        match count {
            1 => Some(Channels::Mono),
            2 => Some(Channels::Dual),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_have_one_channel_or_two() {
        assert_eq!(
            (Channels::of(1), Channels::of(2), Channels::of(3)),
            (Some(Channels::Mono), Some(Channels::Dual), None)
        );
    }
}
