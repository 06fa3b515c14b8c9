//! Recipient stanza of the header, with base64 without padding and only in its canonical form.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

/// Number of characters in each line of a stanza's body except the last one, which is shorter.
const COLUMNS: usize = 64;

/// Recipient stanza: `-> TYPE ARGUMENT …` and its body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stanza<'a> {
    pub(super) kind: &'a [u8],
    pub(super) arguments: Vec<&'a [u8]>,
    pub(super) body: Vec<u8>,
}

/// Takes one line with its line break from a text.
pub(super) fn line<'a>(text: &mut &'a [u8]) -> Option<&'a [u8]> {
    let end = text.iter().position(|byte| *byte == b'\n')?;
    let (line, rest) = text.split_at(end);
    *text = rest.get(1..)?;
    Some(line)
}

impl<'a> Stanza<'a> {
    /// Parses a stanza; `arguments` is its first line after `-> `, and the body is taken from the text.
    pub(super) fn read(arguments: &'a [u8], text: &mut &'a [u8]) -> Option<Stanza<'a>> {
        let mut words = arguments.split(|byte| *byte == b' ');
        let is_word = |word: &&[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_graphic);
        let kind = words.next().filter(is_word)?;
        let arguments = words.map(|word| Some(word).filter(is_word)).collect::<Option<_>>()?;
        let mut body = Vec::new();
        loop {
            let line = line(text)?;
            if line.len() > COLUMNS {
                return None;
            }
            body.extend(decode(line)?);
            if line.len() < COLUMNS {
                return Some(Stanza { kind, arguments, body });
            }
        }
    }
}

/// Decodes base64 without padding; `None` if it is not in canonical form.
pub(super) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    STANDARD_NO_PAD.decode(text).ok()
}

/// Encodes base64 without padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    STANDARD_NO_PAD.encode(bytes)
}
