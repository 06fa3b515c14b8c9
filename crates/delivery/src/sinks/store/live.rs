//! Journal lines of live calls in memory. They are compressed some time after the answer, since they are read only when
//! the file is rewritten.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};

/// Time after the answer until the lines of a call are compressed; most short calls never are.
const PACKED_AFTER: Duration = Duration::from_secs(10);
/// Maximum number of calls compressed by one call of [`LiveLines::pack`].
const PACKED_AT_ONCE: usize = 500;

/// Journal lines of live calls, by SID.
#[derive(Debug, Default)]
pub(super) struct LiveLines {
    calls: BTreeMap<String, CallLines>,
    /// Dictionary for the compression: the first compressed lines.
    pattern: Box<[u8]>,
    /// SIDs of calls with lines to be compressed, and the times at which the lines last changed, earliest first.
    settling: VecDeque<(Instant, String)>,
}

/// Journal lines of one call.
#[derive(Debug)]
enum CallLines {
    Plain(Box<[u8]>),
    Packed(Box<[u8]>),
}

impl CallLines {
    fn read(&self, pattern: &[u8]) -> Cow<'_, [u8]> {
        match self {
            CallLines::Plain(lines) => Cow::Borrowed(lines),
            // The data was compressed by this process, so it is intact.
            CallLines::Packed(bytes) => decompress_size_prepended_with_dict(bytes, pattern).unwrap_or_default().into(),
        }
    }
}

impl LiveLines {
    /// Returns the number of calls.
    pub(super) fn len(&self) -> usize {
        self.calls.len()
    }

    /// Returns whether there are no calls.
    pub(super) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Returns the lines of a call.
    pub(super) fn get(&self, sid: &str) -> Option<Cow<'_, [u8]>> {
        self.calls.get(sid).map(|lines| lines.read(&self.pattern))
    }

    /// Replaces the lines of a call.
    pub(super) fn insert(&mut self, now: Instant, sid: String, lines: Box<[u8]>) {
        let before = self.calls.insert(sid.clone(), CallLines::Plain(lines));
        if matches!(before, Some(CallLines::Packed(_))) {
            self.settle(now, sid);
        }
    }

    /// Removes the lines of a call; returns whether there were any.
    pub(super) fn remove(&mut self, sid: &str) -> bool {
        let was_there = self.calls.remove(sid).is_some();
        if self.calls.is_empty() {
            self.settling = VecDeque::new();
        }
        was_there
    }

    /// Returns the lines of all calls.
    pub(super) fn text(&self) -> Vec<u8> {
        self.calls.values().flat_map(|lines| lines.read(&self.pattern).into_owned()).collect()
    }

    /// Adds the lines of all calls in another set.
    pub(super) fn extend(&mut self, now: Instant, other: &LiveLines) {
        for (sid, lines) in &other.calls {
            self.insert(now, sid.clone(), lines.read(&other.pattern).into());
            self.settle(now, sid.clone());
        }
    }

    /// Schedules the lines of a call for compression, because they will not change soon.
    pub(super) fn settle(&mut self, now: Instant, sid: String) {
        self.settling.push_back((now, sid));
    }

    /// Compresses scheduled lines that have not changed for [`PACKED_AFTER`].
    pub(super) fn pack(&mut self, now: Instant) {
        let mut packed = 0;
        while packed < PACKED_AT_ONCE {
            let due = |(at, _): &mut (Instant, String)| now.saturating_duration_since(*at) >= PACKED_AFTER;
            let Some((_, sid)) = self.settling.pop_front_if(due) else { return };
            // Most scheduled calls have ended by then.
            let Some(kept @ CallLines::Plain(_)) = self.calls.get_mut(&sid) else { continue };
            let lines = kept.read(&[]);
            if self.pattern.is_empty() {
                self.pattern = lines.clone().into();
            }
            let bytes = compress_prepend_size_with_dict(&lines, &self.pattern);
            *kept = CallLines::Packed(bytes.into());
            packed += 1;
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
            live.insert(now, number.to_string(), lines(number));
            live.settle(now, number.to_string());
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
        live.insert(now, "ringing".into(), lines(20));
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
        live.insert(now, "1".into(), b"{\"closing\":{}}\n".as_slice().into());
        live.pack(now + PACKED_AFTER);
        live.insert(now, "2".into(), lines(9));
        assert_eq!(live.text(), [b"{\"closing\":{}}\n".as_slice(), &lines(9)].concat());
        // Lines that replace compressed ones are scheduled again.
        assert_eq!((packed(&live), live.settling.len()), (1, 1));
        live.pack(now + 2 * PACKED_AFTER);
        assert_eq!((packed(&live), live.settling.len()), (2, 0));
        assert_eq!(live.get("2").as_deref(), Some(&*lines(9)));
        live.settle(now, "2".into());
        assert!(live.remove("1") && live.remove("2") && live.settling.is_empty());
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
        // Calls that have ended do not count.
        let mut live = filled(now, 1_200);
        (0..1_000).for_each(|number| assert!(live.remove(&number.to_string())));
        live.pack(now + PACKED_AFTER);
        assert_eq!((packed(&live), live.settling.len()), (200, 0));
    }

    #[test]
    fn calls_that_go_to_another_journal_are_read_there_as_they_were() {
        let now = Instant::now();
        let mut live = filled(now, 5);
        live.pack(now + PACKED_AFTER);
        let mut other = filled(now, 1);
        other.pack(now + PACKED_AFTER);
        other.extend(now, &live);
        assert_eq!((other.text(), packed(&other)), (live.text(), 0));
        other.pack(now + 2 * PACKED_AFTER);
        assert_eq!((other.text(), packed(&other)), (live.text(), 5));
    }
}
