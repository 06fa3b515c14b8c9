//! DTMF digits, as characters and as numbers of telephone-events.

/// A DTMF digit by the number of its telephone-event (RFC 4733 §3.2): 0 to 15.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digit(u8);

impl Digit {
    /// Parses a character in upper or lower case; `None` if it is not a DTMF digit.
    pub(crate) fn from_char(digit: char) -> Option<Digit> {
        (0..=15).map(Digit).find(|each| each.as_char() == digit.to_ascii_uppercase())
    }

    /// Parses the number of a telephone-event; `None` if the event is not a DTMF digit.
    pub(crate) fn from_event(event: u8) -> Option<Digit> {
        (event <= 15).then_some(Digit(event))
    }

    /// Returns the number of the digit's telephone-event, 0 to 15.
    pub(crate) fn event(self) -> u8 {
        self.0
    }

    /// Returns the digit as a character: `0` to `9`, `*`, `#` or `A` to `D`.
    pub(crate) fn as_char(self) -> char {
        match self.0 {
            10 => '*',
            11 => '#',
            digit @ 0..=9 => char::from(b'0' + digit),
            letter => char::from(b'A' + letter.saturating_sub(12)),
        }
    }
}
