//! Text of a `<Say>`: plain for any speech program, and as SSML for programs that support SSML.

use super::DocumentWarnings;
use crate::problem::code;
use crate::xml::{XmlElement, XmlNode};

/// SSML tags that Twilio supports in `<Say>`.
const TAGS: [&str; 11] =
    ["break", "emphasis", "lang", "p", "phoneme", "prosody", "s", "say-as", "sub", "w", "amazon:effect"];

/// Text of a `<Say>` in both forms.
pub(super) struct SayText {
    /// Text without SSML tags.
    pub(super) text: String,
    /// Text with its SSML tags, if there are any.
    pub(super) ssml: Option<String>,
}

/// Reads the children of a `<Say>`. Unknown tags are removed, but their text is kept.
pub(super) fn read(element: &XmlElement, warnings: &mut DocumentWarnings) -> SayText {
    let (mut text, mut ssml, mut tags) = (String::new(), String::new(), 0);
    walk(element, &mut text, &mut ssml, &mut tags, warnings);
    SayText { text: collapse(&text), ssml: (tags > 0).then(|| collapse(&ssml)) }
}

/// Appends the children of an element to both forms of the text. The depth limit of documents bounds the recursion.
fn walk(element: &XmlElement, text: &mut String, ssml: &mut String, tags: &mut usize, warnings: &mut DocumentWarnings) {
    for child in &element.children {
        let inner = match child {
            XmlNode::Text(part) => {
                text.push_str(part);
                escape(part, ssml);
                continue;
            }
            XmlNode::Element(inner) => inner,
        };
        if !TAGS.contains(&inner.name.as_str()) {
            let shown: String = inner.name.chars().take(40).collect();
            let message = format!("<{shown}> is not an SSML tag that Twilio knows; its text is spoken");
            warnings.add(code::SCHEMA, inner.position, message);
            walk(inner, text, ssml, tags, warnings);
            continue;
        }
        *tags += 1;
        ssml.push('<');
        ssml.push_str(&inner.name);
        for attribute in &inner.attributes {
            ssml.push_str(&format!(" {}=\"", attribute.name));
            escape(&attribute.value, ssml);
            ssml.push('"');
        }
        if inner.children.is_empty() {
            ssml.push_str("/>");
            text.push(' ');
            continue;
        }
        ssml.push('>');
        let before = text.len();
        let parts = matches!(inner.name.as_str(), "p" | "s");
        if parts {
            text.push(' ');
        }
        walk(inner, text, ssml, tags, warnings);
        if let Some(alias) = inner.attribute("alias").filter(|_| inner.name == "sub") {
            text.truncate(before);
            text.push_str(alias);
        }
        if parts {
            text.push(' ');
        }
        ssml.push_str(&format!("</{}>", inner.name));
    }
}

fn escape(text: &str, out: &mut String) {
    for sign in text.chars() {
        match sign {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// Collapses white space to single spaces and trims the ends.
fn collapse(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
