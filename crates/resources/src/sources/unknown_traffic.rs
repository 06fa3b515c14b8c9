//! SIP messages and connections from addresses of no trunk: dropped without a response and logged at most once a
//! minute, since internet scanners send many.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use trunkgate_story::last_hour::LastHour;
use trunkgate_story::view::{SourceView, UnknownView};

use crate::limits::{UNKNOWN_SOURCES, UNKNOWN_TOLD_SECONDS};

const HOUR: Duration = Duration::from_secs(3_600);

/// Kind of traffic from an unknown source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficKind {
    /// A SIP message.
    Message,
    /// A TCP or TLS connection.
    Connection,
}

/// Traffic from unknown sources.
#[derive(Debug, Default)]
pub struct UnknownTraffic {
    /// Messages and connections since the start.
    count: u64,
    lately: LastHour<1>,
    last: Option<(IpAddr, Instant)>,
    /// Sources of the last hour, the most recent one last: number of messages, and time of the last message.
    sources: Vec<(IpAddr, u64, Instant)>,
    /// Time of the last log line, and the count at that time.
    last_log: Option<(Instant, u64)>,
}

impl UnknownTraffic {
    /// Counts a message or connection. Returns a log line if one is due.
    pub fn note(&mut self, now: Instant, source: IpAddr, sent: TrafficKind) -> Option<String> {
        self.count += 1;
        self.lately.count(now, [true]);
        self.last = Some((source, now));
        self.count_source(now, source);
        let every = Duration::from_secs(UNKNOWN_TOLD_SECONDS);
        let before = self.last_log;
        if before.is_some_and(|(at, _)| now.saturating_duration_since(at) < every) {
            return None;
        }
        self.last_log = Some((now, self.count));
        let more = match self.count - before.map_or(0, |(_, count)| count) {
            1 => String::new(),
            many => format!(", {many} since the line before"),
        };
        let dropped = match sent {
            TrafficKind::Message => format!("SIP from {source} is dropped"),
            TrafficKind::Connection => format!("a connection from {source} is closed"),
        };
        Some(format!("{dropped}: unknown source (in no `peers` or `accept_from`){more}"))
    }

    fn count_source(&mut self, now: Instant, source: IpAddr) {
        let at = self.sources.iter().position(|(known, ..)| *known == source);
        let (_, before, _) = at.map_or((source, 0, now), |at| self.sources.remove(at));
        if self.sources.len() >= UNKNOWN_SOURCES {
            self.sources.remove(0);
        }
        self.sources.push((source, before + 1, now));
    }

    /// Returns the sources of the last hour, at most [`UNKNOWN_SOURCES`], the one with the most messages first, with
    /// the number of messages since the source is listed and the age of the last one.
    pub fn sources(&self, now: Instant) -> Vec<SourceView> {
        let ago = |at: Instant| now.saturating_duration_since(at);
        let all = self.sources.iter().map(|(source, count, at)| (*source, *count, ago(*at)));
        let mut lately: Vec<_> = all.filter(|(.., ago)| *ago < HOUR).collect();
        lately.sort_by_key(|(_, count, ago)| (std::cmp::Reverse(*count), *ago));
        let view = |(source, messages, ago): (IpAddr, u64, Duration)| SourceView {
            source: source.to_string(),
            messages,
            seconds_ago: ago.as_secs(),
        };
        lately.into_iter().map(view).collect()
    }

    /// Forgets a source that is known now, for example a phone that has registered.
    pub fn known(&mut self, source: IpAddr) {
        self.last = self.last.filter(|(last, _)| *last != source);
        self.sources.retain(|(known, ..)| *known != source);
    }

    /// Returns the traffic of the last hour; `None` if there was none.
    pub fn view(&self, now: Instant) -> Option<UnknownView> {
        self.lately(now).map(|(messages, last, ago)| UnknownView {
            messages,
            last: last.to_string(),
            seconds_ago: ago.as_secs(),
        })
    }

    /// Returns the number of messages of the last hour, if any, with source and age of the last message.
    pub fn lately(&self, now: Instant) -> Option<(u64, IpAddr, Duration)> {
        let (source, at) = self.last?;
        let [count] = self.lately.sums(now);
        (count > 0).then_some((count, source, now.saturating_duration_since(at)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "tests begin somewhere in time")]

    use super::*;

    #[test]
    fn sources_are_listed_the_most_active_first_and_bounded() {
        let start = Instant::now();
        let mut unknown = UnknownTraffic::default();
        let source = |n: u16| IpAddr::from([192, 0, (n >> 8) as u8, n as u8]);
        for n in 0..500 {
            unknown.note(start, source(n), TrafficKind::Message);
            unknown.note(start + Duration::from_secs(1), source(7), TrafficKind::Message);
        }
        let all = unknown.sources(start + Duration::from_secs(2));
        let first = (all[0].source.as_str(), all[0].messages, all[0].seconds_ago);
        assert_eq!((all.len(), first), (UNKNOWN_SOURCES, ("192.0.0.7", 501, 1)));
        assert!(unknown.sources(start + 2 * HOUR).is_empty());
        unknown.known(source(7));
        assert!(unknown.sources(start).iter().all(|known| known.source != "192.0.0.7"));
    }

    #[test]
    fn one_line_a_minute_however_many_come() {
        let start = Instant::now();
        let source = IpAddr::from([192, 0, 2, 7]);
        let mut unknown = UnknownTraffic::default();
        assert_eq!(unknown.lately(start), None);
        let at = |n| start + Duration::from_millis(100) * n;
        let lines: Vec<String> = (0..1_500).filter_map(|n| unknown.note(at(n), source, TrafficKind::Message)).collect();
        let (first, rest) = lines.split_first().unwrap();
        assert!(first.ends_with("unknown source (in no `peers` or `accept_from`)"), "{first}");
        assert_eq!(rest.len(), 2);
        assert!(rest.iter().all(|line| line.ends_with(", 600 since the line before")), "{rest:?}");
        let now = start + Duration::from_secs(150);
        assert_eq!(unknown.lately(now), Some((1_500, source, Duration::from_millis(100))));
        let later = now + Duration::from_secs(3_600);
        assert!(
            unknown.lately(later).is_some_and(|(lately, _, _)| lately < 1_500),
            "the first minute is over an hour ago"
        );
        assert_eq!(unknown.lately(now + Duration::from_secs(3_720)), None);
        unknown.known(IpAddr::from([192, 0, 2, 8]));
        assert!(unknown.lately(now).is_some());
        unknown.known(source);
        assert_eq!(unknown.lately(now), None);
    }
}
