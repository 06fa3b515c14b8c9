//! Compatibility tables: verbs and attributes, requests to applications with their fields, and the REST API with its
//! parameters and resources. Each entry states the extent of support and the differences from Twilio. The parser and
//! the API look names up in these tables, docs/reference/twilio-compat.md is generated from them, and the tests check
//! each row.

mod callbacks;
mod libraries;
pub mod lookups;
mod page;
pub mod parameter_names;
pub mod requests;
mod resources;
pub mod routes;
mod semantics;
mod tables;

pub use callbacks::{CALL, CALLBACKS, CALLER, CallbackField, CallbackKind, CallbackSubject, PARTY, is_named};
pub use page::markdown;
pub use resources::RESOURCES;
pub use semantics::{SEMANTICS, SemanticRule};
pub use tables::{MESSAGING, VOICE};

/// Extent of support for a Twilio feature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FeatureSupport {
    /// Same behaviour as on Twilio.
    Supported,
    /// Supported with the difference described.
    Differs(&'static str),
    /// Not supported, with the actual behaviour. A verb is rejected by name, an attribute is skipped with a warning.
    NotSupported(&'static str),
}

/// Support of an element and of its attributes.
#[derive(Debug, Clone, Copy)]
pub struct ElementSupport {
    /// Path of element names below `Response`, such as `Dial/Number`.
    pub path: &'static str,
    /// Extent of support for the element.
    pub state: FeatureSupport,
    /// Attributes by name; a name in parentheses, such as `(text)`, is another property of the element.
    pub attributes: &'static [(&'static str, FeatureSupport)],
}

impl ElementSupport {
    /// Returns the support of an attribute; `None` if Twilio does not have it.
    pub fn attribute(&self, name: &str) -> Option<FeatureSupport> {
        self.attributes.iter().find(|(known, _)| *known == name).map(|(_, state)| *state)
    }

    /// Returns whether the element is supported, fully or with differences.
    pub fn is_supported(&self) -> bool {
        !matches!(self.state, FeatureSupport::NotSupported(_))
    }
}

/// Returns the entry of an element; `parent` is the path of the enclosing element, empty for verbs.
pub(crate) fn entry(table: &'static [ElementSupport], parent: &str, name: &str) -> Option<&'static ElementSupport> {
    table.iter().find(|entry| match entry.path.rsplit_once('/') {
        Some((around, own)) => around == parent && own == name,
        None => parent.is_empty() && entry.path == name,
    })
}
