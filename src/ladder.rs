//! A call's trace drawn as a ladder: one column for each party, one line for each message. What `trace`, `trace.txt` and
//! the demo show. A trace holds no key, digest response or digit, so neither does the ladder. Where a line is wider than
//! the terminal, its remark stands between the bars instead of right of them, and so do all that are lines of their own.

use trunkgate_call::CallView;
use trunkgate_call::trace::{TraceEntry, TraceItem, TraceView};

/// Where the first column stands.
const FIRST: usize = 15;
/// From one column to the next.
const PITCH: usize = 17;
/// The narrowest terminal that is heeded.
const NARROWEST: usize = 60;

/// The name over the column of an edge.
const EDGE: &str = "edge";

/// What a leg's media came to, for the rows below the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LegMedia {
    /// Packets that the edge received from the leg.
    pub(crate) received: u64,
    /// Packets that it sent to it.
    pub(crate) sent: u64,
    /// What they are called: an agent on a WebSocket has frames of 20 ms.
    pub(crate) name: &'static str,
}

/// A call as a page: who called whom, the ladder, the verdict; no line wider than `width` where that can be.
pub(crate) fn page(call: &CallView, trace: &TraceView, width: Option<usize>) -> String {
    let width = width.map(|width| width.max(NARROWEST));
    let parties: Vec<&str> = trace.legs.iter().map(String::as_str).collect();
    let media = call.legs.iter().map(|leg| LegMedia {
        received: leg.rtp.rx_packets,
        sent: leg.rtp.tx_packets,
        name: if leg.kind == "agent" && leg.transport != "rtp" { "frames" } else { "RTP" },
    });
    let media: Vec<LegMedia> = media.collect();
    let numbers = format!("{} → {}", call.from, call.to);
    let head = format!("{}  {numbers}  {}  {}", call.sid, parties.join(" → "), call.outcome.unwrap_or(call.state));
    let mut out = wrapped(&head, 0, width) + "\n" + &draw(trace, EDGE, &media, width);
    if !trace.verdict.is_empty() {
        out.push_str(&wrapped(&format!("  verdict: {}", trace.verdict), 4, width));
    }
    out
}

/// Lines of `text`, cut between words; those after the first begin `indent` further right.
pub(crate) fn wrapped(text: &str, indent: usize, width: Option<usize>) -> String {
    let Some(width) = width else { return format!("{text}\n") };
    let (mut out, mut length) = (String::new(), 0);
    for word in text.split_inclusive(' ') {
        let (long, bare) = (word.chars().count(), word.trim_end().chars().count());
        if length > indent && length + bare > width {
            out.truncate(out.trim_end().len());
            out.push_str(&format!("\n{:indent$}", ""));
            length = indent;
        }
        out.push_str(word);
        length += long;
    }
    out.push('\n');
    out
}

/// Draws a trace as seen by `viewer`; `media` holds one entry a leg, in the trace's order.
pub(crate) fn draw(trace: &TraceView, viewer: &str, media: &[LegMedia], width: Option<usize>) -> String {
    let page = Page { columns: trace.legs.len() + 1, width, narrow: false };
    let narrow = trace.entries.iter().any(|entry| !page.fits(&remark(entry, &trace.legs)));
    let page = Page { narrow, ..page };
    let mut out = heading(trace, viewer);
    for entry in &trace.entries {
        out.push_str(&page.line(entry, &trace.legs));
    }
    for (leg, media) in media.iter().enumerate().filter(|(_, m)| m.received + m.sent > 0) {
        for (count, received) in [(media.received, true), (media.sent, false)] {
            out.push_str(&page.arrow(media.name, leg, received, &count.to_string(), '═', ""));
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

fn heading(trace: &TraceView, viewer: &str) -> String {
    let mut row = Row::new();
    let legs = || trace.legs.iter().map(String::as_str);
    for (at, name) in legs().take(1).chain([viewer]).chain(legs().skip(1)).enumerate() {
        let from = (FIRST + at * PITCH).saturating_sub(name.chars().count() / 2);
        row.put(from, name);
    }
    row.line()
}

/// How much room there is.
#[derive(Debug, Clone, Copy)]
struct Page {
    /// Parties, the edge among them.
    columns: usize,
    /// Of the terminal.
    width: Option<usize>,
    /// Whether not all fits into it.
    narrow: bool,
}

impl Page {
    /// One entry: a line, or more where the terminal is narrow.
    fn line(self, entry: &TraceEntry, legs: &[String]) -> String {
        let (time, remark) = (offset(entry.at_us), remark(entry, legs));
        match &entry.what {
            TraceItem::Message { leg, received, text, .. } => self.arrow(&time, *leg, *received, text, '─', &remark),
            TraceItem::Decision { .. } | TraceItem::Media { .. } => self.words(&time, None, &remark),
            TraceItem::Agent { leg, .. } => self.words(&time, Some(*leg), &remark),
        }
    }

    /// Where what is said of a line begins.
    fn margin(self) -> usize {
        FIRST + (self.columns - 1) * PITCH + 3
    }

    fn fits(self, note: &str) -> bool {
        self.width.is_none_or(|width| self.margin() + note.chars().count() <= width)
    }

    fn bars(self, time: &str) -> Row {
        let mut row = Row::new();
        row.put(FIRST.saturating_sub(3 + time.chars().count()), time);
        for at in 0..self.columns {
            row.put(FIRST + at * PITCH, "│");
        }
        row
    }

    /// A line of words; `dot` marks the leg that it is about.
    fn words(self, time: &str, dot: Option<usize>, text: &str) -> String {
        if self.narrow {
            return self.between(time, text);
        }
        let mut row = self.bars(time);
        if let Some(leg) = dot {
            row.set(FIRST + column(leg) * PITCH, '●');
        }
        row.put(self.margin(), text);
        row.line()
    }

    /// Words in place of the bars right of the first.
    fn between(self, time: &str, text: &str) -> String {
        let room = self.width.map(|width| width.saturating_sub(FIRST + 4));
        let mut out = String::new();
        for (at, words) in wrapped(text, 0, room.map(|room| room.max(1))).lines().enumerate() {
            let mut row = self.bars(if at == 0 { time } else { "" });
            row.put(FIRST + 1, &format!("  {words} "));
            out.push_str(&row.line());
        }
        out
    }

    fn arrow(self, time: &str, leg: usize, received: bool, text: &str, shaft: char, note: &str) -> String {
        let (theirs, ours) = (FIRST + column(leg) * PITCH, FIRST + PITCH);
        let (left, right) = (theirs.min(ours) + 1, theirs.max(ours) - 1);
        let to_right = (theirs < ours) == received;
        let mut row = self.bars(time);
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
        if note.is_empty() {
            return row.line();
        }
        if !self.fits(note) {
            return row.line() + &self.between("", note);
        }
        row.put(self.margin(), note);
        row.line()
    }
}

/// What is said of an entry.
fn remark(entry: &TraceEntry, legs: &[String]) -> String {
    let named = |leg: &usize, text: &str| format!("{}: {text}", legs.get(*leg).map_or("?", String::as_str));
    match &entry.what {
        TraceItem::Message { note, again: false, .. } => note.clone(),
        TraceItem::Message { note, .. } if note.is_empty() => "again".to_owned(),
        TraceItem::Message { note, .. } => format!("{note}, again"),
        TraceItem::Decision { text } => text.clone(),
        TraceItem::Media { leg, text } | TraceItem::Agent { leg, text } => named(leg, text),
    }
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
    fn line(self) -> String {
        let text: String = self.0.into_iter().collect();
        format!("{}\n", text.trim_end())
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
            LegMedia { received: 175, sent: 175, name: "RTP" },
            LegMedia { received: 0, sent: 0, name: "frames" },
            LegMedia { received: 175, sent: 175, name: "RTP" },
        ];
        let drawn = draw(&trace, EDGE, &media, None);
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
        let drawn = draw(&trace, EDGE, &[], None);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "            carrier           edge              bot              pbx");
        assert_eq!(lines[1], "     +0.9 ms   │                │                ●                │  bot: open");
        assert_eq!(lines[2], "     +1.0 ms   │                │                │                │  pbx: latched");
        assert!(lines[4].ends_with("2 earlier entries were dropped"));
    }

    #[test]
    fn nothing_is_wider_than_a_narrow_terminal() {
        let note = "the caller hears a ringback tone, since no target has answered yet and it must hear something";
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: vec!["carrier".into(), "bot".into(), "pbx".into()],
            entries: vec![
                message(0, 0, true, "INVITE", "audio 37069: PCMU telephone-event"),
                message(10, 2, true, "200 OK", "x"),
                TraceEntry { at_us: 900, what: TraceItem::Agent { leg: 1, text: "open".into() } },
                TraceEntry { at_us: 2_000, what: TraceItem::Decision { text: note.into() } },
            ],
            dropped: 0,
        };
        let drawn = draw(&trace, EDGE, &[], Some(80));
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
        assert_eq!(lines[1], "     +0.0 ms   │─────INVITE────▶│                │                │");
        assert_eq!(lines[2], "               │  audio 37069: PCMU telephone-event               │");
        assert_eq!(lines[3], "     +0.0 ms   │                │◀───────────────┼─────200 OK─────│  x");
        assert_eq!(lines[4], "     +0.9 ms   │  bot: open     │                │                │");
        assert_eq!(lines[5], "     +2.0 ms   │  the caller hears a ringback tone, since no target has");
        assert_eq!(lines[6], "               │  answered yet and it must hear something         │");
        assert_eq!(draw(&trace, EDGE, &[], Some(500)), draw(&trace, EDGE, &[], None));
    }

    #[test]
    fn text_is_cut_between_words() {
        let text = format!("  verdict: {}", "word ".repeat(20).trim_end());
        let cut = wrapped(&text, 4, Some(60));
        let lines: Vec<&str> = cut.lines().collect();
        assert_eq!(lines.len(), 2, "{cut}");
        assert!(lines[1].starts_with("    word") && lines.iter().all(|line| line.chars().count() <= 60), "{cut}");
        assert_eq!(wrapped(&text, 4, None), format!("{text}\n"));
        let long = "x".repeat(100);
        assert_eq!(wrapped(&long, 4, Some(60)), format!("{long}\n"));
    }
}
