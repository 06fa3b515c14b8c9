//! The tables of verbs and attributes, of requests to applications and their fields, and of the REST API with its parameters and
//! resources: what is read, what is carried out, where it differs from Twilio. The parser and the API look names up here,
//! docs/reference/twilio-compat.md is made from it, and the tests walk it.

mod callbacks;
mod libraries;
pub mod lookups;
mod page;
pub mod requests;
mod resources;
mod semantics;
mod tables;

pub use callbacks::{CALL, CALLBACKS, CALLER, Callback, Field, PARTY, Subject, is_named};
pub use page::markdown;
pub use resources::RESOURCES;
pub use semantics::{SEMANTICS, Semantic};
pub use tables::{MESSAGING, VOICE};

/// Extent of support for something of Twilio's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// As Twilio does it.
    Supported,
    /// With the difference that the text describes.
    Differs(&'static str),
    /// Not at all; the text says what happens instead. A verb is refused by name, an attribute skipped with a warning.
    NotSupported(&'static str),
}

/// An element with its attributes.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// Name with those of the elements around it below `Response`, such as `Dial/Number`.
    pub path: &'static str,
    /// Extent of support for the element.
    pub state: State,
    /// Attributes by name; a name in parentheses is another property of the element, such as `(text)`.
    pub attributes: &'static [(&'static str, State)],
}

impl Entry {
    /// Returns how far an attribute is supported; `None` for one that Twilio does not have.
    pub fn attribute(&self, name: &str) -> Option<State> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }

    /// Whether the element is supported at all.
    pub fn is_supported(&self) -> bool {
        !matches!(self.state, State::NotSupported(_))
    }
}

/// Returns the entry of an element; `parent` is the path around it, empty for verbs.
pub(crate) fn entry(table: &'static [Entry], parent: &str, name: &str) -> Option<&'static Entry> {
    table.iter().find(|entry| match entry.path.rsplit_once('/') {
        Some((around, own)) => around == parent && own == name,
        None => parent.is_empty() && entry.path == name,
    })
}
