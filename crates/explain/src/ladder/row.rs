//! Line of text in which pieces are written at given positions, in colour if the terminal supports it.

/// Kind of a piece of text, which decides on its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextTone {
    /// Tone of remarks.
    Plain,
    /// Tone of bars and times.
    Faint,
    /// Tone of names and verdicts.
    Strong,
    /// Tone of SIP requests.
    Request,
    /// Tone of SIP 1xx responses.
    Provisional,
    /// Tone of SIP 2xx responses.
    Success,
    /// Tone of SIP 3xx to 6xx responses.
    Failure,
    /// Tone of packet counts.
    Media,
    /// Tone of agent events.
    Agent,
    /// Tone of decisions of the edge, and of events of the media.
    Words,
}

impl TextTone {
    /// Returns the code for the tone's colour (Select Graphic Rendition, ECMA-48 §8.3.117), one of the sixteen of the
    /// terminal's palette.
    const fn code(self) -> &'static str {
        match self {
            TextTone::Plain => "",
            TextTone::Faint => "90",
            TextTone::Strong => "1",
            TextTone::Request => "36",
            TextTone::Provisional | TextTone::Words => "33",
            TextTone::Success => "32",
            TextTone::Failure => "31",
            TextTone::Media => "34",
            TextTone::Agent => "35",
        }
    }
}

/// Colours each line of a text.
pub(super) fn painted(text: &str, tone: TextTone) -> String {
    text.split_inclusive('\n').map(|line| stroke(line.trim_end_matches('\n'), tone) + "\n").collect()
}

fn stroke(text: &str, tone: TextTone) -> String {
    match tone.code() {
        "" => text.to_owned(),
        code => format!("\x1b[{code}m{text}\x1b[0m"),
    }
}

/// Line of coloured characters.
pub(super) struct CharacterRow {
    marks: Vec<(char, TextTone)>,
    colour: bool,
    /// Tone of the characters written next.
    pub(super) tone: TextTone,
}

impl CharacterRow {
    pub(super) fn new(colour: bool, tone: TextTone) -> CharacterRow {
        CharacterRow { marks: Vec::new(), colour, tone }
    }

    pub(super) fn set(&mut self, at: usize, mark: char) {
        if self.marks.len() <= at {
            self.marks.resize(at + 1, (' ', TextTone::Plain));
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
        // A space has no colour, so it joins the piece before it.
        for piece in marks.chunk_by(|(_, tone), (mark, next)| !self.colour || tone == next || *mark == ' ') {
            let text: String = piece.iter().map(|(mark, _)| mark).collect();
            let tone = piece.first().map_or(TextTone::Plain, |(_, tone)| *tone);
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
            let mut row = CharacterRow::new(colour, TextTone::Faint);
            row.put(2, "│");
            row.put(8, "│");
            row.tone = TextTone::Failure;
            row.put(3, "─486▶");
            row.line()
        };
        assert_eq!(draw(false), "  │─486▶│\n");
        assert_eq!(draw(true), "  \u{1b}[90m│\u{1b}[0m\u{1b}[31m─486▶\u{1b}[0m\u{1b}[90m│\u{1b}[0m\n");
        assert_eq!(painted("a\nb\n", TextTone::Strong), "\u{1b}[1ma\u{1b}[0m\n\u{1b}[1mb\u{1b}[0m\n");
    }
}
