//! Element tree of a document.

use crate::problem::DocumentPosition;

/// Element with its attributes and children.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlElement {
    /// Name as written, including a namespace prefix.
    pub(crate) name: String,
    /// Position of the `<`.
    pub(crate) position: DocumentPosition,
    /// Attributes in order, without duplicates.
    pub(crate) attributes: Vec<XmlAttribute>,
    /// Elements and text in order, without comments and processing instructions.
    pub(crate) children: Vec<XmlNode>,
}

/// Attribute with resolved references.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct XmlAttribute {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// Child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum XmlNode {
    Element(XmlElement),
    Text(String),
}

impl XmlElement {
    /// Returns the value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// Returns the child elements.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &XmlElement> {
        self.children.iter().filter_map(|child| match child {
            XmlNode::Element(element) => Some(element),
            XmlNode::Text(_) => None,
        })
    }

    /// Returns the directly contained text, without that of child elements and without surrounding white space.
    pub(crate) fn text(&self) -> String {
        let parts = self.children.iter().filter_map(|child| match child {
            XmlNode::Text(text) => Some(text.as_str()),
            XmlNode::Element(_) => None,
        });
        parts.collect::<String>().trim().to_owned()
    }
}
