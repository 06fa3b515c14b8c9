//! Builds the element tree from quick-xml's events, with the checks that quick-xml leaves to its user: a single root,
//! no text outside it, the declaration at the very start, valid XML characters, no declared entities, limits.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::element::{XmlAttribute, XmlElement, XmlNode};
use super::lines::PositionLookup;
use crate::limits::{ATTRIBUTES, DEPTH, DOCUMENT_BYTES, ELEMENTS};
use crate::problem::{DocumentError, code};

/// Parses an XML document and returns its root element.
pub(crate) fn read(text: &str) -> Result<XmlElement, DocumentError> {
    XmlReader { lines: PositionLookup::new(text), text, open: Vec::new(), root: None, elements: 0 }.read()
}

/// State while a document is read.
struct XmlReader<'a> {
    text: &'a str,
    lines: PositionLookup<'a>,
    /// Elements not yet closed, outermost first.
    open: Vec<XmlElement>,
    root: Option<XmlElement>,
    elements: usize,
}

impl XmlReader<'_> {
    fn read(mut self) -> Result<XmlElement, DocumentError> {
        if self.text.len() > DOCUMENT_BYTES {
            return Err(self.too_large(0, &format!("the document has more than {DOCUMENT_BYTES} bytes")));
        }
        if let Some((at, sign)) = self.text.char_indices().find(|(_, sign)| !is_xml_char(*sign)) {
            return Err(self.error(at, &format!("the character U+{:04X} is not allowed in XML", u32::from(sign))));
        }
        let mut reader = Reader::from_str(self.text);
        reader.config_mut().check_comments = true;
        loop {
            let at = position(reader.buffer_position());
            let event = match reader.read_event() {
                Ok(event) => event,
                Err(wrong) => {
                    let at = position(reader.error_position());
                    return Err(match self.text.get(at..) {
                        Some(rest) if rest.starts_with('&') => self.error(at, "write an & on its own as &amp;"),
                        _ => self.error(at, &wrong.to_string()),
                    });
                }
            };
            match event {
                Event::Start(start) => self.start(at, &start)?,
                Event::Empty(start) => {
                    self.start(at, &start)?;
                    self.end();
                }
                Event::End(_) => self.end(),
                Event::Text(text) => self.text(at, &text.xml10_content())?,
                Event::CData(text) => self.cdata(at, &text.xml10_content())?,
                Event::GeneralRef(name) => {
                    let text = match name.resolve_char_ref() {
                        Ok(Some(sign)) if is_xml_char(sign) => sign.to_string(),
                        Ok(None) => predefined(&name).map(str::to_owned).ok_or_else(|| {
                            let known = "XML has only &amp; &lt; &gt; &quot; &apos;: write the character or its number, such as &#160;";
                            self.error(at, &format!("&{}; is not defined: {known}", shorten(&name)))
                        })?,
                        Ok(Some(_)) | Err(_) => {
                            return Err(self.error(at, &format!("&{}; is not a character of XML", shorten(&name))));
                        }
                    };
                    self.cdata(at, &text)?;
                }
                Event::Decl(_) if at != 0 => {
                    return Err(self.error(at, "the XML declaration is not at the beginning of the document"));
                }
                Event::DocType(text) if text.contains(['[', '%']) || self.root.is_some() || !self.open.is_empty() => {
                    return Err(
                        self.error(at, "a document type must be before the root element and without declarations")
                    );
                }
                Event::Decl(_) | Event::DocType(_) | Event::Comment(_) | Event::PI(_) => {}
                Event::Eof => return self.finish(),
            }
        }
    }

    fn finish(mut self) -> Result<XmlElement, DocumentError> {
        if let Some(open) = self.open.last() {
            let message = format!("the element <{}> has no end", shorten(&open.name));
            return Err(DocumentError::new(code::NOT_XML, open.position, message));
        }
        self.root.take().ok_or_else(|| self.error(0, "the document has no element"))
    }

    fn start(&mut self, at: usize, start: &BytesStart<'_>) -> Result<(), DocumentError> {
        if self.root.is_some() {
            return Err(self.error(at, "the document has a second root element"));
        }
        self.elements += 1;
        if self.elements > ELEMENTS {
            return Err(self.too_large(at, &format!("the document has more than {ELEMENTS} elements")));
        }
        if self.open.len() >= DEPTH {
            return Err(self.too_large(at, &format!("elements are nested more than {DEPTH} deep")));
        }
        let mut attributes = Vec::new();
        for attribute in start.attributes() {
            let attribute = attribute.map_err(|wrong| self.error(at, &format!("in an attribute: {wrong}")))?;
            let name = attribute.key.into_inner().to_owned();
            if attributes.len() >= ATTRIBUTES {
                return Err(self.too_large(at, &format!("an element has more than {ATTRIBUTES} attributes")));
            }
            let value = attribute
                .normalized_value(XmlVersion::Implicit1_0)
                .map_err(|wrong| self.error(at, &format!("in the attribute {:?}: {wrong}", shorten(&name))))?;
            if attribute.value.contains('<') || !value.chars().all(is_xml_char) {
                return Err(self.error(at, &format!("the attribute {:?} has a character XML forbids", shorten(&name))));
            }
            attributes.push(XmlAttribute { name, value: value.into_owned() });
        }
        let name = start.name().into_inner().to_owned();
        self.open.push(XmlElement { name, position: self.lines.at(at), attributes, children: Vec::new() });
        Ok(())
    }

    fn end(&mut self) {
        let Some(closed) = self.open.pop() else { return };
        match self.open.last_mut() {
            Some(parent) => parent.children.push(XmlNode::Element(closed)),
            None => self.root = Some(closed),
        }
    }

    /// Handles text between tags. Outside the root element, only white space is allowed.
    fn text(&mut self, at: usize, text: &str) -> Result<(), DocumentError> {
        if self.open.is_empty() && text.chars().all(|sign| sign.is_ascii_whitespace()) {
            return Ok(());
        }
        self.cdata(at, text)
    }

    fn cdata(&mut self, at: usize, text: &str) -> Result<(), DocumentError> {
        let Some(parent) = self.open.last_mut() else {
            return Err(self.error(at, "there is text outside of the root element"));
        };
        match parent.children.last_mut() {
            Some(XmlNode::Text(before)) => before.push_str(text),
            Some(XmlNode::Element(_)) | None => parent.children.push(XmlNode::Text(text.to_owned())),
        }
        Ok(())
    }

    fn error(&mut self, at: usize, message: &str) -> DocumentError {
        DocumentError::new(code::NOT_XML, self.lines.at(at), message)
    }

    fn too_large(&mut self, at: usize, message: &str) -> DocumentError {
        DocumentError::new(code::TOO_LARGE, self.lines.at(at), message)
    }
}

fn position(offset: u64) -> usize {
    usize::try_from(offset).unwrap_or(usize::MAX)
}

fn predefined(name: &str) -> Option<&'static str> {
    match name {
        "amp" => Some("&"),
        "lt" => Some("<"),
        "gt" => Some(">"),
        "quot" => Some("\""),
        "apos" => Some("'"),
        _ => None,
    }
}

/// Returns whether a character is allowed in XML (XML 1.0 §2.2).
fn is_xml_char(sign: char) -> bool {
    matches!(sign, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// Truncates a name to 40 characters for messages.
fn shorten(name: &str) -> String {
    name.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::DocumentPosition;

    #[test]
    fn text_references_and_cdata_become_one_text() {
        let root = read("<a b='1 &amp; &#50;'>x &lt;&#x41;<!-- no --><![CDATA[<&>]]> y<c/></a>\n").unwrap();
        assert_eq!((root.name.as_str(), root.text().as_str()), ("a", "x <A<&> y"));
        assert_eq!(root.attribute("b"), Some("1 & 2"));
        assert_eq!(root.elements().map(|child| child.name.as_str()).collect::<Vec<_>>(), ["c"]);
    }

    #[test]
    fn what_is_not_well_formed_is_refused_where_it_stands() {
        let cases = [
            ("", 1, 1, "no element"),
            ("  \n", 1, 1, "no element"),
            ("\n<?xml version='1.0'?><a/>", 2, 1, "not at the beginning"),
            ("<a>\n<b></a>", 2, 4, "b"),
            ("<a>", 1, 1, "has no end"),
            ("<a>\n  &nbsp;</a>", 2, 3, "&nbsp;"),
            ("<a>&#0;</a>", 1, 4, "&#0;"),
            ("<a>&#xFFFF;</a>", 1, 4, "&#xFFFF;"),
            ("<a b='&nbsp;'/>", 1, 1, "nbsp"),
            ("<a b='&#1;'/>", 1, 1, "\"b\""),
            ("<a b='<'/>", 1, 1, "\"b\""),
            ("<a b='1' b='2'/>", 1, 1, "in an attribute"),
            ("<a b=1/>", 1, 1, "in an attribute"),
            ("<a/><b/>", 1, 5, "second root"),
            ("<a/>text", 1, 5, "outside of the root"),
            ("text<a/>", 1, 1, "outside of the root"),
            ("<a>\u{1}</a>", 1, 4, "U+0001"),
            ("<!DOCTYPE a [<!ENTITY x 'y'>]><a>&x;</a>", 1, 1, "document type"),
            ("<a><!-- a -- b --></a>", 1, 11, "--"),
            ("<a>R & D</a>", 1, 6, "&amp;"),
        ];
        for (text, line, column, contains) in cases {
            let wrong = read(text).unwrap_err();
            assert_eq!(
                (wrong.code, wrong.position),
                (code::NOT_XML, DocumentPosition { line, column }),
                "{text:?}: {wrong}"
            );
            assert!(wrong.message.contains(contains), "{text:?}: {wrong}");
        }
    }

    #[test]
    fn bounds_are_kept() {
        let elements = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count - 1));
        assert!(read(&elements(ELEMENTS)).is_ok());
        assert_eq!(read(&elements(ELEMENTS + 1)).unwrap_err().code, code::TOO_LARGE);
        let deep = |depth: usize| "<a>".repeat(depth) + &"</a>".repeat(depth);
        assert!(read(&deep(DEPTH)).is_ok());
        assert_eq!(read(&deep(DEPTH + 1)).unwrap_err().code, code::TOO_LARGE);
        let wide = |count: usize| format!("<a{}/>", (0..count).map(|n| format!(" a{n}=''")).collect::<String>());
        assert!(read(&wide(ATTRIBUTES)).is_ok());
        assert_eq!(read(&wide(ATTRIBUTES + 1)).unwrap_err().code, code::TOO_LARGE);
        assert_eq!(read(&" ".repeat(DOCUMENT_BYTES + 1)).unwrap_err().code, code::TOO_LARGE);
    }

    #[test]
    fn a_document_type_without_declarations_is_harmless() {
        assert!(read("<?xml version='1.0' encoding='UTF-8'?><!DOCTYPE Response><a/>").is_ok());
    }
}
