//! One line of text, written at given positions, in colour if the terminal supports it.

/// Kind of a piece of text; decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// Remarks.
    Plain,
    /// Bars and times.
    Faint,
    /// Names and verdicts.
    Strong,
    /// SIP requests.
    Request,
    /// SIP 1xx responses.
    Provisional,
    /// SIP 2xx responses.
    Success,
    /// SIP 3xx to 6xx responses.
    Failure,
    /// Packet counts.
    Media,
    /// Agent events.
    Agent,
    /// Decisions of the edge, and media events.
    Words,
}

impl Tone {
    /// Returns the Select Graphic Rendition code (ECMA-48 §8.3.117) of one of the sixteen colours of the terminal's
    /// palette.
    const fn code(self) -> &'static str {
        match self {
            Tone::Plain => "",
            Tone::Faint => "90",
            Tone::Strong => "1",
            Tone::Request => "36",
            Tone::Provisional | Tone::Words => "33",
            Tone::Success => "32",
            Tone::Failure => "31",
            Tone::Media => "34",
            Tone::Agent => "35",
        }
    }
}

/// Colours a text line by line.
pub(super) fn painted(text: &str, tone: Tone) -> String {
    text.split_inclusive('\n').map(|line| stroke(line.trim_end_matches('\n'), tone) + "\n").collect()
}

fn stroke(text: &str, tone: Tone) -> String {
    match tone.code() {
        "" => text.to_owned(),
        code => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// A line of coloured characters.
pub(super) struct Row {
    marks: Vec<(char, Tone)>,
    colour: bool,
    /// Tone of the next characters.
    pub(super) tone: Tone,
}

impl Row {
    pub(super) fn new(colour: bool, tone: Tone) -> Row {
        Row { marks: Vec::new(), colour, tone }
    }

    pub(super) fn set(&mut self, at: usize, mark: char) {
        if self.marks.len() <= at {
            self.marks.resize(at + 1, (' ', Tone::Plain));
        }
        if let Some(place) = self.marks.get_mut(at) {
            *place = (mark, self.tone);
        }
    }

    pub(super) fn put(&mut self, at: usize, text: &str) {
        for (n, mark) in text.chars().enumerate() {
            self.set(at + n, mark);
        }
    }

    pub(super) fn line(self) -> String {
        let length = self.marks.iter().rposition(|(mark, _)| *mark != ' ').map_or(0, |last| last + 1);
        let marks = self.marks.get(..length).unwrap_or_default();
        let mut out = String::new();
        // Spaces need no colour and join the piece before them.
        for piece in marks.chunk_by(|(_, tone), (mark, next)| !self.colour || tone == next || *mark == ' ') {
            let text: String = piece.iter().map(|(mark, _)| mark).collect();
            let tone = piece.first().map_or(Tone::Plain, |(_, tone)| *tone);
            out.push_str(&if self.colour { stroke(&text, tone) } else { text });
        }
        out + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_change_no_column() {
        let draw = |colour| {
            let mut row = Row::new(colour, Tone::Faint);
            row.put(2, "│");
            row.put(8, "│");
            row.tone = Tone::Failure;
            row.put(3, "─486▶");
            row.line()
        };
        assert_eq!(draw(false), "  │─486▶│\n");
        assert_eq!(draw(true), "  \u{1b}[90m│\u{1b}[0m\u{1b}[31m─486▶\u{1b}[0m\u{1b}[90m│\u{1b}[0m\n");
        assert_eq!(painted("a\nb\n", Tone::Strong), "\u{1b}[1ma\u{1b}[0m\n\u{1b}[1mb\u{1b}[0m\n");
    }
}
