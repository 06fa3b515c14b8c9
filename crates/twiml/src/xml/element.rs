//! The tree of a document.

use crate::problem::Position;

/// An element with everything in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    /// Name as written, with a namespace prefix if it has one.
    pub(crate) name: String,
    /// Place of its `<`.
    pub(crate) position: Position,
    /// Attributes in order, each name once.
    pub(crate) attributes: Vec<Attribute>,
    /// Elements and text in order; comments and processing instructions are left out.
    pub(crate) children: Vec<Node>,
}

/// One attribute, references resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) name: String,
    pub(crate) value: String,
}

/// A child of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    /// Returns the value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|attribute| attribute.name == name).map(|attribute| attribute.value.as_str())
    }

    /// Returns the child elements.
    pub(crate) fn elements(&self) -> impl Iterator<Item = &Element> {
        self.children.iter().filter_map(|child| match child {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    /// Returns the text directly inside, without that of child elements and without white space around it.
    pub(crate) fn text(&self) -> String {
        let parts = self.children.iter().filter_map(|child| match child {
            Node::Text(text) => Some(text.as_str()),
            Node::Element(_) => None,
        });
        parts.collect::<String>().trim().to_owned()
    }
}
