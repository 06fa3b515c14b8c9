//! Values in a document that may not be well-formed: attributes and texts of XML, strings of JSON; and the document
//! without comments.

use std::ops::Range;

/// Beginning of a section of XML without markup …
pub(super) const SECTION: &str = "<![CDATA[";
/// … and its end.
pub(super) const SECTION_END: &str = "]]>";
/// End of the names of attributes that are secret.
const SECRET: &str = "password";
/// Quotation marks of a value, as they are or in a document inside of another one.
const QUOTES: [&str; 7] = ["\"", "'", "\\\"", "&quot;", "&#34;", "&apos;", "&#39;"];

/// A part of a document that is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hidden {
    /// Its place.
    pub(super) at: Range<usize>,
    /// The text that is shown instead.
    pub(super) shown: &'static str,
}

/// Returns a document without these parts; of parts that overlap the first is replaced.
pub(super) fn without(document: &str, mut hidden: Vec<Hidden>) -> String {
    hidden.sort_by_key(|part| part.at.start);
    let (mut shown, mut from) = (String::with_capacity(document.len()), 0);
    for part in hidden {
        if part.at.start >= from {
            shown.push_str(document.get(from..part.at.start).unwrap_or_default());
            shown.push_str(part.shown);
        }
        from = from.max(part.at.end);
    }
    shown + document.get(from..).unwrap_or_default()
}

/// Returns the values of passwords: behind each name, wherever it stands, all up to the next quotation mark of the same
/// kind.
pub(super) fn passwords(document: &str) -> Vec<Hidden> {
    if memchr::memchr(b'=', document.as_bytes()).is_none() {
        return Vec::new();
    }
    let lower = document.to_ascii_lowercase();
    let value = |(at, name): (usize, &str)| {
        let value = lower.get(at + name.len()..)?.trim_start().strip_prefix('=')?.trim_start();
        let quote = QUOTES.into_iter().find(|quote| value.starts_with(quote))?;
        let inside = value.strip_prefix(quote)?;
        let from = lower.len() - inside.len();
        let length = inside.find(quote).unwrap_or(inside.len());
        (length > 0).then_some(Hidden { at: from..from + length, shown: "…" })
    };
    lower.match_indices(SECRET).filter_map(value).collect()
}

/// Returns a document without comments and processing instructions; its declaration stays.
pub(super) fn without_comments(document: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(document.len()), document);
    let mut has_section_end = true;
    while let Some(at) = rest.find('<') {
        let (front, from) = rest.split_at(at);
        shown.push_str(front);
        // Cut in the middle, it may have hidden anything.
        let (end, is_shown) = if from.starts_with("<!--") {
            (end_of(from, "<!--", "-->"), false)
        } else if from.starts_with("<?") {
            (end_of(from, "<?", "?>"), from.starts_with("<?xml "))
        } else {
            let is_section = has_section_end && from.starts_with(SECTION);
            let end = if is_section { end_of(from, SECTION, SECTION_END) } else { None };
            has_section_end &= !is_section || end.is_some();
            (end.or(Some(1)), true)
        };
        let (one, further) = from.split_at_checked(end.unwrap_or(from.len())).unwrap_or((from, ""));
        if is_shown {
            shown.push_str(one);
        }
        rest = further;
    }
    shown + rest
}

/// Returns the length of a text up to an end that stands behind its beginning.
fn end_of(text: &str, begin: &str, end: &str) -> Option<usize> {
    let at = text.get(begin.len()..)?.find(end)?;
    Some(begin.len() + at + end.len())
}

/// Returns the values of a document, each as its pieces: a text goes on behind an element inside. Values of XML come
/// twice where they are strings of JSON, too.
pub(super) fn values(document: &str) -> Vec<Vec<Range<usize>>> {
    let mut reader = Reader { document, open: Vec::new(), values: Vec::new() };
    reader.read_elements();
    reader.read_strings();
    reader.values
}

/// A document that is read for its values.
struct Reader<'a> {
    document: &'a str,
    /// Texts of the elements that are open, outermost first.
    open: Vec<Vec<Range<usize>>>,
    values: Vec<Vec<Range<usize>>>,
}

impl Reader<'_> {
    /// Returns the document from a place on.
    fn rest(&self, from: usize) -> &str {
        self.document.get(from..).unwrap_or_default()
    }

    /// Reads attributes of XML, and texts of its elements.
    fn read_elements(&mut self) {
        let mut at = 0;
        while at < self.document.len() {
            let end = self.text_end(at);
            if let Some(texts) = self.open.last_mut().filter(|_| at < end) {
                texts.push(at..end);
            }
            at = self.read_tag(end);
        }
        self.values.append(&mut self.open);
    }

    /// Returns where a text ends: at the next tag. A section without markup belongs to it.
    fn text_end(&self, from: usize) -> usize {
        let mut at = from;
        while let Some(found) = self.rest(at).find('<') {
            at += found;
            let rest = self.rest(at);
            let next = rest.chars().nth(1);
            if rest.starts_with(SECTION) {
                at += end_of(rest, SECTION, SECTION_END).unwrap_or(rest.len());
            } else if next.is_some_and(|next| next.is_alphabetic() || "/!?_:".contains(next)) {
                return at;
            } else {
                at += 1;
            }
        }
        self.document.len()
    }

    /// Reads the tag at a place, and returns where it ends.
    fn read_tag(&mut self, from: usize) -> usize {
        let mut at = from + 1;
        while let Some(found) = self.rest(at).find(['"', '\'', '<', '>']) {
            at += found;
            match self.rest(at).chars().next() {
                Some(quote @ ('"' | '\'')) => {
                    let rest = self.rest(at + 1);
                    let value = at + 1..at + 1 + rest.find(quote).unwrap_or(rest.len());
                    at = value.end + 1;
                    self.values.push(std::iter::once(value).collect());
                }
                Some('>') => {
                    self.end_tag(from, at);
                    return at + 1;
                }
                // No tag has another one inside.
                Some(_) | None => return at,
            }
        }
        self.document.len()
    }

    /// Opens or closes the element of a tag from one place up to another.
    fn end_tag(&mut self, from: usize, until: usize) {
        let tag = self.document.get(from..until).unwrap_or_default();
        if tag.starts_with("</") {
            self.values.extend(self.open.pop());
        } else if !tag.starts_with("<!") && !tag.starts_with("<?") && !tag.ends_with('/') {
            self.open.push(Vec::new());
        }
    }

    /// Reads strings of JSON. Those with markup are none, or documents themselves.
    fn read_strings(&mut self) {
        let mut at = 0;
        while let Some(found) = self.rest(at).find('"') {
            let from = at + found + 1;
            let Some(length) = string_length(self.rest(from)) else { return };
            let has_markup = self.rest(from).get(..length).is_none_or(|string| string.contains(['<', '>']));
            if !has_markup {
                self.values.push(std::iter::once(from..from + length).collect());
            }
            at = from + length + 1;
        }
    }
}

/// Returns the length of a string of JSON up to the quotation mark that ends it.
fn string_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}
