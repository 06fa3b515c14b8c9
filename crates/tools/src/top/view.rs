//! Layout of `top`: health and trunks above, the list of calls or one call below, keys in the last line.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState};
use serde_json::Value;

use super::feed::{CallPage, plain};
use super::state::ScreenState;
use crate::client::{CALL_HEADS, SHORT_SID, brief, is_note, lasting, taking};
use trunkgate_system::clock;
use trunkgate_system::terminal::wrapped;
use trunkgate_system::text::{number, span};

/// Maximum widths of the list's columns, in characters.
const WIDTHS: [usize; 11] = [SHORT_SID, 14, 16, 16, 10, 18, 24, 7, 10, 4, 18];
/// Columns omitted on a narrow terminal, first to last: route, caller, time, MOS, reason, legs, start, code.
const DISPENSABLE: [usize; 8] = [4, 2, 8, 9, 10, 5, 1, 7];
/// Maximum number of status codes shown for each direction of a trunk.
const CODES: usize = 3;
/// Minimum width of a problem's text, in characters.
const NARROWEST: usize = 20;
/// Height of the header: this fraction of the terminal, but at least this number of lines.
const HEAD_ONE_IN: u16 = 3;
const HEAD_LEAST: u16 = 6;
/// Minimum number of lines for trunks and agents; those without a line are counted.
const PARTY_LINES: usize = 3;
/// Maximum number of problems shown, then maximum number of lines of each.
const PROBLEMS: usize = 4;
const PROBLEM_LINES: usize = 3;
/// Maximum number of lines of a problem's fix, if there is only one problem.
const FIX_LINES: usize = 2;
/// Keys shown for the list, for a call, and while a filter is typed.
const LIST_KEYS: [&str; 9] =
    ["Enter ladder", "r raw", "/ filter", "F5 clear", "Del hang up", "p pause", "F1 help", "q quit", "F8 colours"];
const CALL_KEYS: [&str; 9] =
    ["↑↓ scroll", "x ladder", "r raw", "d SDP", "s save", "Del hang up", "p pause", "F1 help", "q back"];
const FILTER_KEYS: &str = "Enter keep  Esc clear";
const HELP: &str = "\
↑ ↓ j k PgUp PgDn Home End   move in the list or page
Enter, F4, x                 the call's ladder: all legs side by side
F6, r                        SIP messages as sent on the wire
d                            session descriptions (SDP) only
F2, s                        save the page to a file
F3, F7, /, f                 filter the list
F5                           hide calls that have ended
Del, K                       end the call (asks first)
p                            pause and resume
F8, C                        colours on and off
F1, h, ?                     this page
Esc, q                       back, or leave

Any key closes this page.";

/// Draws the whole screen of `top`.
pub(super) fn draw(frame: &mut Frame, state: &ScreenState) {
    let (width, height) = (frame.area().width, frame.area().height);
    // On a low terminal the calls have at least half of the lines.
    let most = height / 2;
    let head = head(state, width, (height / HEAD_ONE_IN).max(HEAD_LEAST.min(most)).into());
    let rows = u16::try_from(head.lines.len()).unwrap_or(u16::MAX).min(most);
    let [top, body, foot] =
        Layout::vertical([Constraint::Length(rows), Constraint::Fill(1), Constraint::Length(1)]).areas(frame.area());
    let head: Vec<Line<'static>> = head.lines.into_iter().map(|line| within(line, width)).collect();
    frame.render_widget(Paragraph::new(Text::from(head)), top);
    match state.open {
        Some(_) => page(frame, body, state),
        None => list(frame, body, state),
    }
    frame.render_widget(Paragraph::new(within(foot_line(state, width), width)), foot);
    if state.is_helping {
        let [middle] = Layout::vertical([Constraint::Length(16)]).areas(body);
        frame.render_widget(Clear, middle);
        frame.render_widget(Paragraph::new(HELP).block(Block::bordered().title("keys")), middle);
    }
}

/// Returns a style with a foreground colour, or a plain style if colours are disabled.
fn colour(state: &ScreenState, colour: Color) -> Style {
    if state.colours { Style::new().fg(colour) } else { Style::new() }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "–".to_owned(), plain)
}

/// Returns the header in at most `room` lines: health, problems, trunks and agents.
fn head(state: &ScreenState, width: u16, room: usize) -> Text<'static> {
    let status = &state.seen.status;
    let bold = Style::new().add_modifier(Modifier::BOLD);
    let (word, style) = match status["state"].as_str() {
        _ if state.lost.is_some() => ("not reached".to_owned(), colour(state, Color::Red)),
        None => ("–".to_owned(), Style::new()),
        Some(_) => {
            let (word, is_taking) = taking(status);
            let word = plain(word.trim_start_matches("ready, but "));
            (word, colour(state, if is_taking { Color::Green } else { Color::Red }))
        }
    };
    let media = &status["media"];
    let name = text(&status["edge"]);
    let up = format!("   up {}   ", span(status["uptime_seconds"].as_u64().unwrap_or(0)));
    let calls = format!("   calls {}", status["calls"]);
    let paused = if state.is_paused { "   PAUSED" } else { "" };
    let needed = [&*name, &*up, &*word, &*calls, paused].iter().map(|part| part.chars().count()).sum::<usize>();
    let mut columns = usize::from(width).saturating_sub(needed);
    // This part is omitted on a narrow terminal.
    let mut if_fits = |part: String| {
        let Some(left) = columns.checked_sub(part.chars().count()) else { return String::new() };
        columns = left;
        part
    };
    let ports = if_fits(format!("   media ports {} of {}", media["ports_in_use"], media["ports"]));
    let version = if_fits(format!("   {}", text(&status["version"])));
    let mut lines = vec![Line::from(vec![
        Span::styled(name, bold),
        Span::raw(version + &up),
        Span::styled(word, style.add_modifier(Modifier::BOLD)),
        Span::raw(calls + &ports + paused),
    ])];
    let problems = status["problem_details"].as_array().into_iter().flatten();
    let problems: Vec<Value> = problems.filter(|problem| !is_note(problem)).cloned().collect();
    let problems = problems.as_slice();
    // With an open call the header is one line with the number of problems.
    if state.open.is_some() && state.lost.is_none() {
        if let (Some(line), 1..) = (lines.first_mut(), problems.len()) {
            let many = if problems.len() == 1 { "" } else { "s" };
            line.push_span(Span::styled(format!("   {} problem{many}", problems.len()), colour(state, Color::Red)));
        }
        return Text::from(lines);
    }
    if let Some(what) = &state.lost {
        let (what, fix) = what.split_once("; try: ").unwrap_or((what, ""));
        lines.push(Line::styled(format!("! {}; trying again", plain(what)), colour(state, Color::Red)));
        if !fix.is_empty() {
            lines.push(Line::styled(format!("  try: {}", plain(fix)), colour(state, Color::Red)));
        }
    }
    let most = room.saturating_sub(lines.len() + PARTY_LINES);
    lines.extend(problem_lines(state, problems, usize::from(width).max(NARROWEST), most));
    let room = room.saturating_sub(lines.len()).max(PARTY_LINES);
    lines.extend(parties(state, problems, width, room));
    Text::from(lines)
}

/// Returns trunks and agents in at most `room` lines, those with problems first, and the number of those left out.
fn parties(state: &ScreenState, problems: &[Value], width: u16, room: usize) -> Vec<Line<'static>> {
    let of = |kind: &'static str, all: &'_ Value| -> Vec<(&'static str, Value)> {
        all.as_array().into_iter().flatten().map(|party| (kind, party.clone())).collect()
    };
    let problem_of = |kind: &str, party: &Value| {
        problems.iter().position(|problem| problem[kind].is_string() && problem[kind] == party["name"])
    };
    let is_faulty = |kind: &str, party: &Value| {
        matches!(party["state"].as_str(), Some("down" | "skipped")) || problem_of(kind, party).is_some()
    };
    let mut all = of("trunk", &state.seen.trunks["trunks"]);
    all.extend(of("agent", &state.seen.status["agents"]));
    let (mut faulty, good): (Vec<_>, Vec<_>) = all.into_iter().partition(|(kind, party)| is_faulty(kind, party));
    // The party with the worst problem comes first.
    faulty.sort_by_key(|(kind, party)| problem_of(kind, party).unwrap_or(usize::MAX));
    // The first party is shown even without room.
    let more = if room > PARTY_LINES { 2 } else { 1 };
    let lines_of = |is_faulty: bool| {
        move |(kind, party): &(&str, Value)| party_lines(state, (kind, party), if is_faulty { more } else { 0 }, width)
    };
    let shown: Vec<Vec<Line<'static>>> =
        faulty.iter().map(lines_of(true)).chain(good.iter().map(lines_of(false))).collect();
    if shown.iter().map(Vec::len).sum::<usize>() <= room {
        return shown.into_iter().flatten().collect();
    }
    let mut lines = Vec::new();
    let mut left = [("trunk", 0_usize), ("agent", 0)];
    let kinds = faulty.iter().chain(&good).map(|(kind, _)| *kind);
    let mut is_full = false;
    for (kind, own) in kinds.zip(shown) {
        is_full |= lines.len() + own.len() >= room;
        if is_full {
            left.iter_mut().filter(|(of, _)| *of == kind).for_each(|(_, count)| *count += 1);
        } else {
            lines.extend(own);
        }
    }
    let left = left.iter().filter(|(_, count)| *count > 0).map(|(kind, count)| number(*count, &format!("more {kind}")));
    lines.push(Line::raw(format!("  and {}: `trunkgate status`", left.collect::<Vec<_>>().join(", "))));
    lines
}

/// Formats the problems in at most `room` lines. The first one gets its fix and up to two lines, the others one line,
/// or two for a long headline; further fixes follow while there is room. A single problem gets more lines.
fn problem_lines(state: &ScreenState, problems: &[Value], width: usize, room: usize) -> Vec<Line<'static>> {
    let style = |problem: &Value| match problem["harm"].as_str() {
        Some("edge" | "calls") => colour(state, Color::Red),
        Some("media" | "detour" | "restart" | "records") => colour(state, Color::Yellow),
        Some(_) | None => Style::new(),
    };
    let lines_of = |problem: &Value, lines: Vec<String>| -> Vec<Line<'static>> {
        lines.into_iter().map(|line| Line::styled(line, style(problem))).collect()
    };
    if let [problem] = problems {
        let part = |key: &str, before: &str| problem[key].as_str().map(|text| format!("{before}{}", plain(text)));
        let since = lasting(problem, clock::now());
        let [headline, evidence, fix] = [("headline", "! "), ("evidence", ": "), ("fix", "try: ")]
            .map(|(key, before)| part(key, before).unwrap_or_default());
        let with_fix = if fix.is_empty() { String::new() } else { format!("; {fix}") };
        let (lines, is_long) = at_most(&format!("{headline}{evidence}{since}{with_fix}"), width, PROBLEM_LINES);
        if !is_long {
            return lines_of(problem, lines);
        }
        let (mut lines, mut is_cut) = at_most(&format!("{headline}{since}{evidence}"), width, PROBLEM_LINES);
        if !fix.is_empty() {
            let (more, is_fix_cut) = at_most(&format!("  {fix}"), width, FIX_LINES);
            lines.extend(more);
            is_cut |= is_fix_cut;
        }
        if is_cut {
            lines.push("  … `trunkgate status` has the rest".to_owned());
        }
        return lines_of(problem, lines);
    }
    let shown = problems.iter().take(PROBLEMS).enumerate();
    let pages: Vec<Vec<String>> =
        shown.map(|(at, problem)| in_lines(problem, width, if at == 0 { 2 } else { 1 })).collect();
    let mut left = room.saturating_sub(pages.iter().map(Vec::len).sum());
    let mut lines: Vec<Line<'static>> = Vec::new();
    for (at, (problem, page)) in problems.iter().zip(pages).enumerate() {
        lines.extend(lines_of(problem, page));
        let fix = problem["fix"].as_str().filter(|fix| !fix.is_empty() && (at == 0 || left > 0));
        if let Some(fix) = fix {
            lines.extend(lines_of(problem, at_most(&format!("  try: {}", plain(fix)), width, 1).0));
            left = left.saturating_sub(1);
        }
    }
    if problems.len() > PROBLEMS {
        lines.push(Line::raw(format!("! and {} more: `trunkgate status`", problems.len() - PROBLEMS)));
    }
    lines
}

/// Formats a problem in at most `most` lines, or two if its headline needs them: with its age if there is room,
/// otherwise with as much of its evidence as fits.
fn in_lines(problem: &Value, width: usize, most: usize) -> Vec<String> {
    let evidence = problem["evidence"].as_str().map(|text| format!(": {}", plain(text))).unwrap_or_default();
    let headline = text(&problem["headline"]);
    let (whole, is_cut) = at_most(&format!("! {headline}{evidence}{}", lasting(problem, clock::now())), width, most);
    if !is_cut {
        return whole;
    }
    let brief = plain(brief(problem));
    let needed = if brief.chars().count() + 2 > width { 2 } else { 1 };
    at_most(&format!("! {brief}{evidence}"), width, most.max(needed)).0
}

/// Wraps a text to at most `most` lines, with the further ones indented by two columns. Returns the lines, and whether
/// the end was cut and marked by an ellipsis.
fn at_most(text: &str, width: usize, most: usize) -> (Vec<String>, bool) {
    let page = wrapped(text, 2, Some(width));
    let mut lines: Vec<String> = page.lines().map(str::to_owned).collect();
    let is_cut = lines.len() > most;
    lines.truncate(most);
    if is_cut && let Some(last) = lines.last_mut() {
        // The text is cut at the end of a word.
        while !last.is_empty() && last.chars().count() + 2 > width {
            let end = last.trim_end().rfind(' ').filter(|at| *at > 2);
            last.truncate(end.unwrap_or_else(|| last.char_indices().next_back().map_or(0, |(at, _)| at)));
        }
        last.push_str(" …");
    }
    (lines, is_cut)
}

/// Cuts a text to one line at the end of a word and appends an ellipsis; a single long word is cut within.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let shown: String = text.chars().take(width.saturating_sub(1)).collect();
    match shown.rfind(' ') {
        Some(end) if end > 0 && text.chars().nth(shown.chars().count()) != Some(' ') => {
            format!("{} …", shown.get(..end).unwrap_or_default().trim_end())
        }
        _ => format!("{shown}…"),
    }
}

/// Cuts a line to the terminal's width at the end of a word.
fn within(line: Line<'static>, width: u16) -> Line<'static> {
    let mut room = usize::from(width);
    if line.width() <= room {
        return line;
    }
    let mut kept = Line::default().style(line.style);
    for span in line.spans {
        if span.width() > room {
            if room > 1 {
                kept.push_span(Span::styled(cut(&span.content, room), span.style));
            }
            break;
        }
        room -= span.width();
        kept.push_span(span);
    }
    kept
}

/// Formats a trunk or agent. Status codes and the last problem get up to `more` lines of their own if they would
/// otherwise be cut.
fn party_lines(state: &ScreenState, (kind, party): (&str, &Value), more: usize, width: u16) -> Vec<Line<'static>> {
    let up = party["state"].as_str().unwrap_or("–");
    let style = colour(state, if up == "down" { Color::Red } else { Color::Green });
    let count = match kind {
        "trunk" => {
            let hour = &party["hour"];
            format!("in {}   out {}   cps {}", hour["live_in"], hour["live_out"], party["cps"])
        }
        _ => format!("sessions {}   lost {}{}", party["sessions"], party["lost"], turns(&party["turn_ms"])),
    };
    let answered =
        party["answered_ratio"].as_f64().map(|ratio| format!("   ASR {:.0} %{}", ratio * 100.0, of(&party["tried"])));
    let codes = codes(&party["hour"]["codes"]);
    let problem = party["last_problem"].as_str().map(|what| format!("   last: {}", plain(what))).unwrap_or_default();
    let rest = format!("{codes}{problem}");
    let mut line = Line::from(vec![
        Span::raw(format!("{kind} {:16} ", text(&party["name"]))),
        Span::styled(format!("{:8}", plain(up)), style),
        Span::raw(format!("{count}{}", answered.unwrap_or_default())),
    ]);
    let room = usize::from(width).saturating_sub(line.width());
    if rest.chars().count() <= room || more == 0 {
        // A cut number would be wrong, so codes are shown completely or not at all.
        let rest = if codes.chars().count() > room { problem } else { rest };
        let (shown, _) = at_most(rest.trim_start(), room.saturating_sub(3), 1);
        let shown = shown.first().filter(|_| room > NARROWEST || rest.chars().count() <= room);
        line.push_span(Span::raw(shown.map(|shown| format!("   {shown}")).unwrap_or_default()));
        return vec![line];
    }
    let (rest, _) = at_most(&format!("   {}", rest.trim_start()), width.into(), more);
    std::iter::once(line).chain(rest.into_iter().map(Line::raw)).collect()
}

/// Formats median and 95th percentile of an agent's response times; empty without any.
fn turns(turn_ms: &Value) -> String {
    let known = turn_ms["p50"].as_u64().zip(turn_ms["p95"].as_u64());
    known.map(|(p50, p95)| format!("   turn {p50}/{p95} ms")).unwrap_or_default()
}

/// Formats a limit as ` of 120`; empty if there is none.
fn of(count: &Value) -> String {
    count.as_u64().map(|count| format!(" of {count}")).unwrap_or_default()
}

/// Formats the most frequent status codes of a trunk in the last hour, received and sent.
fn codes(codes: &Value) -> String {
    let of = |direction: &str, word: &str| {
        let all = codes.as_array().into_iter().flatten().filter(|one| one["direction"] == direction).take(CODES);
        let all: Vec<String> = all.map(|one| format!("{}× {}", one["calls"], one["code"])).collect();
        if all.is_empty() { String::new() } else { format!("   {word} {}", all.join(", ")) }
    };
    of("received", "got") + &of("sent", "sent")
}

/// Returns the columns that fit, each with its width: the widest cell, up to a maximum.
fn columns(rows: &[(&str, [String; 11])], width: usize) -> Vec<(usize, usize)> {
    let widest = |column: usize| {
        let cells = rows.iter().filter_map(|(_, cells)| cells.get(column)).map(|cell| cell.chars().count());
        cells.chain(CALL_HEADS.get(column).map(|head| head.chars().count())).max().unwrap_or(0)
    };
    let mut columns: Vec<(usize, usize)> =
        WIDTHS.iter().enumerate().map(|(column, most)| (column, widest(column).min(*most))).collect();
    for column in DISPENSABLE {
        if columns.iter().map(|(_, width)| width + 1).sum::<usize>() <= width + 1 {
            break;
        }
        columns.retain(|(kept, _)| *kept != column);
    }
    columns
}

fn list(frame: &mut Frame, area: Rect, state: &ScreenState) {
    let style = |cell: &str| match cell.split(' ').next().unwrap_or_default() {
        _ if cell.contains('!') => colour(state, Color::Red),
        "answered" => colour(state, Color::Green),
        "failed" | "refused" | "no_answer" => colour(state, Color::Red),
        "trying" | "ringing" | "early" => colour(state, Color::Yellow),
        _ => Style::new(),
    };
    let shown = state.rows();
    let columns = columns(&shown, area.width.into());
    let rows = shown.iter().map(|(_, cells)| {
        let state = cells.get(6).map_or("", String::as_str);
        let cells = columns.iter().filter_map(|(column, width)| {
            let cell = plain(cells.get(*column)?);
            // The beginning of a SID identifies its call.
            Some(if *column == 0 { cell } else { cut(&cell, *width) })
        });
        Row::new(cells).style(style(state))
    });
    let heads = columns.iter().filter_map(|(column, _)| CALL_HEADS.get(*column).copied());
    let head = Row::new(heads).style(Style::new().add_modifier(Modifier::BOLD));
    let widths = columns.iter().map(|(_, width)| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    let table =
        Table::new(rows, widths).header(head).row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let chosen = (!shown.is_empty()).then(|| state.position());
    frame.render_stateful_widget(table, area, &mut TableState::new().with_selected(chosen));
    if shown.is_empty() {
        let [_, below] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
        let why = if state.filter.is_empty() { "no calls" } else { "no call matches the filter" };
        frame.render_widget(Paragraph::new(why), below);
    }
}

fn page(frame: &mut Frame, area: Rect, state: &ScreenState) {
    let Some(open) = &state.open else { return };
    let lines = state.lines();
    let name = match open.page {
        CallPage::Ladder => "ladder",
        CallPage::Raw => "messages",
        CallPage::Sdp => "descriptions",
    };
    let call = state.call(&open.sid);
    let word = call.map_or_else(String::new, |call| format!("  {}", text(&call["state"])));
    let title = format!("{}  {name}{word}  line {} of {}", plain(&open.sid), open.top + 1, lines.len());
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(title).style(Style::new().add_modifier(Modifier::BOLD)), head);
    let styled = lines.iter().skip(open.top).take(body.height.into()).map(|line| {
        let is_verdict = line.trim_start().starts_with("verdict:");
        Line::styled(line.clone(), if is_verdict { colour(state, Color::Yellow) } else { Style::new() })
    });
    frame.render_widget(Paragraph::new(Text::from(styled.collect::<Vec<_>>())), body);
}

/// Returns the last line of the screen: a question, a result, or the keys.
fn foot_line(state: &ScreenState, width: u16) -> Line<'static> {
    let bold = Style::new().add_modifier(Modifier::BOLD);
    if let Some(sid) = &state.ending {
        return Line::styled(format!("end call {}? y: yes, any other key: no", plain(sid)), bold);
    }
    if state.is_filtering {
        return Line::raw(format!("filter: {}█   {FILTER_KEYS}", plain(&state.filter)));
    }
    if let Some(note) = &state.note {
        return Line::styled(plain(note), bold);
    }
    let filter = match state.filter.as_str() {
        "" => String::new(),
        filter => format!("filter: {}   ", plain(filter)),
    };
    let mut keys = if state.open.is_some() { CALL_KEYS } else { LIST_KEYS }.to_vec();
    // Keys without room are omitted; F1 shows all of them.
    while filter.chars().count() + keys.join("  ").chars().count() > usize::from(width)
        && let Some(last) = keys.iter().rposition(|key| !key.starts_with("F1") && !key.starts_with('q'))
    {
        keys.remove(last);
    }
    Line::styled(format!("{filter}{}", keys.join("  ")), Style::new().add_modifier(Modifier::DIM))
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use serde_json::json;

    use super::super::feed::{FeedData, OpenCallData};
    use super::*;

    /// Draws the screen on a terminal of this size and returns its text.
    fn shown(state: &ScreenState, (width, height): (u16, u16)) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, state)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned();
        (0..height).map(|y| line(y) + "\n").collect()
    }

    fn state() -> ScreenState {
        let status = json!({"edge": "edge-1", "version": "0.1.0", "state": "ready", "uptime_seconds": 3700, "calls": 1,
            "media": {"ports_in_use": 4, "ports": 16384},
            "agents": [{"name": "desk", "state": "up", "sessions": 2, "lost": 0, "turn_ms": {"turns": 3, "p50": 810, "p95": 1300}}],
            "problem_details": [{"headline": "trunk pbx is down", "harm": "calls", "evidence": "no answer", "fix": "look there"}]});
        let trunks = json!({"trunks": [{"name": "carrier", "state": "up", "calls": 1, "cps": 0, "answered_ratio": 0.5, "tried": 4,
                "hour": {"live_in": 1, "live_out": 0, "codes": [{"code": 403, "calls": 2, "direction": "received"}, {"code": 480, "calls": 2, "direction": "sent"},
                    {"code": 503, "calls": 1, "direction": "received"}]}},
            {"name": "pbx", "state": "down", "calls": 1, "cps": 0, "last_problem": "no answer to OPTIONS",
                "hour": {"live_in": 0, "live_out": 1, "codes": []}}]});
        let call = json!({"sid": "CA0123456789abcdef0123456789abcdef", "from": "+1415****101", "to": "+1415****199", "route": "in",
            "state": "answered", "sip_code": 200, "flags": ["one_way"], "legs": [{"trunk": "carrier", "direction": "inbound", "state": "answered"},
                {"trunk": "pbx", "direction": "outbound", "state": "answered"}],
            "started_at": "2026-01-01T00:00:00Z", "answered_at": "2026-01-01T00:00:02Z", "ended_at": "2026-01-01T00:01:07Z"});
        let mut state = ScreenState::new(false);
        state.take(FeedData { status, trunks, calls: json!({"calls": [call]}), ..FeedData::default() });
        state
    }

    #[test]
    fn the_list_is_this_page() {
        let page = "\
edge-1   0.1.0   up 1 h 1 min   taking calls   calls 1   media ports 4 of 16384
! trunk pbx is down: no answer; try: look there
trunk pbx              down    in 0   out 1   cps 0   last: no answer to OPTIONS
trunk carrier          up      in 1   out 0   cps 0   ASR 50 % of 4   got 2× 403, 1× 503   sent 2× 480
agent desk             up      sessions 2   lost 0   turn 810/1300 ms
SID        STARTED        FROM         TO           ROUTE LEGS          STATE            CODE TIME      MOS REASON
CA01234567 01-01 00:00:00 +1415****101 +1415****199 in    carrier → pbx answered !silent 200  1 min 5 s –   –


Enter ladder  r raw  / filter  F5 clear  Del hang up  p pause  F1 help  q quit  F8 colours
";
        assert_eq!(shown(&state(), (150, 10)), page);
    }

    #[test]
    fn a_narrow_terminal_shows_marks_and_score_to_their_end() {
        let mut state = state();
        let call = &mut state.seen.calls["calls"][0];
        call["flags"] = json!(["codec_mismatch", "loss"]);
        call["legs"][0]["rtp"] = json!({"mos": 2.26});
        let page = shown(&state, (80, 10));
        let call = "\nSID        STARTED        TO           LEGS          STATE                  CODE\n\
                    CA01234567 01-01 00:00:00 +1415****199 carrier → pbx answered !codecs !loss 200\n";
        assert!(page.contains(call), "{page}");
        assert!(shown(&state, (110, 10)).contains(" CODE TIME      MOS REASON"), "{}", shown(&state, (110, 10)));
    }

    #[test]
    fn nothing_is_cut_within_a_word_at_80_columns() {
        let mut state = state();
        state.seen.status["agents"] = json!([{"name": "an-agent-with-a-long-name", "state": "up", "sessions": 123, "lost": 12,
            "turn_ms": {"p50": 12810, "p95": 21300}, "answered_ratio": 0.5, "tried": 1234, "last_problem": "the connection was reset by the agent"}]);
        state.seen.status["edge"] = json!("an-edge-with-a-rather-long-name.example.com");
        let call = &mut state.seen.calls["calls"][0];
        call["route"] = json!("calls from the main office");
        call["reason"] = json!("target rejected the call");
        for filter in ["", "a filter of some words"] {
            state.filter = filter.to_owned();
            let page = shown(&state, (80, 12));
            let wide = shown(&state, (300, 12));
            for line in page.lines() {
                let line = line.trim_end_matches('…').trim_end();
                let words = line.split_whitespace();
                let cut: Vec<&str> =
                    words.filter(|word| !wide.split_whitespace().any(|whole| whole == *word)).collect();
                assert!(cut.is_empty(), "{cut:?} in {line:?}\n{page}");
            }
        }
        assert!(shown(&state, (80, 12)).contains("F1 help"), "{}", shown(&state, (80, 12)));
    }

    #[test]
    fn parties_with_problems_come_first_and_the_calls_keep_two_thirds() {
        let mut state = state();
        let trunk = |n: usize| {
            let what = if n == 11 { "down" } else { "up" };
            json!({"name": format!("trunk{n}"), "state": what, "cps": 0, "last_problem": "a problem that was long ago, in many words",
                "hour": {"live_in": 0, "live_out": 0, "codes": []}})
        };
        let agents = [("one", "up"), ("two", "skipped")]
            .map(|(name, state)| json!({"name": name, "state": state, "sessions": 0, "lost": 0}));
        state.seen.trunks = json!({"trunks": (1..=12).map(trunk).collect::<Vec<_>>()});
        state.seen.status["agents"] = json!(agents);
        state.seen.status["problem_details"] = json!([{"headline": "trunk trunk11 is down", "harm": "calls", "trunk": "trunk11"},
            {"headline": "trunk trunk9 rejected 3 of 3 calls", "harm": "calls", "trunk": "trunk9"}]);
        let page = shown(&state, (80, 36));
        let names: Vec<&str> = page
            .lines()
            .filter(|line| line.starts_with("trunk ") || line.starts_with("agent "))
            .filter_map(|line| line.split_whitespace().nth(1))
            .collect();
        assert_eq!(
            names,
            ["trunk11", "trunk9", "two", "trunk1", "trunk2", "trunk3"],
            "the worst problem first: {page}"
        );
        assert!(page.contains("\n  and 7 more trunks, 1 more agent: `trunkgate status`\nSID "), "{page}");
        assert_eq!(page.lines().position(|line| line.starts_with("SID ")), Some(12), "{page}");
        assert!(
            page.contains("\ntrunk trunk1           up      in 0   out 0   cps 0   last: a problem that was …\n"),
            "{page}"
        );
    }

    #[test]
    fn a_call_is_its_ladder_and_nothing_steers_the_terminal() {
        let mut state = state();
        let sid = "CA0123456789abcdef0123456789abcdef";
        state.press(KeyEvent::new(KeyCode::Enter, KeyModifiers::NONE));
        assert!(shown(&state, (80, 12)).contains("one moment …"));
        let ladder = "carrier  edge  pbx\n  │──INVITE──▶│  \x1b[31mred\n  verdict: all is well\n".to_owned();
        state.seen.call = Some(OpenCallData { sid: sid.into(), ladder, ..OpenCallData::default() });
        let page = shown(&state, (80, 12));
        assert!(page.contains(&format!("{sid}  ladder  answered  line 1 of 3\ncarrier  edge  pbx\n")), "{page}");
        assert!(
            page.contains("·[31mred") && page.contains("verdict: all is well") && page.contains("q back"),
            "{page}"
        );
        assert!(
            page.starts_with("edge-1 ") && page.lines().nth(1).unwrap().starts_with(sid),
            "one line of header: {page}"
        );
        state.press(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE));
        assert!(!shown(&state, (80, 12)).contains("carrier  edge"), "the first line is gone");
        state.press(KeyEvent::new(KeyCode::Delete, KeyModifiers::NONE));
        assert!(shown(&state, (80, 12)).contains(&format!("end call {sid}? y: yes")));
    }

    #[test]
    fn a_long_problem_leaves_room_for_calls_and_says_where_its_end_is() {
        let mut state = state();
        let long = format!("{}the end", "no answer to OPTIONS, ".repeat(12));
        state.seen.status["problem_details"] = json!([{"headline": "trunk pbx is down", "evidence": long}]);
        let page = shown(&state, (80, 30));
        assert!(page.contains("… `trunkgate status` has the rest") && page.contains("! trunk pbx is down"), "{page}");
        assert!(!page.contains("the end"), "{page}");
        let several =
            ["one", "two", "three", "four", "five", "six"].map(|name| json!({"headline": name, "evidence": long}));
        state.seen.status["problem_details"] = json!(several);
        let page = shown(&state, (80, 24));
        let heads: Vec<String> = page.lines().map(|line| line.chars().take(14).collect()).collect();
        let expected = [
            "! one: no answ",
            "  answer to OP",
            "! two: no answ",
            "! three: no an",
            "! four: no ans",
            "! and 2 more: ",
        ];
        assert!(heads.windows(6).any(|six| six == expected), "{page}");
        let is_cut = |line: &&str| line.ends_with("…") && line.contains("no answer to OPTIONS, no");
        assert_eq!(page.lines().filter(is_cut).count(), 4, "each has more: {page}");
        state.seen.status["problem_details"][0] =
            json!({"headline": "trunk a rejected 4 of 4 calls in the last hour", "evidence": "403"});
        assert!(shown(&state, (80, 24)).contains("\n! trunk a rejected 4 of 4 calls in the last hour: 403\n! two: "));
    }

    #[test]
    fn of_a_problem_the_headline_and_the_beginning_of_the_fix_remain() {
        let mut state = state();
        let evidence = "no packets arrived at 127.0.0.1:20052 (announced 127.0.0.2:30000, expected from 127.0.0.2; our SDP says 127.0.0.1:20052)";
        let headline =
            "no media from a-carrier-with-a-long-name in 3 of 3 calls of the last hour, 2 of 2 of the last 5 min";
        let fix = "open udp 16384-32767 for its media addresses in every firewall on the path. ".repeat(4);
        let brief = headline.replacen(" of the last hour", "", 1);
        let problem = json!({"headline": headline, "brief": brief, "evidence": evidence, "fix": fix, "harm": "media"});
        let page =
            |state: &ScreenState| shown(state, (80, 24)).lines().map(str::trim_end).collect::<Vec<_>>().join("\n");
        state.seen.status["problem_details"] = json!([problem]);
        let one = page(&state);
        let expected = "! no media from a-carrier-with-a-long-name in 3 of 3 calls of the last hour, 2\n  of 2 of the last 5 min: no packets";
        assert!(
            one.contains(expected) && one.contains("\n  try: open udp 16384-32767 for its media addresses"),
            "{one}"
        );
        let other = json!({"headline": "trunk pbx is down", "evidence": "no answer to OPTIONS", "harm": "calls"});
        state.seen.status["problem_details"] = json!([other, problem]);
        let two = page(&state);
        let expected = "\n! no media from a-carrier-with-a-long-name in 3 of 3 calls, 2 of 2 of the last 5\n  min: no packets arrived at";
        assert!(two.contains(expected), "{two}");
        let is_whole = |line: &str| !line.ends_with('…') || line.ends_with(" …");
        assert!(two.lines().filter(|line| line.starts_with(['!', ' '])).all(is_whole), "words are whole: {two}");
    }

    #[test]
    fn a_lost_edge_is_told_and_what_it_said_stays() {
        let mut state = state();
        state.lost = Some("no edge at http://127.0.0.1:1\x07".into());
        let page = shown(&state, (126, 12));
        assert!(page.contains("not reached") && page.contains("! no edge at http://127.0.0.1:1·; trying again"));
        assert!(page.contains("+1415****101"), "{page}");
    }

    #[test]
    fn any_size_can_be_drawn_and_colours_are_only_where_they_are_wanted() {
        let mut state = state();
        for size in [(1, 1), (3, 2), (20, 5), (80, 24), (300, 100)] {
            shown(&state, size);
            state.is_helping = !state.is_helping;
            state.open = match state.open {
                Some(_) => None,
                None => Some(super::super::state::OpenCall { sid: "CA1".into(), page: CallPage::Raw, top: 7 }),
            };
        }
        let coloured = |state: &ScreenState| {
            let mut terminal = Terminal::new(TestBackend::new(126, 9)).unwrap();
            terminal.draw(|frame| draw(frame, state)).unwrap();
            terminal.backend().buffer().content().iter().any(|cell| cell.fg != Color::Reset)
        };
        (state.open, state.is_helping) = (None, false);
        assert!(!coloured(&state));
        state.colours = true;
        assert!(coloured(&state));
    }
}
