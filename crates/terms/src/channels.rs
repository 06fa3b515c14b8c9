//! Channels of a recording.

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
