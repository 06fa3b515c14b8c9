//! A line of text that is written at places, in colour where the terminal has some.

/// What a piece of a line is: by it goes its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// What is said of something.
    Plain,
    /// Bars and times.
    Faint,
    /// Names and verdicts.
    Strong,
    /// A request.
    Request,
    /// 1xx.
    Provisional,
    /// 2xx.
    Success,
    /// 3xx to 6xx.
    Failure,
    /// Sums of packets.
    Media,
    /// What an agent does.
    Agent,
    /// What the edge decides, and what media does.
    Words,
}

impl Tone {
    /// Select Graphic Rendition (ECMA-48 §8.3.117): the sixteen colours, which each terminal has in its own shades.
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

/// A text in a tone, line by line.
pub(super) fn painted(text: &str, tone: Tone) -> String {
    text.split_inclusive('\n').map(|line| stroke(line.trim_end_matches('\n'), tone) + "\n").collect()
}

fn stroke(text: &str, tone: Tone) -> String {
    match tone.code() {
        "" => text.to_owned(),
        code => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// The line.
pub(super) struct Row {
    marks: Vec<(char, Tone)>,
    colour: bool,
    /// What is written next.
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
        // Spaces have no colour: they belong to what stands before them.
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
