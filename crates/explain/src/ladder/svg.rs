//! Ladder diagram as an SVG picture without external resources. It follows the viewer's light or dark mode, and
//! describes itself in words for screen readers. The lines are those of the text ladder.

use std::fmt::Write as _;

use trunkgate_call::CallView;
use trunkgate_call::numbers::is_control_char;
use trunkgate_call::trace::TraceView;

use super::row::TextTone;
use super::{EDGE, LadderColumns, LadderLine, LadderMark, earlier, headline, lines, media_of, names, shortened};
use trunkgate_system::terminal::wrapped;

/// Position of the first column, in pixels.
const FIRST: usize = 110;
/// Distance between two columns, in pixels.
const PITCH: usize = 170;
/// Distance between two lines, in pixels.
const ROW: usize = 24;
/// Height of headline and names above the first line, in pixels.
const HEAD: usize = 84;
/// Width of a character in remarks (monospace), in pixels.
const CHARACTER: usize = 7;
/// Maximum length of a line of remarks, in characters.
const REMARK: usize = 72;
/// Maximum length of the text above an arrow or a column, in characters.
const OVER: usize = 22;
/// Maximum line length of headline and verdict, in characters: with two columns, and in addition for each further one.
const BROAD: (usize, usize) = (84, 24);

const STYLE: &str = "\
svg{--paper:#ffffff;--ink:#1f2328;--faint:#8b949e;--bar:#c8ced6;--request:#0550ae;--provisional:#7d4e00;--success:#116329;\
--failure:#b3151c;--media:#0e6b8a;--agent:#7b2fbf;--words:#6e4b00;background:var(--paper)}\
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--faint:#8b949e;--bar:#3a424c;--request:#79b8ff;\
--provisional:#e3b341;--success:#56d364;--failure:#ff7b72;--media:#63c7e6;--agent:#d2a8ff;--words:#e3b341}}\
.paper{fill:var(--paper)}text{fill:var(--ink);font:12px ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace}\
.head{font-weight:bold;font-size:13px}.name{font-weight:bold;text-anchor:middle}.time{fill:var(--faint);text-anchor:end}\
.over{text-anchor:middle;font-size:11px}.bar{stroke:var(--bar);stroke-width:1}.faint{fill:var(--faint)}\
line{stroke-width:1.5}.media{stroke-width:3}\
line.request{stroke:var(--request)}line.provisional{stroke:var(--provisional)}line.success{stroke:var(--success)}\
line.failure{stroke:var(--failure)}line.media{stroke:var(--media)}\
.request{fill:var(--request)}.provisional{fill:var(--provisional)}.success{fill:var(--success)}.failure{fill:var(--failure)}\
.media{fill:var(--media)}.agent{fill:var(--agent)}.words{fill:var(--words)}";

const fn class(tone: TextTone) -> &'static str {
    match tone {
        TextTone::Plain | TextTone::Strong => "plain",
        TextTone::Faint => "faint",
        TextTone::Request => "request",
        TextTone::Provisional => "provisional",
        TextTone::Success => "success",
        TextTone::Failure => "failure",
        TextTone::Media => "media",
        TextTone::Agent => "agent",
        TextTone::Words => "words",
    }
}

/// Returns a call as an SVG picture with headline, ladder and verdict.
pub fn picture(call: &CallView, trace: &TraceView) -> String {
    let (columns, names) = (LadderColumns::new(trace, None), names(&trace.legs));
    let lines = lines(trace, &media_of(call), &columns, &names);
    let broad = BROAD.0 + BROAD.1 * columns.count.saturating_sub(2);
    let cut = |text: &str, room| -> Vec<String> { wrapped(text, 0, Some(room)).lines().map(str::to_owned).collect() };
    let head = cut(&headline(call, trace), broad);
    let verdict = cut(&trace.verdict, broad);
    let remarks: Vec<Vec<String>> = lines.iter().map(|line| cut(&line.remark, REMARK)).collect();
    let margin = FIRST + columns.count.saturating_sub(1) * PITCH + 16;
    let longest = remarks.iter().flatten().map(|remark| remark.chars().count()).max().unwrap_or(0);
    let told = head.iter().chain(&verdict).map(|line| 16 + line.chars().count() * (CHARACTER + 1)).max().unwrap_or(0);
    let width = (margin + longest * CHARACTER + 24).max(margin + PITCH / 2).max(told + 16);
    let top = HEAD + head.len().saturating_sub(1) * 18;
    let mut out = SvgPicture { svg: String::new(), columns, margin, at: top };
    for (line, remark) in lines.iter().zip(&remarks) {
        out.line(line, remark);
    }
    if trace.dropped > 0 {
        out.text(margin, out.at, "faint", &earlier(trace.dropped));
        out.at += ROW;
    }
    let bottom = out.at;
    for (at, text) in verdict.iter().enumerate() {
        out.text(16, bottom + 20 + at * 18, "head", text);
    }
    let height = bottom + 24 + verdict.len() * 18;
    let bars = out.bars(&names, top, bottom);
    let mut heading = String::new();
    for (at, text) in head.iter().enumerate() {
        let _ = write!(heading, "<text class=\"head\" x=\"16\" y=\"{}\">{}</text>", 24 + at * 18, escaped(text));
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" \
         role=\"img\" aria-labelledby=\"title story\">\n<title id=\"title\">Ladder of call {sid}</title>\n\
         <desc id=\"story\">{story}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n{heading}\n{bars}\n{drawn}</svg>\n",
        sid = escaped(&trace.sid),
        story = escaped(&story(trace, &lines, &names)),
        drawn = out.svg,
    )
}

/// Describes the ladder in sentences, for screen readers.
fn story(trace: &TraceView, lines: &[LadderLine], names: &[String]) -> String {
    let mut story = format!("{}\n", trace.verdict);
    for line in lines {
        let who = |leg: &usize| names.get(*leg).map_or("?", String::as_str);
        let what = match &line.mark {
            LadderMark::Arrow { media: Some(_), .. } => continue,
            LadderMark::Arrow { leg, received: true, text, .. } => format!("{} to the edge: {text}. ", who(leg)),
            LadderMark::Arrow { leg, text, .. } => format!("the edge to {}: {text}. ", who(leg)),
            LadderMark::Dot(_) | LadderMark::None => String::new(),
        };
        let _ = writeln!(story, "{} {what}{}", line.time, line.remark);
    }
    story
}

/// SVG picture that is being drawn.
struct SvgPicture {
    svg: String,
    columns: LadderColumns,
    /// Horizontal position at which remarks begin, in pixels.
    margin: usize,
    /// Vertical position of the next line, in pixels.
    at: usize,
}

impl SvgPicture {
    fn x(&self, column: usize) -> usize {
        FIRST + column * PITCH
    }

    fn text(&mut self, x: usize, y: usize, class: &str, text: &str) {
        let _ = writeln!(self.svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(text));
    }

    /// Returns the names and the bars, which lie below all other elements.
    fn bars(&self, names: &[String], top: usize, bottom: usize) -> String {
        let mut out = String::new();
        for column in 0..self.columns.count {
            let leg = self.columns.of.iter().position(|of| *of == column);
            let name = if column == 1 { EDGE } else { leg.and_then(|leg| names.get(leg)).map_or("", String::as_str) };
            let (x, name) = (self.x(column), escaped(&shortened(name, OVER)));
            let _ = write!(out, "<text class=\"name\" x=\"{x}\" y=\"{}\">{name}</text>", top - 30);
            let _ = writeln!(out, "<line class=\"bar\" x1=\"{x}\" x2=\"{x}\" y1=\"{}\" y2=\"{bottom}\"/>", top - 22);
        }
        out
    }

    fn line(&mut self, line: &LadderLine, remark: &[String]) {
        let (y, class) = (self.at, class(line.tone()));
        let time = match &line.mark {
            LadderMark::Arrow { media: Some(unit), .. } => unit,
            LadderMark::None | LadderMark::Dot(_) | LadderMark::Arrow { media: None, .. } => line.time.as_str(),
        };
        self.text(FIRST - 14, y + 4, "time", time);
        let mut of_remark = class;
        match &line.mark {
            LadderMark::None => {}
            LadderMark::Dot(leg) => {
                let x = self.x(self.columns.of(*leg));
                let _ = writeln!(self.svg, "<circle class=\"{class}\" cx=\"{x}\" cy=\"{y}\" r=\"5\"/>");
            }
            LadderMark::Arrow { leg, received, text, .. } => {
                of_remark = "plain";
                self.arrow(*leg, *received, text, class);
            }
        }
        for (at, text) in remark.iter().enumerate() {
            self.text(self.margin, y + 4 + at * 16, of_remark, text);
        }
        self.at += ROW + remark.len().saturating_sub(1) * 16;
    }

    fn arrow(&mut self, leg: usize, received: bool, text: &str, class: &str) {
        let (y, column) = (self.at, self.columns.of(leg));
        let (theirs, ours) = (self.x(column), self.x(1));
        let (from, to) = if received { (theirs, ours) } else { (ours, theirs) };
        let (tip, back) = if to > from { (to - 1, to - 9) } else { (to + 1, to + 9) };
        let _ = writeln!(self.svg, "<line class=\"{class}\" x1=\"{from}\" x2=\"{back}\" y1=\"{y}\" y2=\"{y}\"/>");
        let (high, low) = (y - 5, y + 5);
        let _ = writeln!(self.svg, "<path class=\"{class}\" d=\"M{tip} {y}L{back} {high}L{back} {low}Z\"/>");
        // The text above the arrow is in the gap next to the remote party.
        let middle = if theirs < ours { theirs + PITCH / 2 } else { theirs - PITCH / 2 };
        self.text(middle, y - 4, &format!("over {class}"), &shortened(text, OVER));
    }
}

/// Escapes a text for XML (XML 1.0 §2.2, §2.4), and replaces characters that XML does not permit.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for mark in text.chars() {
        match mark {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            mark if is_control_char(mark) => out.push('\u{fffd}'),
            mark => out.push(mark),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use trunkgate_call::trace::{TraceEntry, TraceItem};

    use super::*;

    fn call() -> CallView {
        CallView {
            sid: "CA0".into(),
            state: "ended",
            outcome: Some("failed"),
            reason: Some("no_route"),
            route: "main".into(),
            from: "<b>&\"".into(),
            to: "+1415\u{1b}\u{202e}".into(),
            ..CallView::default()
        }
    }

    fn trace(texts: &[&str]) -> TraceView {
        let entry = |(at, text): (usize, &&str)| {
            let (text, note) = ((*text).to_owned(), format!("note {text}"));
            TraceEntry::new(
                at as u64,
                TraceItem::Message { leg: at % 2, received: at % 2 == 0, text, note, again: false },
            )
        };
        let mut entries: Vec<TraceEntry> = texts.iter().enumerate().map(entry).collect();
        entries.push(TraceEntry::new(90, TraceItem::Agent { leg: 1, text: "open".into() }));
        entries.push(TraceEntry::new(99, TraceItem::Decision { text: "word ".repeat(40) }));
        TraceView {
            entries,
            dropped: 3,
            ..TraceView::of("CA0".into(), "A <verdict>.".into(), vec!["a&b".into(), "<pbx>".into()])
        }
    }

    #[test]
    fn what_far_ends_write_is_no_markup() {
        let svg = picture(&call(), &trace(&["<script>alert(1)</script>", "486 ]]>&amp;\u{0}\u{ffff}"]));
        for harm in ["<script", "<pbx>", "<b>", "\u{0}", "\u{1b}", "\u{202e}", "\u{ffff}", "&amp;amp;\u{0}"] {
            assert!(!svg.contains(harm), "{harm:?} in {svg}");
        }
        for part in ["&lt;script&gt;", "&lt;pbx&gt;", "a&amp;b", "A &lt;verdict&gt;.", "3 earlier entries were dropped"]
        {
            assert!(svg.contains(part), "{part} in {svg}");
        }
        assert!(!svg.contains("href") && !svg.contains("url("), "nothing is fetched from elsewhere");
    }

    #[test]
    fn the_heading_has_the_application_as_the_list_of_calls_has() {
        let call = CallView { app: Some("ivr".into()), voicemail: Some("sales".into()), ..call() };
        let trace = TraceView { legs: ["carrier", "carrier", "pbx", "pbx"].map(str::to_owned).to_vec(), ..trace(&[]) };
        let svg = picture(&call, &trace);
        assert!(svg.contains("carrier → app:ivr → carrier → pbx ×2 → voicemail:sales  failed<"), "{svg}");
    }

    #[test]
    fn every_line_of_the_text_is_in_the_picture() {
        let trace = trace(&["INVITE", "100 Trying", "200 OK"]);
        let svg = picture(&call(), &trace);
        for text in ["INVITE", "100 Trying", "200 OK", "note INVITE", "&lt;pbx&gt;: open", ">edge<"] {
            assert!(svg.contains(text), "{text} in {svg}");
        }
        assert_eq!(svg.matches("<path").count(), 3);
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("the edge to &lt;pbx&gt;: 100 Trying. note 100 Trying"), "{svg}");
        assert!(svg.contains("prefers-color-scheme:dark") && svg.contains("role=\"img\""));
    }
}
