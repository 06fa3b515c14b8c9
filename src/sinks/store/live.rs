//! The lines of calls that are not crossed out of the journal, as they are kept in memory beside the file: packed once a call has
//! been answered for a while, since they are read again only where the file is written anew.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// Time after its answer when a call's lines are packed: most calls that are short are never.
const PACKED_AFTER: Duration = Duration::from_secs(10);
/// Most calls whose lines are packed at once.
const PACKED_AT_ONCE: usize = 500;

/// The lines of calls, by their SIDs.
#[derive(Debug, Default)]
pub(super) struct LiveLines {
    calls: BTreeMap<String, CallLines>,
    /// Lines like which those that are packed are: the first ones that were.
    pattern: Box<[u8]>,
    /// Calls that were answered lately, the earliest first.
    answered: VecDeque<(Instant, String)>,
}

/// The lines of a call.
#[derive(Debug)]
enum CallLines {
    Plain(Box<[u8]>),
    Packed(Box<[u8]>),
}

impl CallLines {
    fn read(&self, pattern: &[u8]) -> Cow<'_, [u8]> {
        match self {
            CallLines::Plain(lines) => Cow::Borrowed(lines),
            // What was packed here is whole.
            CallLines::Packed(bytes) => decompress_size_prepended_with_dict(bytes, pattern).unwrap_or_default().into(),
        }
    }
}

impl LiveLines {
    /// Returns how many calls there are.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns a call's lines.
    pub(super) fn get(&self, sid: &str) -> Option<Cow<'_, [u8]>> {
        self.calls.get(sid).map(|lines| lines.read(&self.pattern))
    }

    /// Keeps a call's lines in place of those that it had.
    pub(super) fn insert(&mut self, sid: String, lines: Box<[u8]>) {
        self.calls.insert(sid, CallLines::Plain(lines));
    }

    /// Forgets a call; whether it was there.
    pub(super) fn remove(&mut self, sid: &str) -> bool {
        self.calls.remove(sid).is_some()
    }

    /// Returns the lines of all calls.
    pub(super) fn text(&self) -> Vec<u8> {
        self.calls.values().flat_map(|lines| lines.read(&self.pattern).into_owned()).collect()
    }

    /// Keeps the calls of another one as well.
    pub(super) fn extend(&mut self, other: &LiveLines) {
        for (sid, lines) in &other.calls {
            self.insert(sid.clone(), lines.read(&other.pattern).into());
        }
        self.answered.extend(other.answered.iter().cloned());
    }

    /// Notes that a call was answered now: its lines are packed in a while.
    pub(super) fn answer(&mut self, now: Instant, sid: String) {
        self.answered.push_back((now, sid));
    }

    /// Packs the lines of calls that have been answered for a while.
    pub(super) fn pack(&mut self, now: Instant) {
        for _ in 0..PACKED_AT_ONCE {
            let due = |(at, _): &mut (Instant, String)| now.saturating_duration_since(*at) >= PACKED_AFTER;
            let Some((_, sid)) = self.answered.pop_front_if(due) else { return };
            let Some(kept) = self.calls.get_mut(&sid) else { continue };
            let CallLines::Plain(lines) = kept else { continue };
            if self.pattern.is_empty() {
                self.pattern = lines.clone();
            }
            *kept = CallLines::Packed(compress_prepend_size_with_dict(lines, &self.pattern).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(number: u32) -> Box<[u8]> {
        let line = format!(
            "{{\"began\":{{\"sid\":\"CA{number}\",\"from\":\"+1415555{number:04}\",\"trunk\":\"carrier\"}}}}\n"
        );
        line.repeat(3).into_bytes().into()
    }

    fn filled(now: Instant, calls: u32) -> LiveLines {
        let mut live = LiveLines::default();
        for number in 0..calls {
            live.insert(number.to_string(), lines(number));
            live.answer(now, number.to_string());
        }
        live
    }

    fn packed(live: &LiveLines) -> usize {
        live.calls.values().filter(|lines| matches!(lines, CallLines::Packed(_))).count()
    }

    #[test]
    fn lines_are_packed_a_while_after_the_answer_and_read_as_they_were() {
        let now = Instant::now();
        let mut live = filled(now, 20);
        live.insert("ringing".into(), lines(20));
        let text = live.text();
        live.pack(now + PACKED_AFTER.saturating_sub(Duration::from_millis(1)));
        assert_eq!(packed(&live), 0);
        live.pack(now + PACKED_AFTER);
        assert_eq!((packed(&live), live.len()), (20, 21));
        assert_eq!(live.text(), text);
        assert_eq!(live.get("7").as_deref(), Some(&*lines(7)));
        let CallLines::Packed(bytes) = &live.calls["7"] else { panic!("it is packed") };
        assert!(bytes.len() < lines(7).len() / 2, "{} bytes of {}", bytes.len(), lines(7).len());
    }

    #[test]
    fn a_call_that_is_over_or_has_other_lines_by_then_is_no_trouble() {
        let now = Instant::now();
        let mut live = filled(now, 3);
        assert!(live.remove("0") && !live.remove("0"));
        live.insert("1".into(), b"{\"closing\":{}}\n".as_slice().into());
        live.pack(now + PACKED_AFTER);
        live.insert("2".into(), lines(9));
        assert_eq!(live.text(), [b"{\"closing\":{}}\n".as_slice(), &lines(9)].concat());
    }

    #[test]
    fn so_many_are_packed_at_once_and_the_others_next_time() {
        let now = Instant::now();
        let mut live = filled(now, 1_200);
        let seen = [(); 3].map(|()| {
            live.pack(now + PACKED_AFTER);
            packed(&live)
        });
        assert_eq!(seen, [PACKED_AT_ONCE, 2 * PACKED_AT_ONCE, 1_200]);
    }

    #[test]
    fn calls_that_go_to_another_journal_are_read_there_as_they_were() {
        let now = Instant::now();
        let mut live = filled(now, 5);
        live.pack(now + PACKED_AFTER);
        let mut other = filled(now, 1);
        other.pack(now + PACKED_AFTER);
        other.extend(&live);
        assert_eq!(other.text(), live.text());
    }
}
