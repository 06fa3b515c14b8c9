//! Ladder diagram of a call, from its trace: one column for each party, one line for each message. `trace`, `trace.txt`
//! and the demo show it; [`svg`] draws the same lines as a picture. A trace contains no key, digest response or digit,
//! so neither does the ladder. If a line would be wider than the terminal, all remarks are written between the bars
//! instead of to the right of them. Parties without room share the last column.

use jiff::Timestamp;
use trunkgate_call::CallView;
use trunkgate_call::trace::{TraceEntry, TraceItem, TraceView};

mod row;
pub mod svg;

use row::{CharacterRow, TextTone};
use trunkgate_system::terminal::wrapped;

/// Position of the first column, in characters.
const FIRST: usize = 15;
/// Distance between two columns, in characters.
const PITCH: usize = 17;
/// Minimum width of the drawing, in characters; narrower terminals wrap lines.
const NARROWEST: usize = 60;

/// Name above the column of the edge.
const EDGE: &str = "edge";

/// Media of one leg, for the lines below the messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LegMedia {
    /// Packets received from the leg.
    pub received: u64,
    /// Packets sent to the leg.
    pub sent: u64,
    /// Unit of the counts: `RTP`, or `frames` of 20 ms for an agent on a WebSocket.
    pub name: &'static str,
    /// Whether the leg has a line even if no packet was exchanged.
    pub is_shown: bool,
}

/// Style of a ladder in text form.
#[derive(Debug, Clone, Copy, Default)]
pub struct TextStyle {
    /// Width of the terminal, in characters; `None` for no limit.
    pub width: Option<usize>,
    /// Whether the text has colours.
    pub colour: bool,
}

impl From<Option<usize>> for TextStyle {
    fn from(width: Option<usize>) -> TextStyle {
        TextStyle { width, colour: false }
    }
}

/// Returns the media of each leg. In an answered call without a single packet, each leg with a negotiated codec is
/// shown.
fn media_of(call: &CallView) -> Vec<LegMedia> {
    let is_mute =
        call.answered_at.is_some() && call.legs.iter().all(|leg| leg.rtp.rx_packets + leg.rtp.tx_packets == 0);
    let media = call.legs.iter().map(|leg| LegMedia {
        received: leg.rtp.rx_packets,
        sent: leg.rtp.tx_packets,
        name: if leg.kind == "agent" && leg.transport != "rtp" { "frames" } else { "RTP" },
        is_shown: is_mute && leg.kind != "agent" && !leg.codec.is_empty(),
    });
    media.collect()
}

/// Returns the headline: SID, numbers, parties and outcome of the call.
fn headline(call: &CallView, trace: &TraceView) -> String {
    let numbers = format!("{} → {}", call.from, call.to);
    let outcome = call.outcome.unwrap_or(call.state);
    let conference = call.conference.as_ref().map(|conference| conference.name.as_str());
    let parties = party_line(trace.legs.clone(), [call.app.as_deref(), conference, call.voicemail.as_deref()]);
    format!("{}  {numbers}  {parties}  {outcome}", call.sid)
}

/// Returns all parties of a call in order, as in the headline of a trace and in `calls`: the names of its legs, and its
/// application, conference and mailbox as written in a route. Equal names in a row, as of listeners, are merged with
/// their number.
pub fn party_line(legs: Vec<String>, [app, conference, voicemail]: [Option<&str>; 3]) -> String {
    let mut names = legs;
    // The application comes between the caller and the called party, even if both use the same trunk.
    if let Some(app) = app {
        names.insert(1.min(names.len()), format!("app:{app}"));
    }
    names.extend(conference.map(|name| format!("conference:{name}")));
    names.extend(voicemail.map(|mailbox| format!("voicemail:{mailbox}")));
    let mut all: Vec<(String, usize)> = Vec::new();
    for party in names {
        match all.last_mut() {
            Some((last, times)) if *last == party => *times += 1,
            _ => all.push((party, 1)),
        }
    }
    let shown = |(party, times)| if times == 1 { party } else { format!("{party} ×{times}") };
    all.into_iter().map(shown).collect::<Vec<_>>().join(" → ")
}

/// Formats an RFC 3339 time as `2026-11-25 03:11:17.250 UTC`.
fn moment(at: &str) -> String {
    at.parse::<Timestamp>().map_or_else(|_| at.to_owned(), |at| at.strftime("%F %T.%3f UTC").to_string())
}

/// Returns the page of a call: headline, start time, ladder, Call-ID of each leg, and verdict. Lines are wrapped to the
/// width of `paper` if possible.
pub fn page(call: &CallView, trace: &TraceView, paper: impl Into<TextStyle>) -> String {
    let paper = paper.into();
    let width = paper.width.map(|width| width.max(NARROWEST));
    let drawn = draw(trace, EDGE, &media_of(call), TextStyle { width, ..paper });
    let strong = |text: String| if paper.colour { row::painted(&text, TextTone::Strong) } else { text };
    let began = wrapped(&format!("began {}", moment(&call.started_at)), 0, width);
    let mut out = strong(wrapped(&headline(call, trace), 0, width)) + &began + "\n" + &drawn;
    // With the Call-ID a carrier finds its own trace of the call.
    for (name, leg) in names(&trace.legs).into_iter().zip(&call.legs).filter(|(_, leg)| !leg.sip_call_id.is_empty()) {
        out.push_str(&wrapped(&format!("  {name}: Call-ID {}", leg.sip_call_id), 4, width));
    }
    for (name, leg) in names(&trace.legs).into_iter().zip(&call.legs) {
        let losses = leg.rtp.losses();
        if !losses.is_empty() {
            let line = format!("  {name}: {} packets lost, in a row: {losses}", leg.rtp.lost);
            out.push_str(&wrapped(&line, 4, width));
        }
        if let Some(turns) = &leg.turn_ms {
            out.push_str(&wrapped(&format!("  {name}: {turns}"), 4, width));
        }
    }
    if !trace.verdict.is_empty() {
        out.push_str(&strong(wrapped(&format!("  verdict: {}", trace.verdict), 4, width)));
    }
    out
}

/// Draws the ladder of a trace as text. `viewer` is the name above the edge's column; `media` has one entry for each
/// leg.
pub fn draw(trace: &TraceView, viewer: &str, media: &[LegMedia], paper: impl Into<TextStyle>) -> String {
    let TextStyle { width, colour } = paper.into();
    let (columns, names) = (LadderColumns::new(trace, width), names(&trace.legs));
    let lines = lines(trace, media, &columns, &names);
    let mut page = TextLadder { columns, names, width, narrow: false, colour };
    page.narrow = lines.iter().any(|line| !line.time.is_empty() && !page.fits(&line.remark));
    let mut out = page.heading(viewer);
    for line in &lines {
        out.push_str(&page.line(line));
    }
    if trace.dropped > 0 {
        out.push_str(&format!("{:FIRST$}{}\n", "", earlier(trace.dropped)));
    }
    out
}

fn earlier(dropped: u64) -> String {
    format!("{dropped} earlier entries were dropped")
}

/// Line of the ladder, however it is drawn.
struct LadderLine {
    /// Time since the call began; empty for a line with media.
    time: String,
    mark: LadderMark,
    remark: String,
}

/// Mark that a line has between the bars.
enum LadderMark {
    /// No mark, only words.
    None,
    /// Dot on the bar of this leg.
    Dot(usize),
    /// Arrow between the edge and this leg.
    Arrow {
        leg: usize,
        received: bool,
        text: String,
        /// Unit of the packet count; `None` for a message.
        media: Option<&'static str>,
    },
}

impl LadderLine {
    fn tone(&self) -> TextTone {
        match &self.mark {
            LadderMark::Arrow { media: Some(_), .. } => TextTone::Media,
            LadderMark::Arrow { text, .. } => match text.as_bytes() {
                [b'1', b'0'..=b'9', ..] => TextTone::Provisional,
                [b'2', b'0'..=b'9', ..] => TextTone::Success,
                [b'3'..=b'6', b'0'..=b'9', ..] => TextTone::Failure,
                _ => TextTone::Request,
            },
            LadderMark::Dot(_) => TextTone::Agent,
            LadderMark::None => TextTone::Words,
        }
    }
}

/// Returns all lines of a ladder, top to bottom.
fn lines(trace: &TraceView, media: &[LegMedia], columns: &LadderColumns, names: &[String]) -> Vec<LadderLine> {
    let whose = |leg: usize| if columns.is_shared(leg) { name(names, leg) } else { "" };
    let mut lines: Vec<LadderLine> = trace.entries.iter().map(|entry| line_of(entry, columns, names)).collect();
    for (leg, media) in media.iter().enumerate().filter(|(_, m)| m.is_shown || m.received + m.sent > 0) {
        for (count, received) in [(media.received, true), (media.sent, false)] {
            let mark = LadderMark::Arrow { leg, received, text: count.to_string(), media: Some(media.name) };
            lines.push(LadderLine { time: String::new(), mark, remark: whose(leg).to_owned() });
        }
    }
    lines
}

fn line_of(entry: &TraceEntry, columns: &LadderColumns, names: &[String]) -> LadderLine {
    let named = |leg: usize, text: &str| format!("{}: {text}", name(names, leg));
    let time = offset(entry.at_us);
    let (mark, remark) = match &entry.what {
        TraceItem::Message { leg, received, text, note, again } => {
            let again = again.then_some("again");
            let note = [note.as_str()].into_iter().chain(again).filter(|text| !text.is_empty()).collect::<Vec<_>>();
            let remark = match (columns.is_shared(*leg), note.join(", ")) {
                (true, note) if note.is_empty() => name(names, *leg).to_owned(),
                (true, note) => named(*leg, &note),
                (false, note) => note,
            };
            (LadderMark::Arrow { leg: *leg, received: *received, text: text.clone(), media: None }, remark)
        }
        TraceItem::Decision { text } | TraceItem::Webhook { text, .. } => (LadderMark::None, text.clone()),
        TraceItem::Media { leg, text } => (LadderMark::None, named(*leg, text)),
        TraceItem::Agent { leg, text } => (LadderMark::Dot(*leg), named(*leg, text)),
    };
    LadderLine { time, mark, remark }
}

fn name(names: &[String], leg: usize) -> &str {
    names.get(leg).map_or("?", String::as_str)
}

/// Returns the name shown for each leg; a repeated name gets a number (`scribe #2`).
fn names(legs: &[String]) -> Vec<String> {
    let name = |(at, name): (usize, &String)| match legs.iter().take(at).filter(|other| *other == name).count() {
        0 => name.clone(),
        before => format!("{name} #{}", before + 1),
    };
    legs.iter().enumerate().map(name).collect()
}

/// Columns of the ladder: the caller is left of the edge, all others are to the right.
#[derive(Debug)]
struct LadderColumns {
    /// Index of the column of each leg.
    of: Vec<usize>,
    /// Number of columns, including the edge's.
    count: usize,
    /// Index of the last column if several legs share it.
    shared: Option<usize>,
}

impl LadderColumns {
    /// Assigns columns to the legs. If there is not enough room, SIP legs come first.
    fn new(trace: &TraceView, width: Option<usize>) -> LadderColumns {
        let legs = trace.legs.len();
        let room = width.map_or(usize::MAX, |width| width.saturating_sub(FIRST + 1) / PITCH + 1).max(3);
        if legs < room {
            let of = (0..legs).map(|leg| if leg == 0 { 0 } else { leg + 1 }).collect();
            return LadderColumns { of, count: legs + 1, shared: None };
        }
        let speaks = |leg: usize| {
            trace.entries.iter().any(|entry| matches!(entry.what, TraceItem::Message { leg: of, .. } if of == leg))
        };
        let (sip, others): (Vec<usize>, Vec<usize>) = (1..legs).partition(|leg| speaks(*leg));
        let mut own: Vec<usize> = sip.into_iter().chain(others).take(room - 3).collect();
        own.sort_unstable();
        let place = |leg: usize| own.iter().position(|other| *other == leg).map_or(room - 1, |at| at + 2);
        let of = (0..legs).map(|leg| if leg == 0 { 0 } else { place(leg) }).collect();
        LadderColumns { of, count: room, shared: Some(room - 1) }
    }

    fn of(&self, leg: usize) -> usize {
        self.of.get(leg).copied().unwrap_or(leg + 1)
    }

    fn is_shared(&self, leg: usize) -> bool {
        self.shared == Some(self.of(leg))
    }
}

/// Ladder drawn as text.
#[derive(Debug)]
struct TextLadder {
    columns: LadderColumns,
    /// Names shown for the legs.
    names: Vec<String>,
    /// Width of the terminal, in characters; `None` for no limit.
    width: Option<usize>,
    /// Whether any remark does not fit to the right of the bars.
    narrow: bool,
    /// Whether the text has colours.
    colour: bool,
}

impl TextLadder {
    fn heading(&self, viewer: &str) -> String {
        let shared = self.columns.of.iter().filter(|column| Some(**column) == self.columns.shared).count();
        let shared = (self.columns.shared, format!("{shared} others"));
        let mut row = CharacterRow::new(self.colour, TextTone::Strong);
        for at in 0..self.columns.count {
            let leg = self.columns.of.iter().position(|column| *column == at);
            let name = match leg {
                _ if at == 1 => viewer,
                _ if Some(at) == shared.0 => &shared.1,
                Some(leg) => name(&self.names, leg),
                None => "",
            };
            // At least one space separates two names.
            let name = shortened(name, PITCH - 1);
            row.put((FIRST + at * PITCH).saturating_sub(name.chars().count() / 2), &name);
        }
        row.line()
    }

    /// Draws a line of the ladder, wrapped on a narrow terminal.
    fn line(&self, line: &LadderLine) -> String {
        match &line.mark {
            LadderMark::Arrow { .. } => self.arrow(line),
            LadderMark::None => self.words(line, None),
            LadderMark::Dot(leg) => self.words(line, Some(*leg)),
        }
    }

    /// Returns the position at which remarks to the right of the bars begin.
    fn margin(&self) -> usize {
        FIRST + (self.columns.count - 1) * PITCH + 3
    }

    fn fits(&self, note: &str) -> bool {
        self.width.is_none_or(|width| self.margin() + note.chars().count() <= width)
    }

    fn bars(&self, time: &str) -> CharacterRow {
        let mut row = CharacterRow::new(self.colour, TextTone::Faint);
        row.put(FIRST.saturating_sub(3 + time.chars().count()), time);
        for at in 0..self.columns.count {
            row.put(FIRST + at * PITCH, "│");
        }
        row
    }

    /// Draws a line that consists of words; `dot` is the leg to mark.
    fn words(&self, line: &LadderLine, dot: Option<usize>) -> String {
        if self.narrow {
            return self.between(&line.time, &line.remark, line.tone());
        }
        let mut row = self.bars(&line.time);
        row.tone = line.tone();
        if let Some(leg) = dot {
            row.set(FIRST + self.columns.of(leg) * PITCH, '●');
        }
        row.put(self.margin(), &line.remark);
        row.line()
    }

    /// Draws words in place of the bars, to the right of the first one.
    fn between(&self, time: &str, text: &str, tone: TextTone) -> String {
        let room = self.width.map(|width| width.saturating_sub(FIRST + 4));
        let mut out = String::new();
        for (at, words) in wrapped(text, 0, room.map(|room| room.max(1))).lines().enumerate() {
            let mut row = self.bars(if at == 0 { time } else { "" });
            row.tone = tone;
            row.put(FIRST + 1, &format!("  {words} "));
            out.push_str(&row.line());
        }
        out
    }

    fn arrow(&self, line: &LadderLine) -> String {
        let LadderLine { time, mark: LadderMark::Arrow { leg, received, text, media }, remark: note } = line else {
            return String::new();
        };
        let shaft = if media.is_some() { '═' } else { '─' };
        let (theirs, ours) = (FIRST + self.columns.of(*leg) * PITCH, FIRST + PITCH);
        let (left, right) = (theirs.min(ours) + 1, theirs.max(ours) - 1);
        let to_right = (theirs < ours) == *received;
        let mut row = self.bars(media.unwrap_or(time));
        row.tone = line.tone();
        for at in left..=right {
            row.set(at, shaft);
        }
        // The arrow crosses the bars of parties in between.
        for at in (left..=right).filter(|at| (at - FIRST).is_multiple_of(PITCH)) {
            row.set(at, if shaft == '═' { '╪' } else { '┼' });
        }
        if to_right {
            row.set(right, '▶');
        } else {
            row.set(left, '◀');
        }
        let short = shortened(text, PITCH - 5);
        // The text above the arrow is in the gap next to the remote party.
        let gap = if theirs < ours { theirs } else { theirs - PITCH };
        row.put(gap + 1 + (PITCH - 1 - short.chars().count()) / 2, &short);
        if note.is_empty() {
            return row.line();
        }
        if !self.fits(note) {
            return row.line() + &self.between("", note, TextTone::Plain);
        }
        row.tone = TextTone::Plain;
        row.put(self.margin(), note);
        row.line()
    }
}

/// Shortens a text to `room` characters, the last of which is then an ellipsis.
fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let beginning: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{}…", beginning.trim_end())
}

/// Formats the time since the start of the call: `+12.3 ms` below a second, otherwise `+1.234 s`.
fn offset(at_us: u64) -> String {
    if at_us < 1_000_000 {
        format!("+{:.1} ms", at_us as f64 / 1000.0)
    } else {
        format!("+{:.3} s", at_us as f64 / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(at_us: u64, leg: usize, received: bool, text: &str, note: &str) -> TraceEntry {
        let what = TraceItem::Message { leg, received, text: text.into(), note: note.into(), again: false };
        TraceEntry::new(at_us, what)
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
                TraceEntry::new(1_000_500, TraceItem::Decision { text: "a is silent".into() }),
                message(1_001_000, 2, false, "INVITE", ""),
                message(1_402_000, 2, true, "200 OK", ""),
                message(1_402_100, 0, false, "200 OK", ""),
            ],
            dropped: 0,
        };
        let media = [
            LegMedia { received: 175, sent: 175, name: "RTP", is_shown: false },
            LegMedia { received: 0, sent: 0, name: "frames", is_shown: false },
            LegMedia { received: 175, sent: 175, name: "RTP", is_shown: false },
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
        let silent = [LegMedia { received: 0, sent: 0, name: "RTP", is_shown: true }; 1];
        let drawn = draw(&trace, EDGE, &silent, None);
        assert!(drawn.ends_with("         RTP   │◀══════0════════│                │                │\n"), "{drawn}");
    }

    #[test]
    fn an_agent_has_its_column() {
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: vec!["carrier".into(), "bot".into(), "pbx".into()],
            entries: vec![
                TraceEntry::new(900, TraceItem::Agent { leg: 1, text: "open".into() }),
                TraceEntry::new(1_000, TraceItem::Media { leg: 2, text: "latched".into() }),
                TraceEntry::new(2_000, TraceItem::Agent { leg: 9, text: "?".into() }),
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
    fn what_is_too_long_for_its_room_says_so() {
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: vec!["carrier".into(), "headquarters-berlin-1".into(), "pbx".into()],
            entries: vec![
                message(0, 1, true, "183 Session Progress", ""),
                message(1, 0, false, "200 OK", ""),
                message(2, 1, true, "488 Not Acceptable Here", ""),
            ],
            dropped: 0,
        };
        let drawn = draw(&trace, EDGE, &[], None);
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[0], "            carrier           edge       headquarters-be…        pbx");
        assert_eq!(lines[1], "     +0.0 ms   │                │◀─183 Session…──│                │");
        assert_eq!(lines[2], "     +0.0 ms   │◀────200 OK─────│                │                │");
        assert_eq!(lines[3], "     +0.0 ms   │                │◀─488 Not Acc…──│                │");
    }

    /// Five forks of one agent are numbered, and take no column from a SIP leg.
    #[test]
    fn parties_without_room_share_a_column() {
        let agent = |leg, text: &str| TraceEntry::new(900, TraceItem::Agent { leg, text: text.into() });
        let legs = ["carrier", "scribe", "scribe", "scribe", "scribe", "pbx", "pbx"];
        let trace = TraceView {
            sid: "CA0".into(),
            verdict: String::new(),
            legs: legs.map(str::to_owned).to_vec(),
            entries: vec![
                message(0, 0, true, "INVITE", ""),
                agent(1, "open"),
                agent(3, "open"),
                message(1_000, 5, false, "INVITE", ""),
                message(2_000, 6, false, "INVITE", "a longer note"),
                message(3_000, 6, true, "200 OK", ""),
            ],
            dropped: 0,
        };
        let media = [LegMedia { received: 1, sent: 2, name: "frames", is_shown: false }; 7];
        let wide = draw(&trace, EDGE, &media, None);
        assert!(wide.lines().next().unwrap().contains(" scribe #4 "), "{wide}");
        let drawn = draw(&trace, EDGE, &media, Some(80));
        let lines: Vec<&str> = drawn.lines().collect();
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{drawn}");
        assert_eq!(lines[0], "            carrier           edge              pbx           5 others");
        assert_eq!(lines[1], "     +0.0 ms   │─────INVITE────▶│                │                │");
        let words = |time: &str, text: &str| format!("{time:12}   │{text:<33}│{:16}│", "");
        assert_eq!(lines[2], "     +0.9 ms   │  scribe: open  │                │                │");
        assert_eq!(lines[3], words("     +0.9 ms", "  scribe #3: open"));
        assert_eq!(lines[4], "     +1.0 ms   │                │─────INVITE────▶│                │");
        assert_eq!(lines[5], "     +2.0 ms   │                │────────────────┼─────INVITE────▶│");
        assert_eq!(lines[6], words("", "  pbx #2: a longer note"));
        assert!(lines.last().unwrap().ends_with("│  pbx #2"), "whose the frames are: {drawn}");
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
                TraceEntry::new(900, TraceItem::Agent { leg: 1, text: "open".into() }),
                TraceEntry::new(2_000, TraceItem::Decision { text: note.into() }),
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
}
