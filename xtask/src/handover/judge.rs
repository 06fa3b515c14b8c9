//! Judgement of packets over upgrades and crashes: added delay, loss, silence, and indices used again under one key.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::kinds::{Hears, Promise};
use super::media::{Arrival, Nanos, Section, StreamId, ns};
use crate::bench::restart::{IndexHistory, percentile, silence};

/// Time after an upgrade in which packets count as delayed by it.
const AFTER_UPGRADE: Duration = Duration::from_millis(500);
/// Time for packets on their way: those sent later are judged with the following event.
const ON_THE_WAY: Duration = Duration::from_millis(500);
/// Ticks of a timestamp per millisecond, for G.711.
const TICKS: i64 = 8;
/// Largest step of a sequence number that counts as loss; a larger one is another stream.
const LARGEST_GAP: u16 = 1_000;

/// Kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventKind {
    Upgrade,
    Crash,
    /// The process was stopped for a while.
    Freeze,
}

/// Upgrade or crash.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) kind: EventKind,
    pub(super) began: Nanos,
    /// Start of the next process after a crash: packets before it came from the killed one.
    pub(super) restarted: Nanos,
    /// Time at which the new process answered.
    pub(super) ready: Nanos,
}

/// Stream as it is judged.
#[derive(Debug, Clone, Copy)]
pub(super) struct JudgedStream {
    /// Index of the kind.
    pub(super) kind: usize,
    pub(super) call: usize,
    pub(super) hears: Hears,
    /// Stream of the other party.
    pub(super) other: Option<StreamId>,
    pub(super) is_srtp: bool,
    pub(super) on_upgrade: Promise,
    pub(super) on_crash: Promise,
}

/// Figures of packets of one kind of calls.
#[derive(Debug, Default)]
pub(super) struct PacketFigures {
    /// Added delays of the current upgrade in µs.
    pub(super) delays: Vec<u32>,
    /// Highest 99th percentile of any upgrade, and longest added delay, in µs.
    pub(super) p99_us: Option<u32>,
    pub(super) longest_us: Option<u32>,
    /// Packets lost on upgrades.
    pub(super) lost: usize,
    /// Silences over crashes, the ones before the current event first.
    pub(super) silences: Vec<Duration>,
    pub(super) silences_before: usize,
    /// Longest pauses of calls for which an upgrade is no promise of every packet.
    pub(super) pauses: Vec<Duration>,
    /// Calls with a direction in which no packet followed an event.
    pub(super) silent: BTreeSet<usize>,
    pub(super) reused: usize,
    pub(super) not_authentic: usize,
    /// Packets with the audio of another call.
    pub(super) foreign: usize,
}

/// State of one stream between events.
#[derive(Debug, Default)]
struct History {
    indices: IndexHistory,
    /// Packets of the other party whose arrival is not decided yet: number and time; and those that have arrived.
    pending: Vec<(u32, Nanos)>,
    arrived: BTreeSet<u32>,
}

/// Judge of all streams.
pub(super) struct Judge {
    streams: Vec<JudgedStream>,
    history: Vec<History>,
    pub(super) figures: Vec<PacketFigures>,
}

/// Figures of one event over all kinds, for the report of progress.
#[derive(Debug)]
pub(super) struct EventFigures {
    pub(super) p99: Option<Duration>,
    pub(super) longest: Option<Duration>,
    pub(super) lost: usize,
    pub(super) silent: usize,
}

impl Judge {
    /// Creates a judge of these streams, of this number of kinds.
    pub(super) fn new(streams: Vec<JudgedStream>, kinds: usize) -> Judge {
        let history = streams.iter().map(|_| History::default()).collect();
        Judge { streams, history, figures: (0..kinds).map(|_| PacketFigures::default()).collect() }
    }

    /// Judges the packets around an event: those up to the next cut, which was at `until`.
    pub(super) fn judge(&mut self, event: &Event, sections: &[Section], until: Nanos) -> EventFigures {
        let sums = |figures: &[PacketFigures]| -> (usize, usize) {
            (figures.iter().map(|one| one.lost).sum(), figures.iter().map(|one| one.silent.len()).sum())
        };
        let (lost, silent) = sums(&self.figures);
        for (id, section) in sections.iter().enumerate() {
            self.judge_stream(id, event, section, sections, until);
        }
        let mut delays: Vec<u32> = self.figures.iter().flat_map(|one| one.delays.iter().copied()).collect();
        let new = |one: &PacketFigures| one.silences.get(one.silences_before..).unwrap_or_default().to_vec();
        let mut silences: Vec<Duration> = self.figures.iter().flat_map(new).collect();
        delays.sort_unstable();
        silences.sort_unstable();
        self.figures.iter_mut().for_each(PacketFigures::close);
        let (lost_now, silent_now) = sums(&self.figures);
        let at = |percent| match event.kind {
            EventKind::Upgrade => percentile(&delays, percent).map(|us| Duration::from_micros(us.into())),
            EventKind::Crash | EventKind::Freeze => percentile(&silences, percent),
        };
        EventFigures { p99: at(99), longest: at(100), lost: lost_now - lost, silent: silent_now - silent }
    }

    fn judge_stream(&mut self, id: StreamId, event: &Event, section: &Section, sections: &[Section], until: Nanos) {
        let (Some(judged), Some(history)) = (self.streams.get(id).copied(), self.history.get_mut(id)) else { return };
        let Some(figures) = self.figures.get_mut(judged.kind) else { return };
        for arrival in section.arrivals.iter().filter(|_| judged.is_srtp) {
            figures.not_authentic += usize::from(!arrival.is_authentic);
            figures.reused += usize::from(history.indices.is_reused(arrival.ssrc, arrival.sequence));
        }
        let source = match judged.hears {
            Hears::Nothing => return,
            Hears::Edge => None,
            Hears::Itself => Some(id),
            Hears::Other => judged.other,
        };
        let heard: Vec<Arrival> = section.arrivals.iter().filter(|arrival| arrival.is_authentic).copied().collect();
        if let Some(source) = source {
            let foreign = |arrival: &&Arrival| arrival.source.is_some_and(|(stream, _)| stream != source);
            figures.foreign += heard.iter().filter(foreign).count();
        }
        let lost = match source.and_then(|source| Some((source, sections.get(source)?))) {
            Some((source, sent)) => history.count_lost(source, sent, &heard, until),
            None => skipped(&heard),
        };
        let promise = if event.kind == EventKind::Upgrade { judged.on_upgrade } else { judged.on_crash };
        match (event.kind, promise) {
            (EventKind::Upgrade, Promise::GoesOn) => {
                figures.lost += lost;
                let delays = match source.and_then(|source| Some((source, sections.get(source)?))) {
                    Some((source, sent)) => relayed_delays(source, sent, &heard),
                    None => paced_delays(&heard),
                };
                match added(&delays, event) {
                    Some(added) => figures.delays.extend(added),
                    None => drop(figures.silent.insert(judged.call)),
                }
            }
            (EventKind::Upgrade, _) => match longest_pause(&heard, event.began) {
                Some(pause) => figures.pauses.push(pause),
                None => drop(figures.silent.insert(judged.call)),
            },
            (EventKind::Freeze, _) => {
                if !heard.iter().any(|arrival| arrival.at >= event.ready) {
                    figures.silent.insert(judged.call);
                }
            }
            (EventKind::Crash, _) => {
                let came: Vec<Nanos> = heard.iter().map(|arrival| arrival.at).collect();
                match silence(&came, event.restarted) {
                    Ok(silence) => figures.silences.extend(silence.map(Duration::from_nanos)),
                    Err(()) => drop(figures.silent.insert(judged.call)),
                }
            }
        }
    }
}

impl PacketFigures {
    /// Adds the delays of an upgrade to the figures of all.
    fn close(&mut self) {
        self.delays.sort_unstable();
        self.p99_us = self.p99_us.max(percentile(&self.delays, 99));
        self.longest_us = self.longest_us.max(percentile(&self.delays, 100));
        self.delays.clear();
        self.silences.sort_unstable();
        self.silences_before = self.silences.len();
        self.pauses.sort_unstable();
    }
}

impl History {
    /// Counts the packets of `source` that have not arrived, of those sent long enough before `until`.
    fn count_lost(&mut self, source: StreamId, sent: &Section, heard: &[Arrival], until: Nanos) -> usize {
        let numbers = heard.iter().filter_map(|arrival| arrival.source.filter(|(stream, _)| *stream == source));
        self.arrived.extend(numbers.map(|(_, number)| number));
        self.pending.extend((sent.first..).zip(sent.sent.iter().copied()));
        let limit = until.saturating_sub(ns(ON_THE_WAY));
        let decided = self.pending.partition_point(|(_, at)| *at < limit);
        let lost = self.pending.drain(..decided).filter(|(number, _)| !self.arrived.contains(number)).count();
        let first = self.pending.first().map_or(u32::MAX, |(number, _)| *number);
        self.arrived = self.arrived.split_off(&first);
        lost
    }
}

/// Counts the sequence numbers that are missing in a stream that the edge makes; another SSRC counts as one.
fn skipped(heard: &[Arrival]) -> usize {
    let step = |pair: &[Arrival]| match pair {
        [before, after] if before.ssrc != after.ssrc => 1,
        [before, after] => match after.sequence.wrapping_sub(before.sequence) {
            gap @ 2..=LARGEST_GAP => usize::from(gap - 1),
            _ => 0,
        },
        _ => 0,
    };
    heard.windows(2).map(step).sum()
}

/// Returns the time of each packet of `source`, and its delay in ns.
fn relayed_delays(source: StreamId, sent: &Section, heard: &[Arrival]) -> Vec<(Nanos, i64)> {
    let delay = |arrival: &Arrival| {
        let (_, number) = arrival.source.filter(|(stream, _)| *stream == source)?;
        let at = *sent.sent.get(usize::try_from(number.checked_sub(sent.first)?).ok()?)?;
        Some((at, arrival.at.cast_signed() - at.cast_signed()))
    };
    heard.iter().filter_map(delay).collect()
}

/// Returns the due time of each packet of a stream that the edge makes, and its lateness in ns: packets are due by their
/// timestamps.
fn paced_delays(heard: &[Arrival]) -> Vec<(Nanos, i64)> {
    let mut first: BTreeMap<u32, (Nanos, u32)> = BTreeMap::new();
    let delay = |arrival: &Arrival| {
        let (at, timestamp) = *first.entry(arrival.ssrc).or_insert((arrival.at, arrival.timestamp));
        let ticks = i64::from(arrival.timestamp.wrapping_sub(timestamp).cast_signed());
        let due = at.cast_signed() + ticks * 1_000_000 / TICKS;
        (due.cast_unsigned(), arrival.at.cast_signed() - due)
    };
    heard.iter().map(delay).collect()
}

/// Returns the added delays of the packets of an upgrade in µs: beyond the median of those before it; `None` if there is
/// no packet before or after it.
fn added(delays: &[(Nanos, i64)], event: &Event) -> Option<Vec<u32>> {
    let mut before: Vec<i64> = delays.iter().filter(|(at, _)| *at < event.began).map(|(_, delay)| *delay).collect();
    before.sort_unstable();
    let usual = percentile(&before, 50)?;
    let during = event.began..event.ready + ns(AFTER_UPGRADE);
    let of_upgrade = delays.iter().filter(|(at, _)| during.contains(at));
    let added: Vec<u32> =
        of_upgrade.map(|(_, delay)| u32::try_from((delay - usual).max(0) / 1_000).unwrap_or(u32::MAX)).collect();
    let is_heard_after = delays.iter().any(|(at, _)| *at >= event.ready);
    (!added.is_empty() && is_heard_after).then_some(added)
}

/// Returns the longest time between two packets from an event on; `None` if no packet came after it.
fn longest_pause(heard: &[Arrival], began: Nanos) -> Option<Duration> {
    let pairs = heard.windows(2).filter_map(|pair| match pair {
        [before, after] if after.at >= began => Some(after.at.saturating_sub(before.at)),
        _ => None,
    });
    pairs.max().map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    fn section(arrivals: &[(Nanos, u32)], packets: u32) -> Section {
        let arrival = |(ms, number): &(Nanos, u32)| Arrival {
            at: ms * MS,
            ssrc: 1,
            sequence: *number as u16,
            timestamp: number * 160,
            source: Some((0, *number)),
            is_authentic: true,
        };
        let sent = (0..packets).map(|number| Nanos::from(number) * 20 * MS).collect();
        Section { arrivals: arrivals.iter().map(arrival).collect(), first: 0, sent }
    }

    fn judge(hears: Hears, event: EventKind, arrivals: &[(Nanos, u32)], until_ms: Nanos) -> PacketFigures {
        let judged = JudgedStream {
            kind: 0,
            call: 7,
            hears,
            other: None,
            is_srtp: true,
            on_upgrade: Promise::GoesOn,
            on_crash: Promise::GoesOn,
        };
        let event = Event { kind: event, began: 1_000 * MS, restarted: 1_050 * MS, ready: 1_100 * MS };
        let mut judge = Judge::new(vec![judged], 1);
        judge.judge(&event, &[section(arrivals, 100)], until_ms * MS);
        judge.figures.pop().unwrap()
    }

    /// Packets of which each arrives 1 ms after it was sent, with exceptions.
    fn relayed(change: impl Fn(u32) -> Option<Nanos>) -> Vec<(Nanos, u32)> {
        (0..100).filter_map(|number| Some((Nanos::from(number) * 20 + change(number)?, number))).collect()
    }

    #[test]
    fn an_upgrade_counts_lost_and_late_packets_beyond_the_usual_delay() {
        let quiet = judge(Hears::Itself, EventKind::Upgrade, &relayed(|_| Some(1)), 3_000);
        assert_eq!((quiet.longest_us, quiet.lost, quiet.silent.len(), quiet.reused), (Some(0), 0, 0, 0));
        let late = relayed(|number| (number != 52).then_some(if number == 51 { 31 } else { 1 }));
        for hears in [Hears::Itself, Hears::Edge] {
            let figures = judge(hears, EventKind::Upgrade, &late, 3_000);
            assert_eq!((figures.longest_us, figures.lost), (Some(30_000), 1), "{hears:?}");
        }
        // Packets on their way are not lost.
        let cut = judge(Hears::Itself, EventKind::Upgrade, &relayed(|number| (number < 90).then_some(1)), 2_000);
        assert_eq!(cut.lost, 0);
        let ended = judge(Hears::Itself, EventKind::Upgrade, &relayed(|number| (number < 50).then_some(1)), 3_000);
        assert_eq!(ended.silent.into_iter().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_crash_is_a_silence_and_a_call_without_an_end_of_it_is_silent() {
        let gap = judge(Hears::Itself, EventKind::Crash, &relayed(|n| (!(50..60).contains(&n)).then_some(1)), 3_000);
        assert_eq!((gap.silences, gap.lost, gap.silent.len()), (vec![Duration::from_millis(220)], 0, 0));
        let ended = judge(Hears::Itself, EventKind::Crash, &relayed(|n| (n < 50).then_some(1)), 3_000);
        assert_eq!((ended.silences.len(), ended.silent.len()), (0, 1));
    }

    #[test]
    fn audio_of_another_call_and_repeated_indices_are_counted() {
        let mut arrivals = section(&relayed(|_| Some(1)), 100);
        arrivals.arrivals[3].source = Some((9, 3));
        arrivals.arrivals[5].sequence = 4;
        let judged = JudgedStream {
            kind: 0,
            call: 0,
            hears: Hears::Itself,
            other: None,
            is_srtp: true,
            on_upgrade: Promise::GoesOn,
            on_crash: Promise::GoesOn,
        };
        let mut judge = Judge::new(vec![judged], 1);
        let event = Event { kind: EventKind::Upgrade, began: 1_000 * MS, restarted: 0, ready: 1_100 * MS };
        judge.judge(&event, &[arrivals], 3_000 * MS);
        assert_eq!((judge.figures[0].foreign, judge.figures[0].reused), (1, 1));
    }
}
