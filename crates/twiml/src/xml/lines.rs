//! Conversion of byte offsets to lines and columns.

use crate::problem::DocumentPosition;

/// Lookup of positions in a text. A series of ascending offsets takes a single pass.
#[derive(Debug)]
pub(super) struct PositionLookup<'a> {
    text: &'a str,
    offset: usize,
    position: DocumentPosition,
}

impl<'a> PositionLookup<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        PositionLookup { text, offset: 0, position: DocumentPosition::START }
    }

    /// Returns the line and column of a byte offset. An offset within a character counts as the start of that
    /// character.
    pub(super) fn at(&mut self, offset: usize) -> DocumentPosition {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        if offset < self.offset {
            *self = PositionLookup::new(self.text);
        }
        for sign in self.text.get(self.offset..offset).unwrap_or_default().chars() {
            if sign == '\n' {
                self.position = DocumentPosition { line: self.position.line + 1, column: 1 };
            } else {
                self.position.column += 1;
            }
        }
        self.offset = offset;
        self.position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_characters_and_may_go_back() {
        let mut lines = PositionLookup::new("aé\nb");
        assert_eq!(lines.at(3), DocumentPosition { line: 1, column: 3 });
        assert_eq!(lines.at(4), DocumentPosition { line: 2, column: 1 });
        assert_eq!(lines.at(2), DocumentPosition { line: 1, column: 2 }, "inside é");
        assert_eq!(lines.at(99), DocumentPosition { line: 2, column: 2 });
    }
}
