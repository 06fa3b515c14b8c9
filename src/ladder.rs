//! A call's trace drawn as a ladder: one column for each party, one line for each message. What `trace`, `trace.txt` and
//! the demo show. A trace holds no key, digest response or digit, so neither does the ladder.

use trunkgate_call::CallView;
use trunkgate_call::trace::{TraceEntry, TraceItem, TraceView};

/// Where the first column stands.
const FIRST: usize = 15;
/// From one column to the next.
const PITCH: usize = 17;

/// What a leg's media came to, for the rows below the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LegMedia {
    /// Packets that the edge received from the leg.
    received: u64,
    /// Packets that it sent to it.
    sent: u64,
}

/// A call as a page: who called whom, the ladder, the verdict.
pub(crate) fn page(call: &CallView, trace: &TraceView) -> String {
    let parties: Vec<&str> = trace.legs.iter().map(String::as_str).collect();
    let media: Vec<LegMedia> =
        call.legs.iter().map(|leg| LegMedia { received: leg.rtp.rx_packets, sent: leg.rtp.tx_packets }).collect();
    let mut out = format!(
        "{}  {} → {}  {}  {}\n\n{}",
        call.sid,
        call.from,
        call.to,
        parties.join(" → "),
        call.outcome.unwrap_or(call.state),
        draw(trace, &media)
    );
    if !trace.verdict.is_empty() {
        out.push_str(&format!("  verdict: {}\n", trace.verdict));
    }
    out
}

/// Draws a trace; `media` holds one entry a leg, in the trace's order.
fn draw(trace: &TraceView, media: &[LegMedia]) -> String {
    let columns = trace.legs.len() + 1;
    let mut out = heading(trace);
    for entry in &trace.entries {
        out.push_str(&line(entry, columns, &trace.legs));
        out.push('\n');
    }
    for (leg, media) in media.iter().enumerate().filter(|(_, m)| m.received + m.sent > 0) {
        for (count, received) in [(media.received, true), (media.sent, false)] {
            out.push_str(&arrow("RTP", columns, leg, received, &count.to_string(), '═', ""));
            out.push('\n');
        }
    }
    if trace.dropped > 0 {
        out.push_str(&format!("{:FIRST$}{} earlier entries were dropped\n", "", trace.dropped));
    }
    out
}

/// Column of a leg: the caller stands left of the edge, all others right of it.
fn column(leg: usize) -> usize {
    if leg == 0 { 0 } else { leg + 1 }
}

fn heading(trace: &TraceView) -> String {
    let mut row = Row::new();
    let edge = "edge".to_owned();
    let names = trace.legs.iter().take(1).chain(std::iter::once(&edge)).chain(trace.legs.iter().skip(1));
    for (at, name) in names.enumerate() {
        let from = (FIRST + at * PITCH).saturating_sub(name.chars().count() / 2);
        row.put(from, name);
    }
    row.text() + "\n"
}

fn line(entry: &TraceEntry, columns: usize, legs: &[String]) -> String {
    let time = offset(entry.at_us);
    match &entry.what {
        TraceItem::Message { leg, received, text, note, again } => {
            let note = match (again, note.is_empty()) {
                (true, true) => "again".to_owned(),
                (true, false) => format!("{note}, again"),
                (false, _) => note.clone(),
            };
            arrow(&time, columns, *leg, *received, text, '─', &note)
        }
        TraceItem::Decision { text } => remark(&time, columns, text),
        TraceItem::Media { leg, text } => remark(&time, columns, &named(legs, *leg, text)),
        TraceItem::Agent { leg, text } => {
            let mut row = bars(&time, columns);
            row.set(FIRST + column(*leg) * PITCH, '●');
            row.put(FIRST + (columns - 1) * PITCH + 3, &named(legs, *leg, text));
            row.text()
        }
    }
}

fn named(legs: &[String], leg: usize, text: &str) -> String {
    format!("{}: {text}", legs.get(leg).map_or("?", String::as_str))
}

fn bars(time: &str, columns: usize) -> Row {
    let mut row = Row::new();
    row.put(FIRST.saturating_sub(3 + time.chars().count()), time);
    for at in 0..columns {
        row.put(FIRST + at * PITCH, "│");
    }
    row
}

fn remark(time: &str, columns: usize, text: &str) -> String {
    let mut row = bars(time, columns);
    row.put(FIRST + (columns - 1) * PITCH + 3, text);
    row.text()
}

fn arrow(time: &str, columns: usize, leg: usize, received: bool, text: &str, shaft: char, note: &str) -> String {
    let (theirs, ours) = (FIRST + column(leg) * PITCH, FIRST + PITCH);
    let (left, right) = (theirs.min(ours) + 1, theirs.max(ours) - 1);
    let to_right = (theirs < ours) == received;
    let mut row = bars(time, columns);
    for at in left..=right {
        row.set(at, shaft);
    }
    // An arrow that passes another party's bar crosses it.
    for at in (left..=right).filter(|at| (at - FIRST).is_multiple_of(PITCH)) {
        row.set(at, if shaft == '═' { '╪' } else { '┼' });
    }
    if to_right {
        row.set(right, '▶');
    } else {
        row.set(left, '◀');
    }
    let room = PITCH - 5;
    let short: String = text.chars().take(room).collect();
    // The text stands in the gap next to the far party.
    let gap = if theirs < ours { theirs } else { theirs - PITCH };
    row.put(gap + 1 + (PITCH - 1 - short.chars().count()) / 2, &short);
    if !note.is_empty() {
        row.put(FIRST + (columns - 1) * PITCH + 3, note);
    }
    row.text()
}

/// `+12.3 ms` below a second, `+1.234 s` above.
fn offset(at_us: u64) -> String {
    if at_us < 1_000_000 {
        format!("+{:.1} ms", at_us as f64 / 1000.0)
    } else {
        format!("+{:.3} s", at_us as f64 / 1e6)
    }
}

/// A line of text that is written at places.
struct Row(Vec<char>);

impl Row {
    fn new() -> Row {
        Row(Vec::new())
    }
    fn set(&mut self, at: usize, mark: char) {
        if self.0.len() <= at {
            self.0.resize(at + 1, ' ');
        }
        if let Some(place) = self.0.get_mut(at) {
            *place = mark;
        }
    }
    fn put(&mut self, at: usize, text: &str) {
        for (n, mark) in text.chars().enumerate() {
            self.set(at + n, mark);
        }
    }
    fn text(self) -> String {
        self.0.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at_us: u64, leg: usize, received: bool, text: &str, note: &str) -> TraceEntry {
        let what = TraceItem::Message { leg, received, text: text.into(), note: note.into(), again: false };
        TraceEntry { at_us, what }
    }

    #[test]
    fn a_failover_is_drawn() {
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: vec!["carrier".into(), "a".into(), "b".into()],
            entries: vec![
                message(0, 0, true, "INVITE", "offer PCMU"),
                message(412, 1, false, "INVITE", ""),
                TraceEntry { at_us: 1_000_500, what: TraceItem::Decision { text: "a is silent".into() } },
                message(1_001_000, 2, false, "INVITE", ""),
                message(1_402_000, 2, true, "200 OK", ""),
                message(1_402_100, 0, false, "200 OK", ""),
            ],
            dropped: 0,
        };
        let media = [
            LegMedia { received: 175, sent: 175 },
            LegMedia { received: 0, sent: 0 },
            LegMedia { received: 175, sent: 175 },
        ];
        let drawn = draw(&trace, &media);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "            carrier           edge               a                b");
        assert_eq!(lines[1], "     +0.0 ms   │─────INVITE────▶│                │                │  offer PCMU");
        assert_eq!(lines[2], "     +0.4 ms   │                │─────INVITE────▶│                │");
        assert_eq!(lines[3], "    +1.000 s   │                │                │                │  a is silent");
        assert_eq!(lines[4], "    +1.001 s   │                │────────────────┼─────INVITE────▶│");
        assert_eq!(lines[5], "    +1.402 s   │                │◀───────────────┼─────200 OK─────│");
        assert_eq!(lines[6], "    +1.402 s   │◀────200 OK─────│                │                │");
        assert_eq!(lines[7], "         RTP   │══════175══════▶│                │                │");
        assert_eq!(lines.len(), 11);
    }

    #[test]
    fn an_agent_has_its_column() {
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: vec!["carrier".into(), "bot".into(), "pbx".into()],
            entries: vec![
                TraceEntry { at_us: 900, what: TraceItem::Agent { leg: 1, text: "open".into() } },
                TraceEntry { at_us: 1_000, what: TraceItem::Media { leg: 2, text: "latched".into() } },
                TraceEntry { at_us: 2_000, what: TraceItem::Agent { leg: 9, text: "?".into() } },
            ],
            dropped: 2,
        };
        let drawn = draw(&trace, &[]);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "            carrier           edge              bot              pbx");
        assert_eq!(lines[1], "     +0.9 ms   │                │                ●                │  bot: open");
        assert_eq!(lines[2], "     +1.0 ms   │                │                │                │  pbx: latched");
        assert!(lines[4].ends_with("2 earlier entries were dropped"));
    }
}
