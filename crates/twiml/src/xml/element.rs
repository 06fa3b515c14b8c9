//! Element tree of a document.

use crate::problem::DocumentPosition;

/// Element with its attributes and children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlElement {
    /// Name of the element as written, including a namespace prefix.
    pub(crate) name: String,
    /// Position of the opening `<`.
    pub(crate) position: DocumentPosition,
    /// Attributes in order, without duplicates.
    pub(crate) attributes: Vec<XmlAttribute>,
    /// Elements and text in order, without comments and processing instructions.
    pub(crate) children: Vec<XmlNode>,
}

/// Attribute of an element; references in its value are resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlAttribute {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Child of an element: an element or text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum XmlNode {
    Element(XmlElement),
    Text(String),
}

impl XmlElement {
    /// Returns the value of an attribute, or `None` if the element does not have it.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// Iterates over the child elements, without text.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &XmlElement> {
        self.children.iter().filter_map(|child| match child {
            XmlNode::Element(element) => Some(element),
            XmlNode::Text(_) => None,
        })
    }

    /// Returns the text directly in the element, trimmed; the text of child elements is left out.
    pub(crate) fn text(&self) -> String {
        let parts = self.children.iter().filter_map(|child| match child {
            XmlNode::Text(text) => Some(text.as_str()),
            XmlNode::Element(_) => None,
        });
        parts.collect::<String>().trim().to_owned()
    }
}
