//! Prefixes before a number: a regular expression of the plan as a small program, run by backtracking. It matches as
//! the expression does, anchored at the start: of several matches the first alternative counts, not the longest.

/// Operation: a digit of the set in the next two bytes must follow.
const DIGIT: u8 = 1;
/// Operation: tries the next operation, and on failure goes to the offset in the next two bytes.
const SPLIT: u8 = 2;
/// Operation: goes to the offset in the next two bytes.
const JUMP: u8 = 3;
/// Operation: stores the position in the slot of the next byte.
const SAVE: u8 = 4;
/// Operation: the prefix matches.
const MATCH: u8 = 5;
/// Operation: no digit may follow.
const END: u8 = 6;

/// Number of slots: begin and end of two groups.
const SLOTS: usize = 4;
/// Maximum number of operations of one run, far above what any expression of the plans needs.
const MAX_STEPS: usize = 20_000;

/// Program of a prefix, followed by others.
#[derive(Debug, Clone, Copy)]
pub(super) struct PrefixProgram(pub(super) &'static [u8]);

/// Prefix found at the start of a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PrefixMatch {
    /// Number of digits of the prefix.
    pub(super) length: usize,
    slots: [Option<u8>; SLOTS],
}

impl PrefixMatch {
    /// Returns the digits of a group, 1 or 2; `None` if it took no part in the match.
    pub(super) fn group<'d>(&self, digits: &'d [u8], group: usize) -> Option<&'d [u8]> {
        let from = (*self.slots.get(2 * group - 2)?)?;
        let to = (*self.slots.get(2 * group - 1)?)?;
        digits.get(usize::from(from)..usize::from(to))
    }
}

impl PrefixProgram {
    /// Returns the prefix of the digits, if they have one.
    pub(super) fn find(self, digits: &[u8]) -> Option<PrefixMatch> {
        Run { program: self.0, digits, steps: MAX_STEPS }.from(0, 0, [None; SLOTS])
    }
}

struct Run<'d> {
    program: &'static [u8],
    digits: &'d [u8],
    steps: usize,
}

impl Run<'_> {
    fn from(&mut self, mut at: usize, mut position: usize, mut slots: [Option<u8>; SLOTS]) -> Option<PrefixMatch> {
        loop {
            self.steps = self.steps.checked_sub(1)?;
            match *self.program.get(at)? {
                DIGIT => {
                    let digit = self.digits.get(position)?.wrapping_sub(b'0');
                    (self.argument(at)? >> digit & 1 == 1).then_some(())?;
                    (at, position) = (at + 3, position + 1);
                }
                SPLIT => {
                    if let Some(found) = self.from(at + 3, position, slots) {
                        return Some(found);
                    }
                    at = usize::from(self.argument(at)?);
                }
                JUMP => at = usize::from(self.argument(at)?),
                SAVE => {
                    let slot = usize::from(*self.program.get(at + 1)?);
                    *slots.get_mut(slot)? = u8::try_from(position).ok();
                    at += 2;
                }
                END if position == self.digits.len() => at += 1,
                MATCH => return Some(PrefixMatch { length: position, slots }),
                _ => return None,
            }
        }
    }

    fn argument(&self, at: usize) -> Option<u16> {
        self.program.get(at + 1..at + 3)?.try_into().ok().map(u16::from_le_bytes)
    }
}
