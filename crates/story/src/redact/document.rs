//! Values in possibly malformed documents: XML attributes and texts, JSON strings; and removal of comments.

use std::ops::Range;

/// Start of an XML section without markup.
pub(super) const SECTION: &str = "<![CDATA[";
/// End of an XML section without markup.
pub(super) const SECTION_END: &str = "]]>";
/// Suffix of secret attribute names.
const SECRET: &str = "password";
/// Quotation marks of a value, plain or within an embedded document.
const QUOTES: [&str; 7] = ["\"", "'", "\\\"", "&quot;", "&#34;", "&apos;", "&#39;"];

/// A part of a document to replace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RedactedRange {
    /// Range in the document.
    pub(super) at: Range<usize>,
    /// Text shown instead of the range.
    pub(super) shown: &'static str,
}

/// Returns a document with these parts replaced; of overlapping parts, only the first is replaced.
pub(super) fn without(document: &str, mut hidden: Vec<RedactedRange>) -> String {
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

/// Returns the ranges of password values: after each attribute name that ends in [`SECRET`], everything up to the next
/// quotation mark of the same kind.
pub(super) fn passwords(document: &str) -> Vec<RedactedRange> {
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
        (length > 0).then_some(RedactedRange { at: from..from + length, shown: "…" })
    };
    lower.match_indices(SECRET).filter_map(value).collect()
}

/// Returns a document without comments and processing instructions; the XML declaration stays.
pub(super) fn without_comments(document: &str) -> String {
    let (mut shown, mut rest) = (String::with_capacity(document.len()), document);
    let mut has_section_end = true;
    while let Some(at) = rest.find('<') {
        let (front, from) = rest.split_at(at);
        shown.push_str(front);
        // A truncated comment may have hidden anything.
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

/// Returns the length of a text that starts with `begin`, up to and including the next `end`; `None` without an end.
fn end_of(text: &str, begin: &str, end: &str) -> Option<usize> {
    let at = text.get(begin.len()..)?.find(end)?;
    Some(begin.len() + at + end.len())
}

/// Returns the values of a document, each as its pieces: a text continues after a nested element. XML values that are
/// also JSON strings are listed twice.
pub(super) fn values(document: &str) -> Vec<Vec<Range<usize>>> {
    let mut reader = DocumentReader { document, open: Vec::new(), values: Vec::new() };
    reader.read_elements();
    reader.read_strings();
    reader.values
}

/// Reader of the values in a document.
struct DocumentReader<'a> {
    document: &'a str,
    /// Texts of the elements that are open, the outermost first.
    open: Vec<Vec<Range<usize>>>,
    values: Vec<Vec<Range<usize>>>,
}

impl DocumentReader<'_> {
    /// Returns the document from an offset to its end.
    fn rest(&self, from: usize) -> &str {
        self.document.get(from..).unwrap_or_default()
    }

    /// Reads XML attributes, and texts of elements.
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

    /// Returns the end of a text: the next tag. Sections without markup belong to the text.
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

    /// Reads the tag at an offset. Returns its end.
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
                // A tag contains no other tag.
                Some(_) | None => return at,
            }
        }
        self.document.len()
    }

    /// Opens or closes the element of the tag in a range.
    fn end_tag(&mut self, from: usize, until: usize) {
        let tag = self.document.get(from..until).unwrap_or_default();
        if tag.starts_with("</") {
            self.values.extend(self.open.pop());
        } else if !tag.starts_with("<!") && !tag.starts_with("<?") && !tag.ends_with('/') {
            self.open.push(Vec::new());
        }
    }

    /// Reads JSON strings. Strings with markup are skipped, since they are documents themselves or no strings.
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

/// Returns the length of a JSON string up to its closing quotation mark; `None` if it is not closed.
fn string_length(text: &str) -> Option<usize> {
    let mut is_escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    })
}
